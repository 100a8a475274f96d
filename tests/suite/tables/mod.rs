//! Watched tables: what becomes an event, what never breaks a writer, and rows over HTTP.

mod commands;
mod ddl;
mod delivery;
mod partitions;
mod rest;
mod rights;
mod rows;
mod walk_through;

use serde_json::{Value, json};
use tokio_postgres::Client;

use crate::support::client::EventList;
use crate::support::postgres::Database;

const MOVIES: &str =
    "create table movies (id bigint primary key, title text not null, director text, premiere date, genre text)";
const WATCH: &str = "select tocsin.watch('movies', key => 'id', box => 'movies')";

/// A database with an empty table of movies, which is not watched yet.
async fn movies() -> (Database, Client) {
    let database = Database::new().await;
    let sql = database.connect().await;
    run(&sql, MOVIES).await;
    (database, sql)
}

/// The same, watched as `with` says after the table's name.
async fn watched(with: &str) -> (Database, Client) {
    let (database, sql) = movies().await;
    run(&sql, &format!("select tocsin.watch('movies', {with})")).await;
    (database, sql)
}

async fn run(sql: &Client, statements: &str) {
    if let Err(fault) = sql.batch_execute(statements).await {
        panic!("{statements}: {fault:?}");
    }
}

/// The SQLSTATE that statements are refused with, and the message with its hint.
async fn refusal(sql: &Client, statements: &str) -> (String, String) {
    let fault = sql.batch_execute(statements).await.expect_err(statements);
    let said = fault.as_db_error().unwrap_or_else(|| panic!("{statements}: {fault}"));
    (said.code().code().to_owned(), format!("{} {}", said.message(), said.hint().unwrap_or_default()))
}

/// What the log tells of watched tables in a box of the default store from the event `from` on: the attributes of each.
async fn told_from(sql: &Client, box_id: &str, from: i64) -> Vec<Value> {
    let query = "select data -> 'attributes' from tocsin.events
                 where stream = 'default/' || $1 and seq >= $2 and kind ~ '^(row|table)[.]' order by seq";
    sql.query(query, &[&box_id, &from]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

async fn told(sql: &Client, box_id: &str) -> Vec<Value> {
    told_from(sql, box_id, 1).await
}

/// What is told of each row in short: the kind and the key.
async fn kinds(sql: &Client, box_id: &str) -> Vec<String> {
    let short = |told: Value| format!("{} {}", told["Event-Kind"].as_str().unwrap(), told["key"]);
    told(sql, box_id).await.into_iter().map(short).collect()
}

async fn count(sql: &Client, query: &str) -> i64 {
    sql.query_one(query, &[]).await.unwrap_or_else(|fault| panic!("{query}: {fault:?}")).get(0)
}

/// The values of an attribute that the object of a (first) event carries; null when it has none of this name.
fn carried(list: &EventList, name: &str) -> Value {
    let mut attributes = list.events[0][list.kind()]["attributes"]["attribute"].as_array().unwrap().iter();
    attributes.find(|attribute| attribute["name"] == name).map_or(Value::Null, |attribute| attribute["value"].clone())
}

/// A filter for one value of an attribute.
fn with_attribute(name: &str, value: &str) -> Value {
    json!({ "criterion": [{ "type": "Attribute", "name": name, "value": value }] })
}
