//! Publishing events.

use axum::response::Response;

use crate::base::Result;
use crate::http::caller::Caller;
use crate::http::extract::Audience;
use crate::http::represent::Reads;
use crate::http::state::App;
use crate::inbox::rows;
use crate::wire::inbox as wire;
use crate::wire::schema;

/// Makes an event, and a notification for each user in its audience, in one transaction.
#[utoipa::path(
    post, path = "/api/events", tag = "inbox", operation_id = "publishEvent",
    request_body = schema::inbox::NewEvent,
    responses((status = 201, body = schema::inbox::Published), (status = 202, body = schema::nc::Waits))
)]
pub async fn publish(app: App, caller: Option<Caller>, _: Reads, Audience(body): Audience) -> Result<Response> {
    let caller = caller.map(|Caller(user)| user);
    let event = wire::read_event(body.fields("event")?, caller.as_ref())?;
    let id = rows::publish(&app.database, &event).await?;
    Ok(super::published(&app, &event.release, "/api/events", id))
}
