//! The client in Rust, against real servers.

mod objects;
mod through;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt;
use tocsin::client::{Client, Criterion, Error, Event, Filter, Happening, Listen, Listener, Wish};
use tocsin::config::Limits;
use tokio::time::timeout;

use crate::support::postgres::Database;
use crate::support::relay::Relay;
use crate::support::server::{Program, Server};
use crate::support::{PATIENCE, eventually};

/// Writes messages whose subjects are these numbers.
pub async fn send(database: &Database, box_id: &str, numbers: std::ops::RangeInclusive<i32>) {
    let insert = "insert into tocsin.messages (box_id, body, attributes)
        select $1, 'x', jsonb_build_object('Subject', i::text) from generate_series($2::int, $3::int) i";
    database.connect().await.execute(insert, &[&box_id, numbers.start(), numbers.end()]).await.unwrap();
}

/// What a listener brings next.
pub async fn next(listener: &mut Listener) -> Option<Result<tocsin::client::NotificationList, Error>> {
    timeout(PATIENCE, listener.next()).await.expect("no list came")
}

/// Index, restartToken and event of each list, until so many objects have come.
async fn lists(listener: &mut Listener, objects: usize) -> Vec<(i64, String, Event)> {
    let mut seen = Vec::new();
    while seen.iter().filter(|(_, _, event)| matches!(event, Event::ChangedObject(_))).count() < objects {
        for notification in next(listener).await.expect("the stream has ended").unwrap().notifications {
            let list = notification.events.expect("nobody else posts");
            seen.extend(list.events.into_iter().map(|event| (list.index, list.restart_token.clone(), event)));
        }
    }
    seen
}

/// The subjects of so many objects.
pub async fn subjects(listener: &mut Listener, count: usize) -> Vec<i32> {
    lists(listener, count).await.iter().filter_map(|(_, _, event)| subject(event)).collect()
}

fn subject(event: &Event) -> Option<i32> {
    let Event::ChangedObject(item) = event else { return None };
    Some(item.attribute("Subject").expect("a Subject").parse().unwrap())
}

/// What happens to a listener, in words.
pub type Happenings = Arc<Mutex<Vec<String>>>;

pub fn witnessed(listen: Listen) -> (Listen, Happenings) {
    let happenings = Happenings::default();
    let told = happenings.clone();
    let listen = listen.told(move |happening| {
        told.lock().unwrap().push(match happening {
            Happening::Problem(fault) => format!("problem: {fault}"),
            other => format!("{other:?}"),
        });
    });
    (listen, happenings)
}

pub fn count(happenings: &Happenings, what: &str) -> usize {
    happenings.lock().unwrap().iter().filter(|happening| happening.starts_with(what)).count()
}

fn of_box(box_id: &str) -> Wish {
    Wish::of_box(box_id).with_attributes()
}

fn to_box(box_id: &str) -> Listen {
    Listen::new(box_id, [of_box(box_id)])
}

#[tokio::test]
async fn what_happens_in_a_box_comes_in_order_and_closing_leaves_nothing() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let client = Client::new(&server.api.url).unwrap();
    let mut listener = client.listen(to_box("ann")).await.unwrap();
    send(&database, "ann", 1..=3).await;
    let seen = lists(&mut listener, 3).await;
    let indexes: Vec<i64> = seen.iter().map(|(index, _, _)| *index).collect();
    assert_eq!(indexes, (1..=indexes.len() as i64).collect::<Vec<_>>());
    assert_eq!(seen.iter().filter_map(|(_, _, event)| subject(event)).collect::<Vec<_>>(), [1, 2, 3]);
    let channels = "/notificationchannel/v1/ann/channels";
    assert!(server.api.get(channels).await.text.contains("callbackURL"));
    listener.close().await.unwrap();
    for (collection, list, of) in [
        (channels, "notificationChannelList", "notificationChannel"),
        ("/nms/v1/default/ann/subscriptions", "nmsSubscriptionList", "subscription"),
    ] {
        assert_eq!(server.api.get(collection).await.json()[list][of], serde_json::json!([]));
    }
    server.stop().await;
}

#[tokio::test]
async fn who_comes_back_with_a_token_goes_on_from_there() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let client = Client::new(&server.api.url).unwrap();
    let mut first = client.listen(to_box("b")).await.unwrap();
    send(&database, "b", 1..=2).await;
    let seen = lists(&mut first, 2).await;
    first.close().await.unwrap();
    send(&database, "b", 3..=5).await;
    let (_, token, _) = &seen[seen.len() - 2];
    let mut second = client.listen(Listen::new("b", [of_box("b").after(token)])).await.unwrap();
    assert_eq!(subjects(&mut second, 4).await, [2, 3, 4, 5]);
    server.stop().await;
}

#[tokio::test]
async fn a_channel_serves_several_boxes_and_a_filter_what_it_wants() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let client = Client::new(&server.api.url).unwrap();
    let filter = Filter::all([Criterion::attribute("Subject", "2"), Criterion::flag("\\Seen", false)]);
    let wishes = [of_box("left").filtered(filter), of_box("right")];
    let mut listener = client.listen(Listen::new("ann", wishes)).await.unwrap();
    send(&database, "left", 1..=3).await;
    assert_eq!(subjects(&mut listener, 1).await, [2]);
    send(&database, "right", 4..=4).await;
    assert_eq!(subjects(&mut listener, 1).await, [4]);
    server.stop().await;
}

#[tokio::test]
async fn what_others_post_to_the_channel_comes_as_it_is() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let client = Client::new(&server.api.url).unwrap();
    let mut listener = client.listen(Listen::new("ann", [])).await.unwrap();
    let channels = server.api.get("/notificationchannel/v1/ann/channels").await.json();
    let callback = channels["notificationChannelList"]["notificationChannel"][0]["callbackURL"].as_str().unwrap();
    let posted = serde_json::json!({ "chatNotification": { "text": "hi" } });
    assert_eq!(server.api.post(callback, posted).await.status, 204);
    let list = next(&mut listener).await.unwrap().unwrap();
    assert!(list.notifications[0].events.is_none());
    assert_eq!(list.to_string(), r#"{"notificationList":[{"chatNotification":{"text":"hi"}}]}"#);
    server.stop().await;
}

#[tokio::test]
async fn a_refusal_says_why_and_leaves_nothing() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let client = Client::new(&server.api.url).unwrap();
    let wrong = of_box("b").filtered(Filter::all([Criterion::new("Attribute", None, "x")]));
    match client.listen(Listen::new("ann", [of_box("a"), wrong])).await.unwrap_err() {
        Error::Refused { status: 400, code: Some(code), text } => {
            assert_eq!(code, "SVC0003");
            assert!(text.contains("name, valid values are"), "{text}");
        }
        other => panic!("{other:?}"),
    }
    let channels = server.api.get("/notificationchannel/v1/ann/channels").await.json();
    assert_eq!(channels["notificationChannelList"]["notificationChannel"], serde_json::json!([]));
    server.stop().await;
    assert!(matches!(client.listen(to_box("b")).await.unwrap_err(), Error::Transport { .. }));
}

#[tokio::test]
async fn an_answer_that_is_none_of_ours_is_not_understood() {
    use crate::support::stand_in::{StandIn, reply};
    let other = StandIn::start(|_, _| reply(200, &[], "<html>hello</html>")).await;
    let client = Client::new(&other.url).unwrap();
    assert!(matches!(client.listen(to_box("b")).await.unwrap_err(), Error::Protocol(_)));
    let empty = StandIn::start(|_, _| reply(200, &[], "{}")).await;
    let client = Client::new(&empty.url).unwrap();
    assert!(matches!(client.listen(to_box("b")).await.unwrap_err(), Error::Protocol(_)));
}
