//! The Notification Channel API, through HTTP and WebSockets.

mod callbacks;
mod channel;
mod channels;
mod examples;
mod formats;
mod keys;
mod lifetime;
mod nodes;
mod polling;
mod push;
mod socket;
pub mod webhooks;

use reqwest::Method;

use crate::support::client::Answer;
use crate::support::server::Server;

const JSON: (&str, &str) = ("content-type", "application/json");

async fn post_text(server: &Server, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    server.api.send(Method::POST, path, headers, Some(body.to_owned())).await
}

/// The path of a user's channels; the id is taken as it stands.
fn channels_of(user: &str) -> String {
    format!("/notificationchannel/v1/{user}/channels")
}

/// A field that is a text.
fn text<'a>(resource: &'a serde_json::Value, field: &str) -> &'a str {
    resource[field].as_str().unwrap()
}
