//! Rooms.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Inbox, Listener, served};

#[tokio::test]
async fn who_listens_in_a_room_hears_what_is_published_there() {
    let (_database, server) = served().await;
    let ann = Inbox::of(&server, "ann");
    let mut here = Listener::open(&server.api.url, "/ws/rooms/lobby").await;
    let mut there = Listener::open(&server.api.url, "/ws/rooms/attic").await;
    let message = json!({
        "source": "build", "source_display_name": "The build", "category": "ci", "action": "failed", "obj": "main",
        "url": "https://ci.example/1", "short_description": "main is red", "extra_data": { "n": 1 },
    });
    let answer = ann.send(Method::POST, "/api/rooms/lobby", Some(message.clone())).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    let heard = here.next().await;
    assert_eq!(heard["id"], answer.json()["id"]);
    for (name, value) in message.as_object().unwrap() {
        assert_eq!(heard[name], *value, "{name}");
    }
    assert_eq!((&heard["room"], &heard["author"], &heard["silent"]), (&json!("lobby"), &json!("ann"), &json!(false)));
    chrono::DateTime::parse_from_rfc3339(heard["timestamp"].as_str().unwrap()).unwrap();
    there.silent().await;
    server.stop().await;
}

#[tokio::test]
async fn a_message_for_somebody_is_in_their_inbox_and_told_to_nobody_else() {
    let (_database, server) = served().await;
    let (ann, bob) = (Inbox::of(&server, "ann"), Inbox::of(&server, "bob"));
    let listen = async |user: &str| Listener::open(&server.api.url, &format!("/ws/rooms/lobby?user={user}")).await;
    let (mut for_bob, mut for_eve) = (listen("bob").await, listen("eve").await);
    let mut nobody = Listener::open(&server.api.url, "/ws/rooms/lobby").await;
    let mut inbox = bob.socket("latest").await;
    let publish = async |fields: Value| {
        let answer = ann.send(Method::POST, "/api/rooms/lobby", Some(fields)).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
    };
    publish(json!({ "recipient": "bob", "short_description": "psst", "obj": "x" })).await;
    publish(json!({ "short_description": "everybody" })).await;
    assert_eq!(for_bob.next().await["short_description"], "psst");
    for socket in [&mut for_bob, &mut for_eve, &mut nobody] {
        assert_eq!(socket.next().await["short_description"], "everybody");
    }
    let new = inbox.next().await["notification"].clone();
    assert_eq!((&new["event"]["title"], &new["event"]["type"]["name"]), (&json!("psst"), &json!("room")));
    assert_eq!((&new["event"]["data"]["obj"], &new["event"]["data"]["room"]), (&json!("x"), &json!("lobby")));
    bob.patch("/api/notifications", json!([new["id"]])).await;
    inbox.hears("readed", "psst").await;
    assert_eq!(bob.titles("?readed=true").await, ["psst"]);
    // A silent one is stored only.
    publish(json!({ "recipients": ["bob"], "short_description": "silent", "silent": true })).await;
    publish(json!({ "short_description": "the end" })).await;
    assert_eq!(for_bob.next().await["short_description"], "the end");
    assert_eq!(bob.titles("").await, ["silent", "psst"]);
    server.stop().await;
}

#[tokio::test]
async fn who_comes_back_to_a_room_has_missed_nothing() {
    let (database, server) = served().await;
    let sql = database.connect().await;
    sql.batch_execute("select tocsin.publish_to_room('r', obj => n::text) from generate_series(1, 50) n")
        .await
        .unwrap();
    let mut socket = Listener::open(&server.api.url, "/ws/rooms/r?since=all").await;
    let (mut at, mut id) = (Value::Null, Value::Null);
    for n in 1..=20 {
        let message = socket.next().await;
        assert_eq!(message["obj"], n.to_string());
        (at, id) = (message["timestamp"].clone(), message["id"].clone());
    }
    for since in [at.as_str().unwrap().to_owned(), id.to_string()] {
        let mut socket = Listener::open(&server.api.url, &format!("/ws/rooms/r?since={since}")).await;
        for n in 21..=50 {
            assert_eq!(socket.next().await["obj"], n.to_string(), "since {since}");
        }
        socket.silent().await;
    }
    server.stop().await;
}

#[tokio::test]
async fn what_cannot_be_published_is_refused() {
    let (_database, server) = served().await;
    for (part, fields) in [
        ("source", json!({ "source": {} })),
        ("obj", json!({ "obj": "x".repeat(2049) })),
        ("recipients", json!({ "recipients": ["a/b"] })),
        ("silent", json!({ "silent": "maybe" })),
        ("channels", json!({ "channels": ["pigeon"] })),
        ("extra_data", json!({ "extra_data": "x".repeat(40_000) })),
    ] {
        let answer = server.api.post("/api/rooms/r", fields).await;
        assert_eq!((answer.status.as_u16(), answer.fault().1[0].as_str()), (400, part));
    }
    assert_eq!(server.api.post("/api/rooms/a%2Fb", json!({})).await.status, 400);
    assert_eq!(Listener::refused(&server.api.url, "/ws/rooms/a%2Fb").await, 400);
    assert_eq!(Listener::refused(&server.api.url, "/ws/rooms/r?since=never").await, 400);
    assert_eq!(server.api.get("/api/rooms/r").await.status, 405);
    server.stop().await;
}
