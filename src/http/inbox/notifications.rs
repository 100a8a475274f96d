//! A user's notifications.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{limit, number};
use crate::base::{Error, Result};
use crate::http::caller::Caller;
use crate::http::extract::{Body, PathIds, Query};
use crate::http::represent::{Document, Reads};
use crate::http::state::App;
use crate::inbox::{NO_NOTIFICATION, Page, Place, Readed, rows};
use crate::wire::inbox as wire;
use crate::wire::json::moment;
use crate::wire::schema;

/// A page of them. By `offset` the newest come first, and so they do `before` an id; `after` one, the oldest.
#[utoipa::path(
    get, path = "/api/notifications", tag = "inbox", operation_id = "listNotifications",
    params(
        ("limit" = Option<u32>, Query, description = "Entries of the page"),
        ("readed" = Option<String>, Query, description = "true, false, or a moment: read since then"),
        ("offset" = Option<u32>, Query, description = "Leave out so many"),
        ("before" = Option<i64>, Query, description = "Older than this id"),
        ("after" = Option<i64>, Query, description = "Newer than this id, the oldest first"),
    ),
    responses((status = 200, body = schema::inbox::InboxPage))
)]
pub async fn list(app: App, Caller(user): Caller, query: Query, _: Reads) -> Result<Document> {
    let (limit, readed, place) = (limit(&query, &app.limits)?, readed(&query)?, place(&query)?);
    rows::open(&app.database, &user).await?;
    let page = rows::list(&app.database, &user, readed, place, limit).await?;
    let (next, previous) = neighbours(&page, place, limit);
    let url = |place: Place| app.urls.absolute(&format!("/api/notifications?{}", repeated(&query, place)));
    Ok(Document(json!({
        "count": page.count,
        "next": next.map(url),
        "previous": previous.map(url),
        "results": page.notifications.iter().map(wire::notification).collect::<Vec<_>>(),
    })))
}

fn readed(query: &Query) -> Result<Readed> {
    match query.get("readed") {
        None => Ok(Readed::Any),
        Some("true") => Ok(Readed::Is(true)),
        Some("false") => Ok(Readed::Is(false)),
        Some(text) => match moment("readed", text) {
            Ok(at) => Ok(Readed::Since(at)),
            Err(_) => Err(Error::choice("readed", "true, false, a moment as 2026-01-31T12:00:00Z")),
        },
    }
}

fn place(query: &Query) -> Result<Place> {
    let given = [number(query, "offset")?, number(query, "before")?, number(query, "after")?];
    match given {
        [None, None, None] => Ok(Place::Offset(0)),
        [Some(offset), None, None] => u32::try_from(offset).map(Place::Offset).map_err(|_| Error::invalid("offset")),
        [None, Some(id), None] => Ok(Place::Before(id)),
        [None, None, Some(id)] => Ok(Place::After(id)),
        _ => Err(Error::choice("offset", "one of offset, before, after")),
    }
}

/// Where the next page begins, and the previous one.
fn neighbours(page: &Page, place: Place, limit: u32) -> (Option<Place>, Option<Place>) {
    let full = page.notifications.len() as u64 >= u64::from(limit);
    let last = page.notifications.last().map(|notification| notification.id).filter(|_| full);
    match place {
        Place::Offset(offset) => {
            let end = offset.saturating_add(limit);
            let next = (i64::from(end) < page.count).then_some(Place::Offset(end));
            (next, (offset > 0).then(|| Place::Offset(offset.saturating_sub(limit))))
        }
        Place::Before(_) => (last.map(Place::Before), None),
        Place::After(_) => (last.map(Place::After), None),
    }
}

/// The query again, for another place.
fn repeated(query: &Query, place: Place) -> String {
    let (name, value) = match place {
        Place::Offset(offset) => ("offset", i64::from(offset)),
        Place::Before(id) => ("before", id),
        Place::After(id) => ("after", id),
    };
    query.again(&["limit", "readed", "user"], (name, &value.to_string()))
}

/// One of them.
#[utoipa::path(
    get, path = "/api/notifications/{id}", tag = "inbox", operation_id = "readNotification",
    responses((status = 200, body = schema::inbox::InboxNotification))
)]
pub async fn get(app: App, Caller(user): Caller, ids: PathIds, _: Reads) -> Result<Document> {
    let found = rows::get(&app.database, &user, ids.number(NO_NOTIFICATION)?).await?;
    Ok(Document(wire::notification(&found)))
}

/// How many are unread.
#[utoipa::path(
    get, path = "/api/notifications/unread-count", tag = "inbox", operation_id = "countUnread",
    responses((status = 200, body = schema::inbox::Count))
)]
pub async fn count_unread(app: App, Caller(user): Caller, _: Reads) -> Result<Document> {
    Ok(counted(rows::count_unread(&app.database, &user).await?))
}

/// Marks those with these ids as read. What is not theirs is as what is not there: nothing happens to it.
#[utoipa::path(
    patch, path = "/api/notifications", tag = "inbox", operation_id = "readNotifications",
    request_body = Vec<i64>,
    responses((status = 200, body = schema::inbox::Count))
)]
pub async fn read_some(app: App, Caller(user): Caller, _: Reads, body: Body) -> Result<Document> {
    let ids = wire::read_ids(&body.bytes)?;
    Ok(counted(rows::read(&app.database, &user, Some(&ids)).await?))
}

/// Marks all of them as read.
#[utoipa::path(
    post, path = "/api/notifications/read-all", tag = "inbox", operation_id = "readAllNotifications",
    responses((status = 200, body = schema::inbox::Count))
)]
pub async fn read_all(app: App, Caller(user): Caller, _: Reads) -> Result<Document> {
    Ok(counted(rows::read(&app.database, &user, None).await?))
}

/// Marks one as read. What was read stays so.
#[utoipa::path(
    patch, path = "/api/notifications/{id}", tag = "inbox", operation_id = "markNotification",
    request_body = Option<schema::inbox::Read>,
    responses((status = 200, body = schema::inbox::InboxNotification))
)]
pub async fn read_one(app: App, Caller(user): Caller, ids: PathIds, _: Reads, body: Body) -> Result<Document> {
    let id = ids.number(NO_NOTIFICATION)?;
    if !body.bytes.is_empty() && body.fields("notification")?.boolean("readed")? == Some(false) {
        return Err(Error::choice("readed", "true"));
    }
    rows::read(&app.database, &user, Some(&[id])).await?;
    Ok(Document(wire::notification(&rows::get(&app.database, &user, id).await?)))
}

/// Deletes one.
#[utoipa::path(
    delete, path = "/api/notifications/{id}", tag = "inbox", operation_id = "deleteNotification",
    responses((status = 204))
)]
pub async fn delete(app: App, Caller(user): Caller, ids: PathIds) -> Result<StatusCode> {
    rows::delete(&app.database, &user, ids.number(NO_NOTIFICATION)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn counted(count: i64) -> Document {
    let count: Value = count.into();
    Document(json!({ "count": count }))
}
