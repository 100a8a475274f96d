//! Appendix C: creating and polling with application/x-www-form-urlencoded. Answers are in XML or JSON, as accepted.

use reqwest::Method;
use serde_json::json;

use super::alike::{is_json, is_xml};
use super::{CHANNELS, FORM, JSON, Scene, URLS, XML, answered, field, nc};
use crate::nc::text;
use crate::support::client::Answer;

const POLLED: &str = "clientCorrelator=c-1&applicationTag=demo&channelType=LongPolling&maxNotifications=10\
    &channelLifetime=900";

/// Posts a form, and accepts only this format.
async fn post_form(scene: &Scene, url: &str, accept: &str, form: &str) -> Answer {
    let headers = [("content-type", FORM), ("accept", accept)];
    scene.server.api.send(Method::POST, url, &headers, Some(form.to_owned())).await
}

#[tokio::test]
async fn c_1_create_by_form() {
    let scene = Scene::new().await;
    let answer = post_form(&scene, CHANNELS, XML, POLLED).await;
    let example = format!(
        r#"<clientCorrelator>c-1</clientCorrelator><applicationTag>demo</applicationTag>
           <channelType>LongPolling</channelType><channelData xsi:type="nc:LongPollingData">
           <channelURL>https://nc.example.net/poll/k7</channelURL><maxNotifications>10</maxNotifications>
           <maxWaitTime>0</maxWaitTime></channelData><channelLifetime>900</channelLifetime>{URLS}"#
    );
    is_xml(&answer, 201, &nc("notificationChannel", &example));
    assert_eq!(answer.header("location"), field(&answer, "resourceURL"));
    scene.end().await;
}

#[tokio::test]
async fn c_1_create_by_form_answered_in_json() {
    let scene = Scene::new().await;
    let answer = post_form(&scene, CHANNELS, JSON, POLLED).await;
    let data = json!({ "channelURL": "https://nc.example.net/poll/k7", "maxNotifications": 10, "maxWaitTime": 0 });
    let example = json!({ "clientCorrelator": "c-1", "applicationTag": "demo", "channelType": "LongPolling",
                          "channelData": data, "channelLifetime": 900 });
    is_json(&answer, 201, &answered(example));
    scene.end().await;
}

/// `appId` is in the example and not in the table; `maxWaitTime` is in neither, and is read as well.
#[tokio::test]
async fn c_1_create_by_form_oma_push_and_wait_time() {
    let scene = Scene::new().await;
    let form = "channelType=OMAPush&appId=x-app%3Ademo&maxNotifications=1&channelLifetime=3600";
    let data = json!({ "appId": "x-app:demo", "maxNotifications": 1 });
    let example = json!({ "channelType": "OMAPush", "channelData": data, "channelLifetime": 3600 });
    is_json(&post_form(&scene, CHANNELS, JSON, form).await, 201, &answered(example));
    let answer = post_form(&scene, CHANNELS, JSON, "channelType=LongPolling&maxWaitTime=7").await;
    assert_eq!(answer.json()["notificationChannel"]["channelData"]["maxWaitTime"], 7);
    scene.end().await;
}

#[tokio::test]
async fn c_1_web_sockets_cannot_be_created_by_form() {
    let scene = Scene::new().await;
    let answer = post_form(&scene, CHANNELS, JSON, "channelType=WebSockets&channelLifetime=900").await;
    let fault = ("SVC0002".to_owned(), vec!["channelType".to_owned()]);
    assert_eq!((answer.status.as_u16(), answer.fault()), (400, fault));
    let answer = post_form(&scene, CHANNELS, XML, "applicationTag=demo").await;
    assert_eq!((answer.status.as_u16(), field(&answer, "messageId")), (400, "SVC0002"), "{}", answer.text);
    let list = scene.server.api.get(CHANNELS).await.json();
    assert_eq!(list["notificationChannelList"]["notificationChannel"], json!([]), "nothing was created");
    scene.end().await;
}

/// The table has `longPollingRequestParameters`, both examples have it without an `a`.
#[tokio::test]
async fn c_2_poll_by_form_in_both_spellings() {
    let scene = Scene::new().await;
    let created = post_form(&scene, CHANNELS, XML, POLLED).await;
    let url = field(&created, "channelURL");
    for form in ["longPollingRequestParameters=", "longPollingRequestParmeters=", "longPollingRequestParameters", ""] {
        let answer = post_form(&scene, url, XML, form).await;
        is_xml(&answer, 200, &nc("notificationList", ""));
    }
    let notification = r#"<c:chatNotification xmlns:c="urn:ex:1"><text>hi</text></c:chatNotification>"#;
    let posted = scene.ask(Method::POST, field(&created, "callbackURL"), XML, Some(notification.to_owned())).await;
    assert_eq!(posted.status, 204);
    let answer = post_form(&scene, url, XML, "longPollingRequestParmeters=").await;
    is_xml(&answer, 200, &nc("notificationList", notification));
    assert!(answer.text.contains(notification), "it keeps its namespace: {}", answer.text);
    scene.end().await;
}

/// A channel that was created in JSON may be polled by form; what it gets is in JSON all the same.
#[tokio::test]
async fn c_2_poll_by_form_of_a_json_channel() {
    let scene = Scene::new().await;
    let channel = scene.channel(json!({ "channelType": "LongPolling" })).await;
    let url = text(&channel["channelData"], "channelURL");
    let answer = post_form(&scene, url, JSON, "longPollingRequestParmeters=").await;
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (200, r#"{"notificationList":[]}"#));
    scene.end().await;
}
