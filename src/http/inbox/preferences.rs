//! What a user wants of the inbox.

use crate::base::Result;
use crate::http::caller::Caller;
use crate::http::extract::Body;
use crate::http::represent::{Document, Reads};
use crate::http::state::App;
use crate::inbox::rows;
use crate::wire::inbox as wire;
use crate::wire::schema;

/// The types of events and the ways of delivery that are wanted; `null`: all.
#[utoipa::path(
    get, path = "/api/notifications/filter", tag = "inbox", operation_id = "readPreferences",
    responses((status = 200, body = schema::inbox::Preferences))
)]
pub async fn read(app: App, Caller(user): Caller, _: Reads) -> Result<Document> {
    let (wanted, _) = rows::preferences(&app.database, &user).await?;
    Ok(Document(wire::preferences(&wanted)))
}

/// Changes what is named.
#[utoipa::path(
    patch, path = "/api/notifications/filter", tag = "inbox", operation_id = "changePreferences",
    request_body = schema::inbox::Preferences,
    responses((status = 200, body = schema::inbox::Preferences))
)]
pub async fn change(app: App, Caller(user): Caller, _: Reads, body: Body) -> Result<Document> {
    let (before, _) = rows::preferences(&app.database, &user).await?;
    let wanted = wire::read_preferences(body.fields("filter")?, before)?;
    rows::prefer(&app.database, &user, &wanted).await?;
    Ok(Document(wire::preferences(&wanted)))
}
