//! Searches over HTTP.

mod batches;
mod criteria;
mod folders;
mod index;

use serde_json::{Value, json};
use tokio_postgres::Client;

use crate::support::client::{Answer, Api};
use crate::support::postgres::Database;
use crate::support::server::Server;

const SEARCH: &str = "/nms/v1/default/b/objects/operations/search";

async fn served() -> (Database, Server, Client) {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let sql = database.connect().await;
    (database, server, sql)
}

/// Asks for objects of box `b` by a selectionCriteria.
async fn ask(api: &Api, selection: Value) -> Answer {
    api.post(SEARCH, json!({ "selectionCriteria": selection })).await
}

/// The objectList that answers.
async fn list(api: &Api, selection: Value) -> Value {
    let answer = ask(api, selection.clone()).await;
    assert_eq!(answer.status, 200, "{selection}: {}", answer.text);
    answer.json()["objectList"].clone()
}

fn criteria(operator: &str, criteria: &[Value]) -> Value {
    json!({ "maxEntries": 100, "searchCriteria": { "criterion": criteria, "operator": operator } })
}

fn criterion(kind: &str, name: &str, value: &str) -> Value {
    json!({ "type": kind, "name": name, "value": value })
}

/// The first value of an attribute of an object, "" when there is none.
fn attribute<'a>(object: &'a Value, name: &str) -> &'a str {
    let attributes = object["attributes"]["attribute"].as_array().unwrap();
    let found = attributes.iter().find(|attribute| attribute["name"] == name);
    found.map_or("", |attribute| attribute["value"][0].as_str().unwrap())
}

/// The texts of the objects of a list, in order.
fn bodies(list: &Value) -> Vec<String> {
    list["object"].as_array().unwrap().iter().map(|object| attribute(object, "TextContent").to_owned()).collect()
}

async fn insert(sql: &Client, body: &str, attributes: Value, flags: &[&str], folder: &str) -> i64 {
    let insert = "insert into tocsin.messages (box_id, sender, body, attributes, flags, folder)
                  values ('b', 'tel:+2', $1, $2, $3, $4) returning id";
    sql.query_one(insert, &[&body, &attributes, &flags, &folder]).await.unwrap().get(0)
}
