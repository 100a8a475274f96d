//! Appendix I: the handshake, notifications, and connCheck and connAck in both formats.

use reqwest::Method;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::alike::{assert_alike, is_xml_document};
use super::{CHANNELS, Scene, XML, field, nc};
use crate::nc::text;
use crate::support::client::Socket;
use crate::support::eventually;
use crate::support::raw::Raw;

const SUBPROTOCOL: &str = "notificationchannel-netapi-rest.openmobilealliance.org";

/// A WebSockets channel of 1000 s.
async fn channel(scene: &Scene) -> Value {
    scene.channel(json!({ "channelType": "WebSockets", "channelLifetime": 1000 })).await
}

/// One created in XML: its channelURL and callbackURL.
async fn xml_channel(scene: &Scene) -> (String, String) {
    let request = nc("notificationChannel", "<channelType>WebSockets</channelType>");
    let answer = scene.ask(Method::POST, CHANNELS, XML, Some(request)).await;
    (field(&answer, "channelURL").to_owned(), field(&answer, "callbackURL").to_owned())
}

async fn notify(scene: &Scene, channel: &Value, notification: &Value) {
    assert_eq!(scene.server.api.post(text(channel, "callbackURL"), notification.clone()).await.status, 204);
}

async fn pass_time(scene: &Scene) {
    let passed = "update tocsin.channel_lifetimes set expires_at = now() + interval '100 s'";
    scene.database.connect().await.batch_execute(passed).await.unwrap();
}

async fn remaining(scene: &Scene, channel: &Value) -> u64 {
    let answer = scene.server.api.get(&format!("{}/channelLifetime", text(channel, "resourceURL"))).await;
    answer.json()["notificationChannelLifetime"]["channelLifetime"].as_u64().unwrap()
}

#[tokio::test]
async fn i_1_handshake_with_the_sub_protocol() {
    let scene = Scene::new().await;
    let channel = channel(&scene).await;
    let offered = format!("Sec-WebSocket-Protocol: {SUBPROTOCOL}\r\n");
    let open = Raw::shake_hands(text(&channel["channelData"], "channelURL"), &offered).await;
    for line in [
        "http/1.1 101 ",
        "\r\nupgrade: websocket\r\n",
        "\r\nconnection: upgrade\r\n",
        "\r\nsec-websocket-accept: ",
        &format!("\r\nsec-websocket-protocol: {SUBPROTOCOL}\r\n"),
    ] {
        assert!(open.head.contains(line), "{line}: {}", open.head);
    }
    scene.end().await;
}

/// The client must offer it; one that does not is served all the same, and is told of none.
#[tokio::test]
async fn i_1_handshake_without_a_sub_protocol() {
    let scene = Scene::new().await;
    let channel = channel(&scene).await;
    for headers in ["", "Sec-WebSocket-Protocol: graphql-ws\r\n"] {
        let mut open = Raw::shake_hands(text(&channel["channelData"], "channelURL"), headers).await;
        assert!(open.head.starts_with("http/1.1 101 "), "{}", open.head);
        assert!(!open.head.contains("sec-websocket-protocol"), "{}", open.head);
        notify(&scene, &channel, &json!({ "chatNotification": { "text": "hi" } })).await;
        let (_, payload) = open.frame().await.unwrap();
        assert!(String::from_utf8(payload).unwrap().contains("chatNotification"));
    }
    scene.end().await;
}

/// For the socket's channelURL there is no REST resource (5.1).
#[tokio::test]
async fn s5_1_a_socket_url_is_for_the_handshake_only() {
    let scene = Scene::new().await;
    let channel = channel(&scene).await;
    let url = text(&channel["channelData"], "channelURL");
    assert!(url.starts_with("ws://") || url.starts_with("wss://"), "{url}");
    let (_, rest) = url.split_once("://").unwrap();
    for verb in [Method::GET, Method::POST] {
        let answer = scene.server.api.send(verb.clone(), &format!("http://{rest}"), &[], None).await;
        assert!(answer.status.is_client_error(), "{verb}: {}", answer.status);
    }
    scene.end().await;
}

#[tokio::test]
async fn i_3_conn_check_json() {
    let scene = Scene::new().await;
    let channel = channel(&scene).await;
    let mut socket = Socket::open(&channel).await;
    for check in
        [r#"{"connCheck":{"checkInterval":"30"}}"#, r#"{"connCheck":{"checkInterval":30}}"#, r#"{"connCheck":null}"#]
    {
        socket.say(Message::text(check)).await;
        let ack: Value = serde_json::from_str(&socket.frame().await).unwrap();
        assert_alike(&ack, &json!({ "connAck": { "channelLifetime": "1000" } }));
    }
    scene.end().await;
}

#[tokio::test]
async fn i_3_conn_check_xml() {
    let scene = Scene::new().await;
    let (url, _) = xml_channel(&scene).await;
    let mut socket = Socket::try_open(&url).await.unwrap();
    for content in ["<checkInterval>30</checkInterval>", ""] {
        socket.say(Message::text(nc("connCheck", content))).await;
        is_xml_document(&socket.frame().await, &nc("connAck", "<channelLifetime>3600</channelLifetime>"));
    }
    // It is answered in the format it came in, whatever the channel's.
    socket.say(Message::text(r#"{"connCheck":{}}"#)).await;
    let ack: Value = serde_json::from_str(&socket.frame().await).unwrap();
    assert_alike(&ack, &json!({ "connAck": { "channelLifetime": "3600" } }));
    scene.end().await;
}

/// The lifetime is reset to the value that the connAck tells.
#[tokio::test]
async fn i_3_a_conn_ack_resets_the_lifetime() {
    let scene = Scene::new().await;
    let channel = channel(&scene).await;
    pass_time(&scene).await;
    let mut socket = Socket::open(&channel).await;
    eventually("the opened socket has reset it", async || (remaining(&scene, &channel).await > 900).then_some(()))
        .await;
    pass_time(&scene).await;
    assert!(remaining(&scene, &channel).await <= 100);
    socket.say(Message::text(r#"{"connCheck":{}}"#)).await;
    assert!(socket.frame().await.contains("connAck"));
    assert!(remaining(&scene, &channel).await > 900);
    scene.end().await;
}

/// What the client should say is `null`, or the empty element. One that answers nothing does no harm.
#[tokio::test]
async fn i_3_a_conn_ack_of_the_client_is_taken_in_every_shape() {
    let scene = Scene::new().await;
    let channel = channel(&scene).await;
    let mut socket = Socket::open(&channel).await;
    for ack in [r#"{"connAck":null}"#, r#"{"connAck":{}}"#, &nc("connAck", "")] {
        socket.say(Message::text(ack)).await;
    }
    socket.say(Message::text(r#"{"connCheck":{}}"#)).await;
    assert!(socket.frame().await.contains("channelLifetime"), "the first answer is that to the connCheck");
    scene.end().await;
}

/// A connCheck of the server is an offer of a lifetime, which the client's connAck takes up. This server sends them to
/// clients that say at creation that they answer.
#[tokio::test]
async fn i_3_conn_check_of_the_server_json() {
    let scene = Scene::with_checks().await;
    let wish = json!({ "channelType": "WebSockets", "channelLifetime": 1000, "x-connCheckRole": "server" });
    let channel = scene.channel(wish).await;
    let mut socket = Socket::open(&channel).await;
    for ack in [r#"{"connAck":null}"#, r#"{"connAck":{}}"#] {
        let check: Value = serde_json::from_str(&socket.frame().await).unwrap();
        assert_alike(&check, &json!({ "connCheck": { "checkInterval": "2", "newChannelLifetime": "1000" } }));
        pass_time(&scene).await;
        assert!(remaining(&scene, &channel).await <= 100, "an offer changes nothing yet");
        socket.say(Message::text(ack)).await;
        eventually("the connAck resets it", async || (remaining(&scene, &channel).await > 900).then_some(())).await;
    }
    scene.end().await;
}

#[tokio::test]
async fn i_3_conn_check_of_the_server_xml() {
    let scene = Scene::with_checks().await;
    let request = nc(
        "notificationChannel",
        "<channelType>WebSockets</channelType><channelLifetime>1000</channelLifetime>
         <x-connCheckRole>server</x-connCheckRole>",
    );
    let answer = scene.ask(Method::POST, CHANNELS, XML, Some(request)).await;
    let url = json!({ "resourceURL": field(&answer, "resourceURL") });
    let mut socket = Socket::try_open(field(&answer, "channelURL")).await.unwrap();
    let example = "<checkInterval>2</checkInterval><newChannelLifetime>1000</newChannelLifetime>";
    is_xml_document(&socket.frame().await, &nc("connCheck", example));
    pass_time(&scene).await;
    socket.say(Message::text(nc("connAck", ""))).await;
    eventually("the connAck resets it", async || (remaining(&scene, &url).await > 900).then_some(())).await;
    scene.end().await;
}

/// The older socket gets no more notifications and is closed; the newer one gets them.
#[tokio::test]
async fn i_3_a_second_connection_supersedes_the_first() {
    let scene = Scene::new().await;
    let channel = channel(&scene).await;
    let mut old = Socket::open(&channel).await;
    old.say(Message::text(r#"{"connCheck":{}}"#)).await;
    assert!(old.frame().await.contains("connAck"));
    let mut new = Socket::open(&channel).await;
    assert_eq!(old.closed().await.0, 4001);
    let hi = json!({ "chatNotification": { "text": "hi" } });
    notify(&scene, &channel, &hi).await;
    let frame: Value = serde_json::from_str(&new.frame().await).unwrap();
    assert_alike(&frame, &json!({ "notificationList": [hi] }));
    scene.end().await;
}

#[tokio::test]
async fn i_5_notifications_in_a_list_json() {
    let scene = Scene::new().await;
    let channel = channel(&scene).await;
    let (hi, yo) = (json!({ "chatNotification": { "text": "hi" } }), json!({ "chatNotification": { "text": "yo" } }));
    notify(&scene, &channel, &hi).await;
    notify(&scene, &channel, &yo).await;
    let mut socket = Socket::open(&channel).await;
    let frame = socket.frame().await;
    assert_eq!(serde_json::from_str::<Value>(&frame).unwrap(), json!({ "notificationList": [hi, yo] }));
    scene.end().await;
}

/// I.5.3 shows one notification bare; this server has a list around it.
#[tokio::test]
async fn i_5_3_one_notification_is_in_a_list_where_it_might_stand_bare() {
    let scene = Scene::new().await;
    let channel = channel(&scene).await;
    let mut socket = Socket::open(&channel).await;
    let hi = json!({ "chatNotification": { "text": "hi" } });
    notify(&scene, &channel, &hi).await;
    assert_eq!(serde_json::from_str::<Value>(&socket.frame().await).unwrap(), json!({ "notificationList": [hi] }));
    scene.end().await;
}

#[tokio::test]
async fn i_5_notifications_in_a_list_xml() {
    let scene = Scene::new().await;
    let (url, callback_url) = xml_channel(&scene).await;
    let hi = r#"<c:chatNotification xmlns:c="urn:ex:1"><text>hi</text></c:chatNotification>"#;
    for _ in 0..2 {
        let posted = scene.ask(Method::POST, &callback_url, XML, Some(hi.to_owned())).await;
        assert_eq!(posted.status, 204);
    }
    let mut socket = Socket::try_open(&url).await.unwrap();
    let frame = socket.frame().await;
    is_xml_document(&frame, &nc("notificationList", &format!("{hi}{hi}")));
    assert!(frame.contains(&format!("{hi}{hi}")), "{frame}");
    scene.end().await;
}
