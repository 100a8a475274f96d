//! The channelURL: handshake, notificationLists, connCheck, close codes.

use reqwest::StatusCode;
use serde_json::{Value, json};
use tocsin::config::Limits;
use tocsin::log::event::token;
use tokio_postgres::Client;
use tokio_tungstenite::tungstenite::Message;

use super::text;
use crate::support::client::{EventList, Socket};
use crate::support::postgres::Database;
use crate::support::raw::{PING, PONG, Raw};
use crate::support::server::Server;

fn channel_url(channel: &Value) -> &str {
    text(&channel["channelData"], "channelURL")
}

/// Writes messages into a box, in one transaction.
async fn write(sql: &Client, box_id: &str, count: i64) {
    let insert = format!(
        "insert into tocsin.messages (box_id, body) select '{box_id}', i::text from generate_series(1, {count}) as i"
    );
    sql.batch_execute(&insert).await.unwrap();
}

fn indexes(lists: &[EventList]) -> Vec<i64> {
    lists.iter().map(|list| list.index).collect()
}

#[tokio::test]
async fn the_sub_protocol_is_answered_when_it_is_offered() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let channel = server.api.channel("alice").await;
    let protocol = tocsin::wire::nc::SUBPROTOCOL;
    let offered = format!("Sec-WebSocket-Protocol: chat, {protocol}\r\n");
    let with = Raw::shake_hands(channel_url(&channel), &offered).await;
    assert!(with.head.starts_with("http/1.1 101"), "{}", with.head);
    assert!(with.head.contains(&format!("sec-websocket-protocol: {protocol}\r\n")), "{}", with.head);
    for headers in ["", "Sec-WebSocket-Protocol: chat\r\n"] {
        let without = Raw::shake_hands(channel_url(&channel), headers).await;
        assert!(without.head.starts_with("http/1.1 101"), "{}", without.head);
        assert!(!without.head.contains("sec-websocket-protocol"), "{}", without.head);
    }
    server.stop().await;
}

#[tokio::test]
async fn only_the_genuine_token_opens_the_socket() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let channel = server.api.channel("alice").await;
    let url = channel_url(&channel);
    let (start, code) = url.rsplit_once('.').unwrap();
    let callback = text(&channel, "callbackURL").rsplit_once('/').unwrap().1;
    let other = server.api.channel("alice").await;
    let other_code = channel_url(&other).rsplit_once('.').unwrap().1;
    let first = if code.starts_with('A') { "B" } else { "A" };
    for wrong in [
        format!("{start}.{first}{}", &code[1..]),
        format!("{start}.{}", &code[1..]),
        format!("{start}.{other_code}"),
        format!("{start}."),
        start.to_owned(),
        url.replace(url.rsplit_once('/').unwrap().1, callback),
        url.replace(url.rsplit_once('/').unwrap().1, "%00"),
    ] {
        let refused = Raw::shake_hands(&wrong, "").await;
        assert!(refused.head.starts_with("http/1.1 404"), "{wrong}: {}", refused.head);
    }
    let plain = server.api.get(&url.replace("ws:", "http:")).await;
    assert!(plain.status.is_client_error() && plain.status != StatusCode::NOT_FOUND, "{}", plain.status);
    let old = Raw::shake_hands(url, "X: y\r\n").await; // the handshake still works
    assert!(old.head.starts_with("http/1.1 101"));
    server.stop().await;
}

#[tokio::test]
async fn a_conn_check_is_answered_and_renews_the_lifetime() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let channel =
        server.api.channel_with("alice", json!({ "channelType": "WebSockets", "channelLifetime": 1000 })).await;
    let mut socket = Socket::open(&channel).await;
    let sql = database.connect().await;
    for check in [r#"{"connCheck":{"checkInterval":"30"}}"#, r#"{"connCheck":null}"#] {
        sql.batch_execute("update tocsin.channel_lifetimes set expires_at = now() + interval '30 s'").await.unwrap();
        socket.say(Message::text(check)).await;
        let ack: Value = serde_json::from_str(&socket.frame().await).unwrap();
        assert_eq!(ack, json!({ "connAck": { "channelLifetime": 1000 } }));
    }
    // (Renewals within one second are one.)
    let sql_left = "select extract(epoch from expires_at - now())::float8 from tocsin.channel_lifetimes";
    sql.batch_execute("update tocsin.channel_lifetimes set expires_at = now() + interval '30 s'").await.unwrap();
    crate::support::eventually("a check renews", async || {
        socket.say(Message::text(r#"{"connCheck":{}}"#)).await;
        socket.frame().await;
        (sql.query_one(sql_left, &[]).await.unwrap().get::<_, f64>(0) > 900.0).then_some(())
    })
    .await;
    server.stop().await;
}

#[tokio::test]
async fn what_a_client_may_say_but_means_nothing_is_ignored() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let channel = server.api.channel("alice").await;
    server.api.subscribe("b", &channel).await;
    let mut socket = Socket::open(&channel).await;
    for message in [r#"{"connAck":null}"#, r#"{"connAck":{}}"#, "{}", r#"{"future":{"connCheck":1}}"#] {
        socket.say(Message::text(message)).await;
    }
    socket.say(Message::Pong("unasked".into())).await;
    write(&database.connect().await, "b", 1).await;
    assert_eq!(socket.list().await.index, 1, "and the answer to none of them came before");
    server.stop().await;
}

#[tokio::test]
async fn a_new_socket_supersedes_the_old_one() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let channel = server.api.channel("alice").await;
    let subscription = server.api.subscribe("b", &channel).await;
    let sql = database.connect().await;
    let mut old = Socket::open(&channel).await;
    write(&sql, "b", 1).await;
    let first = old.list().await;
    old.nothing_more(&server.api, &subscription, &first.token).await;
    let mut new = Socket::open(&channel).await;
    let (code, reason) = old.closed().await;
    assert_eq!((code, reason.contains(&format!("restartToken={}", first.token))), (4001, true), "{reason}");
    write(&sql, "b", 2).await;
    assert_eq!(indexes(&new.lists(2).await), [2, 3]);
    server.stop().await;
}

#[tokio::test]
async fn frames_hold_at_most_max_notifications_lists() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let sql = database.connect().await;
    for (most, replayed) in [(1, vec![1, 1, 1, 1, 1]), (2, vec![2, 2, 1]), (100, vec![5])] {
        let box_id = format!("b{most}");
        let data = json!({ "channelType": "WebSockets", "channelData": { "maxNotifications": most } });
        let channel = server.api.channel_with("alice", data).await;
        server.api.subscribe(&box_id, &channel).await;
        write(&sql, &box_id, 5).await;
        let mut socket = Socket::open(&channel).await;
        let mut all = Vec::new();
        for expected in replayed {
            assert_eq!(socket.frame_of_lists().await, expected, "replayed, maxNotifications {most}");
            all.extend(socket.lists(expected).await);
        }
        write(&sql, &box_id, 7).await;
        while all.len() < 12 {
            let lists = socket.frame_of_lists().await;
            assert!(lists <= most, "live, maxNotifications {most}: {lists}");
            all.extend(socket.lists(lists).await);
        }
        assert_eq!(indexes(&all), (1..=12).collect::<Vec<_>>());
    }
    server.stop().await;
}

#[tokio::test]
async fn what_was_received_is_confirmed_and_shown() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let channel = server.api.channel("alice").await;
    let subscription = server.api.subscribe("b", &channel).await;
    let mut socket = Socket::open(&channel).await;
    write(&database.connect().await, "b", 3).await;
    let last = socket.lists(3).await.pop().unwrap();
    let now = socket.nothing_more(&server.api, &subscription, &last.token).await;
    assert_eq!((now["index"].as_i64(), text(&now, "restartToken")), (Some(4), last.token.as_str()));
    socket.close().await;
    let mut socket = Socket::open(&channel).await;
    write(&database.connect().await, "b", 1).await;
    assert_eq!(socket.list().await.index, 4, "what is confirmed is not sent again");
    server.stop().await;
}

#[tokio::test]
async fn what_was_not_confirmed_comes_again_the_same() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let channel = server.api.channel("alice").await;
    let with = json!({ "filter": { "criterion": [{ "type": "Attribute", "name": "TextContent", "value": "2" }], "operator": "Not" } });
    let mut subscriptions = vec![server.api.subscribe("b", &channel).await];
    subscriptions.push(server.api.subscribe_with("b", &channel, with).await);
    let sql = database.connect().await;
    let by_subscription = |lists: Vec<EventList>| {
        subscriptions
            .iter()
            .map(|subscription| {
                let own = lists.iter().filter(|list| list.subscription == subscription["resourceURL"]);
                own.map(|list| list.whole.clone()).collect::<Vec<_>>()
            })
            .collect::<Vec<_>>()
    };
    write(&sql, "b", 3).await;
    let mut vanishing = Raw::open(&channel).await;
    let first = by_subscription(vanishing.lists(5).await);
    assert_eq!((first[0].len(), first[1].len()), (3, 2));
    drop(vanishing);
    // More has been written, the object has changed, and yet what comes again is what came before.
    sql.batch_execute(r"update tocsin.messages set flags = '{\\Seen}' where box_id = 'b' and body = '1'")
        .await
        .unwrap();
    let mut again = Raw::open(&channel).await;
    let second = by_subscription(again.lists(7).await);
    for (first, second) in first.iter().zip(&second) {
        assert_eq!(&second[..first.len()], first);
        assert_eq!(second.len(), first.len() + 1);
    }
    for subscription in &subscriptions {
        let now = server.api.get(text(subscription, "resourceURL")).await.json();
        assert_eq!(now["nmsSubscription"]["index"], 1, "nothing was confirmed");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_pong_confirms_what_was_sent_before_its_ping_and_a_false_one_nothing() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let channel = server.api.channel("alice").await;
    let subscription = server.api.subscribe("b", &channel).await;
    let mut raw = Raw::open(&channel).await;
    write(&database.connect().await, "b", 1).await;
    raw.lists(1).await;
    let (kind, payload) = raw.frame().await.unwrap();
    assert_eq!(kind, PING);
    let index =
        async || server.api.get(text(&subscription, "resourceURL")).await.json()["nmsSubscription"]["index"].clone();
    raw.send(PONG, b"something else").await;
    raw.send(PING, b"are you there?").await;
    assert_eq!(raw.frame().await, Some((PONG, b"are you there?".to_vec())), "so the false Pong has been read");
    assert_eq!(index().await, 1);
    raw.send(PONG, &payload).await;
    crate::support::eventually("the Pong confirms", async || (index().await == 2).then_some(())).await;
    server.stop().await;
}

#[tokio::test]
async fn a_stopping_server_says_where_to_go_on() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let channel = server.api.channel("alice").await;
    server.api.subscribe("b", &channel).await;
    let mut socket = Socket::open(&channel).await;
    write(&database.connect().await, "b", 2).await;
    let last = socket.lists(2).await.pop().unwrap();
    let (closed, ()) = tokio::join!(socket.closed(), server.stop());
    assert_eq!(closed, (1001, format!("server stopping; restartToken={}", last.token)));
    let server = Server::start(&database).await;
    let channel = server
        .api
        .get(&format!(
            "/notificationchannel/v1/alice/channels/{}",
            text(&channel, "resourceURL").rsplit_once('/').unwrap().1
        ))
        .await;
    let mut socket = Socket::open(&channel.json()["notificationChannel"]).await;
    write(&database.connect().await, "b", 1).await;
    let next = socket.list().await;
    assert!(next.index <= 3, "nothing is skipped over a restart");
    server.stop().await;
}

#[tokio::test]
async fn the_place_to_go_on_is_never_beyond_what_was_sent() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let channel = server.api.channel("alice").await;
    let data =
        json!({ "callbackReference": { "notifyURL": channel["callbackURL"], "callbackData": "x".repeat(2000) } });
    let subscription = server.api.post("/nms/v1/default/b/subscriptions", data).await.json()["nmsSubscription"].clone();
    write(&database.connect().await, "b", 12_000).await;
    let mut stalled = Raw::open(&channel).await;
    stalled.stalls().await;
    let api = server.api.clone();
    let stopping = tokio::spawn(server.stop());
    let leaves = async || (api.get("/readyz").await.json()["draining"] == true).then_some(());
    crate::support::eventually("the server is stopping", leaves).await;
    let (lists, close) = stalled.rest().await;
    stopping.await.unwrap();
    let (code, reason) = close.expect("a close frame");
    assert_eq!(code, 1001);
    let last = lists.last().unwrap();
    assert!(lists.len() < 12_000, "the server was stopped in the middle");
    let said = reason.split_once("restartToken=").unwrap().1;
    assert!(said <= last.token.as_str(), "received up to {}, told to go on from {said}", last.token);
    assert!(said >= text(&subscription, "restartToken"));
}

#[tokio::test]
async fn subscriptions_come_and_go_while_the_socket_is_open() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let channel = server.api.channel("alice").await;
    let mut socket = Socket::open(&channel).await;
    let sql = database.connect().await;
    write(&sql, "a", 1).await;
    let one = server.api.subscribe("a", &channel).await;
    write(&sql, "a", 2).await;
    let lists = socket.lists(2).await;
    assert_eq!((indexes(&lists), lists[0].seq()), (vec![1, 2], 3), "from its creation on");
    let two = server.api.subscribe("a", &channel).await;
    write(&sql, "a", 1).await;
    let mut both: Vec<_> = socket.lists(2).await.into_iter().map(|list| (list.subscription, list.index)).collect();
    both.sort_by_key(|(_, index)| *index);
    let expected = [(text(&two, "resourceURL").to_owned(), 1), (text(&one, "resourceURL").to_owned(), 3)];
    assert_eq!(both, expected, "each has its own index");
    assert_eq!(server.api.delete(text(&one, "resourceURL")).await.status, StatusCode::NO_CONTENT);
    write(&sql, "a", 2).await;
    let left = socket.lists(2).await;
    assert!(left.iter().all(|list| list.subscription == two["resourceURL"]), "{left:?}");
    socket.nothing_more(&server.api, &two, &left[1].token).await;
    server.stop().await;
}

#[tokio::test]
async fn one_channel_serves_many_boxes() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let channel = server.api.channel("alice").await;
    let mut urls = Vec::new();
    for n in 0..5 {
        let fields = json!({ "duration": 100 + n });
        urls.push(server.api.subscribe_with(&format!("b{n}"), &channel, fields).await["resourceURL"].clone());
    }
    let mut socket = Socket::open(&channel).await;
    let sql = database.connect().await;
    sql.batch_execute(
        "insert into tocsin.messages (box_id, body) select 'b' || i % 6, i::text from generate_series(0, 59) as i",
    )
    .await
    .unwrap();
    let lists = socket.lists(50).await;
    for (n, url) in urls.iter().enumerate() {
        let own: Vec<_> = lists.iter().filter(|list| list.subscription == *url).collect();
        assert_eq!(own.iter().map(|list| list.index).collect::<Vec<_>>(), (1..=10).collect::<Vec<_>>());
        let of_box = format!("/nms/v1/default/b{n}/objects/");
        assert!(
            own.iter().all(|list| list.events[0]["changedObject"]["resourceURL"].as_str().unwrap().contains(&of_box))
        );
    }
    let heads = sql.query("select head_at from tocsin.streams where stream like 'default/b%'", &[]).await.unwrap();
    assert!(heads.iter().any(|row| token(row.get(0)) == lists[49].token), "a list's token is a moment of its box");
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_answers_the_servers_checks_keeps_its_channel_and_one_that_does_not_loses_its_socket() {
    let database = Database::new().await;
    let limits = Limits { conn_check_seconds: 1, ..Limits::default() };
    let server = Server::start_with(&database, limits).await;
    let wish = json!({ "channelType": "Websockets", "x-connCheckRole": "server", "channelLifetime": 4 });
    let channel = server.api.channel_with("alice", wish).await;
    assert_eq!(channel["x-connCheckRole"], "server");
    let mut socket = Socket::open(&channel).await;
    for _ in 0..7 {
        let check: Value = serde_json::from_str(&socket.frame().await).unwrap();
        assert_eq!(check, json!({ "connCheck": { "checkInterval": 1, "newChannelLifetime": 4 } }));
        socket.say(Message::text(r#"{"connAck":{}}"#)).await;
    }
    let lives = server.api.get(channel["resourceURL"].as_str().unwrap()).await.status;
    assert_eq!(lives, 200, "beyond its first lifetime");
    socket.frame().await;
    let (code, reason) = socket.closed().await;
    assert_eq!(code, 4005, "{reason}");
    let mut again = Socket::open(&channel).await;
    again.frame().await;
    server.stop().await;
}
