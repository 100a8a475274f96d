//! A channel: where a client receives. Its type, its lifetime, the URLs it is reached by, and, for those connected to
//! this node, what is waiting for them.

pub mod confirm;
pub mod cursor;
pub mod hub;
pub mod polls;
pub mod queue;
pub mod rate;
pub mod rows;
pub mod secret;

use chrono::{DateTime, Utc};

use crate::base::ids::{ChannelId, UserId};

/// The channel types of the specification (5.2.3.1). Names are compared without case.
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
}

impl ChannelType {
    /// Every type, as the specification spells it.
    pub const ALL: [(ChannelType, &'static str); 4] = [
        (ChannelType::LongPolling, "LongPolling"),
        (ChannelType::OMAPush, "OMAPush"),
        (ChannelType::WebSockets, "WebSockets"),
        (ChannelType::NativeChannel, "NativeChannel"),
    ];
    /// What this server offers.
    pub const SUPPORTED: [ChannelType; 2] = [ChannelType::LongPolling, ChannelType::WebSockets];

    /// From its name, whatever its case.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, spelling)| spelling.eq_ignore_ascii_case(name)).map(|(kind, _)| *kind)
    }

    /// As the specification spells it.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(kind, _)| *kind == self).map_or("", |(_, spelling)| spelling)
    }
}

/// A channel as it is stored.
#[derive(Debug, Clone)]
pub struct Channel {
    /// Its id.
    pub id: ChannelId,
    /// Whose it is.
    pub user: UserId,
    /// How it delivers.
    pub channel_type: ChannelType,
    /// Most lists in one notificationList.
    pub max_notifications: u32,
    /// Longest that a polling client lets a pending notification wait, in seconds (5.2.2.6).
    pub max_wait_seconds: u32,
    /// Echoed to the client.
    pub client_correlator: Option<String>,
    /// Echoed to the client.
    pub application_tag: Option<String>,
    /// Lifetime as granted last, in seconds.
    pub lifetime_seconds: u32,
    /// When it ends, by the database's clock.
    pub expires_at: DateTime<Utc>,
}
