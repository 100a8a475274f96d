//! The SQL of objects.

use serde_json::{Map, Value};
use tokio_postgres::Row;
use tokio_postgres::types::Json;

use super::Object;
use crate::base::ids::BoxName;
use crate::base::{Error, Result};
use crate::log::event::ItemState;
use crate::postgres::Database;

/// An object of a box by the id in its URL. [`Error::NotFound`] when there is none, any text may be asked for.
pub async fn get_object(database: &Database, of: &BoxName, id: &str) -> Result<Object> {
    const NO_OBJECT: Error = Error::NotFound { what: "object" };
    let id: i64 = id.parse().map_err(|_| NO_OBJECT)?;
    let client = database.get().await?;
    let statement = client.prepare_cached(include_str!("../../sql/queries/object_get.sql")).await?;
    let row = client.query_opt(&statement, &[&id, &of.store(), &of.box_id()]).await?.ok_or(NO_OBJECT)?;
    Ok(object(&row, of))
}

/// An object of a box from its columns, `path` being that of its folder.
pub(super) fn object(row: &Row, of: &BoxName) -> Object {
    let Json(attributes): Json<Map<String, Value>> = row.get("attributes");
    Object {
        id: row.get("id"),
        of: of.clone(),
        state: ItemState {
            attributes,
            flags: row.get("flags"),
            folder: row.get("folder_id"),
            path: row.get("path"),
            correlation_id: row.get("correlation_id"),
            correlation_tag: row.get("correlation_tag"),
            ..ItemState::default()
        },
        seq: row.get("seq"),
        created_at: row.get("created_at"),
    }
}
