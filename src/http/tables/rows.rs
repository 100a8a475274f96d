//! The rows of a watched table: those of its columns that are watched, and its key.

use axum::Json;
use serde_json::value::RawValue;

use crate::base::{Error, Result};
use crate::http::extract::{Body, PathIds, Query};
use crate::http::state::App;
use crate::tables::{ROWS_DEFAULT, ROWS_MAX, rows};
use crate::wire::json::Media;
use crate::wire::schema;
use crate::wire::tables::{self, Page};

/// Rows in the order of their keys: `limit` of them, `after` a key.
#[utoipa::path(
    get, path = "/api/tables/{tableName}", tag = "tables", operation_id = "listRows",
    params(
        ("limit" = Option<u32>, Query, description = "Entries of the page"),
        ("after" = Option<String>, Query, description = "After the row with this key"),
    ),
    responses((status = 200, body = schema::tables::Rows))
)]
pub async fn list(app: App, ids: PathIds, query: Query) -> Result<Json<Page>> {
    let table = ids.table()?;
    let (limit, after) = (query.limit(ROWS_DEFAULT, ROWS_MAX)?, query.text("after")?);
    // One more says whether there are more.
    let found = rows::page(&app.database, table, after, limit + 1).await?;
    Ok(Json(tables::page(table, found, usize::try_from(limit).unwrap_or(0), &app.urls)?))
}

/// One row.
#[utoipa::path(
    get, path = "/api/tables/{tableName}/{rowKey}", tag = "tables", operation_id = "readRow",
    responses((status = 200, body = schema::tables::Row))
)]
pub async fn read(app: App, ids: PathIds) -> Result<Json<Box<RawValue>>> {
    Ok(Json(tables::row(rows::get(&app.database, ids.table()?, ids.row_key()?).await?)?))
}

/// Changes the columns of a row that are in the body, an object of them; answers the row.
#[utoipa::path(
    put, path = "/api/tables/{tableName}/{rowKey}", tag = "tables", operation_id = "changeRow",
    request_body = schema::tables::Row,
    responses((status = 200, body = schema::tables::Row), (status = 409))
)]
pub async fn change(app: App, ids: PathIds, body: Body) -> Result<Json<Box<RawValue>>> {
    let invalid = || Error::invalid("Request-Body");
    if body.media != Media::Json {
        return Err(Error::UnsupportedMedia { part: "Content-Type" });
    }
    // As it stands: with all digits of its numbers.
    let change: &RawValue = serde_json::from_slice(&body.bytes).map_err(|_| invalid())?;
    if !change.get().starts_with('{') {
        return Err(invalid());
    }
    let changed = rows::change(&app.database, ids.table()?, ids.row_key()?, change.get()).await?;
    Ok(Json(tables::row(changed)?))
}
