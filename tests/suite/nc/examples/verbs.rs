//! 6.1 to 6.4: what a resource cannot do is 405, with `Allow` naming what it can.

use reqwest::Method;
use serde_json::json;

use super::{CHANNELS, JSON, Scene, XML};
use crate::nc::text;

/// Every verb that is not allowed is refused so, in whatever format.
async fn allows_only(scene: &Scene, path: &str, allow: &str) {
    for verb in [Method::GET, Method::PUT, Method::POST, Method::DELETE, Method::PATCH, Method::OPTIONS] {
        if allow.split(", ").any(|allowed| allowed == verb.as_str()) {
            continue;
        }
        for (media, body) in [(XML, "<x/>"), (JSON, "{}")] {
            let answer = scene.ask(verb.clone(), path, media, Some(body.to_owned())).await;
            assert_eq!((answer.status.as_u16(), answer.header("allow")), (405, allow), "{verb} {path}");
        }
    }
}

#[tokio::test]
async fn s6_1_the_channels_of_a_user_are_listed_and_created() {
    let scene = Scene::new().await;
    allows_only(&scene, CHANNELS, "GET, POST").await;
    scene.end().await;
}

#[tokio::test]
async fn s6_2_a_channel_is_read_and_deleted() {
    let scene = Scene::new().await;
    let channel = scene.channel(json!({ "channelType": "LongPolling" })).await;
    allows_only(&scene, text(&channel, "resourceURL"), "GET, DELETE").await;
    assert_eq!(scene.server.api.get(text(&channel, "resourceURL")).await.status, 200, "and it is still there");
    scene.end().await;
}

#[tokio::test]
async fn s6_3_a_notification_list_is_polled() {
    let scene = Scene::new().await;
    let channel = scene.channel(json!({ "channelType": "LongPolling" })).await;
    allows_only(&scene, text(&channel["channelData"], "channelURL"), "POST").await;
    scene.end().await;
}

#[tokio::test]
async fn s6_4_a_lifetime_is_read_and_refreshed() {
    let scene = Scene::new().await;
    let channel = scene.channel(json!({ "channelType": "LongPolling" })).await;
    allows_only(&scene, &format!("{}/channelLifetime", text(&channel, "resourceURL")), "GET, PUT").await;
    scene.end().await;
}

/// Not of this specification but of those of enablers: a notification URL takes POST.
#[tokio::test]
async fn s5_a_callback_url_is_posted_to() {
    let scene = Scene::new().await;
    let channel = scene.channel(json!({ "channelType": "LongPolling" })).await;
    allows_only(&scene, text(&channel, "callbackURL"), "POST").await;
    scene.end().await;
}
