//! What /openapi.json and /asyncapi.json say is so.

use std::collections::BTreeSet;

use jsonschema::Validator;
use serde_json::{Map, Value, json};

use crate::auth::scopes::routes;
use crate::support::client::{Answer, Api, Socket};
use crate::support::eventually;
use crate::support::postgres::Database;
use crate::support::server::Server;

const VERBS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

async fn document(path: &str) -> Value {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let answer = server.api.get(path).await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "application/json"));
    server.stop().await;
    answer.json()
}

/// Each operation: verb, path, what is said of it.
fn operations(document: &Value) -> impl Iterator<Item = (&String, &String, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    paths.iter().flat_map(|(path, verbs)| {
        let verbs = verbs.as_object().unwrap().iter().filter(|(verb, _)| VERBS.contains(&verb.as_str()));
        verbs.map(move |(verb, operation)| (verb, path, operation))
    })
}

/// Calls `look` with every value of the document.
fn walk<'a>(value: &'a Value, look: &mut impl FnMut(&'a Value)) {
    look(value);
    match value {
        Value::Object(members) => members.values().for_each(|value| walk(value, look)),
        Value::Array(values) => values.iter().for_each(|value| walk(value, look)),
        _ => {}
    }
}

fn assert_references_lead_somewhere(document: &Value) {
    walk(document, &mut |value| {
        if let Some(reference) = value.get("$ref").and_then(Value::as_str) {
            assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
        }
    });
}

/// Schemas as they hold for answers: what only requests have is not required.
fn for_answers(value: &mut Value) {
    match value {
        Value::Object(members) => {
            let unsaid = |members: &Map<String, Value>, name: &Value| {
                members["properties"][name.as_str().unwrap()]["writeOnly"] == json!(true)
            };
            if members.contains_key("properties")
                && let Some(Value::Array(required)) = members.get("required").cloned()
            {
                let required: Vec<Value> = required.into_iter().filter(|name| !unsaid(members, name)).collect();
                members.insert("required".to_owned(), json!(required));
            }
            members.values_mut().for_each(for_answers);
        }
        Value::Array(values) => values.iter_mut().for_each(for_answers),
        _ => {}
    }
}

fn validator(document: &Value, schema: &Value) -> Validator {
    let mut schema = schema.clone();
    schema["components"] = document["components"].clone();
    for_answers(&mut schema);
    jsonschema::draft202012::new(&schema).unwrap()
}

fn assert_fits(document: &Value, schema: &Value, value: &Value, what: &str) {
    let validator = validator(document, schema);
    let faults: Vec<String> =
        validator.iter_errors(value).map(|fault| format!("{fault} at {}", fault.instance_path())).collect();
    assert!(faults.is_empty(), "{what}: {faults:#?}\n{value:#}");
}

#[tokio::test]
async fn the_document_is_valid() {
    let document = document("/openapi.json").await;
    let official: Value = serde_json::from_str(include_str!("openapi-3.1.schema.json")).unwrap();
    let official = jsonschema::draft202012::new(&official).unwrap();
    let faults: Vec<String> =
        official.iter_errors(&document).map(|fault| format!("{fault} at {}", fault.instance_path())).collect();
    assert!(faults.is_empty(), "{faults:#?}");
    assert_references_lead_somewhere(&document);
    let ids: Vec<&str> = operations(&document).map(|(.., of)| of["operationId"].as_str().unwrap()).collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "{ids:?}");
    for (verb, path, operation) in operations(&document) {
        assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{verb} {path} is not explained");
        for code in ["401", "403"] {
            let guarded = operation["security"]
                .as_array()
                .unwrap()
                .iter()
                .any(|needs| needs["bearer"].as_array().is_some_and(|scopes| !scopes.is_empty()));
            assert!(!guarded || operation["responses"].get(code).is_some(), "{verb} {path} says nothing of {code}");
        }
    }
}

#[tokio::test]
async fn the_document_of_the_sockets_is_valid() {
    let document = document("/asyncapi.json").await;
    let official: Value = serde_json::from_str(include_str!("asyncapi-3.0.schema.json")).unwrap();
    let official = jsonschema::draft7::new(&official).unwrap();
    let faults = |document: &Value| -> Vec<String> {
        official.iter_errors(document).map(|fault| format!("{fault} at {}", fault.instance_path())).collect()
    };
    assert_eq!(faults(&document), [""; 0]);
    let (operation, _) = document["operations"].as_object().unwrap().iter().next().unwrap();
    for spoiled in [format!("/operations/{operation}/action"), "/info/version".to_owned()] {
        let mut document = document.clone();
        *document.pointer_mut(&spoiled).unwrap() = json!(7);
        assert!(!faults(&document).is_empty(), "{spoiled} may be anything");
    }
    assert_references_lead_somewhere(&document);
}

#[tokio::test]
async fn it_has_every_route_with_every_verb_and_nothing_else() {
    let document = document("/openapi.json").await;
    let told: BTreeSet<(String, String)> = operations(&document)
        .map(|(verb, path, _)| {
            let parts: Vec<&str> =
                path.split('/').map(|part| if part.starts_with('{') { "{}" } else { part }).collect();
            (verb.to_uppercase(), parts.join("/"))
        })
        .collect();
    let mut there = routes();
    there.retain(|(_, path)| !path.starts_with("/console")); // a page for people
    let missing: Vec<_> = there.difference(&told).collect();
    let invented: Vec<_> = told.difference(&there).collect();
    assert!(missing.is_empty() && invented.is_empty(), "missing: {missing:?}, invented: {invented:?}");
}

#[tokio::test]
async fn every_example_fits_its_schema() {
    let document = document("/openapi.json").await;
    let mut examples = 0;
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        let Some(example) = schema.get("example") else { continue };
        let mut asked = document.clone(); // requests: what only answers have is not required
        walk_mut(&mut asked, &mut |value| {
            let members = value.as_object_mut().filter(|members| members.contains_key("properties"));
            let Some(members) = members else { return };
            let properties = members["properties"].clone();
            if let Some(Value::Array(required)) = members.get_mut("required") {
                required.retain(|name| properties[name.as_str().unwrap()]["readOnly"] != json!(true));
            }
        });
        assert_fits(&asked, &json!({ "$ref": format!("#/components/schemas/{name}") }), example, name);
        examples += 1;
    }
    assert!(examples > 15, "{examples}");
}

fn walk_mut(value: &mut Value, change: &mut impl FnMut(&mut Value)) {
    change(value);
    match value {
        Value::Object(members) => members.values_mut().for_each(|value| walk_mut(value, change)),
        Value::Array(values) => values.iter_mut().for_each(|value| walk_mut(value, change)),
        _ => {}
    }
}

/// A live server, whose answers are held against the document.
struct Told {
    api: Api,
    document: Value,
}

impl Told {
    fn operation(&self, method: &str, path: &str) -> &Value {
        let path = path.strip_prefix(&self.api.url).unwrap_or(path).split('?').next().unwrap();
        let parts: Vec<&str> = path.split('/').collect();
        let fits = |template: &str| {
            let template: Vec<&str> = template.split('/').collect();
            template.len() == parts.len()
                && template.iter().zip(&parts).all(|(one, part)| one == part || one.starts_with('{'))
        };
        let exact = operations(&self.document).find(|(verb, template, _)| *verb == method && *template == path);
        let found =
            exact.or_else(|| operations(&self.document).find(|(verb, template, _)| *verb == method && fits(template)));
        found.unwrap_or_else(|| panic!("{method} {path} is not described")).2
    }

    /// The answer, which is as it is described.
    async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        let verb = method.to_uppercase().parse().unwrap();
        let headers: &[(&str, &str)] = if body.is_some() { &[("Content-Type", "application/json")] } else { &[] };
        let answer = self.api.send(verb, path, headers, body.map(|body| body.to_string())).await;
        let (code, what) =
            (answer.status.as_u16().to_string(), format!("{method} {path}: {} {}", answer.status, answer.text));
        let mut described = &self.operation(method, path)["responses"][&code];
        if let Some(reference) = described["$ref"].as_str() {
            described = self.document.pointer(reference.trim_start_matches('#')).unwrap();
        }
        assert!(!described.is_null(), "not described: {what}");
        if answer.text.is_empty() {
            assert!(described.get("content").is_none(), "{what}");
        } else {
            assert_fits(&self.document, &described["content"]["application/json"]["schema"], &answer.json(), &what);
        }
        answer
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

#[tokio::test]
async fn answers_are_as_they_are_described() {
    let database = Database::new().await;
    let sql = "create table movies (id int primary key, title text); insert into movies values (8, 'Metropolis')";
    database.connect().await.batch_execute(sql).await.unwrap();
    database.connect().await.batch_execute("select tocsin.watch('movies', 'id', 'movies')").await.unwrap();
    let server = Server::start(&database).await;
    let document = server.api.get("/openapi.json").await.json();
    let told = Told { api: server.api.clone(), document };

    let channels = "/notificationchannel/v1/alice/channels";
    let wish = json!({ "notificationChannel": { "channelType": "LongPolling", "clientCorrelator": "c" } });
    let channel = told.ask("post", channels, Some(wish)).await.json()["notificationChannel"].clone();
    told.ask("get", channels, None).await;
    told.ask("get", text(&channel["resourceURL"]), None).await;
    let lifetime = format!("{}/channelLifetime", text(&channel["resourceURL"]));
    told.ask("get", &lifetime, None).await;
    told.ask("put", &lifetime, Some(json!({ "notificationChannelLifetime": { "channelLifetime": 60 } }))).await;
    told.ask("post", channels, Some(json!({ "notificationChannel": { "channelType": "Pigeon" } }))).await;

    let of = "/nms/v1/default/alice";
    let wish = json!({ "nmsSubscription": {
        "callbackReference": { "notifyURL": channel["callbackURL"] }, "x-attributes": true,
        "filter": { "criterion": [{ "type": "PresetSearch", "name": "UPOneDotO" }], "operator": "And" } } });
    let subscription = told.ask("post", &format!("{of}/subscriptions"), Some(wish)).await.json();
    let subscription = text(&subscription["nmsSubscription"]["resourceURL"]);
    told.ask("get", &format!("{of}/subscriptions"), None).await;
    told.ask("get", subscription, None).await;
    told.ask("post", subscription, Some(json!({ "nmsSubscriptionUpdate": { "duration": 60 } }))).await;

    let new = json!({ "object": { "attributes": { "attribute": [{ "name": "Subject", "value": ["Lunch"] }] },
        "flags": { "flag": ["\\Seen"] }, "correlationId": "m" } });
    let object = told.ask("post", &format!("{of}/objects"), Some(new)).await.json();
    let object = text(&object["reference"]["resourceURL"]);
    told.ask("get", object, None).await;
    told.ask("get", &format!("{object}/flags"), None).await;
    told.ask("put", &format!("{object}/flags"), Some(json!({ "flagList": { "flag": ["\\Flagged"] } }))).await;
    told.ask("put", &format!("{object}/flags/%5CSeen"), None).await;
    told.ask("get", &format!("{object}/flags/%5CDraft"), None).await;
    told.ask("get", &format!("{object}/payload"), None).await;
    for criterion in [json!({ "type": "Flag", "name": "\\Seen" }), json!({ "type": "VanishedObjects" })] {
        let search = json!({ "selectionCriteria": { "searchCriteria": { "criterion": [criterion] } } });
        told.ask("post", &format!("{of}/objects/operations/search"), Some(search)).await;
    }
    told.ask("post", text(&channel["channelData"]["channelURL"]), None).await;
    told.ask("get", &format!("{subscription}/explain?seq=1"), None).await;
    told.ask("get", &format!("{subscription}/explain?seq=none"), None).await;

    let folder = json!({ "folder": { "parentFolderPath": "/", "name": "Archive" } });
    let folder = told.ask("post", &format!("{of}/folders"), Some(folder)).await.json();
    let folder = text(&folder["folder"]["resourceURL"]);
    let move_it = json!({ "targetSourceRef": { "targetRef": { "resourceURL": folder }, "sourceRefs": {
        "folders": { "folderReference": [] }, "objects": { "objectReference": [{ "resourceURL": object }] } } } });
    told.ask("post", &format!("{of}/folders/operations/moveToFolder"), Some(move_it)).await;
    told.ask("get", &format!("{folder}?listFilter=All&path=Yes&attrFilter=MsgCount"), None).await;
    told.ask("get", &format!("{of}/folders/root?listFilter=All&path=Yes"), None).await;
    told.ask("get", &format!("{of}/folders/root/folderName"), None).await;
    told.ask("get", &format!("{of}/folders/operations/pathToId?path=/Archive"), None).await;
    told.ask("post", &format!("{of}/folders/operations/search"), Some(json!({ "selectionCriteria": {} }))).await;
    let paths = json!({ "pathList": { "path": ["/Archive", "/nowhere"] } });
    told.ask("post", &format!("{of}/folders/operations/pathToId"), Some(paths)).await;
    told.ask("delete", object, None).await;
    told.ask("get", object, None).await;

    told.ask("post", "/api/event-types", Some(json!({ "name": "t", "title": "T" }))).await;
    told.ask("get", "/api/event-types", None).await;
    told.ask("post", "/api/groups", Some(json!({ "name": "g", "users": ["bob"] }))).await;
    told.ask("get", "/api/groups", None).await;
    let event = json!({ "type": "t", "title": "Tea", "users": ["bob"], "data": { "n": 1 } });
    told.ask("post", "/api/events?user=ann", Some(event.clone())).await;
    let mut later = event;
    later["countdown"] = json!(900);
    told.ask("post", "/api/events?user=ann", Some(later)).await;
    told.ask("get", "/api/deferred?user=ann", None).await;
    let page = told.ask("get", "/api/notifications?user=bob", None).await.json();
    let notification = format!("/api/notifications/{}?user=bob", page["results"][0]["id"]);
    told.ask("get", &notification, None).await;
    told.ask("patch", &notification, Some(json!({ "readed": true }))).await;
    told.ask("get", "/api/notifications/unread-count?user=bob", None).await;
    told.ask("patch", "/api/notifications/filter?user=bob", Some(json!({ "types": ["t"] }))).await;
    told.ask("post", "/api/notifications/targets?user=bob", Some(json!({ "channel": "console" }))).await;
    let posing = json!({ "channel": "console", "id": {}, "secret": 7, "disabled": true });
    told.ask("post", "/api/notifications/targets?user=bob", Some(posing)).await; // those are ours to say
    told.ask("get", "/api/notifications/targets?user=bob", None).await;
    told.ask("get", "/api/notifications", None).await; // nobody's: 401
    told.ask("post", "/api/rooms/builds?user=ann", Some(json!({ "action": "failed" }))).await;

    told.ask("get", "/api/tables", None).await;
    told.ask("get", "/api/tables/movies", None).await;
    told.ask("put", "/api/tables/movies/8", Some(json!({ "title": "M" }))).await;
    told.ask("get", "/api/tables/movies/9", None).await;
    let grant = json!({ "grantee": "ann", "resource": "box/bob", "rights": ["read"] });
    told.ask("post", "/api/grants", Some(grant)).await;
    told.ask("get", "/api/grants", None).await;
    let hook = json!({ "channelType": "webhooks", "channelData": { "x-webhookURL": "http://192.0.2.1/" } });
    told.ask("post", channels, Some(json!({ "notificationChannel": hook }))).await;
    for list in ["boxes", "boxes?order=recent", "boxes?order=size", "channels", "subscriptions", "nodes"] {
        told.ask("get", &format!("/api/operator/{list}"), None).await;
    }
    eventually("it is sent to", async || {
        let page = told.ask("get", "/api/operator/senders?state=all", None).await.json();
        let id = page["results"][0]["channel"].as_str()?.to_owned();
        Some(told.ask("post", &format!("/api/operator/senders/{id}/retry"), None).await)
    })
    .await;
    told.ask("get", "/readyz", None).await;
    server.stop().await;
}

#[tokio::test]
async fn frames_are_as_they_are_described_and_every_close_code_is_told() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let document = server.api.get("/asyncapi.json").await.json();
    assert_eq!((text(&document["asyncapi"]), text(&document["info"]["version"])), ("3.0.0", env!("CARGO_PKG_VERSION")));
    assert_references_lead_somewhere(&document);
    let messages = document["components"]["messages"].as_object().unwrap();
    let fits = |name: &str, frame: &Value| assert_fits(&document, &messages[name]["payload"], frame, name);
    for (name, message) in messages {
        for example in message["examples"].as_array().into_iter().flatten() {
            fits(name, &example["payload"]);
        }
    }
    let channel = server.api.channel("alice").await;
    server.api.subscribe_with("b", &channel, json!({ "x-attributes": true })).await;
    let mut socket = Socket::open(&channel).await;
    let insert = "insert into tocsin.messages (box_id, body) values ('b', 'hello')";
    database.connect().await.batch_execute(insert).await.unwrap();
    fits("notificationList", &serde_json::from_str(&socket.frame().await).unwrap());
    socket.say(r#"{"connCheck":null}"#.into()).await;
    fits("connAckFromServer", &serde_json::from_str(&socket.frame().await).unwrap());
    socket.close().await;
    server.stop().await;

    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/src/delivery/websocket/mod.rs");
    let source = std::fs::read_to_string(source).unwrap();
    let codes =
        source.split("CloseCode::Library(").skip(1).filter_map(|rest| rest.split(')').next()?.parse::<u16>().ok());
    let codes: BTreeSet<u16> = codes.filter(|code| *code >= 4000).collect();
    let told = document["components"]["schemas"]["closeCode"]["oneOf"].as_array().unwrap();
    let told: BTreeSet<u16> =
        told.iter().map(|code| code["const"].as_u64().unwrap() as u16).filter(|code| *code >= 4000).collect();
    assert_eq!(codes, told);
}
