//! 6.3.5: polls, and what they are answered; D.12 to D.15 in JSON.

use reqwest::Method;
use serde_json::{Value, json};

use super::alike::{assert_alike, is_json, is_xml};
use super::{CHANNELS, JSON, Scene, XML, fault, field, nc};
use crate::nc::text;
use crate::support::client::Answer;
use crate::support::eventually;

const HI: &str = r#"<c:chatNotification xmlns:c="urn:ex:1"><text>hi</text></c:chatNotification>"#;
const YO: &str = r#"<p:presenceNotification xmlns:p="urn:ex:2"><status>yo</status></p:presenceNotification>"#;

/// A channel whose client writes and reads one format: its channelURL and callbackURL.
struct Polled<'a> {
    scene: &'a Scene,
    media: &'static str,
    channel_url: String,
    callback_url: String,
}

impl Polled<'_> {
    async fn xml(scene: &Scene) -> Polled<'_> {
        let request = nc("notificationChannel", "<channelType>LongPolling</channelType>");
        let answer = scene.ask(Method::POST, CHANNELS, XML, Some(request)).await;
        let url = |name| field(&answer, name).to_owned();
        Polled { scene, media: XML, channel_url: url("channelURL"), callback_url: url("callbackURL") }
    }

    async fn json(scene: &Scene) -> Polled<'_> {
        let channel = scene.channel(json!({ "channelType": "LongPolling" })).await;
        let channel_url = text(&channel["channelData"], "channelURL").to_owned();
        Polled { scene, media: JSON, channel_url, callback_url: text(&channel, "callbackURL").to_owned() }
    }

    /// An enabler posts.
    async fn notify(&self, notification: impl ToString) {
        let posted = self.scene.ask(Method::POST, &self.callback_url, self.media, Some(notification.to_string())).await;
        assert_eq!((posted.status.as_u16(), posted.text.as_str()), (204, ""));
    }

    async fn poll(&self) -> Answer {
        let body = if self.media == XML {
            nc("longPollingRequestParameters", "")
        } else {
            r#"{"longPollingRequestParameters":null}"#.to_owned()
        };
        self.scene.ask(Method::POST, &self.channel_url, self.media, Some(body)).await
    }

    /// Polls twice at once: what the older and the newer one are answered.
    async fn poll_twice(&self, notification: impl ToString) -> (Answer, Answer) {
        let is_open = async |opened: i64| {
            let row = self.scene.database.connect().await;
            let query = "select (select count(*) from tocsin.polls where open is not null)
                              + (select count(*) from tocsin.events where kind = 'channel.opened')";
            let count: i64 = row.query_one(query, &[]).await.unwrap().get(0);
            (count == opened).then_some(())
        };
        let newer = async {
            eventually("a poll is open", async || is_open(1).await).await;
            let answered = async {
                eventually("a second one takes over", async || is_open(2).await).await;
                self.notify(notification).await;
            };
            tokio::join!(self.poll(), answered).0
        };
        tokio::join!(self.poll(), newer)
    }
}

#[tokio::test]
async fn s6_3_5_an_empty_list_xml() {
    let scene = Scene::new().await;
    let answer = Polled::xml(&scene).await.poll().await;
    is_xml(&answer, 200, &nc("notificationList", ""));
    scene.end().await;
}

/// The example has `null` where this server has an empty array, as clients need it.
#[tokio::test]
async fn d_14_an_empty_list_json() {
    let scene = Scene::new().await;
    let answer = Polled::json(&scene).await.poll().await;
    is_json(&answer, 200, &json!({ "notificationList": null }));
    assert_eq!(answer.text, r#"{"notificationList":[]}"#, "always an array");
    scene.end().await;
}

#[tokio::test]
async fn s6_3_5_one_notification_in_a_list_xml() {
    let scene = Scene::new().await;
    let polled = Polled::xml(&scene).await;
    polled.notify(HI).await;
    let answer = polled.poll().await;
    is_xml(&answer, 200, &nc("notificationList", HI));
    assert!(answer.text.contains(HI), "it keeps its namespace: {}", answer.text);
    scene.end().await;
}

/// The example has an object where this server has an array with one item, as clients need it.
#[tokio::test]
async fn d_12_one_notification_in_a_list_json() {
    let scene = Scene::new().await;
    let polled = Polled::json(&scene).await;
    polled.notify(json!({ "chatNotification": { "text": "hi" } })).await;
    let answer = polled.poll().await;
    is_json(&answer, 200, &json!({ "notificationList": { "chatNotification": { "text": "hi" } } }));
    assert_eq!(answer.text, r#"{"notificationList":[{"chatNotification":{"text":"hi"}}]}"#, "always an array");
    scene.end().await;
}

/// A single notification may be the root of the answer; this server has a list around each one.
#[tokio::test]
async fn s6_3_5_4_one_notification_is_in_a_list_where_it_might_stand_bare() {
    let scene = Scene::new().await;
    for polled in [Polled::xml(&scene).await, Polled::json(&scene).await] {
        let is_xml = polled.media == XML;
        polled.notify(if is_xml { HI } else { r#"{"chatNotification":{"text":"hi"}}"# }).await;
        let answer = polled.poll().await;
        let (start, rest) = if is_xml { ("<?xml", "<nc:notificationList ") } else { ("{", r#"{"notificationList":["#) };
        assert!(answer.text.starts_with(start) && answer.text.contains(rest), "{}", answer.text);
    }
    scene.end().await;
}

#[tokio::test]
async fn s6_3_5_several_notifications_xml() {
    let scene = Scene::new().await;
    let polled = Polled::xml(&scene).await;
    for notification in [HI, YO, HI] {
        polled.notify(notification).await;
    }
    let answer = polled.poll().await;
    is_xml(&answer, 200, &nc("notificationList", &format!("{HI}{YO}{HI}")));
    assert!(answer.text.contains(&format!("{HI}{YO}{HI}")), "each keeps its namespace: {}", answer.text);
    is_xml(&polled.poll().await, 200, &nc("notificationList", ""));
    scene.end().await;
}

#[tokio::test]
async fn d_13_several_notifications_json() {
    let scene = Scene::new().await;
    let polled = Polled::json(&scene).await;
    let (hi, yo) = (json!({ "chatNotification": { "text": "hi" } }), json!({ "chatNotification": { "text": "yo" } }));
    polled.notify(&hi).await;
    polled.notify(&yo).await;
    is_json(&polled.poll().await, 200, &json!({ "notificationList": [hi, yo] }));
    assert_eq!(polled.poll().await.json()["notificationList"], json!([]));
    scene.end().await;
}

/// Notifications of a message store, as 6.3.5 has them of other enablers.
#[tokio::test]
async fn s6_3_5_notifications_of_this_server_s_own_store() {
    let scene = Scene::new().await;
    let polled = Polled::json(&scene).await;
    let reference = json!({ "notifyURL": polled.callback_url, "callbackData": "mine" });
    let subscription = json!({ "nmsSubscription": { "callbackReference": reference } });
    assert_eq!(scene.server.api.post("/nms/v1/default/b/subscriptions", subscription).await.status, 201);
    let insert = "insert into tocsin.messages (box_id, body) values ('b', 'x')";
    scene.database.connect().await.batch_execute(insert).await.unwrap();
    let list = polled.poll().await.json()["notificationList"][0]["nmsEventList"].clone();
    assert_eq!((list["index"].clone(), list["callbackData"].clone()), (json!(1), json!("mine")));
    scene.end().await;
}

/// The older of two polls is ended, the newer one gets what comes (5.3.19, 7.1.1).
#[tokio::test]
async fn s6_3_5_two_polls_at_once_xml() {
    let scene = Scene::without_push().await;
    let (older, newer) = Polled::xml(&scene).await.poll_twice(HI).await;
    let example = fault(
        "<serviceException><messageId>SVC1012</messageId>
           <text>Simultaneous channel requests not supported</text></serviceException>",
    );
    is_xml(&older, 409, &example);
    is_xml(&newer, 200, &nc("notificationList", HI));
    scene.end().await;
}

#[tokio::test]
async fn d_two_polls_at_once_json() {
    let scene = Scene::without_push().await;
    let hi = json!({ "chatNotification": { "text": "hi" } });
    let (older, newer) = Polled::json(&scene).await.poll_twice(&hi).await;
    let exception = json!({ "messageId": "SVC1012", "text": "Simultaneous channel requests not supported" });
    is_json(&older, 409, &json!({ "requestError": { "serviceException": exception } }));
    assert_eq!(older.json()["requestError"]["serviceException"]["variables"], json!([]), "always an array");
    assert_alike(&newer.json(), &json!({ "notificationList": [hi] }));
    scene.end().await;
}

#[tokio::test]
async fn s6_3_a_channel_url_that_leads_nowhere() {
    let scene = Scene::new().await;
    let polled = Polled::json(&scene).await;
    let other = scene.channel(json!({ "channelType": "OMAPush" })).await;
    assert_eq!(other["channelData"].get("channelURL"), Option::<&Value>::None, "OMAPush has none");
    for url in [format!("{}x", polled.channel_url), polled.callback_url.replace("/callback/", "/poll/")] {
        let answer = scene.ask(Method::POST, &url, JSON, Some("{}".to_owned())).await;
        assert_eq!((answer.status.as_u16(), answer.fault().0.as_str()), (404, "SVC0004"), "{url}");
    }
    scene.end().await;
}
