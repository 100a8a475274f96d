//! The SQL of objects.

use serde_json::{Map, Value};
use tokio_postgres::types::Json;

use super::Object;
use crate::base::ids::BoxName;
use crate::base::{Error, Result};
use crate::log::event::ItemState;
use crate::postgres::Database;

const NO_OBJECT: Error = Error::NotFound { what: "object" };

fn object_id(text: &str) -> Result<i64> {
    text.parse().map_err(|_| NO_OBJECT)
}

/// An object of a box by the id in its URL. [`Error::NotFound`] when there is none, any text may be asked for.
pub async fn get_object(database: &Database, of: &BoxName, id: &str) -> Result<Object> {
    let id = object_id(id)?;
    let client = database.get().await?;
    let statement = client.prepare_cached(include_str!("../../sql/queries/object_get.sql")).await?;
    let row = client.query_opt(&statement, &[&id, &of.store(), &of.box_id()]).await?.ok_or(NO_OBJECT)?;
    let Json(attributes): Json<Map<String, Value>> = row.get("attributes");
    Ok(Object {
        id,
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
    })
}

/// Applies a change (`tocsin.patched`) to an object by the id in its URL, and says whether it had an effect: without one
/// there is no event. [`Error::NotFound`] when there is no such object.
pub async fn change_object(database: &Database, of: &BoxName, id: &str, patch: Value) -> Result<bool> {
    let id = object_id(id)?;
    let client = database.get().await?;
    let statement = client.prepare_cached("select tocsin.change_object($1, $2, $3)").await?;
    let row = client.query_one(&statement, &[&of.stream().as_str(), &id, &Json(patch)]).await?;
    row.get::<_, Option<bool>>(0).ok_or(NO_OBJECT)
}

/// Applies a change to many objects, all in one transaction: for each, in order, whether it had an effect; `None` where
/// there is no such object.
pub async fn change_objects(database: &Database, of: &BoxName, ids: &[i64], patch: Value) -> Result<Vec<Option<bool>>> {
    let change = "select changed from tocsin.change_objects($1, $2, $3)";
    let rows = database.get().await?.query(change, &[&of.stream().as_str(), &ids, &Json(patch)]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Deletes many objects, all in one transaction: for each, in order, whether it was there.
pub async fn delete_objects(database: &Database, of: &BoxName, ids: &[i64]) -> Result<Vec<bool>> {
    let delete = "select ended from tocsin.end_objects($1, $2, 'deleted')";
    let rows = database.get().await?.query(delete, &[&of.stream().as_str(), &ids]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}
