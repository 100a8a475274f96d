//! Sockets that listen to an inbox.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::json;
use tocsin::config::Limits;

use super::{Inbox, Listener, served};
use crate::support::eventually;
use crate::support::postgres::Database;
use crate::support::server::{Program, Server};

#[tokio::test]
async fn every_device_hears_what_is_new_and_what_another_one_has_read() {
    let (database, server) = served().await;
    let other = Server::start(&database).await;
    let (ann, bob) = (Inbox::of(&server, "ann"), Inbox::of(&server, "bob"));
    let mut phone = bob.socket("latest").await;
    let mut tablet = Inbox::of(&other, "bob").socket("latest").await;
    let mut stranger = Inbox::of(&server, "eve").socket("latest").await;
    ann.tell("bob", "hello").await;
    let new = phone.next().await;
    assert_eq!((&new["action"], &new["notification"]["user"]), (&json!("new"), &json!("bob")));
    assert_eq!(new["notification"]["readed"], json!(null));
    tablet.hears("new", "hello").await;
    // What the socket says is what can be fetched.
    let id = new["notification"]["id"].as_i64().unwrap();
    assert_eq!(bob.get(&format!("/api/notifications/{id}")).await, new["notification"]);
    bob.patch(&format!("/api/notifications/{id}"), json!({ "readed": true })).await;
    for device in [&mut phone, &mut tablet] {
        let readed = device.next().await;
        assert_eq!(readed["action"], "readed");
        assert_eq!(readed["notification"], bob.get(&format!("/api/notifications/{id}")).await);
    }
    stranger.silent().await;
    server.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn sql_rings_sockets_too() {
    let (database, server) = served().await;
    let mut socket = Inbox::of(&server, "bob").socket("latest").await;
    let publish = "select tocsin.publish('like', 'by sql', users => '{bob}')";
    database.connect().await.batch_execute(publish).await.unwrap();
    socket.hears("new", "by sql").await;
    server.stop().await;
}

#[tokio::test]
async fn since_says_where_a_socket_begins() {
    let (_database, server) = served().await;
    let (ann, bob) = (Inbox::of(&server, "ann"), Inbox::of(&server, "bob"));
    for n in 1..=4 {
        ann.tell("bob", &n.to_string()).await;
    }
    let ids = bob.ids().await; // the newest first
    bob.patch(&format!("/api/notifications/{}", ids[3]), json!({})).await; // the first is read
    let all = [("new", "1"), ("new", "2"), ("new", "3"), ("new", "4"), ("readed", "1")];
    let hears = async |since: &str, expected: &[(&str, &str)]| {
        let mut socket = bob.socket(since).await;
        for (action, title) in expected {
            socket.hears(action, title).await;
        }
        let title = format!("after {since}");
        ann.tell("bob", &title).await;
        socket.hears("new", &title).await;
        socket.close().await;
        let newest = bob.ids().await[0];
        bob.send(reqwest::Method::DELETE, &format!("/api/notifications/{newest}"), None).await;
    };
    hears("latest", &[]).await;
    let second = bob.get(&format!("/api/notifications/{}", ids[2])).await;
    assert_eq!(second["event"]["title"], "2");
    let mut socket = bob.socket("all").await;
    for (action, title) in all {
        socket.hears(action, title).await;
    }
    socket.close().await;
    let mut socket = bob.socket(&ids[2].to_string()).await;
    for (action, title) in &all[2..] {
        socket.hears(action, title).await;
    }
    socket.close().await;
    for since in ["1h", "90m", "1970-01-01T00:00:00Z", "0"] {
        let mut socket = bob.socket(since).await;
        socket.hears("new", "1").await;
        socket.hears("new", "2").await;
        socket.close().await;
    }
    for since in ["soon", "-5", "2026-13-01T00:00:00Z", ""] {
        assert_eq!(Listener::refused(&server.api.url, &format!("/ws/notifications?user=bob&since={since}")).await, 400);
    }
    assert_eq!(Listener::refused(&server.api.url, "/ws/notifications").await, 401);
    assert_eq!(server.api.get("/ws/notifications?user=bob").await.status, 400, "it does not ask for an upgrade");
    server.stop().await;
}

/// What one device heard: titles, and where it can go on.
struct Heard {
    titles: Vec<String>,
    last: i64,
}

/// Listens until it has heard this title, from the last id on.
async fn listen(inbox: &Inbox<'_>, heard: &mut Heard, until: &str) {
    let mut socket = inbox.socket(&heard.last.to_string()).await;
    while heard.titles.last().map(String::as_str) != Some(until) {
        let frame = socket.next().await;
        heard.titles.push(frame["notification"]["event"]["title"].as_str().unwrap().to_owned());
        heard.last = frame["notification"]["id"].as_i64().unwrap();
    }
}

#[tokio::test]
async fn who_comes_back_has_lost_nothing_also_on_another_node_after_a_kill() {
    let database = Database::new().await;
    let args = ["--listen", "127.0.0.1:0", "--database-url", database.url()];
    let first = Program::start_with(&args).await;
    let second = Server::start(&database).await;
    second.api.post("/api/event-types", json!({ "name": "comment", "title": "c" })).await;
    let mut heard = Heard { titles: Vec::new(), last: 0 };
    let writer = Inbox::of(&second, "ann");
    let write = async |from: usize, to: usize| {
        for n in from..to {
            writer.tell("bob", &n.to_string()).await;
        }
    };
    write(0, 30).await;
    let at_first = Inbox { api: &first.api, user: "bob" };
    let ((), ()) = tokio::join!(write(30, 90), listen(&at_first, &mut heard, "60"));
    first.kill().await;
    write(90, 120).await;
    let at_second = Inbox::of(&second, "bob");
    let ((), ()) = tokio::join!(write(120, 150), listen(&at_second, &mut heard, "149"));
    assert_eq!(heard.titles, (0..150).map(|n| n.to_string()).collect::<Vec<_>>());
    second.stop().await;
}

#[tokio::test]
async fn a_slow_socket_gets_everything_in_order() {
    let database = Database::new().await;
    let limits = Limits { queue_events_max: 4, ..Limits::default() };
    let server = Server::start_with(&database, limits).await;
    let sql = database.connect().await;
    sql.batch_execute("select tocsin.declare_event_type('like', 'like')").await.unwrap();
    let mut socket = Inbox::of(&server, "bob").socket("latest").await;
    for batch in 0..5 {
        let publish = format!(
            "select tocsin.publish('like', ({batch} * 400 + n)::text, users => '{{bob}}') from generate_series(0, 399) n"
        );
        sql.batch_execute(&publish).await.unwrap();
    }
    for n in 0..2000 {
        socket.hears("new", &n.to_string()).await;
    }
    server.stop().await;
}

#[tokio::test]
async fn what_is_wanted_can_change_while_a_socket_is_open() {
    let (_database, server) = served().await;
    let (ann, bob) = (Inbox::of(&server, "ann"), Inbox::of(&server, "bob"));
    let mut socket = bob.socket("latest").await;
    let like = async |title: &str| {
        ann.publish(json!({ "type": "like", "title": title, "users": ["bob"] })).await;
    };
    bob.patch("/api/notifications/filter", json!({ "types": ["like"] })).await;
    ann.tell("bob", "unwanted").await;
    like("1").await;
    socket.hears("new", "1").await;
    bob.patch("/api/notifications/filter", json!({ "types": null, "channels": ["email"] })).await;
    like("not by socket").await;
    bob.patch("/api/notifications/filter", json!({ "channels": ["websocket"] })).await;
    ann.tell("bob", "2").await;
    socket.hears("new", "2").await;
    // The sender has a say, too.
    for (title, fields) in [("silent", json!({ "silent": true })), ("by mail", json!({ "channels": ["email"] }))] {
        let mut event = json!({ "type": "like", "title": title, "users": ["bob"] });
        event.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        ann.publish(event).await;
    }
    like("3").await;
    socket.hears("new", "3").await;
    assert_eq!(bob.titles("?limit=3").await, ["3", "by mail", "silent"], "they are listed");
    server.stop().await;
}

#[tokio::test]
async fn the_minimal_form_says_that_there_is_something_and_from_whom() {
    let (_database, server) = served().await;
    let (ann, bob) = (Inbox::of(&server, "ann"), Inbox::of(&server, "bob"));
    let mut socket = Listener::open(&server.api.url, "/api/notifications/?user=bob").await;
    ann.tell("bob", "hello").await;
    let id = eventually("it is there", async || bob.ids().await.first().copied()).await;
    let frame = socket.next().await;
    assert_eq!(frame, json!([{ "type": "message", "data": { "username": "ann" }, "id": id.to_string() }]));
    bob.patch("/api/notifications", json!([id])).await;
    ann.tell("bob", "again").await;
    assert_eq!(socket.next().await[0]["type"], "message", "what was read is not told");
    // Without an upgrade it is the list.
    assert_eq!(bob.get("/api/notifications/").await["count"], 2);
    server.stop().await;
}

#[tokio::test]
async fn a_node_that_leaves_says_where_to_go_on() {
    let (database, server) = served().await;
    let other = Server::start(&database).await;
    let ann = Inbox::of(&other, "ann");
    let mut socket = Inbox::of(&server, "bob").socket("latest").await;
    ann.tell("bob", "before").await;
    socket.hears("new", "before").await;
    let leaving = tokio::spawn(server.stop());
    let (code, reason) = socket.closed().await;
    let since = reason.split_once("since=").expect("where to go on").1.to_owned();
    assert_eq!(code, 1001);
    since.parse::<DateTime<Utc>>().unwrap();
    ann.tell("bob", "meanwhile").await;
    Inbox::of(&other, "bob").socket(&since).await.hears("new", "meanwhile").await;
    leaving.await.unwrap();
    other.stop().await;
}

#[tokio::test]
async fn the_loss_of_the_database_connection_loses_nothing() {
    let (database, server) = served().await;
    let (ann, sql) = (Inbox::of(&server, "ann"), database.connect().await);
    let mut socket = Inbox::of(&server, "bob").socket("latest").await;
    ann.tell("bob", "1").await;
    socket.hears("new", "1").await;
    let kill = "select pg_terminate_backend(pid) from pg_stat_activity
                where datname = current_database() and application_name like 'tocsin tail%'";
    sql.batch_execute(kill).await.unwrap();
    sql.batch_execute("select tocsin.publish('like', '2', users => '{bob}')").await.unwrap();
    socket.hears("new", "2").await;
    server.stop().await;
}

#[tokio::test]
async fn what_the_log_no_longer_has_is_said_to_be_gone() {
    let (database, server) = served().await;
    let (ann, bob, sql) = (Inbox::of(&server, "ann"), Inbox::of(&server, "bob"), database.connect().await);
    for n in 1..=3 {
        ann.tell("bob", &n.to_string()).await;
    }
    let forget = "update tocsin.streams s set base_seq = e.seq, base_at = e.edited_at from tocsin.events e
                  where s.stream = '$inbox/bob' and e.stream = s.stream and e.seq = 2";
    sql.batch_execute(forget).await.unwrap();
    let mut socket = bob.socket("1970-01-01T00:00:00Z").await;
    assert_eq!(socket.next().await, json!({ "action": "reset" }));
    ann.tell("bob", "4").await;
    for title in ["3", "4"] {
        socket.hears("new", title).await;
    }
    // Who asks for all there is lacks nothing.
    bob.socket("all").await.hears("new", "3").await;
    server.stop().await;
}

#[tokio::test]
async fn a_socket_may_say_what_it_likes() {
    let (_database, server) = served().await;
    let mut socket = Inbox::of(&server, "bob").socket("latest").await;
    socket.say("not JSON").await;
    socket.say(r#"{"connCheck":null}"#).await;
    Inbox::of(&server, "ann").tell("bob", "still there").await;
    socket.hears("new", "still there").await;
    tokio::time::timeout(Duration::from_secs(10), socket.close()).await.expect("the server closes, too");
    server.stop().await;
}
