//! Channels of the type WebSockets.

use std::time::Duration;

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Client, Result, member, socket};
use crate::wire::urls::segment;

/// A channel: notifications of all its subscriptions come through its one socket.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Channel {
    /// The channel itself.
    #[serde(rename = "resourceURL")]
    pub resource_url: String,
    /// Where notifications for it are posted: the notifyURL of subscriptions.
    #[serde(rename = "callbackURL")]
    pub callback_url: String,
    /// How long it lives without a sign of life, in seconds.
    #[serde(rename = "channelLifetime")]
    pub lifetime_seconds: u32,
    channel_data: ChannelData,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct ChannelData {
    #[serde(rename = "channelURL")]
    channel_url: String,
}

impl Channel {
    /// Where its socket is opened. Whoever knows it may do so.
    pub fn channel_url(&self) -> &str {
        &self.channel_data.channel_url
    }
}

impl Client {
    /// Creates a channel of the type WebSockets for a user; the server chooses its lifetime unless one is given.
    ///
    /// # Errors
    /// Besides those of any request, refused with 403 for another user's, and when the user has too many.
    pub async fn create_channel(&self, user: &str, lifetime: Option<Duration>) -> Result<Channel> {
        let mut wish = json!({ "channelType": "WebSockets" });
        if let Some(lifetime) = lifetime {
            wish["channelLifetime"] = json!(lifetime.as_secs());
        }
        let target = format!("/notificationchannel/v1/{}/channels", segment(user));
        self.ask(Method::POST, &target, Some(json!({ "notificationChannel": wish }))).await.and_then(read)
    }

    /// A channel as it is now; `None` when it is no longer there.
    ///
    /// # Errors
    /// Those of any request.
    pub async fn channel(&self, url: &str) -> Result<Option<Channel>> {
        self.find(url).await?.map(read).transpose()
    }

    /// Opens a channel's socket, once: [`Client::listen`] keeps one open.
    ///
    /// # Errors
    /// Refused with 404 when the channel is no longer there, and with 401 or 403 for its token.
    pub async fn open(&self, channel: &Channel) -> Result<socket::Socket> {
        socket::Socket::open(self, channel).await
    }
}

fn read(answer: Value) -> Result<Channel> {
    member(answer, "notificationChannel")
}
