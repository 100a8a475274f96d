//! What whoever runs the server sees of it: which boxes, channels, subscriptions and nodes there are, and what is sent in
//! vain. It tells nothing of what is in them, and no secrets.

pub mod rows;

use chrono::{DateTime, Utc};
use url::Url;

use crate::base::ids::{BoxName, ChannelId, SubscriptionId};
use crate::channel::{Disabled, Transport};

/// Entries of a page, unless the client says otherwise.
pub const PAGE_DEFAULT: u32 = 50;
/// Most entries of a page.
pub const PAGE_MAX: u32 = 200;
/// Where the counts of an entry end: this many says that there may be more.
pub const COUNT_MAX: i64 = 1001;

/// A page in the order of names or ids.
#[derive(Debug)]
pub struct Page<T> {
    /// At most as many as were asked for.
    pub entries: Vec<T>,
    /// Whether there are more behind them.
    pub more: bool,
}

/// A box.
#[derive(Debug)]
pub struct BoxFigures {
    /// Its name.
    pub name: BoxName,
    /// How many events there were: the seq of the newest.
    pub events: i64,
    /// When the newest was written.
    pub last_event_at: DateTime<Utc>,
    /// Objects in it, up to [`COUNT_MAX`].
    pub objects: i64,
    /// Subscriptions to it, up to [`COUNT_MAX`].
    pub subscriptions: i64,
}

/// A channel.
#[derive(Debug)]
pub struct ChannelFigures {
    /// Its id.
    pub id: ChannelId,
    /// The user's id; for what a subscription or an inbox brings with it, the name of the stream.
    pub owner: String,
    /// How it delivers.
    pub transport: Transport,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
    /// Why nothing is delivered.
    pub disabled: Option<Disabled>,
    /// Its subscriptions, up to [`COUNT_MAX`].
    pub subscriptions: i64,
}

/// A subscription to a box.
#[derive(Debug)]
pub struct SubscriptionFigures {
    /// Its id.
    pub id: SubscriptionId,
    /// The box.
    pub of_box: BoxName,
    /// Where it delivers.
    pub channel: ChannelId,
    /// Who made it, if callers are told apart.
    pub subscriber: Option<String>,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
    /// The index of the next list.
    pub next_index: i64,
    /// Events since what was confirmed; not all of them need be wanted.
    pub behind: i64,
    /// When something was confirmed last.
    pub confirmed_at: Option<DateTime<Utc>>,
}

/// A channel that is pushed or posted to.
#[derive(Debug)]
pub struct SenderFigures {
    /// Its id.
    pub channel: ChannelId,
    /// As of [`ChannelFigures::owner`].
    pub owner: String,
    /// How it delivers.
    pub transport: Transport,
    /// The node that has the lease.
    pub node: Option<String>,
    /// Events that may have to be sent, as of [`SubscriptionFigures::behind`].
    pub waiting: i64,
    /// Since when every attempt has failed.
    pub failing_since: Option<DateTime<Utc>>,
    /// Failures in a row.
    pub attempts: i32,
    /// Why the last one failed.
    pub last_error: Option<String>,
    /// When the next attempt is due.
    pub retry_at: Option<DateTime<Utc>>,
    /// Since when nothing is tried any more.
    pub disabled_at: Option<DateTime<Utc>>,
}

/// Whether a node follows the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeState {
    /// It reads the log again and again.
    Awake,
    /// It waits to be rung.
    Asleep,
    /// It is not connected, and holds leases until they run out.
    Lost,
}

/// A node on this database.
#[derive(Debug)]
pub struct NodeFigures {
    /// Its id.
    pub id: String,
    /// The version of the program; `None` when it is lost.
    pub version: Option<String>,
    /// Where it listens.
    pub address: Option<String>,
    /// Since when it has followed the log without interruption.
    pub since: Option<DateTime<Utc>>,
    /// Whether it follows the log.
    pub state: NodeState,
    /// Channels that it sends to, up to [`COUNT_MAX`].
    pub leases: i64,
}

/// Where a channel is sent to, as far as that is no secret: of a URL the origin only.
pub fn destination(transport: &Transport) -> Option<String> {
    match transport {
        Transport::Webhooks { webhook_url: url } | Transport::NotifyUrl { notify_url: url } => {
            Url::parse(url).ok().map(|url| url.origin().ascii_serialization())
        }
        _ => None,
    }
}
