//! The NMS API: subscriptions and what they deliver, restartTokens, filters, objects, folders.

mod backends;
mod bulk_creation;
mod correlators;
mod create;
mod events;
mod examples;
mod filters;
mod flags;
mod folders;
mod model;
mod moves;
mod notify_url;
mod objects;
mod paths;
mod payloads;
mod plans;
mod resources;
mod retention;
mod search;
mod subscriptions;
mod sweeping;
mod tokens;

use reqwest::Method;
use serde_json::{Value, json};
use tocsin::log::event::token;
use tokio_postgres::Client;

use crate::support::client::{Answer, Api, Socket};
use crate::support::postgres::Database;
use crate::support::server::Server;

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

/// Holds an answer against the requestError it should be.
fn is_fault(answer: &Answer, status: u16, code: &str, variables: &[&str]) {
    let (found_code, found) = answer.fault();
    assert_eq!((answer.status.as_u16(), found_code.as_str()), (status, code), "{}", answer.text);
    assert_eq!(found, variables, "{}", answer.text);
}

/// The box of the examples, with a server and a client that follows it.
struct Scene {
    server: Server,
    sql: Client,
    subscription: Value,
    socket: Socket,
    database: Database,
}

/// The box of the examples, below the server's URL.
const EXAMPLE_BOX: &str = "/nms/v1/default/tel%3A%2B15550001111";

impl Scene {
    async fn new() -> Scene {
        Scene::with(tocsin::config::Limits::default()).await
    }

    async fn with(limits: tocsin::config::Limits) -> Scene {
        let database = Database::new().await;
        let server = Server::start_with(&database, limits).await;
        let channel = server.api.channel("alice").await;
        let subscription = server.api.subscribe("tel%3A%2B15550001111", &channel).await;
        let (socket, sql) = (Socket::open(&channel).await, database.connect().await);
        Scene { server, sql, subscription, socket, database }
    }

    /// A URL of the box.
    fn url(&self, below: &str) -> String {
        format!("{}{EXAMPLE_BOX}{below}", self.server.api.url)
    }

    /// Replaces `{B}` by the box's URL.
    fn filled(&self, text: &str) -> String {
        text.replace("{B}", &self.url(""))
    }

    async fn get(&self, below: &str) -> Answer {
        self.server.api.get(&self.url(below)).await
    }

    async fn post(&self, below: &str, body: Value) -> Answer {
        self.server.api.post(&self.url(below), body).await
    }

    /// A request in XML by a client that reads it; `{B}` in it is the box.
    async fn xml(&self, method: Method, below: &str, body: &str) -> Answer {
        let headers = [("content-type", "application/xml"), ("accept", "application/xml")];
        self.server.api.send(method, &self.url(below), &headers, Some(self.filled(body))).await
    }

    /// Makes a folder in another one, which is given by its URL; answers its URL.
    async fn folder(&self, parent: &str, name: &str) -> String {
        let answer = self.post("/folders", json!({ "folder": { "parentFolder": parent, "name": name } })).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        text(&answer.json()["folder"], "resourceURL").to_owned()
    }

    /// Writes an object into the folder at a path; answers its URL.
    async fn object(&self, folder: &str) -> String {
        let insert =
            "insert into tocsin.messages (box_id, body, folder) values ('tel:+15550001111', 'x', $1) returning id";
        let id: i64 = self.sql.query_one(insert, &[&folder]).await.unwrap().get(0);
        self.url(&format!("/objects/{id}"))
    }

    /// The next events: the kind of each and its fields.
    async fn events(&mut self, count: usize) -> Vec<(String, Value)> {
        let lists = self.socket.lists(count).await;
        lists.iter().map(|list| (list.kind().to_owned(), list.events[0][list.kind()].clone())).collect()
    }

    /// Asserts that everything written up to now has been taken.
    async fn nothing_more(&mut self) {
        let token = head(&self.sql, "tel:+15550001111").await;
        self.socket.nothing_more(&self.server.api, &self.subscription, &token).await;
    }

    async fn end(self) {
        self.server.stop().await;
    }
}

/// What a list of events tells, in short: the kind and the URL of each item.
fn told(events: &[(String, Value)]) -> Vec<(&str, &str)> {
    events.iter().map(|(kind, fields)| (kind.as_str(), text(fields, "resourceURL"))).collect()
}
