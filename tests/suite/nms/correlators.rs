//! The clientCorrelator of subscriptions: a creation whose answer was lost can be repeated.

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{head, text, write};
use crate::support::client::{Answer, Api, Socket};
use crate::support::postgres::Database;
use crate::support::server::Server;

const SUBSCRIPTIONS: &str = "/nms/v1/default/b/subscriptions";

/// Creates a subscription of box `b`; `fields` beside the notifyURL and the clientCorrelator `c-1`.
async fn create(api: &Api, notify_url: &Value, fields: Value) -> Answer {
    let mut wish = json!({ "callbackReference": { "notifyURL": notify_url }, "clientCorrelator": "c-1" });
    for (name, value) in fields.as_object().unwrap() {
        wish[name] = value.clone();
    }
    api.post(SUBSCRIPTIONS, json!({ "nmsSubscription": wish })).await
}

/// The subscription that was made, or was there.
fn made(answer: &Answer) -> Value {
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    let subscription = answer.json()["nmsSubscription"].clone();
    assert_eq!(answer.header("location"), text(&subscription, "resourceURL"));
    subscription
}

async fn count(api: &Api) -> usize {
    api.get(SUBSCRIPTIONS).await.json()["nmsSubscriptionList"]["subscription"].as_array().unwrap().len()
}

#[tokio::test]
async fn a_repeated_creation_gets_the_subscription_that_is_there() {
    let database = Database::new().await;
    let server = Server::start_as(&database, |config| config.allow_private_targets = true).await;
    let channel = server.api.channel("alice").await;
    let nobody = json!("http://127.0.0.1:9/hook");
    for notify_url in [&channel["callbackURL"], &nobody] {
        let before = count(&server.api).await;
        let filter = json!({ "criterion": [{ "type": "Flag", "name": "\\Seen", "value": "false" }] });
        let first = made(&create(&server.api, notify_url, json!({ "duration": 100, "filter": filter })).await);
        assert_eq!((&first["clientCorrelator"], &first["duration"]), (&json!("c-1"), &json!(100)));
        let mut again = made(&create(&server.api, notify_url, json!({ "duration": 5000, "filter": filter })).await);
        assert_eq!(again["duration"], 5000, "granted anew");
        again["duration"] = json!(100);
        assert_eq!(again, first);
        assert_eq!(count(&server.api).await, before + 1);
        let longer = server.api.get(text(&first, "resourceURL")).await.json()["nmsSubscription"]["duration"].clone();
        assert!(longer.as_u64().unwrap() > 4900, "{longer}");
        assert_eq!(server.api.delete(text(&first, "resourceURL")).await.status, StatusCode::NO_CONTENT);
        let anew = made(&create(&server.api, notify_url, json!({})).await);
        assert_ne!(anew["resourceURL"], first["resourceURL"], "the first one lives no more");
    }
    server.stop().await;
}

#[tokio::test]
async fn other_content_with_the_same_correlator_is_svc0005() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let callback = server.api.channel("alice").await["callbackURL"].clone();
    let first = made(&create(&server.api, &callback, json!({})).await);
    let filter = json!({ "criterion": [{ "type": "Flag", "name": "\\Seen" }] });
    let reference = |more: Value| {
        let mut reference = json!({ "notifyURL": callback });
        reference[more[0].as_str().unwrap()] = more[1].clone();
        json!({ "callbackReference": reference })
    };
    for other in [
        json!({ "filter": filter }),
        reference(json!(["notificationFormat", "XML"])),
        reference(json!(["callbackData", "x"])),
    ] {
        let refused = create(&server.api, &callback, other.clone()).await;
        assert_eq!(refused.status, StatusCode::CONFLICT, "{other}");
        assert_eq!(refused.fault(), ("SVC0005".to_owned(), vec!["c-1".to_owned(), "clientCorrelator".to_owned()]));
        let link = &refused.json()["requestError"]["link"][0];
        assert_eq!(link, &json!({ "rel": "NmsSubscription", "href": first["resourceURL"] }));
    }
    assert_eq!(count(&server.api).await, 1);
    server.stop().await;
}

#[tokio::test]
async fn other_clients_other_boxes_and_no_correlator_make_subscriptions_of_their_own() {
    let database = Database::new().await;
    let server = Server::start_as(&database, |config| config.allow_private_targets = true).await;
    let (one, two) = (server.api.channel("alice").await, server.api.channel("alice").await);
    for notify_url in
        [&one["callbackURL"], &two["callbackURL"], &json!("http://127.0.0.1:9/a"), &json!("http://127.0.0.1:9/b")]
    {
        made(&create(&server.api, notify_url, json!({})).await);
    }
    assert_eq!(count(&server.api).await, 4);
    let elsewhere = json!({ "callbackReference": { "notifyURL": one["callbackURL"] }, "clientCorrelator": "c-1" });
    let elsewhere = server.api.post("/nms/v1/default/another/subscriptions", elsewhere).await;
    assert_eq!(elsewhere.status, StatusCode::CREATED);
    for _ in 0..2 {
        let none = made(&create(&server.api, &one["callbackURL"], json!({ "clientCorrelator": "" })).await);
        assert_eq!(none.get("clientCorrelator"), None);
    }
    assert_eq!(count(&server.api).await, 6);
    server.stop().await;
}

#[tokio::test]
async fn a_repeated_creation_starts_again_only_from_another_restart_token() {
    let database = Database::new().await;
    let (server, sql) = (Server::start(&database).await, database.connect().await);
    let channel = server.api.channel("alice").await;
    let create =
        async |token: &str| made(&create(&server.api, &channel["callbackURL"], json!({ "restartToken": token })).await);
    write(&sql, "b", 1).await;
    let first = head(&sql, "b").await;
    write(&sql, "b", 1).await;
    let second = head(&sql, "b").await;
    write(&sql, "b", 1).await;
    assert_eq!(create(&second).await["index"], 1);
    let mut socket = Socket::open(&channel).await;
    let list = socket.list().await;
    assert_eq!((list.index, list.seq()), (1, 3));
    let subscription = create(&second).await;
    socket.nothing_more(&server.api, &subscription, &list.token).await;
    assert_eq!(create(&second).await["index"], 2, "the same: nothing comes again");
    assert_eq!(create(&first).await["index"], 2);
    let found: Vec<_> = socket.lists(2).await.iter().map(|list| (list.index, list.seq())).collect();
    assert_eq!(found, [(2, 2), (3, 3)]);
    let refused = super::correlators::create(
        &server.api,
        &channel["callbackURL"],
        json!({ "restartToken": "2999-01-01T00:00:00Z" }),
    )
    .await;
    assert_eq!((refused.status, refused.fault().1), (StatusCode::BAD_REQUEST, vec!["restartToken".to_owned()]));
    server.stop().await;
}

#[tokio::test]
async fn creations_that_race_on_two_nodes_make_one_subscription() {
    let database = Database::new().await;
    let allow = |config: &mut tocsin::config::Config| config.allow_private_targets = true;
    let (one, two) = (Server::start_as(&database, allow).await, Server::start_as(&database, allow).await);
    let callback = one.api.channel("alice").await["callbackURL"].clone();
    for notify_url in [callback, json!("http://127.0.0.1:9/hook")] {
        let before = count(&one.api).await;
        let creations = (0..16).map(|n| create(if n % 2 == 0 { &one.api } else { &two.api }, &notify_url, json!({})));
        let answers = futures_util::future::join_all(creations).await;
        let mut ids: Vec<_> = answers
            .iter()
            .map(|answer| text(&made(answer), "resourceURL").rsplit_once('/').unwrap().1.to_owned())
            .collect();
        ids.dedup();
        assert_eq!((ids.len(), count(&one.api).await), (1, before + 1), "{ids:?}");
    }
    one.stop().await;
    two.stop().await;
}
