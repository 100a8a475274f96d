//! Access tokens of OAuth 2: fetched when needed, kept until shortly before they expire, fetched anew once when refused.

use std::time::{Duration, Instant};

use anyhow::Context;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, RequestBuilder, StatusCode};
use tokio::sync::Mutex;
use url::Url;

use super::Outcome;
use super::call::{Answer, call};
use super::secret::Secret;

/// So long before its end a token is no longer used; half its life, if that is shorter.
const MARGIN: Duration = Duration::from_secs(60);
/// The lifetime of a token whose issuer does not tell.
const LIFETIME_DEFAULT: Duration = Duration::from_secs(300);

/// Makes the form that asks for a token.
type Grant = Box<dyn Fn() -> anyhow::Result<String> + Send + Sync>;

/// The tokens of one client at one endpoint.
pub(super) struct Tokens {
    http: Client,
    endpoint: Url,
    timeout: Duration,
    grant: Grant,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    token: Option<Token>,
    /// The last failure and its moment: those who waited for that attempt share it.
    failure: Option<(Instant, Outcome)>,
}

struct Token {
    secret: Secret,
    until: Instant,
}

impl Tokens {
    /// `grant` makes the body of a token request, `application/x-www-form-urlencoded`. It is tried out here.
    pub fn new(http: Client, endpoint: Url, timeout: Duration, grant: Grant) -> anyhow::Result<Self> {
        grant()?;
        Ok(Tokens { http, endpoint, timeout, grant, held: Mutex::default() })
    }

    /// Makes a request with a token; once more with a new one if the first is refused.
    pub async fn call(&self, request: impl Fn(&str) -> RequestBuilder) -> Result<Answer, Outcome> {
        let token = self.get().await?;
        let answer = call(request(token.reveal())).await?;
        if answer.status != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        self.forget(&token).await;
        let token = self.get().await?;
        call(request(token.reveal())).await
    }

    /// The token in use. Whoever finds none fetches one, while all others wait.
    async fn get(&self) -> Result<Secret, Outcome> {
        let asked = Instant::now();
        let mut held = self.held.lock().await;
        if let Some(token) = held.token.as_ref().filter(|token| asked < token.until) {
            return Ok(token.secret.clone());
        }
        if let Some((_, outcome)) = held.failure.as_ref().filter(|(at, _)| asked < *at) {
            return Err(outcome.clone());
        }
        match self.fetch().await {
            Ok(token) => Ok(held.token.insert(token).secret.clone()),
            Err(outcome) => {
                held.failure = Some((Instant::now(), outcome.clone()));
                Err(outcome)
            }
        }
    }

    /// Drops a token that was refused, unless another has taken its place already.
    async fn forget(&self, refused: &Secret) {
        self.held.lock().await.token.take_if(|token| token.secret == *refused);
    }

    async fn fetch(&self) -> Result<Token, Outcome> {
        let form = (self.grant)().map_err(|fault| Outcome::refused(format!("token: {fault:#}")))?;
        let request = self.http.post(self.endpoint.clone()).timeout(self.timeout);
        let answer = call(request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form)).await?;
        let body = answer.json();
        match answer.outcome(&format!("from the token endpoint: {}", body["error"].as_str().unwrap_or_default())) {
            Outcome::Delivered => token(&body).context("the token endpoint's answer has no token"),
            Outcome::Gone { why } => return Err(Outcome::refused(why)), // not the registration is gone
            Outcome::TooLarge => return Err(Outcome::refused("the token endpoint takes no form of this size")),
            other => return Err(other),
        }
        .map_err(|fault| Outcome::retry(fault.to_string()))
    }
}

fn token(answer: &serde_json::Value) -> Option<Token> {
    let secret = Secret::new(answer["access_token"].as_str()?);
    let seconds = &answer["expires_in"];
    let seconds = seconds.as_u64().or_else(|| seconds.as_str()?.parse().ok());
    Some(Token { secret, until: Instant::now().checked_add(usable(seconds))? })
}

fn usable(expires_in: Option<u64>) -> Duration {
    let lifetime = expires_in.map_or(LIFETIME_DEFAULT, Duration::from_secs);
    lifetime - MARGIN.min(lifetime / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_used_until_shortly_before_its_end() {
        let seconds = Duration::from_secs;
        assert_eq!(usable(Some(3600)), seconds(3540));
        assert_eq!(usable(Some(60)), seconds(30));
        assert_eq!(usable(Some(0)), seconds(0));
        assert_eq!(usable(None), seconds(240));
    }
}
