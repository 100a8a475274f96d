//! The inbox API (docs/INBOX.md).

use serde_json::Value;
use utoipa::ToSchema;

/// A type of events.
#[derive(ToSchema)]
#[schema(example = json!({ "name": "comment", "title": "A comment", "description": "Somebody has commented" }))]
pub struct EventType {
    /// Ours.
    #[schema(read_only)]
    id: i64,
    /// By which events name it.
    #[schema(min_length = 1)]
    name: String,
    /// For people.
    #[schema(min_length = 1)]
    title: String,
    /// For people.
    #[schema(nullable = false)]
    description: Option<String>,
}

/// All types of events.
#[derive(ToSchema)]
pub struct EventTypes {
    /// How many.
    count: i64,
    /// The types.
    results: Vec<EventType>,
}

/// A group of users.
#[derive(ToSchema)]
#[schema(example = json!({ "name": "editors", "users": ["alice", "bob"] }))]
pub struct Group {
    /// Its name.
    #[schema(min_length = 1)]
    name: String,
    /// Its members.
    #[schema(write_only)]
    users: Vec<String>,
    /// How many they are.
    #[schema(read_only)]
    count: i64,
}

/// All groups.
#[derive(ToSchema)]
pub struct Groups {
    /// How many.
    count: i64,
    /// The groups.
    results: Vec<Group>,
}

/// An event to be published, to at least some of these.
#[derive(ToSchema)]
#[schema(example = json!({ "type": "comment", "title": "Ann has commented", "message": "Nice!", "users": ["bob"] }))]
pub struct NewEvent {
    /// The name of its type.
    #[schema(rename = "type")]
    kind: String,
    /// For people.
    title: String,
    /// For people.
    #[schema(nullable = false)]
    message: Option<String>,
    /// For programs.
    data: Option<Value>,
    /// Who it comes from; the caller without it.
    #[schema(nullable = false)]
    author: Option<String>,
    /// For these users.
    #[schema(nullable = false)]
    users: Option<Vec<String>>,
    /// For the members of this group.
    #[schema(nullable = false)]
    group: Option<String>,
    /// For everybody who has an inbox.
    #[schema(nullable = false)]
    everybody: Option<bool>,
    /// The ways in which it is to be delivered.
    #[schema(nullable = false)]
    channels: Option<Vec<String>>,
    /// Listed, and delivered in no way.
    #[schema(nullable = false)]
    silent: Option<bool>,
    /// Not before this moment (RFC 3339).
    #[schema(nullable = false)]
    deliver_at: Option<String>,
    /// Not before so many seconds; instead.
    #[schema(nullable = false)]
    countdown: Option<f64>,
    /// Only if this holds then.
    #[schema(value_type = Option<Object>, nullable = false)]
    condition: Option<Value>,
}

/// A message to a room.
#[derive(ToSchema)]
#[schema(example = json!({ "source": "ci", "category": "build", "action": "failed", "obj": "main" }))]
pub struct NewMessage {
    /// Where it comes from.
    source: Option<String>,
    /// The same, for people.
    source_display_name: Option<String>,
    /// Of which kind.
    category: Option<String>,
    /// What happened.
    action: Option<String>,
    /// To what.
    obj: Option<String>,
    /// Where more is.
    url: Option<String>,
    /// For people.
    short_description: Option<String>,
    /// For programs.
    extra_data: Option<Value>,
    /// Who it comes from; the caller without it.
    #[schema(nullable = false)]
    author: Option<String>,
    /// For this user only.
    #[schema(nullable = false)]
    recipient: Option<String>,
    /// For these users only.
    #[schema(nullable = false)]
    recipients: Option<Vec<String>>,
    /// The ways in which it is to be delivered.
    #[schema(nullable = false)]
    channels: Option<Vec<String>>,
    /// Stored only.
    #[schema(nullable = false)]
    silent: Option<bool>,
    /// Not before this moment (RFC 3339).
    #[schema(nullable = false)]
    deliver_at: Option<String>,
    /// Not before so many seconds; instead.
    #[schema(nullable = false)]
    countdown: Option<f64>,
    /// Only if this holds then.
    #[schema(value_type = Option<Object>, nullable = false)]
    condition: Option<Value>,
}

/// What was published.
#[derive(ToSchema)]
#[schema(example = json!({ "id": 5 }))]
pub struct Published {
    /// Its id.
    id: i64,
}

/// An event.
#[derive(ToSchema)]
pub struct Event {
    /// Its id.
    id: Value,
    /// When it was published.
    timestamp: Option<String>,
    /// Who it comes from.
    author: Option<String>,
    /// Its type.
    #[schema(rename = "type")]
    kind: EventType,
    /// For people.
    title: Option<String>,
    /// For people.
    message: Option<String>,
    /// For programs.
    data: Option<Value>,
}

/// An event in the inbox of a user.
#[derive(ToSchema)]
pub struct InboxNotification {
    /// Its id.
    id: i64,
    /// Whose it is.
    user: String,
    /// When it was read.
    readed: Option<String>,
    /// What happened.
    event: Event,
}

/// A page of them.
#[derive(ToSchema)]
pub struct InboxPage {
    /// How many there are in all.
    count: i64,
    /// The next page.
    next: Option<String>,
    /// The previous one.
    previous: Option<String>,
    /// The notifications.
    results: Vec<InboxNotification>,
}

/// How many.
#[derive(ToSchema)]
#[schema(example = json!({ "count": 3 }))]
pub struct Count {
    /// So many.
    count: i64,
}

/// A mark that a notification was read. What was read stays so.
#[derive(ToSchema)]
#[schema(example = json!({ "readed": true }))]
pub struct Read {
    /// True.
    #[schema(nullable = false)]
    readed: Option<bool>,
}

/// What a user wants.
#[derive(ToSchema)]
#[schema(example = json!({ "types": ["comment"], "channels": null }))]
pub struct Preferences {
    /// The types of events; null: all.
    types: Option<Vec<String>>,
    /// The ways of delivery; null: all.
    channels: Option<Vec<String>>,
}

/// Where a user wants to be told, beside sockets. Further members depend on `channel`: `url` of a webhook,
/// `channelSubType` and `registrationToken` of a push, `address` of an e-mail.
#[derive(ToSchema)]
#[schema(example = json!({ "channel": "webhook", "url": "https://example.com/hook" }))]
pub struct Target {
    /// Its id.
    #[schema(read_only)]
    id: String,
    /// The way of delivery.
    channel: Way,
    /// What a webhook is signed with.
    #[schema(read_only, nullable = false)]
    secret: Option<String>,
    /// Why nothing is delivered there.
    #[schema(read_only)]
    disabled: Option<String>,
}

/// A way of delivery.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum Way {
    /// A signed POST.
    Webhook,
    /// A push.
    Push,
    /// A mail.
    Email,
    /// A line on the server's standard output.
    Console,
}

/// All targets of a user.
#[derive(ToSchema)]
pub struct Targets {
    /// How many.
    count: i64,
    /// The targets.
    results: Vec<Target>,
}

/// What waits for its time.
#[derive(ToSchema)]
pub struct Deferred {
    /// Its id.
    id: i64,
    /// What it is.
    what: String,
    /// When it is due.
    deliver_at: String,
    /// When it was asked for.
    created_at: String,
    /// What was asked.
    request: Value,
    /// What must hold then.
    condition: Option<Value>,
}

/// A page of what waits.
#[derive(ToSchema)]
pub struct DeferredPage {
    /// The next page.
    next: Option<String>,
    /// What waits.
    results: Vec<Deferred>,
}
