//! Watched tables and their rows, in JSON only: a row is what its columns are.

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::urls::Urls;
use crate::base::{Error, Result};
use crate::tables::{TableRow, Watched};

/// Writes the list of watched tables.
pub fn tables(watched: &[Watched], urls: &Urls) -> Value {
    let results: Vec<Value> = watched.iter().map(|table| fields(table, urls)).collect();
    json!({ "results": results })
}

fn fields(table: &Watched, urls: &Urls) -> Value {
    json!({
        "name": table.name, "key": table.key, "box": table.of_box, "columns": table.columns,
        "operations": table.operations, "when": table.when, "fault": table.fault, "rows": urls.table(&table.name),
    })
}

/// Rows of a table, and where the next ones are.
#[derive(Debug, Serialize)]
pub struct Page {
    results: Vec<Box<RawValue>>,
    next: Option<String>,
}

/// Writes a page of `limit` rows, of which the database was asked for one more.
pub fn page(table: &str, mut rows: Vec<TableRow>, limit: usize, urls: &Urls) -> Result<Page> {
    let more = rows.len() > limit;
    rows.truncate(limit);
    let last = rows.last().filter(|_| more);
    let next = last.map(|row| urls.table_after(table, limit, &row.key));
    Ok(Page { results: rows.into_iter().map(row).collect::<Result<_>>()?, next })
}

/// Writes a row.
pub fn row(row: TableRow) -> Result<Box<RawValue>> {
    RawValue::from_string(row.content).map_err(Error::internal)
}
