//! Posts to URLs of clients, signed by the Standard Webhooks scheme.

use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::Utc;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, RequestBuilder, StatusCode};
use sha2::Sha256;
use thiserror::Error;
use url::Url;

use super::call::call;
use super::guard::Guard;
use super::{Message, Outcome};

/// What a signing secret begins with when it is written down.
const PREFIX: &str = "whsec_";
/// The lengths a signing secret may have, in bytes.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// A secret that posts are signed with. Debug does not show it.
#[derive(Clone)]
pub struct SigningSecret(Vec<u8>);

/// A text is not a signing secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a signing secret is whsec_ and 24 to 64 bytes in base64")]
pub struct NotASecret;

impl SigningSecret {
    /// Reads a secret as it is written down: `whsec_` and 24 to 64 bytes in base64.
    ///
    /// # Errors
    /// [`NotASecret`] if it is anything else.
    pub fn parse(text: &str) -> Result<Self, NotASecret> {
        let encoded = text.strip_prefix(PREFIX).ok_or(NotASecret)?;
        let bytes = STANDARD.decode(encoded).map_err(|_| NotASecret)?;
        if SECRET_BYTES.contains(&bytes.len()) { Ok(SigningSecret(bytes)) } else { Err(NotASecret) }
    }

    /// `v1,` and the base64 of the HMAC-SHA256 of `{id}.{timestamp}.{body}`.
    fn sign(&self, id: &str, timestamp: i64, body: &str) -> String {
        #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("any key will do");
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body.as_bytes());
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningSecret(***)")
    }
}

pub(super) struct Webhook {
    http: Client,
    timeout: Duration,
    guard: Guard,
}

impl Webhook {
    /// `guarded` calls what `guard` allows.
    pub fn new(guarded: Client, guard: Guard, timeout: Duration) -> Self {
        Webhook { http: guarded, timeout, guard }
    }

    /// Any 2xx is success; no redirect is followed. One signature for each secret.
    pub async fn send(&self, target: &Url, secrets: &[SigningSecret], message: &Message<'_>) -> Outcome {
        if let Err(forbidden) = self.guard.check(target) {
            return Outcome::refused(forbidden);
        }
        let (id, timestamp) = (message.id.to_string(), Utc::now().timestamp());
        let signatures: Vec<_> = secrets.iter().map(|secret| secret.sign(&id, timestamp, message.body)).collect();
        let mut request = self.post(target, message).header("webhook-id", &id).header("webhook-timestamp", timestamp);
        if !signatures.is_empty() {
            request = request.header("webhook-signature", signatures.join(" "));
        }
        call(request).await.map_or_else(|outcome| outcome, |answer| answer.outcome(""))
    }

    /// Posts what stands by itself, unsigned. Whoever takes notifications by their key, as our own callbackURLs do, can
    /// tell a repetition. 404 says that nobody is there any more, as 410 does (spec/nms 2.4, note 19), and nothing is
    /// too large for good.
    pub async fn notify(&self, target: &Url, message: &Message<'_>) -> Outcome {
        if let Err(forbidden) = self.guard.check(target) {
            return Outcome::refused(forbidden);
        }
        let request = self.post(target, message).header("idempotency-key", message.id.to_string());
        match call(request).await {
            Err(outcome) => outcome,
            Ok(answer) => match answer.status {
                StatusCode::NOT_FOUND => Outcome::Gone { why: "HTTP 404".to_owned() },
                StatusCode::PAYLOAD_TOO_LARGE => Outcome::refused("HTTP 413"),
                _ => answer.outcome(""),
            },
        }
    }

    fn post(&self, target: &Url, message: &Message<'_>) -> RequestBuilder {
        let request = self.http.post(target.clone()).timeout(self.timeout);
        request.header(CONTENT_TYPE, message.content_type).body(message.body.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_as_the_scheme_shows() {
        // The example that the libraries of the scheme are tested with.
        let secret = SigningSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signature = secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn what_is_no_secret_is_refused_and_none_is_shown() {
        for bad in
            ["", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_AAAA", "whsec_!fKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]
        {
            assert_eq!(SigningSecret::parse(bad).unwrap_err(), NotASecret, "{bad}");
        }
        let secret = SigningSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        assert_eq!(format!("{secret:?}"), "SigningSecret(***)");
    }
}
