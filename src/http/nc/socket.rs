//! The channelURL of a `WebSockets` channel (Appendix I).

use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::response::Response;

use crate::base::Result;
use crate::channel::{NO_CHANNEL, Transport, rows};
use crate::delivery::websocket;
use crate::http::extract::PathIds;
use crate::http::fault;
use crate::http::state::App;
use crate::wire::nc::SUBPROTOCOL;

/// What a client may send: connCheck and connAck are small.
const MESSAGE_BYTES_MAX: usize = 16 * 1024;
/// Bytes written but not yet taken by the kernel, beyond which a frame is an error. Frames wait for each other before
/// that, so one must fit, whatever event of the log's 1 MiB it holds and however that is escaped.
const WRITE_BYTES_MAX: usize = 8 << 20;
/// Small, since a server holds one for each of many idle sockets.
const READ_BYTES: usize = 1024;

/// Opens the socket. The sub-protocol is answered when it is offered; clients that offer none are served too.
pub async fn open(
    State(app): State<App>,
    ids: PathIds,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response> {
    let id = app.urls.channel_of_socket(ids.token()?).ok_or(NO_CHANNEL)?;
    let channel = rows::get(&app.database, &id).await?;
    if !matches!(channel.settings.transport, Transport::WebSockets { .. }) {
        return Err(NO_CHANNEL);
    }
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(rejection) => return Ok(fault::of_http(rejection.status(), "Upgrade")),
    };
    let (delivery, tasks) = (app.delivery.clone(), app.tasks.clone());
    Ok(upgrade
        .protocols([SUBPROTOCOL])
        .max_message_size(MESSAGE_BYTES_MAX)
        .max_frame_size(MESSAGE_BYTES_MAX)
        .read_buffer_size(READ_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(WRITE_BYTES_MAX)
        .on_upgrade(move |socket| tasks.track(websocket::serve(delivery, channel, socket))))
}
