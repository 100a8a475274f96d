//! The channelURL of a `WebSockets` channel (Appendix I).

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use hyper::upgrade::OnUpgrade;
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;
use tracing::debug;

use crate::auth::scope::Scopes;
use crate::base::Result;
use crate::channel::{NO_CHANNEL, Transport, rows};
use crate::delivery::websocket::{self, Admitted};
use crate::http::access::Asking;
use crate::http::extract::PathIds;
use crate::http::fault;
use crate::http::state::App;
use crate::wire::nc::SUBPROTOCOL;

/// Opens the socket. The sub-protocol is answered when it is offered; clients that offer none are served too.
#[utoipa::path(
    get, path = "/ws/{token}", tag = "delivery", operation_id = "openChannelSocket",
    responses((status = 101), (status = 426))
)]
pub async fn open(app: App, asking: Asking, ids: PathIds, mut request: Request) -> Result<Response> {
    app.delivery.drain.admit()?;
    let id = app.urls.channel_of_socket(ids.token()?).ok_or(NO_CHANNEL)?;
    let turn = app.delivery.turn().await?;
    let channel = Box::new(rows::get(&app.database, &id).await?);
    drop(turn);
    if !matches!(channel.settings.transport, Transport::WebSockets { .. }) {
        return Err(NO_CHANNEL);
    }
    let pass = asking.pass_to(&app, &channel, Scopes::WEB_SOCKETS).await?;
    let seat = app.quotas.seat(&channel.user)?;
    let (mut response, upgrade) = match accept(&mut request) {
        Ok(accepted) => accepted,
        Err(refused) => return Ok(*refused),
    };
    if offers_subprotocol(request.headers()) {
        response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    }
    let delivery = app.delivery.clone();
    app.tasks.attend(async move {
        match upgrade.await {
            Ok(upgraded) => websocket::serve(delivery, channel, Admitted::new(pass, Some(seat)), upgraded).await,
            Err(fault) => debug!("a socket that was not opened: {fault}"),
        }
    });
    Ok(response)
}

/// Accepts what asks to become a WebSocket: the answer, and the connection after it. Or refuses it.
pub fn accept(request: &mut Request) -> Result<(Response, OnUpgrade), Box<Response>> {
    let Ok(response) = create_response_with_body(request, Body::empty) else {
        return Err(Box::new(fault::of_http(StatusCode::BAD_REQUEST, "Upgrade")));
    };
    let upgrade = request.extensions_mut().remove::<OnUpgrade>();
    let upgrade = upgrade.ok_or_else(|| Box::new(fault::of_http(StatusCode::UPGRADE_REQUIRED, "Upgrade")))?;
    Ok((response, upgrade))
}

fn offers_subprotocol(headers: &HeaderMap) -> bool {
    let offers = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|offers| offers.to_str().ok());
    offers.flat_map(|offers| offers.split(',')).any(|offer| offer.trim() == SUBPROTOCOL)
}
