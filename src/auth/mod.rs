//! Who asks, and what they may do: `token` verifies (pure), `keys` and `jwks` find and rotate what it is verified with,
//! `scope` is what a token is good for, `grants` is who may reach what is not theirs. Which request needs what is one
//! table, in `http::access`.

pub mod config;
pub mod grants;
pub mod jwks;
pub mod keys;
pub mod pass;
pub mod rows;
pub mod scope;
pub mod token;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::base::{Error, Result};
use jwks::Jwks;
use keys::KeySet;
use token::{Principal, Refusal, Rules, verify};

/// Verifies tokens.
#[derive(Debug)]
pub struct Gate {
    keys: Keys,
    rules: Rules,
    /// Whether channelURLs can be used only together with a token.
    pub channel_urls_need_token: bool,
}

/// Where keys come from.
#[derive(Debug)]
struct Keys {
    fixed: KeySet,
    jwks: Option<Arc<Jwks>>,
}

impl Gate {
    /// Who a token says is asking. [`Error::InvalidToken`] says why it is refused; [`Error::Busy`] when there is no key
    /// yet to verify it with.
    pub async fn verify(&self, token: &str) -> Result<Principal> {
        let mut verified = self.try_verify(token);
        if let (Err(Refusal::UnknownKey | Refusal::Signature), Some(jwks)) = (&verified, &self.keys.jwks)
            && jwks.refresh().await
        {
            verified = self.try_verify(token);
        }
        verified.map_err(|refusal| match refusal {
            Refusal::UnknownKey if !self.has_keys() => Error::Busy("no keys of the issuer".to_owned()),
            refusal => Error::InvalidToken { why: refusal.to_string() },
        })
    }

    fn try_verify(&self, token: &str) -> Result<Principal, Refusal> {
        let verified = verify(token, &self.keys.fixed, &self.rules);
        match self.keys.jwks.as_ref().and_then(|jwks| jwks.keys()) {
            Some(keys) if matches!(verified, Err(Refusal::UnknownKey | Refusal::Signature)) => {
                verify(token, &keys, &self.rules)
            }
            _ => verified,
        }
    }

    /// Whether any token can be verified now: what /readyz asks.
    pub fn has_keys(&self) -> bool {
        let keys = &self.keys;
        !keys.fixed.is_empty() || keys.jwks.as_ref().is_some_and(|jwks| jwks.keys().is_some())
    }

    /// Keeps the issuer's keys fresh, if they come from one.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) -> anyhow::Result<()> {
        match &self.keys.jwks {
            Some(jwks) => jwks.clone().run(stop).await,
            None => {
                stop.cancelled().await;
                Ok(())
            }
        }
    }
}
