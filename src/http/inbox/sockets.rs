//! Sockets that listen to an inbox or a room. Where they begin is said by `since`: whoever comes back says where it was.

use axum::extract::{Request, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use tracing::debug;

use super::notifications;
use crate::base::Result;
use crate::base::ids::Stream;
use crate::delivery::feed::Feed;
use crate::delivery::listener::Listener;
use crate::delivery::websocket;
use crate::http::caller::Caller;
use crate::http::extract::{PathIds, Query};
use crate::http::nc::socket::accept;
use crate::http::represent::Reads;
use crate::http::state::App;
use crate::inbox::{Since, rows};
use crate::wire::inbox as wire;

/// A user's notifications, as they come and as they are read.
pub async fn inbox(app: State<App>, caller: Caller, query: Query, request: Request) -> Result<Response> {
    listen_to_inbox(app, caller, query, request, false).await
}

/// The minimal form of it; without an upgrade, the list of notifications.
pub async fn minimal(
    app: State<App>,
    caller: Caller,
    query: Query,
    reads: Reads,
    request: Request,
) -> Result<Response> {
    if !request.headers().contains_key(header::UPGRADE) {
        return Ok(notifications::list(app, caller, query, reads).await?.into_response());
    }
    listen_to_inbox(app, caller, query, request, true).await
}

async fn listen_to_inbox(
    State(app): State<App>,
    Caller(user): Caller,
    query: Query,
    request: Request,
    minimal: bool,
) -> Result<Response> {
    let since = since(&query)?;
    rows::open(&app.database, &user).await?;
    let (wanted, wanted_since) = rows::preferences(&app.database, &user).await?;
    let listener = Listener::Inbox { wanted, wanted_since, via: "websocket", minimal };
    listen(app, Stream::of_inbox(&user), listener, since, "inbox", request).await
}

/// What is published to a room.
pub async fn room(
    State(app): State<App>,
    ids: PathIds,
    caller: Option<Caller>,
    query: Query,
    request: Request,
) -> Result<Response> {
    let (room, since) = (ids.room()?, since(&query)?);
    let listener = Listener::Room { user: caller.map(|Caller(user)| user) };
    listen(app, Stream::of_room(&room), listener, since, "room", request).await
}

fn since(query: &Query) -> Result<Since> {
    query.get("since").map_or(Ok(Since::Latest), wire::since)
}

async fn listen(
    app: App,
    stream: Stream,
    listener: Listener,
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
                websocket::serve_listener(delivery, feed, upgraded).await;
            }
            Err(fault) => debug!("a socket that was not opened: {fault}"),
        }
    });
    Ok(response)
}
