//! Long polling: what is answered when, and what comes again.

use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tocsin::config::Limits;
use tokio_postgres::Client;

use super::{channels_of, text};
use crate::support::client::Socket;
use crate::support::eventually;
use crate::support::poll::{Polled, Poller};
use crate::support::postgres::Database;
use crate::support::server::{Program, Server};

const JSON: (&str, &str) = ("content-type", "application/json");

/// A server whose polls end after so many seconds.
async fn server(database: &Database, poll_seconds: u32) -> Server {
    Server::start_with(database, Limits { poll_seconds, ..Limits::default() }).await
}

/// A LongPolling channel.
async fn channel(server: &Server, max_notifications: u32, max_wait: u32) -> Value {
    let data = json!({ "maxNotifications": max_notifications, "maxWaitTime": max_wait });
    server.api.channel_with("alice", json!({ "channelType": "LongPolling", "channelData": data })).await
}

fn channel_url(channel: &Value) -> &str {
    text(&channel["channelData"], "channelURL")
}

/// The channelURL on this server.
fn on(server: &Server, channel: &Value) -> String {
    let url = channel_url(channel);
    format!("{}{}", server.api.url, &url[url.find("/poll/").unwrap()..])
}

async fn poller(channel: &Value) -> Poller {
    Poller::connect(channel_url(channel)).await
}

async fn poll(channel: &Value) -> Polled {
    poller(channel).await.poll().await
}

async fn write(sql: &Client, box_id: &str, count: i64) {
    let insert = format!(
        "insert into tocsin.messages (box_id, body) select '{box_id}', i::text from generate_series(1, {count}) as i"
    );
    sql.batch_execute(&insert).await.unwrap();
}

/// Returns when the server holds so many connected channels.
async fn connections(server: &Server, count: u64) {
    let ready = async || (server.api.get("/readyz").await.json()["connections"] == count).then_some(());
    eventually("the polls are open", ready).await;
}

/// Returns when a poll of the channel is open by the database, other than `not`; answers which.
async fn open_poll(sql: &Client, channel: &Value, not: &str) -> String {
    let id = text(channel, "resourceURL").rsplit_once('/').unwrap().1;
    eventually("a poll is open", async || {
        let row = sql.query_opt("select open from tocsin.polls where channel_id = $1", &[&id]).await.unwrap()?;
        row.get::<_, Option<String>>(0).filter(|open| open != not)
    })
    .await
}

async fn opened_events(sql: &Client) -> i64 {
    let count = "select count(*) from tocsin.events where kind = 'channel.opened'";
    sql.query_one(count, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn a_polled_channel_is_described_in_full() {
    let database = Database::new().await;
    let limits = Limits { poll_wait_seconds_max: 50, ..Limits::default() };
    let server = Server::start_with(&database, limits).await;
    for (data, most, wait) in [
        (json!({ "maxNotifications": "5", "maxWaitTime": "7" }), 5, 7),
        (json!({ "maxWaitTime": 51 }), 100, 50),
        (json!({ "maxWaitTime": 99_999_999_999_u64 }), 100, 50),
        (json!({ "maxWaitTime": "" }), 100, 0),
        (Value::Null, 100, 0),
    ] {
        let fields = json!({ "channelType": "longpolling", "channelData": data, "channelLifetime": 100 });
        let channel = server.api.channel_with("alice", fields).await;
        let (url, polled) = (text(&channel, "resourceURL"), channel_url(&channel));
        assert!(polled.starts_with(&format!("{}/poll/", server.api.url)), "{polled}");
        let expected = json!({
            "channelType": "LongPolling",
            "channelData": { "channelURL": polled, "maxNotifications": most, "maxWaitTime": wait },
            "channelLifetime": 100, "callbackURL": channel["callbackURL"], "resourceURL": url });
        assert_eq!(channel, expected);
        assert_eq!(server.api.get(url).await.json()["notificationChannel"], expected);
    }
    let wrong = json!({ "channelType": "LongPolling", "channelData": { "maxWaitTime": -1 } });
    let refused = server.api.post(&channels_of("alice"), wrong).await;
    assert_eq!((refused.status.as_u16(), refused.fault().1), (400, vec!["maxWaitTime".to_owned()]));
    let socket =
        server.api.channel_with("alice", json!({ "channelType": "WebSockets", "channelData": { "maxWaitTime": 1 } }));
    assert_eq!(socket.await["channelData"].get("maxWaitTime"), None);
    server.stop().await;
}

#[tokio::test]
async fn a_poll_may_say_nothing_in_many_ways_and_gets_a_list_always() {
    let database = Database::new().await;
    let server = server(&database, 1).await;
    let channel = channel(&server, 10, 0).await;
    let url = channel_url(&channel);
    for (body, headers) in [
        (Some(r#"{"longPollingRequestParameters":null}"#), &[JSON][..]),
        (Some(r#"{"longPollingRequestParameters":{"future":1},"more":2}"#), &[JSON]),
        (Some(""), &[JSON]),
        (Some("{}"), &[]),
        (None, &[]),
    ] {
        let answer = server.api.send(Method::POST, url, headers, body.map(str::to_owned)).await;
        assert_eq!((answer.status, answer.text.as_str()), (StatusCode::OK, r#"{"notificationList":[]}"#), "{body:?}");
        assert_eq!(answer.header("content-type"), "application/json");
    }
    for wrong in ["garbage", "[]", r#"{"longPollingRequestParameters":"#] {
        let answer = server.api.send(Method::POST, url, &[JSON], Some(wrong.to_owned())).await;
        assert_eq!((answer.status.as_u16(), answer.fault().0.as_str()), (400, "SVC0002"), "{wrong}");
    }
    for verb in [Method::GET, Method::PUT, Method::DELETE, Method::PATCH] {
        let answer = server.api.send(verb.clone(), url, &[JSON], Some("{}".to_owned())).await;
        assert_eq!((answer.status.as_u16(), answer.header("allow")), (405, "POST"), "{verb}");
    }
    assert_eq!(opened_events(&database.connect().await).await, 0, "an ordinary poll is no event");
    server.stop().await;
}

#[tokio::test]
async fn a_token_is_good_for_its_own_use_only() {
    let database = Database::new().await;
    let server = server(&database, 1).await;
    let (polled, socket) = (channel(&server, 10, 0).await, server.api.channel("alice").await);
    let token = |url: &str| url.rsplit_once('/').unwrap().1.to_owned();
    let tokens = [token(channel_url(&socket)), token(text(&polled, "callbackURL")), "x".to_owned(), "%00".to_owned()];
    for wrong in tokens {
        let answer = server.api.post(&format!("/poll/{wrong}"), Value::Null).await;
        assert_eq!((answer.status.as_u16(), answer.fault().0.as_str()), (404, "SVC0004"), "{wrong}");
    }
    let ws = server.api.url.replace("http", "ws");
    assert!(Socket::try_open(&format!("{ws}/ws/{}", token(channel_url(&polled)))).await.is_err());
    assert!(Socket::try_open(channel_url(&socket)).await.is_ok());
    server.stop().await;
}

#[tokio::test]
async fn as_many_as_the_client_takes_are_answered_at_once_and_the_rest_stays() {
    let database = Database::new().await;
    let server = server(&database, 20).await;
    let channel = channel(&server, 3, 1000).await;
    server.api.subscribe("b", &channel).await;
    let sql = database.connect().await;
    let mut poller = poller(&channel).await;
    poller.ask().await;
    write(&sql, "b", 2).await;
    poller.silent(Duration::from_millis(700)).await; // two may wait for a third
    write(&sql, "b", 6).await;
    assert_eq!(poller.answer().await.indexes(), [1, 2, 3]);
    assert_eq!(poller.poll().await.indexes(), [4, 5, 6]);
    poller.ask().await;
    poller.silent(Duration::from_millis(700)).await;
    write(&sql, "b", 1).await;
    assert_eq!(poller.answer().await.indexes(), [7, 8, 9]);
    server.stop().await;
}

#[tokio::test]
async fn the_first_notification_waits_so_long_and_the_others_go_with_it() {
    let database = Database::new().await;
    let server = server(&database, 25).await;
    let channel = channel(&server, 100, 2).await;
    server.api.subscribe("b", &channel).await;
    let sql = database.connect().await;
    let mut poller = poller(&channel).await;
    let began = Instant::now();
    poller.ask().await;
    write(&sql, "b", 1).await;
    poller.silent(Duration::from_millis(300)).await;
    write(&sql, "b", 1).await;
    assert_eq!(poller.answer().await.indexes(), [1, 2]);
    assert!(began.elapsed() >= Duration::from_secs(2) && began.elapsed() < Duration::from_secs(15));
    // It waits whether a poll is open or not.
    write(&sql, "b", 1).await;
    sql.batch_execute("select pg_sleep(2.1)").await.unwrap();
    let began = Instant::now();
    assert_eq!(poller.poll().await.indexes(), [3]);
    assert!(began.elapsed() < Duration::from_secs(2), "it had waited long enough");
    server.stop().await;
}

#[tokio::test]
async fn figure_7_in_miniature() {
    // Three seconds of maxWaitTime, three notifications at most, polls of five seconds.
    let database = Database::new().await;
    let server = server(&database, 5).await;
    let channel = channel(&server, 3, 3).await;
    server.api.subscribe("b", &channel).await;
    let sql = database.connect().await;
    let mut poller = poller(&channel).await;
    assert_eq!(poller.poll().await.indexes(), [0_i64; 0], "the server's timeout: nothing");
    poller.ask().await;
    for _ in ["A", "B", "C"] {
        poller.silent(Duration::from_millis(100)).await;
        write(&sql, "b", 1).await;
    }
    assert_eq!(poller.answer().await.indexes(), [1, 2, 3], "as many as it takes");
    poller.ask().await;
    poller.silent(Duration::from_millis(100)).await;
    let written = Instant::now();
    write(&sql, "b", 1).await;
    assert_eq!(poller.answer().await.indexes(), [4], "D has waited");
    assert!(written.elapsed() >= Duration::from_millis(2900));
    poller.ask().await;
    poller.silent(Duration::from_secs(4)).await;
    let written = Instant::now();
    write(&sql, "b", 1).await;
    assert_eq!(poller.answer().await.indexes(), [5], "the server's timeout: E, before its time");
    assert!(written.elapsed() < Duration::from_millis(2900));
    server.stop().await;
}

#[tokio::test]
async fn what_happens_while_no_poll_is_open_is_answered_to_the_next() {
    let database = Database::new().await;
    let server = server(&database, 20).await;
    let channel = channel(&server, 4, 0).await;
    server.api.subscribe("a", &channel).await;
    server.api.subscribe("b", &channel).await;
    let sql = database.connect().await;
    assert_eq!(server.api.post(text(&channel, "callbackURL"), json!({ "note": 1 })).await.status, 204);
    write(&sql, "a", 3).await;
    write(&sql, "b", 3).await;
    let (first, second) = (poll(&channel).await, poll(&channel).await);
    assert_eq!((first.notifications().len(), second.notifications().len()), (4, 3));
    let all: Vec<_> = first.notifications().iter().chain(second.notifications()).collect();
    assert_eq!(all.iter().filter(|one| one["note"] == 1).count(), 1);
    for box_id in ["a", "b"] {
        let of_box = |one: &&&Value| one.to_string().contains(&format!("/default/{box_id}/subscriptions/"));
        let indexes: Vec<_> = all.iter().filter(of_box).map(|one| one["nmsEventList"]["index"].clone()).collect();
        assert_eq!(indexes, [1, 2, 3], "{box_id}");
    }
    assert!(first.notifications().iter().all(|one| one.as_object().unwrap().len() == 1));
    server.stop().await;
}

#[tokio::test]
async fn a_second_poll_ends_the_first_and_gets_the_notifications() {
    let database = Database::new().await;
    let (a, b) = (server(&database, 20).await, server(&database, 20).await);
    let channel = channel(&a, 10, 0).await;
    a.api.subscribe("b", &channel).await;
    let sql = database.connect().await;
    let (mut open, mut next) = (String::new(), 1);
    for (older, newer) in [(&a, &a), (&a, &b), (&b, &a), (&b, &b)] {
        let mut first = Poller::connect(&on(older, &channel)).await;
        first.ask().await;
        open = open_poll(&sql, &channel, &open).await;
        let mut second = Poller::connect(&on(newer, &channel)).await;
        second.ask().await;
        let ended = first.answer().await;
        assert_eq!(ended.fault(), (409, "SVC1012"));
        let exception = &ended.body["requestError"]["serviceException"];
        assert_eq!(exception["text"], "Simultaneous channel requests not supported");
        assert_eq!(exception["variables"], json!([]));
        open = open_poll(&sql, &channel, &open).await;
        write(&sql, "b", 1).await;
        assert_eq!(second.answer().await.indexes(), [next]);
        next += 1;
    }
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn a_poll_that_has_not_heard_of_a_newer_one_consumes_nothing() {
    let database = Database::new().await;
    let server = server(&database, 25).await;
    let channel = channel(&server, 10, 0).await;
    server.api.subscribe("b", &channel).await;
    let sql = database.connect().await;
    let mut deaf = poller(&channel).await;
    deaf.ask().await;
    open_poll(&sql, &channel, "").await;
    // As a node does that begins a poll, whose word has not come here yet.
    sql.batch_execute("update tocsin.polls set open = 'newer'").await.unwrap();
    write(&sql, "b", 2).await;
    assert_eq!(deaf.answer().await.fault(), (409, "SVC1012"));
    let row = sql.query_one("select open, sent = '[]' from tocsin.polls", &[]).await.unwrap();
    assert_eq!((row.get(0), row.get(1)), ("newer", true));
    assert_eq!(poll(&channel).await.indexes(), [1, 2]);
    server.stop().await;
}

#[tokio::test]
async fn a_node_may_ask_twice_whether_its_answer_is_written_down() {
    let database = Database::new().await;
    let server = server(&database, 25).await;
    let channel = channel(&server, 10, 0).await;
    let id = text(&channel, "resourceURL").rsplit_once('/').unwrap().1;
    let sql = database.connect().await;
    let answer = async |poll: &str| -> String {
        sql.query_one("select tocsin.poll_answer($1, $2, '[]', true)", &[&id, &poll]).await.unwrap().get(0)
    };
    sql.query("select tocsin.poll_begin($1, 'one', true)", &[&id]).await.unwrap();
    assert_eq!((answer("one").await.as_str(), answer("one").await.as_str()), ("answered", "answered"));
    sql.query("select tocsin.poll_undelivered($1, 'one')", &[&id]).await.unwrap();
    assert_eq!(answer("one").await, "superseded", "it was given up meanwhile");
    sql.query("select tocsin.poll_begin($1, 'two', true)", &[&id]).await.unwrap();
    assert_eq!((answer("one").await.as_str(), answer("two").await.as_str()), ("superseded", "answered"));
    sql.query("select tocsin.end_channel($1, 'deleted')", &[&id]).await.unwrap();
    assert_eq!(answer("two").await, "gone");
    server.stop().await;
}

#[tokio::test]
async fn many_polls_at_once_lose_nothing_and_bring_nothing_twice() {
    let database = Database::new().await;
    let (a, b) = (server(&database, 2).await, server(&database, 2).await);
    let channel = channel(&a, 5, 0).await;
    a.api.subscribe("b", &channel).await;
    let sql = database.connect().await;
    let urls = [on(&a, &channel), on(&b, &channel)];
    let mut seen = Vec::new();
    for round in 0..6 {
        write(&sql, "b", 3).await;
        let polls = (0..4).map(|n| {
            let url = &urls[(round + n) % 2];
            async move { Poller::connect(url).await.poll().await }
        });
        for polled in futures_util::future::join_all(polls).await {
            match polled.status {
                200 => seen.extend(polled.indexes()),
                _ => assert_eq!(polled.fault(), (409, "SVC1012")),
            }
        }
    }
    loop {
        let rest = poll(&channel).await.indexes();
        if rest.is_empty() {
            break;
        }
        seen.extend(rest);
    }
    seen.sort_unstable();
    assert_eq!(seen, (1..=18).collect::<Vec<_>>());
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn polls_take_turns_on_all_nodes() {
    let database = Database::new().await;
    let (a, b) = (server(&database, 20).await, server(&database, 20).await);
    let channel = channel(&a, 2, 0).await;
    a.api.subscribe("b", &channel).await;
    let sql = database.connect().await;
    write(&sql, "b", 8).await;
    let mut on_a = Poller::connect(&on(&a, &channel)).await;
    let mut on_b = Poller::connect(&on(&b, &channel)).await;
    for first in [1, 5] {
        assert_eq!(on_a.poll().await.indexes(), [first, first + 1]);
        assert_eq!(on_b.poll().await.indexes(), [first + 2, first + 3]);
    }
    assert_eq!(opened_events(&sql).await, 0, "no two were open at once");
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn an_answer_confirms_when_the_next_poll_comes() {
    let database = Database::new().await;
    let server = server(&database, 20).await;
    let channel = channel(&server, 10, 0).await;
    let subscription = server.api.subscribe("b", &channel).await;
    let index =
        async || server.api.get(text(&subscription, "resourceURL")).await.json()["nmsSubscription"]["index"].clone();
    let sql = database.connect().await;
    write(&sql, "b", 2).await;
    let mut poller = poller(&channel).await;
    assert_eq!(poller.poll().await.indexes(), [1, 2]);
    assert_eq!(index().await, 1, "nobody has said so yet");
    poller.ask().await;
    eventually("the next poll confirms", async || (index().await == 3).then_some(())).await;
    server.stop().await;
}

#[tokio::test]
async fn the_end_of_a_channel_is_told_to_an_open_poll() {
    let database = Database::new().await;
    let server = server(&database, 25).await;
    let sql = database.connect().await;
    let (deleted, expired) = (channel(&server, 10, 0).await, channel(&server, 10, 0).await);
    let (mut one, mut other) = (poller(&deleted).await, poller(&expired).await);
    one.ask().await;
    other.ask().await;
    connections(&server, 2).await;
    open_poll(&sql, &deleted, "").await;
    open_poll(&sql, &expired, "").await;
    assert_eq!(server.api.delete(text(&deleted, "resourceURL")).await.status, StatusCode::NO_CONTENT);
    assert_eq!(one.answer().await.fault(), (404, "SVC0004"));
    sql.batch_execute("update tocsin.channel_lifetimes set expires_at = now() - interval '1 s'").await.unwrap();
    assert_eq!(other.answer().await.fault(), (404, "SVC0004"));
    for poller in [&mut one, &mut other] {
        assert_eq!(poller.poll().await.fault(), (404, "SVC0004"));
    }
    connections(&server, 0).await;
    let left: i64 = sql.query_one("select count(*) from tocsin.polls", &[]).await.unwrap().get(0);
    assert_eq!(left, 0, "nothing stays behind");
    server.stop().await;
}

#[tokio::test]
async fn a_poll_starts_the_lifetime_again_and_ends_before_it() {
    let database = Database::new().await;
    let server = server(&database, 30).await;
    let fields = json!({ "channelType": "LongPolling", "channelLifetime": 4 });
    let channel = server.api.channel_with("alice", fields).await;
    let mut poller = poller(&channel).await;
    let began = Instant::now();
    for _ in 0..3 {
        assert!(poller.poll().await.notifications().is_empty());
    }
    assert!(began.elapsed() > Duration::from_secs(8), "the channel outlived its four seconds by polling");
    let sql = database.connect().await;
    let set = "update tocsin.channel_lifetimes set lifetime_seconds = 1000, expires_at = now() + interval '30 s'";
    let left = "select extract(epoch from expires_at - now())::float8 from tocsin.channel_lifetimes";
    let remaining = async || sql.query_one(left, &[]).await.unwrap().get::<_, f64>(0);
    sql.batch_execute(set).await.unwrap();
    poller.ask().await;
    eventually("the beginning starts it again", async || (remaining().await > 900.0).then_some(())).await;
    sql.batch_execute(set).await.unwrap();
    assert_eq!(server.api.post(text(&channel, "callbackURL"), json!({ "note": 1 })).await.status, 204);
    assert_eq!(poller.answer().await.notifications().len(), 1);
    assert!(remaining().await > 900.0, "so does the answer");
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_goes_in_the_middle_of_a_poll_loses_nothing() {
    let database = Database::new().await;
    let server = server(&database, 25).await;
    let channel = channel(&server, 10, 1000).await;
    server.api.subscribe("b", &channel).await;
    let sql = database.connect().await;
    let mut open = String::new();
    for (round, dies) in [true, false].into_iter().enumerate() {
        let mut going = poller(&channel).await;
        going.ask().await;
        open = open_poll(&sql, &channel, &open).await;
        write(&sql, "b", 2).await;
        going.silent(Duration::from_millis(200)).await; // gathered, but not due yet
        if dies {
            going.die()
        } else {
            going.close()
        }
        connections(&server, 0).await;
        eventually("the poll is open no longer", async || {
            let row = sql.query_one("select open is null from tocsin.polls", &[]).await.unwrap();
            row.get::<_, bool>(0).then_some(())
        })
        .await;
        assert_eq!(opened_events(&sql).await, 0, "{round}: so the next one supersedes nobody");
    }
    sql.batch_execute("update tocsin.channels set settings = settings || '{\"maxWaitTime\":0}'").await.unwrap();
    assert_eq!(poll(&channel).await.indexes(), [1, 2, 3, 4]);
    server.stop().await;
}

#[tokio::test]
async fn an_answer_that_was_not_read_comes_again_the_same() {
    let database = Database::new().await;
    let (server, other) = (server(&database, 25).await, server(&database, 25).await);
    let channel = channel(&server, 3, 0).await;
    server.api.subscribe("b", &channel).await;
    let sql = database.connect().await;
    write(&sql, "b", 3).await;
    let mut dying = poller(&channel).await;
    dying.ask().await;
    dying.has_answer().await;
    dying.die();
    let lost = async || {
        let row = sql.query_one("select lost from tocsin.polls", &[]).await.unwrap();
        row.get::<_, bool>(0).then_some(())
    };
    eventually("the answer is known to be lost", lost).await;
    write(&sql, "b", 3).await;
    // Again, and this time on another node.
    let mut dying = Poller::connect(&on(&other, &channel)).await;
    dying.ask().await;
    dying.has_answer().await;
    dying.close(); // of what is unread here the kernel makes a reset
    eventually("the answer is known to be lost", lost).await;
    let mut poller = poller(&channel).await;
    assert_eq!(poller.poll().await.indexes(), [1, 2, 3]);
    assert_eq!(poller.poll().await.indexes(), [4, 5, 6]);
    server.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn a_connection_that_ends_with_its_answer_tells_whether_it_was_read() {
    let database = Database::new().await;
    let server = server(&database, 25).await;
    let channel = channel(&server, 1, 0).await;
    server.api.subscribe("b", &channel).await;
    let sql = database.connect().await;
    write(&sql, "b", 3).await;
    let mut dying = poller(&channel).await;
    dying.ask_for_the_last_time().await;
    dying.has_answer().await;
    dying.die();
    eventually("the answer is known to be lost", async || {
        let row = sql.query_one("select lost from tocsin.polls", &[]).await.unwrap();
        row.get::<_, bool>(0).then_some(())
    })
    .await;
    for index in 1..=3 {
        let mut poller = poller(&channel).await;
        poller.ask_for_the_last_time().await;
        assert_eq!(poller.answer().await.indexes(), [index]);
        poller.close();
    }
    server.stop().await;
}

#[tokio::test]
async fn a_list_that_comes_again_is_the_same_list() {
    let database = Database::new().await;
    let server = server(&database, 25).await;
    let channel = channel(&server, 2, 0).await;
    server.api.subscribe("b", &channel).await;
    let sql = database.connect().await;
    write(&sql, "b", 2).await;
    let first = poll(&channel).await;
    // As if it had been lost; and meanwhile the objects change.
    sql.batch_execute("update tocsin.polls set lost = true; update tocsin.messages set body = 'changed'")
        .await
        .unwrap();
    let again = poll(&channel).await;
    assert_eq!(again.body, first.body);
    assert_eq!(poll(&channel).await.indexes(), [3, 4]);
    server.stop().await;
}

#[tokio::test]
async fn an_answer_that_was_read_does_not_come_again() {
    let database = Database::new().await;
    let server = server(&database, 25).await;
    let channel = channel(&server, 1, 0).await;
    server.api.subscribe("b", &channel).await;
    let sql = database.connect().await;
    write(&sql, "b", 3).await;
    let not_lost = async |why: &str| {
        // Longer than a connection that has ended waits for a reset.
        tokio::time::sleep(Duration::from_millis(800)).await;
        let lost: bool = sql.query_one("select lost from tocsin.polls", &[]).await.unwrap().get(0);
        assert!(!lost, "{why}");
    };
    let mut closing = poller(&channel).await;
    assert_eq!(closing.poll().await.indexes(), [1]);
    closing.close();
    not_lost("closed in good order").await;
    let mut asking = poller(&channel).await;
    assert_eq!(asking.poll().await.indexes(), [2]);
    asking.asks_for_something_else().await;
    asking.die();
    not_lost("whoever asks for something else has read what came before").await;
    let mut polling = poller(&channel).await;
    assert_eq!(polling.poll().await.indexes(), [3]);
    polling.ask().await;
    open_poll(&sql, &channel, "").await;
    polling.die();
    connections(&server, 0).await;
    write(&sql, "b", 1).await;
    assert_eq!(poll(&channel).await.indexes(), [4]);
    server.stop().await;
}

#[tokio::test]
async fn a_stopping_server_answers_with_what_there_is() {
    let database = Database::new().await;
    let server = server(&database, 25).await;
    let (channel, empty) = (channel(&server, 10, 1000).await, channel(&server, 10, 1000).await);
    server.api.subscribe("b", &channel).await;
    let sql = database.connect().await;
    write(&sql, "b", 2).await;
    let (mut some, mut none) = (poller(&channel).await, poller(&empty).await);
    some.ask().await;
    none.ask().await;
    connections(&server, 2).await;
    some.silent(Duration::from_millis(500)).await;
    let (some, none, ()) = tokio::join!(some.answer(), none.answer(), server.stop());
    assert_eq!(some.indexes(), [1, 2]);
    assert!(none.notifications().is_empty());
    let server = Server::start(&database).await;
    write(&sql, "b", 10).await;
    let next = Poller::connect(&on(&server, &channel)).await.poll().await;
    assert_eq!(next.indexes(), (3..=12).collect::<Vec<_>>());
    server.stop().await;
}

#[tokio::test]
async fn a_node_that_is_killed_in_the_middle_loses_nothing() {
    let database = Database::new().await;
    let server = server(&database, 25).await;
    let channel = channel(&server, 10, 0).await;
    server.api.subscribe("b", &channel).await;
    let sql = database.connect().await;
    write(&sql, "b", 1).await;
    assert_eq!(poll(&channel).await.indexes(), [1]);
    let other = Program::start_with(&["--database-url", database.url(), "--listen", "127.0.0.1:0"]).await;
    let url = channel_url(&channel);
    let mut poller = Poller::connect(&format!("{}{}", other.url, &url[url.find("/poll/").unwrap()..])).await;
    poller.ask().await;
    open_poll(&sql, &channel, "").await;
    other.kill().await;
    write(&sql, "b", 1).await;
    assert_eq!(poll(&channel).await.indexes(), [2]);
    server.stop().await;
}

#[tokio::test]
async fn an_open_poll_outlives_the_loss_of_the_database_connection() {
    let database = Database::new().await;
    let server = server(&database, 25).await;
    let channel = channel(&server, 3, 1000).await;
    server.api.subscribe("b", &channel).await;
    let sql = database.connect().await;
    let mut poller = poller(&channel).await;
    poller.ask().await;
    open_poll(&sql, &channel, "").await;
    write(&sql, "b", 1).await;
    for _ in 0..2 {
        let cut = "select count(pg_terminate_backend(pid)) from pg_stat_activity
                   where application_name like 'tocsin%' and datname = current_database()";
        sql.query_one(cut, &[]).await.unwrap();
        write(&sql, "b", 1).await;
    }
    assert_eq!(poller.answer().await.indexes(), [1, 2, 3]);
    server.stop().await;
}
