//! Sockets that listen to an inbox or a room. Where they begin is said by `since`: whoever comes back says where it was.

use axum::extract::Request;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use tracing::debug;

use super::notifications;
use crate::auth::grants::{Kind, Resource};
use crate::auth::scope::Scopes;
use crate::base::Result;
use crate::base::ids::Stream;
use crate::delivery::feed::Feed;
use crate::delivery::listener::Listener;
use crate::delivery::websocket::{self, Admitted};
use crate::http::access::{Asking, NOT_THERE};
use crate::http::caller::Caller;
use crate::http::extract::{PathIds, Query};
use crate::http::nc::socket::accept;
use crate::http::represent::Reads;
use crate::http::state::App;
use crate::inbox::{Since, rows};
use crate::wire::inbox as wire;
use crate::wire::schema;

/// A user's notifications, as they come and as they are read.
#[utoipa::path(
    get, path = "/ws/notifications", tag = "inbox", operation_id = "openInboxSocket",
    params(
        ("since" = Option<String>, Query, description = "Where to begin: latest, all, an id, a moment or a duration"),
    ),
    responses((status = 101), (status = 426))
)]
pub async fn inbox(app: App, asking: Asking, caller: Caller, query: Query, request: Request) -> Result<Response> {
    listen_to_inbox(app, asking, caller, query, request, false).await
}

/// The minimal form of it; without an upgrade, the list of notifications.
#[utoipa::path(
    get, path = "/api/notifications/", tag = "inbox", operation_id = "openMinimalSocket",
    params(
        ("limit" = Option<u32>, Query, description = "Entries of the page"),
        ("readed" = Option<String>, Query, description = "true, false, or a moment: read since then"),
        ("offset" = Option<u32>, Query, description = "Leave out so many"),
        ("before" = Option<i64>, Query, description = "Older than this id"),
        ("after" = Option<i64>, Query, description = "Newer than this id, the oldest first"),
        ("since" = Option<String>, Query, description = "Where to begin: latest, all, an id, a moment or a duration"),
    ),
    responses((status = 200, body = schema::inbox::InboxPage), (status = 101))
)]
pub async fn minimal(
    app: App,
    asking: Asking,
    caller: Caller,
    query: Query,
    reads: Reads,
    request: Request,
) -> Result<Response> {
    if !request.headers().contains_key(header::UPGRADE) {
        return Ok(notifications::list(app, caller, query, reads).await?.into_response());
    }
    listen_to_inbox(app, asking, caller, query, request, true).await
}

async fn listen_to_inbox(
    app: App,
    asking: Asking,
    Caller(user): Caller,
    query: Query,
    request: Request,
    minimal: bool,
) -> Result<Response> {
    let since = since(&query)?;
    let pass = asking.pass(&app, Scopes::INBOX, Resource::new(Kind::Inbox, user.as_str()), NOT_THERE).await?;
    let admitted = Admitted::new(pass, Some(app.quotas.seat(&user)?));
    rows::open(&app.database, &user).await?;
    let (wanted, wanted_since) = rows::preferences(&app.database, &user).await?;
    let listener = Listener::Inbox { wanted, wanted_since, via: "websocket", minimal };
    listen(app, Stream::of_inbox(&user), listener, admitted, since, "inbox", request).await
}

/// What is published to a room.
#[utoipa::path(
    get, path = "/ws/rooms/{room}", tag = "inbox", operation_id = "openRoomSocket",
    params(
        ("since" = Option<String>, Query, description = "Where to begin: latest, all, an id, a moment or a duration"),
    ),
    responses((status = 101), (status = 426))
)]
pub async fn room(
    app: App,
    asking: Asking,
    ids: PathIds,
    caller: Option<Caller>,
    query: Query,
    request: Request,
) -> Result<Response> {
    let (room, since) = (ids.room()?, since(&query)?);
    let pass = asking.pass(&app, Scopes::ROOMS, Resource::new(Kind::Room, &room), NOT_THERE).await?;
    let seat = caller.as_ref().map(|Caller(user)| app.quotas.seat(user)).transpose()?;
    let listener = Listener::Room { user: caller.map(|Caller(user)| user) };
    listen(app, Stream::of_room(&room), listener, Admitted::new(pass, seat), since, "room", request).await
}

fn since(query: &Query) -> Result<Since> {
    query.get("since").map_or(Ok(Since::Latest), wire::since)
}

async fn listen(
    app: App,
    stream: Stream,
    listener: Listener,
    admitted: Admitted,
    since: Since,
    label: &'static str,
    mut request: Request,
) -> Result<Response> {
    app.delivery.drain.admit()?;
    let (response, upgrade) = match accept(&mut request) {
        Ok(accepted) => accepted,
        Err(refused) => return Ok(*refused),
    };
    // Before the upgrade: what is written after it, its client can count on.
    let from = rows::listen_from(&app.database, &stream, since).await?;
    let delivery = app.delivery.clone();
    app.tasks.attend(async move {
        match upgrade.await {
            Ok(upgraded) => {
                let feed = Box::new(Feed::listen(delivery.clone(), stream, listener, from, label));
                websocket::serve_listener(delivery, feed, admitted, upgraded).await;
            }
            Err(fault) => debug!("a socket that was not opened: {fault}"),
        }
    });
    Ok(response)
}
