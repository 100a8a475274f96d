//! Firebase Cloud Messaging, HTTP v1: the native sub-type GCM.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, anyhow};
use chrono::Utc;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::{Client, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;

use super::call::{Answer, check_url};
use super::oauth::Tokens;
use super::secret::read;
use super::{Message, Outcome, config};

/// The largest data of a message, in bytes: its keys and values.
pub(super) const BYTES_MAX: usize = 4096;
/// The longest FCM keeps a message for a device that is away: four weeks.
const TTL_SECONDS_MAX: i64 = 28 * 86400;
/// What the token is to be good for.
const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";
/// Seconds that the assertion asking for a token is good for.
const ASSERTION_SECONDS: i64 = 3600;

pub(super) struct Fcm {
    http: Client,
    timeout: Duration,
    url: Url,
    tokens: Tokens,
}

/// The JSON key of a service account, as far as it is of use.
#[derive(Deserialize)]
struct ServiceAccount {
    project_id: String,
    private_key_id: Option<String>,
    private_key: String,
    client_email: String,
    token_uri: Url,
}

/// The claims of the assertion that asks for a token (RFC 7523).
#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    scope: &'a str,
    aud: &'a str,
    iat: i64,
    exp: i64,
}

impl Fcm {
    /// Reads the key; errors name the setting.
    pub fn new(settings: &config::Fcm, http: Client, timeout: Duration) -> anyhow::Result<Self> {
        let text = read("push.fcm.key_file", &settings.key_file)?;
        let account: ServiceAccount = serde_json::from_str(&text).map_err(|fault| {
            // Its own words could quote the key.
            let (line, column) = (fault.line(), fault.column());
            anyhow!("push.fcm.key_file: not the JSON key of a service account, at line {line} column {column}")
        })?;
        check_url("push.fcm.endpoint", &settings.endpoint)?;
        check_url("push.fcm.key_file: its token_uri", &account.token_uri)?;
        let url = settings.endpoint.join(&format!("/v1/projects/{}/messages:send", account.project_id))?;
        let endpoint = account.token_uri.clone();
        let key = EncodingKey::from_rsa_pem(account.private_key.as_bytes())
            .context("push.fcm.key_file: its private_key cannot be used")?;
        let tokens = Tokens::new(http.clone(), endpoint, timeout, Box::new(move || grant(&account, &key)))
            .context("push.fcm.key_file")?;
        Ok(Fcm { http, timeout, url, tokens })
    }

    /// A data message: each member of the notification is a key of `data`, its JSON text the value.
    pub async fn send(&self, registration: &str, message: &Message<'_>) -> Outcome {
        let data = match message.members() {
            Ok(members) => members,
            Err(outcome) => return outcome,
        };
        let data: BTreeMap<_, _> = data.into_iter().map(|(key, value)| (key, value.get())).collect();
        if data.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>() > BYTES_MAX {
            return Outcome::TooLarge;
        }
        let ttl = message.seconds_left().min(TTL_SECONDS_MAX);
        let android = json!({ "priority": "HIGH", "ttl": format!("{ttl}s") });
        let body = json!({ "message": { "token": registration, "data": data, "android": android } });
        let request =
            |token: &str| self.http.post(self.url.clone()).timeout(self.timeout).bearer_auth(token).json(&body);
        self.tokens.call(request).await.map_or_else(|outcome| outcome, |answer| judge(&answer))
    }
}

/// The form that asks for a token: an assertion signed with the account's key.
fn grant(account: &ServiceAccount, key: &EncodingKey) -> anyhow::Result<String> {
    let (now, aud) = (Utc::now().timestamp(), account.token_uri.as_str());
    let claims = Claims { iss: &account.client_email, scope: SCOPE, aud, iat: now, exp: now + ASSERTION_SECONDS };
    let header = Header { kid: account.private_key_id.clone(), ..Header::new(Algorithm::RS256) };
    let assertion = jsonwebtoken::encode(&header, &claims, key).context("its private_key cannot sign")?;
    Ok(url::form_urlencoded::Serializer::new(String::new())
        .append_pair("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer")
        .append_pair("assertion", &assertion)
        .finish())
}

fn judge(answer: &Answer) -> Outcome {
    let body = answer.json();
    let error = &body["error"];
    let code = error_code(error).or(error["status"].as_str()).unwrap_or_default();
    match answer.status {
        StatusCode::NOT_FOUND if code == "UNREGISTERED" => Outcome::Gone { why: code.to_owned() },
        StatusCode::BAD_REQUEST if blames_token(error) => Outcome::Gone { why: format!("{code}: message.token") },
        _ => answer.outcome(code),
    }
}

fn details(error: &Value) -> impl Iterator<Item = &Value> {
    error["details"].as_array().into_iter().flatten()
}

/// FCM's own code among the details.
fn error_code(error: &Value) -> Option<&str> {
    details(error).find_map(|detail| detail["errorCode"].as_str())
}

/// Whether the fault is said to lie in the registration token.
fn blames_token(error: &Value) -> bool {
    details(error).filter_map(|detail| detail["fieldViolations"].as_array()).flatten().any(|violation| {
        let field = violation["field"].as_str();
        field == Some("message.token")
    })
}
