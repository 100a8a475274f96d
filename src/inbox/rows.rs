//! The SQL of inboxes, rooms, and what is deferred.

use chrono::{DateTime, Utc};
use serde_json::Value;
use tokio_postgres::Row;
use tokio_postgres::types::Json;
use tracing::debug;

use super::{
    Deferred, Due, EventType, NO_NOTIFICATION, NO_TARGET, NOT_DEFERRED, NewEvent, NewRoomMessage, Notification, Page,
    Place, Preferences, Readed, Release, Since,
};
use crate::base::ids::{ChannelId, Stream, UserId};
use crate::base::{Error, Format, Result};
use crate::channel::cursor::Cursor;
use crate::channel::rows::{self as channels, Callback, Creation, NewChannel};
use crate::channel::{Channel, Settings, Transport};
use crate::postgres::Database;

/// How long a target lives: until somebody ends it.
const TARGET_SECONDS: u32 = 50 * 365 * 86400;

/// Declares a type of events, or gives it other texts.
pub async fn declare_event_type(database: &Database, name: &str, title: &str, description: &str) -> Result<EventType> {
    let row = database
        .get()
        .await?
        .query_one("select tocsin.declare_event_type($1, $2, $3)", &[&name, &title, &description])
        .await?;
    Ok(EventType { id: row.get(0), name: name.into(), title: title.into(), description: description.into() })
}

/// The declared types, by name.
pub async fn event_types(database: &Database) -> Result<Vec<EventType>> {
    let client = database.get().await?;
    let rows = client.query("select id, name, title, description from tocsin.event_types order by name", &[]).await?;
    let event_type =
        |row: &Row| EventType { id: row.get(0), name: row.get(1), title: row.get(2), description: row.get(3) };
    Ok(rows.iter().map(event_type).collect())
}

/// Declares a group, or gives it other members; answers how many it has.
pub async fn declare_group(database: &Database, name: &str, users: &[String]) -> Result<i64> {
    Ok(database.get().await?.query_one("select tocsin.declare_group($1, $2)", &[&name, &users]).await?.get(0))
}

/// The declared groups, with the number of their members.
pub async fn groups(database: &Database) -> Result<Vec<(String, i64)>> {
    let client = database.get().await?;
    let rows = client.query("select name, count(*) from tocsin.groups group by name order by name", &[]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

fn moment(due: Due) -> (Option<DateTime<Utc>>, Option<f64>) {
    match due {
        Due::Now => (None, None),
        Due::At(at) => (Some(at), None),
        Due::In(seconds) => (None, Some(seconds)),
    }
}

/// Publishes an event; answers its id, or the one by which it waits.
pub async fn publish(database: &Database, event: &NewEvent) -> Result<i64> {
    let client = database.get().await?;
    let statement = client.prepare_cached(include_str!("../../sql/queries/publish.sql")).await?;
    let (at, after) = moment(event.release.due);
    let row = client
        .query_one(
            &statement,
            &[
                &event.event_type,
                &event.title,
                &event.message,
                &event.data.as_ref().map(Json),
                &event.author,
                &event.users,
                &event.group,
                &event.everybody,
                &event.channels,
                &event.silent,
                &at,
                &after,
                &event.release.condition.as_ref().map(Json),
                &event.owner,
            ],
        )
        .await?;
    debug!(event = row.get::<_, i64>(0), "written");
    Ok(row.get(0))
}

/// Publishes a message to a room; answers its id, or the one by which it waits.
pub async fn publish_to_room(database: &Database, message: &NewRoomMessage) -> Result<i64> {
    let client = database.get().await?;
    let statement = client.prepare_cached(include_str!("../../sql/queries/publish_to_room.sql")).await?;
    let (at, after) = moment(message.release.due);
    let [source, source_display_name, category, action, obj, url, short_description] = &message.texts;
    let row = client
        .query_one(
            &statement,
            &[
                &message.room,
                source,
                source_display_name,
                category,
                action,
                obj,
                url,
                short_description,
                &message.silent,
                &message.extra_data.as_ref().map(Json),
                &message.author,
                &message.recipients,
                &message.channels,
                &at,
                &after,
                &message.release.condition.as_ref().map(Json),
                &message.owner,
            ],
        )
        .await?;
    debug!(object = row.get::<_, i64>(0), "written");
    Ok(row.get(0))
}

fn notification(row: &Row) -> Notification {
    let Json(event) = row.get("event");
    Notification { id: row.get("id"), user: UserId::from_log(row.get("user_id")), readed: row.get("readed"), event }
}

/// A page of a user's notifications, of at most `limit`.
pub async fn list(database: &Database, user: &UserId, readed: Readed, place: Place, limit: u32) -> Result<Page> {
    let client = database.get().await?;
    let statement = client.prepare_cached(include_str!("../../sql/queries/notifications_page.sql")).await?;
    let (is_read, since) = match readed {
        Readed::Any => (None, None),
        Readed::Is(read) => (Some(read), None),
        Readed::Since(at) => (None, Some(at)),
    };
    let (before, after, offset) = match place {
        Place::Offset(offset) => (None, None, offset),
        Place::Before(id) => (Some(id), None, 0),
        Place::After(id) => (None, Some(id), 0),
    };
    let rows = client
        .query(&statement, &[&user.as_str(), &is_read, &since, &before, &after, &i64::from(limit), &i64::from(offset)])
        .await?;
    let found = rows.iter().filter(|row| row.get::<_, Option<i64>>("id").is_some());
    Ok(Page { count: rows.first().map_or(0, |row| row.get("count")), notifications: found.map(notification).collect() })
}

/// One of a user's notifications.
pub async fn get(database: &Database, user: &UserId, id: i64) -> Result<Notification> {
    let client = database.get().await?;
    let statement = client.prepare_cached(include_str!("../../sql/queries/notification_get.sql")).await?;
    let row = client.query_opt(&statement, &[&user.as_str(), &id]).await?.ok_or(NO_NOTIFICATION)?;
    Ok(notification(&row))
}

/// How many are unread.
pub async fn count_unread(database: &Database, user: &UserId) -> Result<i64> {
    let client = database.get().await?;
    let statement = client.prepare_cached(include_str!("../../sql/queries/notifications_unread.sql")).await?;
    Ok(client.query_one(&statement, &[&user.as_str()]).await?.get(0))
}

/// Marks some of a user's notifications as read, or all of them; answers how many were not.
pub async fn read(database: &Database, user: &UserId, ids: Option<&[i64]>) -> Result<i64> {
    let client = database.get().await?;
    let read = "select count(*) from tocsin.read_notifications($1, $2)";
    Ok(client.query_one(read, &[&user.as_str(), &ids]).await?.get(0))
}

/// Deletes one of a user's notifications.
pub async fn delete(database: &Database, user: &UserId, id: i64) -> Result<()> {
    let client = database.get().await?;
    let row = client.query_one("select tocsin.delete_notification($1, $2)", &[&user.as_str(), &id]).await?;
    if row.get(0) { Ok(()) } else { Err(NO_NOTIFICATION) }
}

/// The user is known from now on.
pub async fn open(database: &Database, user: &UserId) -> Result<()> {
    database.get().await?.execute("select tocsin.open_inbox($1)", &[&user.as_str()]).await?;
    Ok(())
}

/// What a user wants, and the seq of the event that said so.
pub async fn preferences(database: &Database, user: &UserId) -> Result<(Preferences, i64)> {
    let client = database.get().await?;
    let select = "select types, channels, seq from tocsin.inboxes where user_id = $1";
    let row = client.query_opt(select, &[&user.as_str()]).await?;
    Ok(row.map_or_else(Default::default, |row| (Preferences { types: row.get(0), channels: row.get(1) }, row.get(2))))
}

/// What a user wants from now on.
pub async fn prefer(database: &Database, user: &UserId, wanted: &Preferences) -> Result<()> {
    let client = database.get().await?;
    client.execute("select tocsin.prefer($1, $2, $3)", &[&user.as_str(), &wanted.types, &wanted.channels]).await?;
    Ok(())
}

/// Where one begins to listen to a stream.
pub async fn listen_from(database: &Database, stream: &Stream, since: Since) -> Result<Cursor> {
    let (what, at, ago, id) = match since {
        Since::Latest => ("latest", None, None, None),
        Since::All => ("all", None, None, None),
        Since::At(at) => ("at", Some(at), None, None),
        Since::Ago(seconds) => ("at", None, Some(seconds), None),
        Since::Id(id) => ("id", None, None, Some(id)),
    };
    let client = database.get().await?;
    let statement = client.prepare_cached(include_str!("../../sql/queries/listen_from.sql")).await?;
    let row = client.query_one(&statement, &[&stream.as_str(), &what, &at, &ago, &id]).await?;
    Ok(Cursor { generation: 0, next_seq: row.get(0), next_at: row.get(1), next_index: 1, reset: row.get(2) })
}

/// Holds an enabler's notification for a channel; answers the id by which it waits, `None` when the channel is no more.
pub async fn defer_callback(
    database: &Database,
    channel: &ChannelId,
    callback: &Callback<'_>,
    pending_max: u32,
    release: &Release,
) -> Result<Option<i64>> {
    let (at, after) = moment(release.due);
    let client = database.get().await?;
    let row = client
        .query_one(
            "select tocsin.defer_callback($1, $2, $3, $4, $5,
                        coalesce($6::timestamptz, now() + make_interval(secs => $7::double precision), now()), $8)",
            &[
                &channel.as_str(),
                &callback.format.name(),
                &callback.body,
                &callback.key,
                &i64::from(pending_max),
                &at,
                &after,
                &release.condition.as_ref().map(Json),
            ],
        )
        .await?;
    Ok(row.get(0))
}

/// What waits of an author, those after an id, at most `limit`.
pub async fn deferred(database: &Database, author: &UserId, after: i64, limit: u32) -> Result<Vec<Deferred>> {
    select_deferred(database, author, None, after, limit).await
}

/// One that waits.
pub async fn get_deferred(database: &Database, author: &UserId, id: i64) -> Result<Deferred> {
    select_deferred(database, author, Some(id), 0, 1).await?.pop().ok_or(NOT_DEFERRED)
}

async fn select_deferred(
    database: &Database,
    author: &UserId,
    id: Option<i64>,
    after: i64,
    limit: u32,
) -> Result<Vec<Deferred>> {
    let client = database.get().await?;
    let statement = client.prepare_cached(include_str!("../../sql/queries/deferred_list.sql")).await?;
    let rows = client.query(&statement, &[&author.as_str(), &id, &after, &i64::from(limit)]).await?;
    let deferred = |row: &Row| {
        let Json(request) = row.get("request");
        let condition: Option<Json<Value>> = row.get("condition");
        Deferred {
            id: row.get("id"),
            what: row.get("what"),
            request,
            condition: condition.map(|Json(condition)| condition),
            due_at: row.get("due_at"),
            created_at: row.get("created_at"),
        }
    };
    Ok(rows.iter().map(deferred).collect())
}

/// Cancels what still waits of an author.
pub async fn cancel(database: &Database, author: &UserId, id: i64) -> Result<()> {
    let client = database.get().await?;
    let row = client.query_one("select tocsin.cancel_deferred($1, $2)", &[&id, &author.as_str()]).await?;
    if row.get(0) { Ok(()) } else { Err(NOT_DEFERRED) }
}

/// What came of looking for something that is due.
#[derive(Debug)]
pub enum Released {
    /// One was released.
    One,
    /// One could not be, at this moment: what it is for is locked.
    Held(i64),
    /// Nothing is due; in so many seconds something is.
    Nothing(Option<f64>),
}

/// Releases one that is due, of all but those left out.
pub async fn release_one(database: &Database, leave: &[i64]) -> Result<Released> {
    let release = "select released, held, seconds_to_next from tocsin.release_deferred($1)";
    let row = database.get().await?.query_one(release, &[&leave]).await?;
    Ok(match (row.get::<_, Option<i64>>(0), row.get(1)) {
        (Some(_), _) => Released::One,
        (None, Some(held)) => Released::Held(held),
        (None, None) => Released::Nothing(row.get(2)),
    })
}

/// The owner of the channels that bring an inbox to its user: nobody lists them or names them otherwise.
fn owner(user: &UserId) -> UserId {
    UserId::from_log(Stream::of_inbox(user).as_str())
}

/// From now on a user's notifications are delivered in a way, at a target there.
pub async fn add_target(
    database: &Database,
    user: &UserId,
    way: &str,
    target: Value,
    targets_max: u32,
) -> Result<Channel> {
    let head = listen_from(database, &Stream::of_inbox(user), Since::Latest).await?;
    let transport = Transport::Inbox { way: way.to_owned(), target, from: head.next_seq - 1, at: head.next_at };
    let new = NewChannel {
        user: owner(user),
        settings: Settings { max_notifications: 1, transport },
        format: Format::Json,
        client_correlator: None,
        application_tag: None,
        lifetime_seconds: TARGET_SECONDS,
    };
    match channels::create(database, new, targets_max).await? {
        Creation::Channel(channel) => Ok(*channel),
        Creation::Duplicate(_) => Err(NO_TARGET),
    }
}

/// Where a user's notifications are delivered.
pub async fn targets(database: &Database, user: &UserId) -> Result<Vec<Channel>> {
    channels::list(database, &owner(user)).await
}

/// They are no longer delivered there.
pub async fn delete_target(database: &Database, user: &UserId, id: &ChannelId) -> Result<()> {
    let not_there = |fault| if let Error::NotFound { .. } = fault { NO_TARGET } else { fault };
    channels::get_of(database, &owner(user), id).await.map_err(not_there)?;
    channels::delete(database, id).await.map_err(not_there)
}
