//! A channel: where a client receives. Its type, its lifetime, the URLs it is reached by, and, for those connected to
//! this node, what is waiting for them.

pub mod confirm;
pub mod cursor;
pub mod hub;
pub mod keyring;
pub mod large_polls;
pub mod leases;
pub mod polls;
pub mod queue;
pub mod rows;
pub mod secret;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::base::ids::{ChannelId, UserId};
use crate::base::{Error, Format};
use crate::outbound::{Native, ways};

/// There is no such channel, or no longer.
pub const NO_CHANNEL: Error = Error::NotFound { what: "notificationChannel" };

/// The channel types of the specification (5.2.3.1), and webhooks. Names are compared without case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelType {
    /// The client polls.
    LongPolling,
    /// Delivery by OMA Push.
    OMAPush,
    /// The client opens a WebSocket.
    WebSockets,
    /// Delivery by the push service of the device's platform.
    NativeChannel,
    /// We post to a URL of the client: an extension.
    Webhooks,
}

impl ChannelType {
    /// Every type, as the specification spells it.
    pub const ALL: [(ChannelType, &'static str); 5] = [
        (ChannelType::LongPolling, "LongPolling"),
        (ChannelType::OMAPush, "OMAPush"),
        (ChannelType::WebSockets, "WebSockets"),
        (ChannelType::NativeChannel, "NativeChannel"),
        (ChannelType::Webhooks, "webhooks"),
    ];
    /// From its name, whatever its case.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, spelling)| spelling.eq_ignore_ascii_case(name)).map(|(kind, _)| *kind)
    }

    /// As the specification spells it.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(kind, _)| *kind == self).map_or("", |(_, spelling)| spelling)
    }
}

/// How notifications that are too many or too large for a push are fetched (5.2.2.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LargeDataPolling {
    /// Most lists in one answer; `None` until policy has said.
    pub max_polling_notifications: Option<u32>,
}

/// A channel's type and what is particular to it (5.2.2.5 to 5.2.2.13).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all_fields = "camelCase")]
pub enum Transport {
    /// 5.2.2.6.
    LongPolling {
        /// Longest time a pending notification may wait for others, in seconds.
        max_wait_time: u32,
    },
    /// 5.2.2.7.
    OMAPush {
        /// The application on the handset.
        app_id: Option<String>,
        /// `None`: not asked for.
        large_data_polling: Option<LargeDataPolling>,
    },
    /// 5.2.2.10.
    WebSockets {
        /// The client answers connChecks of the server (`x-connCheckRole`, an extension; Appendix I.3).
        #[serde(default)]
        checked_by_server: bool,
    },
    /// 5.2.2.13.
    NativeChannel {
        /// Whose push service.
        channel_sub_type: Native,
        /// The device's address there.
        registration_token: String,
        /// Of the push service's protocol.
        channel_sub_type_version: String,
        /// `None`: not asked for.
        large_data_polling: Option<LargeDataPolling>,
    },
    /// An extension.
    Webhooks {
        /// Where to post.
        webhook_url: String,
    },
    /// No channel of the API: what a subscription brings with it that delivers to a URL of its client (spec/nms 1.6).
    /// It lives as long as that subscription, and nobody else knows of it.
    NotifyUrl {
        /// Where to post, each nmsEventList by itself.
        notify_url: String,
    },
    /// No channel of the API: a way in which a user wants to be told of notifications. It lives until its user deletes it,
    /// or nobody is there any more.
    Inbox {
        /// The name of the way.
        way: String,
        /// Where on it.
        target: Value,
        /// It tells what comes after this seq of the inbox...
        from: i64,
        /// ...and this moment.
        at: DateTime<Utc>,
    },
}

impl Transport {
    /// How what is too much for a push is fetched, if the client can do that.
    pub fn large_data_polling(&self) -> Option<LargeDataPolling> {
        match self {
            Transport::OMAPush { large_data_polling, .. } | Transport::NativeChannel { large_data_polling, .. } => {
                *large_data_polling
            }
            _ => None,
        }
    }

    /// As metrics call it.
    pub fn label(&self) -> &'static str {
        match self {
            Transport::LongPolling { .. } => "polling",
            Transport::OMAPush { .. } => "oma_push",
            Transport::WebSockets { .. } => "websocket",
            Transport::NativeChannel { channel_sub_type: Native::Gcm, .. } => "fcm",
            Transport::NativeChannel { channel_sub_type: Native::Apns, .. } => "apns",
            Transport::NativeChannel { channel_sub_type: Native::Wns, .. } => "wns",
            Transport::Webhooks { .. } => "webhook",
            Transport::NotifyUrl { .. } => "notify_url",
            Transport::Inbox { way, .. } => ways::way(way).map_or("none", |way| way.name()),
        }
    }

    /// Its type; `None` for what is no channel of the API.
    pub fn channel_type(&self) -> Option<ChannelType> {
        match self {
            Transport::LongPolling { .. } => Some(ChannelType::LongPolling),
            Transport::OMAPush { .. } => Some(ChannelType::OMAPush),
            Transport::WebSockets { .. } => Some(ChannelType::WebSockets),
            Transport::NativeChannel { .. } => Some(ChannelType::NativeChannel),
            Transport::Webhooks { .. } => Some(ChannelType::Webhooks),
            Transport::NotifyUrl { .. } | Transport::Inbox { .. } => None,
        }
    }
}

/// How a channel delivers, as granted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Settings {
    /// Most lists in one notificationList.
    pub max_notifications: u32,
    /// The way there.
    #[serde(flatten)]
    pub transport: Transport,
}

/// Why nothing is delivered to a channel.
#[derive(Debug, Clone)]
pub struct Disabled {
    /// Since when.
    pub at: DateTime<Utc>,
    /// What happened.
    pub why: String,
}

/// A channel as it is stored.
#[derive(Debug, Clone)]
pub struct Channel {
    /// Its id.
    pub id: ChannelId,
    /// Whose it is.
    pub user: UserId,
    /// How it delivers.
    pub settings: Settings,
    /// What its client writes and reads.
    pub format: Format,
    /// Echoed to the client.
    pub client_correlator: Option<String>,
    /// Echoed to the client.
    pub application_tag: Option<String>,
    /// Lifetime as granted last, in seconds.
    pub lifetime_seconds: u32,
    /// When it ends, by the database's clock.
    pub expires_at: DateTime<Utc>,
    /// Nothing is delivered, until its client refreshes it.
    pub disabled: Option<Disabled>,
}
