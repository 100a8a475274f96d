//! Watched tables and their rows, as JSON: `/api/tables`.

pub mod rows;

use axum::routing::get;
use axum::{Json, Router};
use serde_json::Value;

use super::access::Asking;
use super::only;
use super::state::App;
use crate::auth::grants::{EVERY, Kind};
use crate::auth::rows as grants;
use crate::base::Result;
use crate::wire;
use crate::wire::schema;

/// Below `/api/tables`.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/", only("GET", get(list)))
        .route("/{tableName}", only("GET", get(rows::list)))
        .route("/{tableName}/{rowKey}", only("GET, PUT", get(rows::read).put(rows::change)))
}

/// The tables that are watched: those that the caller may read.
#[utoipa::path(
    get, path = "/api/tables", tag = "tables", operation_id = "listTables",
    responses((status = 200, body = schema::tables::WatchedTables))
)]
pub async fn list(app: App, asking: Asking) -> Result<Json<Value>> {
    let mut watched = crate::tables::rows::list(&app.database).await?;
    if let Some(user) = asking.confined_to() {
        let readable = grants::readable(&app.database, user.as_str(), Kind::Table).await?;
        watched.retain(|table| readable.iter().any(|name| *name == table.name || name == EVERY));
    }
    Ok(Json(wire::tables::tables(&watched, &app.urls)))
}
