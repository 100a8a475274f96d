//! Copying and moving the items that a request names into a folder of their box, all in one transaction.

use tokio_postgres::error::SqlState;

use super::written;
use crate::base::ids::BoxName;
use crate::base::{Error, Result};
use crate::postgres::Database;

/// The items that a request names, by their ids; 0 is one that cannot be in the box.
#[derive(Debug)]
pub struct Sources {
    /// Folders, in the order of the request.
    pub folders: Vec<i64>,
    /// Objects, in the order of the request.
    pub objects: Vec<i64>,
}

/// What became of an item.
#[derive(Debug)]
pub enum Outcome {
    /// It is in the target.
    Done {
        /// Its id: the one it had, or that of the copy.
        id: i64,
        /// The name of a folder.
        name: Option<String>,
    },
    /// There is no such item in the box, or it cannot come there: it is the root folder, or would come below itself.
    BadSource,
    /// The target has a folder of its name.
    NameTaken,
    /// The request would create more than it may.
    TooMuch,
}

/// The target and what became of each item: folders, then objects.
#[derive(Debug)]
pub struct Moved {
    /// The path of the target.
    pub path: String,
    /// Of the folders.
    pub folders: Vec<Outcome>,
    /// Of the objects.
    pub objects: Vec<Outcome>,
}

/// Moves items into a folder. `None` when there is no such folder.
pub async fn relocate(database: &Database, of: &BoxName, target: i64, sources: &Sources) -> Result<Option<Moved>> {
    run(database, of, target, sources, None).await
}

/// Copies items into a folder, folders with everything in them; at most so many new items in all. `None` when there
/// is no such folder.
pub async fn copy(
    database: &Database,
    of: &BoxName,
    target: i64,
    sources: &Sources,
    items_max: u32,
) -> Result<Option<Moved>> {
    run(database, of, target, sources, Some(items_max)).await
}

async fn run(
    database: &Database,
    of: &BoxName,
    target: i64,
    sources: &Sources,
    copies_max: Option<u32>,
) -> Result<Option<Moved>> {
    let (stream, Sources { folders, objects }) = (of.stream().as_str(), sources);
    let mut client = database.get().await?;
    let transaction = client.transaction().await?;
    let rows = match copies_max {
        None => {
            let query = "select * from tocsin.move_items($1, $2, $3, $4)";
            transaction.query(query, &[&stream, &target, folders, objects]).await
        }
        Some(most) => {
            let query = "select * from tocsin.copy_items($1, $2, $3, $4, $5)";
            transaction.query(query, &[&stream, &target, folders, objects, &i64::from(most)]).await
        }
    };
    let rows = match rows {
        Err(fault) if fault.code() == Some(&SqlState::NO_DATA_FOUND) => return Ok(None), // the target
        rows => rows?,
    };
    // The target's path stays while the box is locked.
    let path = transaction.query_one("select tocsin.folder_path($1)", &[&target]).await?.get(0);
    transaction.commit().await?;
    let mut outcomes = Vec::with_capacity(rows.len());
    for row in &rows {
        outcomes.push(match row.get("refused") {
            None => {
                written(of, row.get("item"));
                Outcome::Done { id: row.get("item"), name: row.get("item_name") }
            }
            Some("source") => Outcome::BadSource,
            Some("taken") => Outcome::NameTaken,
            Some("much") => Outcome::TooMuch,
            Some(other) => return Err(Error::internal(anyhow::anyhow!("an item was refused for {other}"))),
        });
    }
    let of_objects = outcomes.split_off(folders.len());
    Ok(Some(Moved { path, folders: outcomes, objects: of_objects }))
}
