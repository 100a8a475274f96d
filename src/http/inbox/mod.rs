//! Inboxes: types of events, events, and what they are to each user. JSON only, but for faults.

pub mod deferred;
pub mod event_types;
pub mod events;
pub mod groups;
pub mod notifications;
pub mod preferences;
pub mod rooms;
pub mod sockets;
pub mod targets;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use serde_json::{Value, json};

use super::extract::Query;
use super::represent::Document;
use super::state::App;
use super::{collection, created, only};
use crate::base::{Error, Result};
use crate::config::Limits;
use crate::inbox::Release;

/// Below `/api`.
pub fn routes(limits: &Limits) -> Router<App> {
    let large = DefaultBodyLimit::max(limits.audience_bytes_max);
    Router::new()
        .route("/event-types", collection(event_types::list, event_types::declare))
        .route("/groups", collection(groups::list, groups::declare).layer(large))
        .route("/events", only("POST", post(events::publish)).layer(large))
        .route("/rooms/{room}", only("POST", post(rooms::publish)).layer(large))
        .route("/notifications", only("GET, PATCH", get(notifications::list).patch(notifications::read_some)))
        .route("/notifications/", only("GET", get(sockets::minimal)))
        .route("/notifications/unread-count", only("GET", get(notifications::count_unread)))
        .route("/notifications/read-all", only("POST", post(notifications::read_all)))
        .route("/notifications/filter", only("GET, PATCH", get(preferences::read).patch(preferences::change)))
        .route("/notifications/targets", collection(targets::list, targets::create))
        .route("/notifications/targets/{targetId}", only("DELETE", delete(targets::delete)))
        .route(
            "/notifications/{id}",
            only(
                "GET, PATCH, DELETE",
                get(notifications::get).patch(notifications::read_one).delete(notifications::delete),
            ),
        )
        .route("/deferred", only("GET", get(deferred::list)))
        .route("/deferred/{id}", only("GET, DELETE", get(deferred::read).delete(deferred::cancel)))
}

/// 201 for what was published, 202 for what waits, where it can be seen and cancelled.
fn published(app: &App, release: &Release, path: &str, id: i64) -> Response {
    if release.is_deferred() {
        return waits(app, id);
    }
    created(&app.urls.absolute(&format!("{path}/{id}")), json!({ "id": id }))
}

/// 202 for what waits, where it can be seen and cancelled.
pub fn waits(app: &App, id: i64) -> Response {
    app.deferred_made.notify_one();
    let location = app.urls.absolute(&format!("/api/deferred/{id}"));
    let mut response = (StatusCode::ACCEPTED, Document(json!({ "deferred": id }))).into_response();
    if let Ok(location) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

/// `limit` of a page.
fn limit(query: &Query, limits: &Limits) -> Result<u32> {
    let most = limits.notifications_page_max;
    let limit: i64 = query.limit(limits.notifications_page_default.into(), most.into())?;
    Ok(u32::try_from(limit).unwrap_or(most))
}

/// A parameter that is a number, not below zero.
fn number(query: &Query, name: &str) -> Result<Option<i64>> {
    let number = query.get(name).map(|text| text.parse().ok().filter(|number| *number >= 0));
    number.map(|number| number.ok_or_else(|| Error::invalid(name))).transpose()
}

/// A list without pages.
fn all(results: Vec<Value>) -> Document {
    Document(json!({ "count": results.len(), "results": results }))
}
