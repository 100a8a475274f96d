//! One channel.

use reqwest::{Method, StatusCode};
use serde_json::json;

use super::text;
use crate::support::client::Socket;
use crate::support::postgres::Database;
use crate::support::raw::Raw;
use crate::support::server::Server;

fn no_such_resource(answer: &crate::support::client::Answer) {
    let fault = ("SVC0004".to_owned(), vec!["Request-URI".to_owned()]);
    assert_eq!((answer.status, answer.fault()), (StatusCode::NOT_FOUND, fault));
}

#[tokio::test]
async fn another_users_channel_is_not_there() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let channel = server.api.channel("alice").await;
    let own = text(&channel, "resourceURL");
    let others = own.replace("/alice/", "/bob/");
    let lifetime = format!("{others}/channelLifetime");
    no_such_resource(&server.api.get(&others).await);
    no_such_resource(&server.api.delete(&others).await);
    no_such_resource(&server.api.get(&lifetime).await);
    no_such_resource(&server.api.put(&lifetime, json!({ "channelLifetime": 1 })).await);
    for id in ["nosuchchannel", "%27%3B--", "a%20b", "..%2F"] {
        no_such_resource(&server.api.get(&format!("/notificationchannel/v1/alice/channels/{id}")).await);
    }
    assert_eq!(server.api.get(own).await.json()["notificationChannel"], channel, "untouched");
    server.stop().await;
}

#[tokio::test]
async fn a_deleted_channel_is_gone_with_its_socket_and_its_subscriptions() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let channel = server.api.channel("alice").await;
    let subscription = server.api.subscribe("b", &channel).await;
    let mut socket = Socket::open(&channel).await;
    database.connect().await.batch_execute("insert into tocsin.messages (box_id) values ('b')").await.unwrap();
    let last = socket.list().await;
    let url = text(&channel, "resourceURL");
    let deleted = server.api.delete(url).await;
    assert_eq!((deleted.status, deleted.text.as_str()), (StatusCode::NO_CONTENT, ""));
    let (code, reason) = socket.closed().await;
    assert_eq!((code, reason), (4002, format!("channel deleted; restartToken={}", last.token)));
    no_such_resource(&server.api.get(url).await);
    no_such_resource(&server.api.delete(url).await);
    no_such_resource(&server.api.get(&format!("{url}/channelLifetime")).await);
    no_such_resource(&server.api.put(&format!("{url}/channelLifetime"), json!({})).await);
    no_such_resource(&server.api.get(text(&subscription, "resourceURL")).await);
    let list = server.api.get("/nms/v1/default/b/subscriptions").await.json();
    assert_eq!(list["nmsSubscriptionList"]["subscription"], json!([]));
    let raw = Raw::shake_hands(text(&channel["channelData"], "channelURL"), "").await;
    assert!(raw.head.starts_with("http/1.1 404"), "{}", raw.head);
    let late = json!({ "callbackReference": { "notifyURL": channel["callbackURL"] } });
    let refused = server.api.post("/nms/v1/default/b/subscriptions", late).await;
    assert_eq!((refused.status, refused.fault().1), (StatusCode::BAD_REQUEST, vec!["notifyURL".to_owned()]));
    server.stop().await;
}

#[tokio::test]
async fn what_is_not_a_resource_is_svc0004() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    for path in ["/", "/notificationchannel/v2/alice/channels", "/notificationchannel/v1/alice", "/nms/v1/default/b"] {
        for verb in [Method::GET, Method::POST, Method::DELETE] {
            no_such_resource(&server.api.send(verb, path, &[], None).await);
        }
    }
    server.stop().await;
}
