//! What the program tells of requests and events: its log, and spans for a collector.

use std::path::Path;

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::client::Socket;
use crate::support::eventually;
use crate::support::postgres::Database;
use crate::support::server::{Program, Server};
use crate::support::stand_in::{StandIn, reply};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const OBJECT: &str = "{}";

/// A place in the trace, as a client says it.
fn parent() -> String {
    format!("00-{TRACE}-00f067aa0ba902b7-01")
}

/// The lines of a log in JSON with this message.
fn lines(log: &Path, message: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(log).unwrap();
    let all =
        text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap_or_else(|_| panic!("no JSON: {line}")));
    all.filter(|line| line["message"] == message).collect()
}

#[tokio::test]
async fn every_answer_names_its_trace_and_its_request() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let get = async |headers: &[(&str, &str)]| server.api.send(Method::GET, "/healthz", headers, None).await;
    let told = get(&[("traceparent", &parent()), ("x-request-id", "mine-1")]).await;
    let here = told.header("traceparent").to_owned();
    assert!(here.starts_with(&format!("00-{TRACE}-")) && here != parent() && here.len() == 55, "{here}");
    assert_eq!(told.header("x-request-id"), "mine-1");
    let (one, another) = (get(&[("traceparent", "nonsense"), ("x-request-id", "a b")]).await, get(&[]).await);
    for name in ["traceparent", "x-request-id"] {
        assert!(one.header(name).len() >= 32 && one.header(name) != another.header(name), "{name}");
    }
    let fault = server.api.get("/no/such/resource").await;
    assert!(fault.status == 404 && fault.header("traceparent").len() == 55);
    server.stop().await;
}

#[tokio::test]
async fn one_event_is_followed_from_the_request_to_the_frame() {
    let (dir, database) = (TempDir::new().unwrap(), Database::new().await);
    let log = dir.path().join("log");
    let settings = ["--log-format", "json", "--log", "tocsin=debug"];
    let at = ["--database-url", database.url(), "--listen", "127.0.0.1:0"];
    let program = Program::start_logging(&[&at[..], &settings[..]].concat(), &log).await;
    let channel = program.api.channel("alice").await;
    program.api.subscribe("b", &channel).await;
    let mut socket = Socket::open(&channel).await;
    let headers = [("traceparent", &*parent()), ("content-type", "application/json")];
    let made = program.api.send(Method::POST, "/nms/v1/default/b/objects", &headers, Some(OBJECT.to_owned())).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let seq = socket.list().await.seq();

    let written = &lines(&log, "written")[0];
    assert_eq!(written["span"]["trace_id"], TRACE);
    assert_eq!(written["span"]["route"], "/nms/v1/{storeName}/{boxId}/objects");
    let is_it = |line: &Value| line["stream"] == "default/b" && line["seq"] == seq;
    let of = |message: &str| lines(&log, message).into_iter().find(|line| is_it(line));
    let tailed = eventually("it is tailed", async || of("tailed")).await;
    assert_eq!((&tailed["stream"], &tailed["object"]), (&written["stream"], &written["object"]));
    assert!(of("matched").is_some() && of("sent").is_some(), "{}", std::fs::read_to_string(&log).unwrap());

    // So is whatever else is written: a folder, many flags at once, what an enabler posts.
    let folder = json!({ "folder": { "name": "f", "parentFolderPath": "/" } });
    assert_eq!(program.api.post("/nms/v1/default/b/folders", folder).await.status, 201);
    let flags = json!({ "bulkUpdate": { "operation": "AddFlag", "flags": { "flag": ["\\Seen"] }, "objects": {
        "objectReference": [{ "resourceURL": made.header("location") }] } } });
    let done = program.api.post("/nms/v1/default/b/objects/operations/bulkUpdate", flags).await;
    assert_eq!(done.status, 200, "{}", done.text);
    program.api.post(channel["callbackURL"].as_str().unwrap(), json!({ "hello": {} })).await;
    let all = eventually("all are written", async || Some(lines(&log, "written")).filter(|all| all.len() == 4));
    let all = all.await;
    let stream_of = |line: &Value| line["stream"].as_str().unwrap().split('/').next().unwrap().to_owned();
    assert_eq!(all.iter().map(stream_of).collect::<Vec<_>>(), ["default", "default", "default", "$channel"]);
    assert_eq!(all[2]["object"], written["object"], "{all:?}");
    assert_eq!(program.terminate().await, Some(0));
}

#[tokio::test]
async fn a_collector_gets_the_spans_of_requests_and_nothing_secret() {
    let database = Database::new().await;
    let collector = StandIn::start(|_, _| reply(200, &[], "")).await;
    let endpoint = format!("{}/otlp", collector.url);
    let at = ["--database-url", database.url(), "--listen", "127.0.0.1:0"];
    let program = Program::start_with(&[&at[..], &["--otlp-endpoint", &endpoint]].concat()).await;
    let channel = program.api.channel("alice").await;
    drop(Socket::open(&channel).await);
    let told = program.api.send(Method::GET, "/healthz", &[("traceparent", &parent())], None).await;
    let span = told.header("traceparent").split('-').nth(2).unwrap().to_owned();
    assert_eq!(program.terminate().await, Some(0));
    // The last ones are sent when it ends.
    let sent = collector.received();
    assert!(!sent.is_empty());
    let mut bodies = Vec::new();
    for request in &sent {
        assert_eq!((request.path.as_str(), &request.method), ("/otlp/v1/traces", &Method::POST));
        assert_eq!(request.headers["content-type"], "application/x-protobuf");
        bodies.extend_from_slice(&request.body);
    }
    let has = |bytes: &[u8]| bodies.windows(bytes.len()).any(|part| part == bytes);
    let hex = |text: &str| -> Vec<u8> {
        (0..text.len() / 2).map(|n| u8::from_str_radix(&text[2 * n..][..2], 16).unwrap()).collect()
    };
    assert!(has(&hex(TRACE)) && has(&hex(&span)), "the span is in the client's trace");
    for text in ["GET /healthz", "GET /ws/{token}", "POST /notificationchannel/v1/{userId}/channels", "tocsin"] {
        assert!(has(text.as_bytes()), "{text}");
    }
    let token = channel["channelData"]["channelURL"].as_str().unwrap().rsplit('/').next().unwrap();
    assert!(!has(token.as_bytes()) && !has(b"alice"));
}

#[tokio::test]
async fn a_collector_that_cannot_be_is_refused_at_the_start() {
    let refused = crate::cli::run(&["serve", "--otlp-endpoint", "nowhere", "--log", "tocsin=loud"]).await;
    crate::cli::refused(&refused, "--otlp-endpoint nowhere");
    crate::cli::refused(&refused, "--log tocsin=loud");
}

#[tokio::test]
async fn without_a_collector_nothing_is_sent_and_a_dead_one_is_no_hindrance() {
    let database = Database::new().await;
    let at = ["--database-url", database.url(), "--listen", "127.0.0.1:0"];
    let program = Program::start_with(&[&at[..], &["--otlp-endpoint", "http://127.0.0.1:1"]].concat()).await;
    for _ in 0..3 {
        assert_eq!(program.api.get("/healthz").await.status, 200);
    }
    assert_eq!(json!(program.terminate().await), json!(0));
}

#[tokio::test]
async fn a_node_whose_schema_is_too_old_is_not_ready_and_says_why_but_during_an_upgrade_it_goes_on() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let ready = async || {
        let answer = server.api.get("/readyz").await;
        (answer.status, answer.json()["reasons"].clone())
    };
    eventually("it is ready", async || (ready().await == (reqwest::StatusCode::OK, json!([]))).then_some(())).await;
    let sql = database.connect().await;
    sql.batch_execute(
        "update tocsin.migrations set version = 9999 where version = (select max(version) from tocsin.migrations)",
    )
    .await
    .unwrap();
    assert_eq!(ready().await, (reqwest::StatusCode::OK, json!([])), "newer");
    assert_eq!(server.api.get("/readyz").await.json()["schema"]["version"], 9999);
    sql.batch_execute("delete from tocsin.migrations where version = 9999").await.unwrap();
    let (status, reasons) = ready().await;
    assert_eq!((status.as_u16(), reasons.as_array().unwrap().len()), (503, 1), "{reasons}");
    assert!(reasons[0].as_str().unwrap().contains("tocsin migrate"), "{reasons}");
    server.stop().await;
}
