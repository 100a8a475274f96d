//! What operators see, and having what failed sent again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use chrono::{DateTime, Utc};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio_postgres::Client;

use crate::nc::webhooks::webhook;
use crate::support::client::Api;
use crate::support::eventually;
use crate::support::postgres::Database;
use crate::support::server::Server;
use crate::support::stand_in::{StandIn, reply};

/// A secret in the URL of a webhook.
const SECRET: &str = "s3cr3t";

async fn start(database: &Database) -> Server {
    Server::start_as(database, |config| config.allow_private_targets = true).await
}

async fn get(api: &Api, path: &str) -> Value {
    let answer = api.get(path).await;
    assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text);
    answer.json()
}

async fn list(api: &Api, path: &str) -> Vec<Value> {
    get(api, path).await["results"].as_array().unwrap().clone()
}

/// One member of all entries of all pages.
async fn pages(api: &Api, first: &str, member: &str) -> Vec<Vec<String>> {
    let (mut pages, mut next) = (Vec::new(), Some(first.to_owned()));
    while let Some(path) = next {
        let page = get(api, &path).await;
        let results = page["results"].as_array().unwrap();
        pages.push(results.iter().map(|entry| entry[member].as_str().unwrap().to_owned()).collect());
        next = page["next"].as_str().map(str::to_owned);
    }
    pages
}

async fn run(database: &Database, sql: &str) {
    database.connect().await.batch_execute(sql).await.unwrap();
}

fn moment(value: &Value) -> DateTime<Utc> {
    value.as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn boxes_are_listed_by_name_and_by_what_happened_last() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let channel = server.api.channel("a").await;
    server.api.subscribe("b", &channel).await;
    for name in ["b", "c", "ba", "other/b", "a", "b"] {
        run(&database, &format!("insert into tocsin.events (stream, kind) values ('{name}', 'k')")).await;
    }
    run(&database, "select tocsin.publish_to_room('lobby')").await; // no box
    let api = &server.api;
    assert_eq!(pages(api, "/api/operator/boxes", "boxId").await, [["a", "b", "ba", "c", "b"]]);
    let by_two = pages(api, "/api/operator/boxes?limit=2", "boxId").await;
    assert_eq!(by_two, [vec!["a", "b"], vec!["ba", "c"], vec!["b"]]);
    assert_eq!(pages(api, "/api/operator/boxes?limit=1&begins=b", "boxId").await, [["b"], ["ba"]]);
    assert_eq!(pages(api, "/api/operator/boxes?begins=oth/", "boxId").await, [[""; 0]]);
    assert_eq!(pages(api, "/api/operator/boxes?begins=other/", "store").await, [["other"]]);
    assert_eq!(pages(api, "/api/operator/boxes?order=recent&limit=3", "boxId").await, [["b", "a", "b"]]);
    let b = list(api, "/api/operator/boxes?begins=b").await.remove(0);
    assert_eq!((&b["events"], &b["objects"], &b["subscriptions"]), (&json!(3), &json!(2), &json!(1)), "{b}");
    let head = "select head_at from tocsin.streams where stream = 'default/b'";
    let head: DateTime<Utc> = database.connect().await.query_one(head, &[]).await.unwrap().get(0);
    assert_eq!(moment(&b["lastEventAt"]), head);
    for wrong in ["limit=0", "limit=x", "limit=-1", "order=size", "order=recent&after=a", "after=%00", "begins=%00"] {
        assert_eq!(api.get(&format!("/api/operator/boxes?{wrong}")).await.status, StatusCode::BAD_REQUEST, "{wrong}");
    }
    server.stop().await;
}

#[tokio::test]
async fn counts_end_where_they_say() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let many = "insert into tocsin.events (stream, kind) select 'b', 'k' from generate_series(1, 1500)";
    run(&database, many).await;
    let b = list(&server.api, "/api/operator/boxes").await.remove(0);
    assert_eq!((&b["events"], &b["objects"]), (&json!(1500), &json!(1001)), "{b}");
    server.stop().await;
}

#[tokio::test]
async fn channels_and_subscriptions_of_everybody_are_listed_without_secrets() {
    let database = Database::new().await;
    let server = start(&database).await;
    let api = &server.api;
    let hook = format!("http://127.0.0.1:9/hook/{SECRET}?token={SECRET}");
    let socket = api.channel("ann").await;
    let posted = api.channel_with("bob", webhook(&hook)).await;
    let own = json!({ "nmsSubscription": { "callbackReference": { "notifyURL": hook } } });
    assert_eq!(api.post("/nms/v1/default/c/subscriptions", own).await.status, StatusCode::CREATED);
    api.subscribe("b", &socket).await;
    api.subscribe("c", &posted).await;
    run(&database, "insert into tocsin.events (stream, kind) values ('b', 'k')").await;

    let all = pages(api, "/api/operator/channels?limit=2", "owner").await;
    assert_eq!(all, [vec!["ann", "bob"], vec!["default/c"]]);
    let channels = list(api, "/api/operator/channels").await;
    let types: Vec<&str> = channels.iter().map(|channel| channel["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["WebSockets", "webhooks", "notifyURL"]);
    assert_eq!((&channels[0]["to"], &channels[1]["to"]), (&Value::Null, &json!("http://127.0.0.1:9")));
    assert!(channels.iter().all(|channel| channel["subscriptions"] == 1), "{channels:?}");
    assert_eq!(pages(api, "/api/operator/channels?owner=bob", "owner").await, [["bob"]]);

    assert_eq!(pages(api, "/api/operator/subscriptions?limit=1", "boxId").await, [["c"], ["b"], ["c"]]);
    let b = list(api, "/api/operator/subscriptions?box=b").await;
    assert_eq!(
        (b.len(), &b[0]["channel"], &b[0]["behind"], &b[0]["nextIndex"]),
        (1, &channels[0]["id"], &json!(1), &json!(1))
    );
    assert_eq!(list(api, "/api/operator/subscriptions?box=other/b").await.len(), 0);
    assert_eq!(api.get("/api/operator/subscriptions?box=a/b/c").await.status, StatusCode::BAD_REQUEST);

    for path in ["channels", "subscriptions", "senders?state=all"] {
        let text = api.get(&format!("/api/operator/{path}")).await.text;
        for secret in [SECRET, "/hook", "whsec_", "/ws/", "/callback/"] {
            assert!(!text.contains(secret), "{path} shows {secret}: {text}");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn a_failing_webhook_says_why_and_is_tried_again_at_once_when_asked() {
    let database = Database::new().await;
    let (server, other) = (start(&database).await, start(&database).await);
    let status = Arc::new(AtomicU16::new(503));
    let answer = status.clone();
    // Whoever waits for the next attempt waits for an hour.
    let client =
        StandIn::start(move |_, _| reply(answer.load(Ordering::Relaxed), &[("retry-after", "3600")], "")).await;
    let channel = server.api.channel_with("alice", webhook(&format!("{}/{SECRET}", client.url))).await;
    server.api.subscribe("b", &channel).await;
    let from = Utc::now();
    run(&database, "insert into tocsin.messages (box_id, body) select 'b', i::text from generate_series(1, 3) as i")
        .await;
    let failing = eventually("it fails", async || list(&server.api, "/api/operator/senders").await.pop()).await;
    assert_eq!(failing["state"], "failing");
    assert_eq!((&failing["attempts"], &failing["lastError"]), (&json!(1), &json!("HTTP 503")));
    assert_eq!((&failing["to"], &failing["waiting"]), (&json!(client.url), &json!(3)));
    assert!(moment(&failing["nextAttemptAt"]) > from + chrono::TimeDelta::minutes(59), "{failing}");
    assert!(moment(&failing["failingSince"]) > from - chrono::TimeDelta::seconds(5), "{failing}");

    // Asked of either node, whichever has the lease.
    status.store(204, Ordering::Relaxed);
    let id = failing["channel"].as_str().unwrap();
    let answer = other.api.post(&format!("/api/operator/senders/{id}/retry"), Value::Null).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT, "{}", answer.text);
    eventually("nothing fails", async || list(&server.api, "/api/operator/senders").await.is_empty().then_some(()))
        .await;
    let fine = eventually("nothing waits", async || {
        list(&server.api, "/api/operator/senders?state=all").await.pop().filter(|sender| sender["waiting"] == 0)
    })
    .await;
    assert_eq!((&fine["state"], &fine["attempts"], &fine["nextAttemptAt"]), (&json!("fine"), &json!(0), &Value::Null));
    server.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn a_disabled_webhook_is_enabled_and_nothing_else_is_retried() {
    let database = Database::new().await;
    let server = start(&database).await;
    let (client, status) = StandIn::answering(410).await;
    let channel = server.api.channel_with("alice", webhook(&client.url)).await;
    server.api.subscribe("b", &channel).await;
    run(&database, "insert into tocsin.messages (box_id, body) values ('b', 'x')").await;
    let disabled = eventually("it is disabled", async || {
        list(&server.api, "/api/operator/senders").await.pop().filter(|sender| sender["state"] == "disabled")
    })
    .await;
    assert_eq!((&disabled["lastError"], &disabled["nextAttemptAt"]), (&json!("HTTP 410"), &Value::Null));
    let shown = list(&server.api, "/api/operator/channels").await.remove(0);
    assert_eq!((&shown["disabledSince"], &shown["reason"]), (&disabled["disabledSince"], &json!("HTTP 410")));
    status.store(204, Ordering::Relaxed);
    let retry =
        async |id: &str| server.api.post(&format!("/api/operator/senders/{id}/retry"), Value::Null).await.status;
    assert_eq!(retry(disabled["channel"].as_str().unwrap()).await, StatusCode::NO_CONTENT);
    eventually("it comes", async || {
        let last = client.received().pop()?;
        String::from_utf8_lossy(&last.body).contains("notificationList").then_some(())
    })
    .await;
    eventually("nothing fails", async || list(&server.api, "/api/operator/senders").await.is_empty().then_some(()))
        .await;

    server.api.channel("bob").await;
    let socket = list(&server.api, "/api/operator/channels?owner=bob").await.remove(0);
    assert_eq!(retry(socket["id"].as_str().unwrap()).await, StatusCode::NOT_FOUND, "nothing is sent to it");
    assert_eq!(retry("nothing").await, StatusCode::NOT_FOUND);
    assert_eq!(server.api.get("/api/operator/senders?state=fine").await.status, StatusCode::BAD_REQUEST);
    server.stop().await;
}

#[tokio::test]
async fn nodes_are_seen_while_they_follow_the_log_and_a_lost_one_while_it_has_leases() {
    let database = Database::new().await;
    let (a, b) = (start(&database).await, start(&database).await);
    let nodes = async |of: &Server| list(&of.api, "/api/operator/nodes").await;
    eventually("both sleep", async || {
        let nodes = nodes(&a).await;
        (nodes.len() == 2 && nodes.iter().all(|node| node["state"] == "asleep")).then_some(())
    })
    .await;
    let own = async |of: &Server| {
        let own: Vec<Value> = nodes(of).await.into_iter().filter(|node| node["thisNode"] == true).collect();
        assert_eq!(own.len(), 1, "{own:?}");
        own[0].clone()
    };
    let (of_a, of_b) = (own(&a).await, own(&b).await);
    assert_ne!(of_a["id"], of_b["id"]);
    assert_eq!(of_a["address"].as_str(), a.api.url.strip_prefix("http://"));
    assert_eq!(of_b["version"], env!("CARGO_PKG_VERSION"));
    assert!(moment(&of_a["since"]) <= Utc::now());
    a.api.channel_with("alice", webhook("http://127.0.0.1:9/")).await;
    eventually("one has the lease", async || nodes(&b).await.iter().any(|node| node["leases"] == 1).then_some(()))
        .await;
    b.stop().await;
    eventually("one is left", async || (nodes(&a).await.len() == 1).then_some(())).await;

    let dead =
        "insert into tocsin.senders (channel_id, node, lease_until) values ('c', 'dead', now() + interval '1 hour')";
    run(&database, dead).await;
    let seen = nodes(&a).await;
    assert_eq!((seen.len(), &seen[1]["id"], &seen[1]["state"]), (2, &json!("dead"), &json!("lost")), "{seen:?}");
    run(&database, "update tocsin.senders set lease_until = now() where node = 'dead'").await;
    assert_eq!(nodes(&a).await.len(), 1);
    a.stop().await;
}

/// 200,000 boxes among as many other streams, and 50,000 channels, half of which are sent to.
const FILL: &str = r#"
    insert into tocsin.streams (stream, head_seq, head_at, last_xid)
    select case when i % 2 = 0 then 'default/box' || i else '$inbox/u' || i end, 1, now(), '3' from generate_series(1, 400000) i;
    insert into tocsin.objects (id, store, box_id, attributes, flags, created_seq, created_at, seq, edited_at)
    select i, 'default', 'box' || i % 50000, '{}', '{}', i, now(), i, now() from generate_series(1, 100000) as i;
    select setval('tocsin.object_ids', 100000);
    insert into tocsin.channels (id, user_id, settings, format, created_at)
    select 'c' || i, 'u' || i, jsonb_build_object('type', case when i % 2 = 0 then 'Webhooks' else 'WebSockets' end,
           'maxNotifications', 1, 'webhookUrl', 'http://127.0.0.1:9/'), 'JSON', now() from generate_series(1, 50000) as i;
    insert into tocsin.channel_lifetimes (channel_id, lifetime_seconds, expires_at)
    select 'c' || i, 86400, now() + interval '1 day' from generate_series(1, 50000) as i;
    insert into tocsin.senders (channel_id, node, lease_until, failing_since)
    select 'c' || i, 'n' || i % 3, now() + interval '1 day', case when i % 1000 = 0 then now() end
    from generate_series(2, 50000, 2) as i;
    insert into tocsin.subscriptions (id, stream, channel_id, format, expires_at, created_seq, generation, start_seq, start_at,
                                      start_index, start_reset)
    select 's' || i, 'default/box' || 2 * i, 'c' || i, 'JSON', now() + interval '1 day', 1, 1, 1, now(), 1, false
    from generate_series(1, 50000) as i;
    insert into tocsin.events (stream, kind, data)
    select 'lately' || i % 50, 'object.created', '{}' from generate_series(1, 20000) as i;"#;

/// How often each big table was read from end to end.
async fn scans(sql: &Client) -> BTreeMap<String, i64> {
    let query = "select relname::text, seq_scan from pg_stat_user_tables
                 where schemaname = 'tocsin' and pg_relation_size(relid) > 1000000";
    sql.query(query, &[]).await.unwrap().iter().map(|row| (row.get(0), row.get(1))).collect()
}

#[tokio::test]
async fn no_page_reads_a_big_table_from_end_to_end() {
    let database = Database::new().await;
    let sql = database.connect().await;
    sql.batch_execute(FILL).await.unwrap();
    sql.batch_execute("analyze").await.unwrap();
    let before = scans(&sql).await;
    assert!(before.len() >= 6, "{before:?}");
    let server = start(&database).await;
    let api = &server.api;
    for path in [
        "boxes?limit=200",
        "boxes?begins=box39&after=default/box395",
        "boxes?order=recent",
        "channels?limit=200&after=c40000",
        "channels?owner=u777",
        "subscriptions?limit=200&after=s40000",
        "subscriptions?box=box42",
        "senders?limit=200",
        "senders?state=all&after=c40000",
        "nodes",
    ] {
        assert!(!list(api, &format!("/api/operator/{path}")).await.is_empty(), "{path}");
    }
    assert_eq!(api.post("/api/operator/senders/c1000/retry", Value::Null).await.status, StatusCode::NO_CONTENT);
    server.stop().await;
    eventually("the others have ended, and left their counts", async || {
        let query = "select count(*) = 0 from pg_stat_activity
                     where pid <> pg_backend_pid() and backend_type = 'client backend' and datname = current_database()";
        sql.query_one(query, &[]).await.unwrap().get::<_, bool>(0).then_some(())
    })
    .await;
    let but_leases = |mut scans: BTreeMap<String, i64>| {
        scans.remove("senders").unwrap(); // which the node reads every second, to claim what is nobody's
        scans
    };
    assert_eq!(but_leases(scans(&sql).await), but_leases(before));
    let senders = include_str!("../../sql/queries/operator_senders.sql").replace("$1", "'c'").replace("$3", "51");
    let nodes = include_str!("../../sql/queries/operator_nodes.sql");
    for query in [&senders.replace("$2", "true"), &senders.replace("$2", "false"), nodes] {
        let plan = sql.query(&format!("explain {query}"), &[]).await.unwrap();
        let plan: Vec<String> = plan.iter().map(|row| row.get(0)).collect();
        assert!(!plan.iter().any(|line| line.contains("Seq Scan on senders")), "{plan:#?}");
    }
}
