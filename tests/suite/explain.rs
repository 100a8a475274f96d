//! `tocsin explain`: whether, when and how an event was delivered, or why not.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};
use tokio_postgres::Client;

use crate::cli::{refused, run, stdout};
use crate::support::client::Socket;
use crate::support::eventually;
use crate::support::poll::Poller;
use crate::support::postgres::Database;
use crate::support::server::{Program, Server};
use crate::support::stand_in::StandIn;

fn text<'a>(resource: &'a Value, field: &str) -> &'a str {
    resource[field].as_str().unwrap()
}

fn id_of(subscription: &Value) -> &str {
    text(subscription, "resourceURL").rsplit_once('/').unwrap().1
}

/// What is explained, as JSON.
async fn explain(database: &Database, subscription: &str, event: &str) -> Value {
    let output = run(&["explain", "--output", "json", "--database-url", database.url(), subscription, event]).await;
    serde_json::from_str(&stdout(&output)).unwrap()
}

/// Asserts the verdict, the index, and that the sentence holds these words.
fn is(explained: &Value, verdict: &str, index: impl Into<Value>, words: &[&str]) {
    assert_eq!((&explained["verdict"], &explained["index"]), (&json!(verdict), &index.into()), "{explained}");
    for word in words {
        assert!(text(explained, "why").contains(word), "{word}: {explained}");
    }
}

async fn write(sql: &Client, senders: &[&str]) {
    for sender in senders {
        let insert = "insert into tocsin.messages (box_id, sender) values ('b', $1)";
        sql.execute(insert, &[sender]).await.unwrap();
    }
}

/// Waits until the subscription's cursor wants this event next.
async fn stands_at(sql: &Client, subscription: &Value, next_seq: i64) {
    let cursor = "select 1 from tocsin.cursors where source_id = $1 and next_seq = $2";
    eventually("it is confirmed", async || sql.query_opt(cursor, &[&id_of(subscription), &next_seq]).await.unwrap())
        .await;
}

#[tokio::test]
async fn what_was_delivered_and_what_was_not_meant_to_be() {
    let database = Database::new().await;
    let (server, sql) = (Server::start(&database).await, database.connect().await);
    let channel = server.api.channel("alice").await;
    write(&sql, &["a"]).await; // 1; the subscription is 2
    let filter = json!({ "criterion": [
        { "type": "Attribute", "name": "From", "value": "a" }, { "type": "Flag", "name": "\\Seen", "value": "false" }] });
    let subscription = server.api.subscribe_with("b", &channel, json!({ "filter": filter })).await;
    let (id, url) = (id_of(&subscription), text(&subscription, "resourceURL"));
    write(&sql, &["a", "x", "a"]).await; // 3, 4, 5
    let mut socket = Socket::open(&channel).await;
    let last = socket.lists(2).await.remove(1);
    socket.nothing_more(&server.api, &subscription, &last.token).await;
    let explained = explain(&database, id, "3").await;
    is(&explained, "confirmed", 1, &["index 1", "at the latest"]);
    for (fact, word) in [
        ("subscription", "default/b"),
        ("filter", "From"),
        ("channel", "WebSockets"),
        ("cursor", "event 6"),
        ("event", "object.created of object"),
    ] {
        assert!(text(&explained["facts"], fact).contains(word), "{fact}: {explained}");
    }
    is(&explain(&database, url, "default/b/5").await, "confirmed", 2, &["index 2, and confirmed at 20"]);
    let filtered = explain(&database, id, "4").await;
    is(&filtered, "never", Value::Null, &["filtered out", r#""name":"From""#]);
    assert!(!text(&filtered, "why").contains("Seen"), "the one that failed: {filtered}");
    is(&explain(&database, id, "1").await, "never", Value::Null, &["before the subscription's start", "event 2"]);
    is(&explain(&database, id, "6").await, "never", Value::Null, &["no event 6", "newest is 5"]);
    is(&explain(&database, id, "default/other/1").await, "never", Value::Null, &["default/b", "default/other"]);
    is(&explain(&database, "nobody", "1").await, "never", Value::Null, &["no subscription nobody"]);
    server.api.subscribe("b", &channel).await; // 6
    is(&explain(&database, id, "6").await, "never", Value::Null, &["not told of"]);

    let output = run(&["explain", "--database-url", database.url(), id, "3"]).await;
    let said = stdout(&output);
    assert!(said.starts_with("confirmed: sent as index 1, and confirmed by 20"), "{said}");
    assert!(said.lines().any(|line| line.starts_with("  cursor        next is event ")), "{said}");
    for (subscription, event) in [(id, "0"), (id, "x"), (id, "b/3"), ("http://x/", "3"), ("http://x/y", "3")] {
        refused(&run(&["explain", "--database-url", database.url(), subscription, event]).await, "neither");
    }
    refused(&run(&["explain", "--data-dir", "/nonexistent", id, "3"]).await, "/nonexistent");
    server.stop().await;
}

#[tokio::test]
async fn what_waits_and_what_was_sent_to_who_does_not_confirm() {
    let database = Database::new().await;
    let (server, sql) = (Server::start(&database).await, database.connect().await);
    let channel = server.api.channel("alice").await;
    let subscription = server.api.subscribe("b", &channel).await;
    let id = id_of(&subscription);
    write(&sql, &["a", "a"]).await; // 2, 3
    is(&explain(&database, id, "3").await, "waiting", 2, &["index 2", "cursor stands at event 2"]);
    let socket = Socket::open(&channel).await; // which reads nothing: no Pong
    eventually("that it was sent is told", async || {
        let explained = explain(&database, id, "3").await;
        (explained["verdict"] == "sent").then(|| is(&explained, "sent", 2, &["index 2 at 20", "not confirmed"]))
    })
    .await;
    socket.vanish();

    let channel = server.api.channel_with("alice", json!({ "channelType": "LongPolling" })).await;
    let subscription = server.api.subscribe("b", &channel).await; // 4
    let id = id_of(&subscription);
    write(&sql, &["a"]).await; // 5
    let mut poller = Poller::connect(text(&channel["channelData"], "channelURL")).await;
    assert_eq!(poller.poll().await.indexes(), [1]);
    is(&explain(&database, id, "5").await, "sent", 1, &["answer to a poll at 20", "next poll confirms"]);
    write(&sql, &["a"]).await; // 6
    assert_eq!(poller.poll().await.indexes(), [2]);
    is(&explain(&database, id, "5").await, "confirmed", 1, &["confirmed at 20"]);
    server.stop().await;
}

#[tokio::test]
async fn what_fails_and_what_is_given_up() {
    for (patience, word) in [(86400, "attempts failed: HTTP 500"), (0, "disabled channel: HTTP 500")] {
        let database = Database::new().await;
        let server = Server::start_as(&database, |config| {
            config.allow_private_targets = true;
            config.limits.sender_disable_after_seconds = patience;
        })
        .await;
        let sql = database.connect().await;
        let (client, status) = StandIn::answering(500).await;
        let callback = json!({ "callbackReference": { "notifyURL": client.url } });
        let answer = server.api.post("/nms/v1/default/b/subscriptions", callback).await;
        let subscription = answer.json()["nmsSubscription"].clone();
        write(&sql, &["a", "a"]).await;
        eventually("an attempt fails", async || {
            let failed = "select 1 from tocsin.senders where attempts > 0";
            sql.query_opt(failed, &[]).await.unwrap()
        })
        .await;
        let explained = explain(&database, id_of(&subscription), "3").await;
        is(&explained, "waiting", 2, &["index 2", word]);
        assert!(text(&explained["facts"], "channel").contains(&client.url), "{explained}");
        status.store(204, Ordering::Relaxed);
        server.api.post(text(&subscription, "resourceURL"), json!({ "duration": 5000 })).await;
        stands_at(&sql, &subscription, 5).await; // 4 is the update
        is(&explain(&database, id_of(&subscription), "3").await, "confirmed", 2, &[]);
        server.stop().await;
    }
}

#[tokio::test]
async fn what_came_before_an_end_or_a_new_start() {
    let database = Database::new().await;
    let (server, sql) = (Server::start(&database).await, database.connect().await);
    let channel = server.api.channel("alice").await;
    let mut socket = Socket::open(&channel).await;
    let subscription = server.api.subscribe("b", &channel).await; // 1
    let id = id_of(&subscription);
    write(&sql, &["a", "a"]).await; // 2, 3
    let lists = socket.lists(2).await;
    socket.nothing_more(&server.api, &subscription, &lists[1].token).await;
    let update = json!({ "nmsSubscriptionUpdate": { "restartToken": lists[0].token } });
    server.api.post(text(&subscription, "resourceURL"), update).await; // 4: after 2
    assert_eq!(socket.list().await.index, 3);
    eventually("it is confirmed", async || {
        let _ = tokio::time::timeout(std::time::Duration::from_millis(20), socket.frame()).await; // answers Pings
        let cursor = "select 1 from tocsin.cursors where source_id = $1 and generation = 4 and next_index = 4";
        sql.query_opt(cursor, &[&id]).await.unwrap()
    })
    .await;
    is(&explain(&database, id, "2").await, "unknown", 1, &["due as index 1", "at event 4", "after event 2"]);
    is(&explain(&database, id, "3").await, "confirmed", 3, &[]);
    server.api.delete(text(&subscription, "resourceURL")).await; // 5
    write(&sql, &["a"]).await; // 6
    is(&explain(&database, id, "3").await, "confirmed", 3, &["before the subscription ended (deleted at 20"]);
    is(&explain(&database, id, "6").await, "never", Value::Null, &["had ended before: deleted at 20", "event 5"]);
    socket.vanish();

    let subscription = server.api.subscribe("b", &channel).await; // 7
    write(&sql, &["a"]).await; // 8
    server.api.delete(text(&subscription, "resourceURL")).await;
    let explained = explain(&database, text(&subscription, "resourceURL"), "8").await;
    is(&explained, "unknown", 1, &["due as index 1", "nothing confirmed"]);
    server.stop().await;
}

#[tokio::test]
async fn a_log_that_was_restored_means_a_reset() {
    let database = Database::new().await;
    let (server, sql) = (Server::start(&database).await, database.connect().await);
    let channel = server.api.channel("alice").await;
    let subscription = server.api.subscribe("b", &channel).await; // 1
    let id = id_of(&subscription);
    write(&sql, &["a", "a"]).await; // 2, 3
    let mut socket = Socket::open(&channel).await;
    let lists = socket.lists(2).await;
    socket.nothing_more(&server.api, &subscription, &lists[1].token).await;
    socket.close().await;
    // As if ten more had been there, and were lost.
    sql.batch_execute("update tocsin.cursors set next_seq = 14, next_index = 13").await.unwrap();
    is(&explain(&database, id, "3").await, "unknown", Value::Null, &["resetBox", "event 3"]);
    let mut socket = Socket::open(&channel).await;
    let reset = socket.list().await;
    assert_eq!((reset.kind(), reset.index), ("resetBox", 13));
    write(&sql, &["a"]).await; // 4
    let list = socket.list().await;
    socket.nothing_more(&server.api, &subscription, &list.token).await;
    is(&explain(&database, id, "2").await, "unknown", Value::Null, &["was reset"]);
    write(&sql, &["a"]).await; // 5
    assert_eq!(socket.list().await.index, 15);
    server.stop().await;
}

#[tokio::test]
async fn a_private_cluster_is_asked_whether_its_server_runs_or_not() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let program = Program::start(&data).await;
    let channel = program.api.channel("alice").await;
    let subscription = program.api.subscribe("b", &channel).await;
    let arguments = ["explain", "--data-dir", data.to_str().unwrap(), text(&subscription, "resourceURL"), "1"];
    let while_it_runs = stdout(&run(&arguments).await);
    assert!(while_it_runs.starts_with("never: before the subscription's start"), "{while_it_runs}");
    assert_eq!(program.terminate().await, Some(0));
    assert_eq!(stdout(&run(&arguments).await), while_it_runs);
}
