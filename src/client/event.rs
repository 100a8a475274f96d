//! What arrives: lists of notifications.

use std::fmt;

use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

/// A notificationList: what came in one frame. It is displayed as the JSON that it came as.
#[derive(Debug, Clone, Default)]
pub struct NotificationList {
    /// The notifications, in their order.
    pub notifications: Vec<Notification>,
}

/// A notification as it came, and what it says.
#[derive(Debug, Clone)]
pub struct Notification {
    /// Its JSON, to the letter.
    pub raw: Box<RawValue>,
    /// What happened in a box; `None` for what somebody has posted to the channel's callbackURL, which can be anything.
    pub events: Option<EventList>,
}

/// An nmsEventList: lists of a subscription are numbered, without gaps.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct EventList {
    /// Its number.
    pub index: i64,
    /// Keep it: who subscribes with it goes on after this list.
    pub restart_token: String,
    /// What happened.
    #[serde(rename = "nmsEvent", default)]
    pub events: Vec<Event>,
    #[serde(default)]
    link: Vec<Link>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Link {
    rel: String,
    href: String,
}

/// What happened to one object or folder. [`Event::ResetBox`] says that what came before is no longer known: read the box anew.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// An object was created, or its flags or attributes changed.
    ChangedObject(Item),
    /// An object was deleted.
    DeletedObject(Item),
    /// An object has expired.
    ExpiredObject(Item),
    /// A folder was created, renamed or moved.
    ChangedFolder(Item),
    /// A folder was deleted.
    DeletedFolder(Item),
    /// A folder has expired.
    ExpiredFolder(Item),
    /// What came before is no longer known: read the box anew.
    ResetBox,
    /// A kind that this client does not know.
    Other(Value),
}

/// An object or a folder, as far as an event tells of it.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[non_exhaustive]
pub struct Item {
    /// Itself.
    #[serde(rename = "resourceURL")]
    pub resource_url: String,
    /// The folder that it is in.
    pub parent_folder: Option<String>,
    /// Of a folder.
    pub name: Option<String>,
    /// Of an object.
    #[serde(deserialize_with = "flags")]
    pub flags: Vec<String>,
    /// Of an object, if the subscription asks for them; each name once, with all its values.
    #[serde(deserialize_with = "attributes")]
    pub attributes: Vec<Attribute>,
    /// The number of this event in its box.
    pub last_mod_seq: i64,
    /// The writer's name for it.
    pub correlation_id: Option<String>,
    /// The same.
    pub correlation_tag: Option<String>,
}

/// An attribute with all its values.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, serde::Serialize)]
pub struct Attribute {
    /// Its name.
    pub name: String,
    /// Its values.
    #[serde(default)]
    pub value: Vec<String>,
}

impl Item {
    /// The first value of an attribute.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        first_value(&self.attributes, name)
    }
}

/// The first value of an attribute; names that differ by case only are one.
pub(super) fn first_value<'a>(attributes: &'a [Attribute], name: &str) -> Option<&'a str> {
    let found = attributes.iter().find(|attribute| attribute.name.eq_ignore_ascii_case(name))?;
    found.value.first().map(String::as_str)
}

/// `{"flag": [...]}`.
pub(super) fn flags<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    struct Flags {
        #[serde(default)]
        flag: Vec<String>,
    }
    Flags::deserialize(from).map(|flags| flags.flag)
}

/// `{"attribute": [...]}`.
pub(super) fn attributes<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Attribute>, D::Error> {
    #[derive(Deserialize)]
    struct Attributes {
        #[serde(default)]
        attribute: Vec<Attribute>,
    }
    Attributes::deserialize(from).map(|attributes| attributes.attribute)
}

impl<'de> Deserialize<'de> for Event {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let whole = Value::deserialize(from)?;
        let Some((kind, content)) = whole.as_object().and_then(|members| members.iter().next()) else {
            return Ok(Event::Other(whole));
        };
        let of: fn(Item) -> Event = match kind.as_str() {
            "changedObject" => Event::ChangedObject,
            "deletedObject" => Event::DeletedObject,
            "expiredObject" => Event::ExpiredObject,
            "changedFolder" => Event::ChangedFolder,
            "deletedFolder" => Event::DeletedFolder,
            "expiredFolder" => Event::ExpiredFolder,
            "resetBox" => return Ok(Event::ResetBox),
            _ => return Ok(Event::Other(whole)),
        };
        Item::deserialize(content).map(of).map_err(serde::de::Error::custom)
    }
}

impl Event {
    /// What it tells of.
    pub fn item(&self) -> Option<&Item> {
        match self {
            Event::ChangedObject(item)
            | Event::DeletedObject(item)
            | Event::ExpiredObject(item)
            | Event::ChangedFolder(item)
            | Event::DeletedFolder(item)
            | Event::ExpiredFolder(item) => Some(item),
            Event::ResetBox | Event::Other(_) => None,
        }
    }

    /// What happened, in words: `changed object`.
    pub fn words(&self) -> &str {
        match self {
            Event::ChangedObject(_) => "changed object",
            Event::DeletedObject(_) => "deleted object",
            Event::ExpiredObject(_) => "expired object",
            Event::ChangedFolder(_) => "changed folder",
            Event::DeletedFolder(_) => "deleted folder",
            Event::ExpiredFolder(_) => "expired folder",
            Event::ResetBox => "reset box",
            Event::Other(_) => "other",
        }
    }
}

impl EventList {
    /// The subscription that it is of: its resourceURL, as the server calls it.
    pub fn subscription(&self) -> Option<&str> {
        self.link.iter().find(|link| link.rel == "NmsSubscription").map(|link| link.href.as_str())
    }
}

impl<'de> Deserialize<'de> for Notification {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Known {
            nms_event_list: Option<EventList>,
        }
        let raw = Box::<RawValue>::deserialize(from)?;
        // What somebody else has posted may look like a list of ours, and not be one.
        let events = serde_json::from_str::<Known>(raw.get()).ok().and_then(|known| known.nms_event_list);
        Ok(Notification { raw, events })
    }
}

impl fmt::Display for NotificationList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(r#"{"notificationList":["#)?;
        for (n, notification) in self.notifications.iter().enumerate() {
            if n > 0 {
                f.write_str(",")?;
            }
            f.write_str(notification.raw.get())?;
        }
        f.write_str("]}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENTS: &str = r#"{"nmsEventList":{"nmsEvent":[{"changedObject":{"parentFolder":"f","flags":{"flag":["\\Seen"],
        "resourceURL":"x"},"resourceURL":"o","lastModSeq":2,"attributes":{"attribute":[{"name":"Subject","value":["a","b"]}]}}},
        {"resetBox":null},{"sung":{"by":1}}],"index":7,"restartToken":"t","link":[{"rel":"NmsSubscription","href":"s"}]}}"#;

    #[test]
    fn what_is_known_is_typed_and_the_rest_is_kept() {
        let notification: Notification = serde_json::from_str(EVENTS).unwrap();
        let list = notification.events.unwrap();
        assert_eq!((list.index, list.restart_token.as_str(), list.subscription()), (7, "t", Some("s")));
        let Event::ChangedObject(item) = &list.events[0] else { panic!("{list:?}") };
        assert_eq!((item.resource_url.as_str(), item.last_mod_seq, item.attribute("subject")), ("o", 2, Some("a")));
        assert_eq!(item.flags, ["\\Seen"]);
        assert_eq!(list.events[1], Event::ResetBox);
        assert!(matches!(&list.events[2], Event::Other(_)));
        let other: Notification = serde_json::from_str(r#"{"nmsEventList":{"index":"x"}}"#).unwrap();
        assert!(other.events.is_none());
    }

    #[test]
    fn a_list_is_displayed_as_it_came() {
        let raw = [r#"{"a": 1.0, "b":[]}"#, EVENTS];
        let notifications = raw.iter().map(|raw| serde_json::from_str(raw).unwrap()).collect();
        let list = NotificationList { notifications };
        assert_eq!(list.to_string(), format!(r#"{{"notificationList":[{},{}]}}"#, raw[0], raw[1]));
    }
}
