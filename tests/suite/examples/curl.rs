use serde_json::{Value, json};

use super::*;
use crate::nc::webhooks::is_signed_by;
use crate::support::client::EventList;
use crate::support::stand_in::{StandIn, reply};

fn lists(line: &str) -> Vec<EventList> {
    let line: Value = serde_json::from_str(line).unwrap();
    line["notificationList"].as_array().unwrap().iter().map(EventList::of).collect()
}

#[tokio::test]
async fn what_is_sent_is_polled_for_and_a_token_goes_on_from_there() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let mut poll = Running::start("curl/long-poll.sh", &server, &database, &["tel:+1"]).await;
    let sent = run("curl/send.sh", &server, &["tel:+1", r#"a "text" with \"#]).await;
    let sent: Value = serde_json::from_str(&sent).unwrap();
    let object = server.api.get(sent["reference"]["resourceURL"].as_str().unwrap()).await.text;
    assert!(object.contains(r#"a \"text\" with \\"#), "{object}");
    let [first] = &lists(&poll.line().await)[..] else { panic!("one list") };
    assert_eq!((first.kind(), first.index), ("changedObject", 1));
    let (rest, said) = poll.end(Signal::SIGTERM).await;
    assert!(rest.is_empty(), "{rest:?}");
    assert_nothing_is_left(&database).await;

    let token = said.trim().rsplit(' ').next().unwrap();
    write(&database, &["two", "three"]).await;
    let mut poll = Running::start("curl/long-poll.sh", &server, &database, &["tel:+1", token]).await;
    let mut missed = lists(&poll.line().await);
    if missed.len() < 2 {
        missed.extend(lists(&poll.line().await));
    }
    let seqs: Vec<i64> = missed.iter().map(|list| list.seq() - first.seq()).collect();
    assert_eq!(missed.iter().map(|list| list.index).collect::<Vec<_>>(), [1, 2]);
    assert!(seqs.is_sorted() && seqs[0] > 0, "{seqs:?}");
    poll.end(Signal::SIGTERM).await;
    server.stop().await;
}

#[tokio::test]
async fn polling_goes_on_when_the_channel_has_ended_and_when_the_server_comes_back() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let mut poll = Running::start("curl/long-poll.sh", &server, &database, &["tel:+1"]).await;
    write(&database, &["one"]).await;
    let first = lists(&poll.line().await).remove(0);
    let channels = server.api.get("/notificationchannel/v1/tel:+1/channels").await.json();
    let channel = &channels["notificationChannelList"]["notificationChannel"][0]["resourceURL"];
    assert_eq!(server.api.delete(channel.as_str().unwrap()).await.status, 204);
    write(&database, &["two"]).await;
    let second = lists(&poll.line().await).remove(0);
    assert!(second.seq() > first.seq());

    let address = server.api.url.trim_start_matches("http://").parse().unwrap();
    server.stop().await;
    write(&database, &["three"]).await;
    let server = Server::start_as(&database, |config| config.listen = address).await;
    assert!(lists(&poll.line().await).remove(0).seq() > second.seq());
    poll.end(Signal::SIGTERM).await;
    server.stop().await;
}

#[tokio::test]
async fn a_webhook_is_posted_to() {
    let database = Database::new().await;
    let server = Server::start_as(&database, |config| config.allow_private_targets = true).await;
    let hook = StandIn::start(|_, _| reply(204, &[], "")).await;
    let channel = run("curl/webhook.sh", &server, &["tel:+1", &hook.url]).await;
    let channel: Value = serde_json::from_str(&channel).unwrap();
    write(&database, &["one"]).await;
    let post = eventually("a post", async || hook.received().into_iter().next()).await;
    let body: Value = serde_json::from_slice(&post.body).unwrap();
    assert_eq!(body["notificationList"][0]["nmsEventList"]["index"], json!(1));
    let secret = channel["notificationChannel"]["channelData"]["x-webhookSecret"].as_str().unwrap();
    assert!(is_signed_by(&post, secret, post.headers["webhook-signature"].to_str().unwrap()));
    server.stop().await;
}
