//! Objects (rows 1 to 9 of the resource table).

use axum::Json;
use axum::extract::State;
use serde_json::Value;

use crate::base::Result;
use crate::http::extract::{PathIds, ReadsJson};
use crate::http::state::App;
use crate::store::rows;
use crate::wire::nms;

/// One object (row 2).
pub async fn read(State(app): State<App>, ids: PathIds, _: ReadsJson) -> Result<Json<Value>> {
    let object = rows::get_object(&app.database, &ids.store_box()?, ids.object()?).await?;
    Ok(Json(nms::object(&object, &app.urls)))
}
