//! What somebody is told who listens to an inbox or a room, instead of subscribing to a box. No I/O.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::base::Format;
use crate::base::ids::UserId;
use crate::inbox::Preferences;
use crate::log::{Event, Kind};
use crate::wire::inbox::{self as wire, Told};

/// Who listens to what, and in which way it is delivered.
#[derive(Debug)]
pub enum Listener {
    /// To an inbox: its user.
    Inbox {
        /// What the user wants...
        wanted: Preferences,
        /// ...since the event of this seq.
        wanted_since: i64,
        /// The way of delivery.
        via: &'static str,
        /// Something is new, and from whom: no more.
        minimal: bool,
    },
    /// To a room: a user, or nobody in particular.
    Room {
        /// Who.
        user: Option<UserId>,
    },
}

/// Whom a room's message is for.
#[derive(Deserialize)]
struct Recipients {
    recipients: Option<Vec<String>>,
    #[serde(default)]
    silent: bool,
}

impl Listener {
    /// The user wants something else from this event on.
    pub fn learn(&mut self, event: &Event) {
        let Listener::Inbox { wanted, wanted_since, .. } = self else { return };
        if event.kind == Kind::InboxPreferred && event.seq > *wanted_since {
            *wanted = event.read().unwrap_or_default();
            *wanted_since = event.seq;
        }
    }

    /// What is told of an event, if anything is.
    pub fn body<'a>(&self, event: &'a Event) -> Option<Cow<'a, str>> {
        match (self, &event.kind) {
            (Listener::Inbox { wanted, via, minimal, .. }, Kind::NotificationCreated | Kind::NotificationReaded) => {
                let told: Told = event.read()?;
                if !is_wanted(&told, wanted, via) {
                    None
                } else if *minimal {
                    (event.kind == Kind::NotificationCreated).then(|| wire::minimal(event, &told).into())
                } else {
                    event.body(Format::Json, false, |event| Some(wire::action(event, &told))).map(Cow::from)
                }
            }
            (Listener::Room { user }, Kind::RoomPublished) => {
                let message: Recipients = event.read()?;
                let is_for = |who: &UserId| message.recipients.iter().flatten().any(|one| one == who.as_str());
                if message.silent || message.recipients.is_some() && !user.as_ref().is_some_and(is_for) {
                    return None;
                }
                let written = |event: &Event| Some(wire::room_message(event, &event.read::<Map<String, Value>>()?));
                event.body(Format::Json, false, written).map(Cow::from)
            }
            _ => None,
        }
    }

    /// What is told when the log no longer has what was asked for.
    pub fn reset(&self) -> &'static str {
        match self {
            Listener::Inbox { minimal: true, .. } => "[]",
            _ => r#"{"action":"reset"}"#,
        }
    }
}

/// Whether a notification is delivered in a way: neither its sender nor its user has said otherwise.
fn is_wanted(told: &Told, wanted: &Preferences, via: &str) -> bool {
    let among =
        |list: &Option<Vec<String>>, name: &str| list.as_ref().is_none_or(|list| list.iter().any(|one| one == name));
    !told.silent
        && among(&told.channels, via)
        && among(&wanted.channels, via)
        && among(&wanted.types, told.event_type())
}
