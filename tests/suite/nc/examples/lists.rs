//! 6.1.3 and 6.2: the channels of a user, and one of them: read, deleted; their JSON is of Appendix D.

use reqwest::Method;
use serde_json::json;

use super::alike::{is_json, is_xml};
use super::{CHANNELS, JSON, Scene, URLS, XML, answered, fault, nc};
use crate::support::client::Answer;

const LIST_URL: &str = "<resourceURL>https://nc.example.net/api/notificationchannel/v1/tel%3A%2B19585550100/channels\
    </resourceURL>";

/// A LongPolling and a WebSockets channel; answers the URL of the first.
async fn two_channels(scene: &Scene) -> String {
    let polled = json!({ "clientCorrelator": "c-1", "channelType": "LongPolling",
                         "channelData": { "maxNotifications": 10, "maxWaitTime": 5 }, "channelLifetime": 900 });
    let first = scene.channel(polled).await;
    scene.channel(json!({ "channelType": "WebSockets", "channelData": { "maxNotifications": 5 } })).await;
    first["resourceURL"].as_str().unwrap().to_owned()
}

fn polled_xml() -> String {
    format!(
        r#"<clientCorrelator>c-1</clientCorrelator><channelType>LongPolling</channelType>
           <channelData xsi:type="nc:LongPollingData"><channelURL>https://nc.example.net/poll/k7</channelURL>
           <maxNotifications>10</maxNotifications><maxWaitTime>5</maxWaitTime></channelData>
           <channelLifetime>900</channelLifetime>{URLS}"#
    )
}

fn polled_json() -> serde_json::Value {
    answered(json!({ "clientCorrelator": "c-1", "channelType": "LongPolling", "channelLifetime": "900",
        "channelData": { "channelURL": "https://h/poll/k7", "maxNotifications": "10", "maxWaitTime": "5" } }))
}

#[tokio::test]
async fn s6_1_3_list_the_channels_xml() {
    let scene = Scene::new().await;
    two_channels(&scene).await;
    let answer = scene.ask(Method::GET, CHANNELS, XML, None).await;
    let socket = format!(
        r#"<channelType>WebSockets</channelType><channelData xsi:type="nc:WebSocketsData">
           <channelURL>ws://h/s</channelURL><maxNotifications>5</maxNotifications></channelData>
           <channelLifetime>3600</channelLifetime>{URLS}"#
    );
    let example = format!(
        "<notificationChannel>{}</notificationChannel><notificationChannel>{socket}</notificationChannel>{LIST_URL}",
        polled_xml()
    );
    is_xml(&answer, 200, &nc("notificationChannelList", &example));
    scene.end().await;
}

#[tokio::test]
async fn d_list_the_channels_json() {
    let scene = Scene::new().await;
    two_channels(&scene).await;
    let answer = scene.ask(Method::GET, CHANNELS, JSON, None).await;
    let socket = answered(json!({ "channelType": "WebSockets", "channelLifetime": "3600",
                                  "channelData": { "channelURL": "ws://h/s", "maxNotifications": "5" } }));
    let channels = [&polled_json()["notificationChannel"], &socket["notificationChannel"]];
    let url = "https://nc.example.net/api/notificationchannel/v1/tel%3A%2B19585550100/channels";
    let example = json!({ "notificationChannelList": { "notificationChannel": channels, "resourceURL": url } });
    is_json(&answer, 200, &example);
    scene.end().await;
}

#[tokio::test]
async fn s6_1_3_an_empty_list() {
    let scene = Scene::new().await;
    let answer = scene.ask(Method::GET, CHANNELS, XML, None).await;
    is_xml(&answer, 200, &nc("notificationChannelList", LIST_URL));
    let answer = scene.ask(Method::GET, CHANNELS, JSON, None).await;
    assert_eq!(answer.json()["notificationChannelList"]["notificationChannel"], json!([]));
    scene.end().await;
}

#[tokio::test]
async fn s6_2_3_read_a_channel_xml() {
    let scene = Scene::new().await;
    let url = two_channels(&scene).await;
    let answer = scene.ask(Method::GET, &url, XML, None).await;
    is_xml(&answer, 200, &nc("notificationChannel", &polled_xml()));
    scene.end().await;
}

#[tokio::test]
async fn d_read_a_channel_json() {
    let scene = Scene::new().await;
    let url = two_channels(&scene).await;
    is_json(&scene.ask(Method::GET, &url, JSON, None).await, 200, &polled_json());
    scene.end().await;
}

fn is_deleted(answer: &Answer) {
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (204, ""));
}

#[tokio::test]
async fn s6_2_6_delete_a_channel_xml() {
    let scene = Scene::new().await;
    let url = two_channels(&scene).await;
    is_deleted(&scene.ask(Method::DELETE, &url, XML, None).await);
    let not_found = fault(
        "<serviceException><messageId>SVC0004</messageId>
           <text>No valid addresses provided in message part %1</text><variables>Request-URI</variables>
         </serviceException>",
    );
    for verb in [Method::GET, Method::DELETE] {
        is_xml(&scene.ask(verb, &url, XML, None).await, 404, &not_found);
    }
    let list = scene.server.api.get(CHANNELS).await.json();
    assert_eq!(list["notificationChannelList"]["notificationChannel"].as_array().unwrap().len(), 1);
    scene.end().await;
}

#[tokio::test]
async fn d_delete_a_channel_json() {
    let scene = Scene::new().await;
    let url = two_channels(&scene).await;
    is_deleted(&scene.ask(Method::DELETE, &url, JSON, None).await);
    let exception = json!({ "messageId": "SVC0004", "text": "No valid addresses provided in message part %1",
                            "variables": ["Request-URI"] });
    let not_found = json!({ "requestError": { "serviceException": exception } });
    is_json(&scene.ask(Method::GET, &url, JSON, None).await, 404, &not_found);
    scene.end().await;
}
