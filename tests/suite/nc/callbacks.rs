//! The callbackURL: notifications of any enabler, delivered to the channel's client.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tocsin::config::Limits;
use tokio_tungstenite::tungstenite::Message;

use super::{channels_of, text};
use crate::support::client::{Answer, Socket};
use crate::support::eventually;
use crate::support::postgres::Database;
use crate::support::raw::{PING, PONG, Raw, TEXT};
use crate::support::server::Server;

const JSON: (&str, &str) = ("content-type", "application/json");

const JSON_ANSWER: (&str, &str) = ("accept", "application/json");

/// Posts a body as an enabler does; the path is the channel's callbackURL on this server.
async fn post_text(server: &Server, channel: &Value, headers: &[(&str, &str)], body: &str) -> Answer {
    let url = text(channel, "callbackURL");
    let path = &url[url.find("/callback/").unwrap()..];
    server.api.send(Method::POST, path, headers, Some(body.to_owned())).await
}

/// Posts a notification with this number.
async fn notify(server: &Server, channel: &Value, number: i64) {
    let answer = post_text(server, channel, &[JSON], &format!(r#"{{"chatNotification":{{"n":{number}}}}}"#)).await;
    assert_eq!((answer.status, answer.text.as_str()), (StatusCode::NO_CONTENT, ""), "{}", answer.text);
}

/// The numbers of the next notifications, in the order they come.
async fn numbers(socket: &mut Socket, count: usize) -> Vec<i64> {
    notifications(socket, count).await.iter().map(|told| told["chatNotification"]["n"].as_i64().unwrap()).collect()
}

async fn notifications(socket: &mut Socket, count: usize) -> Vec<Value> {
    let mut all = Vec::new();
    while all.len() < count {
        let frame: Value = serde_json::from_str(&socket.frame().await).unwrap();
        all.extend(frame["notificationList"].as_array().unwrap().iter().cloned());
    }
    assert_eq!(all.len(), count, "{all:?}");
    all
}

fn fault_of(answer: &Answer) -> (u16, String, Vec<String>) {
    let (id, variables) = answer.fault();
    (answer.status.as_u16(), id, variables)
}

#[tokio::test]
async fn what_an_enabler_posts_arrives_to_the_letter() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let channel = server.api.channel("alice").await;
    let mut socket = Socket::open(&channel).await;
    let bodies = [
        r#"{"chatNotification":{"z":1.0,"a":"\u00fc\"\\u0000","big":123456789012345678901234567890,"z2":1e400}}"#,
        r#"{"presenceNotification":null}"#,
        r#"{"nmsEventList":{"nmsEvent":[]}}"#,
    ];
    for body in bodies {
        let answer = post_text(&server, &channel, &[JSON], body).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT, "{}", answer.text);
        assert_eq!(socket.frame().await, format!(r#"{{"notificationList":[{body}]}}"#));
    }
    let untyped = post_text(&server, &channel, &[], bodies[1]).await;
    assert_eq!(untyped.status, StatusCode::NO_CONTENT);
    assert_eq!(notifications(&mut socket, 1).await, [json!({ "presenceNotification": null })]);
    server.stop().await;
}

#[tokio::test]
async fn notifications_come_in_order_and_together_with_events_of_boxes() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let channel = server.api.channel("alice").await;
    server.api.subscribe("b", &channel).await;
    let sql = database.connect().await;
    let told = async |n: i64| {
        notify(&server, &channel, n).await;
        let insert = format!("insert into tocsin.messages (box_id, body) values ('b', '{n}')");
        sql.batch_execute(&insert).await.unwrap();
    };
    let in_order = |all: &[Value], from: i64| {
        let chats: Vec<_> = all.iter().filter_map(|one| one["chatNotification"]["n"].as_i64()).collect();
        let lists: Vec<_> = all.iter().filter_map(|one| one["nmsEventList"]["index"].as_i64()).collect();
        assert_eq!(chats, (from..from + 10).collect::<Vec<_>>());
        assert_eq!(lists, (from..from + 10).collect::<Vec<_>>());
    };
    for n in 1..=10 {
        told(n).await;
    }
    let mut socket = Socket::open(&channel).await;
    in_order(&notifications(&mut socket, 20).await, 1);
    for n in 11..=20 {
        told(n).await;
    }
    in_order(&notifications(&mut socket, 20).await, 11);
    server.stop().await;
}

#[tokio::test]
async fn what_was_not_confirmed_comes_again_and_what_was_does_not() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let channel = server.api.channel("alice").await;
    for n in 1..=3 {
        notify(&server, &channel, n).await;
    }
    let whole = r#"{"notificationList":[{"chatNotification":{"n":1}},{"chatNotification":{"n":2}},{"chatNotification":{"n":3}}]}"#;
    for _ in 0..2 {
        let mut silent = Raw::open(&channel).await;
        assert_eq!(silent.frame().await.unwrap(), (TEXT, whole.as_bytes().to_vec()));
    }
    let mut raw = Raw::open(&channel).await;
    assert_eq!(raw.frame().await.unwrap(), (TEXT, whole.as_bytes().to_vec()));
    let (kind, payload) = raw.frame().await.unwrap();
    assert_eq!(kind, PING);
    raw.send(PONG, &payload).await;
    let sql = database.connect().await;
    let id = text(&channel, "resourceURL").rsplit_once('/').unwrap().1.to_owned();
    eventually("the Pong is stored", async || {
        let query = "select next_index from tocsin.cursors where source_id = $1";
        let row = sql.query_opt(query, &[&id]).await.unwrap();
        row.filter(|row| row.get::<_, i64>(0) == 4)
    })
    .await;
    drop(raw);
    notify(&server, &channel, 4).await;
    let mut socket = Socket::open(&channel).await;
    assert_eq!(numbers(&mut socket, 1).await, [4]);
    server.stop().await;
}

#[tokio::test]
async fn a_notification_posted_on_one_node_reaches_the_client_on_another() {
    let database = Database::new().await;
    let (a, b) = (Server::start(&database).await, Server::start(&database).await);
    let channel = a.api.channel("alice").await;
    let mut socket = Socket::open(&channel).await;
    for n in 1..=5 {
        notify(if n % 2 == 0 { &a } else { &b }, &channel, n).await;
        assert_eq!(numbers(&mut socket, 1).await, [n]);
    }
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn only_documents_with_one_root_are_taken() {
    let database = Database::new().await;
    let limits = Limits { callback_bytes_max: 1000, ..Limits::default() };
    let server = Server::start_with(&database, limits).await;
    let channel = server.api.channel("alice").await;
    let mut socket = Socket::open(&channel).await;
    let invalid = (400, "SVC0002".to_owned(), vec!["Request-Body".to_owned()]);
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(200), "]".repeat(200));
    for body in [
        "",
        "garbage",
        "[]",
        "{}",
        "null",
        r#"{"a":1,"b":2}"#,
        r#"{"a":1,"a":2}"#,
        r#"{"a":"\u0000"}"#,
        r#"{"\u0000":1}"#,
        "{\"a\":\"\0\"}",
        r#"{"a":1} x"#,
        r#"{"a":"\ud800"}"#,
        &deep,
    ] {
        let answer = post_text(&server, &channel, &[JSON], body).await;
        assert_eq!(fault_of(&answer), invalid, "{body:?}");
    }
    for body in ["", "<a>", "<a/><b/>", "{}", "<!DOCTYPE a><a/>", "<a>&x;</a>", "<a>&#0;</a>"] {
        let answer = post_text(&server, &channel, &[("content-type", "application/xml"), JSON_ANSWER], body).await;
        assert_eq!(fault_of(&answer), invalid, "{body:?}");
    }
    for other in ["text/plain", "application/x-www-form-urlencoded"] {
        let answer = post_text(&server, &channel, &[("content-type", other)], r#"{"a":1}"#).await;
        assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{other}");
    }
    let large = |size: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(size - 8));
    let too_large = post_text(&server, &channel, &[JSON], &large(1001)).await;
    let fault = (413, "SVC0002".to_owned(), vec!["Request-Body".to_owned()]);
    assert_eq!(fault_of(&too_large), fault);
    assert_eq!(post_text(&server, &channel, &[JSON], &large(1000)).await.status, StatusCode::NO_CONTENT);
    let first = notifications(&mut socket, 1).await;
    assert_eq!(first[0]["a"].as_str().unwrap().len(), 992, "and nothing that was refused came before");
    server.stop().await;
}

#[tokio::test]
async fn the_largest_notification_that_policy_takes_fits_into_the_log() {
    let database = Database::new().await;
    let limits = Limits { callback_bytes_max: 1_000_000, ..Limits::default() };
    let server = Server::start_with(&database, limits).await;
    let channel = server.api.channel("alice").await;
    let body = format!("{{\"a\":\"{}\"}}", "\\u00fc".repeat(999_990 / 6));
    let answer = post_text(&server, &channel, &[JSON], &body).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT, "{}", answer.text);
    let mut socket = Socket::open(&channel).await;
    assert_eq!(socket.frame().await, format!(r#"{{"notificationList":[{body}]}}"#));
    server.stop().await;
}

#[tokio::test]
async fn other_verbs_and_wrong_tokens_are_refused() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let channel = server.api.channel("alice").await;
    let url = text(&channel, "callbackURL");
    for verb in [Method::GET, Method::PUT, Method::DELETE, Method::PATCH] {
        let answer = server.api.send(verb.clone(), url, &[JSON], Some("{}".to_owned())).await;
        assert_eq!((answer.status.as_u16(), answer.header("allow")), (405, "POST"), "{verb}");
    }
    let channel_token = text(&channel["channelData"], "channelURL").rsplit_once('/').unwrap().1;
    let (start, token) = url.rsplit_once('/').unwrap();
    let (id, _) = token.rsplit_once('.').unwrap();
    for wrong in [channel_token, id, &format!("{id}.AAAAAAAAAAAAAAAAAAAAAA"), "x", "%00"] {
        let answer = server.api.post(&format!("{start}/{wrong}"), json!({ "a": 1 })).await;
        assert_eq!(fault_of(&answer), (404, "SVC0004".to_owned(), vec!["Request-URI".to_owned()]), "{wrong}");
    }
    notify(&server, &channel, 1).await;
    server.stop().await;
}

#[tokio::test]
async fn a_channel_that_is_over_takes_nothing() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let (deleted, expired) = (server.api.channel("alice").await, server.api.channel("alice").await);
    for channel in [&deleted, &expired] {
        let keyed = post_text(&server, channel, &[JSON, ("Idempotency-Key", "k")], r#"{"a":1}"#).await;
        assert_eq!(keyed.status, StatusCode::NO_CONTENT);
    }
    server.api.delete(text(&deleted, "resourceURL")).await;
    let sql = database.connect().await;
    sql.batch_execute("update tocsin.channel_lifetimes set expires_at = now() - interval '1 s'").await.unwrap();
    for channel in [&deleted, &expired] {
        let answer = post_text(&server, channel, &[JSON], r#"{"a":1}"#).await;
        assert_eq!(fault_of(&answer), (404, "SVC0004".to_owned(), vec!["Request-URI".to_owned()]));
    }
    eventually("nothing stays behind", async || {
        let left = "select (select count(*) from tocsin.callback_keys) + (select count(*) from tocsin.cursors)";
        (sql.query_one(left, &[]).await.unwrap().get::<_, i64>(0) == 0).then_some(())
    })
    .await;
    server.stop().await;
}

#[tokio::test]
async fn the_same_key_is_delivered_once() {
    let database = Database::new().await;
    let (a, b) = (Server::start(&database).await, Server::start(&database).await);
    let (channel, other) = (a.api.channel("alice").await, a.api.channel("alice").await);
    let send = async |server: &Server, channel: &Value, headers: &[(&str, &str)], n: i64| {
        let headers: Vec<_> = headers.iter().copied().chain([JSON]).collect();
        let body = format!(r#"{{"chatNotification":{{"n":{n}}}}}"#);
        let answer = post_text(server, channel, &headers, &body).await;
        assert_eq!((answer.status, answer.text.as_str()), (StatusCode::NO_CONTENT, ""));
    };
    let key = |name: &'static str| [("Idempotency-Key", name)];
    send(&a, &channel, &key("k1"), 1).await;
    send(&b, &channel, &key("k1"), 2).await;
    send(&b, &channel, &[("Message-ID", "m1")], 3).await;
    send(&a, &channel, &[("message-id", "m1")], 4).await;
    send(&a, &channel, &[("Idempotency-Key", "k2"), ("Message-ID", "m1")], 5).await;
    send(&a, &channel, &[("Idempotency-Key", "k2"), ("Message-ID", "m2")], 6).await;
    send(&a, &channel, &[("Message-ID", "m2")], 7).await;
    for n in [8, 9] {
        send(&a, &channel, &[("Idempotency-Key", "")], n).await;
    }
    send(&a, &other, &key("k1"), 10).await;
    let mut socket = Socket::open(&channel).await;
    assert_eq!(numbers(&mut socket, 6).await, [1, 3, 5, 7, 8, 9]);
    let mut socket = Socket::open(&other).await;
    assert_eq!(numbers(&mut socket, 1).await, [10], "a key is of one channel");
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn of_two_nodes_that_race_with_one_key_one_delivers() {
    let database = Database::new().await;
    let (a, b) = (Server::start(&database).await, Server::start(&database).await);
    let channel = a.api.channel("alice").await;
    for round in 0..20 {
        let key = format!("k{round}");
        let headers = [JSON, ("Idempotency-Key", key.as_str())];
        let body = format!(r#"{{"chatNotification":{{"n":{round}}}}}"#);
        let posts = (0..6).map(|n| post_text(if n % 2 == 0 { &a } else { &b }, &channel, &headers, &body));
        for answer in futures_util::future::join_all(posts).await {
            assert_eq!(answer.status, StatusCode::NO_CONTENT);
        }
    }
    let mut socket = Socket::open(&channel).await;
    assert_eq!(numbers(&mut socket, 20).await, (0..20).collect::<Vec<_>>());
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn keys_are_bounded_and_forgotten_after_a_day() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let channel = server.api.channel("alice").await;
    let post = async |server: &Server, header: &str, key: &str| {
        post_text(server, &channel, &[JSON, (header, key)], r#"{"a":1}"#).await
    };
    let (longest, too_long) = ("x".repeat(255), "x".repeat(256));
    assert_eq!(post(&server, "Idempotency-Key", &longest).await.status, StatusCode::NO_CONTENT);
    for header in ["Idempotency-Key", "Message-ID"] {
        let refused = post(&server, header, &too_long).await;
        assert_eq!(fault_of(&refused), (400, "SVC0002".to_owned(), vec![header.to_owned()]));
    }
    assert_eq!(post(&server, "Idempotency-Key", "recent").await.status, StatusCode::NO_CONTENT);
    let sql = database.connect().await;
    let age = "update tocsin.callback_keys set created_at = now() - interval '25 hours' where key <> 'recent'";
    sql.batch_execute(age).await.unwrap();
    server.stop().await;
    let server = Server::start(&database).await; // which looks at once
    eventually("the old key is forgotten", async || {
        let left = sql.query("select key from tocsin.callback_keys", &[]).await.unwrap();
        (left.len() == 1 && left[0].get::<_, &str>(0) == "recent").then_some(())
    })
    .await;
    server.stop().await;
}

#[tokio::test]
async fn an_enabler_that_posts_too_fast_is_told_to_wait() {
    let database = Database::new().await;
    let limits = Limits { callbacks_per_second_max: 5, ..Limits::default() };
    let server = Server::start_with(&database, limits).await;
    let (channel, other) = (server.api.channel("alice").await, server.api.channel("alice").await);
    let posts = (0..50).map(|_| post_text(&server, &channel, &[JSON], r#"{"a":1}"#));
    let answers = futures_util::future::join_all(posts).await;
    let refused: Vec<_> = answers.iter().filter(|answer| answer.status != StatusCode::NO_CONTENT).collect();
    assert!(!refused.is_empty() && refused.len() <= 45, "{}", refused.len());
    for answer in &refused {
        assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (429, "1"));
        assert_eq!(answer.fault().0, "POL0001");
    }
    notify(&server, &other, 1).await;
    eventually("it may go on", async || {
        (post_text(&server, &channel, &[JSON], r#"{"a":1}"#).await.status == StatusCode::NO_CONTENT).then_some(())
    })
    .await;
    server.stop().await;
}

#[tokio::test]
async fn a_backlog_has_an_end() {
    let database = Database::new().await;
    let limits = Limits { callbacks_pending_max: 3, ..Limits::default() };
    let server = Server::start_with(&database, limits).await;
    let channel = server.api.channel("alice").await;
    let keyed = [JSON, ("Idempotency-Key", "first")];
    assert_eq!(post_text(&server, &channel, &keyed, r#"{"chatNotification":{"n":1}}"#).await.status, 204);
    notify(&server, &channel, 2).await;
    notify(&server, &channel, 3).await;
    let full = post_text(&server, &channel, &[JSON, ("Idempotency-Key", "k")], r#"{"a":1}"#).await;
    assert_eq!((full.status.as_u16(), full.header("retry-after"), full.fault().0.as_str()), (503, "1", "SVC2001"));
    let again = post_text(&server, &channel, &keyed, r#"{"chatNotification":{"n":1}}"#).await;
    assert_eq!(again.status, StatusCode::NO_CONTENT, "that one has been taken");
    let mut socket = Socket::open(&channel).await;
    assert_eq!(numbers(&mut socket, 3).await, [1, 2, 3]);
    socket
        .until("there is room again", async || {
            let body = r#"{"chatNotification":{"n":4}}"#;
            let answer = post_text(&server, &channel, &[JSON, ("Idempotency-Key", "k")], body).await;
            (answer.status == StatusCode::NO_CONTENT).then_some(())
        })
        .await;
    server.stop().await;
}

#[tokio::test]
async fn a_backlog_has_an_end_in_bytes_too_and_what_is_confirmed_makes_room() {
    let database = Database::new().await;
    let limits = Limits { callbacks_pending_bytes_max: 2500, ..Limits::default() };
    let server = Server::start_with(&database, limits).await;
    let channel = server.api.channel("alice").await;
    let large = |n: i64| json!({ "chatNotification": { "n": n, "text": "x".repeat(1000) } }).to_string();
    for n in 1..=3 {
        assert_eq!(post_text(&server, &channel, &[JSON], &large(n)).await.status, 204, "{n}");
    }
    assert_eq!(post_text(&server, &channel, &[JSON], "{\"a\":1}").await.status, 503);
    let mut socket = Socket::open(&channel).await;
    assert_eq!(numbers(&mut socket, 3).await, [1, 2, 3]);
    let next = async || (post_text(&server, &channel, &[JSON], &large(4)).await.status == 204).then_some(());
    socket.until("there is room again", next).await;
    assert_eq!(post_text(&server, &channel, &[JSON], &large(5)).await.status, 204, "what was confirmed does not count");
    server.stop().await;
}

#[tokio::test]
async fn however_many_post_at_once_a_backlog_has_the_same_end_in_bytes() {
    let database = Database::new().await;
    let limits = Limits { callbacks_pending_bytes_max: 2500, ..Limits::default() };
    let server = Server::start_with(&database, limits).await;
    let channel = server.api.channel("alice").await;
    let large = json!({ "chatNotification": { "text": "x".repeat(1000) } }).to_string();
    let posts = (0..24).map(|_| post_text(&server, &channel, &[JSON], &large));
    let answers = futures_util::future::join_all(posts).await;
    let taken = answers.iter().filter(|answer| answer.status == StatusCode::NO_CONTENT).count();
    assert_eq!(taken, 3, "each sees what those before it have brought");
    server.stop().await;
}

#[tokio::test]
async fn five_hundred_notifications_posted_at_once_all_arrive() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let channel = server.api.channel("alice").await;
    let mut socket = Socket::open(&channel).await;
    let (mut all, ()) = tokio::join!(numbers(&mut socket, 500), async {
        for chunk in (0..500).collect::<Vec<i64>>().chunks(20) {
            futures_util::future::join_all(chunk.iter().map(|n| notify(&server, &channel, *n))).await;
        }
    });
    all.sort_unstable();
    assert_eq!(all, (0..500).collect::<Vec<_>>());
    server.stop().await;
}

#[tokio::test]
async fn what_stands_in_the_log_without_sense_stops_nothing() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let channel = server.api.channel("alice").await;
    let mut socket = Socket::open(&channel).await;
    let stream = format!("$channel/{}", text(&channel, "resourceURL").rsplit_once('/').unwrap().1);
    let sql = database.connect().await;
    for data in [r#"{"format": "JSON", "body": "garbage"}"#, r#"{"format": "XML", "body": "<a"}"#] {
        let insert = "insert into tocsin.events (stream, kind, data) values ($1, 'channel.notified', $2::text::jsonb)";
        sql.execute(insert, &[&stream, &data]).await.unwrap();
    }
    notify(&server, &channel, 1).await;
    assert_eq!(numbers(&mut socket, 1).await, [1]);
    for data in ["{}", r#"{"format": "JSON"}"#, r#"{"format": "JSON", "body": {}}"#, r#"{"body": "{}"}"#, "[]"] {
        let insert = "insert into tocsin.events (stream, kind, data) values ($1, 'channel.notified', $2::text::jsonb)";
        assert!(sql.execute(insert, &[&stream, &data]).await.is_err(), "{data}");
    }
    socket.say(Message::text(r#"{"connCheck":null}"#)).await;
    assert!(socket.frame().await.contains("connAck"));
    let list = server.api.get(&channels_of("alice")).await.json();
    assert_eq!(list["notificationChannelList"]["notificationChannel"], json!([channel]), "no projection is touched");
    server.stop().await;
}

#[tokio::test]
async fn an_enabler_and_a_client_of_different_formats_understand_each_other() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let create = "<nc:notificationChannel xmlns:nc='urn:oma:xml:rest:netapi:notificationchannel:1'>\
                  <channelType>WebSockets</channelType></nc:notificationChannel>";
    let headers = [("content-type", "application/xml"), ("accept", "application/json")];
    let created = server.api.send(Method::POST, &channels_of("bob"), &headers, Some(create.to_owned())).await;
    let (json, xml) = (server.api.channel("alice").await, created.json()["notificationChannel"].clone());
    let (mut in_json, mut in_xml) = (Socket::open(&json).await, Socket::open(&xml).await);
    let chat =
        "<c:chat xmlns:c='urn:ex:1'><text>a &lt; b</text><to>x</to><to>y</to><link rel='r' href='h'/><none/></c:chat>";
    for channel in [&json, &xml] {
        let posted = format!("<?xml version='1.0'?>\n<!-- {{}} -->{chat}\n");
        let answer = post_text(&server, channel, &[("content-type", "text/xml; charset=utf-8")], &posted).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT, "{}", answer.text);
        notify(&server, channel, 7).await;
    }
    let expected = json!({ "chat": {
        "text": "a < b", "to": ["x", "y"], "link": { "rel": "r", "href": "h" }, "none": null } });
    let both = notifications(&mut in_json, 2).await;
    assert_eq!(both, [expected, json!({ "chatNotification": { "n": 7 } })]);
    let mut frames = in_xml.frame().await;
    if !frames.contains("chatNotification") {
        frames += &in_xml.frame().await;
    }
    assert!(frames.contains(&format!("notificationchannel:1\">{chat}<")), "to the letter: {frames}");
    assert!(frames.ends_with("<chatNotification><n>7</n></chatNotification></nc:notificationList>"), "{frames}");
    in_json.close().await;
    in_xml.close().await;
    server.stop().await;
}
