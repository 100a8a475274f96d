//! Publishing events.

use axum::response::Response;

use crate::base::Result;
use crate::http::caller::Caller;
use crate::http::extract::Audience;
use crate::http::represent::Reads;
use crate::http::state::App;
use crate::inbox::rows;
use crate::wire::inbox as wire;

/// Makes an event, and a notification for each user in its audience, in one transaction.
pub async fn publish(app: App, caller: Option<Caller>, _: Reads, Audience(body): Audience) -> Result<Response> {
    let caller = caller.map(|Caller(user)| user);
    let event = wire::read_event(body.fields("event")?, caller.as_ref())?;
    let id = rows::publish(&app.database, &event).await?;
    Ok(super::published(&app, &event.release, "/api/events", id))
}
