//! Apple Push Notification service over HTTP/2: the native sub-type APNS.
//!
//! A notification is data for the app, with nothing to show: so it is sent as a `background` push, which must have
//! priority 5 and `content-available`. The system may hold such pushes back to spare the battery.

use std::time::Duration;

use anyhow::Context;
use chrono::Utc;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::Client;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::Mutex;
use url::Url;

use super::call::{Answer, call, check_url};
use super::secret::{Secret, read};
use super::{Message, Outcome, config};

/// The largest payload, in bytes.
const PAYLOAD_BYTES_MAX: usize = 4096;
/// What stands in the payload beside the notification.
const APS: &str = r#"{"content-available":1}"#;
/// The largest notification, in bytes: what `"aps":{...},` leaves.
pub(super) const BYTES_MAX: usize = PAYLOAD_BYTES_MAX - (r#""aps":,"#.len() + APS.len());
/// Seconds after which a provider token is made anew. Apple wants that between 20 and 60 minutes.
const TOKEN_SECONDS: i64 = 40 * 60;

pub(super) struct Apns {
    http: Client,
    timeout: Duration,
    endpoint: Url,
    topic: String,
    signer: Signer,
    token: Mutex<Option<ProviderToken>>,
}

/// Makes provider tokens.
struct Signer {
    key: EncodingKey,
    header: Header,
    team_id: String,
}

struct ProviderToken {
    secret: Secret,
    issued_at: i64,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    iat: i64,
}

impl Apns {
    /// Reads the key; errors name the setting. `http` speaks HTTP/2 only.
    pub fn new(settings: &config::Apns, http: Client, timeout: Duration) -> anyhow::Result<Self> {
        let text = read("push.apns.key_file", &settings.key_file)?;
        let key = EncodingKey::from_ec_pem(text.as_bytes()).context("push.apns.key_file: not a private key in PEM")?;
        let header = Header { typ: None, kid: Some(settings.key_id.clone()), ..Header::new(Algorithm::ES256) };
        let signer = Signer { key, header, team_id: settings.team_id.clone() };
        signer.sign(Utc::now().timestamp()).context("push.apns.key_file")?;
        check_url("push.apns.endpoint", &settings.endpoint)?;
        let endpoint = settings.endpoint.join("/3/device/")?;
        Ok(Apns { http, timeout, endpoint, topic: settings.topic.clone(), signer, token: Mutex::default() })
    }

    /// The members of the notification stand beside `aps` in the payload.
    pub async fn send(&self, device: &str, message: &Message<'_>) -> Outcome {
        if device.is_empty() || !device.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Outcome::Gone { why: "the registrationToken is not an APNs device token".to_owned() };
        }
        match payload(message) {
            Ok(payload) if payload.len() > PAYLOAD_BYTES_MAX => Outcome::TooLarge,
            Ok(payload) => self.post(device, message, payload).await.unwrap_or_else(|outcome| outcome),
            Err(outcome) => outcome,
        }
    }

    async fn post(&self, device: &str, message: &Message<'_>, payload: String) -> Result<Outcome, Outcome> {
        let url = self.endpoint.join(device).map_err(Outcome::refused)?;
        let request = self
            .http
            .post(url)
            .timeout(self.timeout)
            .header(AUTHORIZATION, self.authorization().await.map_err(|fault| Outcome::refused(format!("{fault:#}")))?)
            .header("apns-topic", &self.topic)
            .header("apns-push-type", "background")
            .header("apns-priority", "5")
            .header("apns-id", message.id.to_string())
            .header("apns-expiration", message.expires.timestamp())
            .body(payload);
        Ok(judge(&call(request).await?))
    }

    async fn authorization(&self) -> anyhow::Result<HeaderValue> {
        let token = self.signer.current(&mut *self.token.lock().await, Utc::now().timestamp())?;
        let mut value = HeaderValue::from_str(&format!("bearer {}", token.reveal()))?;
        value.set_sensitive(true);
        Ok(value)
    }
}

impl Signer {
    /// The token held, or a new one if that is too old, or of a moment yet to come.
    fn current(&self, held: &mut Option<ProviderToken>, now: i64) -> anyhow::Result<Secret> {
        held.take_if(|token| !(0..TOKEN_SECONDS).contains(&(now - token.issued_at)));
        let token = match held.take() {
            Some(token) => token,
            None => ProviderToken { secret: self.sign(now)?, issued_at: now },
        };
        Ok(held.insert(token).secret.clone())
    }

    fn sign(&self, now: i64) -> anyhow::Result<Secret> {
        let claims = Claims { iss: &self.team_id, iat: now };
        let token = jsonwebtoken::encode(&self.header, &claims, &self.key).context("the key cannot sign with ES256")?;
        Ok(Secret::new(token))
    }
}

fn payload(message: &Message<'_>) -> Result<String, Outcome> {
    let aps: &RawValue = serde_json::from_str(APS).map_err(Outcome::refused)?;
    let mut members = message.members()?;
    members.insert("aps".into(), aps);
    serde_json::to_string(&members).map_err(Outcome::refused)
}

fn judge(answer: &Answer) -> Outcome {
    let body = answer.json();
    let reason = body["reason"].as_str().unwrap_or_default();
    match reason {
        "BadDeviceToken" | "ExpiredToken" | "Unregistered" => Outcome::Gone { why: reason.to_owned() },
        "PayloadTooLarge" => Outcome::TooLarge,
        // Ours is young: the clocks differ, which will pass.
        "ExpiredProviderToken" => answer.retry(reason.to_owned()),
        _ => answer.outcome(reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};

    fn signer() -> Signer {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let key = EncodingKey::from_ec_der(pair.to_pkcs8v1().unwrap().as_ref());
        Signer { key, header: Header::new(Algorithm::ES256), team_id: "TEAM".to_owned() }
    }

    #[test]
    fn a_provider_token_is_kept_between_20_and_60_minutes() {
        let (signer, mut held, start) = (signer(), None, 1_700_000_000);
        let mut at = |minutes: i64| signer.current(&mut held, start + minutes * 60).unwrap();
        let first = at(0);
        assert_eq!(at(20), first);
        let second = at(59);
        assert_ne!(second, first);
        assert_eq!(at(59 + 20), second);
        assert_ne!(at(30), second, "the clock was set back");
    }

    #[test]
    fn the_largest_notification_just_fits() {
        let body = format!(r#"{{"a":"{}"}}"#, "x".repeat(BYTES_MAX - 8));
        assert_eq!(body.len(), BYTES_MAX);
        let message = Message { body: &body, ..Message::example() };
        assert_eq!(payload(&message).unwrap().len(), PAYLOAD_BYTES_MAX);
    }
}
