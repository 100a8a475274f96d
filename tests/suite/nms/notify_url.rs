//! Subscriptions that deliver to a URL of their client: each nmsEventList is posted there.

use std::sync::atomic::Ordering;
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};
use tocsin::config::{Config, Limits};
use tocsin::wire::xml;
use tokio_postgres::Client;

use super::{head, text, write};
use crate::support::client::{Api, EventList};
use crate::support::eventually;
use crate::support::postgres::Database;
use crate::support::server::{Program, Server};
use crate::support::stand_in::{Received, Reply, StandIn, reply};

const SUBSCRIPTIONS: &str = "/nms/v1/default/b/subscriptions";

/// A server that may post to this machine.
async fn start_as(database: &Database, change: impl FnOnce(&mut Config)) -> Server {
    Server::start_as(database, |config| {
        config.allow_private_targets = true;
        change(config);
    })
    .await
}

async fn start(database: &Database) -> Server {
    start_as(database, |_| {}).await
}

async fn taking() -> StandIn {
    StandIn::answering(204).await.0
}

/// A subscription of box `b` at the client's `/hook`.
async fn subscribe(api: &Api, client: &StandIn, mut fields: Value) -> Value {
    fields["callbackReference"] = json!({ "notifyURL": format!("{}/hook", client.url) });
    let answer = api.post(SUBSCRIPTIONS, json!({ "nmsSubscription": fields })).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    answer.json()["nmsSubscription"].clone()
}

fn lists(posts: &[Received]) -> Vec<EventList> {
    posts.iter().map(|post| EventList::of(&serde_json::from_slice(&post.body).unwrap())).collect()
}

fn indexes(client: &StandIn) -> Vec<i64> {
    lists(&client.received()).iter().map(|list| list.index).collect()
}

async fn posted(client: &StandIn, count: usize) -> Vec<Received> {
    eventually("the lists are posted", async || {
        let posts = client.received();
        (posts.len() >= count).then_some(posts)
    })
    .await
}

/// Waits until the subscription's next list has this index: what is before it is confirmed.
async fn confirmed(api: &Api, subscription: &Value, next: i64) {
    eventually("the subscription is confirmed", async || {
        let now = api.get(text(subscription, "resourceURL")).await.json();
        (now["nmsSubscription"]["index"] == next).then_some(())
    })
    .await;
}

/// Waits until nothing is left of any subscription or channel.
async fn all_gone(sql: &Client) {
    let tables = ["subscriptions", "channels", "channel_lifetimes", "cursors", "senders", "sent"];
    let rows = tables.map(|table| format!("(select count(*) from tocsin.{table})")).join(" + ");
    eventually("nothing is left", async || {
        let left: i64 = sql.query_one(&format!("select {rows}"), &[]).await.unwrap().get(0);
        (left == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn each_list_is_posted_by_itself_and_in_order() {
    let database = Database::new().await;
    let (server, sql, client) = (start(&database).await, database.connect().await, taking().await);
    let url = format!("{}/hook?a=b&c", client.url);
    let callback = json!({ "notifyURL": url, "callbackData": "cb \"1\" ü", "notificationFormat": "JSON" });
    let wish = json!({ "nmsSubscription": { "callbackReference": callback, "duration": 7200 } });
    let answer = server.api.post(SUBSCRIPTIONS, wish).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    let subscription = answer.json()["nmsSubscription"].clone();
    let expected = json!({ "callbackReference": callback, "duration": 7200, "index": 1,
        "resourceURL": answer.header("location"), "restartToken": head(&sql, "b").await });
    assert_eq!(subscription, expected);
    write(&sql, "b", 1).await;
    let first = posted(&client, 1).await.remove(0);
    assert_eq!((first.method.as_str(), first.path.as_str()), ("POST", "/hook?a=b&c"));
    assert_eq!(first.headers["content-type"], "application/json");
    assert!(first.headers.get("webhook-signature").is_none());
    let object = format!("{}/nms/v1/default/b/objects/1", server.api.url);
    let expected = json!({ "nmsEventList": {
        "nmsEvent": [{ "changedObject": {
            "parentFolder": format!("{}/nms/v1/default/b/folders/root", server.api.url),
            "flags": { "flag": [], "resourceURL": format!("{object}/flags") },
            "resourceURL": object, "lastModSeq": 2 } }],
        "callbackData": "cb \"1\" ü", "index": 1, "restartToken": head(&sql, "b").await,
        "link": [{ "rel": "NmsSubscription", "href": text(&subscription, "resourceURL") }] } });
    assert_eq!(serde_json::from_slice::<Value>(&first.body).unwrap(), expected);
    write(&sql, "b", 30).await;
    let posts = posted(&client, 31).await;
    let lists = lists(&posts);
    assert_eq!(lists.iter().map(|list| (list.index, list.seq())).collect::<Vec<_>>(), {
        (1..=31).map(|n| (n, n + 1)).collect::<Vec<_>>()
    });
    let mut keys: Vec<_> = posts.iter().map(|post| post.headers["idempotency-key"].clone()).collect();
    keys.dedup();
    assert_eq!(keys.len(), 31, "each has a key of its own");
    confirmed(&server.api, &subscription, 32).await;
    server.stop().await;
}

#[tokio::test]
async fn lists_come_in_the_format_of_the_request_or_in_the_one_it_names() {
    let database = Database::new().await;
    let (server, sql, client) = (start(&database).await, database.connect().await, taking().await);
    let subscribe = async |path: &str, format: &str| {
        let body = format!(
            r#"<n:nmsSubscription xmlns:n="urn:oma:xml:rest:netapi:nms:1"><callbackReference>
               <notifyURL>{}{path}</notifyURL>{format}</callbackReference></n:nmsSubscription>"#,
            client.url
        );
        let headers = [("content-type", "application/xml"), ("accept", "application/json")];
        let answer = server.api.send(reqwest::Method::POST, SUBSCRIPTIONS, &headers, Some(body)).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    };
    subscribe("/xml", "").await;
    subscribe("/json", "<notificationFormat>JSON</notificationFormat>").await;
    write(&sql, "b", 2).await;
    for post in posted(&client, 4).await {
        if post.path == "/json" {
            assert_eq!(post.headers["content-type"], "application/json");
            assert!(EventList::of(&serde_json::from_slice(&post.body).unwrap()).index <= 2);
        } else {
            assert_eq!(post.headers["content-type"], "application/xml");
            assert!(post.body.starts_with(b"<?xml version=\"1.0\" encoding=\"UTF-8\"?><nms:nmsEventList "), "{post:?}");
            let (root, list) = xml::read(&post.body).unwrap();
            assert_eq!((root.as_str(), list["nmsEvent"].as_object().unwrap().len()), ("nmsEventList", 1));
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn what_is_not_taken_is_posted_again_before_anything_else() {
    let database = Database::new().await;
    let answers = |_: &Received, before| -> Reply {
        match before {
            0 => reply(503, &[("retry-after", "2")], ""),
            1 => None, // until we lose patience
            2 => reply(413, &[], ""),
            3 => reply(302, &[("location", "/elsewhere")], ""),
            _ => reply(200, &[], "fine"),
        }
    };
    let client = StandIn::start(answers).await;
    let server = start_as(&database, |config| config.push.webhook.timeout_seconds = 1).await;
    let sql = database.connect().await;
    let subscription = subscribe(&server.api, &client, json!({})).await;
    write(&sql, "b", 1).await;
    posted(&client, 1).await;
    let asked = std::time::Instant::now();
    write(&sql, "b", 4).await;
    let second = posted(&client, 2).await;
    assert!(asked.elapsed() > Duration::from_millis(1500), "as Retry-After says");
    assert_eq!(second.len(), 2, "one at a time");
    let posts = posted(&client, 4 + 5).await;
    assert_eq!(indexes(&client), [1, 1, 1, 1, 1, 2, 3, 4, 5]);
    for again in &posts[1..5] {
        assert_eq!(again.path, "/hook");
        assert_eq!(again.body, posts[0].body);
        assert_eq!(again.headers["idempotency-key"], posts[0].headers["idempotency-key"]);
    }
    confirmed(&server.api, &subscription, 6).await;
    server.stop().await;
}

#[tokio::test]
async fn where_nobody_is_any_more_the_subscription_ends() {
    for gone in [404, 410] {
        let database = Database::new().await;
        let (server, sql) = (start(&database).await, database.connect().await);
        let (client, status) = StandIn::answering(204).await;
        let subscription = subscribe(&server.api, &client, json!({})).await;
        write(&sql, "b", 2).await;
        posted(&client, 2).await;
        status.store(gone, Ordering::Relaxed);
        write(&sql, "b", 3).await;
        all_gone(&sql).await;
        assert_eq!(indexes(&client), [1, 2, 3], "{gone}: it is asked once");
        let url = text(&subscription, "resourceURL");
        assert_eq!(server.api.get(url).await.status, StatusCode::NOT_FOUND);
        assert_eq!(server.api.post(url, json!({ "duration": 100 })).await.status, StatusCode::NOT_FOUND);
        let ended = "select data -> 'confirmed' ->> 'seq' from tocsin.events where kind = 'subscription.expired'";
        assert_eq!(sql.query_one(ended, &[]).await.unwrap().get::<_, &str>(0), "3", "the log says how far it came");
        server.stop().await;
    }
}

#[tokio::test]
async fn its_channel_is_nobodys_and_ends_with_it() {
    let database = Database::new().await;
    let (server, sql, client) = (start(&database).await, database.connect().await, taking().await);
    let kept = server.api.channel("b").await;
    let subscription = subscribe(&server.api, &client, json!({ "duration": 5000 })).await;
    let url = text(&subscription, "resourceURL");
    let id: String = sql.query_one("select channel_id from tocsin.subscriptions", &[]).await.unwrap().get(0);
    for user in ["b", "default%2Fb"] {
        let base = format!("/notificationchannel/v1/{user}/channels");
        let listed = server.api.get(&base).await.text;
        assert!(!listed.contains(&id), "{listed}");
        let answer = server.api.get(&format!("{base}/{id}")).await;
        assert!(answer.status.is_client_error(), "{}", answer.text);
        let answer = server.api.delete(&format!("{base}/{id}")).await;
        assert!(answer.status.is_client_error(), "{}", answer.text);
    }
    let lives_as_long = async || {
        let both = "select s.expires_at = l.expires_at from tocsin.subscriptions s join tocsin.channel_lifetimes l using (channel_id)";
        assert!(sql.query_one(both, &[]).await.unwrap().get::<_, bool>(0));
    };
    lives_as_long().await;
    assert_eq!(server.api.post(url, json!({ "duration": 9000 })).await.json()["nmsSubscription"]["duration"], 9000);
    lives_as_long().await;
    assert_eq!(server.api.delete(url).await.status, StatusCode::NO_CONTENT);
    assert_eq!(server.api.delete(url).await.status, StatusCode::NOT_FOUND);
    server.api.delete(text(&kept, "resourceURL")).await;
    all_gone(&sql).await;
    write(&sql, "b", 1).await;
    subscribe(&server.api, &client, json!({ "duration": 1 })).await;
    all_gone(&sql).await;
    let ended = "select string_agg(kind, ' ' order by kind) from tocsin.events where kind ~ 'expired' ";
    let ended: String = sql.query_one(ended, &[]).await.unwrap().get(0);
    assert_eq!(ended, "channel.expired subscription.expired");
    write(&sql, "b", 1).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(client.received().is_empty(), "{:?}", client.received());
    server.stop().await;
}

#[tokio::test]
async fn failing_for_too_long_stops_delivery_until_the_client_updates_its_subscription() {
    let database = Database::new().await;
    let server = start_as(&database, |config| config.limits.sender_disable_after_seconds = 0).await;
    let (client, status) = StandIn::answering(500).await;
    let sql = database.connect().await;
    let subscription = subscribe(&server.api, &client, json!({})).await;
    write(&sql, "b", 1).await;
    let disabled = "select 1 from tocsin.channels where disabled_at is not null and disabled_why like '%500%'";
    eventually("it is disabled", async || sql.query_opt(disabled, &[]).await.unwrap()).await;
    write(&sql, "b", 2).await;
    status.store(204, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(client.received().len(), 1, "nothing is posted");
    let update = server.api.post(text(&subscription, "resourceURL"), json!({ "duration": 5000 })).await;
    assert_eq!((update.status, &update.json()["nmsSubscription"]["index"]), (StatusCode::OK, &json!(1)));
    posted(&client, 4).await;
    assert_eq!(indexes(&client), [1, 1, 2, 3], "nothing is lost");
    server.stop().await;
}

#[tokio::test]
async fn a_restart_token_leads_back_on_the_same_index_sequence() {
    let database = Database::new().await;
    let (server, sql, client) = (start(&database).await, database.connect().await, taking().await);
    write(&sql, "b", 2).await;
    let token = head(&sql, "b").await;
    write(&sql, "b", 2).await;
    let subscription = subscribe(&server.api, &client, json!({ "restartToken": token })).await;
    assert_eq!(subscription["restartToken"], token.as_str());
    posted(&client, 2).await;
    confirmed(&server.api, &subscription, 3).await;
    let update = json!({ "nmsSubscriptionUpdate": { "restartToken": token } });
    let answer = server.api.post(text(&subscription, "resourceURL"), update).await;
    assert_eq!(answer.json()["nmsSubscription"]["index"], 3);
    posted(&client, 4).await;
    let found: Vec<_> = lists(&client.received()).iter().map(|list| (list.index, list.seq())).collect();
    assert_eq!(found, [(1, 3), (2, 4), (3, 3), (4, 4)]);
    server.stop().await;
}

#[tokio::test]
async fn nothing_is_lost_when_nodes_die_and_the_next_one_goes_on() {
    let database = Database::new().await;
    let (sql, client) = (database.connect().await, taking().await);
    let arguments = ["--database-url", database.url(), "--listen", "127.0.0.1:0", "--allow-private-targets"];
    let first = Program::start_with(&arguments).await;
    let public_url = Some(first.url.clone()); // one for both
    subscribe(&first.api, &client, json!({})).await;
    write(&sql, "b", 400).await;
    posted(&client, 50).await;
    first.kill().await; // in the middle of it; its lease runs out by itself
    write(&sql, "b", 20).await;
    let second = start_as(&database, |config| config.public_url = public_url).await;
    posted(&client, 420).await;
    let last = eventually("everything is posted", async || {
        indexes(&client).last().is_some_and(|index| *index == 420).then_some(())
    });
    last.await;
    let mut found = lists(&client.received());
    // What was taken without that having been stored comes again: the same.
    let repeated = found.windows(2).filter(|pair| pair[1].index <= pair[0].index).count();
    assert!(repeated <= 1, "in order, but for where the second one took over");
    found.sort_by_key(|list| list.index);
    found.dedup();
    assert_eq!(found.iter().map(|list| (list.index, list.seq())).collect::<Vec<_>>(), {
        (1..=420).map(|n| (n, n + 1)).collect::<Vec<_>>()
    });
    let cursor = "select 1 from tocsin.cursors join tocsin.subscriptions on id = source_id where next_index = 421";
    eventually("it is confirmed", async || sql.query_opt(cursor, &[]).await.unwrap()).await;
    second.stop().await;
}

#[tokio::test]
async fn a_box_may_have_so_many() {
    let database = Database::new().await;
    let limits = Limits { channels_per_user_max: 2, ..Limits::default() };
    let server = start_as(&database, |config| config.limits = limits).await;
    let client = taking().await;
    server.api.channel("b").await;
    let first = subscribe(&server.api, &client, json!({})).await;
    subscribe(&server.api, &client, json!({})).await;
    let body = json!({ "callbackReference": { "notifyURL": client.url } });
    let refused = server.api.post(SUBSCRIPTIONS, body.clone()).await;
    assert_eq!((refused.status, refused.fault().0.as_str()), (StatusCode::FORBIDDEN, "POL0001"));
    let elsewhere = server.api.post("/nms/v1/default/another/subscriptions", body).await;
    assert_eq!(elsewhere.status, StatusCode::CREATED);
    server.api.channel("b").await;
    server.api.delete(text(&first, "resourceURL")).await;
    subscribe(&server.api, &client, json!({})).await;
    server.stop().await;
}
