//! Publishing to rooms.

use axum::response::Response;

use crate::auth::grants::{Kind, Resource, Right};
use crate::auth::rows as grants;
use crate::auth::scope::Scopes;
use crate::base::{Error, Result};
use crate::http::access::Asking;
use crate::http::caller::Caller;
use crate::http::extract::{Audience, PathIds};
use crate::http::represent::Reads;
use crate::http::state::App;
use crate::inbox::{NewRoomMessage, rows};
use crate::wire::inbox as wire;
use crate::wire::schema;

/// Publishes a message: to all who listen in the room, or to its recipients, whose inboxes have it too.
#[utoipa::path(
    post, path = "/api/rooms/{room}", tag = "inbox", operation_id = "publishToRoom",
    request_body = schema::inbox::NewMessage,
    responses((status = 201, body = schema::inbox::Published), (status = 202, body = schema::nc::Waits))
)]
pub async fn publish(
    app: App,
    asking: Asking,
    ids: PathIds,
    caller: Option<Caller>,
    _: Reads,
    Audience(body): Audience,
) -> Result<Response> {
    let caller = caller.map(|Caller(user)| user);
    let mut message = wire::read_room_message(body.fields("message")?, ids.room()?, caller.as_ref())?;
    if !asking.has_any(Scopes::PUBLISH) {
        message.author = caller.map(|user| user.as_str().to_owned());
        admit_recipients(&app, &message).await?;
    }
    let id = rows::publish_to_room(&app.database, &message).await?;
    Ok(super::published(&app, &message.release, &app.urls.room_path(&message.room), id))
}

/// A message for some has a place in their inboxes: without the right to publish to anybody, it can be for those only who
/// may listen in the room.
async fn admit_recipients(app: &App, message: &NewRoomMessage) -> Result<()> {
    let room = Resource::new(Kind::Room, &message.room);
    for user in &message.recipients {
        if room.owner() != Some(user) && !grants::is_granted(&app.database, user, &room, Right::Read).await? {
            return Err(Error::invalid("recipients"));
        }
    }
    Ok(())
}
