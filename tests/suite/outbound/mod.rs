//! The senders against servers that stand in for push services, gateways and clients, and look at every byte.

mod apns;
mod fcm;
pub mod keys;
mod pap;
mod settings;
mod webhook;
mod wns;

use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use axum::http::{HeaderMap, StatusCode};
use chrono::Utc;
use serde_json::Value;
use tempfile::TempDir;
use tocsin::outbound::config::Push;
use tocsin::outbound::{Message, Native, Outcome, Senders, SigningSecret};
use uuid::Uuid;

use crate::support::stand_in::{Reply, StandIn, reply};

const NOTIFICATION: &str = r#"{"notificationList":[{"nmsEventList":{"index":7,"link":[]}}]}"#;

/// A message that can be delivered for an hour.
fn message() -> Message<'static> {
    Message {
        id: Uuid::new_v4(),
        content_type: "application/json",
        body: NOTIFICATION,
        expires: Utc::now() + Duration::from_secs(3600),
    }
}

/// A notification of exactly so many bytes.
fn notification_of(bytes: usize) -> String {
    let (before, after) = (r#"{"a":""#, r#""}"#);
    format!("{before}{}{after}", "x".repeat(bytes - before.len() - after.len()))
}

/// A folder with files that settings name.
struct Files(TempDir);

impl Files {
    fn new() -> Files {
        Files(TempDir::new().unwrap())
    }

    fn put(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).unwrap_or_else(|| panic!("no {name}")).to_str().unwrap()
}

/// The fields of a form.
fn form(body: &[u8]) -> Vec<(String, String)> {
    url::form_urlencoded::parse(body).into_owned().collect()
}

/// Settings under which a server that hangs is soon given up.
fn impatient() -> Push {
    let mut push = Push { timeout_seconds: 1, ..Push::default() };
    push.webhook.timeout_seconds = 1;
    push
}

/// The kind of an outcome, for tables.
fn kind(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Delivered => "delivered",
        Outcome::Retry { .. } => "retry",
        Outcome::Gone { .. } => "gone",
        Outcome::Refused { .. } => "refused",
        Outcome::TooLarge => "too large",
    }
}

fn why(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Retry { why, .. } | Outcome::Gone { why } | Outcome::Refused { why } => why,
        other => panic!("{other:?}"),
    }
}

fn after(outcome: &Outcome) -> Option<Duration> {
    match outcome {
        Outcome::Retry { after, .. } => *after,
        other => panic!("{other:?}"),
    }
}

/// Checks that both forms of Retry-After are understood. `send` makes one attempt, answered with this status and value.
async fn obeys_retry_after(mut send: impl AsyncFnMut(StatusCode, String) -> Outcome) {
    for status in [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE] {
        assert_eq!(after(&send(status, "120".to_owned()).await), Some(Duration::from_secs(120)));
        let started = Instant::now();
        let hour = Duration::from_secs(3600);
        let waits = after(&send(status, httpdate::fmt_http_date(SystemTime::now() + hour)).await).unwrap();
        assert!(waits <= hour && waits + started.elapsed() + Duration::from_secs(1) >= hour, "{waits:?}");
    }
}
