//! 6.4: what remains of a channel's lifetime, and starting it again; their JSON is of Appendix D.

use reqwest::Method;
use serde_json::{Value, json};

use super::alike::{is_json, is_xml};
use super::{JSON, Scene, XML, field, nc};
use crate::nc::text;

/// A channel of 1000 s of which 412 are left: the URL of its lifetime.
async fn lifetime_url(scene: &Scene) -> String {
    let channel = scene.channel(json!({ "channelType": "WebSockets", "channelLifetime": 1000 })).await;
    let passed = "update tocsin.channel_lifetimes set expires_at = now() + interval '412 s'";
    scene.database.connect().await.batch_execute(passed).await.unwrap();
    format!("{}/channelLifetime", text(&channel, "resourceURL"))
}

fn xml(seconds: &str) -> String {
    nc("notificationChannelLifetime", &format!("<channelLifetime>{seconds}</channelLifetime>"))
}

fn json(seconds: impl Into<Value>) -> Value {
    json!({ "notificationChannelLifetime": { "channelLifetime": seconds.into() } })
}

/// Whether these seconds remain, up to those the test took.
fn about(seconds: u64, expected: u64) -> bool {
    (expected.saturating_sub(60)..=expected).contains(&seconds)
}

#[tokio::test]
async fn s6_4_3_read_the_remaining_lifetime_xml() {
    let scene = Scene::new().await;
    let answer = scene.ask(Method::GET, &lifetime_url(&scene).await, XML, None).await;
    let remaining = field(&answer, "channelLifetime");
    is_xml(&answer, 200, &xml(remaining));
    assert!(about(remaining.parse().unwrap(), 412), "{remaining}");
    scene.end().await;
}

#[tokio::test]
async fn d_read_the_remaining_lifetime_json() {
    let scene = Scene::new().await;
    let answer = scene.ask(Method::GET, &lifetime_url(&scene).await, JSON, None).await;
    let remaining = answer.json()["notificationChannelLifetime"]["channelLifetime"].as_u64().unwrap();
    is_json(&answer, 200, &json(remaining));
    assert!(about(remaining, 412), "{remaining}");
    scene.end().await;
}

#[tokio::test]
async fn s6_4_4_refresh_the_lifetime_xml() {
    let scene = Scene::new().await;
    let url = lifetime_url(&scene).await;
    // The wish, one beyond policy, and none: the server's default.
    for (request, granted) in [(xml("1800"), 1800), (xml("7200"), 3600), (nc("notificationChannelLifetime", ""), 3600)]
    {
        let answer = scene.ask(Method::PUT, &url, XML, Some(request)).await;
        is_xml(&answer, 200, &xml(&granted.to_string()));
        let now = scene.ask(Method::GET, &url, XML, None).await;
        let remaining = field(&now, "channelLifetime").parse().unwrap();
        assert!(about(remaining, granted), "{remaining} of {granted}");
    }
    scene.end().await;
}

#[tokio::test]
async fn d_refresh_the_lifetime_json() {
    let scene = Scene::new().await;
    let url = lifetime_url(&scene).await;
    for (request, granted) in [
        (json("1800"), 1800),
        (json(1700), 1700),
        (json("7200"), 3600),
        (json!({ "notificationChannelLifetime": null }), 3600),
    ] {
        let answer = scene.ask(Method::PUT, &url, JSON, Some(request.to_string())).await;
        is_json(&answer, 200, &json(granted));
        let now = scene.server.api.get(&url).await.json();
        let remaining = now["notificationChannelLifetime"]["channelLifetime"].as_u64().unwrap();
        assert!(about(remaining, granted), "{remaining} of {granted}");
    }
    scene.end().await;
}

/// A poll starts the lifetime again with the value granted last (section 5).
#[tokio::test]
async fn s5_a_poll_restores_the_original_lifetime() {
    let scene = Scene::new().await;
    let channel = scene.channel(json!({ "channelType": "LongPolling", "channelLifetime": 1000 })).await;
    let passed = "update tocsin.channel_lifetimes set expires_at = now() + interval '200 s'";
    scene.database.connect().await.batch_execute(passed).await.unwrap();
    let url = format!("{}/channelLifetime", text(&channel, "resourceURL"));
    let remaining = async || {
        let answer = scene.server.api.get(&url).await.json();
        answer["notificationChannelLifetime"]["channelLifetime"].as_u64().unwrap()
    };
    assert!(about(remaining().await, 200));
    let poll = nc("longPollingRequestParameters", "");
    let polled = scene.ask(Method::POST, text(&channel["channelData"], "channelURL"), XML, Some(poll)).await;
    assert_eq!(polled.status, 200);
    assert!(about(remaining().await, 1000));
    scene.end().await;
}
