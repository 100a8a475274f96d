//! Filters: the same answer live and on replay.

use serde_json::{Value, json};

use super::{head, text};
use crate::support::client::{EventList, Socket};
use crate::support::postgres::Database;
use crate::support::server::Server;
use tocsin::config::Limits;

/// Positions are moved past what nobody wants when sockets are looked after: here soon.
fn limits() -> Limits {
    Limits { socket_ping_seconds: 1, ..Limits::default() }
}

fn attribute(name: &str, value: &str) -> Value {
    json!({ "type": "Attribute", "name": name, "value": value })
}

fn flag(name: &str, value: &str) -> Value {
    json!({ "type": "Flag", "name": name, "value": value })
}

fn with_value(criterion: &str, value: &str) -> Value {
    json!({ "type": criterion, "value": value })
}

fn preset(name: &str, value: &str) -> Value {
    json!({ "type": "PresetSearch", "name": name, "value": value })
}

fn filter(operator: &str, criteria: &[Value]) -> Value {
    json!({ "criterion": criteria, "operator": operator })
}

/// What happens in the box; each line is one event.
const STORY: [&str; 6] = [
    r#"insert into tocsin.messages (box_id, sender, body, attributes) values ('b', 'tel:+2', 'one', '{"Conversation-ID":"c1"}')"#, // 1
    r#"insert into tocsin.messages (box_id, sender, body, attributes, flags)
       values ('b', 'tel:+3', 'two', '{"Conversation-ID":"c2","Colour":["Red","Blue"]}', '{\\Seen}')"#, // 2
    r"update tocsin.messages set flags = '{\\SEEN,urgent}' where body = 'one'", // 3
    r"update tocsin.messages set flags = '{}' where body = 'two'",              // 4
    "delete from tocsin.messages where body = 'one'",                           // 5: \Seen, urgent, c1
    "delete from tocsin.messages where body = 'two'",                           // 6: no flags, c2
];

/// A filter, and which events of the story it lets through (besides the reset).
fn cases() -> Vec<(Value, Vec<i64>)> {
    let (c1, c2) = (json!({ "type": "Conversation", "value": "c1" }), json!({ "type": "Conversation", "value": "c2" }));
    vec![
        (Value::Null, vec![1, 2, 3, 4, 5, 6]),
        (filter("And", &[attribute("from", "tel:+2")]), vec![1, 3, 5]),
        (filter("And", &[attribute("From", "TEL:+2")]), vec![]),
        (filter("And", &[attribute("direction", "iN")]), vec![1, 2, 3, 4, 5, 6]),
        (filter("And", &[attribute("Colour", "Blue")]), vec![2, 4, 6]),
        (filter("And", &[attribute("Colour", "blue")]), vec![]),
        (filter("And", &[flag("\\seen", "true")]), vec![2, 3, 5]),
        (filter("And", &[flag("\\Seen", "false")]), vec![1, 4, 6]),
        (json!({ "criterion": flag("\\Seen", "") }), vec![2, 3, 5]),
        (filter("And", &[c1.clone(), flag("urgent", "1")]), vec![3, 5]),
        (filter("Or", &[c1.clone(), flag("\\Seen", "true")]), vec![1, 2, 3, 5]),
        (filter("Not", std::slice::from_ref(&c1)), vec![2, 4, 6]),
        (filter("Not", &[c2.clone(), flag("\\Seen", "true")]), vec![1, 3, 4, 5, 6]),
        (filter("And", &[c1, c2]), vec![]),
        (filter("Or", &[attribute("Nothing", "x")]), vec![]),
        (filter("And", &[with_value("VanishedObjects", "")]), vec![5, 6]),
        (filter("Not", &[with_value("VanishedObjects", "")]), vec![1, 2, 3, 4]),
        (filter("And", &[with_value("AllTextAttributes", "W")]), vec![2, 4, 6]),
        (filter("Or", &[with_value("WholeWord", "ONE"), with_value("WholeWord", "tw")]), vec![1, 3, 5]),
        (filter("And", &[with_value("AllTextAttributes", "c1")]), vec![]),
        (filter("And", &[with_value("Date", "maxDate=2020-01-01T00:00Z")]), vec![]),
        (filter("And", &[with_value("Date", "minDate=2020-01-01T00:00 02:00")]), vec![1, 2, 3, 4, 5, 6]),
        (filter("And", &[preset("UPOneDotO", "")]), vec![1, 2, 3, 4, 5, 6]),
        (filter("And", &[preset("path", "/")]), vec![1, 2, 3, 4, 5, 6]),
        (filter("And", &[preset("path", "/main")]), vec![]),
    ]
}

#[tokio::test]
async fn a_filter_decides_live_and_on_replay_alike_and_looks_at_the_last_state_of_what_is_deleted() {
    let database = Database::new().await;
    let server = Server::start_with(&database, limits()).await;
    let sql = database.connect().await;
    let channel = server.api.channel("alice").await;
    let mut subscriptions = Vec::new();
    for (filter, _) in cases() {
        subscriptions.push(server.api.subscribe_with("b", &channel, json!({ "filter": filter })).await);
    }
    let start = head(&sql, "b").await;
    let base = subscriptions.len() as i64;
    let mut socket = Socket::open(&channel).await;
    for line in STORY {
        sql.batch_execute(line).await.unwrap();
    }
    let end = head(&sql, "b").await;
    let total = cases().iter().map(|(_, expected)| expected.len()).sum();
    let live = socket.lists(total).await;
    check(&live, &subscriptions, base, "live");
    for (subscription, (_, expected)) in subscriptions.iter().zip(cases()) {
        let now = socket.nothing_more(&server.api, subscription, &end).await;
        assert_eq!(
            now["index"].as_i64(),
            Some(expected.len() as i64 + 1),
            "filtered events move the token, not the index"
        );
    }
    let mut replaying = Vec::new();
    for (filter, _) in cases() {
        replaying
            .push(server.api.subscribe_with("b", &channel, json!({ "filter": filter, "restartToken": start })).await);
    }
    let replayed = socket.lists(total).await;
    check(&replayed, &replaying, base, "replayed");
    for subscription in &replaying {
        socket.nothing_more(&server.api, subscription, &head(&sql, "b").await).await;
    }
    sql.batch_execute("insert into tocsin.events (stream, kind) values ('b', 'box.reset')").await.unwrap();
    for list in socket.lists(subscriptions.len() + replaying.len()).await {
        assert_eq!(list.kind(), "resetBox", "what is about no object is for everybody");
    }
    server.stop().await;
}

fn check(lists: &[EventList], subscriptions: &[Value], base: i64, when: &str) {
    for (subscription, (filter, expected)) in subscriptions.iter().zip(cases()) {
        let own: Vec<_> = lists.iter().filter(|list| list.subscription == subscription["resourceURL"]).collect();
        let seqs: Vec<_> = own.iter().map(|list| list.seq() - base).collect();
        assert_eq!(seqs, expected, "{when}: {filter}");
        let indexes: Vec<_> = own.iter().map(|list| list.index).collect();
        assert_eq!(indexes, (1..=own.len() as i64).collect::<Vec<_>>(), "{when}: {filter}");
        for list in own {
            let kind = if list.seq() - base >= 5 { "deletedObject" } else { "changedObject" };
            assert_eq!(list.kind(), kind);
        }
    }
}

#[tokio::test]
async fn created_objects_are_those_made_since_the_subscription_began_to_listen_and_are_not_replayed() {
    let database = Database::new().await;
    let server = Server::start_with(&database, limits()).await;
    let sql = database.connect().await;
    let channel = server.api.channel("alice").await;
    let insert = |body: &str| format!("insert into tocsin.messages (box_id, folder, body) values ('b', 'f', '{body}')");
    sql.batch_execute(&insert("before")).await.unwrap();
    let wish = json!({ "filter": filter("And", &[with_value("CreatedObjects", "")]) });
    let subscription = server.api.subscribe_with("b", &channel, wish).await;
    let start = text(&subscription, "restartToken").to_owned();
    let mut socket = Socket::open(&channel).await;
    sql.batch_execute("update tocsin.messages set body = 'changed'").await.unwrap();
    sql.batch_execute(&insert("after")).await.unwrap();
    sql.batch_execute("update tocsin.messages set body = 'changed again'").await.unwrap();
    assert_eq!(socket.list().await.seq(), 5, "folder and object, subscription, change, object");
    let url = text(&subscription, "resourceURL");
    let again = json!({ "nmsSubscriptionUpdate": { "restartToken": start } });
    assert_eq!(server.api.post(url, again).await.json()["nmsSubscription"]["index"], 2);
    sql.batch_execute(&insert("later")).await.unwrap();
    let later = socket.list().await;
    assert_eq!((later.seq(), later.index), (9, 2), "nothing of the past again");
    socket.nothing_more(&server.api, &subscription, &head(&sql, "b").await).await;
    server.stop().await;
}

#[tokio::test]
async fn filters_that_cannot_be_used_are_svc0003() {
    let database = Database::new().await;
    let server = Server::start_with(&database, limits()).await;
    let channel = server.api.channel("alice").await;
    for (filter, part) in [
        (filter("And", &[json!({ "type": "PresetSearch", "name": "Other", "value": "" })]), "name"),
        (filter("And", &[json!({ "type": "PresetSearch", "value": "" })]), "name"),
        (filter("And", &[json!({ "type": "Date", "value": "minDate=2024-05-01T12:00:00" })]), "value"),
        (filter("And", &[json!({ "type": "Date", "value": "" })]), "value"),
        (filter("And", &[json!({ "type": "WholeWord", "value": "" })]), "value"),
        (filter("And", &[json!({ "type": "AllTextAttributes" })]), "value"),
        (filter("And", &[json!({ "type": "CreatedObjects", "value": "cc-9" })]), "value"),
        (filter("And", &[json!({ "type": "Unheard", "name": "x", "value": "y" })]), "type"),
        (filter("And", &[json!({ "name": "x", "value": "y" })]), "type"),
        (filter("Xor", &[flag("x", "true")]), "operator"),
        (filter("And", &[flag("x", "maybe")]), "value"),
        (filter("And", &[attribute("", "y")]), "name"),
        (filter("And", &[]), "filter"),
        (json!({}), "filter"),
    ] {
        let body = json!({ "callbackReference": { "notifyURL": channel["callbackURL"] }, "filter": filter });
        let answer = server.api.post("/nms/v1/default/b/subscriptions", body).await;
        let (code, variables) = answer.fault();
        assert_eq!((answer.status.as_u16(), code.as_str(), variables[0].as_str()), (400, "SVC0003", part), "{filter}");
    }
    let fine = json!({ "criterion": [flag("\\Seen", "0"), json!({ "type": "Conversation", "value": "c" })], "operator": "Or" });
    let subscription = server.api.subscribe_with("b", &channel, json!({ "filter": fine })).await;
    let echo = json!({ "criterion": [flag("\\Seen", "false"), attribute("Conversation-ID", "c")], "operator": "Or" });
    assert_eq!(subscription["filter"], echo, "as it was understood");
    assert_eq!(server.api.get(text(&subscription, "resourceURL")).await.json()["nmsSubscription"]["filter"], echo);
    server.stop().await;
}
