//! What is held until its time.

use axum::http::StatusCode;
use serde_json::json;

use super::{limit, number};
use crate::base::Result;
use crate::http::caller::Caller;
use crate::http::extract::{PathIds, Query};
use crate::http::represent::{Document, Reads};
use crate::http::state::App;
use crate::inbox::{NOT_DEFERRED, rows};
use crate::wire::inbox as wire;
use crate::wire::schema;

/// What waits of the caller's, in the order in which it came.
#[utoipa::path(
    get, path = "/api/deferred", tag = "inbox", operation_id = "listDeferred",
    params(
        ("limit" = Option<u32>, Query, description = "Entries of the page"),
        ("after" = Option<i64>, Query, description = "After this id"),
    ),
    responses((status = 200, body = schema::inbox::DeferredPage))
)]
pub async fn list(app: App, Caller(user): Caller, query: Query, _: Reads) -> Result<Document> {
    let (limit, after) = (limit(&query, &app.limits)?, number(&query, "after")?.unwrap_or(0));
    let waiting = rows::deferred(&app.database, &user, after, limit).await?;
    let next = waiting
        .last()
        .filter(|_| waiting.len() as u64 >= u64::from(limit))
        .map(|last| app.urls.absolute(&format!("/api/deferred?limit={limit}&after={}", last.id)));
    Ok(Document(json!({ "next": next, "results": waiting.iter().map(wire::deferred).collect::<Vec<_>>() })))
}

/// One of them.
#[utoipa::path(
    get, path = "/api/deferred/{id}", tag = "inbox", operation_id = "readDeferred",
    responses((status = 200, body = schema::inbox::Deferred))
)]
pub async fn read(app: App, Caller(user): Caller, ids: PathIds, _: Reads) -> Result<Document> {
    let found = rows::get_deferred(&app.database, &user, ids.number(NOT_DEFERRED)?).await?;
    Ok(Document(wire::deferred(&found)))
}

/// Cancels one.
#[utoipa::path(
    delete, path = "/api/deferred/{id}", tag = "inbox", operation_id = "cancelDeferred",
    responses((status = 204))
)]
pub async fn cancel(app: App, Caller(user): Caller, ids: PathIds) -> Result<StatusCode> {
    rows::cancel(&app.database, &user, ids.number(NOT_DEFERRED)?).await?;
    Ok(StatusCode::NO_CONTENT)
}
