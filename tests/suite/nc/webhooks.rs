//! Webhooks: we post to a URL of the client.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use tocsin::channel::leases::LEASE;
use tocsin::wire::xml;

use super::{channels_of, text};
use crate::support::client::EventList;
use crate::support::eventually;
use crate::support::postgres::Database;
use crate::support::server::{Program, Server};
use crate::support::stand_in::{Received, StandIn, reply};

/// A server that may post to this machine.
async fn start(database: &Database) -> Server {
    Server::start_as(database, |config| config.allow_private_targets = true).await
}

pub fn webhook(url: &str) -> Value {
    json!({ "channelType": "Webhooks", "channelData": { "x-webhookURL": url, "maxNotifications": 3 } })
}

async fn write(database: &Database, from: usize, to: usize) {
    let insert = format!(
        "insert into tocsin.messages (box_id, body) select 'b', i::text from generate_series({from}, {to}) as i"
    );
    database.connect().await.batch_execute(&insert).await.unwrap();
}

fn lists(posted: &[Received]) -> Vec<EventList> {
    let bodies = posted.iter().map(|post| serde_json::from_slice::<Value>(&post.body).unwrap());
    bodies
        .flat_map(|body| body["notificationList"].as_array().unwrap().iter().map(EventList::of).collect::<Vec<_>>())
        .collect()
}

fn header<'a>(post: &'a Received, name: &str) -> &'a str {
    post.headers[name].to_str().unwrap()
}

/// By the Standard Webhooks scheme.
fn is_signed(post: &Received, secret: &str) -> bool {
    is_signed_by(post, secret, header(post, "webhook-signature"))
}

/// Whether this is its signature.
pub fn is_signed_by(post: &Received, secret: &str, signature: &str) -> bool {
    let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
    mac.update(format!("{}.{}.", header(post, "webhook-id"), header(post, "webhook-timestamp")).as_bytes());
    mac.update(&post.body);
    mac.verify_slice(&STANDARD.decode(signature.strip_prefix("v1,").unwrap()).unwrap()).is_ok()
}

/// Waits until so many lists were posted, and answers them.
async fn posted(client: &StandIn, count: usize) -> Vec<EventList> {
    eventually("the lists are posted", async || {
        let lists = lists(&client.received());
        (lists.len() >= count).then_some(lists)
    })
    .await
}

#[tokio::test]
async fn lists_are_posted_signed_and_in_order() {
    let database = Database::new().await;
    let server = start(&database).await;
    let client = StandIn::start(|_, _| reply(204, &[], "")).await;
    let channel = server.api.channel_with("alice", webhook(&format!("{}/hook", client.url))).await;
    assert_eq!(channel["channelType"], "webhooks");
    let data = &channel["channelData"];
    assert_eq!((text(data, "x-webhookURL"), &data["maxNotifications"]), (&*format!("{}/hook", client.url), &json!(3)));
    server.api.subscribe("b", &channel).await;
    write(&database, 1, 10).await;
    let lists = posted(&client, 10).await;
    assert_eq!(lists.iter().map(|list| list.index).collect::<Vec<_>>(), (1..=10).collect::<Vec<_>>());
    let posts = client.received();
    for post in &posts {
        assert_eq!((post.method.as_str(), post.path.as_str()), ("POST", "/hook"));
        assert_eq!(header(post, "content-type"), "application/json");
        assert!(is_signed(post, text(data, "x-webhookSecret")));
        assert!(self::lists(std::slice::from_ref(post)).len() <= 3);
    }
    let mut ids: Vec<_> = posts.iter().map(|post| header(post, "webhook-id")).collect();
    ids.dedup();
    assert_eq!(ids.len(), posts.len(), "each has an id of its own");
    server.stop().await;
}

#[tokio::test]
async fn what_is_not_taken_is_posted_again_before_anything_else() {
    let database = Database::new().await;
    let server = start(&database).await;
    let client = StandIn::start(|_, before| match before {
        0 => reply(503, &[("retry-after", "1")], ""),
        1 => reply(400, &[], ""),
        _ => reply(200, &[], "fine"),
    })
    .await;
    let channel = server.api.channel_with("alice", webhook(&client.url)).await;
    server.api.subscribe("b", &channel).await;
    write(&database, 1, 1).await;
    eventually("a first attempt", async || (!client.received().is_empty()).then_some(())).await;
    write(&database, 2, 5).await;
    let lists = posted(&client, 2 + 5).await;
    assert_eq!(lists.iter().map(|list| list.index).collect::<Vec<_>>(), [1, 1, 1, 2, 3, 4, 5]);
    let posts = client.received();
    for again in &posts[1..3] {
        assert_eq!((header(again, "webhook-id"), &again.body), (header(&posts[0], "webhook-id"), &posts[0].body));
    }
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_is_gone_is_given_up_until_it_refreshes_its_channel() {
    let database = Database::new().await;
    let server = start(&database).await;
    let (client, status) = StandIn::answering(410).await;
    let channel = server.api.channel_with("alice", webhook(&client.url)).await;
    server.api.subscribe("b", &channel).await;
    write(&database, 1, 1).await;
    let sql = database.connect().await;
    let disabled = "select data ->> 'why' from tocsin.events where kind = 'channel.disabled'";
    let why: String =
        eventually("the log says so", async || sql.query_opt(disabled, &[]).await.unwrap().map(|row| row.get(0))).await;
    assert!(why.contains("410"), "{why}");
    let shown = server.api.get(text(&channel, "resourceURL")).await.json();
    assert_eq!(shown["notificationChannel"]["x-disabled"]["reason"], why, "{shown}");
    write(&database, 2, 3).await;
    status.store(204, Ordering::Relaxed);
    assert_eq!(client.received().len(), 1, "nothing is posted to a disabled channel");
    let url = format!("{}/channelLifetime", text(&channel, "resourceURL"));
    assert_eq!(server.api.put(&url, json!({ "notificationChannelLifetime": null })).await.status, 200);
    let shown = server.api.get(text(&channel, "resourceURL")).await.json();
    assert_eq!(shown["notificationChannel"].get("x-disabled"), None);
    let lists = posted(&client, 4).await;
    assert_eq!(lists.iter().map(|list| list.index).collect::<Vec<_>>(), [1, 1, 2, 3], "nothing is lost");
    server.stop().await;
}

#[tokio::test]
async fn failing_for_too_long_disables_a_channel() {
    let database = Database::new().await;
    let server = Server::start_as(&database, |config| {
        config.allow_private_targets = true;
        config.limits.sender_disable_after_seconds = 0;
    })
    .await;
    let client = StandIn::start(|_, _| reply(500, &[], "")).await;
    let channel = server.api.channel_with("alice", webhook(&client.url)).await;
    server.api.subscribe("b", &channel).await;
    write(&database, 1, 1).await;
    let sql = database.connect().await;
    let disabled = "select 1 from tocsin.channels where disabled_at is not null and disabled_why like '%500%'";
    eventually("it is disabled", async || sql.query_opt(disabled, &[]).await.unwrap()).await;
    server.stop().await;
}

#[tokio::test]
async fn one_node_posts_and_another_takes_over() {
    let database = Database::new().await;
    let client = StandIn::start(|_, _| reply(204, &[], "")).await;
    let arguments = ["--database-url", database.url(), "--listen", "127.0.0.1:0", "--allow-private-targets"];
    let first = Program::start_with(&arguments).await;
    let channel = first.api.channel_with("alice", webhook(&client.url)).await;
    first.api.subscribe("b", &channel).await;
    let second = start(&database).await;
    write(&database, 1, 20).await;
    posted(&client, 20).await;
    let killed = Instant::now();
    first.kill().await; // its lease runs out by itself
    write(&database, 21, 40).await;
    let indexes = eventually("everything is posted", async || {
        let indexes: Vec<_> = lists(&client.received()).iter().map(|list| list.index).collect();
        (indexes.last() == Some(&40)).then_some(indexes)
    })
    .await;
    // A lease, and a second until the other node looks; the rest is for a busy machine.
    let takes = LEASE + Duration::from_secs(1) + Duration::from_secs(7);
    assert!(killed.elapsed() < takes, "{:?}", killed.elapsed());
    // What the first node had posted but not yet confirmed comes again, with the same indexes.
    assert_eq!(&indexes[..20], (1..=20).collect::<Vec<_>>());
    let again = indexes[20];
    assert!((1..=21).contains(&again), "{indexes:?}");
    assert_eq!(&indexes[20..], (again..=40).collect::<Vec<_>>());
    second.stop().await;
}

#[tokio::test]
async fn an_xml_channel_gets_xml() {
    let database = Database::new().await;
    let server = start(&database).await;
    let client = StandIn::start(|_, _| reply(204, &[], "")).await;
    let channel = server.api.channel_with("alice", webhook(&client.url)).await;
    let format = json!({ "notifyURL": channel["callbackURL"], "notificationFormat": "XML" });
    let subscription = json!({ "nmsSubscription": { "callbackReference": format } });
    assert_eq!(server.api.post("/nms/v1/default/b/subscriptions", subscription).await.status, 201);
    write(&database, 1, 1).await;
    let post = eventually("a post", async || client.received().first().cloned()).await;
    assert_eq!(header(&post, "content-type"), "application/xml");
    let (root, lists) = xml::read(&post.body).unwrap();
    assert_eq!((root.as_str(), &lists[0]["nmsEventList"]["index"]), ("notificationList", &json!("1")));
    server.stop().await;
}

#[tokio::test]
async fn targets_that_clients_must_not_reach_through_us_are_refused() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    for (url, status, id) in [
        ("http://127.0.0.1:1/", 403, "POL0001"),
        ("http://[::ffff:10.0.0.1]/", 403, "POL0001"),
        ("http://169.254.169.254/latest", 403, "POL0001"),
        ("ftp://example.com/", 400, "SVC0002"),
        ("no url", 400, "SVC0002"),
        ("", 400, "SVC0002"),
    ] {
        let answer = server.api.post(&channels_of("alice"), json!({ "notificationChannel": webhook(url) })).await;
        assert_eq!((answer.status.as_u16(), answer.fault().0.as_str()), (status, id), "{url}: {}", answer.text);
    }
    server.stop().await;
}
