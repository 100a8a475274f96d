//! A subscription with a filter and a restartToken (5.6), and its update after a loss (5.7).

use reqwest::Method;
use serde_json::json;
use tocsin::base::Format;

use super::{STREAM, Stage, Twin, twin};
use crate::support::client::EventList;

/// The subscription of the examples. Its filter is answered as it was understood: with the operator that is meant where
/// none is given.
fn described(index: &str, token: &str) -> Twin {
    twin(
        &format!(
            r#"{{"nmsSubscription":{{
                 "callbackReference":{{"notifyURL":"https://store.example.org/api/nc-callback/ch-5",
                   "callbackData":"cb-1","notificationFormat":"JSON"}},
                 "duration":86400,
                 "filter":{{"criterion":[{{"type":"Attribute","name":"Message-Context","value":"pager-message"}}],
                   "operator":"And"}},
                 "clientCorrelator":"dev-A-1","resourceURL":"{{B}}/subscriptions/s-3","index":{index},
                 "restartToken":"{token}"}}}}"#
        ),
        &format!(
            "<nms:nmsSubscription>
               <callbackReference><notifyURL>https://store.example.org/api/nc-callback/ch-5</notifyURL>
                 <callbackData>cb-1</callbackData><notificationFormat>JSON</notificationFormat></callbackReference>
               <duration>86400</duration>
               <filter><criterion><type>Attribute</type><name>Message-Context</name><value>pager-message</value>
                 </criterion><operator>And</operator></filter>
               <clientCorrelator>dev-A-1</clientCorrelator><resourceURL>{{B}}/subscriptions/s-3</resourceURL>
               <index>{index}</index><restartToken>{token}</restartToken></nms:nmsSubscription>"
        ),
    )
}

impl Stage {
    /// Subscribes from `t.e1.5000` on, which is the box's present token.
    async fn subscribes(&mut self) {
        let head = "select head_at from tocsin.streams where stream = $1";
        let head = self.sql.query_one(head, &[&STREAM]).await.unwrap().get(0);
        self.names.bind("t.e1.5000", &tocsin::log::event::token(head));
        // The same happens in all examples: a message of which the subscription is told, and one of which it is not.
        let context = r#","attributes":{"attribute":[{"name":"Message-Context","value":["pager-message"]}]}"#;
        self.has_object("o-1001", "/main", context).await;
        self.has_object("o-1002", "/main", "").await;
        let wish = twin(
            r#"{"nmsSubscription":{
                 "callbackReference":{"notifyURL":"https://store.example.org/api/nc-callback/ch-5",
                   "callbackData":"cb-1","notificationFormat":"JSON"},
                 "duration":86400,
                 "filter":{"criterion":[{"type":"Attribute","name":"Message-Context","value":"pager-message"}]},
                 "clientCorrelator":"dev-A-1","restartToken":"t.e1.5000"}}"#,
            "<nms:nmsSubscription>
               <callbackReference><notifyURL>https://store.example.org/api/nc-callback/ch-5</notifyURL>
                 <callbackData>cb-1</callbackData><notificationFormat>JSON</notificationFormat></callbackReference>
               <duration>86400</duration>
               <filter><criterion><type>Attribute</type><name>Message-Context</name><value>pager-message</value>
                 </criterion></filter>
               <clientCorrelator>dev-A-1</clientCorrelator><restartToken>t.e1.5000</restartToken></nms:nmsSubscription>",
        );
        let answer = self.say(Method::POST, "{B}/subscriptions", &wish).await;
        self.is_at(&answer, "{B}/subscriptions/s-3");
        self.is(&answer, 201, &described("1", "t.e1.5000"));
    }

    /// The next lists that a poll answers, of `count` and no more.
    async fn polled(&self, channel_url: &str, count: usize) -> Vec<EventList> {
        let mut lists = Vec::new();
        while lists.len() < count {
            let answer = self.server.api.post(channel_url, json!({ "longPollingRequestParameters": null })).await;
            assert_eq!(answer.status, 200, "{}", answer.text);
            lists.extend(answer.json()["notificationList"].as_array().unwrap().iter().map(EventList::of));
        }
        assert_eq!(lists.len(), count);
        lists
    }
}

/// What came after the token follows, as list 1.
async fn subscribe(mut stage: Stage) {
    stage.has_object("o-1", "/main", "").await;
    let channel = stage.has_channel("application/json").await;
    stage.subscribes().await;
    let list = stage.polled(&channel, 1).await.remove(0);
    assert_eq!((list.index, list.kind()), (1, "changedObject"));
    let object = list.events[0]["changedObject"]["resourceURL"].as_str().unwrap();
    stage.names.text_alike(object, &format!("{}/objects/o-1001", super::BOX));
    stage.end().await;
}

#[tokio::test]
async fn s5_6_subscribe_json() {
    subscribe(Stage::new(Format::Json).await).await;
}

#[tokio::test]
async fn s5_6_subscribe_xml() {
    subscribe(Stage::new(Format::Xml).await).await;
}

/// Of six lists the client has taken the first four: it asks for what is after the fourth.
async fn update_after_loss(mut stage: Stage) {
    stage.has_object("o-1", "/main", "").await;
    let channel = stage.has_channel("application/json").await;
    stage.subscribes().await;
    for flag in ["a", "b", "c", "d", "e"] {
        stage.ask(Method::PUT, &format!("{{B}}/objects/o-1001/flags/{flag}")).await;
    }
    let lists = stage.polled(&channel, 6).await;
    stage.names.bind("t.e1.5040", &lists[3].token);
    let update = twin(
        r#"{"nmsSubscriptionUpdate":{"duration":86400,"restartToken":"t.e1.5040"}}"#,
        "<nms:nmsSubscriptionUpdate><duration>86400</duration><restartToken>t.e1.5040</restartToken>\
         </nms:nmsSubscriptionUpdate>",
    );
    let answer = stage.say(Method::POST, "{B}/subscriptions/s-3", &update).await;
    stage.is(&answer, 200, &described("7", "t.e1.5040"));
    let again = stage.polled(&channel, 2).await;
    for (n, again) in (7..).zip(&again) {
        let lost = &lists[n - 3];
        assert_eq!((again.index, &again.events, &again.token), (n as i64, &lost.events, &lost.token));
    }
    stage.is_bare(&stage.ask(Method::DELETE, "{B}/subscriptions/s-3").await, 204);
    stage.end().await;
}

#[tokio::test]
async fn s5_7_update_after_loss_json() {
    update_after_loss(Stage::new(Format::Json).await).await;
}

#[tokio::test]
async fn s5_7_update_after_loss_xml() {
    update_after_loss(Stage::new(Format::Xml).await).await;
}
