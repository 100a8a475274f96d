//! The callbackURL of a channel, where enablers post notifications (spec/common 9).

use std::time::Instant;

use axum::extract::{FromRequest, Request, State};
use axum::http::{HeaderMap, StatusCode};

use super::extract::{Body, PathIds};
use super::state::App;
use crate::base::ids::ChannelId;
use crate::base::{Error, Format, Result};
use crate::channel::NO_CHANNEL;
use crate::channel::rows::{self, Callback};
use crate::wire::callback;

/// Where a sender names its notification, the better place first.
const KEY_HEADERS: [&str; 2] = ["Idempotency-Key", "Message-ID"];
/// Longest such name.
const KEY_CHARS_MAX: usize = 255;

/// Takes a notification with any root element: 204 when it is in the log.
pub async fn post(State(app): State<App>, ids: PathIds, request: Request) -> Result<StatusCode> {
    let channel = admit(&app, &ids)?;
    let key = key(request.headers())?;
    let body = Body::from_request(request, &app).await?;
    let notification = match body.format() {
        Format::Json => callback::read_json(&body.bytes)?,
        Format::Xml => callback::read_xml(&body.bytes)?,
    };
    let callback = Callback { format: body.format(), body: notification, key: key.as_deref() };
    rows::take_callback(&app.database, &channel, &callback, app.limits.callbacks_pending_max).await?;
    Ok(StatusCode::NO_CONTENT)
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
