//! Event types, groups, and publishing.

use serde_json::{Value, json};

use super::{Inbox, served};
use crate::support::postgres::Database;
use crate::support::server::Server;

#[tokio::test]
async fn an_event_is_a_notification_for_each_user_in_its_audience() {
    let (_database, server) = served().await;
    let ann = Inbox::of(&server, "ann");
    let event = ann
        .publish(json!({ "type": "comment", "title": "t", "message": "m", "data": { "n": [1, null] },
                         "users": ["bob", "eve", "bob"] }))
        .await;
    for user in ["bob", "eve"] {
        let page = Inbox::of(&server, user).get("/api/notifications").await;
        assert_eq!((&page["count"], &page["next"], &page["previous"]), (&json!(1), &Value::Null, &Value::Null));
        let one = &page["results"][0];
        assert_eq!((&one["user"], &one["readed"]), (&json!(user), &Value::Null));
        let told = &one["event"];
        assert_eq!(told["id"], event);
        assert_eq!((&told["author"], &told["title"], &told["message"]), (&json!("ann"), &json!("t"), &json!("m")));
        assert_eq!(told["data"], json!({ "n": [1, null] }));
        assert_eq!((&told["type"]["name"], &told["type"]["title"]), (&json!("comment"), &json!("comment")));
        let members: Vec<&String> = told.as_object().unwrap().keys().collect();
        assert_eq!(members, ["id", "timestamp", "author", "type", "title", "message", "data"]);
        chrono::DateTime::parse_from_rfc3339(told["timestamp"].as_str().unwrap()).unwrap();
    }
    assert_eq!(ann.ids().await, Vec::<i64>::new(), "she is not in the audience");
    server.stop().await;
}

#[tokio::test]
async fn a_group_and_everybody_are_audiences() {
    let (_database, server) = served().await;
    let ann = Inbox::of(&server, "ann");
    assert_eq!(server.api.post("/api/groups", json!({ "name": "team", "users": ["bob", "eve"] })).await.status, 201);
    ann.publish(json!({ "type": "comment", "title": "team", "group": "team", "users": ["eve", "joe"] })).await;
    for user in ["bob", "eve", "joe"] {
        assert_eq!(Inbox::of(&server, user).titles("").await, ["team"], "{user}");
    }
    // Declared again it has other members.
    let again = server.api.post("/api/groups", json!({ "name": "team", "users": ["eve"] })).await;
    assert_eq!(again.json(), json!({ "name": "team", "count": 1 }));
    assert_eq!(server.api.get("/api/groups").await.json()["results"], json!([{ "name": "team", "count": 1 }]));
    ann.publish(json!({ "type": "comment", "title": "small team", "group": "team" })).await;
    // Whoever has asked for notifications is known, and whoever has any.
    assert_eq!(ann.ids().await, Vec::<i64>::new());
    ann.publish(json!({ "type": "comment", "title": "all", "everybody": true })).await;
    assert_eq!(ann.titles("").await, ["all"]);
    assert_eq!(Inbox::of(&server, "bob").titles("").await, ["all", "team"]);
    assert_eq!(Inbox::of(&server, "eve").titles("").await, ["all", "small team", "team"]);
    server.stop().await;
}

#[tokio::test]
async fn types_and_groups_of_the_configuration_are_declared_at_start() {
    let database = Database::new().await;
    let with = async |title: &str| {
        let text = format!("[[event_types]]\nname = 'x'\ntitle = '{title}'\n[groups]\ng = ['bob']\n");
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let args =
            ["--config", file.path().to_str().unwrap(), "--listen", "127.0.0.1:0", "--database-url", database.url()];
        let program = crate::support::server::Program::start_with(&args).await;
        let types = program.api.get("/api/event-types").await.json();
        assert_eq!(types["results"][1]["title"], title);
        assert_eq!(program.api.get("/api/groups").await.json()["results"], json!([{ "name": "g", "count": 1 }]));
        assert_eq!(program.terminate().await, Some(0));
    };
    with("first").await;
    with("second").await;
}

#[tokio::test]
async fn what_cannot_be_published_is_refused_by_the_name_of_the_part() {
    let (_database, server) = served().await;
    let ann = Inbox::of(&server, "ann");
    let refused = async |fields: Value| {
        let answer = ann.send(reqwest::Method::POST, "/api/events", Some(fields.clone())).await;
        assert_eq!(answer.status, 400, "{fields}: {}", answer.text);
        answer.fault()
    };
    let (id, variables) = refused(json!({ "type": "unknown", "title": "t", "users": ["bob"] })).await;
    assert_eq!((id.as_str(), variables), ("SVC0003", vec!["type".to_owned(), "comment, like, room".to_owned()]));
    let long = |n: usize| "x".repeat(n);
    for (part, fields) in [
        ("type", json!({ "title": "t", "users": ["bob"] })),
        ("title", json!({ "type": "comment", "users": ["bob"] })),
        ("title", json!({ "type": "comment", "title": long(513), "users": ["bob"] })),
        ("message", json!({ "type": "comment", "title": "t", "message": long(4097), "users": ["bob"] })),
        ("data", json!({ "type": "comment", "title": "t", "data": long(40_000), "users": ["bob"] })),
        ("users", json!({ "type": "comment", "title": "t" })),
        ("users", json!({ "type": "comment", "title": "t", "users": [] })),
        ("users", json!({ "type": "comment", "title": "t", "users": ["a/b"] })),
        ("users", json!({ "type": "comment", "title": "t", "users": [""] })),
        ("users", json!({ "type": "comment", "title": "t", "users": [{}] })),
        ("group", json!({ "type": "comment", "title": "t", "group": "nobody's" })),
        ("channels", json!({ "type": "comment", "title": "t", "users": ["bob"], "channels": ["pigeon"] })),
        ("everybody", json!({ "type": "comment", "title": "t", "everybody": "perhaps" })),
        ("countdown", json!({ "type": "comment", "title": "t", "users": ["bob"], "countdown": -1 })),
        (
            "countdown",
            json!({ "type": "comment", "title": "t", "users": ["bob"], "countdown": 1,
                              "deliver_at": "2030-01-01T00:00:00Z" }),
        ),
        ("deliver_at", json!({ "type": "comment", "title": "t", "users": ["bob"], "deliver_at": "tomorrow" })),
        (
            "deliver_at",
            json!({ "type": "comment", "title": "t", "users": ["bob"], "deliver_at": "2999-01-01T00:00:00Z" }),
        ),
    ] {
        assert_eq!(refused(fields.clone()).await.1[0], part, "{fields}");
    }
    for (part, fields) in [
        ("name", json!({ "title": "t" })),
        ("name", json!({ "name": "a b", "title": "t" })),
        ("title", json!({ "name": "a" })),
    ] {
        let answer = server.api.post("/api/event-types", fields.clone()).await;
        assert_eq!((answer.status.as_u16(), answer.fault().1[0].as_str()), (400, part), "{fields}");
    }
    for (part, fields) in [
        ("name", json!({ "users": ["a"] })),
        ("users", json!({ "name": "a", "users": [] })),
        ("users", json!({ "name": "a", "users": ["a/b"] })),
    ] {
        let answer = server.api.post("/api/groups", fields.clone()).await;
        assert_eq!((answer.status.as_u16(), answer.fault().1[0].as_str()), (400, part), "{fields}");
    }
    assert_eq!(Inbox::of(&server, "bob").ids().await, Vec::<i64>::new(), "nothing of it was published");
    server.stop().await;
}

#[tokio::test]
async fn sql_publishes_too_in_the_writer_s_own_transaction() {
    let (database, server) = served().await;
    let sql = database.connect().await;
    let publish = "select tocsin.publish('like', 'by sql', author => 'ann', users => '{bob}')";
    sql.batch_execute(&format!("begin; {publish}; rollback")).await.unwrap();
    sql.batch_execute(publish).await.unwrap();
    assert_eq!(Inbox::of(&server, "bob").titles("").await, ["by sql"]);
    let refused = sql.batch_execute("select tocsin.publish('no such', 'x', users => '{bob}')").await.unwrap_err();
    assert!(refused.as_db_error().unwrap().message().contains("no event type"), "{refused:?}");
    server.stop().await;
}

#[tokio::test]
async fn a_large_audience_is_one_transaction() {
    let (database, server) = served().await;
    let sql = database.connect().await;
    let users: Vec<String> = (0..2000).map(|n| format!("user-{n}")).collect();
    Inbox::of(&server, "ann").publish(json!({ "type": "like", "title": "many", "users": users })).await;
    let counted = "select count(*), count(distinct xid::text) from tocsin.events where kind = 'notification.created'";
    let row = sql.query_one(counted, &[]).await.unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (2000, 1));
    assert_eq!(Inbox::of(&server, "user-1999").titles("").await, ["many"]);
    server.stop().await;
}

#[tokio::test]
async fn two_who_publish_to_the_same_users_in_other_orders_do_not_deadlock() {
    let (_database, server) = served().await;
    let server: &Server = &server;
    let users: Vec<String> = (0..100).map(|n| format!("u{n}")).collect();
    let backwards: Vec<String> = users.iter().rev().cloned().collect();
    let publish = async |users: &[String]| {
        for _ in 0..10 {
            Inbox::of(server, "ann").publish(json!({ "type": "like", "title": "x", "users": users })).await;
        }
    };
    tokio::join!(publish(&users), publish(&backwards));
    assert_eq!(Inbox::of(server, "u7").ids().await.len(), 20);
}
