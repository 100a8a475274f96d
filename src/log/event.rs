//! What an event is.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use chrono::{DateTime, Datelike, SecondsFormat, Timelike, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::base::Format;
use crate::base::ids::{ChannelId, Stream, SubscriptionId};

/// A moment of a stream, as clients see it: the restartToken, RFC 3339 with microseconds in UTC.
pub fn token(at: DateTime<Utc>) -> String {
    let mut out = String::with_capacity(27);
    write_token(&mut out, at);
    out
}

/// Writes a [`token`]. By hand, since every list has one: a formatter takes ten times as long.
pub fn write_token(out: &mut String, at: DateTime<Utc>) {
    let year = match u32::try_from(at.year()) {
        Ok(year @ ..=9999) => year,
        _ => return out.push_str(&at.to_rfc3339_opts(SecondsFormat::Micros, true)),
    };
    // A leap second is the second before it, with more than a million microseconds.
    let (second, micros) = match at.nanosecond() / 1000 {
        micros @ 1_000_000.. => (at.second() + 1, micros - 1_000_000),
        micros => (at.second(), micros),
    };
    digits(out, year, 1000);
    for (before, number) in [('-', at.month()), ('-', at.day()), ('T', at.hour()), (':', at.minute()), (':', second)] {
        out.push(before);
        digits(out, number, 10);
    }
    out.push('.');
    digits(out, micros, 100_000);
    out.push('Z');
}

/// Writes a number with leading zeros; `unit`: of its first digit.
fn digits(out: &mut String, number: u32, mut unit: u32) {
    while unit > 0 {
        out.push(char::from(b'0' + (number / unit % 10) as u8));
        unit /= 10;
    }
}

/// One entry of the log.
#[derive(Debug)]
pub struct Event {
    /// The stream it belongs to.
    pub stream: Stream,
    /// Its place there: 1, 2, 3...
    pub seq: i64,
    /// What happened.
    pub kind: Kind,
    /// The object or folder it happened to.
    pub object_id: Option<i64>,
    /// When, strictly increasing within the stream.
    pub edited_at: DateTime<Utc>,
    /// JSON, as the database wrote it.
    data: Box<str>,
    /// In a box, since most events of a page are never asked for it.
    state: OnceLock<Box<ItemState>>,
    bodies: Bodies,
    /// With the attributes of their object; in a box, since few ask for them.
    detailed: OnceLock<Box<Bodies>>,
}

/// What notifications say of an event, in JSON and in XML.
type Bodies = [OnceLock<Option<String>>; 2];

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// An object was created; also what an application wrote under a kind of its own.
    ObjectCreated,
    /// Flags, folder or attributes changed.
    ObjectChanged,
    /// Deleted by a user.
    ObjectDeleted,
    /// Removed by policy.
    ObjectExpired,
    /// A folder was created.
    FolderCreated,
    /// It was renamed or moved.
    FolderChanged,
    /// Deleted by a user.
    FolderDeleted,
    /// Removed by policy.
    FolderExpired,
    /// The box's whole content was replaced.
    BoxReset,
    /// A subscription began to listen here.
    SubscriptionCreated,
    /// It will live longer.
    SubscriptionUpdated,
    /// It starts again from a restartToken.
    SubscriptionRepositioned,
    /// It ended, by its client or its time.
    SubscriptionEnded,
    /// A channel was created.
    ChannelCreated,
    /// A socket was opened for a channel: it supersedes all older ones.
    ChannelOpened,
    /// Nothing could be delivered to a channel for too long, or it was refused for good.
    ChannelDisabled,
    /// It is delivered to again.
    ChannelEnabled,
    /// An enabler posted a notification to a channel.
    ChannelNotified,
    /// A channel was deleted by its client.
    ChannelDeleted,
    /// A channel outlived its lifetime.
    ChannelExpired,
    /// A user is known from now on.
    InboxOpened,
    /// What a user wants of the inbox from now on.
    InboxPreferred,
    /// An event became a notification of a user.
    NotificationCreated,
    /// It was read.
    NotificationReaded,
    /// It was deleted.
    NotificationDeleted,
    /// A message was published to a room.
    RoomPublished,
    /// Something is held until its time, or no longer: nobody follows that.
    Deferred,
}

impl Kind {
    /// From the `kind` column. Kinds that are not ours are objects that applications made.
    pub fn parse(text: &str) -> Self {
        match text {
            "object.changed" => Kind::ObjectChanged,
            "object.deleted" => Kind::ObjectDeleted,
            "object.expired" => Kind::ObjectExpired,
            "folder.created" => Kind::FolderCreated,
            "folder.changed" => Kind::FolderChanged,
            "folder.deleted" => Kind::FolderDeleted,
            "folder.expired" => Kind::FolderExpired,
            "box.reset" => Kind::BoxReset,
            "subscription.created" => Kind::SubscriptionCreated,
            "subscription.updated" => Kind::SubscriptionUpdated,
            "subscription.repositioned" => Kind::SubscriptionRepositioned,
            "subscription.deleted" | "subscription.expired" => Kind::SubscriptionEnded,
            "channel.created" => Kind::ChannelCreated,
            "channel.opened" => Kind::ChannelOpened,
            "channel.disabled" => Kind::ChannelDisabled,
            "channel.enabled" => Kind::ChannelEnabled,
            "channel.notified" => Kind::ChannelNotified,
            "channel.deleted" => Kind::ChannelDeleted,
            "channel.expired" => Kind::ChannelExpired,
            "inbox.opened" => Kind::InboxOpened,
            "inbox.preferred" => Kind::InboxPreferred,
            "notification.created" => Kind::NotificationCreated,
            "notification.readed" => Kind::NotificationReaded,
            "notification.deleted" => Kind::NotificationDeleted,
            "room.published" => Kind::RoomPublished,
            "deferred.created" | "deferred.released" | "deferred.refused" | "deferred.cancelled" => Kind::Deferred,
            _ => Kind::ObjectCreated,
        }
    }

    /// Whether subscriptions of the box are told of it.
    pub fn is_notified(&self) -> bool {
        *self == Kind::BoxReset || self.is_of_object() || self.is_of_folder()
    }

    /// Whether it is delivered: to subscriptions of the box, to the channel that it was posted to, or to who listens to an
    /// inbox or a room.
    pub fn is_delivered(&self) -> bool {
        self.is_notified()
            || matches!(
                self,
                Kind::ChannelNotified
                    | Kind::NotificationCreated
                    | Kind::NotificationReaded
                    | Kind::InboxPreferred
                    | Kind::RoomPublished
            )
    }

    /// Whether it may end connections of a channel.
    pub fn is_of_connections(&self) -> bool {
        matches!(self, Kind::ChannelOpened | Kind::ChannelDeleted | Kind::ChannelExpired)
    }

    /// Whether it tells of an object.
    pub fn is_of_object(&self) -> bool {
        matches!(self, Kind::ObjectCreated | Kind::ObjectChanged | Kind::ObjectDeleted | Kind::ObjectExpired)
    }

    /// Whether it tells of a folder.
    pub fn is_of_folder(&self) -> bool {
        matches!(self, Kind::FolderCreated | Kind::FolderChanged | Kind::FolderDeleted | Kind::FolderExpired)
    }

    /// Whether it tells of a subscription rather than of the box's content.
    pub fn is_of_subscription(&self) -> bool {
        matches!(
            self,
            Kind::SubscriptionCreated
                | Kind::SubscriptionUpdated
                | Kind::SubscriptionRepositioned
                | Kind::SubscriptionEnded
        )
    }
}

/// An object or a folder after the event (before it, for a deletion): what a filter looks at.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ItemState {
    /// Name to value or array of values. As events have them: each value a text, or null for what has none.
    #[serde(deserialize_with = "attributes")]
    pub attributes: Map<String, Value>,
    /// Compared without case.
    pub flags: Vec<String>,
    /// Of an object: the id of its folder, 0 is the root folder.
    pub folder: i64,
    /// The path of that folder at the time, empty for the root folder; of a folder its own.
    pub path: String,
    /// Of a folder: its name.
    #[serde(deserialize_with = "lenient")]
    pub name: String,
    /// Of a folder: the id of the one it is in, 0 is the root folder.
    #[serde(deserialize_with = "lenient")]
    pub parent: i64,
    /// When it was stored; `None` in the event that stored it.
    pub stored_at: Option<DateTime<Utc>>,
    /// The client's or another transport's id.
    #[serde(deserialize_with = "lenient")]
    pub correlation_id: Option<String>,
    /// A weaker, probabilistic id.
    #[serde(deserialize_with = "lenient")]
    pub correlation_tag: Option<String>,
    /// Of an object: what filters look at in its payload.
    #[serde(deserialize_with = "lenient")]
    pub payload: PayloadTexts,
}

/// Of an [`ItemState`], what notifications tell: to be had without the attributes and texts, which only filters look at.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Told {
    /// As [`ItemState::flags`].
    pub flags: Vec<String>,
    /// As [`ItemState::folder`].
    pub folder: i64,
    /// As [`ItemState::name`].
    #[serde(deserialize_with = "lenient")]
    pub name: String,
    /// As [`ItemState::parent`].
    #[serde(deserialize_with = "lenient")]
    pub parent: i64,
    /// As [`ItemState::correlation_id`].
    #[serde(deserialize_with = "lenient")]
    pub correlation_id: Option<String>,
    /// As [`ItemState::correlation_tag`].
    #[serde(deserialize_with = "lenient")]
    pub correlation_tag: Option<String>,
}

/// The texts of a payload's parts.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct PayloadTexts {
    texts: Vec<Value>,
}

impl PayloadTexts {
    /// One by one.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.texts.iter().filter_map(Value::as_str)
    }
}

/// What writers of the log may give as they like: if it cannot be understood, it is as if it were not there.
fn lenient<'de, D: Deserializer<'de>, T: Default + DeserializeOwned>(given: D) -> Result<T, D::Error> {
    let given = <&RawValue>::deserialize(given)?;
    Ok(serde_json::from_str(given.get()).unwrap_or_default())
}

/// Attributes with their values as the texts that the database sees in them: numbers with all their digits.
fn attributes<'de, D: Deserializer<'de>>(given: D) -> Result<Map<String, Value>, D::Error> {
    let given = BTreeMap::<String, &RawValue>::deserialize(given)?;
    Ok(given.into_iter().map(|(name, value)| (name, texts(value.get()))).collect())
}

fn texts(value: &str) -> Value {
    match value.as_bytes().first() {
        Some(b'[') => {
            let values: Vec<&RawValue> = serde_json::from_str(value).unwrap_or_default();
            Value::Array(values.into_iter().map(|value| text(value.get())).collect())
        }
        _ => text(value),
    }
}

fn text(value: &str) -> Value {
    match value.as_bytes().first() {
        Some(b'"') => serde_json::from_str(value).unwrap_or_default(),
        Some(b'[' | b'{' | b'n') | None => Value::Null,
        Some(_) => Value::String(value.to_owned()),
    }
}

/// What an event of a subscription says.
#[derive(Debug, Deserialize)]
pub struct SubscriptionRef {
    id: String,
    channel: String,
}

impl SubscriptionRef {
    /// The subscription.
    pub fn id(&self) -> SubscriptionId {
        SubscriptionId::from_text(&self.id)
    }

    /// The channel it delivers to.
    pub fn channel(&self) -> ChannelId {
        ChannelId::from_text(&self.channel)
    }
}

/// What a `channel.opened` event says.
#[derive(Debug, Deserialize)]
pub struct Opened {
    /// The connection that is the channel's from now on.
    pub connection: String,
}

/// What a `channel.notified` event says: a notification as an enabler posted it.
#[derive(Debug, Deserialize)]
pub struct Notified {
    /// `JSON` or `XML`.
    pub format: String,
    /// The notification, in that format.
    pub body: String,
}

impl Event {
    /// Puts an event together from its columns.
    pub fn new(
        stream: Stream,
        seq: i64,
        kind: Kind,
        object_id: Option<i64>,
        edited_at: DateTime<Utc>,
        data: impl Into<Box<str>>,
    ) -> Self {
        let data = data.into();
        let (state, bodies, detailed) = (OnceLock::new(), Bodies::default(), OnceLock::new());
        Event { stream, seq, kind, object_id, edited_at, data, state, bodies, detailed }
    }

    /// Bytes of its data.
    pub fn data_bytes(&self) -> usize {
        self.data.len()
    }

    /// The restartToken right after this event.
    pub fn token(&self) -> String {
        token(self.edited_at)
    }

    /// The item's state, parsed once however many ask. Data that cannot be understood is an empty object: an event
    /// that is in the log must never stop delivery.
    pub fn state(&self) -> &ItemState {
        self.state.get_or_init(|| serde_json::from_str(&self.data).unwrap_or_default())
    }

    /// What notifications tell of the item; as if nothing were known of it when the data cannot be understood.
    pub fn told(&self) -> Told {
        serde_json::from_str(&self.data).unwrap_or_default()
    }

    /// What an event of a subscription is about.
    pub fn subscription(&self) -> Option<SubscriptionRef> {
        serde_json::from_str(&self.data).ok()
    }

    /// Its data, in a form of the caller's; `None` when they are not of that form.
    pub fn read<'a, T: Deserialize<'a>>(&'a self) -> Option<T> {
        serde_json::from_str(&self.data).ok()
    }

    /// What a `channel.opened` says.
    pub fn opened(&self) -> Option<Opened> {
        serde_json::from_str(&self.data).ok()
    }

    /// What a `channel.notified` says.
    pub fn notified(&self) -> Option<Notified> {
        serde_json::from_str(&self.data).ok()
    }

    /// The event's notification body in a format, with or without attributes, made once by whoever asks first and shared
    /// by all.
    pub fn body(&self, format: Format, attributes: bool, make: impl FnOnce(&Event) -> Option<String>) -> Option<&str> {
        let bodies = if attributes { self.detailed.get_or_init(Box::default) } else { &self.bodies };
        let body = match format {
            Format::Json => &bodies[0],
            Format::Xml => &bodies[1],
        };
        body.get_or_init(|| make(self)).as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_token_is_rfc_3339_with_microseconds(
            seconds in -70_000_000_000_i64..300_000_000_000, nanos in 0_u32..1_000_000_000,
        ) {
            let at = DateTime::from_timestamp(seconds, nanos).unwrap();
            prop_assert_eq!(token(at), at.to_rfc3339_opts(SecondsFormat::Micros, true));
        }
    }

    #[test]
    fn a_leap_second_has_its_own_token() {
        let at = DateTime::from_timestamp(1_483_228_799, 1_500_000_000).unwrap();
        assert_eq!(token(at), at.to_rfc3339_opts(SecondsFormat::Micros, true));
        assert_eq!(token(at), "2016-12-31T23:59:60.500000Z");
    }
}
