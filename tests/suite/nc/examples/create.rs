//! 6.1.5: creating a channel of each type, and what is refused; their JSON is of Appendix D.

use reqwest::Method;
use serde_json::{Value, json};

use super::alike::{is_json, is_xml};
use super::{CHANNELS, JSON, Scene, URLS, XML, answered, fault, field, nc};

/// Creates with these fields, and asserts that these are answered, with the two URLs.
async fn creates_xml(request: &str, response: &str) {
    let scene = Scene::new().await;
    let request = nc("notificationChannel", request);
    let answer = scene.ask(Method::POST, CHANNELS, XML, Some(request)).await;
    is_xml(&answer, 201, &nc("notificationChannel", &format!("{response}{URLS}")));
    assert_eq!(answer.header("location"), field(&answer, "resourceURL"));
    let again = scene.ask(Method::GET, field(&answer, "resourceURL"), XML, None).await;
    assert_eq!(again.text, answer.text, "it is there as it was described");
    scene.end().await;
}

async fn creates_json(request: Value, response: Value) {
    let scene = Scene::new().await;
    let request = json!({ "notificationChannel": request });
    let answer = scene.ask(Method::POST, CHANNELS, JSON, Some(request.to_string())).await;
    is_json(&answer, 201, &answered(response));
    assert_eq!(answer.header("location"), answer.json()["notificationChannel"]["resourceURL"]);
    let again = scene.server.api.get(answer.header("location")).await;
    assert_eq!(again.json(), answer.json(), "it is there as it was described");
    scene.end().await;
}

#[tokio::test]
async fn s6_1_5_create_long_polling_xml() {
    let head = "<clientCorrelator>c-1</clientCorrelator><applicationTag>demo</applicationTag>
                <channelType>LongPolling</channelType>";
    creates_xml(
        &format!(
            r#"{head}<channelData xsi:type="nc:LongPollingData"><maxNotifications>10</maxNotifications>
               <maxWaitTime>0</maxWaitTime></channelData><channelLifetime>900</channelLifetime>"#
        ),
        &format!(
            r#"{head}<channelData xsi:type="nc:LongPollingData"><channelURL> https://h/poll/k7 </channelURL>
               <maxNotifications>10</maxNotifications><maxWaitTime>0</maxWaitTime></channelData>
               <channelLifetime>900</channelLifetime>"#
        ),
    )
    .await;
}

#[tokio::test]
async fn d_create_long_polling_json() {
    creates_json(
        json!({ "clientCorrelator": "c-1", "applicationTag": "demo", "channelType": "LongPolling",
                "channelData": { "maxNotifications": "10", "maxWaitTime": "0" }, "channelLifetime": "900" }),
        json!({ "clientCorrelator": "c-1", "applicationTag": "demo", "channelType": "LongPolling",
                "channelData": { "channelURL": "https://nc.example.net/poll/k7", "maxNotifications": "10",
                                 "maxWaitTime": "0" }, "channelLifetime": "900" }),
    )
    .await;
}

/// Without channelData and lifetime the server's defaults hold, and are told.
#[tokio::test]
async fn s6_1_5_create_with_defaults_xml() {
    creates_xml(
        "<channelType>LongPolling</channelType>",
        r#"<channelType>LongPolling</channelType><channelData xsi:type="nc:LongPollingData">
             <channelURL>https://nc.example.net/poll/k7</channelURL><maxNotifications>100</maxNotifications>
             <maxWaitTime>0</maxWaitTime></channelData><channelLifetime>3600</channelLifetime>"#,
    )
    .await;
}

#[tokio::test]
async fn s6_1_5_create_oma_push_xml() {
    let all = r#"<clientCorrelator>c-2</clientCorrelator><channelType>OMAPush</channelType>
        <channelData xsi:type="nc:OMAPushData"><appId>x-app:demo</appId><maxNotifications>1</maxNotifications>
        </channelData><channelLifetime>3600</channelLifetime>"#;
    creates_xml(all, all).await;
}

#[tokio::test]
async fn d_create_oma_push_json() {
    let all = json!({ "clientCorrelator": "c-2", "channelType": "OMAPush",
                      "channelData": { "appId": "x-app:demo", "maxNotifications": "1" }, "channelLifetime": "3600" });
    creates_json(all.clone(), all).await;
}

#[tokio::test]
async fn s6_1_5_create_web_sockets_xml() {
    let data = |more: &str| {
        format!(
            r#"<channelType>WebSockets</channelType><channelData xsi:type="nc:WebSocketsData">{more}
               <maxNotifications>5</maxNotifications></channelData><channelLifetime>3600</channelLifetime>"#
        )
    };
    creates_xml(&data(""), &data("<channelURL>wss://nc.example.net/s/k8</channelURL>")).await;
}

#[tokio::test]
async fn d_create_web_sockets_json() {
    creates_json(
        json!({ "channelType": "WebSockets", "channelData": { "maxNotifications": "5" }, "channelLifetime": "3600" }),
        json!({ "channelType": "WebSockets", "channelLifetime": "3600",
                "channelData": { "channelURL": "wss://nc.example.net/s/k8", "maxNotifications": "5" } }),
    )
    .await;
}

#[tokio::test]
async fn s6_1_5_create_native_channel_xml() {
    let data = |version: &str| {
        format!(
            r#"<clientCorrelator>c-3</clientCorrelator><channelType>NativeChannel</channelType>
               <channelData xsi:type="nc:NativeChannelData"><channelSubType>GCM</channelSubType>
               <registrationToken>ab12</registrationToken>{version}<maxNotifications>1</maxNotifications>
               </channelData><channelLifetime>3600</channelLifetime>"#
        )
    };
    creates_xml(&data(""), &data("<channelSubTypeVersion>v1</channelSubTypeVersion>")).await;
}

#[tokio::test]
async fn d_create_native_channel_json() {
    let all = json!({ "channelType": "NativeChannel", "channelLifetime": "3600", "channelData": {
        "channelSubType": "GCM", "registrationToken": "ab12", "channelSubTypeVersion": "1",
        "maxNotifications": "1" } });
    creates_json(all.clone(), all).await;
}

#[tokio::test]
async fn s6_1_5_6_the_granted_lifetime_may_differ_from_the_wish_xml() {
    let data = |lifetime: u32, url: &str| {
        format!(
            r#"<channelType>WebSockets</channelType><channelData xsi:type="nc:WebSocketsData">{url}
               <maxNotifications>5</maxNotifications></channelData><channelLifetime>{lifetime}</channelLifetime>"#
        )
    };
    creates_xml(&data(7200, ""), &data(3600, "<channelURL>ws://nc.example.net/s/k8</channelURL>")).await;
}

/// A repeated create is answered with the channel that is there (5.2.2.2).
#[tokio::test]
async fn s5_2_2_2_a_repeated_create_makes_no_second_channel_xml() {
    let scene = Scene::new().await;
    let request =
        nc("notificationChannel", "<clientCorrelator>c-1</clientCorrelator><channelType>LongPolling</channelType>");
    let first = scene.ask(Method::POST, CHANNELS, XML, Some(request.clone())).await;
    let second = scene.ask(Method::POST, CHANNELS, XML, Some(request)).await;
    assert_eq!(second.status, 201);
    assert_eq!((second.text.as_str(), second.header("location")), (first.text.as_str(), first.header("location")));
    scene.end().await;
}

/// The example has 400; section 7.2.1 has 403, and wins.
#[tokio::test]
async fn s6_1_5_7_2_a_type_that_is_not_supported_xml() {
    let scene = Scene::without_push().await;
    let request = nc("notificationChannel", "<channelType>OMAPush</channelType>");
    let answer = scene.ask(Method::POST, CHANNELS, XML, Some(request)).await;
    let example = fault(
        "<policyException><messageId>POL1023</messageId>
           <text>Notification channel type %1 not supported. Supported types: %2.</text>
           <variables>OMAPush</variables><variables>LongPolling, WebSockets</variables></policyException>",
    );
    is_xml(&answer, 403, &example);
    scene.end().await;
}

#[tokio::test]
async fn d_8_a_type_that_is_not_supported_json() {
    let scene = Scene::without_push().await;
    for kind in ["OMAPush", "NativeChannel"] {
        let request = json!({ "notificationChannel": { "clientCorrelator": "c", "channelType": kind } });
        let answer = scene.ask(Method::POST, CHANNELS, JSON, Some(request.to_string())).await;
        let text = "Notification channel type %1 not supported. Supported types: %2.";
        let exception = json!({ "messageId": "POL1023", "text": text, "variables": [kind, "LongPolling, WebSockets"] });
        is_json(&answer, 403, &json!({ "requestError": { "policyException": exception } }));
    }
    scene.end().await;
}

/// A feature that is not there: here the push service of a device that this server has no settings for.
#[tokio::test]
async fn s6_1_5_4_a_feature_that_is_not_available_xml() {
    let scene = Scene::new().await;
    let request = nc(
        "notificationChannel",
        r#"<channelType>NativeChannel</channelType><channelData xsi:type="nc:NativeChannelData">
             <channelSubType>APNS</channelSubType><registrationToken>ab12</registrationToken></channelData>"#,
    );
    let answer = scene.ask(Method::POST, CHANNELS, XML, Some(request)).await;
    let example = fault(
        "<policyException><messageId>POL2006</messageId><text>Requested feature %1 is not available</text>
           <variables>NativeChannel APNS</variables></policyException>",
    );
    is_xml(&answer, 403, &example);
    scene.end().await;
}

#[tokio::test]
async fn d_5_a_feature_that_is_not_available_json() {
    let scene = Scene::new().await;
    let request = json!({ "notificationChannel": { "channelType": "NativeChannel",
        "channelData": { "channelSubType": "WNS", "registrationToken": "https://db5.notify.windows.com/?token=1" } } });
    let answer = scene.ask(Method::POST, CHANNELS, JSON, Some(request.to_string())).await;
    let exception = json!({ "messageId": "POL2006", "text": "Requested feature %1 is not available",
                            "variables": "NativeChannel WNS" });
    is_json(&answer, 403, &json!({ "requestError": { "policyException": exception } }));
    assert!(answer.json()["requestError"]["policyException"]["variables"].is_array(), "structure-aware");
    scene.end().await;
}

/// POL1023 can only name types of the enumeration, so another one is an invalid value.
#[tokio::test]
async fn s5_2_3_1_a_type_outside_the_enumeration_is_svc0003() {
    let scene = Scene::new().await;
    let request = nc("notificationChannel", "<channelType>Pigeon</channelType>");
    let answer = scene.ask(Method::POST, CHANNELS, XML, Some(request)).await;
    let example = fault(
        "<serviceException><messageId>SVC0003</messageId>
           <text>Invalid input value for message part %1, valid values are %2</text><variables>channelType</variables>
           <variables>LongPolling, OMAPush, WebSockets, NativeChannel, webhooks</variables></serviceException>",
    );
    is_xml(&answer, 400, &example);
    let request = json!({ "notificationChannel": { "channelType": "Pigeon" } }).to_string();
    let answer = scene.ask(Method::POST, CHANNELS, JSON, Some(request)).await;
    assert_eq!((answer.status.as_u16(), answer.fault().0.as_str()), (400, "SVC0003"));
    scene.end().await;
}

#[tokio::test]
async fn s5_2_2_2_the_type_must_be_given() {
    let scene = Scene::new().await;
    for (media, body) in [
        (XML, nc("notificationChannel", "<applicationTag>demo</applicationTag>")),
        (JSON, r#"{"notificationChannel":{"applicationTag":"demo"}}"#.to_owned()),
        (JSON, r#"{"notificationChannel":null}"#.to_owned()),
    ] {
        let answer = scene.ask(Method::POST, &format!("{CHANNELS}?resFormat=JSON"), media, Some(body)).await;
        let fault = ("SVC0002".to_owned(), vec!["channelType".to_owned()]);
        assert_eq!((answer.status.as_u16(), answer.fault()), (400, fault));
    }
    scene.end().await;
}
