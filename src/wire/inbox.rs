//! The documents of the inbox API: JSON, read by the same words as those of the specifications.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::json::{Fields, moment};
use crate::base::ids::UserId;
use crate::base::{Error, Result};
use crate::inbox::{
    Deferred, Due, EventType, NewEvent, NewRoomMessage, Notification, Preferences, ROOM_TEXTS, Release, Since,
};
use crate::log::event::token;
use crate::log::{Event, Kind};

/// Longest name of a type, a group, a delivery channel.
const NAME_CHARS_MAX: usize = 100;
/// Longest id of a user.
const USER_CHARS_MAX: usize = 255;

/// An event that is to be published.
pub fn read_event(mut fields: Fields, caller: Option<&UserId>) -> Result<NewEvent> {
    Ok(NewEvent {
        event_type: fields.required("type")?,
        title: fields.required("title")?,
        message: fields.text("message")?.unwrap_or_default(),
        data: fields.value("data"),
        author: author(&mut fields, caller)?,
        users: users(&mut fields, "users")?,
        group: fields.text_not_empty("group")?,
        everybody: fields.boolean("everybody")?.unwrap_or(false),
        channels: names(&mut fields, "channels")?,
        silent: fields.boolean("silent")?.unwrap_or(false),
        release: read_release(&mut fields)?,
        owner: caller.map(|user| user.as_str().to_owned()),
    })
}

/// A message that is to be published to a room.
pub fn read_room_message(mut fields: Fields, room: String, caller: Option<&UserId>) -> Result<NewRoomMessage> {
    let mut texts = <[Option<String>; ROOM_TEXTS.len()]>::default();
    for (text, name) in texts.iter_mut().zip(ROOM_TEXTS) {
        *text = fields.text(name)?;
    }
    let mut recipients = users(&mut fields, "recipients")?;
    recipients.extend(users(&mut fields, "recipient")?);
    Ok(NewRoomMessage {
        room,
        texts,
        silent: fields.boolean("silent")?.unwrap_or(false),
        extra_data: fields.value("extra_data"),
        author: author(&mut fields, caller)?,
        recipients,
        channels: names(&mut fields, "channels")?,
        release: read_release(&mut fields)?,
        owner: caller.map(|user| user.as_str().to_owned()),
    })
}

fn author(fields: &mut Fields, caller: Option<&UserId>) -> Result<Option<String>> {
    Ok(fields.text_not_empty("author")?.or_else(|| caller.map(|user| user.as_str().to_owned())))
}

/// Ids of users; each must be one.
pub fn users(fields: &mut Fields, name: &str) -> Result<Vec<String>> {
    let users = fields.texts_or_none(name, USER_CHARS_MAX)?;
    match users.iter().find(|user| UserId::parse(user).is_err()) {
        Some(_) => Err(Error::invalid(name)),
        None => Ok(users),
    }
}

/// A list of names; `None` when there is none.
fn names(fields: &mut Fields, name: &str) -> Result<Option<Vec<String>>> {
    if !fields.has(name) {
        return Ok(None);
    }
    fields.texts(name, NAME_CHARS_MAX).map(Some)
}

/// When something is to be released, and whether then.
pub fn read_release(fields: &mut Fields) -> Result<Release> {
    let (deliver_at, countdown) = (fields.text_not_empty("deliver_at")?, fields.text_not_empty("countdown")?);
    Ok(Release {
        due: due(deliver_at.as_deref(), countdown.as_deref())?,
        condition: condition(fields.value("condition"))?,
    })
}

/// The same from the texts of a query.
pub fn release_of(deliver_at: Option<&str>, countdown: Option<&str>, condition_text: Option<&str>) -> Result<Release> {
    let parsed = condition_text.map(serde_json::from_str).transpose().map_err(|_| Error::invalid("condition"))?;
    Ok(Release { due: due(deliver_at, countdown)?, condition: condition(parsed)? })
}

fn due(deliver_at: Option<&str>, countdown: Option<&str>) -> Result<Due> {
    match (deliver_at, countdown) {
        (None, None) => Ok(Due::Now),
        (Some(at), None) => Ok(Due::At(moment("deliver_at", at)?)),
        (None, Some(seconds)) => match seconds.trim().parse::<f64>() {
            Ok(seconds) if (0.0..1e10).contains(&seconds) => Ok(Due::In(seconds)),
            _ => Err(Error::invalid("countdown")),
        },
        (Some(_), Some(_)) => Err(Error::invalid("countdown")), // one of them decides
    }
}

fn condition(given: Option<Value>) -> Result<Option<Value>> {
    match given {
        Some(condition) if !condition.is_object() => Err(Error::invalid("condition")),
        given => Ok(given),
    }
}

/// What a user wants, given what it was: what is not said stays, `null` is everything.
pub fn read_preferences(mut fields: Fields, before: Preferences) -> Result<Preferences> {
    let mut after = before;
    for (name, wanted) in [("types", &mut after.types), ("channels", &mut after.channels)] {
        if fields.is_null(name) {
            *wanted = None;
        } else if let Some(names) = names(&mut fields, name)? {
            *wanted = Some(names);
        }
    }
    Ok(after)
}

/// What a user wants.
pub fn preferences(wanted: &Preferences) -> Value {
    json!({ "types": wanted.types, "channels": wanted.channels })
}

/// Ids of notifications: a bare array.
pub fn read_ids(body: &[u8]) -> Result<Vec<i64>> {
    serde_json::from_slice(body).map_err(|_| Error::invalid("Request-Body"))
}

/// A type of events.
pub fn event_type(of: &EventType) -> Value {
    json!({ "id": of.id, "name": of.name, "title": of.title, "description": of.description })
}

/// A notification.
pub fn notification(of: &Notification) -> Value {
    json!({
        "id": of.id,
        "user": of.user.as_str(),
        "readed": of.readed.map(token),
        "event": event(&of.event),
    })
}

/// An event, its members in their order: in the database they have none.
pub fn event(stored: &Value) -> Value {
    let mut event = in_order(stored, &["id", "timestamp", "author", "type", "title", "message", "data"]);
    event["type"] = in_order(&stored["type"], &["id", "name", "title", "description"]);
    event
}

fn in_order(members: &Value, names: &[&str]) -> Value {
    Value::Object(names.iter().map(|name| ((*name).to_owned(), members[*name].clone())).collect::<Map<_, _>>())
}

/// What waits for its time.
pub fn deferred(of: &Deferred) -> Value {
    json!({
        "id": of.id,
        "what": of.what,
        "deliver_at": token(of.due_at),
        "created_at": token(of.created_at),
        "request": of.request,
        "condition": of.condition,
    })
}

/// A notification as an event of the log tells of it.
#[derive(Debug, Deserialize)]
pub struct Told {
    /// What happened.
    pub event: Value,
    /// When it was read.
    #[serde(default)]
    pub readed: Option<String>,
    /// The ways in which its sender wants it delivered.
    #[serde(default)]
    pub channels: Option<Vec<String>>,
    /// Not to be delivered.
    #[serde(default)]
    pub silent: bool,
}

impl Told {
    /// The name of the event's type.
    pub fn event_type(&self) -> &str {
        self.event["type"]["name"].as_str().unwrap_or_default()
    }
}

/// What a user's socket is sent of an event of the inbox.
pub fn action(of: &Event, told: &Told) -> String {
    let action = if of.kind == Kind::NotificationCreated { "new" } else { "readed" };
    let notification = json!({
        "id": of.object_id,
        "user": of.stream.inbox_of(),
        "readed": told.readed,
        "event": event(&told.event),
    });
    json!({ "action": action, "notification": notification }).to_string()
}

/// The same in the minimal form: something is new, and from whom.
pub fn minimal(of: &Event, told: &Told) -> String {
    let id = of.object_id.map(|id| id.to_string());
    json!([{ "type": "message", "data": { "username": told.event["author"] }, "id": id }]).to_string()
}

/// What a room's socket is sent of a message.
pub fn room_message(of: &Event, message: &Map<String, Value>) -> String {
    let mut told =
        Map::from_iter([("id".to_owned(), json!(of.object_id)), ("timestamp".to_owned(), json!(of.token()))]);
    told.extend(
        message.iter().filter(|(name, _)| *name != "silent").map(|(name, value)| (name.clone(), value.clone())),
    );
    told.insert("silent".to_owned(), json!(is_silent(message)));
    Value::Object(told).to_string()
}

/// Whether a room's message is stored only.
pub fn is_silent(message: &Map<String, Value>) -> bool {
    message.get("silent") == Some(&Value::Bool(true))
}

/// `latest`, `all`, an id, a moment, or a duration as `15m`.
pub fn since(text: &str) -> Result<Since> {
    if let Some(id) = text.parse().ok().filter(|id| *id >= 0) {
        return Ok(Since::Id(id));
    }
    match text {
        "latest" => Ok(Since::Latest),
        "all" => Ok(Since::All),
        text => moment("since", text).map(Since::At).or_else(|fault| {
            let ago = humantime::parse_duration(text).map_err(|_| fault)?.as_secs_f64();
            if ago < 1e10 { Ok(Since::Ago(ago)) } else { Err(Error::invalid("since")) }
        }),
    }
}
