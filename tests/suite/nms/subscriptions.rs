//! Creating, listing, reading, updating and deleting subscriptions.

use reqwest::StatusCode;
use serde_json::{Value, json};
use tocsin::config::Limits;

use super::{head, is_fault, text, write};
use crate::support::client::Socket;
use crate::support::eventually;
use crate::support::postgres::Database;
use crate::support::server::Server;

const SUBSCRIPTIONS: &str = "/nms/v1/default/tel%3A%2B1/subscriptions";

#[tokio::test]
async fn a_created_subscription_is_described_in_full() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let channel = server.api.channel("alice").await;
    let callback =
        json!({ "notifyURL": channel["callbackURL"], "callbackData": "cb \"1\" ü", "notificationFormat": "JSON" });
    let filter = json!({ "criterion": [{ "type": "Flag", "name": "\\Seen", "value": "false" }], "operator": "And" });
    let wish = json!({ "nmsSubscription": {
        "callbackReference": callback, "duration": 7200, "filter": filter, "clientCorrelator": "c-7", "maxEvents": 3 } });
    let answer = server.api.post(SUBSCRIPTIONS, wish).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    let subscription = answer.json()["nmsSubscription"].clone();
    let url = text(&subscription, "resourceURL");
    assert_eq!(answer.header("location"), url);
    assert!(url.starts_with(&format!("{}{SUBSCRIPTIONS}/", server.api.url)), "{url}");
    let sql = database.connect().await;
    let expected = json!({
        "callbackReference": callback, "duration": 7200, "filter": filter, "clientCorrelator": "c-7",
        "resourceURL": url, "index": 1, "restartToken": head(&sql, "tel:+1").await });
    assert_eq!(subscription, expected);

    let mut socket = Socket::open(&channel).await;
    write(&sql, "tel:+1", 1).await;
    let list = socket.list().await.whole;
    let object = list["nmsEvent"][0]["changedObject"]["resourceURL"].as_str().unwrap().to_owned();
    let box_url = format!("{}/nms/v1/default/tel%3A%2B1", server.api.url);
    assert!(object.starts_with(&format!("{box_url}/objects/")), "{object}");
    let expected = json!({
        "nmsEvent": [{ "changedObject": {
            "parentFolder": format!("{box_url}/folders/root"),
            "flags": { "flag": [], "resourceURL": format!("{object}/flags") },
            "resourceURL": object, "lastModSeq": 2 } }],
        "callbackData": "cb \"1\" ü", "index": 1, "restartToken": head(&sql, "tel:+1").await,
        "link": [{ "rel": "NmsSubscription", "href": url }] });
    assert_eq!(list, expected);
    server.stop().await;
}

#[tokio::test]
async fn durations_are_capped_and_their_absence_is_defaulted() {
    let database = Database::new().await;
    let limits = Limits { subscription_seconds_default: 1000, subscription_seconds_max: 2000, ..Limits::default() };
    let server = Server::start_with(&database, limits).await;
    let channel = server.api.channel("alice").await;
    let is_about = |subscription: &Value, granted: u64, what: &str| {
        let duration = subscription["duration"].as_u64().unwrap();
        assert!((granted - 60..=granted).contains(&duration), "{what}: {duration}");
    };
    for (wish, granted) in [
        (Value::Null, 1000),
        (json!(0), 1000),
        (json!("0"), 1000),
        (json!(1500), 1500),
        (json!("1500"), 1500),
        (json!(1e3 as u32 * 9), 2000),
    ] {
        let subscription = server.api.subscribe_with("b", &channel, json!({ "duration": wish })).await;
        is_about(&subscription, granted, &wish.to_string());
    }
    let url = server.api.subscribe_with("b", &channel, json!({ "duration": 300 })).await;
    let url = text(&url, "resourceURL");
    for (wish, granted) in [
        (json!({}), 300),
        (json!({ "nmsSubscriptionUpdate": { "restartToken": "" } }), 300),
        (json!({ "nmsSubscriptionUpdate": { "duration": 700 } }), 700),
        (json!({ "duration": "800" }), 800),
        (json!({ "duration": 99_999 }), 2000),
        (json!({ "duration": 0 }), 1000),
        (json!({ "nmsSubscriptionUpdate": null }), 1000),
    ] {
        let answer = server.api.post(url, wish.clone()).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        let subscription = answer.json()["nmsSubscription"].clone();
        is_about(&subscription, granted, &wish.to_string());
        assert_eq!(subscription["index"], 1, "an update without a token leaves the index");
    }
    is_fault(&server.api.post(url, json!({ "duration": -5 })).await, 400, "SVC0002", &["duration"]);
    server.stop().await;
}

#[tokio::test]
async fn subscriptions_of_a_box_are_listed_read_and_deleted() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let channel = server.api.channel("alice").await;
    let list = async || server.api.get(SUBSCRIPTIONS).await.json()["nmsSubscriptionList"].clone();
    let empty = json!({ "subscription": [], "resourceURL": format!("{}{SUBSCRIPTIONS}", server.api.url) });
    assert_eq!(list().await, empty);
    let one = server.api.subscribe("tel%3A%2B1", &channel).await;
    let two = server.api.subscribe("tel%3A%2B1", &channel).await;
    server.api.subscribe("another", &channel).await;
    let found = list().await["subscription"].clone();
    assert_eq!(found.as_array().unwrap().len(), 2);
    for (found, created) in found.as_array().unwrap().iter().zip([&one, &two]) {
        for field in ["resourceURL", "index", "restartToken", "callbackReference"] {
            assert_eq!(found[field], created[field]);
        }
    }
    let url = text(&one, "resourceURL");
    assert_eq!(server.api.get(url).await.json()["nmsSubscription"]["restartToken"], one["restartToken"]);
    let elsewhere = url.replace("tel%3A%2B1", "another");
    let other_store = url.replace("/default/", "/other/");
    for wrong in [&elsewhere, &other_store, &format!("{url}0"), &url.replace(url.rsplit_once('/').unwrap().1, "%27")] {
        is_fault(&server.api.get(wrong).await, 404, "SVC0004", &["Request-URI"]);
        is_fault(&server.api.delete(wrong).await, 404, "SVC0004", &["Request-URI"]);
        is_fault(&server.api.post(wrong, json!({ "duration": 5 })).await, 404, "SVC0004", &["Request-URI"]);
    }
    let deleted = server.api.delete(url).await;
    assert_eq!((deleted.status, deleted.text.as_str()), (StatusCode::NO_CONTENT, ""));
    for _ in 0..2 {
        is_fault(&server.api.get(url).await, 404, "SVC0004", &["Request-URI"]);
        is_fault(&server.api.delete(url).await, 404, "SVC0004", &["Request-URI"]);
    }
    assert_eq!(list().await["subscription"][0]["resourceURL"], two["resourceURL"]);
    server.stop().await;
}

#[tokio::test]
async fn what_a_notify_url_may_not_be() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let channel = server.api.channel("alice").await;
    let callback = text(&channel, "callbackURL");
    let subscribe = async |fields: Value| server.api.post(SUBSCRIPTIONS, json!({ "nmsSubscription": fields })).await;
    let with = async |notify_url: &str| subscribe(json!({ "callbackReference": { "notifyURL": notify_url } })).await;
    for nowhere in [
        &format!("{callback}x"),
        &callback[..callback.len() - 1],
        text(&channel, "resourceURL"),
        "http://127.0.0.1:1/hook",
        "https://[::1]/",
        "http://169.254.169.254/latest",
        "ftp://example.com/",
        "urn:x:y",
    ] {
        let refused = with(nowhere).await;
        let (code, variables) = refused.fault();
        assert_eq!((refused.status, code.as_str()), (StatusCode::BAD_REQUEST, "SVC0003"), "{nowhere}");
        assert_eq!(variables[0], "notifyURL");
    }
    for relative in ["", "/callback/x", "not a url"] {
        is_fault(&with(relative).await, 400, "SVC0002", &["notifyURL"]);
    }
    is_fault(&subscribe(json!({})).await, 400, "SVC0002", &["callbackReference"]);
    is_fault(&subscribe(json!({ "callbackReference": "x" })).await, 400, "SVC0002", &["callbackReference"]);
    is_fault(&subscribe(json!({ "callbackReference": {} })).await, 400, "SVC0002", &["notifyURL"]);
    let format = |name: &str| json!({ "callbackReference": { "notifyURL": callback, "notificationFormat": name } });
    is_fault(&subscribe(format("YAML")).await, 400, "SVC0003", &["notificationFormat", "XML, JSON"]);
    assert_eq!(server.api.get(SUBSCRIPTIONS).await.json()["nmsSubscriptionList"]["subscription"], json!([]));
    server.stop().await;
}

#[tokio::test]
async fn an_expired_subscription_is_gone_and_silent() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let channel = server.api.channel("alice").await;
    let short = server.api.subscribe_with("b", &channel, json!({ "duration": 1, "clientCorrelator": "" })).await;
    assert_eq!(short.get("clientCorrelator"), None);
    let long = server.api.subscribe("b", &channel).await;
    let mut socket = Socket::open(&channel).await;
    let url = text(&short, "resourceURL");
    socket
        .until("it expires", async || (server.api.get(url).await.status == StatusCode::NOT_FOUND).then_some(()))
        .await;
    is_fault(&server.api.post(url, json!({ "duration": 100 })).await, 404, "SVC0004", &["Request-URI"]);
    let sql = database.connect().await;
    eventually("the log says so", async || {
        let ended = "select count(*) from tocsin.events where kind = 'subscription.expired'";
        (sql.query_one(ended, &[]).await.unwrap().get::<_, i64>(0) == 1).then_some(())
    })
    .await;
    write(&sql, "b", 1).await;
    let list = socket.list().await;
    assert_eq!(list.subscription, long["resourceURL"]);
    socket.nothing_more(&server.api, &long, &list.token).await;
    server.stop().await;
}

#[tokio::test]
async fn a_channel_takes_so_many_subscriptions() {
    let database = Database::new().await;
    let server = Server::start_with(&database, Limits { subscriptions_per_channel_max: 2, ..Limits::default() }).await;
    let channel = server.api.channel("alice").await;
    let first = server.api.subscribe("a", &channel).await;
    server.api.subscribe("b", &channel).await;
    let body = json!({ "callbackReference": { "notifyURL": channel["callbackURL"] } });
    let refused = server.api.post(SUBSCRIPTIONS, body).await;
    assert_eq!((refused.status, refused.fault().0.as_str()), (StatusCode::FORBIDDEN, "POL0001"));
    server.api.delete(text(&first, "resourceURL")).await;
    server.api.subscribe("c", &channel).await;
    let other = server.api.channel("alice").await;
    server.api.subscribe("c", &other).await;
    server.stop().await;
}
