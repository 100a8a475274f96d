//! The Notification Channel API, through HTTP and WebSockets.

mod callbacks;
mod channel;
mod channels;
mod lifetime;
mod polling;
mod socket;

/// The path of a user's channels; the id is taken as it stands.
fn channels_of(user: &str) -> String {
    format!("/notificationchannel/v1/{user}/channels")
}

/// A field that is a text.
fn text<'a>(resource: &'a serde_json::Value, field: &str) -> &'a str {
    resource[field].as_str().unwrap()
}
