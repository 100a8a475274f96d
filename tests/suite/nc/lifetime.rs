//! A channel's lifetime: what remains, how it is renewed, and what happens at its end.

use reqwest::StatusCode;
use serde_json::{Value, json};
use tocsin::config::Limits;

use super::text;
use crate::support::client::{Api, Socket};
use crate::support::eventually;
use crate::support::postgres::Database;
use crate::support::server::Server;

async fn remaining(api: &Api, channel: &Value) -> u64 {
    let answer = api.get(&format!("{}/channelLifetime", text(channel, "resourceURL"))).await;
    assert_eq!(answer.status, StatusCode::OK);
    let body = answer.json();
    let seconds = body["notificationChannelLifetime"]["channelLifetime"].as_u64().unwrap();
    assert_eq!(body, json!({ "notificationChannelLifetime": { "channelLifetime": seconds } }), "and nothing else");
    seconds
}

/// Moves the end of a channel, as the passing of time would.
async fn expire_in(database: &Database, channel: &Value, seconds: i32) {
    let id = text(channel, "resourceURL").rsplit_once('/').unwrap().1;
    let sql = format!(
        "update tocsin.channel_lifetimes set expires_at = now() + interval '{seconds} s' where channel_id = '{id}'"
    );
    database.connect().await.batch_execute(&sql).await.unwrap();
}

#[tokio::test]
async fn what_remains_runs_down_and_a_put_starts_it_again() {
    let database = Database::new().await;
    let limits =
        Limits { channel_lifetime_seconds_default: 3000, channel_lifetime_seconds_max: 4000, ..Limits::default() };
    let server = Server::start_with(&database, limits).await;
    let channel = server.api.channel("alice").await;
    assert!((2900..=3000).contains(&remaining(&server.api, &channel).await));
    expire_in(&database, &channel, 77).await;
    assert!((40..=77).contains(&remaining(&server.api, &channel).await));
    let url = format!("{}/channelLifetime", text(&channel, "resourceURL"));
    for (wish, granted) in [
        (json!({ "notificationChannelLifetime": { "channelLifetime": 500 } }), 500),
        (json!({ "notificationChannelLifetime": { "channelLifetime": "600" } }), 600),
        (json!({ "channelLifetime": 700 }), 700),
        (json!({ "notificationChannelLifetime": { "channelLifetime": 9999 } }), 4000),
        (json!({ "notificationChannelLifetime": { "channelLifetime": 0 } }), 3000),
        (json!({ "notificationChannelLifetime": null }), 3000),
        (json!({}), 3000),
    ] {
        expire_in(&database, &channel, 20).await;
        let answer = server.api.put(&url, wish.clone()).await;
        let expected = json!({ "notificationChannelLifetime": { "channelLifetime": granted } });
        assert_eq!((answer.status, answer.json()), (StatusCode::OK, expected), "{wish}");
        let now = remaining(&server.api, &channel).await;
        assert!((granted - 40..=granted).contains(&now), "{wish}: {now}");
        let shown = server.api.get(text(&channel, "resourceURL")).await.json();
        assert_eq!(shown["notificationChannel"]["channelLifetime"], granted, "the channel shows what was granted");
    }
    for wrong in
        [json!({ "channelLifetime": -1 }), json!({ "channelLifetime": "soon" }), json!({ "channelLifetime": [1] })]
    {
        let answer = server.api.put(&url, wrong).await;
        let fault = ("SVC0002".to_owned(), vec!["channelLifetime".to_owned()]);
        assert_eq!((answer.status, answer.fault()), (StatusCode::BAD_REQUEST, fault));
    }
    server.stop().await;
}

#[tokio::test]
async fn an_opened_socket_starts_the_lifetime_again() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let channel =
        server.api.channel_with("alice", json!({ "channelType": "WebSockets", "channelLifetime": 1000 })).await;
    expire_in(&database, &channel, 30).await;
    assert!(remaining(&server.api, &channel).await <= 30);
    let _socket = Socket::open(&channel).await;
    eventually("the lifetime starts again", async || (remaining(&server.api, &channel).await > 900).then_some(()))
        .await;
    server.stop().await;
}

#[tokio::test]
async fn a_channel_that_outlives_its_lifetime_ends_as_if_deleted() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let channel = server.api.channel_with("alice", json!({ "channelType": "WebSockets", "channelLifetime": 2 })).await;
    let subscription = server.api.subscribe("b", &channel).await;
    let mut socket = Socket::open(&channel).await;
    database.connect().await.batch_execute("insert into tocsin.messages (box_id) values ('b')").await.unwrap();
    let last = socket.list().await;
    let (code, reason) = socket.closed().await;
    assert_eq!((code, reason), (4003, format!("channel expired; restartToken={}", last.token)));
    for url in [text(&channel, "resourceURL"), text(&subscription, "resourceURL")] {
        let answer = server.api.get(url).await;
        assert_eq!((answer.status, answer.fault().0.as_str()), (StatusCode::NOT_FOUND, "SVC0004"), "{url}");
    }
    assert!(Socket::try_open(text(&channel["channelData"], "channelURL")).await.is_err());
    let left = database.connect().await;
    let rows = "select (select count(*) from tocsin.subscriptions) + (select count(*) from tocsin.cursors)
                     + (select count(*) from tocsin.channels) + (select count(*) from tocsin.channel_lifetimes)";
    assert_eq!(left.query_one(rows, &[]).await.unwrap().get::<_, i64>(0), 0, "nothing stays behind");
    server.stop().await;
}

#[tokio::test]
async fn a_channel_ends_at_its_time_though_every_node_was_down() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let channel = server.api.channel_with("alice", json!({ "channelType": "LongPolling", "channelLifetime": 1 })).await;
    let subscription = server.api.subscribe("b", &channel).await;
    server.stop().await;
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    let server = Server::start(&database).await;
    for resource in [&channel, &subscription] {
        let url = text(resource, "resourceURL");
        let path = &url[url.find("/n").unwrap()..]; // a node elsewhere
        assert_eq!(server.api.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    let kinds = "select string_agg(kind, ' ' order by stream, seq) from tocsin.events where kind like '%.expired'";
    let sql = database.connect().await;
    let ended: String = crate::support::eventually("the log says so", async || {
        sql.query_one(kinds, &[]).await.unwrap().get::<_, Option<String>>(0)
    })
    .await;
    assert_eq!(ended, "channel.expired subscription.expired");
    server.stop().await;
}
