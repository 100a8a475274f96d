//! Listing, reading, deleting, and what a user wants.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Inbox, served};
use crate::support::postgres::Database;

#[tokio::test]
async fn pages_by_offset_lead_to_each_other() {
    let (_database, server) = served().await;
    let (ann, bob) = (Inbox::of(&server, "ann"), Inbox::of(&server, "bob"));
    for n in 1..=5 {
        ann.tell("bob", &n.to_string()).await;
    }
    let mut url = format!("{}/api/notifications?limit=2", server.api.url);
    let mut seen = Vec::new();
    loop {
        let page = bob.get(&url).await;
        assert_eq!(page["count"], 5);
        seen.extend(page["results"].as_array().unwrap().iter().map(|one| one["event"]["title"].clone()));
        match page["next"].as_str() {
            Some(next) => url = next.to_owned(),
            None => break assert!(page["previous"].as_str().unwrap().contains("offset=2"), "{page}"),
        }
    }
    assert_eq!(seen, ["5", "4", "3", "2", "1"]);
    server.stop().await;
}

#[tokio::test]
async fn pages_by_id_stay_where_they_are_while_more_comes() {
    let (_database, server) = served().await;
    let (ann, bob) = (Inbox::of(&server, "ann"), Inbox::of(&server, "bob"));
    for n in 1..=5 {
        ann.tell("bob", &n.to_string()).await;
    }
    let ids = bob.ids().await;
    let page = bob.get(&format!("/api/notifications?limit=2&before={}", ids[1])).await;
    ann.tell("bob", "6").await;
    let next = bob.get(page["next"].as_str().unwrap()).await;
    let titles = |page: &Value| {
        let results = page["results"].as_array().unwrap().iter();
        results.map(|one| one["event"]["title"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!((titles(&page), titles(&next)), (vec!["3".to_owned(), "2".into()], vec!["1".to_owned()]));
    assert_eq!(next["next"], Value::Null);
    assert_eq!(bob.titles(&format!("?after={}", ids[2])).await, ["4", "5", "6"], "the oldest first");
    server.stop().await;
}

#[tokio::test]
async fn what_is_read_is_told_apart() {
    let (_database, server) = served().await;
    let (ann, bob) = (Inbox::of(&server, "ann"), Inbox::of(&server, "bob"));
    for n in 1..=4 {
        ann.tell("bob", &n.to_string()).await;
    }
    let ids = bob.ids().await;
    assert_eq!(bob.get("/api/notifications/unread-count").await, json!({ "count": 4 }));
    let one = bob.patch(&format!("/api/notifications/{}", ids[0]), json!({ "readed": true })).await.json();
    assert_eq!(one["event"]["title"], "4");
    let first_read = one["readed"].as_str().unwrap().to_owned();
    let answer = bob.patch("/api/notifications", json!([ids[0], ids[1], 999_999])).await;
    assert_eq!(answer.json(), json!({ "count": 1 }), "one of them was read before, one is not there");
    assert_eq!(bob.titles("?readed=true").await, ["4", "3"]);
    assert_eq!(bob.titles("?readed=false").await, ["2", "1"]);
    assert_eq!(bob.titles(&format!("?readed={first_read}")).await, ["4", "3"]);
    let later = bob.get(&format!("/api/notifications/{}", ids[1])).await["readed"].as_str().unwrap().to_owned();
    assert_eq!(bob.titles(&format!("?readed={later}")).await, ["3"], "read since then");
    let again = bob.patch(&format!("/api/notifications/{}", ids[0]), json!({})).await.json();
    assert_eq!(again["readed"], first_read.as_str(), "it stays read since then");
    assert_eq!(bob.send(Method::POST, "/api/notifications/read-all", None).await.json(), json!({ "count": 2 }));
    assert_eq!(bob.get("/api/notifications/unread-count").await, json!({ "count": 0 }));
    server.stop().await;
}

#[tokio::test]
async fn of_two_who_read_the_same_one_does() {
    let (database, server) = served().await;
    let (ann, bob) = (Inbox::of(&server, "ann"), Inbox::of(&server, "bob"));
    for n in 0..20 {
        ann.tell("bob", &n.to_string()).await;
    }
    let ids = json!(bob.ids().await);
    let read = async || bob.patch("/api/notifications", ids.clone()).await.json()["count"].as_i64().unwrap();
    let (a, b, c) = tokio::join!(read(), read(), read());
    assert_eq!(a + b + c, 20);
    let events = "select count(*) from tocsin.events where kind = 'notification.readed'";
    assert_eq!(database.connect().await.query_one(events, &[]).await.unwrap().get::<_, i64>(0), 20);
    server.stop().await;
}

#[tokio::test]
async fn one_can_be_deleted_and_nobody_reaches_another_s() {
    let (_database, server) = served().await;
    let (ann, bob, eve) = (Inbox::of(&server, "ann"), Inbox::of(&server, "bob"), Inbox::of(&server, "eve"));
    ann.tell("bob", "his").await;
    let id = bob.ids().await[0];
    let path = format!("/api/notifications/{id}");
    assert_eq!(eve.send(Method::GET, &path, None).await.status, 404);
    assert_eq!(eve.patch(&path, json!({})).await.status, 404);
    assert_eq!(eve.send(Method::DELETE, &path, None).await.status, 404);
    assert_eq!(eve.patch("/api/notifications", json!([id])).await.json(), json!({ "count": 0 }));
    assert_eq!(bob.get(&path).await["readed"], Value::Null);
    assert_eq!(bob.send(Method::DELETE, &path, None).await.status, 204);
    assert_eq!(bob.send(Method::DELETE, &path, None).await.status, 404);
    assert_eq!(bob.ids().await, Vec::<i64>::new());
    server.stop().await;
}

#[tokio::test]
async fn types_that_are_not_wanted_are_neither_listed_nor_counted() {
    let (_database, server) = served().await;
    let (ann, bob) = (Inbox::of(&server, "ann"), Inbox::of(&server, "bob"));
    assert_eq!(bob.get("/api/notifications/filter").await, json!({ "types": null, "channels": null }));
    ann.tell("bob", "a comment").await;
    ann.publish(json!({ "type": "like", "title": "a like", "users": ["bob"] })).await;
    let wanted = bob.patch("/api/notifications/filter", json!({ "types": ["like"] })).await;
    assert_eq!(wanted.json(), json!({ "types": ["like"], "channels": null }));
    assert_eq!(bob.titles("").await, ["a like"]);
    assert_eq!(bob.get("/api/notifications").await["count"], 1);
    assert_eq!(bob.get("/api/notifications/unread-count").await["count"], 1);
    // What is not named stays as it is; null is everything again.
    bob.patch("/api/notifications/filter", json!({ "channels": ["email"] })).await;
    assert_eq!(bob.get("/api/notifications/filter").await, json!({ "types": ["like"], "channels": ["email"] }));
    bob.patch("/api/notifications/filter", json!({ "types": null, "channels": null })).await;
    assert_eq!(bob.titles("").await, ["a like", "a comment"]);
    for (part, wish) in [("type", json!({ "types": ["none"] })), ("channels", json!({ "channels": ["pigeon"] }))] {
        let answer = bob.patch("/api/notifications/filter", wish).await;
        assert_eq!((answer.status.as_u16(), answer.fault().1[0].as_str()), (400, part));
    }
    server.stop().await;
}

#[tokio::test]
async fn bad_requests_name_the_part() {
    let (_database, server) = served().await;
    let bob = Inbox::of(&server, "bob");
    for (part, query) in [
        ("limit", "limit=0"),
        ("limit", "limit=x"),
        ("offset", "offset=-1"),
        ("before", "before=x"),
        ("offset", "offset=1&before=2"),
        ("readed", "readed=perhaps"),
    ] {
        let answer = bob.send(Method::GET, &format!("/api/notifications?{query}"), None).await;
        assert_eq!((answer.status.as_u16(), answer.fault().1[0].as_str()), (400, part), "{query}");
    }
    for body in [json!({}), json!(["x"]), json!([1.5]), json!(7)] {
        assert_eq!(bob.patch("/api/notifications", body.clone()).await.status, 400, "{body}");
    }
    assert_eq!(bob.patch("/api/notifications/x", json!({})).await.status, 404);
    let nobody = server.api.get("/api/notifications").await;
    assert_eq!((nobody.status.as_u16(), nobody.header("www-authenticate")), (401, "Bearer"));
    let wrong = server.api.get("/api/notifications?user=a%2Fb").await;
    assert_eq!((wrong.status.as_u16(), wrong.fault().1[0].as_str()), (400, "user"));
    assert_eq!(server.api.get("/api/notifications?user=bob").await.status, 200, "browsers cannot set headers");
    server.stop().await;
}

#[tokio::test]
async fn the_log_makes_the_same_inboxes_again() {
    let (database, server) = served().await;
    let (ann, bob) = (Inbox::of(&server, "ann"), Inbox::of(&server, "bob"));
    for n in 0..5 {
        ann.tell("bob", &n.to_string()).await;
    }
    let ids = bob.ids().await;
    bob.patch("/api/notifications", json!([ids[0], ids[1]])).await;
    bob.send(Method::DELETE, &format!("/api/notifications/{}", ids[1]), None).await;
    bob.patch("/api/notifications/filter", json!({ "types": ["comment"], "channels": ["email"] })).await;
    let later = json!({ "type": "like", "title": "later", "users": ["eve"], "countdown": 3600 });
    assert_eq!(ann.send(Method::POST, "/api/events", Some(later)).await.status, 202);
    server.stop().await;
    let before = rows(&database).await;
    let sql = database.connect().await;
    sql.batch_execute(
        "update tocsin.notifications set readed = now(); delete from tocsin.inboxes; delete from tocsin.deferred",
    )
    .await
    .unwrap();
    assert_ne!(rows(&database).await, before);
    let mut connection = tocsin::postgres::Database::new(database.url()).unwrap().connect("rebuild").await.unwrap();
    tocsin::postgres::rebuild::run(&mut connection.client, 3, true, |_| {}).await.unwrap();
    assert_eq!(rows(&database).await, before);
}

async fn rows(database: &Database) -> Vec<String> {
    let all = "select t::text from tocsin.notifications t union all select t::text from tocsin.inboxes t
               union all select t::text from tocsin.deferred t order by 1";
    database.connect().await.query(all, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}
