//! Searches for folders (spec/nms 2.3 row 13). The root folder of a box, which is no row, comes first if it is wanted.

use deadpool_postgres::Transaction;
use tokio_postgres::types::ToSql;

use super::order::Order;
use super::rows::{begin, folders, read};
use super::{Place, Search};
use crate::base::{Result, fold};
use crate::filter::sql::{Items, Predicate};
use crate::filter::{Criterion, Filter, Operator};
use crate::postgres::Database;
use crate::store::folders::{Folder, List, Listed, Page, list};

/// The seq of a place right after the root folder.
const AFTER_ROOT: i64 = -1;

/// A batch of results.
#[derive(Debug)]
pub struct FoundFolders {
    /// The root folder, with what is in it, if it is one of the results.
    pub root: Option<(Folder, List)>,
    /// The others, in the order asked for.
    pub folders: Vec<Folder>,
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
        None if parents.is_none() && wants_root => {
            let root = Folder::root(&search.of);
            let page = Page { listed: Listed::All, after: None, entries_max: i64::from(in_root_max) };
            let contents = list(&transaction, &root, &page).await?;
            Some((root, contents))
        }
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
) -> Result<(Vec<Folder>, Option<Place>)> {
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
    Ok((rows.iter().map(|row| Folder::of_row(&search.of, row.get("id"), row)).collect(), next))
}
