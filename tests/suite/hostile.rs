//! What attackers put into requests: bombs, SQL, and URLs that lead where clients must not reach through us.

use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::client::{Answer, Api, Socket};
use crate::support::postgres::Database;
use crate::support::server::Server;
use crate::support::stand_in::{StandIn, reply};

/// Everything that reads a body: where, and the root of what it reads.
const READERS: &[(&str, &str, &str)] = &[
    ("POST", "/notificationchannel/v1/alice/channels", "notificationChannel"),
    ("POST", "/nms/v1/default/b/subscriptions", "nmsSubscription"),
    ("POST", "/nms/v1/default/b/objects", "object"),
    ("POST", "/nms/v1/default/b/objects/operations/search", "selectionCriteria"),
    ("POST", "/nms/v1/default/b/objects/operations/bulkUpdate", "bulkUpdate"),
    ("POST", "/nms/v1/default/b/folders", "folder"),
    ("POST", "/nms/v1/default/b/folders/operations/copyToFolder", "targetSourceRef"),
    ("POST", "{callback}", "x"),
    ("POST", "/api/events", "event"),
    ("POST", "/api/rooms/r", "message"),
    ("POST", "/api/groups", "group"),
    ("POST", "/api/grants", "grant"),
    ("POST", "/api/notifications/targets?user=alice", "target"),
    ("PATCH", "/api/notifications/filter?user=alice", "filter"),
];

struct Stage {
    database: Database,
    server: Server,
    callback: String,
}

impl Stage {
    async fn new() -> Stage {
        let database = Database::new().await;
        let server = Server::start(&database).await;
        let channel = server.api.channel("alice").await;
        Stage { database, callback: channel["callbackURL"].as_str().unwrap().to_owned(), server }
    }

    async fn say(&self, method: &str, path: &str, content_type: &str, body: String) -> Answer {
        let path = path.replace("{callback}", &self.callback);
        let headers = [("content-type", content_type)];
        self.server.api.send(method.parse::<Method>().unwrap(), &path, &headers, Some(body)).await
    }
}

#[tokio::test]
async fn bombs_in_xml_are_refused_at_once_and_read_nothing() {
    let stage = Stage::new().await;
    let laughs: String =
        (1..10).map(|n| format!("<!ENTITY l{n} \"{}\">", format!("&l{};", n - 1).repeat(10))).collect();
    for (method, path, root) in READERS {
        let bombs = [
            format!("<!DOCTYPE x [<!ENTITY l0 \"lol\">{laughs}]><{root}>&l9;</{root}>"),
            format!("<!DOCTYPE x [<!ENTITY f SYSTEM \"file:///etc/passwd\">]><{root}><a>&f;</a></{root}>"),
            format!("<!DOCTYPE x SYSTEM \"http://127.0.0.1:1/evil.dtd\"><{root}/>"),
            format!("<{root}>{}{}</{root}>", "<a>".repeat(50_000), "</a>".repeat(50_000)),
            format!("<{root}>{}", "<a>".repeat(50_000)),
            format!("<{root} {}/>", (0..20_000).map(|n| format!("a{n}=\"1\" ")).collect::<String>()),
            format!("<{root}>&undefined;</{root}>"),
        ];
        for bomb in bombs {
            let began = Instant::now();
            let beginning: String = bomb.chars().take(60).collect();
            let answer = stage.say(method, path, "application/xml", bomb).await;
            assert!(
                answer.status.is_client_error() || answer.status.is_success(),
                "{path} {beginning}: {}",
                answer.text
            );
            assert!(!answer.text.contains("root:") && answer.text.len() < 2000, "{path} {beginning}: {}", answer.text);
            assert!(began.elapsed() < Duration::from_secs(5), "{path} {beginning}: {:?}", began.elapsed());
        }
    }
    stage.server.stop().await;
}

#[tokio::test]
async fn bombs_in_json_are_refused_at_once() {
    let stage = Stage::new().await;
    for (method, path, root) in READERS {
        for (what, bomb) in [
            ("arrays", format!("{{\"{root}\":{}", "[".repeat(200_000))),
            ("closed arrays", format!("{{\"{root}\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000))),
            ("objects", format!("{}1{}", "{\"a\":".repeat(50_000), "}".repeat(50_000))),
        ] {
            let answer = stage.say(method, path, "application/json", bomb).await;
            let refused = [StatusCode::BAD_REQUEST, StatusCode::PAYLOAD_TOO_LARGE].contains(&answer.status);
            assert!(refused, "{method} {path} {what}: {} {}", answer.status, answer.text);
        }
    }
    stage.server.channel_still_works().await;
    stage.server.stop().await;
}

impl Server {
    async fn channel_still_works(&self) {
        Socket::open(&self.api.channel("witness").await).await.close().await;
    }
}

/// Texts that would do something if any of them were put into a statement as it is.
const SQL: &[&str] = &[
    "'; drop table tocsin.events cascade; --",
    "' or '1'='1",
    "\\'; select pg_sleep(10); --",
    "$$; select pg_sleep(10); $$",
    "\"; drop schema tocsin cascade; --",
    "') returning (select key from tocsin.url_keys); --",
    "%27%3B%20select%20pg_sleep(10)--",
    "{\"$gt\": \"\"}",
    "x' union select rolpassword from pg_authid --",
    "_%' escape '\\",
];

fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// Requests with a text in each of their fields.
fn requests(text: &str) -> Vec<(&'static str, String, Option<Value>)> {
    let t = encoded(text);
    let search = |criterion: Value| json!({ "selectionCriteria": { "maxEntries": 5, "searchCriteria": { "criterion": [criterion] } } });
    let object = "/nms/v1/default/b/objects";
    vec![
        ("GET", format!("/notificationchannel/v1/{t}/channels"), None),
        ("GET", format!("/notificationchannel/v1/alice/channels/{t}"), None),
        (
            "POST",
            format!("/notificationchannel/v1/{t}/channels"),
            Some(json!({ "notificationChannel": {
            "channelType": "WebSockets", "clientCorrelator": text, "applicationTag": text } })),
        ),
        ("GET", format!("/nms/v1/{t}/b/subscriptions"), None),
        ("GET", format!("/nms/v1/default/{t}/subscriptions"), None),
        ("GET", format!("/nms/v1/default/b/subscriptions/{t}"), None),
        ("GET", format!("{object}/{t}"), None),
        ("PUT", format!("{object}/1/flags/{t}"), None),
        ("GET", format!("{object}/operations/pathToId?path={t}"), None),
        ("GET", format!("/nms/v1/default/b/folders/operations/pathToId?path=/{t}"), None),
        ("GET", format!("/nms/v1/default/b/folders/root?attrFilter={t}&listFilter={t}&fromCursor={t}"), None),
        (
            "POST",
            object.to_owned(),
            Some(json!({ "object": { "correlationId": text, "correlationTag": text,
            "parentFolderPath": format!("/{}", text.replace('/', "")), "flags": { "flag": [text] },
            "attributes": { "attribute": [{ "name": text, "value": [text] }, { "name": "TextContent", "value": [text] }] } } })),
        ),
        (
            "POST",
            format!("{object}/operations/search"),
            Some(search(json!({ "type": "Attribute", "name": text, "value": text }))),
        ),
        (
            "POST",
            format!("{object}/operations/search"),
            Some(search(json!({ "type": "Flag", "name": text, "value": "true" }))),
        ),
        (
            "POST",
            format!("{object}/operations/search"),
            Some(search(json!({ "type": "WholeWord", "name": text, "value": text }))),
        ),
        (
            "POST",
            format!("{object}/operations/search"),
            Some(search(json!({ "type": "AllTextAttributes", "value": text }))),
        ),
        (
            "POST",
            format!("{object}/operations/search"),
            Some(search(json!({ "type": "Date", "value": format!("minDate={text}") }))),
        ),
        (
            "POST",
            format!("{object}/operations/search"),
            Some(json!({ "selectionCriteria": { "maxEntries": 5, "fromCursor": text,
            "sortCriteria": { "criterion": [{ "type": "Attribute", "name": text, "order": text }] } } })),
        ),
        (
            "POST",
            "/nms/v1/default/b/folders".to_owned(),
            Some(json!({ "folder": { "name": text, "parentFolderPath": "/",
            "attributes": { "attribute": [{ "name": text, "value": [text] }] } } })),
        ),
        ("POST", "/api/event-types".to_owned(), Some(json!({ "name": text, "title": text, "description": text }))),
        ("POST", "/api/groups".to_owned(), Some(json!({ "name": text, "users": ["bob"] }))),
        (
            "POST",
            "/api/events".to_owned(),
            Some(json!({ "type": text, "title": text, "message": text, "author": text,
            "users": ["bob"], "group": text, "channels": [text] })),
        ),
        ("POST", format!("/api/rooms/{t}"), Some(json!({ "action": text, "obj": text, "url": text, "author": text }))),
        ("GET", format!("/api/notifications?user={t}&readed={t}"), None),
        ("GET", format!("/api/notifications/{t}?user=bob"), None),
        (
            "PATCH",
            "/api/notifications/filter?user=bob".to_owned(),
            Some(json!({ "types": [text], "channels": [text] })),
        ),
        ("GET", format!("/api/tables/{t}"), None),
        ("GET", format!("/api/tables/movies/{t}"), None),
        ("GET", format!("/api/tables/movies?after={t}&limit={t}"), None),
        ("PUT", "/api/tables/movies/1".to_owned(), Some(json!({ text: text, "title": text }))),
        (
            "POST",
            "/api/grants".to_owned(),
            Some(json!({ "grantee": text, "resource": format!("box/{text}"), "rights": [text] })),
        ),
        ("GET", format!("/api/deferred/{t}?user=bob"), None),
    ]
}

#[tokio::test]
async fn sql_in_every_field_is_text() {
    let stage = Stage::new().await;
    let sql = stage.database.connect().await;
    sql.batch_execute(
        "create table movies (id int primary key, title text); insert into movies values (1, 'a');
         select tocsin.watch('movies', 'id', 'movies')",
    )
    .await
    .unwrap();
    let server = &stage.server.api;
    for text in SQL {
        let began = Instant::now();
        for (method, path, body) in requests(text) {
            let answer = match body {
                None => server.send(method.parse().unwrap(), &path, &[], None).await,
                Some(body) => stage.say(method, &path, "application/json", body.to_string()).await,
            };
            assert!(!answer.status.is_server_error(), "{method} {path} with {text}: {} {}", answer.status, answer.text);
        }
        assert!(began.elapsed() < Duration::from_secs(9), "{text}: nothing slept");
        as_it_is(server, text).await;
    }
    let left: i64 = sql
        .query_one("select count(*) from pg_class where relnamespace = 'tocsin'::regnamespace and relname in ('events', 'url_keys')", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(left, 2);
    stage.server.channel_still_works().await;
    stage.server.stop().await;
}

/// What was stored is found by itself, and nothing else is.
async fn as_it_is(api: &Api, text: &str) {
    let criterion = json!({ "type": "Attribute", "name": text, "value": text });
    let search = json!({ "selectionCriteria": { "maxEntries": 50, "searchCriteria": { "criterion": [criterion] } } });
    let found = api.post("/nms/v1/default/b/objects/operations/search", search).await.json();
    let objects = found["objectList"]["object"].as_array().cloned().unwrap_or_default();
    for object in &objects {
        let attributes = object["attributes"]["attribute"].as_array().unwrap();
        assert!(attributes.iter().any(|attribute| attribute["value"][0] == text), "{text}: {object}");
    }
    assert!(objects.len() <= 1, "{text}: {found}");
}

/// Ways to write an address of this machine or its network.
const INNER: &[&str] = &[
    "127.0.0.1",
    "127.1",
    "2130706433",
    "0x7f.0.0.1",
    "017700000001",
    "0.0.0.0",
    "10.0.0.1",
    "169.254.169.254",
    "[::1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:a9fe:a9fe]",
    "[64:ff9b::7f00:1]",
    "[fe80::1]",
    "[fd00::1]",
    "127.0.0.1.",
    "１２７.0.0.1",
];

#[tokio::test]
async fn addresses_within_are_refused_however_they_are_written() {
    let stage = Stage::new().await;
    for host in INNER {
        let url = format!("http://{host}/x");
        let hook =
            json!({ "notificationChannel": { "channelType": "webhooks", "channelData": { "x-webhookURL": url } } });
        let subscription = json!({ "nmsSubscription": { "callbackReference": { "notifyURL": url } } });
        let target = json!({ "channel": "webhook", "url": url });
        for (path, body) in [
            ("/notificationchannel/v1/alice/channels", hook),
            ("/nms/v1/default/b/subscriptions", subscription),
            ("/api/notifications/targets?user=alice", target),
        ] {
            let answer = stage.server.api.post(path, body).await;
            assert!(answer.status.is_client_error(), "{path} {url}: {} {}", answer.status, answer.text);
        }
    }
    for url in ["file:///etc/passwd", "gopher://8.8.8.8/", "ftp://8.8.8.8/", "javascript:alert(1)", "http://"] {
        let subscription = json!({ "nmsSubscription": { "callbackReference": { "notifyURL": url } } });
        let answer = stage.server.api.post("/nms/v1/default/b/subscriptions", subscription).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{url}: {}", answer.text);
    }
    stage.server.stop().await;
}

#[tokio::test]
async fn a_name_that_leads_within_is_never_called() {
    let stage = Stage::new().await;
    let within = StandIn::start(|_, _| reply(204, &[], "")).await;
    let port = within.url.rsplit(':').next().unwrap();
    // A name is looked up when it is called, whatever it meant before: here it means this machine.
    let hook =
        json!({ "channelType": "webhooks", "channelData": { "x-webhookURL": format!("http://localhost:{port}/") } });
    let channel = stage.server.api.channel_with("alice", hook).await;
    stage.server.api.subscribe("b", &channel).await;
    let insert = "insert into tocsin.messages (box_id, body) values ('b', 'x')";
    stage.database.connect().await.batch_execute(insert).await.unwrap();
    crate::support::eventually("it was tried", async || {
        let metrics = stage.server.api.get("/metrics").await.text;
        let tried = metrics.lines().any(|line| {
            line.starts_with("tocsin_outbound_attempts_total{transport=\"webhook\"") && !line.ends_with(" 0")
        });
        tried.then_some(())
    })
    .await;
    assert!(within.received().is_empty(), "{:?}", within.received());
    stage.server.stop().await;
}
