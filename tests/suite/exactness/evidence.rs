//! What is held against each other: what the log has, what writers know, what clients saw.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::Value;

/// An event as the log has it at the end.
#[derive(Debug, Clone)]
pub struct Entry {
    pub seq: i64,
    pub kind: String,
    pub object_id: Option<i64>,
    pub at: DateTime<Utc>,
    pub data: Value,
}

impl Entry {
    /// Whether subscriptions are told of it.
    pub fn is_notified(&self) -> bool {
        !self.kind.starts_with("subscription.") && !self.kind.starts_with("channel.")
    }

    /// By what the writer of this event knows it.
    pub fn key(&self, stream: &str) -> String {
        match self.kind.as_str() {
            "object.deleted" | "object.expired" => end_key(stream, self.object_id.unwrap_or(0)),
            _ => write_key(stream, self.data["attributes"]["TextContent"].as_str().unwrap_or("(no text)")),
        }
    }
}

/// The key of an event that gave an object a text, which is never given twice.
pub fn write_key(stream: &str, text: &str) -> String {
    format!("{stream} {text}")
}

/// The key of an event that ended an object.
pub fn end_key(stream: &str, object_id: i64) -> String {
    format!("{stream} end of object {object_id}")
}

/// All streams of boxes.
pub type Log = BTreeMap<String, Vec<Entry>>;

/// How a transaction ended, as far as its writer knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Committed,
    RolledBack,
    /// The connection broke during the commit: all of it is in the log, or nothing.
    Unknown,
}

/// What one transaction wrote, by keys.
#[derive(Debug)]
pub struct Transaction {
    pub name: String,
    pub outcome: Outcome,
    pub writes: Vec<String>,
    /// Rolled back to a savepoint.
    pub undone: Vec<String>,
}

/// Where a subscription starts.
#[derive(Debug, Clone, Copy)]
pub enum Start {
    /// After the event that created it.
    AfterSeq(i64),
    /// After the restartToken it asked for.
    AfterToken(DateTime<Utc>),
}

/// A subscription as the log has it.
#[derive(Debug)]
pub struct Subscription {
    /// Its resourceURL, which lists name in their link.
    pub url: String,
    /// The URL of its box.
    pub box_url: String,
    pub stream: String,
    pub start: Start,
}

impl Subscription {
    /// What it must be told, in order.
    pub fn expected<'a>(&self, log: &'a Log) -> Vec<&'a Entry> {
        let wanted = |entry: &&Entry| {
            let after = match self.start {
                Start::AfterSeq(seq) => entry.seq > seq,
                Start::AfterToken(token) => entry.at > token,
            };
            after && entry.is_notified()
        };
        log.get(&self.stream).map(|entries| entries.iter().filter(wanted).collect()).unwrap_or_default()
    }
}

/// An nmsEventList as a client saw it.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The client's sockets are numbered. (So is what comes in the place of sockets: see [`Way`](super::plan::Way).)
    pub socket: u32,
    pub index: i64,
    /// All of it.
    pub list: String,
    /// How many lists of this subscription may have got lost before, for good: of polls only, see
    /// [`Notes::answer_lost`](super::clients::Notes::answer_lost).
    pub may_miss: i64,
}

/// Everything.
#[derive(Debug, Default)]
pub struct Evidence {
    pub log: Log,
    pub transactions: Vec<Transaction>,
    /// With what was seen of each, in the order of arrival.
    pub subscriptions: Vec<(Subscription, Vec<Seen>)>,
}
