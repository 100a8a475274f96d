//! Searches for folders (spec/nms 2.3 row 13). The root folder of a box, which is no row, comes first if it is wanted.

use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;
use serde_json::{Map, Value};
use tokio_postgres::types::{Json, ToSql};

use super::order::Order;
use super::rows::{begin, folders, read};
use super::{Place, Search};
use crate::base::{Result, fold};
use crate::filter::sql::{Items, Predicate};
use crate::filter::{Criterion, Filter, Operator};
use crate::postgres::Database;

/// The seq of a place right after the root folder.
const AFTER_ROOT: i64 = -1;

/// A folder that was found.
#[derive(Debug)]
pub struct FoundFolder {
    /// Its id.
    pub id: i64,
    /// The id of the folder it is in.
    pub parent: i64,
    /// Its name.
    pub name: String,
    /// Its path.
    pub path: String,
    /// What its creator gave it: name to value or array of values.
    pub attributes: Map<String, Value>,
    /// Seq of its last change: lastModSeq.
    pub seq: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// What is in the root folder, as far as it is told: subfolders first, those first that were made first.
#[derive(Debug)]
pub struct InRoot {
    /// Ids and names of folders.
    pub folders: Vec<(i64, String)>,
    /// Ids of objects.
    pub objects: Vec<i64>,
    /// The place of the last one in a list of the folder, when there are more.
    pub cursor: Option<String>,
}

/// A batch of results.
#[derive(Debug)]
pub struct FoundFolders {
    /// The root folder is one of the results.
    pub root: Option<InRoot>,
    /// The others, in the order asked for.
    pub folders: Vec<FoundFolder>,
    /// Where the next batch begins; `None`: that was all.
    pub next: Option<Place>,
}

/// Runs a search for folders: one batch, all of it as of one moment. Of what is in the root folder, at most so many are
/// told.
pub async fn search_folders(database: &Database, search: &Search, in_root_max: u32) -> Result<FoundFolders> {
    let mut client = database.get().await?;
    let transaction = begin(&mut client).await?;
    let parents = match &search.scope {
        Some(scope) => folders(&transaction, &search.of, scope).await?,
        None => None,
    };
    let wants_root = search.filter.as_ref().is_none_or(root_matches);
    let root = match search.from {
        None if parents.is_none() && wants_root => Some(in_root(&transaction, search, i64::from(in_root_max)).await?),
        _ => None,
    };
    let (folders, next) = batch(&transaction, search, parents.as_deref(), root.is_some()).await?;
    transaction.commit().await?;
    Ok(FoundFolders { root, folders, next })
}

/// Whether the root folder matches: it has the attribute `Root`, an empty path, and nothing else.
fn root_matches(filter: &Filter) -> bool {
    let holds = |criterion: &Criterion| match criterion {
        Criterion::Attribute { name, value } => fold(name) == "root" && value == "Yes",
        Criterion::Path { path } => path.is_empty(),
        Criterion::Everything => true,
        _ => false,
    };
    match filter.operator {
        Operator::And => filter.criteria.iter().all(holds),
        Operator::Or => filter.criteria.iter().any(holds),
        Operator::Not => !filter.criteria.iter().all(holds),
    }
}

async fn batch(
    transaction: &Transaction<'_>,
    search: &Search,
    parents: Option<&[i64]>,
    with_root: bool,
) -> Result<(Vec<FoundFolder>, Option<Place>)> {
    let mut wanted = match &search.filter {
        Some(filter) => filter.predicate(Items::Folders, search.of.stream().as_str(), 0),
        None => Predicate { condition: "true".to_owned(), terms: None, texts: Vec::new() },
    };
    let order = Order::new(search, Items::Folders, &mut wanted.texts);
    let mut conditions = vec!["i.box_id = $2 and i.store = $3 and i.gone is null".to_owned(), wanted.condition];
    if let Some(place) = search.from.as_ref().filter(|place| place.seq != AFTER_ROOT) {
        conditions.push(order.after(place, &mut wanted.texts)?);
    }
    let most = search.max_entries - u32::from(with_root);
    let limit = i64::from(most) + 1;
    let (box_id, store) = (search.of.box_id(), search.of.store());
    let mut parameters: Vec<&(dyn ToSql + Sync)> = vec![&wanted.texts, &box_id, &store, &limit];
    if let Some(parents) = &parents {
        parameters.push(parents);
        conditions.push("i.parent_id = any ($5)".to_owned());
    }
    let statement = format!(
        "select i.id, i.parent_id, i.name, tocsin.folder_path(i.id) as path, i.attributes, i.seq, i.created_at, {}
         from tocsin.folders i where $1::text[] is not null and {} order by {} limit $4",
        order.place_columns(),
        conditions.join(" and "),
        order.columns(),
    );
    let (rows, more) = read(transaction, &statement, &parameters, most).await?;
    let last = rows.last().map(|last| Place { keys: last.get("keys"), seq: last.get("place_seq"), head: None });
    let next = last.or(Some(Place { keys: Vec::new(), seq: AFTER_ROOT, head: None })).filter(|_| more);
    let folder = |row: &tokio_postgres::Row| {
        let Json(attributes) = row.get("attributes");
        FoundFolder {
            id: row.get("id"),
            parent: row.get("parent_id"),
            name: row.get("name"),
            path: row.get("path"),
            attributes,
            seq: row.get("seq"),
            created_at: row.get("created_at"),
        }
    };
    Ok((rows.iter().map(folder).collect(), next))
}

async fn in_root(transaction: &Transaction<'_>, search: &Search, most: i64) -> Result<InRoot> {
    let select = |columns: &str, table: &str, place: &str| {
        format!(
            "select {columns}, created_seq from tocsin.{table}
             where box_id = $1 and store = $2 and {place} = 0 and gone is null order by created_seq limit $3"
        )
    };
    let (box_id, store) = (search.of.box_id(), search.of.store());
    let found = transaction.query(&select("id, name", "folders", "parent_id"), &[&box_id, &store, &(most + 1)]).await?;
    let room = most - (found.len() as i64).min(most);
    let objects = transaction.query(&select("id", "objects", "folder_id"), &[&box_id, &store, &(room + 1)]).await?;
    let told = |rows: &[tokio_postgres::Row], most: i64| rows.len().min(usize::try_from(most).unwrap_or(0));
    let (folders_told, objects_told) = (told(&found, most), told(&objects, room));
    let end = match objects[..objects_told].last() {
        Some(object) => format!("0-o-{}", object.get::<_, i64>("created_seq")),
        None => format!("0-f-{}", found[..folders_told].last().map_or(0, |folder| folder.get::<_, i64>("created_seq"))),
    };
    let more = folders_told < found.len() || objects_told < objects.len();
    Ok(InRoot {
        folders: found[..folders_told].iter().map(|row| (row.get("id"), row.get("name"))).collect(),
        objects: objects[..objects_told].iter().map(|row| row.get("id")).collect(),
        cursor: more.then_some(end),
    })
}
