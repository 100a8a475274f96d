//! The SQL of objects.

use serde_json::{Map, Value, json};
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{Json, ToSql};

use super::payload::Payload;
use super::payload::upload::Claim;
use super::search::Search;
use super::search::rows::select;
use super::{Created, NewObject, Object, Place, payload, written};
use crate::base::ids::BoxName;
use crate::base::{Error, Result};
use crate::log::event::ItemState;
use crate::postgres::Database;

const NO_OBJECT: Error = Error::NotFound { what: "object" };

/// The id of an object as it stands in a URL: any text may stand there, [`Error::NotFound`] when it can be none.
pub fn object_id(text: &str) -> Result<i64> {
    text.parse().map_err(|_| NO_OBJECT)
}

/// An object of a box by the id in its URL. [`Error::NotFound`] when there is none.
pub async fn get_object(database: &Database, of: &BoxName, id: &str) -> Result<Object> {
    let id = object_id(id)?;
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
        payload: payload::of_column(row.get("payload")),
        seq: row.get("seq"),
        created_at: row.get("created_at"),
    }
}

/// Applies a change (`tocsin.patched`) to an object by the id in its URL, and says whether it had an effect: without one
/// there is no event. [`Error::NotFound`] when there is no such object.
pub async fn change_object(database: &Database, of: &BoxName, id: &str, patch: Value) -> Result<bool> {
    let id = object_id(id)?;
    let client = database.get().await?;
    let statement = client.prepare_cached("select tocsin.change_object($1, $2, $3)").await?;
    let row = client.query_one(&statement, &[&of.stream().as_str(), &id, &Json(patch)]).await?;
    let changed = row.get::<_, Option<bool>>(0).ok_or(NO_OBJECT)?;
    if changed {
        written(of, id);
    }
    Ok(changed)
}

/// Applies a change to many objects, all in one transaction: for each, in order, whether it had an effect; `None` where
/// there is no such object.
pub async fn change_objects(database: &Database, of: &BoxName, ids: &[i64], patch: Value) -> Result<Vec<Option<bool>>> {
    let change = "select changed from tocsin.change_objects($1, $2, $3)";
    let rows = database.get().await?.query(change, &[&of.stream().as_str(), &ids, &Json(patch)]).await?;
    let changed: Vec<Option<bool>> = rows.iter().map(|row| row.get(0)).collect();
    ids.iter().zip(&changed).filter(|(_, changed)| **changed == Some(true)).for_each(|(id, _)| written(of, *id));
    Ok(changed)
}

/// Applies a change to the objects that a search finds, as they are when it is applied: their ids. `None`, and nothing is
/// done, when there are more than `most`; or with `first`, only the first so many of them are meant.
pub async fn change_selected(
    database: &Database,
    search: &Search,
    first: Option<usize>,
    most: usize,
    patch: Value,
) -> Result<Option<Vec<i64>>> {
    let change = "select from tocsin.change_objects($1, $2, $3)";
    on_selected(database, search, first, most, change, &[&Json(patch)]).await
}

/// Deletes the objects that a search finds: see [`change_selected`].
pub async fn delete_selected(
    database: &Database,
    search: &Search,
    first: Option<usize>,
    most: usize,
) -> Result<Option<Vec<i64>>> {
    on_selected(database, search, first, most, "select from tocsin.end_objects($1, $2, 'deleted')", &[]).await
}

/// Runs a statement with the box, the ids of what a search finds in it, and more.
async fn on_selected(
    database: &Database,
    search: &Search,
    first: Option<usize>,
    most: usize,
    statement: &str,
    more: &[&(dyn ToSql + Sync)],
) -> Result<Option<Vec<i64>>> {
    let stream = search.of.stream().as_str();
    let mut client = database.get().await?;
    let transaction = client.transaction().await?;
    transaction.execute("select tocsin.lock_box($1)", &[&stream]).await?;
    let mut ids = select(&transaction, search, first.unwrap_or(most).min(most)).await?;
    ids.truncate(first.unwrap_or(ids.len()));
    if ids.len() > most {
        return Ok(None);
    }
    transaction.query(statement, &[&[&stream as &(dyn ToSql + Sync), &ids], more].concat()).await?;
    transaction.commit().await?;
    ids.iter().for_each(|id| written(&search.of, *id));
    Ok(Some(ids))
}

/// Deletes many objects, all in one transaction: for each, in order, whether it was there.
pub async fn delete_objects(database: &Database, of: &BoxName, ids: &[i64]) -> Result<Vec<bool>> {
    let delete = "select ended from tocsin.end_objects($1, $2, 'deleted')";
    let rows = database.get().await?.query(delete, &[&of.stream().as_str(), &ids]).await?;
    let ended: Vec<bool> = rows.iter().map(|row| row.get(0)).collect();
    ids.iter().zip(&ended).filter(|(_, ended)| **ended).for_each(|(id, _)| written(of, *id));
    Ok(ended)
}

/// Creates an object, with the payload that was uploaded for it. [`Error::Invalid`] names `parentFolder` when that is
/// not there, and `parentFolderPath` when it cannot be one.
pub async fn create_object(
    database: &Database,
    of: &BoxName,
    new: &NewObject,
    payload: Option<(Payload, Claim)>,
) -> Result<Created> {
    let (payload, claim) = payload.unzip();
    let data = json!({
        "attributes": new.attributes, "flags": (!new.flags.is_empty()).then_some(&new.flags),
        "correlationId": new.correlation_id, "correlationTag": new.correlation_tag, "payload": payload,
    });
    let (parent, path) = match &new.place {
        Place::Anywhere => (None, None),
        Place::Folder(id) => (Some(*id), None),
        Place::Path(path) => (None, Some(path.as_str())),
    };
    let client = database.get().await?;
    let statement = client.prepare_cached(include_str!("../../sql/queries/object_create.sql")).await?;
    let upload = claim.as_ref().map(Claim::id);
    let row = client
        .query_one(&statement, &[&of.stream().as_str(), &parent, &path, &Json(data), &upload])
        .await
        .map_err(|fault| match fault.code() {
            Some(&SqlState::NO_DATA_FOUND) => Error::invalid("parentFolder"),
            Some(&SqlState::INVALID_PARAMETER_VALUE) => Error::invalid("parentFolderPath"),
            _ => fault.into(),
        })?;
    if let Some(claim) = claim {
        claim.kept();
    }
    written(of, row.get(0));
    Ok(Created { id: row.get(0), folder_path: row.get(1) })
}

/// Deletes an object. [`Error::NotFound`] when there is none.
pub async fn delete_object(database: &Database, of: &BoxName, id: &str) -> Result<()> {
    let id = object_id(id)?;
    let client = database.get().await?;
    let statement = client.prepare_cached("select tocsin.end_object($1, $2, 'deleted')").await?;
    let row = client.query_one(&statement, &[&of.stream().as_str(), &id]).await?;
    if !row.get::<_, bool>(0) {
        return Err(NO_OBJECT);
    }
    written(of, id);
    Ok(())
}
