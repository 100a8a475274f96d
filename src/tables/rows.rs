//! The SQL of watched tables.

use std::fmt::Write;

use tokio_postgres::Row;
use tokio_postgres::error::{DbError, SqlState};

use super::{NewWatch, TableRow, Watched};
use crate::base::{Error, Result};
use crate::postgres::Database;

const NO_TABLE: Error = Error::NotFound { what: "table" };
const NO_ROW: Error = Error::NotFound { what: "row" };

/// Watches a table, or again in another way. What is wrong with it is told to a person.
pub async fn watch(database: &Database, new: &NewWatch) -> anyhow::Result<()> {
    let statement = include_str!("../../sql/queries/table_watch.sql");
    let NewWatch { table, key, of_box, columns, operations, when } = new;
    let watched = database.get().await?.execute(statement, &[table, key, of_box, columns, operations, when]).await;
    watched.map(drop).map_err(in_words)
}

/// Ends that; false when it was not watched.
pub async fn unwatch(database: &Database, table: &str) -> anyhow::Result<bool> {
    let unwatched = database.get().await?.query_one("select tocsin.unwatch($1::text::regclass)", &[&table]).await;
    unwatched.map(|row| row.get(0)).map_err(in_words)
}

/// What Postgres says to whoever is at the keyboard.
fn in_words(fault: tokio_postgres::Error) -> anyhow::Error {
    let Some(said) = fault.as_db_error() else { return fault.into() };
    let mut words = said.message().to_owned();
    if let Some(hint) = said.hint() {
        let _ = write!(words, " ({hint})"); // into a text, which takes everything
    }
    anyhow::Error::msg(words)
}

/// The tables that are watched, by name.
pub async fn list(database: &Database) -> Result<Vec<Watched>> {
    let client = database.get().await?;
    let statement = client.prepare_cached(include_str!("../../sql/queries/tables_watched.sql")).await?;
    Ok(client.query(&statement, &[]).await?.iter().map(watched).collect())
}

fn watched(row: &Row) -> Watched {
    Watched {
        name: row.get("name"),
        key: row.get("key"),
        of_box: row.get("box"),
        columns: row.get("columns"),
        operations: row.get("operations"),
        when: row.get("when"),
        fault: row.get("fault"),
    }
}

/// Up to `most` rows of a watched table, in the order of their keys, after a key.
pub async fn page(database: &Database, table: &str, after: Option<&str>, most: i32) -> Result<Vec<TableRow>> {
    let client = database.get().await?;
    let statement = client.prepare_cached("select key, content::text from tocsin.table_rows($1, $2, $3)").await?;
    let rows = client.query(&statement, &[&table, &after, &most]).await.map_err(|fault| {
        match fault.code().map(|code| &code.code()[..2]) {
            Some("22") => Error::invalid("after"), // nothing else is given
            _ => refused(fault),
        }
    })?;
    Ok(rows.iter().map(table_row).collect())
}

/// One row of a watched table.
pub async fn get(database: &Database, table: &str, key: &str) -> Result<TableRow> {
    let client = database.get().await?;
    let statement = client.prepare_cached("select key, content::text from tocsin.table_row($1, $2)").await?;
    let row = client.query_opt(&statement, &[&table, &key]).await.map_err(refused)?;
    row.as_ref().map(table_row).ok_or(NO_ROW)
}

/// Changes columns of a row; `change` is a JSON object of them. Answers the row as it is then. [`Error::Invalid`] names
/// the column that there is not, or whose value cannot be.
pub async fn change(database: &Database, table: &str, key: &str, change: &str) -> Result<TableRow> {
    let client = database.get().await?;
    let statement =
        client.prepare_cached("select key, content::text from tocsin.change_row($1, $2, $3::text::jsonb)").await?;
    let row = client.query_opt(&statement, &[&table, &key, &change]).await.map_err(refused)?;
    row.as_ref().map(table_row).ok_or(NO_ROW)
}

fn table_row(row: &Row) -> TableRow {
    TableRow { key: row.get(0), content: row.get(1) }
}

/// What the database, or the table's own rules, refuse.
fn refused(fault: tokio_postgres::Error) -> Error {
    let Some(said) = fault.as_db_error() else { return fault.into() };
    match (said.code(), said.column()) {
        (code, _) if *code == SqlState::UNDEFINED_TABLE => NO_TABLE,
        (code, Some(column)) if [SqlState::INVALID_PARAMETER_VALUE, SqlState::NOT_NULL_VIOLATION].contains(code) => {
            Error::invalid(column)
        }
        _ if is_rule(said) => Error::Policy { rule: said.message().to_owned() },
        _ => fault.into(),
    }
}

/// A constraint, a right that is wanting, a column that cannot be written, or what a trigger of the table's owner says.
fn is_rule(said: &DbError) -> bool {
    const RULES: [SqlState; 3] =
        [SqlState::INSUFFICIENT_PRIVILEGE, SqlState::GENERATED_ALWAYS, SqlState::RAISE_EXCEPTION];
    said.code().code().starts_with("23") || RULES.contains(said.code())
}
