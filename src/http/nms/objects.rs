//! Objects (rows 1 to 9 of the resource table).

use axum::extract::State;

use crate::base::Result;
use crate::http::extract::PathIds;
use crate::http::represent::{Document, Reads};
use crate::http::state::App;
use crate::store::rows;
use crate::wire::nms;

/// One object (row 2).
pub async fn read(State(app): State<App>, ids: PathIds, _: Reads) -> Result<Document> {
    let object = rows::get_object(&app.database, &ids.store_box()?, ids.object()?).await?;
    Ok(Document(nms::object(&object, &app.urls)))
}
