//! The Notification Channel API (section 6).

pub mod channel;
pub mod channels;
pub mod lifetime;
pub mod poll;
pub mod socket;

use axum::Router;
use axum::routing::get;

use super::state::App;
use super::{collection, only};

/// Below `/notificationchannel/v1/{userId}/channels`.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/", collection(channels::list, channels::create))
        .route("/{channelId}", only("GET, DELETE", get(channel::read).delete(channel::delete)))
        .route("/{channelId}/channelLifetime", only("GET, PUT", get(lifetime::read).put(lifetime::refresh)))
}
