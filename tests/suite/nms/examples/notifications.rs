//! What a subscription is told: posted to a URL of the client (5.8), polled (5.9), and the reset of the box (5.10). The
//! flags of an event have their URL too. Each event is a list of its own.

use reqwest::Method;
use tocsin::base::Format;

use super::{STREAM, Stage, Twin, twin};
use crate::support::client::Answer;
use crate::support::eventually;
use crate::support::stand_in::{StandIn, reply};

/// The lists of the examples: of each its number, its token, and its event in both formats.
fn list(index: u32, token: &str, event: (&str, &str)) -> (String, String) {
    let (json, xml) = event;
    let link = r#"{"rel":"NmsSubscription","href":"{B}/subscriptions/s-3"}"#;
    (
        format!(
            r#"{{"nmsEventList":{{"nmsEvent":[{json}],"callbackData":"cb-1","index":{index},"restartToken":"{token}",
                 "link":[{link}]}}}}"#
        ),
        format!(
            r#"<nms:nmsEventList><nmsEvent>{xml}</nmsEvent><callbackData>cb-1</callbackData><index>{index}</index>
               <restartToken>{token}</restartToken><link rel="NmsSubscription" href="{{B}}/subscriptions/s-3"/>
               </nms:nmsEventList>"#
        ),
    )
}

const CHANGED_OBJECT: (&str, &str) = (
    r#"{"changedObject":{"parentFolder":"{B}/folders/f-42",
         "flags":{"flag":["\\Seen","\\Flagged"],"resourceURL":"{B}/objects/o-1001/flags"},
         "resourceURL":"{B}/objects/o-1001","lastModSeq":5041,"correlationId":"mid-7788","correlationTag":"9f3c21aa"}}"#,
    r"<changedObject><parentFolder>{B}/folders/f-42</parentFolder>
        <flags><flag>\Seen</flag><flag>\Flagged</flag><resourceURL>{B}/objects/o-1001/flags</resourceURL></flags>
        <resourceURL>{B}/objects/o-1001</resourceURL><lastModSeq>5041</lastModSeq>
        <correlationId>mid-7788</correlationId><correlationTag>9f3c21aa</correlationTag></changedObject>",
);
const DELETED_OBJECT: (&str, &str) = (
    r#"{"deletedObject":{"resourceURL":"{B}/objects/o-950","lastModSeq":5042,"correlationId":"mid-1200"}}"#,
    "<deletedObject><resourceURL>{B}/objects/o-950</resourceURL><lastModSeq>5042</lastModSeq>\
     <correlationId>mid-1200</correlationId></deletedObject>",
);
const EXPIRED_OBJECT: (&str, &str) = (
    r#"{"expiredObject":{"resourceURL":"{B}/objects/o-111","lastModSeq":5043}}"#,
    "<expiredObject><resourceURL>{B}/objects/o-111</resourceURL><lastModSeq>5043</lastModSeq></expiredObject>",
);
const CHANGED_FOLDER: (&str, &str) = (
    r#"{"changedFolder":{"parentFolder":"{B}/folders/f-main","resourceURL":"{B}/folders/f-77","name":"trip-2024",
         "lastModSeq":5044}}"#,
    "<changedFolder><parentFolder>{B}/folders/f-main</parentFolder><resourceURL>{B}/folders/f-77</resourceURL>
       <name>trip-2024</name><lastModSeq>5044</lastModSeq></changedFolder>",
);
const RESET_BOX: (&str, &str) = (r#"{"resetBox":null}"#, "<resetBox/>");

impl Stage {
    /// The box is as the examples find it, and `notify_url` is told of what happens in it.
    async fn is_subscribed(&mut self, notify_url: &str) {
        self.has_folder("f-root", "f-main", "main").await;
        self.has_folder("f-main", "f-77", "trip").await;
        let correlated = r#","correlationId":"mid-7788","correlationTag":"9f3c21aa""#;
        self.has_object("o-1001", "/main/chat-42", correlated).await;
        self.has_object("o-950", "/main", r#","correlationId":"mid-1200""#).await;
        self.has_object("o-111", "/main", "").await;
        let format = if self.format == Format::Json { "JSON" } else { "XML" };
        let wish = twin(
            &format!(
                r#"{{"nmsSubscription":{{"callbackReference":{{"notifyURL":"{notify_url}","callbackData":"cb-1",
                     "notificationFormat":"{format}"}}}}}}"#
            ),
            &format!(
                "<nms:nmsSubscription><callbackReference><notifyURL>{notify_url}</notifyURL>
                 <callbackData>cb-1</callbackData><notificationFormat>{format}</notificationFormat></callbackReference>
                 </nms:nmsSubscription>"
            ),
        );
        let answer = self.say(Method::POST, "{B}/subscriptions", &wish).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        self.is_at(&answer, "{B}/subscriptions/s-3");
    }

    /// Three changes of which the examples do not tell, and the four of which they do.
    async fn things_happen(&self) {
        for method in [Method::PUT, Method::DELETE, Method::PUT] {
            assert!(self.ask(method, "{B}/objects/o-1001/flags/x").await.status.is_success());
        }
        let flags = twin(
            r#"{"flagList":{"flag":["\\Seen","\\Flagged"]}}"#,
            r"<nms:flagList><flag>\Seen</flag><flag>\Flagged</flag></nms:flagList>",
        );
        assert_eq!(self.say(Method::PUT, "{B}/objects/o-1001/flags", &flags).await.status, 200);
        assert_eq!(self.ask(Method::DELETE, "{B}/objects/o-950").await.status, 204);
        let id: i64 = self.names.filled("o-111").parse().unwrap();
        let expire = "select tocsin.end_object($1, $2, 'expired')";
        assert!(self.sql.query_one(expire, &[&STREAM, &id]).await.unwrap().get::<_, bool>(0));
        let name = twin(r#"{"name":"trip-2024"}"#, "<nms:name>trip-2024</nms:name>");
        assert_eq!(self.say(Method::PUT, "{B}/folders/f-77/folderName", &name).await.status, 200);
    }
}

fn document((json, xml): (String, String)) -> Twin {
    twin(&json, &xml)
}

async fn notifications_to_a_client(mut stage: Stage) {
    let client = StandIn::start(|_, _| reply(204, &[], "")).await;
    let hook = format!("{}/hook", client.url);
    stage.is_subscribed(&hook).await;
    stage.things_happen().await;
    let posts =
        eventually("the lists are posted", async || Some(client.received()).filter(|posts| posts.len() == 7)).await;
    for ((post, index), event) in
        posts[3..].iter().zip(4..).zip([CHANGED_OBJECT, DELETED_OBJECT, EXPIRED_OBJECT, CHANGED_FOLDER])
    {
        assert_eq!((post.method.as_str(), post.path.as_str()), ("POST", "/hook"));
        assert_eq!(post.headers["content-type"], stage.media());
        let expected = document(list(index, &format!("t.e1.{}", 5037 + index), event));
        stage.is_document(std::str::from_utf8(&post.body).unwrap(), &expected);
    }
    stage.end().await;
}

#[tokio::test]
async fn s5_8_notifications_to_a_client_json() {
    notifications_to_a_client(Stage::new(Format::Json).await).await;
}

#[tokio::test]
async fn s5_8_notifications_to_a_client_xml() {
    notifications_to_a_client(Stage::new(Format::Xml).await).await;
}

impl Stage {
    /// Polls once.
    async fn polls(&self, channel_url: &str) -> Answer {
        let poll = twin(r#"{"longPollingRequestParameters":null}"#, "<nc:longPollingRequestParameters/>");
        self.say(Method::POST, channel_url, &poll).await
    }
}

/// A list as a poll is answered, of a channel whose maxNotifications is 1.
fn in_a_list((json, xml): (String, String)) -> Twin {
    twin(&format!(r#"{{"notificationList":[{json}]}}"#), &format!("<nc:notificationList>{xml}</nc:notificationList>"))
}

async fn notifications_by_long_polling(mut stage: Stage) {
    let channel = stage.has_channel(stage.media()).await;
    stage.is_subscribed("https://store.example.org/api/nc-callback/ch-5").await;
    stage.things_happen().await;
    for _ in 1..4 {
        stage.polls(&channel).await;
    }
    for (index, event) in (4..).zip([CHANGED_OBJECT, DELETED_OBJECT, EXPIRED_OBJECT, CHANGED_FOLDER]) {
        let answer = stage.polls(&channel).await;
        stage.is(&answer, 200, &in_a_list(list(index, &format!("t.e1.{}", 5037 + index), event)));
    }
    let nothing = stage.polls(&channel).await;
    stage.is(&nothing, 200, &twin(r#"{"notificationList":[]}"#, "<nc:notificationList/>"));
    stage.end().await;
}

#[tokio::test]
async fn s5_9_notifications_by_long_polling_json() {
    notifications_by_long_polling(Stage::new(Format::Json).await).await;
}

#[tokio::test]
async fn s5_9_notifications_by_long_polling_xml() {
    notifications_by_long_polling(Stage::new(Format::Xml).await).await;
}

async fn box_reset(mut stage: Stage) {
    let channel = stage.has_channel(stage.media()).await;
    stage.is_subscribed("https://store.example.org/api/nc-callback/ch-5").await;
    stage.things_happen().await;
    let reset = "insert into tocsin.events (stream, kind) values ($1, 'box.reset')";
    stage.sql.execute(reset, &[&STREAM]).await.unwrap();
    for _ in 1..8 {
        stage.polls(&channel).await;
    }
    let answer = stage.polls(&channel).await;
    stage.is(&answer, 200, &in_a_list(list(8, "t.e2.0", RESET_BOX)));
    stage.end().await;
}

#[tokio::test]
async fn s5_10_box_reset_json() {
    box_reset(Stage::new(Format::Json).await).await;
}

#[tokio::test]
async fn s5_10_box_reset_xml() {
    box_reset(Stage::new(Format::Xml).await).await;
}
