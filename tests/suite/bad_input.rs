//! What no client should send, and what no client should suffer from: a clear fault, and a server that goes on.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use tocsin::config::Limits;
use tokio_postgres::Client;

use crate::support::client::{Answer, Api, Socket};
use crate::support::eventually;
use crate::support::postgres::Database;
use crate::support::raw::{BINARY, PING, Raw, TEXT, exchange};
use crate::support::server::{Program, Server};

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];
const CHANNELS: &str = "/notificationchannel/v1/alice/channels";
const SUBSCRIPTIONS: &str = "/nms/v1/default/b/subscriptions";

async fn post_text(api: &Api, path: &str, body: impl Into<String>) -> Answer {
    api.send(Method::POST, path, &JSON, Some(body.into())).await
}

/// A client that behaves, to show that the server serves on.
struct Witness {
    sql: Client,
    socket: Socket,
    next: i64,
}

impl Witness {
    async fn new(database: &Database, api: &Api) -> Witness {
        let channel = api.channel("witness").await;
        api.subscribe("witness", &channel).await;
        Witness { sql: database.connect().await, socket: Socket::open(&channel).await, next: 1 }
    }

    /// Is served, and how soon.
    async fn is_served(&mut self) -> Duration {
        let began = Instant::now();
        self.sql.batch_execute("insert into tocsin.messages (box_id, body) values ('witness', 'x')").await.unwrap();
        assert_eq!(self.socket.list().await.index, self.next);
        self.next += 1;
        began.elapsed()
    }
}

#[tokio::test]
async fn bodies_that_cannot_be_read_are_400() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let channel = server.api.channel("alice").await;
    let subscription = server.api.subscribe("b", &channel).await;
    let lifetime = format!("{}/channelLifetime", channel["resourceURL"].as_str().unwrap());
    let deep = |open: &str, close: &str| format!("{}1{}", open.repeat(10_000), close.repeat(10_000));
    let bodies = [
        String::new(),
        "{".to_owned(),
        "nothing".to_owned(),
        "[]".to_owned(),
        "null".to_owned(),
        "\"text\"".to_owned(),
        "{\"a\":1}{\"b\":2}".to_owned(),
        "{'channelType':'WebSockets'}".to_owned(),
        "{\"channelType\":\"\\ud800\"}".to_owned(),
        "<notificationChannel/>".to_owned(),
        deep("[", "]"),
        deep("{\"a\":", "}"),
        format!("{{\"notificationChannel\":{}}}", deep("{\"channelData\":", "}")),
        "{\"notificationChannel\":[{\"channelType\":\"WebSockets\"}]}".to_owned(),
        "{\"nmsSubscription\":[1]}".to_owned(),
    ];
    for body in bodies {
        let begin: String = body.chars().take(60).collect();
        for path in [CHANNELS, SUBSCRIPTIONS] {
            let answer = post_text(&server.api, path, body.clone()).await;
            assert_eq!((answer.status.as_u16(), answer.fault().0.as_str()), (400, "SVC0002"), "{path}: {begin}");
        }
    }
    for body in ["{", "[]", "1", "{\"notificationChannelLifetime\":7}", "{\"nmsSubscriptionUpdate\":\"x\"}"] {
        let put = server.api.send(Method::PUT, &lifetime, &JSON, Some(body.to_owned())).await;
        let post = post_text(&server.api, subscription["resourceURL"].as_str().unwrap(), body).await;
        let statuses = (put.status.as_u16(), post.status.as_u16());
        match body {
            "{\"notificationChannelLifetime\":7}" => assert_eq!(statuses.0, 400),
            "{\"nmsSubscriptionUpdate\":\"x\"}" => assert_eq!(statuses.1, 400),
            _ => assert_eq!(statuses, (400, 400), "{body}"),
        }
    }
    let invalid = exchange(
        &format!("{}{CHANNELS}", server.api.url),
        b"POST /notificationchannel/v1/alice/channels HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\n{\"\xff\"",
    )
    .await;
    assert!(invalid.starts_with("http/1.1 400"), "{invalid}");
    server.stop().await;
}

#[tokio::test]
async fn fields_of_the_wrong_type_are_named() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let channel = server.api.channel("alice").await;
    for (part, body) in [
        ("channelType", json!({ "channelType": ["WebSockets"] })),
        ("channelType", json!({ "channelType": {} })),
        ("channelType", json!({ "channelType": "WebSockets\u{0}" })),
        ("channelData", json!({ "channelType": "WebSockets", "channelData": "x" })),
        ("channelData", json!({ "channelType": "WebSockets", "channelData": [] })),
        ("maxNotifications", json!({ "channelType": "WebSockets", "channelData": { "maxNotifications": 0 } })),
        ("maxNotifications", json!({ "channelType": "WebSockets", "channelData": { "maxNotifications": -1 } })),
        ("maxNotifications", json!({ "channelType": "WebSockets", "channelData": { "maxNotifications": 1.5 } })),
        ("channelLifetime", json!({ "channelType": "WebSockets", "channelLifetime": "an hour" })),
        ("channelLifetime", json!({ "channelType": "WebSockets", "channelLifetime": true })),
        ("clientCorrelator", json!({ "channelType": "WebSockets", "clientCorrelator": "a\u{0}b" })),
        ("clientCorrelator", json!({ "channelType": "WebSockets", "clientCorrelator": {} })),
        ("applicationTag", json!({ "channelType": "WebSockets", "applicationTag": ["x"] })),
    ] {
        let answer = server.api.post(CHANNELS, body.clone()).await;
        let (code, variables) = answer.fault();
        assert_eq!((answer.status.as_u16(), variables[0].as_str()), (400, part), "{body}");
        assert!(code == "SVC0002" || part == "channelType", "{body}");
    }
    let url = channel["callbackURL"].clone();
    let callback = json!({ "notifyURL": url });
    for (part, body) in [
        ("notifyURL", json!({ "callbackReference": { "notifyURL": 7 } })),
        ("notifyURL", json!({ "callbackReference": { "notifyURL": [url] } })),
        ("callbackData", json!({ "callbackReference": { "notifyURL": url, "callbackData": "a\u{0}" } })),
        ("callbackData", json!({ "callbackReference": { "notifyURL": url, "callbackData": {} } })),
        ("callbackReference", json!({ "callbackReference": [callback] })),
        ("duration", json!({ "callbackReference": callback, "duration": "long" })),
        ("filter", json!({ "callbackReference": callback, "filter": "x" })),
        ("criterion", json!({ "callbackReference": callback, "filter": { "criterion": ["x"] } })),
        ("clientCorrelator", json!({ "callbackReference": callback, "clientCorrelator": "\u{0}" })),
    ] {
        let answer = server.api.post(SUBSCRIPTIONS, body.clone()).await;
        assert_eq!((answer.status.as_u16(), answer.fault().1[0].as_str()), (400, part), "{body}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_body_that_is_too_large_is_413_and_costs_nothing_else() {
    let database = Database::new().await;
    let server = Server::start_with(&database, Limits { body_bytes_max: 10_000, ..Limits::default() }).await;
    let body = |bytes: usize| format!(r#"{{"channelType":"WebSockets","x":"{}"}}"#, "x".repeat(bytes));
    assert_eq!(post_text(&server.api, CHANNELS, body(9_000)).await.status, 201);
    for path in [CHANNELS, SUBSCRIPTIONS] {
        let answer = post_text(&server.api, path, body(11_000)).await;
        assert_eq!((answer.status.as_u16(), answer.fault().1), (413, vec!["Request-Body".to_owned()]), "{path}");
    }
    let url = format!("{}{CHANNELS}", server.api.url);
    let announced =
        b"POST /notificationchannel/v1/alice/channels HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999999999999\r\n\r\n{";
    let answer = exchange(&url, announced).await;
    assert!(answer.starts_with("http/1.1 413"), "before it has come: {answer}");
    let mut chunked =
        b"POST /notificationchannel/v1/alice/channels HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
            .to_vec();
    (0..20).for_each(|_| chunked.extend(format!("3e8\r\n{}\r\n", "x".repeat(1000)).bytes()));
    let answer = exchange(&url, &chunked).await;
    assert!(answer.starts_with("http/1.1 413"), "of no announced length: {answer}");
    let many_headers = format!("GET {CHANNELS} HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "X: y\r\n".repeat(1000));
    assert!(exchange(&url, many_headers.as_bytes()).await.starts_with("http/1.1 431"));
    let long_path = format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "x".repeat(100_000));
    let answer = exchange(&url, long_path.as_bytes()).await;
    assert!(answer.starts_with("http/1.1 4"), "{answer}");
    server.api.channel("alice").await;
    server.stop().await;
}

#[tokio::test]
async fn texts_as_long_as_a_body_allows_are_answered_clearly() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let channel = server.api.channel("alice").await;
    let long = "x".repeat((1 << 20) - 300);
    for (path, body, part) in [
        (CHANNELS, json!({ "channelType": "WebSockets", "clientCorrelator": long }), "clientCorrelator"),
        (CHANNELS, json!({ "channelType": "WebSockets", "applicationTag": long }), "applicationTag"),
        (
            SUBSCRIPTIONS,
            json!({ "callbackReference": { "notifyURL": channel["callbackURL"], "callbackData": long } }),
            "callbackData",
        ),
    ] {
        let answer = server.api.post(path, body).await;
        assert_eq!((answer.status.as_u16(), answer.fault().1), (400, vec![part.to_owned()]));
    }
    let criteria = vec![json!({ "type": "Flag", "name": "x" }); 10_000];
    let body =
        json!({ "callbackReference": { "notifyURL": channel["callbackURL"] }, "filter": { "criterion": criteria } });
    let answer = server.api.post(SUBSCRIPTIONS, body).await;
    assert_eq!((answer.status.as_u16(), answer.fault().0.as_str()), (400, "SVC0003"));
    server.stop().await;
}

#[tokio::test]
async fn ids_that_cannot_be_are_400() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let long = "x".repeat(256);
    let long_encoded = "%C3%A9".repeat(256);
    for id in ["a%2Fb", "%2F", "a%00b", "%0A", "a%7Fb", "a%C2%85b", "%FF", "%C3%28", "%ED%A0%80", &long, &long_encoded]
    {
        for path in [
            format!("/notificationchannel/v1/{id}/channels"),
            format!("/notificationchannel/v1/{id}/channels/x"),
            format!("/notificationchannel/v1/{id}/channels/x/channelLifetime"),
            format!("/nms/v1/{id}/b/subscriptions"),
            format!("/nms/v1/default/{id}/subscriptions"),
            format!("/nms/v1/default/{id}/objects/1"),
        ] {
            let answer = server.api.get(&path).await;
            assert_eq!((answer.status.as_u16(), answer.fault().0.as_str()), (400, "SVC0002"), "{path}");
        }
    }
    for path in ["/nms/v1/%24channel/b/subscriptions", "/nms/v1/$x/b/subscriptions"] {
        assert_eq!(server.api.get(path).await.fault().1, ["storeName"]);
    }
    server.stop().await;
}

#[tokio::test]
async fn unusual_ids_are_ids() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let sql = database.connect().await;
    let longest = "é".repeat(255);
    let names = [
        "a b",
        "100%",
        "q?x=1#y",
        "tel:+1;ext=2",
        "'; drop table x; --",
        "\u{1F600}",
        "\u{200F}x\u{FEFF}",
        "\u{2028}",
        "...",
        "a\\b",
        "\"",
        longest.as_str(),
    ];
    let channel = server.api.channel("alice").await;
    let mut socket = Socket::open(&channel).await;
    for name in names {
        let encoded: String = name.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let own = server.api.channel(&encoded).await;
        assert_eq!(server.api.get(own["resourceURL"].as_str().unwrap()).await.status, 200, "{name}");
        let subscription = server.api.subscribe(&encoded, &channel).await;
        let insert = "insert into tocsin.messages (box_id, body) values ($1, 'x')";
        sql.execute(insert, &[&name]).await.unwrap();
        let list = socket.list().await;
        assert_eq!(list.subscription, subscription["resourceURL"], "{name}");
        let object = list.events[0]["changedObject"]["resourceURL"].as_str().unwrap();
        assert_eq!(server.api.get(object).await.status, 200, "{object}");
    }
    server.stop().await;
}

#[tokio::test]
async fn garbage_frames_close_their_own_socket_and_no_other() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let mut witness = Witness::new(&database, &server.api).await;
    let channel = server.api.channel("alice").await;
    server.api.subscribe("b", &channel).await;
    let large = format!(r#"{{"connCheck":"{}"}}"#, "x".repeat(20_000));
    for (first, payload, code) in [
        (0x80 | BINARY, &b"\x00\x01\x02"[..], 1003),
        (0x80 | BINARY, br#"{"connCheck":{}}"#, 1003),
        (0x80 | TEXT, b"not json", 1007),
        (0x80 | TEXT, b"", 1007),
        (0x80 | TEXT, b"[]", 1007),
        (0x80 | TEXT, b"\xff\xfe", 1007),
        (0x80 | TEXT, "[".repeat(10_000).as_bytes(), 1007),
        (0x80 | TEXT, large.as_bytes(), 1009),
        (0x83, b"", 1002), // reserved opcodes
        (0x8b, b"", 1002),
        (0xc0 | TEXT, b"{}", 1002), // reserved bits
        (0xf0 | TEXT, b"{}", 1002),
        (PING, b"{}", 1002),               // a control frame in pieces
        (0x80, b"{}", 1002),               // a continuation of nothing
        (0x80 | PING, &[b'x'; 200], 1002), // a control frame of more than 125 bytes
    ] {
        let begin = String::from_utf8_lossy(&payload[..payload.len().min(20)]).into_owned();
        println!("{first:#x} {begin}");
        let mut raw = Raw::open(&channel).await;
        raw.send_as(first, payload).await;
        let (_, close) = raw.rest().await;
        let found = close.map(|(code, _)| code);
        assert_eq!(found, Some(code), "{first:#x} {begin}");
        witness.is_served().await;
    }
    // A frame that announces more than it may hold is refused before it has come.
    let mut raw = Raw::open(&channel).await;
    raw.bytes(&[0x81, 0x80 | 127, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]).await;
    let (_, close) = raw.rest().await;
    assert_eq!(close.map(|(code, _)| code), Some(1009));
    let mut socket = Socket::open(&channel).await;
    witness.sql.batch_execute("insert into tocsin.messages (box_id, body) values ('b', 'x')").await.unwrap();
    assert_eq!(socket.list().await.index, 1, "the channel itself is as it was");
    server.stop().await;
}

#[tokio::test]
async fn a_connection_that_says_nothing_sensible_costs_nobody_else_anything() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let mut witness = Witness::new(&database, &server.api).await;
    for garbage in
        [&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], b"GET / HTTP/9.9\r\n\r\n", b"GET /\0 HTTP/1.1\r\n\r\n"]
    {
        let answer = exchange(&format!("{}/", server.api.url), garbage).await;
        assert!(answer.is_empty() || answer.starts_with("http/1.1 4") || answer.starts_with("http/1.0 4"), "{answer}");
        witness.is_served().await;
    }
    server.stop().await;
}

#[tokio::test]
async fn ten_thousand_subscriptions_on_one_channel_work() {
    let database = Database::new().await;
    let most = 10_000;
    let server =
        Server::start_with(&database, Limits { subscriptions_per_channel_max: most, ..Limits::default() }).await;
    let channel = server.api.channel("alice").await;
    let body = json!({ "callbackReference": { "notifyURL": channel["callbackURL"] } });
    let mut socket = Socket::open(&channel).await;
    // Most of them by SQL, which is the same to everybody but the clock.
    let sql = database.connect().await;
    let by_sql = i64::from(most - 100);
    sql.execute(
        "insert into tocsin.events (stream, kind, data)
         select 'default/b' || i % 100, 'subscription.created', jsonb_build_object(
             'id', 's' || i, 'channel', $1::text, 'format', 'JSON', 'expiresAt', now() + interval '1 hour')
         from generate_series(1, $2::bigint) as i order by i % 100",
        &[&channel["resourceURL"].as_str().unwrap().rsplit('/').next().unwrap(), &by_sql],
    )
    .await
    .unwrap();
    for n in 0..100 {
        let answer = server.api.post(&format!("/nms/v1/default/b{n}/subscriptions"), body.clone()).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
    }
    let refused = server.api.post("/nms/v1/default/b/subscriptions", body).await;
    assert_eq!((refused.status.as_u16(), refused.fault().0.as_str()), (403, "POL0001"));
    sql.batch_execute(
        "insert into tocsin.messages (box_id, body) select 'b' || i, 'x' from generate_series(0, 99) as i",
    )
    .await
    .unwrap();
    let lists = socket.lists(most as usize).await;
    let mut urls: Vec<_> = lists.iter().map(|list| list.subscription.as_str()).collect();
    urls.sort_unstable();
    urls.dedup();
    assert_eq!(urls.len(), most as usize, "each subscription has one list");
    assert!(lists.iter().all(|list| list.index == 1));
    socket.close().await;
    let deleted = server.api.delete(channel["resourceURL"].as_str().unwrap()).await;
    assert_eq!(deleted.status, 204);
    server.stop().await;
}

/// Resident memory of a process, in MiB.
fn memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

#[tokio::test]
async fn a_client_that_never_reads_costs_bounded_memory_and_in_the_end_its_connection() {
    let database = Database::new().await;
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("tocsin.toml");
    std::fs::write(&config, "[limits]\nsocket_stall_seconds = 15\nsocket_ping_seconds = 2\n").unwrap();
    let arguments = ["--database-url", database.url(), "--listen", "127.0.0.1:0", "--config", config.to_str().unwrap()];
    let program = Program::start_with(&arguments).await;
    let mut witness = Witness::new(&database, &program.api).await;
    let channel = program.api.channel("alice").await;
    program.api.subscribe("b", &channel).await;
    let _stalled = Raw::open(&channel).await;
    let connections = async || program.api.get("/readyz").await.json()["connections"].as_u64().unwrap();
    assert_eq!(connections().await, 2);
    witness.is_served().await;
    let before = memory(program.pid());
    let sql = database.connect().await;
    let big = "insert into tocsin.messages (box_id, body, correlation_id) select 'b', repeat('x', 20000), repeat('y', 2000) from generate_series(1, 500) as i";
    let mut slowest = Duration::ZERO;
    for _ in 0..10 {
        sql.batch_execute(big).await.unwrap(); // 10 MB of events, 1 MB of notifications
        slowest = slowest.max(witness.is_served().await);
    }
    let after = memory(program.pid());
    assert!(after < before + 60, "{before} MiB before, {after} MiB after 100 MB of events");
    assert!(slowest < Duration::from_secs(5), "others are served meanwhile: {slowest:?}");
    eventually("the stalled one is disconnected", async || (connections().await == 1).then_some(())).await;
    witness.is_served().await;
    let mut reading = Socket::open(&channel).await;
    let lists = reading.lists(5000).await;
    assert!(lists.iter().enumerate().all(|(n, list)| list.index == n as i64 + 1), "it has lost nothing");
    assert_eq!(program.terminate().await, Some(0));
}

#[tokio::test]
async fn a_client_that_answers_no_ping_is_disconnected() {
    let database = Database::new().await;
    let limits = Limits { socket_stall_seconds: 1, socket_ping_seconds: 1, ..Limits::default() };
    let server = Server::start_with(&database, limits).await;
    let channel = server.api.channel("alice").await;
    let mut silent = Raw::open(&channel).await;
    let (lists, close) = silent.rest().await;
    assert_eq!((lists.len(), close.map(|(code, _)| code)), (0, Some(4004)));
    let now: Value = server.api.get(channel["resourceURL"].as_str().unwrap()).await.json();
    assert_eq!(now["notificationChannel"], channel, "the channel lives on");
    server.stop().await;
}
