//! Watched tables and their rows, as JSON: `/api/tables`.

pub mod rows;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::Value;

use super::only;
use super::state::App;
use crate::base::Result;
use crate::wire;

/// Below `/api/tables`.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/", only("GET", get(list)))
        .route("/{tableName}", only("GET", get(rows::list)))
        .route("/{tableName}/{rowKey}", only("GET, PUT", get(rows::read).put(rows::change)))
}

/// The tables that are watched.
pub async fn list(State(app): State<App>) -> Result<Json<Value>> {
    let watched = crate::tables::rows::list(&app.database).await?;
    Ok(Json(wire::tables::tables(&watched, &app.urls)))
}
