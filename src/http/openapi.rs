//! What the HTTP API is, for programs: OpenAPI, made of the handlers and of [`schema`](crate::wire::schema); and AsyncAPI for
//! the WebSockets. What holds for many requests alike is added here: variables of paths, scopes, faults, XML.

use std::sync::LazyLock;

use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use utoipa::OpenApi;

use super::access::{self, Access};
use super::represent::{Document, Reads};
use super::state::App;
use crate::base::{Error, Result};

/// The WebSockets.
const ASYNCAPI: &str = include_str!("asyncapi.json");

/// Everything; a test holds it against the routes.
#[derive(OpenApi)]
#[openapi(
    paths(
        super::nc::channels::list,
        super::nc::channels::create,
        super::nc::channel::read,
        super::nc::channel::delete,
        super::nc::lifetime::read,
        super::nc::lifetime::refresh,
        super::nc::poll::poll,
        super::nc::poll::fetch,
        super::nc::socket::open,
        super::callback::post,
        super::nms::objects::create,
        super::nms::objects::create_many,
        super::nms::objects::read,
        super::nms::objects::delete,
        super::nms::flags::list,
        super::nms::flags::replace,
        super::nms::flags::read,
        super::nms::flags::set,
        super::nms::flags::unset,
        super::nms::payloads::read,
        super::nms::payloads::read_part,
        super::nms::search::objects,
        super::nms::search::folders,
        super::nms::paths::object,
        super::nms::paths::objects,
        super::nms::paths::folder,
        super::nms::paths::folders,
        super::nms::bulk::update,
        super::nms::bulk::delete,
        super::nms::folders::create,
        super::nms::folders::read,
        super::nms::folders::delete,
        super::nms::folders::read_name,
        super::nms::folders::rename,
        super::nms::moves::copy,
        super::nms::moves::relocate,
        super::nms::subscriptions::list,
        super::nms::subscriptions::create,
        super::nms::subscriptions::read,
        super::nms::subscriptions::update,
        super::nms::subscriptions::delete,
        super::nms::subscriptions::explain,
        super::inbox::event_types::list,
        super::inbox::event_types::declare,
        super::inbox::groups::list,
        super::inbox::groups::declare,
        super::inbox::events::publish,
        super::inbox::rooms::publish,
        super::inbox::notifications::list,
        super::inbox::notifications::read_some,
        super::inbox::sockets::minimal,
        super::inbox::notifications::count_unread,
        super::inbox::notifications::read_all,
        super::inbox::preferences::read,
        super::inbox::preferences::change,
        super::inbox::targets::list,
        super::inbox::targets::create,
        super::inbox::targets::delete,
        super::inbox::notifications::get,
        super::inbox::notifications::read_one,
        super::inbox::notifications::delete,
        super::inbox::deferred::list,
        super::inbox::deferred::read,
        super::inbox::deferred::cancel,
        super::inbox::sockets::inbox,
        super::inbox::sockets::room,
        super::tables::list,
        super::tables::rows::list,
        super::tables::rows::read,
        super::tables::rows::change,
        super::grants::list,
        super::grants::create,
        super::grants::read,
        super::grants::delete,
        super::operator::boxes,
        super::operator::channels,
        super::operator::subscriptions,
        super::operator::senders,
        super::operator::retry,
        super::operator::nodes,
        super::ops::healthz,
        super::ops::readyz,
        super::metrics::metrics,
        openapi,
        asyncapi
    ),
    components(schemas(crate::wire::schema::common::Fault))
)]
struct Handlers;

static OPENAPI: LazyLock<Result<Value, serde_json::Error>> = LazyLock::new(|| {
    let mut document = serde_json::to_value(Handlers::openapi())?;
    complete(&mut document);
    Ok(document)
});

/// The OpenAPI document, with this server in it.
#[utoipa::path(
    get, path = "/openapi.json", tag = "operations", operation_id = "openapi",
    responses((status = 200, body = serde_json::Value))
)]
pub async fn openapi(app: App, _: Reads) -> Result<Document> {
    let mut document = OPENAPI.as_ref().map_err(|fault| Error::internal(anyhow::anyhow!("{fault}")))?.clone();
    document["servers"] = json!([{ "url": app.urls.absolute("") }]);
    Ok(Document(document))
}

/// The AsyncAPI document of the WebSockets.
#[utoipa::path(
    get, path = "/asyncapi.json", tag = "operations", operation_id = "asyncapi",
    responses((status = 200, body = serde_json::Value))
)]
pub async fn asyncapi() -> Response {
    ([(axum::http::header::CONTENT_TYPE, "application/json")], ASYNCAPI).into_response()
}

/// Variables of paths, and what they are.
const VARIABLES: &[(&str, &str)] = &[
    ("userId", "The user, as tel:+19585550100; acr:auth is the one of the token"),
    ("channelId", "The channel"),
    ("storeName", "The store, such as default"),
    ("boxId", "The box; acr:auth is that of the token's user"),
    ("objectId", "The object"),
    ("flagName", "The flag, as \\Seen"),
    ("payloadPartId", "The part of the payload; p1 is the first"),
    ("folderId", "The folder; root is the root folder"),
    ("subscriptionId", "The subscription"),
    ("token", "The secret that makes the URL good"),
    ("room", "The room"),
    ("targetId", "The target"),
    ("id", "The number that the server gave it"),
    ("tableName", "The table, with its schema unless that is public"),
    ("rowKey", "The key of the row; of several columns, with commas between"),
];

/// The requests that are for a user: the one of the token, or without tokens, the one who is named.
const FOR_A_USER: &[&str] =
    &["/api/notifications", "/api/deferred", "/api/events", "/api/rooms/", "/ws/notifications", "/ws/rooms/"];

/// Where a format is not chosen: what is asked is JSON, or in the formats of its subscriptions.
const ALWAYS_JSON: &[&str] = &[
    "/api/tables",
    "/api/operator/",
    "/poll/",
    "/large/",
    "/explain",
    "/healthz",
    "/readyz",
    "/metrics",
    "/asyncapi.json",
];

/// Adds what holds for many requests alike.
fn complete(document: &mut Value) {
    document["info"] = json!({
        "title": "tocsin", "version": env!("CARGO_PKG_VERSION"), "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        "description": "Notification channels, boxes and inboxes over an append-only log. Most bodies are JSON or XML, by Content-Type, \
                        Accept and resFormat; WebSockets are described by /asyncapi.json.",
    });
    document["components"]["securitySchemes"] = json!({ "bearer": {
        "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
        "description": "A JSON Web Token with one of the scopes of the request. The server may run without, on loopback.",
    } });
    document["components"]["responses"] = faults();
    if let Some(schemas) = document["components"]["schemas"].as_object_mut() {
        schemas.values_mut().for_each(mark_lists);
    }
    let Some(paths) = document["paths"].as_object_mut() else { return };
    for (path, verbs) in paths.iter_mut() {
        for (verb, operation) in verbs.as_object_mut().into_iter().flatten() {
            complete_operation(path, verb, operation);
        }
    }
}

fn complete_operation(path: &str, verb: &str, operation: &mut Value) {
    if path.ends_with("/operations/bulkDelete") && verb == "delete" {
        operation["operationId"] = json!("deleteObjectsByDelete"); // both verbs are one handler
    }
    let method = Method::from_bytes(verb.to_ascii_uppercase().as_bytes()).unwrap_or_default();
    let access = access::access(path, &method);
    operation["security"] = match &access {
        Access::Open => json!([]),
        Access::Secret => json!([{}, { "bearer": [] }]),
        Access::Scopes(scopes) => scopes.iter().map(|scope| json!({ "bearer": [scope] })).collect(),
    };
    let represented = !ALWAYS_JSON.iter().any(|part| path.contains(part)) && add_xml(&mut operation["responses"]);
    let body = operation.get("requestBody").is_some();
    if body && !path.starts_with("/api/tables") && path != "/api/notifications" && !path.ends_with("/targets") {
        add_xml_to(&mut operation["requestBody"]);
    }
    add_parameters(path, represented, operation);
    add_headers(&mut operation["responses"]);
    let mut codes = vec![503];
    if body || operation.get("parameters").is_some() {
        codes.push(400);
    }
    match access {
        Access::Open if path.contains('{') => codes.extend([429]),
        Access::Open => codes.retain(|code| *code != 503 && *code != 400),
        _ => codes.extend([401, 403, 404, 429]),
    }
    if path.contains('{') {
        codes.push(404);
    }
    if represented {
        codes.push(406);
    }
    if body {
        codes.extend([413, 415, 403]);
    }
    for code in codes {
        let responses = &mut operation["responses"];
        if responses.get(code.to_string()).is_none() {
            responses[code.to_string()] = Value::Null;
        }
    }
    name_faults(&mut operation["responses"]);
}

/// A list that only requests or only answers have is marked so itself, not its items.
fn mark_lists(schema: &mut Value) {
    for (_, property) in schema.get_mut("properties").and_then(Value::as_object_mut).into_iter().flatten() {
        for mark in ["readOnly", "writeOnly"] {
            if let Some(value) = property.get_mut("items").and_then(|items| items.as_object_mut()?.remove(mark)) {
                property[mark] = value;
            }
        }
    }
}

/// A document is JSON or XML. Answers whether there is one.
fn add_xml(responses: &mut Value) -> bool {
    let answers = responses.as_object_mut().into_iter().flatten();
    answers.filter_map(|(_, answer)| add_xml_to(answer).then_some(())).count() > 0
}

/// Beside JSON, XML: the same by the common rules, which no schema of JSON describes.
fn add_xml_to(message: &mut Value) -> bool {
    let Some(content) = message.get_mut("content").and_then(Value::as_object_mut) else { return false };
    if !content.contains_key("application/json") {
        return false;
    }
    content.insert("application/xml".to_owned(), json!({ "schema": { "type": "string" } }));
    true
}

fn add_parameters(path: &str, represented: bool, operation: &mut Value) {
    let mut parameters = Vec::new();
    for (name, description) in VARIABLES.iter().filter(|(name, _)| path.contains(&format!("{{{name}}}"))) {
        let schema = json!({ "type": "string", "minLength": 1 });
        parameters.push(
            json!({ "name": name, "in": "path", "required": true, "description": description, "schema": schema }),
        );
    }
    if FOR_A_USER.iter().any(|prefix| path.starts_with(prefix)) {
        let description = "The user whom it is for, if that is not the one of the token";
        let schema = json!({ "type": "string", "minLength": 1 });
        for (name, place) in [("user", "query"), ("X-Tocsin-User", "header")] {
            parameters.push(json!({ "name": name, "in": place, "description": description, "schema": schema }));
        }
    }
    if represented {
        let description = "The format of the answer, whatever Accept says";
        let schema = json!({ "type": "string", "enum": ["JSON", "XML"] });
        parameters.push(json!({ "name": "resFormat", "in": "query", "description": description, "schema": schema }));
    }
    if let Some(own) = operation.get_mut("parameters").and_then(Value::as_array_mut) {
        own.iter_mut().for_each(bound);
        parameters.append(own);
    }
    if !parameters.is_empty() {
        operation["parameters"] = json!(parameters);
    }
}

/// No number in a query is below zero, and nobody asks for a page of nothing.
fn bound(parameter: &mut Value) {
    let least = i32::from(matches!(parameter["name"].as_str(), Some("limit" | "maxEntries")));
    let is_number = |kind: &Value| ["integer", "number"].iter().any(|number| kind.to_string().contains(number));
    if is_number(&parameter["schema"]["type"]) {
        parameter["schema"]["minimum"] = json!(least);
    }
}

/// What is created says where it is.
fn add_headers(responses: &mut Value) {
    for code in ["201", "202"] {
        if let Some(answer) = responses.get_mut(code) {
            answer["headers"]["Location"] = json!({ "description": "Where it is", "schema": { "type": "string" } });
        }
    }
}

/// Describes what is not described: a success by its name, a refusal as the fault of its status.
fn name_faults(responses: &mut Value) {
    for (code, answer) in responses.as_object_mut().into_iter().flatten() {
        let status = code.parse().ok().and_then(|code| StatusCode::from_u16(code).ok()).unwrap_or_default();
        if answer.get("content").is_none() && status.as_u16() >= 400 {
            *answer = json!({ "$ref": format!("#/components/responses/{code}") });
        } else if answer["description"].as_str().is_none_or(str::is_empty) {
            answer["description"] = json!(status.canonical_reason().unwrap_or_default());
        }
    }
}

/// The faults, by their status.
fn faults() -> Value {
    let mut faults = Map::new();
    for (code, description) in [
        (400, "A part of the request cannot be used"),
        (401, "There is no access token, or a bad one"),
        (403, "A rule forbids it, or the token has none of the scopes"),
        (404, "It is not there, or not the caller's"),
        (405, "This search is not offered"),
        (406, "The client accepts neither JSON nor XML"),
        (409, "Another resource has this clientCorrelator; or another request is under way, or has come first"),
        (413, "It is too large"),
        (415, "The Content-Type is none that is read"),
        (416, "The range is not in it"),
        (426, "It does not ask to become a WebSocket"),
        (429, "Too many requests; Retry-After says when"),
        (503, "No resources, or the node is leaving; Retry-After says when"),
    ] {
        let mut fault = json!({ "description": description, "content": {
            "application/json": { "schema": { "$ref": "#/components/schemas/Fault" } } } });
        add_xml_to(&mut fault);
        if code == 401 {
            fault["headers"]["WWW-Authenticate"] = json!({ "schema": { "type": "string" } });
        }
        faults.insert(code.to_string(), fault);
    }
    Value::Object(faults)
}
