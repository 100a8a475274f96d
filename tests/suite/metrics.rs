//! What operators see at /metrics when something happens.

use std::sync::atomic::Ordering;

use reqwest::Method;
use serde_json::json;
use tocsin::config::Limits;

use crate::support::client::{Api, Socket};
use crate::support::eventually;
use crate::support::poll::Poller;
use crate::support::postgres::{Database, doorbell};
use crate::support::raw::Raw;
use crate::support::server::Server;
use crate::support::stand_in::StandIn;

/// The value of a series, `name{labels}` as it is written; 0 when there is none yet.
async fn figure(api: &Api, series: &str) -> f64 {
    let answer = api.get("/metrics").await;
    assert_eq!(answer.status, 200);
    let line = answer.text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ').map(str::to_owned));
    line.map_or(0.0, |value| value.parse().unwrap())
}

/// Waits until a series has this value at least.
pub async fn reaches(api: &Api, series: &str, least: f64) {
    eventually(series, async || (figure(api, series).await >= least).then_some(())).await;
}

async fn write(database: &Database, count: usize) {
    let insert =
        format!("insert into tocsin.messages (box_id, body) select 'b', i::text from generate_series(1, {count}) as i");
    database.connect().await.batch_execute(&insert).await.unwrap();
}

#[tokio::test]
async fn a_ring_is_heard_and_the_event_read_and_sent() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let channel = server.api.channel("alice").await;
    server.api.subscribe("b", &channel).await;
    let mut socket = Socket::open(&channel).await;
    reaches(&server.api, "tocsin_doorbell_state{state=\"asleep\"}", 1.0).await;
    let rings = figure(&server.api, "tocsin_doorbell_rings_total").await;
    let events = figure(&server.api, "tocsin_log_events_total").await;
    write(&database, 1).await;
    socket.list().await;
    reaches(&server.api, "tocsin_doorbell_rings_total", rings + 1.0).await;
    assert!(figure(&server.api, "tocsin_doorbell_copies_total").await >= 1.0);
    reaches(&server.api, "tocsin_log_events_total", events + 1.0).await;
    for (series, value) in [
        ("tocsin_notifications_total{transport=\"websocket\"}", 1.0),
        ("tocsin_notification_lists_total{transport=\"websocket\"}", 1.0),
        ("tocsin_channels_connected{transport=\"websocket\"}", 1.0),
        ("tocsin_build_info{version=\"0.1.0\"}", 1.0),
        ("tocsin_draining", 0.0),
    ] {
        assert_eq!(figure(&server.api, series).await, value, "{series}");
    }
    assert!(figure(&server.api, "tocsin_notification_bytes_total{transport=\"websocket\"}").await > 100.0);
    let lag = figure(&server.api, "tocsin_log_lag_seconds").await;
    assert!(lag > 0.0 && lag < 30.0, "{lag}");
    let now = chrono::Utc::now().timestamp() as f64;
    assert!((now - figure(&server.api, "tocsin_log_last_event_timestamp_seconds").await).abs() < 60.0);
    assert!(figure(&server.api, "tocsin_log_partitions_end_timestamp_seconds").await > now + 60.0 * 86400.0);
    assert!(figure(&server.api, "tocsin_pool_connections{state=\"idle\"}").await >= 1.0);
    assert!(figure(&server.api, "tocsin_pool_wait_seconds_count").await >= 1.0);
    let ready = server.api.get("/readyz").await.json();
    assert_eq!((&ready["ready"], &ready["draining"]), (&json!(true), &json!(false)));
    assert!(ready["pool"]["limit"].as_u64() > Some(0) && ready["tail"]["lagMilliseconds"].is_u64(), "{ready}");
    socket.close().await;
    reaches(&server.api, "tocsin_socket_closes_total{reason=\"gone\"}", 1.0).await;
    let connected = "tocsin_channels_connected{transport=\"websocket\"}";
    eventually("it is gone", async || (figure(&server.api, connected).await == 0.0).then_some(())).await;
    server.stop().await;
}

/// The doorbell is measured, at the start and while the node sleeps, and nobody takes that for a ring.
#[tokio::test]
async fn the_round_trip_of_the_doorbell_is_measured_again_and_again() {
    let database = Database::new().await;
    let (a, b) = (Server::start(&database).await, Server::start(&database).await);
    reaches(&a.api, "tocsin_doorbell_state{state=\"asleep\"}", 1.0).await;
    let heard = "tocsin_doorbell_probes_total{outcome=\"heard\"}";
    assert_eq!(figure(&a.api, heard).await, 1.0, "at the start");
    let took = figure(&a.api, "tocsin_doorbell_round_trip_seconds").await;
    assert!(took > 0.0 && took < 3.0, "{took}");
    let mut listener = tocsin::postgres::Database::new(database.url()).unwrap().connect("listener").await.unwrap();
    let doorbell = doorbell(&listener.client).await;
    listener.client.batch_execute(&format!("listen {doorbell}")).await.unwrap();
    reaches(&a.api, heard, 2.0).await;
    reaches(&b.api, heard, 2.0).await;
    for node in [&a, &b] {
        assert_eq!(figure(&node.api, "tocsin_doorbell_rings_total").await, 0.0);
        assert_eq!(figure(&node.api, "tocsin_doorbell_probes_total{outcome=\"lost\"}").await, 0.0);
    }
    assert!(listener.notifications.try_recv().is_err(), "programs that listen to the doorbell hear nothing of it");
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn a_slow_client_and_its_dropped_queue_are_seen() {
    let database = Database::new().await;
    let server = Server::start_with(&database, Limits { queue_events_max: 8, ..Limits::default() }).await;
    let channel = server.api.channel("alice").await;
    let data =
        json!({ "callbackReference": { "notifyURL": channel["callbackURL"], "callbackData": "x".repeat(2000) } });
    assert_eq!(
        server.api.post("/nms/v1/default/b/subscriptions", json!({ "nmsSubscription": data })).await.status,
        201
    );
    let mut slow = Raw::open(&channel).await;
    reaches(&server.api, "tocsin_channels_connected{transport=\"websocket\"}", 1.0).await;
    write(&database, 12_000).await;
    slow.stalls().await;
    reaches(&server.api, "tocsin_sockets_stalled", 1.0).await;
    assert!(figure(&server.api, "tocsin_socket_stalls_total").await >= 1.0);
    let events = figure(&server.api, "tocsin_log_events_total").await;
    for _ in 0..20 {
        write(&database, 1).await; // each a read of its own
    }
    reaches(&server.api, "tocsin_log_events_total", events + 20.0).await;
    assert!(figure(&server.api, "tocsin_queues_dropped_total").await >= 1.0);
    assert_eq!(figure(&server.api, "tocsin_channels_lagging").await, 1.0);
    let mut read = 0;
    while read < 12_020 {
        read += slow.lists(1).await.len();
    }
    reaches(&server.api, "tocsin_replayed_events_total", 100.0).await;
    assert!(figure(&server.api, "tocsin_replayed_pages_total").await >= 2.0);
    for series in ["tocsin_channels_lagging", "tocsin_sockets_stalled", "tocsin_queue_events"] {
        eventually(series, async || (figure(&server.api, series).await == 0.0).then_some(())).await;
    }
    drop(slow);
    server.stop().await;
}

#[tokio::test]
async fn polls_and_requests_are_counted_by_their_routes() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let channel = server.api.channel_with("alice", json!({ "channelType": "LongPolling" })).await;
    let subscription = server.api.subscribe("b", &channel).await;
    write(&database, 3).await;
    let mut poller = Poller::connect(channel["channelData"]["channelURL"].as_str().unwrap()).await;
    assert_eq!(poller.poll().await.indexes(), [1, 2, 3]);
    assert_eq!(figure(&server.api, "tocsin_notifications_total{transport=\"polling\"}").await, 3.0);
    assert_eq!(figure(&server.api, "tocsin_notification_lists_total{transport=\"polling\"}").await, 1.0);
    poller.ask().await;
    reaches(&server.api, "tocsin_channels_connected{transport=\"polling\"}", 1.0).await;
    server.api.get("/nms/v1/default/b/objects/999").await;
    server.api.get("/no/such/resource").await;
    server.api.send(Method::from_bytes(b"MADEUP").unwrap(), "/healthz", &[], None).await;
    let object = "/nms/v1/{storeName}/{boxId}/objects/{objectId}";
    for (route, method, status) in [
        ("/poll/{token}", "POST", 200),
        ("/notificationchannel/v1/{userId}/channels", "POST", 201),
        (object, "GET", 404),
        ("none", "GET", 404),
        ("/healthz", "other", 405),
    ] {
        let series = format!("tocsin_http_requests_total{{route=\"{route}\",method=\"{method}\",status=\"{status}\"}}");
        assert_eq!(figure(&server.api, &series).await, 1.0, "{series}");
    }
    let took = format!("tocsin_http_request_seconds_count{{route=\"{object}\",method=\"GET\"}}");
    assert_eq!(figure(&server.api, &took).await, 1.0);
    // No label has anything of a client, a box or a URL.
    let text = server.api.get("/metrics").await.text;
    for resource in [&channel["resourceURL"], &channel["callbackURL"], &subscription["resourceURL"]] {
        let id = resource.as_str().unwrap().rsplit('/').next().unwrap();
        assert!(!text.contains(id) && !text.contains("alice") && !text.contains("http:"), "{text}");
    }
    let media = server.api.get("/metrics").await;
    assert!(media.header("content-type").starts_with("application/openmetrics-text"), "{:?}", media.headers);
    server.stop().await;
}

#[tokio::test]
async fn a_webhook_that_fails_is_seen() {
    let database = Database::new().await;
    let server = Server::start_as(&database, |config| config.allow_private_targets = true).await;
    let (client, status) = StandIn::answering(500).await;
    let channel = server
        .api
        .channel_with("alice", json!({ "channelType": "Webhooks", "channelData": { "x-webhookURL": client.url } }))
        .await;
    server.api.subscribe("b", &channel).await;
    write(&database, 1).await;
    let attempts =
        |outcome: &str| format!("tocsin_outbound_attempts_total{{transport=\"webhook\",outcome=\"{outcome}\"}}");
    reaches(&server.api, &attempts("retry"), 1.0).await;
    reaches(&server.api, "tocsin_outbound_backing_off", 1.0).await;
    assert_eq!(figure(&server.api, "tocsin_outbound_leases").await, 1.0);
    status.store(204, Ordering::Relaxed);
    reaches(&server.api, &attempts("delivered"), 1.0).await;
    assert_eq!(figure(&server.api, "tocsin_outbound_backing_off").await, 0.0);
    status.store(410, Ordering::Relaxed);
    write(&database, 1).await;
    reaches(&server.api, "tocsin_outbound_disabled_total{transport=\"webhook\"}", 1.0).await;
    assert_eq!(figure(&server.api, &attempts("gone")).await, 1.0);
    eventually("its lease is given up", async || {
        (figure(&server.api, "tocsin_outbound_leases").await == 0.0).then_some(())
    })
    .await;
    assert!(figure(&server.api, "tocsin_outbound_attempt_seconds_count{transport=\"webhook\"}").await >= 3.0);
    server.stop().await;
}

#[tokio::test]
async fn what_filters_want_what_comes_live_and_what_is_sent_again_is_seen() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let channel = server.api.channel("alice").await;
    let filter = json!({ "criterion": [{ "type": "Attribute", "name": "TextContent", "value": "yes" }] });
    let data = json!({ "callbackReference": { "notifyURL": channel["callbackURL"] }, "filter": filter });
    let made = server.api.post("/nms/v1/default/b/subscriptions", json!({ "nmsSubscription": data })).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let sql = database.connect().await;
    sql.batch_execute("insert into tocsin.messages (box_id, body) values ('b', 'yes'), ('b', 'no'), ('b', 'yes')")
        .await
        .unwrap();
    // What was written before comes from the log, and is not late.
    let mut deaf = Raw::open(&channel).await;
    deaf.lists(2).await;
    reaches(&server.api, "tocsin_events_matched_total{outcome=\"wanted\"}", 2.0).await;
    assert_eq!(figure(&server.api, "tocsin_events_matched_total{outcome=\"unwanted\"}").await, 1.0);
    assert_eq!(figure(&server.api, "tocsin_send_delay_seconds_count{transport=\"websocket\"}").await, 0.0);
    eventually("one comes live", async || {
        sql.batch_execute("insert into tocsin.messages (box_id, body) values ('b', 'yes')").await.unwrap();
        deaf.lists(1).await;
        let live = figure(&server.api, "tocsin_send_delay_seconds_count{transport=\"websocket\"}").await;
        (live > 0.0).then_some(())
    })
    .await;
    let delay = figure(&server.api, "tocsin_send_delay_seconds_sum{transport=\"websocket\"}").await;
    assert!(delay > 0.0 && delay < 30.0, "{delay}");
    drop(deaf); // it has answered no Ping
    reaches(&server.api, "tocsin_socket_unconfirmed_notifications_total", 3.0).await;
    server.stop().await;
}

#[tokio::test]
async fn a_transaction_that_is_left_open_and_what_waits_are_seen() {
    let database = Database::new().await;
    let sql = database.connect().await;
    let later = "select tocsin.publish('room', 'later', users => '{u}', deliver_at => now() + interval '1 day')";
    sql.batch_execute(later).await.unwrap();
    sql.batch_execute("begin; select pg_current_xact_id()").await.unwrap();
    let server = Server::start(&database).await;
    reaches(&server.api, "tocsin_deferred_waiting", 1.0).await;
    reaches(&server.api, "tocsin_horizon_age_seconds", 5.0).await;
    assert_eq!(figure(&server.api, "tocsin_deferred_late_seconds").await, 0.0);
    sql.batch_execute("rollback").await.unwrap();
    server.stop().await;
}
