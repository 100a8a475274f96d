//! Publishing to rooms.

use axum::extract::State;
use axum::response::Response;

use crate::base::Result;
use crate::http::caller::Caller;
use crate::http::extract::{Audience, PathIds};
use crate::http::represent::Reads;
use crate::http::state::App;
use crate::inbox::rows;
use crate::wire::inbox as wire;

/// Publishes a message: to all who listen in the room, or to its recipients, whose inboxes have it too.
pub async fn publish(
    State(app): State<App>,
    ids: PathIds,
    caller: Option<Caller>,
    _: Reads,
    Audience(body): Audience,
) -> Result<Response> {
    let caller = caller.map(|Caller(user)| user);
    let message = wire::read_room_message(body.fields("message")?, ids.room()?, caller.as_ref())?;
    let id = rows::publish_to_room(&app.database, &message).await?;
    Ok(super::published(&app, &message.release, &app.urls.room_path(&message.room), id))
}
