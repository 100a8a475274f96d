//! A channel is one channel on all nodes: what one node grants, ends or is killed with in hand, the others know.

use serde_json::{Value, json};
use tempfile::TempDir;
use tocsin::config::{Config, Limits};
use tokio_tungstenite::tungstenite::Message;

use super::push::{fcm, with_fcm};
use super::text;
use crate::support::client::{Api, EventList, Socket};
use crate::support::eventually;
use crate::support::poll::Poller;
use crate::support::postgres::Database;
use crate::support::server::{Program, Server};
use crate::support::stand_in::reply;

const USER: &str = "alice";

/// A URL of one node on another.
fn on(node: &str, url: &str) -> String {
    let (_, rest) = url.split_once("://").unwrap();
    let (_, path) = rest.split_once('/').unwrap();
    format!("{node}/{path}")
}

fn socket_url(node: &str, channel: &Value) -> String {
    on(&node.replace("http", "ws"), text(&channel["channelData"], "channelURL"))
}

fn poll_url(node: &str, channel: &Value) -> String {
    on(node, text(&channel["channelData"], "channelURL"))
}

async fn nodes(database: &Database) -> (Server, Server) {
    let start = || Server::start_with(database, Limits { poll_seconds: 25, ..Limits::default() });
    (start().await, start().await)
}

async fn polled(api: &Api) -> Value {
    api.channel_with(USER, json!({ "channelType": "LongPolling", "channelLifetime": 1000 })).await
}

async fn write(database: &Database, from: i64, to: i64) {
    let insert = format!(
        "insert into tocsin.messages (box_id, body) select 'b', i::text from generate_series({from}, {to}) as i"
    );
    database.connect().await.batch_execute(&insert).await.unwrap();
}

async fn remaining(node: &Api, channel: &Value) -> u64 {
    let url = format!("{}/channelLifetime", on(&node.url, text(channel, "resourceURL")));
    node.get(&url).await.json()["notificationChannelLifetime"]["channelLifetime"].as_u64().unwrap()
}

async fn pass_time(database: &Database) {
    let passed = "update tocsin.channel_lifetimes set expires_at = now() + interval '100 s'";
    database.connect().await.batch_execute(passed).await.unwrap();
}

/// Returns when this node holds so many connections.
async fn holds(node: &Api, connections: u64) {
    let ready = async || (node.get("/readyz").await.json()["connections"] == connections).then_some(());
    eventually("the connections are open", ready).await;
}

#[tokio::test]
async fn a_channel_of_one_node_is_listed_polled_and_deleted_on_another() {
    let database = Database::new().await;
    let (a, b) = nodes(&database).await;
    let channel = polled(&a.api).await;
    let list = b.api.get(&super::channels_of(USER)).await.json();
    let listed = &list["notificationChannelList"]["notificationChannel"][0];
    assert_eq!(listed["channelType"], "LongPolling");
    assert_eq!(text(listed, "callbackURL"), on(&b.api.url, text(&channel, "callbackURL")), "the token is the same");
    b.api.subscribe("b", &channel).await;
    write(&database, 1, 2).await;
    for (node, indexes) in [(&b, vec![1, 2]), (&a, vec![3])] {
        let mut poller = Poller::connect(&poll_url(&node.api.url, &channel)).await;
        assert_eq!(poller.poll().await.indexes(), indexes);
        write(&database, 3, 3).await;
    }
    let mut poller = Poller::connect(&poll_url(&a.api.url, &channel)).await;
    assert_eq!(poller.poll().await.indexes(), [4]);
    poller.ask().await;
    holds(&a.api, 1).await;
    assert_eq!(b.api.delete(&on(&b.api.url, text(&channel, "resourceURL"))).await.status, 204);
    assert_eq!(poller.answer().await.fault(), (404, "SVC0004"), "the poll on the other node is answered");
    assert_eq!(poller.poll().await.fault(), (404, "SVC0004"));
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn a_lifetime_is_the_same_on_all_nodes() {
    let database = Database::new().await;
    let (a, b) = nodes(&database).await;
    let channel = a.api.channel_with(USER, json!({ "channelType": "WebSockets", "channelLifetime": 1000 })).await;
    // Put on the one, seen on the other.
    let url = format!("{}/channelLifetime", on(&b.api.url, text(&channel, "resourceURL")));
    assert_eq!(b.api.put(&url, json!({ "channelLifetime": 2000 })).await.status, 200);
    assert!(remaining(&a.api, &channel).await > 1900);
    let shown = a.api.get(text(&channel, "resourceURL")).await.json();
    assert_eq!(shown["notificationChannel"]["channelLifetime"], 2000);
    // A connCheck on the one has what was put on the other.
    pass_time(&database).await;
    let mut socket = Socket::try_open(&socket_url(&a.api.url, &channel)).await.unwrap();
    eventually("opened", async || (remaining(&b.api, &channel).await > 1900).then_some(())).await;
    pass_time(&database).await;
    socket.say(Message::text(r#"{"connCheck":{}}"#)).await;
    let ack: Value = serde_json::from_str(&socket.frame().await).unwrap();
    assert_eq!(ack, json!({ "connAck": { "channelLifetime": 2000 } }));
    assert!(remaining(&b.api, &channel).await > 1900);
    // A poll on the one keeps the channel on the other.
    let channel = polled(&a.api).await;
    pass_time(&database).await;
    assert!(remaining(&a.api, &channel).await <= 100);
    let mut poller = Poller::connect(&poll_url(&b.api.url, &channel)).await;
    poller.ask().await;
    eventually("polled", async || (remaining(&a.api, &channel).await > 900).then_some(())).await;
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn an_enabler_on_one_node_reaches_a_poll_on_another() {
    let database = Database::new().await;
    let (a, b) = nodes(&database).await;
    let channel = polled(&a.api).await;
    let mut poller = Poller::connect(&poll_url(&a.api.url, &channel)).await;
    for n in 1..=3 {
        poller.ask().await;
        let notification = json!({ "chatNotification": { "n": n } });
        let posted = b.api.post(&on(&b.api.url, text(&channel, "callbackURL")), notification.clone()).await;
        assert_eq!(posted.status, 204);
        assert_eq!(poller.answer().await.notifications(), &vec![notification]);
    }
    a.stop().await;
    b.stop().await;
}

/// A URL that one node pushed is fetched from on another, since it is not known which of them a client reaches.
#[tokio::test]
async fn large_data_is_fetched_on_any_node() {
    let database = Database::new().await;
    let folder = TempDir::new().unwrap();
    let service = fcm(|_, _| reply(200, &[], "{}")).await;
    let settings = |config: &mut Config| with_fcm(config, &service, &folder);
    let (a, b) = (Server::start_as(&database, settings).await, Server::start_as(&database, settings).await);
    let data = json!({ "channelSubType": "GCM", "registrationToken": "device-1", "maxNotifications": 1,
                       "largeDataPolling": { "pollingEnabled": true, "maxPollingNotifications": 2 } });
    let channel = a.api.channel_with(USER, json!({ "channelType": "NativeChannel", "channelData": data })).await;
    let large = json!({ "chat": "x".repeat(5000) });
    assert_eq!(b.api.post(&on(&b.api.url, text(&channel, "callbackURL")), large.clone()).await.status, 204);
    let url = eventually("a URL is pushed", async || {
        service.received().iter().find_map(|push| {
            let message: Value = serde_json::from_slice(&push.body).ok()?;
            let told = message["message"]["data"]["largePollingNotification"].as_str()?;
            Some(text(&serde_json::from_str(told).unwrap(), "channelURL").to_owned())
        })
    })
    .await;
    // Whichever pushed it, one of these is the other one.
    let other = if url.starts_with(&a.api.url) { &b } else { &a };
    let answer = other.api.post(&on(&other.api.url, &url), json!({ "longPollingRequestParameters": null })).await;
    assert_eq!(answer.json(), json!({ "notificationList": [large, { "ncListComplete": true }] }));
    for node in [&a, &b] {
        assert_eq!(node.api.post(&on(&node.api.url, &url), json!({})).await.status, 404, "it is no more, anywhere");
    }
    a.stop().await;
    b.stop().await;
}

/// A node that is killed takes a socket and an open poll with it; both go on elsewhere, and miss nothing.
#[tokio::test]
async fn clients_of_a_node_that_is_killed_go_on_on_another() {
    let database = Database::new().await;
    let killed = Program::start_with(&["--database-url", database.url(), "--listen", "127.0.0.1:0"]).await;
    let b = Server::start(&database).await;
    let on_socket = killed.api.channel(USER).await;
    let on_polls = polled(&killed.api).await;
    for channel in [&on_socket, &on_polls] {
        killed.api.subscribe("b", channel).await;
    }
    let mut socket = Socket::try_open(&socket_url(&killed.url, &on_socket)).await.unwrap();
    let mut poller = Poller::connect(&poll_url(&killed.url, &on_polls)).await;
    write(&database, 1, 3).await;
    let seen_on_socket = socket.lists(3).await;
    let mut seen_by_polls: Vec<EventList> = Vec::new();
    while seen_by_polls.len() < 3 {
        seen_by_polls.extend(poller.poll().await.lists());
    }
    poller.ask().await;
    holds(&killed.api, 2).await;
    killed.kill().await;
    write(&database, 4, 6).await;

    let mut socket = Socket::try_open(&socket_url(&b.api.url, &on_socket)).await.unwrap();
    let mut again = socket.list().await;
    while let Some(before) = seen_on_socket.get(again.index as usize - 1) {
        assert_eq!((&before.token, before.seq()), (&again.token, again.seq()), "what comes again is the same");
        again = socket.list().await;
    }
    assert_eq!(again.index, 4, "nothing is skipped");
    assert_eq!(socket.lists(2).await.iter().map(|list| list.index).collect::<Vec<_>>(), [5, 6]);

    // What was answered before is confirmed by the next poll, on whatever node.
    let mut poller = Poller::connect(&poll_url(&b.api.url, &on_polls)).await;
    let mut indexes = Vec::new();
    while indexes.last() != Some(&6) {
        let polled = poller.poll().await.indexes();
        assert!(!polled.is_empty(), "after {indexes:?}");
        indexes.extend(polled);
    }
    assert_eq!(indexes, [4, 5, 6]);
    b.stop().await;
}
