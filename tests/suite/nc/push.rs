//! NativeChannel and OMAPush: notifications pushed to devices.

use serde_json::{Value, json};
use tempfile::TempDir;
use tocsin::config::Config;
use tocsin::outbound::config::{Fcm, OmaPush};

use super::channels_of;
use crate::outbound::keys::RSA;
use crate::support::eventually;
use crate::support::postgres::Database;
use crate::support::server::Server;
use crate::support::stand_in::{Received, Reply, StandIn, reply};

const SEND: &str = "/v1/projects/p/messages:send";

/// A push service that hands out tokens and answers messages so.
pub(super) async fn fcm(answer: impl Fn(&Received, usize) -> Reply + Send + Sync + 'static) -> StandIn {
    StandIn::start(move |request, before| match request.path.as_str() {
        "/token" => reply(200, &[], r#"{"access_token":"t","expires_in":3600}"#),
        _ => answer(request, before),
    })
    .await
}

/// Settings with FCM at this stand-in; the key file lives as long as the folder.
pub(super) fn with_fcm(config: &mut Config, service: &StandIn, folder: &TempDir) {
    let key_file = folder.path().join("account.json");
    let account = json!({
        "type": "service_account", "project_id": "p", "private_key_id": "k", "private_key": RSA.pem,
        "client_email": "s@p.example", "token_uri": format!("{}/token", service.url) });
    std::fs::write(&key_file, account.to_string()).unwrap();
    config.push.fcm = Some(Fcm { key_file, endpoint: service.url.parse().unwrap() });
}

fn native() -> Value {
    json!({ "channelType": "NativeChannel", "channelData": {
        "channelSubType": "GCM", "registrationToken": "device-1", "maxNotifications": 2 } })
}

async fn write(database: &Database, count: usize) {
    let insert =
        format!("insert into tocsin.messages (box_id, body) select 'b', i::text from generate_series(1, {count}) as i");
    database.connect().await.batch_execute(&insert).await.unwrap();
}

/// Settings with a push proxy gateway at this stand-in.
pub fn gateway_at(service: &StandIn) -> OmaPush {
    OmaPush {
        ppg_url: service.url.parse().unwrap(),
        address_domain: "example.com".to_owned(),
        user_file: None,
        password_file: None,
        application_id_default: None,
        payload_bytes_max: 2048,
    }
}

/// The messages sent to devices: for each, the device and its notificationList.
fn pushed(service: &StandIn) -> Vec<(String, Value)> {
    let sent = service.received().into_iter().filter(|request| request.path == SEND);
    sent.map(|request| {
        let message = serde_json::from_slice::<Value>(&request.body).unwrap()["message"].clone();
        let list = serde_json::from_str(message["data"]["notificationList"].as_str().unwrap()).unwrap();
        (message["token"].as_str().unwrap().to_owned(), list)
    })
    .collect()
}

#[tokio::test]
async fn a_native_channel_pushes_to_its_device() {
    let database = Database::new().await;
    let (service, folder) = (fcm(|_, _| reply(200, &[], "{}")).await, TempDir::new().unwrap());
    let server = Server::start_as(&database, |config| with_fcm(config, &service, &folder)).await;
    let channel = server.api.channel_with("alice", native()).await;
    let data = json!({ "channelSubType": "GCM", "registrationToken": "device-1", "channelSubTypeVersion": "v1",
                       "maxNotifications": 2 });
    assert_eq!(channel["channelData"], data, "the version is reported, and there is no channelURL");
    server.api.subscribe("b", &channel).await;
    write(&database, 3).await;
    let lists = eventually("three notifications", async || {
        let pushed = pushed(&service);
        let count: usize = pushed.iter().map(|(_, list)| list.as_array().unwrap().len()).sum();
        (count >= 3).then_some(pushed)
    })
    .await;
    let indexes: Vec<i64> = lists
        .iter()
        .flat_map(|(device, list)| {
            assert_eq!(device, "device-1");
            assert!(list.as_array().unwrap().len() <= 2);
            list.as_array()
                .unwrap()
                .iter()
                .map(|one| one["nmsEventList"]["index"].as_i64().unwrap())
                .collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(indexes, [1, 2, 3]);
    server.stop().await;
}

#[tokio::test]
async fn a_device_that_is_unregistered_ends_delivery() {
    let database = Database::new().await;
    let gone = r#"{"error":{"code":404,"status":"NOT_FOUND","details":[{
        "@type":"type.googleapis.com/google.firebase.fcm.v1.FcmError","errorCode":"UNREGISTERED"}]}}"#;
    let (service, folder) = (fcm(move |_, _| reply(404, &[], gone)).await, TempDir::new().unwrap());
    let server = Server::start_as(&database, |config| with_fcm(config, &service, &folder)).await;
    let channel = server.api.channel_with("alice", native()).await;
    server.api.subscribe("b", &channel).await;
    write(&database, 1).await;
    let sql = database.connect().await;
    let disabled = "select 1 from tocsin.events where kind = 'channel.disabled'";
    eventually("the log says so", async || sql.query_opt(disabled, &[]).await.unwrap()).await;
    write(&database, 1).await;
    assert_eq!(pushed(&service).len(), 1);
    server.stop().await;
}

#[tokio::test]
async fn what_is_asked_of_a_native_channel_is_checked() {
    let database = Database::new().await;
    let (service, folder) = (fcm(|_, _| reply(200, &[], "{}")).await, TempDir::new().unwrap());
    let server = Server::start_as(&database, |config| with_fcm(config, &service, &folder)).await;
    for (field, value, status, id, part) in [
        ("channelSubType", json!("APNS"), 403, "POL2006", "NativeChannel APNS"),
        ("channelSubType", json!("Pigeon"), 400, "SVC0003", "channelSubType"),
        ("channelSubType", json!(null), 400, "SVC0002", "channelSubType"),
        ("registrationToken", json!(""), 400, "SVC0002", "registrationToken"),
        ("channelSubTypeVersion", json!("77"), 400, "SVC0003", "channelSubTypeVersion"),
        ("maxNotifications", json!(0), 400, "SVC0002", "maxNotifications"),
        ("largeDataPolling", json!({ "pollingEnabled": "maybe" }), 400, "SVC0003", "pollingEnabled"),
    ] {
        let mut wish = native();
        wish["channelData"][field] = value;
        let answer = server.api.post(&channels_of("alice"), json!({ "notificationChannel": wish })).await;
        let (told, variables) = answer.fault();
        assert_eq!((answer.status.as_u16(), told.as_str(), variables[0].as_str()), (status, id, part), "{field}");
    }
    let mut fcm = native();
    fcm["channelData"]["channelSubType"] = json!("fcm");
    assert_eq!(server.api.channel_with("alice", fcm).await["channelData"]["channelSubType"], "GCM");
    server.stop().await;
}

#[tokio::test]
async fn oma_push_submits_to_the_gateway() {
    let database = Database::new().await;
    let gateway = StandIn::start(|_, _| {
        reply(
            202,
            &[("content-type", "application/xml")],
            r#"<pap><push-response push-id="x"><response-result code="1001" desc="accepted"/></push-response></pap>"#,
        )
    })
    .await;
    let server = Server::start_as(&database, |config| {
        config.push.oma_push = Some(gateway_at(&gateway));
    })
    .await;
    let wish = json!({ "channelType": "OMAPush", "channelData": { "appId": "x-app:demo", "maxNotifications": 1 } });
    let channel = server.api.channel_with("tel%3A%2B14255551212", wish).await;
    assert_eq!(channel["channelData"], json!({ "appId": "x-app:demo", "maxNotifications": 1 }));
    server.api.subscribe("b", &channel).await;
    write(&database, 2).await;
    let posts = eventually("two submissions", async || {
        let posts = gateway.received();
        (posts.len() >= 2).then_some(posts)
    })
    .await;
    for (post, index) in posts.iter().zip(1..) {
        let body = String::from_utf8(post.body.to_vec()).unwrap();
        assert!(body.contains("WAPPUSH=+14255551212/TYPE=PLMN@example.com"), "{body}");
        assert!(body.contains("X-Wap-Application-Id: x-app:demo"), "{body}");
        assert!(body.contains(&format!(r#""index":{index}"#)), "{body}");
    }
    server.stop().await;
}

/// A native channel whose client fetches what is too much for a push.
fn fetching() -> Value {
    let mut wish = native();
    wish["channelData"]["largeDataPolling"] = json!({ "pollingEnabled": "true", "maxPollingNotifications": "3" });
    wish
}

/// The data of what was pushed to the device, in order.
fn data(service: &StandIn) -> Vec<Value> {
    let sent = service.received().into_iter().filter(|request| request.path == SEND);
    sent.map(|request| serde_json::from_slice::<Value>(&request.body).unwrap()["message"]["data"].clone()).collect()
}

/// The indexes of what was pushed itself.
fn pushed_indexes(service: &StandIn) -> Vec<i64> {
    let lists = data(service).into_iter().filter_map(|data| data["notificationList"].as_str().map(str::to_owned));
    let lists = lists.map(|list| serde_json::from_str::<Vec<Value>>(&list).unwrap());
    lists.flatten().map(|one| one["nmsEventList"]["index"].as_i64().unwrap()).collect()
}

/// The URL that was pushed, when it is.
async fn pushed_url(service: &StandIn, nth: usize) -> String {
    let told = eventually("a URL is pushed", async || {
        let told = data(service);
        told.iter().filter_map(|data| data["largePollingNotification"].as_str()).nth(nth).map(str::to_owned)
    })
    .await;
    let told: Value = serde_json::from_str(&told).unwrap();
    chrono::DateTime::parse_from_rfc3339(told["channelExpiry"].as_str().unwrap()).unwrap();
    told["channelURL"].as_str().unwrap().to_owned()
}

/// The indexes in an answer, and whether it is the last one.
async fn fetch(server: &Server, url: &str) -> (Vec<i64>, bool) {
    let answer = server.api.post(url, json!({ "longPollingRequestParameters": null })).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let list = answer.json()["notificationList"].as_array().unwrap().clone();
    let complete = list.last().is_some_and(|last| last["ncListComplete"] == true);
    (list.iter().filter_map(|one| one["nmsEventList"]["index"].as_i64()).collect(), complete)
}

#[tokio::test]
async fn what_is_too_much_for_a_push_is_fetched() {
    let database = Database::new().await;
    let (service, folder) = (fcm(|_, _| reply(200, &[], "{}")).await, TempDir::new().unwrap());
    let server = Server::start_as(&database, |config| with_fcm(config, &service, &folder)).await;
    let channel = server.api.channel_with("alice", fetching()).await;
    let granted = json!({ "pollingEnabled": true, "maxPollingNotifications": 3 });
    assert_eq!(channel["channelData"]["largeDataPolling"], granted);
    server.api.subscribe("b", &channel).await;
    write(&database, 9).await;
    let url = pushed_url(&service, 0).await;
    // Some may have been pushed before there was too much.
    let mut indexes = pushed_indexes(&service);
    let pushes = data(&service).len();
    loop {
        let (fetched, complete) = fetch(&server, &url).await;
        assert!(fetched.len() <= 3 && (complete || fetched.len() == 3), "{fetched:?}");
        indexes.extend(fetched);
        if complete {
            break;
        }
    }
    assert_eq!(indexes, (1..=9).collect::<Vec<_>>());
    let again = server.api.post(&url, json!({ "longPollingRequestParameters": null })).await;
    assert_eq!((again.status.as_u16(), again.fault().0.as_str()), (404, "SVC0004"), "the URL is no more");
    write(&database, 1).await;
    eventually("the next one is pushed", async || (data(&service).len() > pushes).then_some(())).await;
    assert_eq!(pushed_indexes(&service).last(), Some(&10));
    assert_eq!(data(&service).len(), pushes + 1, "and only that one");
    server.stop().await;
}

#[tokio::test]
async fn what_is_larger_than_a_push_is_fetched_too() {
    let database = Database::new().await;
    let (service, folder) = (fcm(|_, _| reply(200, &[], "{}")).await, TempDir::new().unwrap());
    let server = Server::start_as(&database, |config| with_fcm(config, &service, &folder)).await;
    let channel = server.api.channel_with("alice", fetching()).await;
    let callback = channel["callbackURL"].as_str().unwrap();
    let large = json!({ "chat": "x".repeat(5000) });
    assert_eq!(server.api.post(callback, large.clone()).await.status, 204);
    let url = pushed_url(&service, 0).await;
    let answer = server.api.post(&url, json!({})).await.json();
    assert_eq!(answer, json!({ "notificationList": [large, { "ncListComplete": true }] }));
    server.stop().await;
}

#[tokio::test]
async fn what_nobody_fetches_is_announced_again() {
    let database = Database::new().await;
    let (service, folder) = (fcm(|_, _| reply(200, &[], "{}")).await, TempDir::new().unwrap());
    let server = Server::start_as(&database, |config| {
        with_fcm(config, &service, &folder);
        config.limits.large_poll_seconds = 1;
    })
    .await;
    let channel = server.api.channel_with("alice", fetching()).await;
    server.api.subscribe("b", &channel).await;
    write(&database, 9).await;
    let first = pushed_url(&service, 0).await;
    let second = pushed_url(&service, 1).await;
    assert_ne!(first, second);
    assert_eq!(server.api.post(&first, json!({})).await.status, 404);
    let forged = second.replace("/large/", "/poll/");
    assert_eq!(server.api.post(&forged, json!({})).await.status, 404);
    server.stop().await;
}
