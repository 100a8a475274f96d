//! What is held until its time.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Inbox, served};
use crate::support::client::Socket;
use crate::support::eventually;
use crate::support::postgres::Database;
use crate::support::server::{Program, Server};

/// Defers an event for bob: the id by which it waits.
async fn defer(ann: &Inbox<'_>, fields: Value) -> i64 {
    let mut event = json!({ "type": "comment", "title": "later", "users": ["bob"] });
    event.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    let answer = ann.send(Method::POST, "/api/events", Some(event)).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    assert!(answer.header("location").ends_with(&format!("/api/deferred/{}", answer.json()["deferred"])));
    answer.json()["deferred"].as_i64().unwrap()
}

/// Kinds of the events of a deferred one, and why it was refused.
async fn said(database: &Database, id: i64) -> (Vec<String>, Option<String>) {
    let sql = database.connect().await;
    let events = "select kind, data ->> 'why' from tocsin.events where stream = '$deferred/' || $1 order by seq";
    let rows = sql.query(events, &[&id.to_string()]).await.unwrap();
    let why = rows.iter().find_map(|row| row.get::<_, Option<String>>(1));
    (rows.iter().map(|row| row.get::<_, String>(0)["deferred.".len()..].to_owned()).collect(), why)
}

/// Waits until it has ended: how, and why.
async fn ended(database: &Database, id: i64) -> (String, Option<String>) {
    eventually("it ends", async || {
        let (kinds, why) = said(database, id).await;
        (kinds.len() == 2).then(|| (kinds[1].clone(), why))
    })
    .await
}

#[tokio::test]
async fn an_event_waits_for_its_time_and_is_listed_until_then() {
    let (database, server) = served().await;
    let (ann, bob) = (Inbox::of(&server, "ann"), Inbox::of(&server, "bob"));
    let mut socket = bob.socket("latest").await;
    let far = defer(&ann, json!({ "deliver_at": "2030-01-01T00:00:00Z" })).await;
    let soon = defer(&ann, json!({ "countdown": 1, "title": "soon" })).await;
    let listed = ann.get("/api/deferred").await;
    let ids: Vec<&Value> = listed["results"].as_array().unwrap().iter().map(|one| &one["id"]).collect();
    assert_eq!(ids, [&json!(far), &json!(soon)]);
    assert_eq!(listed["results"][0]["deliver_at"], "2030-01-01T00:00:00.000000Z");
    assert_eq!(
        ann.get("/api/deferred?limit=1").await["next"].as_str().unwrap().split('?').next_back().unwrap(),
        format!("limit=1&after={far}")
    );
    socket.hears("new", "soon").await;
    assert_eq!(ended(&database, soon).await, ("released".to_owned(), None));
    assert_eq!(ann.send(Method::GET, &format!("/api/deferred/{soon}"), None).await.status, 404);
    assert_eq!(ann.get(&format!("/api/deferred/{far}")).await["request"]["title"], "later");
    server.stop().await;
}

#[tokio::test]
async fn it_can_be_cancelled_by_who_made_it() {
    let (database, server) = served().await;
    let (ann, bob) = (Inbox::of(&server, "ann"), Inbox::of(&server, "bob"));
    let id = defer(&ann, json!({ "countdown": 3600, "author": "bob" })).await;
    let path = format!("/api/deferred/{id}");
    assert_eq!(bob.send(Method::DELETE, &path, None).await.status, 404, "it is not his");
    assert_eq!(bob.get("/api/deferred").await["results"], json!([]));
    assert_eq!(ann.send(Method::DELETE, &path, None).await.status, 204);
    assert_eq!(ann.send(Method::DELETE, &path, None).await.status, 404);
    assert_eq!(said(&database, id).await.0, ["created", "cancelled"]);
    server.stop().await;
}

#[tokio::test]
async fn nodes_release_each_once() {
    let (database, server) = served().await;
    let other = Server::start(&database).await;
    let sql = database.connect().await;
    let defer = "select tocsin.publish('like', n::text, users => '{bob,eve}', deliver_at => now() + interval '300 ms')
                 from generate_series(1, 200) n";
    sql.batch_execute(defer).await.unwrap();
    let (bob, eve) = (Inbox::of(&server, "bob"), Inbox::of(&other, "eve"));
    eventually("all are there", async || (bob.ids().await.len() >= 200 && eve.ids().await.len() >= 200).then_some(()))
        .await;
    eventually("none waits", async || {
        let waiting = sql.query_one("select count(*) from tocsin.deferred", &[]).await.unwrap();
        (waiting.get::<_, i64>(0) == 0).then_some(())
    })
    .await;
    let mut titles = bob.titles("?limit=1000").await;
    titles.sort_by_key(|title| title.parse::<i32>().unwrap());
    assert_eq!(titles, (1..=200).map(|n| n.to_string()).collect::<Vec<_>>());
    server.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn it_is_released_also_after_all_nodes_were_down() {
    let database = Database::new().await;
    let args = ["--listen", "127.0.0.1:0", "--database-url", database.url()];
    let program = Program::start_with(&args).await;
    program.api.post("/api/event-types", json!({ "name": "comment", "title": "c" })).await;
    let ann = Inbox { api: &program.api, user: "ann" };
    let id = defer(&ann, json!({ "countdown": 1 })).await;
    program.kill().await;
    let sql = database.connect().await;
    eventually("its time has come", async || {
        let due = "select count(*) from tocsin.deferred where due_at < now()";
        (sql.query_one(due, &[]).await.unwrap().get::<_, i64>(0) == 1).then_some(())
    })
    .await;
    assert_eq!(said(&database, id).await.0, ["created"]);
    let server = Server::start(&database).await;
    Inbox::of(&server, "bob").socket("all").await.hears("new", "later").await;
    assert_eq!(ended(&database, id).await.0, "released");
    server.stop().await;
}

#[tokio::test]
async fn a_condition_must_hold_at_that_time() {
    let (database, server) = served().await;
    let (ann, bob, sql) = (Inbox::of(&server, "ann"), Inbox::of(&server, "bob"), database.connect().await);
    sql.batch_execute(
        "create function tocsin_conditions.is_bobs(box text, object bigint, notification jsonb) returns boolean
         language sql as $$ select box = 'bob' and object = 7 and notification -> 'users' ? 'bob' $$;
         create function tocsin_conditions.fails(text, bigint, jsonb) returns boolean
         language plpgsql as $$ begin raise exception 'out of order'; end $$",
    )
    .await
    .unwrap();
    ann.tell("bob", "unread").await;
    ann.tell("bob", "read").await;
    let ids = bob.ids().await;
    bob.patch("/api/notifications", json!([ids[0]])).await;
    let object = async |flags: &str| {
        let insert =
            format!("insert into tocsin.messages (box_id, body, flags) values ('b', 'x', '{flags}') returning id");
        sql.query_one(&insert, &[]).await.unwrap().get::<_, i64>(0)
    };
    let (seen, unseen, gone) = (object("{\\\\Seen}").await, object("{}").await, object("{}").await);
    sql.execute("delete from tocsin.messages where id = $1", &[&gone]).await.unwrap();
    let unread = |id: i64| json!({ "type": "unread", "notification": id });
    let lacks = |id: i64| json!({ "type": "lacksFlag", "box": "b", "object": id, "flag": "\\seen" });
    let exists = |id: i64| json!({ "type": "exists", "box": "b", "object": id });
    let function = |name: &str, id: i64| json!({ "type": "function", "name": name, "box": "bob", "object": id });
    for (condition, why) in [
        (unread(ids[1]), None),
        (unread(ids[0]), Some("is not unread any more")),
        (lacks(unseen), None),
        (lacks(seen), Some("has the flag")),
        (lacks(gone), Some("does not exist")),
        (exists(seen), None),
        (exists(gone), Some("does not exist")),
        (function("is_bobs", 7), None),
        (function("is_bobs", 8), Some("is_bobs says no")),
        (function("fails", 7), Some("out of order")),
    ] {
        let id = defer(&ann, json!({ "condition": condition, "title": condition.to_string() })).await;
        let (how, said) = ended(&database, id).await;
        match why {
            None => assert_eq!((how.as_str(), &said), ("released", &None), "{condition}"),
            Some(why) => {
                assert!(how == "refused" && said.as_ref().unwrap().contains(why), "{condition}: {how}, {said:?}")
            }
        }
        let told = bob.titles("?limit=100").await.contains(&condition.to_string());
        assert_eq!(told, why.is_none(), "{condition}");
    }
    for (part, condition) in [
        ("condition", json!("x")),
        ("condition.type", json!({ "type": "weather" })),
        ("condition.type", json!({})),
        ("condition", json!({ "type": "unread" })),
        ("condition", json!({ "type": "unread", "notification": "x" })),
        ("condition", json!({ "type": "lacksFlag", "box": "b", "object": 1 })),
        ("condition.name", json!({ "type": "function", "name": "no_such" })),
        ("condition.name", json!({ "type": "function", "name": "is_bobs(); drop table x" })),
    ] {
        let event = json!({ "type": "comment", "title": "t", "users": ["bob"], "condition": condition });
        let answer = ann.send(Method::POST, "/api/events", Some(event)).await;
        assert_eq!((answer.status.as_u16(), answer.fault().1[0].as_str()), (400, part), "{condition}");
    }
    server.stop().await;
}

#[tokio::test]
async fn what_cannot_be_released_does_not_hold_up_the_others() {
    let (database, server) = served().await;
    let (ann, sql) = (Inbox::of(&server, "ann"), database.connect().await);
    server.api.post("/api/event-types", json!({ "name": "fad", "title": "f" })).await;
    let bad = defer(&ann, json!({ "type": "fad", "countdown": 0.5 })).await;
    let good = defer(&ann, json!({ "countdown": 0.6 })).await;
    sql.batch_execute("delete from tocsin.event_types where name = 'fad'").await.unwrap();
    assert_eq!(ended(&database, good).await.0, "released");
    let (how, why) = ended(&database, bad).await;
    assert!(how == "refused" && why.unwrap().contains("no event type fad"));
    server.stop().await;
}

#[tokio::test]
async fn what_is_for_a_user_whose_inbox_is_held_does_not_hold_up_the_others() {
    let (database, server) = served().await;
    let (ann, holder) = (Inbox::of(&server, "ann"), database.connect().await);
    ann.tell("held", "x").await;
    holder.batch_execute("begin; select from tocsin.streams where stream = '$inbox/held' for update").await.unwrap();
    let held = defer(&ann, json!({ "countdown": 0.2, "users": ["held"] })).await;
    let free = defer(&ann, json!({ "countdown": 0.4 })).await;
    assert_eq!(ended(&database, free).await.0, "released");
    assert_eq!(said(&database, held).await.0, ["created"]);
    holder.batch_execute("commit").await.unwrap();
    assert_eq!(ended(&database, held).await.0, "released");
    server.stop().await;
}

#[tokio::test]
async fn messages_of_rooms_and_enablers_wait_too() {
    let (database, server) = served().await;
    let ann = Inbox::of(&server, "ann");
    let mut room = super::Listener::open(&server.api.url, "/ws/rooms/r?user=bob").await;
    let answer =
        ann.send(Method::POST, "/api/rooms/r", Some(json!({ "obj": "x", "recipient": "bob", "countdown": 1 }))).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    assert_eq!(ended(&database, answer.json()["deferred"].as_i64().unwrap()).await.0, "released");
    assert_eq!(room.next().await["obj"], "x");
    assert_eq!(Inbox::of(&server, "bob").ids().await.len(), 1);

    let channel = server.api.channel("alice").await;
    let mut socket = Socket::open(&channel).await;
    let callback = channel["callbackURL"].as_str().unwrap();
    let body = json!({ "presence": { "who": "bob" } });
    let later = server.api.post(&format!("{callback}?countdown=1"), body.clone()).await;
    assert_eq!(later.status, 202, "{}", later.text);
    let frame: Value = serde_json::from_str(&socket.frame().await).unwrap();
    assert_eq!(frame["notificationList"], json!([body]));
    assert_eq!(server.api.post(&format!("{callback}?countdown=x"), body.clone()).await.status, 400);
    assert_eq!(server.api.post(&format!("{callback}?condition=x"), body.clone()).await.status, 400);
    // Its channel's owner can cancel it; when the channel is gone, the log says so.
    let id = |answer: &crate::support::client::Answer| answer.json()["deferred"].as_i64().unwrap();
    let cancelled = id(&server.api.post(&format!("{callback}?countdown=3600"), body.clone()).await);
    let alice = Inbox::of(&server, "alice");
    assert_eq!(alice.send(Method::DELETE, &format!("/api/deferred/{cancelled}"), None).await.status, 204);
    let orphan = id(&server.api.post(&format!("{callback}?countdown=1"), body.clone()).await);
    server.api.delete(channel["resourceURL"].as_str().unwrap()).await;
    let (how, why) = ended(&database, orphan).await;
    assert!(how == "refused" && why.unwrap().contains("no more"));
    assert_eq!(server.api.post(&format!("{callback}?countdown=1"), body).await.status, 404);
    server.stop().await;
}

#[tokio::test]
async fn a_reminder_comes_only_if_a_message_is_still_unread() {
    let (database, server) = served().await;
    let sql = database.connect().await;
    // As docs/INBOX.md has it, with seconds instead of minutes.
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/INBOX.md")).unwrap();
    let example = page.split_once("```sql").unwrap().1.split("```").next().unwrap();
    sql.batch_execute(&example.replace("30 minutes", "1 second")).await.unwrap();
    let send = async |body: &str| {
        sql.query_one("select send_and_remind('bob', 'ann', $1)", &[&body]).await.unwrap().get::<_, i64>(0)
    };
    let read = send("read in time").await;
    sql.execute("update tocsin.messages set flags = '{\\\\Seen}' where id = $1", &[&read]).await.unwrap();
    send("left unread").await;
    let mut socket = Inbox::of(&server, "bob").socket("all").await;
    let reminder = socket.next().await["notification"]["event"].clone();
    assert_eq!((&reminder["type"]["name"], &reminder["message"]), (&json!("reminder"), &json!("left unread")));
    socket.silent().await;
    server.stop().await;
}
