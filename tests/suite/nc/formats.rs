//! XML beside JSON, and forms: the same resources, the same faults.

use reqwest::Method;
use serde_json::{Value, json};
use tocsin::wire::xml;
use tokio_tungstenite::tungstenite::Message;

use super::{JSON, channels_of, post_text};
use crate::support::client::{Answer, Socket};
use crate::support::postgres::Database;
use crate::support::server::Server;

const XML: (&str, &str) = ("content-type", "application/xml");
const READS_XML: (&str, &str) = ("accept", "application/xml");
const NAMESPACE: &str = r#"xmlns:nc="urn:oma:xml:rest:netapi:notificationchannel:1""#;

/// An answer in XML, in the JSON it stands for.
fn document(answer: &Answer) -> Value {
    assert_eq!(answer.header("content-type"), "application/xml");
    let (name, value) = xml::read(answer.text.as_bytes()).unwrap();
    json!({ name: value })
}

fn create(fields: &str) -> String {
    format!("<?xml version=\"1.0\"?><nc:notificationChannel {NAMESPACE}>{fields}</nc:notificationChannel>")
}

#[tokio::test]
async fn a_channel_in_xml_is_the_same_channel() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let path = channels_of("tel%3A%2B1");
    let body = create(
        r#"<clientCorrelator>c</clientCorrelator><applicationTag>a &lt; b</applicationTag>
           <channelType>WebSockets</channelType>
           <channelData xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="nc:WebSocketsData">
             <maxNotifications> 5 </maxNotifications></channelData><channelLifetime>1000</channelLifetime>"#,
    );
    let created = post_text(&server, &path, &[XML], &body).await;
    assert_eq!(created.status, 201, "{}", created.text);
    assert!(created.text.contains(&format!("<nc:notificationChannel {NAMESPACE}")), "{}", created.text);
    assert!(created.text.contains(r#"<channelData xsi:type="nc:WebSocketsData"><channelURL>"#), "{}", created.text);
    let in_xml = document(&created);
    let channel = &in_xml["notificationChannel"];
    assert_eq!((&channel["applicationTag"], &channel["channelLifetime"]), (&json!("a < b"), &json!("1000")));
    assert_eq!(created.header("location"), channel["resourceURL"].as_str().unwrap());

    let url = channel["resourceURL"].as_str().unwrap();
    let in_json = server.api.get(url).await.json();
    assert_eq!(in_json["notificationChannel"]["channelData"]["maxNotifications"], 5);
    assert_eq!(in_json["notificationChannel"]["callbackURL"], channel["callbackURL"]);
    let again = server.api.send(Method::GET, url, &[READS_XML], None).await;
    assert_eq!(again.text, created.text);
    for query in ["resFormat=XML", "resFormat=xml&other=x"] {
        assert_eq!(document(&server.api.get(&format!("{url}?{query}")).await), in_xml);
    }
    let as_json = server.api.send(Method::GET, &format!("{url}?resFormat=JSON"), &[READS_XML], None).await;
    assert_eq!(as_json.json(), in_json, "resFormat wins");

    let list = document(&server.api.send(Method::GET, &path, &[READS_XML], None).await);
    assert_eq!(&list["notificationChannelList"]["notificationChannel"], channel);
    let lifetime = format!(
        "<nc:notificationChannelLifetime {NAMESPACE}><channelLifetime>77</channelLifetime></nc:notificationChannelLifetime>"
    );
    let refreshed = server.api.send(Method::PUT, &format!("{url}/channelLifetime"), &[XML], Some(lifetime)).await;
    assert_eq!(document(&refreshed), json!({ "notificationChannelLifetime": { "channelLifetime": "77" } }));
    server.stop().await;
}

#[tokio::test]
async fn faults_come_in_the_format_that_was_asked_for() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let path = channels_of("alice");
    let faults = [
        (post_text(&server, &path, &[XML], &create("<channelType>Pigeon</channelType>")).await, 400, "SVC0003"),
        (post_text(&server, &path, &[XML], "<nc:other/>").await, 400, "SVC0002"),
        (post_text(&server, &path, &[XML], "<!DOCTYPE x><notificationChannel/>").await, 400, "SVC0002"),
        (post_text(&server, &path, &[JSON, READS_XML], "{").await, 400, "SVC0002"),
        (server.api.send(Method::GET, &format!("{path}/none"), &[READS_XML], None).await, 404, "SVC0004"),
        (server.api.send(Method::GET, "/nowhere", &[READS_XML], None).await, 404, "SVC0004"),
    ];
    for (answer, status, id) in faults {
        assert_eq!(answer.status, status, "{}", answer.text);
        assert!(answer.text.contains(r#"<common:requestError xmlns:common="urn:oma:xml:rest:netapi:common:1">"#));
        assert_eq!(document(&answer)["requestError"]["serviceException"]["messageId"], id, "{}", answer.text);
    }
    server.stop().await;
}

#[tokio::test]
async fn notifications_come_in_the_format_of_their_subscription() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let channel = server.api.channel("alice").await;
    let callback = channel["callbackURL"].as_str().unwrap();
    let subscribe = format!(
        r#"<nms:nmsSubscription xmlns:nms="urn:oma:xml:rest:netapi:nms:1"><callbackReference>
             <notifyURL>{callback}</notifyURL><callbackData>a&amp;b</callbackData></callbackReference>
           </nms:nmsSubscription>"#
    );
    let path = "/nms/v1/default/b/subscriptions";
    let created = post_text(&server, path, &[XML], &subscribe).await;
    assert_eq!(created.status, 201, "{}", created.text);
    let subscription = document(&created)["nmsSubscription"].clone();
    assert_eq!(subscription["callbackReference"]["notificationFormat"], "XML", "that of the request");
    let mut socket = Socket::open(&channel).await;
    let sql = database.connect().await;
    sql.batch_execute("insert into tocsin.messages (box_id, body) values ('b', 'x')").await.unwrap();
    let frame = socket.frame().await;
    assert!(frame.contains(r#"<nms:nmsEventList xmlns:nms="urn:oma:xml:rest:netapi:nms:1"><nmsEvent><changedObject>"#));
    let (root, lists) = xml::read(frame.as_bytes()).unwrap();
    let list = &lists[0]["nmsEventList"];
    assert_eq!(
        (root.as_str(), &list["callbackData"], &list["index"]),
        ("notificationList", &json!("a&b"), &json!("1"))
    );
    assert_eq!(list["link"]["href"], subscription["resourceURL"]);
    assert_eq!(list["nmsEvent"]["changedObject"]["lastModSeq"], "2");

    // A list of each format is a frame of its own; content and index are the same in both.
    server.api.subscribe("b", &channel).await;
    sql.batch_execute("insert into tocsin.messages (box_id, body) values ('b', 'y')").await.unwrap();
    let frames = [socket.frame().await, socket.frame().await];
    let xml_frame = frames.iter().find(|frame| frame.starts_with('<')).unwrap();
    let json_frame: Value = serde_json::from_str(frames.iter().find(|frame| frame.starts_with('{')).unwrap()).unwrap();
    let (_, lists) = xml::read(xml_frame.as_bytes()).unwrap();
    assert_eq!(lists[0]["nmsEventList"]["index"], "2");
    let token = &json_frame["notificationList"][0]["nmsEventList"]["restartToken"];
    assert_eq!(&lists[0]["nmsEventList"]["restartToken"], token);

    socket
        .say(Message::text(format!("<nc:connCheck {NAMESPACE}><checkInterval>9</checkInterval></nc:connCheck>")))
        .await;
    let (root, ack) = xml::read(socket.frame().await.as_bytes()).unwrap();
    assert_eq!((root.as_str(), ack), ("connAck", json!({ "channelLifetime": "3600" })));
    socket.close().await;
    server.stop().await;
}
