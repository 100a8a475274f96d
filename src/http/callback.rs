//! The callbackURL of a channel, where enablers post notifications (spec/common 9).

use std::time::Instant;

use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use super::extract::{Body, PathIds, Query};
use super::inbox::waits;
use super::state::App;
use crate::base::ids::ChannelId;
use crate::base::{Error, Format, Result};
use crate::channel::NO_CHANNEL;
use crate::channel::rows::{self, Callback, Pending};
use crate::inbox;
use crate::wire::callback;
use crate::wire::inbox::release_of;
use crate::wire::schema;

/// Where a sender names its notification, the better place first.
const KEY_HEADERS: [&str; 2] = ["Idempotency-Key", "Message-ID"];
/// Longest such name.
const KEY_CHARS_MAX: usize = 255;

/// Takes a notification with any root element: 204 when it is in the log. With `deliver_at`, `countdown` or `condition` in
/// the query, it is held until then: 202.
#[utoipa::path(
    post, path = "/callback/{token}", tag = "delivery", operation_id = "postNotification",
    request_body = schema::nc::AnyNotification,
    params(
        ("deliver_at" = Option<String>, Query, description = "Not before this moment (RFC 3339)"),
        ("countdown" = Option<f64>, Query, description = "Not before so many seconds; instead"),
        ("condition" = Option<String>, Query, description = "Only if this holds then; JSON"),
    ),
    responses((status = 204), (status = 202, body = schema::nc::Waits))
)]
pub async fn post(app: App, ids: PathIds, query: Query, request: Request) -> Result<Response> {
    let channel = admit(&app, &ids)?;
    let release = release_of(query.get("deliver_at"), query.get("countdown"), query.get("condition"))?;
    let key = key(request.headers())?;
    let body = Body::from_request(request, &app).await?;
    let notification = match body.format() {
        Format::Json => callback::read_json(&body.bytes)?,
        Format::Xml => callback::read_xml(&body.bytes)?,
    };
    let callback = Callback { format: body.format(), body: notification, key: key.as_deref() };
    let most = app.limits.callbacks_pending_max;
    if release.is_deferred() {
        let id = inbox::rows::defer_callback(&app.database, &channel, &callback, most, &release).await?;
        return Ok(waits(&app, id.ok_or(NO_CHANNEL)?));
    }
    let most = Pending { count: most, bytes: app.limits.callbacks_pending_bytes_max };
    rows::take_callback(&app.database, &channel, &callback, most).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// The channel, if the URL is genuine and not used too often.
fn admit(app: &App, ids: &PathIds) -> Result<ChannelId> {
    let channel = app.urls.channel_of_callback_token(ids.token()?).ok_or(NO_CHANNEL)?;
    if app.callback_rates.admit(&channel, Instant::now()) {
        return Ok(channel);
    }
    let most = app.limits.callbacks_per_second_max;
    Err(Error::TooMany { rule: format!("a channel takes {most} notifications a second") })
}

/// The sender's name for its notification.
fn key(headers: &HeaderMap) -> Result<Option<String>> {
    let Some((name, value)) = KEY_HEADERS.iter().find_map(|name| Some((name, headers.get(*name)?))) else {
        return Ok(None);
    };
    let key = value.to_str().ok().filter(|key| key.chars().count() <= KEY_CHARS_MAX);
    let key = key.ok_or_else(|| Error::invalid(*name))?;
    Ok((!key.is_empty()).then(|| key.to_owned()))
}
