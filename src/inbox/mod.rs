//! Inboxes: an event that happened once is a notification for each user in its audience. Each inbox is a stream of the
//! log; what can be listed are projections of it. And what is held until its time.

pub mod rows;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;

use crate::base::Error;
use crate::base::ids::UserId;

/// There is no such notification of the user, or no longer.
pub const NO_NOTIFICATION: Error = Error::NotFound { what: "notification" };
/// There is no such target of the user, or no longer.
pub const NO_TARGET: Error = Error::NotFound { what: "target" };
/// Nothing waits under this id, or no longer.
pub const NOT_DEFERRED: Error = Error::NotFound { what: "deferred" };

/// A declared type of events.
#[derive(Debug, Clone)]
pub struct EventType {
    /// Chosen by the database.
    pub id: i32,
    /// By which events name it.
    pub name: String,
    /// For people.
    pub title: String,
    /// For people.
    pub description: String,
}

/// A notification as it is stored.
#[derive(Debug, Clone)]
pub struct Notification {
    /// Rises within an inbox.
    pub id: i64,
    /// Whose.
    pub user: UserId,
    /// When it was read.
    pub readed: Option<DateTime<Utc>>,
    /// The event, as the log has it.
    pub event: Value,
}

/// What a user wants; `None`: everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Preferences {
    /// Names of event types.
    pub types: Option<Vec<String>>,
    /// Ways of delivery.
    pub channels: Option<Vec<String>>,
}

/// Which notifications are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readed {
    /// All.
    Any,
    /// Those that were read, or those that were not.
    Is(bool),
    /// Those read since then.
    Since(DateTime<Utc>),
}

/// Where a page of the list begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The newest first, without so many.
    Offset(u32),
    /// The newest first, of those with a smaller id.
    Before(i64),
    /// The oldest first, of those with a larger id.
    After(i64),
}

/// A page of the list.
#[derive(Debug)]
pub struct Page {
    /// How many there are in all.
    pub count: i64,
    /// Those of the page.
    pub notifications: Vec<Notification>,
}

/// When something is released.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Due {
    /// At once.
    Now,
    /// At this moment.
    At(DateTime<Utc>),
    /// So many seconds from now, by the database's clock.
    In(f64),
}

/// When, and whether then.
#[derive(Debug, Clone, PartialEq)]
pub struct Release {
    /// When.
    pub due: Due,
    /// What must hold at that time, as the database checks it.
    pub condition: Option<Value>,
}

impl Release {
    /// Whether it is held back at all.
    pub fn is_deferred(&self) -> bool {
        self.due != Due::Now || self.condition.is_some()
    }
}

/// What happened, and whom it is told.
#[derive(Debug)]
pub struct NewEvent {
    /// Name of a declared type.
    pub event_type: String,
    /// For people.
    pub title: String,
    /// For people.
    pub message: String,
    /// For programs.
    pub data: Option<Value>,
    /// Who did it.
    pub author: Option<String>,
    /// Whom it is for, besides the group.
    pub users: Vec<String>,
    /// A declared group.
    pub group: Option<String>,
    /// All users that are known.
    pub everybody: bool,
    /// In which ways it may be delivered; `None`: in all.
    pub channels: Option<Vec<String>>,
    /// It is stored and listed only.
    pub silent: bool,
    /// When it is released.
    pub release: Release,
    /// Who can cancel it until then; `None`: its author.
    pub owner: Option<String>,
}

/// A message for a room.
#[derive(Debug)]
pub struct NewRoomMessage {
    /// Name of the room.
    pub room: String,
    /// Its texts, by the names of [`ROOM_TEXTS`].
    pub texts: [Option<String>; ROOM_TEXTS.len()],
    /// It is stored only.
    pub silent: bool,
    /// For programs.
    pub extra_data: Option<Value>,
    /// Who published it.
    pub author: Option<String>,
    /// Whom alone it is for; empty: everybody in the room.
    pub recipients: Vec<String>,
    /// In which ways recipients may be told; `None`: in all.
    pub channels: Option<Vec<String>>,
    /// When it is released.
    pub release: Release,
    /// Who can cancel it until then; `None`: its author.
    pub owner: Option<String>,
}

/// The texts that a room's message may have, in the order of `tocsin.publish_to_room`.
pub const ROOM_TEXTS: [&str; 7] =
    ["source", "source_display_name", "category", "action", "obj", "url", "short_description"];

/// What waits for its time.
#[derive(Debug)]
pub struct Deferred {
    /// By which it can be cancelled.
    pub id: i64,
    /// `event`, `room` or `callback`.
    pub what: String,
    /// What will be done.
    pub request: Value,
    /// What must hold then.
    pub condition: Option<Value>,
    /// When.
    pub due_at: DateTime<Utc>,
    /// Since when it waits.
    pub created_at: DateTime<Utc>,
}

/// Where a client begins to listen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Since {
    /// After all there is.
    Latest,
    /// With all that is kept.
    All,
    /// After a moment.
    At(DateTime<Utc>),
    /// So many seconds ago.
    Ago(f64),
    /// After the message with this id.
    Id(i64),
}
