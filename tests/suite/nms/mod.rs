//! The NMS API: subscriptions and what they deliver, restartTokens, filters, objects.

mod bulk_creation;
mod create;
mod filters;
mod objects;
mod payloads;
mod subscriptions;
mod sweeping;
mod tokens;

use reqwest::Method;
use serde_json::{Value, json};
use tocsin::log::event::token;
use tokio_postgres::Client;

use crate::support::client::{Answer, Api};

/// The box most tests are about.
const BOX: &str = "/nms/v1/default/tel%3A%2B1";
const JSON: &str = "Content-Type: application/json";
const FORM: (&str, &str) = ("Content-Type", "multipart/form-data; boundary=OUT");

/// A form: of each entry its name, its further header lines, and its content.
fn form(entries: &[(&str, &str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, headers, content) in entries {
        let headers = if headers.is_empty() { String::new() } else { format!("{headers}\r\n") };
        body.extend(format!("--OUT\r\nContent-Disposition: form-data; name=\"{name}\"\r\n{headers}\r\n").bytes());
        body.extend_from_slice(content);
        body.extend(b"\r\n");
    }
    body.extend(b"--OUT--\r\n");
    body
}

/// Posts a form below the box.
async fn post_form(api: &Api, path: &str, body: Vec<u8>) -> Answer {
    api.send_bytes(Method::POST, &format!("{BOX}{path}"), &[FORM], Some(body)).await
}

/// Creates an object of these fields with this attachment (its header lines and its content).
async fn create(api: &Api, fields: Value, headers: &str, content: &[u8]) -> Answer {
    let root = json!({ "object": fields }).to_string();
    post_form(api, "/objects", form(&[("root-fields", JSON, root.as_bytes()), ("attachments", headers, content)])).await
}

/// As [`create`], which must go well: the object as it is read then.
async fn created(api: &Api, fields: Value, headers: &str, content: &[u8]) -> Value {
    let answer = create(api, fields, headers, content).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    object(api, answer.header("location")).await
}

async fn object(api: &Api, url: &str) -> Value {
    let answer = api.get(url).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()["object"].clone()
}

/// The values of an attribute; null when the object has none of this name.
fn attribute(object: &Value, name: &str) -> Value {
    let mut attributes = object["attributes"]["attribute"].as_array().unwrap().iter();
    attributes.find(|attribute| attribute["name"] == name).map_or(Value::Null, |attribute| attribute["value"].clone())
}

/// How many payloads and uploads there are.
async fn payloads(sql: &Client) -> i64 {
    sql.query_one("select count(*) from tocsin.payloads", &[]).await.unwrap().get(0)
}

/// A field that is a text.
fn text<'a>(resource: &'a Value, field: &str) -> &'a str {
    resource[field].as_str().unwrap()
}

/// Writes messages into a box, in one transaction.
async fn write(sql: &Client, box_id: &str, count: i64) {
    let insert = format!(
        "insert into tocsin.messages (box_id, body) select '{box_id}', i::text from generate_series(1, {count}) as i"
    );
    sql.batch_execute(&insert).await.unwrap();
}

/// The box's present restartToken.
async fn head(sql: &Client, box_id: &str) -> String {
    let stream = format!("default/{box_id}");
    token(sql.query_one("select head_at from tocsin.streams where stream = $1", &[&stream]).await.unwrap().get(0))
}
