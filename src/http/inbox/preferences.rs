//! What a user wants of the inbox.

use crate::base::Result;
use crate::http::caller::Caller;
use crate::http::extract::Body;
use crate::http::represent::{Document, Reads};
use crate::http::state::App;
use crate::inbox::rows;
use crate::wire::inbox as wire;

/// The types of events and the ways of delivery that are wanted; `null`: all.
pub async fn read(app: App, Caller(user): Caller, _: Reads) -> Result<Document> {
    let (wanted, _) = rows::preferences(&app.database, &user).await?;
    Ok(Document(wire::preferences(&wanted)))
}

/// Changes what is named.
pub async fn change(app: App, Caller(user): Caller, _: Reads, body: Body) -> Result<Document> {
    let (before, _) = rows::preferences(&app.database, &user).await?;
    let wanted = wire::read_preferences(body.fields("filter")?, before)?;
    rows::prefer(&app.database, &user, &wanted).await?;
    Ok(Document(wire::preferences(&wanted)))
}
