//! Access tokens: one, or where to get the one that is good now.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::Utc;
use serde::Deserialize;

use super::error::Result;

type Asked = Pin<Box<dyn Future<Output = Result<String>> + Send>>;

/// Where the access token comes from.
#[derive(Clone, Default)]
pub enum Token {
    /// There is none.
    #[default]
    None,
    /// Always the same.
    Fixed(String),
    /// Who is asked before each request, for each socket, and before the token of an open socket expires.
    Asked(Arc<dyn Fn() -> Asked + Send + Sync>),
}

impl Token {
    /// The answer of a function, which should keep a token while it is good.
    pub fn asked<F>(ask: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<String>> + Send + 'static,
    {
        Token::Asked(Arc::new(move || Box::pin(ask())))
    }

    /// The token as it is now.
    pub(super) async fn now(&self) -> Result<Option<String>> {
        match self {
            Token::None => Ok(None),
            Token::Fixed(token) => Ok(Some(token.clone())),
            Token::Asked(ask) => ask().await.map(Some),
        }
    }
}

/// Without the token, which is a secret.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Token::None => "None",
            Token::Fixed(_) => "Fixed",
            Token::Asked(_) => "Asked",
        })
    }
}

#[derive(Deserialize)]
struct Claims {
    exp: i64,
}

/// How long a JSON Web Token lasts from now on, if it is one and says so.
pub(super) fn lasts(token: &str) -> Option<Duration> {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: Claims = serde_json::from_slice(&claims).ok()?;
    let left = claims.exp.saturating_sub(Utc::now().timestamp());
    Some(Duration::from_secs(left.try_into().unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_json_web_token_says_how_long_it_lasts() {
        let token = |claims: String| format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(claims));
        let left = lasts(&token(format!(r#"{{"exp":{}}}"#, Utc::now().timestamp() + 100))).unwrap();
        assert!((90..=100).contains(&left.as_secs()), "{left:?}");
        assert_eq!(lasts(&token(r#"{"exp":1}"#.to_owned())), Some(Duration::ZERO));
        for other in ["", "opaque", "a.b.c", &token("{}".to_owned())] {
            assert_eq!(lasts(other), None, "{other}");
        }
    }
}
