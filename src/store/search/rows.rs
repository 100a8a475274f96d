//! The SQL of searches.

use deadpool_postgres::Transaction;
use futures_util::{TryStreamExt, pin_mut};
use tokio_postgres::types::ToSql;
use tokio_postgres::{IsolationLevel, Row};

use super::order::Order;
use super::{Found, Place, Scope, Search, Top};
use crate::base::ids::BoxName;
use crate::base::{Error, Result};
use crate::filter::sql::{Items, Predicate};
use crate::postgres::{Database, Pooled};
use crate::store::rows::object;

/// What the index finds is looked at one by one up to so many objects; where there are more, a walk along the box meets
/// enough of them.
const CANDIDATES_MAX: usize = 2000;
/// One box is a small part of all, whatever statistics say; and compiling costs more than it saves.
const PLANS: &str = "set local enable_seqscan = off; set local jit = off";
/// Bytes of results after which a batch ends, whatever its length.
const BATCH_BYTES_MAX: usize = 4 << 20;

/// Runs a search: one batch, all of it as of one moment.
pub async fn search(database: &Database, search: &Search) -> Result<Found> {
    let mut client = database.get().await?;
    let transaction = begin(&mut client).await?;
    let found = read_batch(&transaction, search).await?;
    transaction.commit().await?;
    Ok(found)
}

async fn read_batch(transaction: &Transaction<'_>, search: &Search) -> Result<Found> {
    let head = head(transaction, &search.of).await?;
    if search.created_after > head {
        return Err(Error::invalid("value")); // a creationCursor of another history
    }
    let folders = match &search.scope {
        Some(scope) => folders(transaction, &search.of, scope).await?,
        None => None,
    };
    batch(transaction, search, folders.as_deref(), head).await
}

/// Everything that a search reads is of one moment.
pub(super) async fn begin(client: &mut Pooled) -> Result<Transaction<'_>> {
    let transaction =
        client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true).start().await?;
    transaction.batch_execute(PLANS).await?;
    Ok(transaction)
}

/// The ids of all objects that a search finds, or the first `most + 1` of them, in a transaction whose box nobody else
/// writes to until it ends.
pub async fn select(transaction: &Transaction<'_>, search: &Search, most: usize) -> Result<Vec<i64>> {
    transaction.batch_execute(PLANS).await?;
    let mut search = Search { max_entries: u32::try_from(most + 1).unwrap_or(u32::MAX), ..search.clone() };
    let mut ids = Vec::new();
    while ids.len() <= most {
        let found = read_batch(transaction, &search).await?;
        ids.extend(found.objects.iter().map(|object| object.id));
        match found.next {
            Some(next) => search.from = Some(next),
            None => break,
        }
    }
    Ok(ids)
}

/// Seq of the newest event of the box, 0 when there is none.
async fn head(transaction: &Transaction<'_>, of: &BoxName) -> Result<i64> {
    let head = "select head_seq from tocsin.streams where stream = $1";
    let row = transaction.query_opt(head, &[&of.stream().as_str()]).await?;
    Ok(row.map_or(0, |row| row.get(0)))
}

/// The ids of the folders in a scope; `None`: all there are.
pub(super) async fn folders(transaction: &Transaction<'_>, of: &BoxName, scope: &Scope) -> Result<Option<Vec<i64>>> {
    let stream = of.stream().as_str();
    let (top, missing) = match &scope.top {
        Top::Id(id, url) => (Some(*id), Error::NotFoundAt { url: url.clone() }),
        Top::Path(path) => {
            let row = transaction.query_one("select tocsin.folder_at($1, $2, false)", &[&stream, path]).await?;
            (row.get(0), Error::Unknown { kind: "path", value: path.clone() })
        }
    };
    match top {
        Some(0) if scope.recursive => return Ok(None),
        Some(0) => return Ok(Some(vec![0])),
        _ => {}
    }
    let tree = "select array(select t.folder from tocsin.folder_tree($1, f.id) t where $3 or t.depth = 0)
                from tocsin.folders f where f.id = $2 and f.store || '/' || f.box_id = $1 and f.gone is null";
    let row = transaction.query_opt(tree, &[&stream, &top, &scope.recursive]).await?;
    Ok(Some(row.ok_or(missing)?.get(0)))
}

async fn batch(transaction: &Transaction<'_>, search: &Search, folders: Option<&[i64]>, head: i64) -> Result<Found> {
    let stream = search.of.stream().as_str();
    let mut wanted = match &search.filter {
        Some(filter) => filter.predicate(Items::Objects, stream, search.created_after),
        None => Predicate { condition: "true".to_owned(), terms: None, texts: Vec::new() },
    };
    let candidates = candidates(transaction, search, &wanted).await?;
    let order = Order::new(search, Items::Objects, &mut wanted.texts);
    let mut conditions = vec![
        "i.box_id = $2 and i.store = $3".to_owned(),
        if search.of_vanished() { "i.gone is not null" } else { "i.gone is null" }.to_owned(),
        wanted.condition,
    ];
    if let Some(place) = &search.from {
        conditions.push(order.after(place, &mut wanted.texts)?);
    }
    let limit = i64::from(search.max_entries) + 1;
    let (store, box_id) = (search.of.store(), search.of.box_id());
    let mut parameters: Vec<&(dyn ToSql + Sync)> = vec![&wanted.texts, &box_id, &store, &limit];
    if let Some(folders) = &folders {
        parameters.push(folders);
        conditions.push(format!("i.folder_id = any (${})", parameters.len()));
    }
    if let Some(candidates) = &candidates {
        parameters.push(candidates);
        conditions.push(format!("i.id = any (${})", parameters.len()));
    }
    let statement = format!(
        "select i.id, i.folder_id, tocsin.folder_path(i.folder_id) as path, i.attributes, i.flags, i.correlation_id,
                i.correlation_tag, i.payload, i.seq, i.created_at, i.created_seq, {}
         from tocsin.objects i where $1::text[] is not null and {} order by {} limit $4",
        order.place_columns(),
        conditions.join(" and "),
        order.columns(),
    );
    let (rows, more) = read(transaction, &statement, &parameters, search.max_entries).await?;
    let next = rows.last().filter(|_| more).map(|last| Place {
        keys: last.get("keys"),
        seq: last.get("place_seq"),
        head: search.of_created().then(|| began_at(search, head)),
    });
    let created_upto = search.of_created().then(|| match &next {
        None => began_at(search, head),
        Some(last) if order.is_creation() => last.seq,
        Some(_) => search.created_after,
    });
    Ok(Found { objects: rows.iter().map(|row| object(row, &search.of)).collect(), next, created_upto })
}

/// The head of the box when the first batch was read: what was created later is for the next search.
fn began_at(search: &Search, head: i64) -> i64 {
    search.from.as_ref().and_then(|place| place.head).unwrap_or(head).min(head)
}

/// The only objects that can match, if there are few; `None` when the index cannot tell, or finds many. Why it misses
/// none: sql/functions/terms.sql.
async fn candidates(transaction: &Transaction<'_>, search: &Search, wanted: &Predicate) -> Result<Option<Vec<i64>>> {
    let Some(terms) = wanted.terms.as_ref().filter(|_| !search.of_vanished()) else { return Ok(None) };
    let statement = format!(
        "select array(select t.object_id from tocsin.object_terms t where t.terms @@ ({terms}) limit $4),
                array(select tocsin.fresh_objects($3, $2, p.watermark, $4::integer))
         from tocsin.terms_progress p"
    );
    let most = CANDIDATES_MAX as i64 + 1;
    let (box_id, store) = (search.of.box_id(), search.of.store());
    let row = transaction.query_one(&statement, &[&wanted.texts, &box_id, &store, &most]).await?;
    let (mut indexed, fresh): (Vec<i64>, Vec<i64>) = (row.get(0), row.get(1));
    if indexed.len() > CANDIDATES_MAX || fresh.len() > CANDIDATES_MAX {
        return Ok(None);
    }
    indexed.extend(fresh);
    Ok(Some(indexed))
}

/// The rows of a batch, and whether there are more.
pub(super) async fn read(
    transaction: &Transaction<'_>,
    statement: &str,
    parameters: &[&(dyn ToSql + Sync)],
    most: u32,
) -> Result<(Vec<Row>, bool)> {
    let rows = transaction.query_raw(statement, parameters.iter().copied()).await?;
    pin_mut!(rows);
    let (mut batch, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.try_next().await? {
        if batch.len() >= most as usize || bytes > BATCH_BYTES_MAX {
            return Ok((batch, true));
        }
        bytes += row.raw_size_bytes();
        batch.push(row);
    }
    Ok((batch, false))
}
