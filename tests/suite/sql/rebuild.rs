//! The projections follow from the log alone.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use serde_json::json;

use super::*;
use crate::support::client::Api;

const PROJECTIONS: [&str; 4] = ["objects", "folders", "channels", "subscriptions"];

fn statement(rng: &mut StdRng) -> String {
    let (a_box, n) = (rng.random_range(0..4), rng.random_range(0..100));
    let some = "where id in (select id from tocsin.messages order by random() limit 3)";
    match rng.random_range(0..10) {
        0..3 => format!(
            "insert into tocsin.messages (box_id, sender, body) select 'b{a_box}', 'x', i::text from generate_series(1, 3) as i"
        ),
        3 => format!(
            "insert into tocsin.messages (store, box_id, flags, folder, correlation_id, attributes) values ('s', 'b{a_box}', '{{a,A,f{n}}}', 'f', 'c{n}', '{{\"X\": [\"1\", \"2\"]}}')"
        ),
        4 => format!(
            "insert into tocsin.events (stream, kind, data) values ('b{a_box}', 'order.placed', '{{\"n\": {n}}}')"
        ),
        5 => format!("update tocsin.messages set body = 'changed {n}', flags = flags || '{{g{n}}}' {some}"),
        6 => format!(
            "update tocsin.messages set folder = 'f{n}/g', attributes = attributes - 'From' || '{{\"y\": \"{n}\"}}' {some}"
        ),
        7 => format!("update tocsin.messages set flags = '{{}}' {some}"),
        8 => format!("delete from tocsin.messages {some}"),
        9 if n > 70 => format!(
            "select tocsin.end_folder('default/b{a_box}', (select id from tocsin.folders where name = 'f{n}' limit 1), 'deleted')"
        ),
        _ if n < 15 => format!("insert into tocsin.events (stream, kind) values ('b{a_box}', 'box.reset')"),
        _ => format!(
            "begin; {} savepoint s; {} rollback to s; {} commit",
            message("b0", n),
            message("b1", n),
            message("b2", n)
        ),
    }
}

async fn over_http(api: &Api, rng: &mut StdRng, known: &mut Vec<(Value, Value)>) {
    match (rng.random_range(0..4), known.choose(rng).cloned()) {
        (0, Some((_, subscription))) => {
            let path = subscription["resourceURL"].as_str().unwrap();
            let token = subscription["restartToken"].as_str().unwrap();
            let fields = json!({ "nmsSubscription": { "duration": 500, "restartToken": token } });
            api.put(path, fields).await;
        }
        (1, Some((channel, subscription))) => {
            let which = if rng.random_bool(0.5) { channel } else { subscription };
            api.delete(which["resourceURL"].as_str().unwrap()).await;
        }
        _ => {
            let kind = if rng.random_bool(0.5) { "WebSockets" } else { "LongPolling" };
            let data = json!({ "maxNotifications": 3, "maxWaitTime": rng.random_range(0..9) });
            let correlator = known.len().to_string();
            let fields = json!({ "channelType": kind, "channelData": data, "clientCorrelator": correlator });
            let channel = api.channel_with("alice", fields).await;
            api.post(channel["callbackURL"].as_str().unwrap(), json!({ "note": correlator })).await;
            let subscription = api.subscribe_with("b1", &channel, json!({ "duration": 300 })).await;
            known.push((channel, subscription));
        }
    }
}

/// Empties the projections, replays the log, and compares.
async fn rebuilt_is_identical(sql: &Client, order: &str) {
    for table in PROJECTIONS {
        run(sql, &format!("create temp table {table}_before as table tocsin.{table}; delete from tocsin.{table}"))
            .await;
    }
    let replay =
        "select count(tocsin.apply(stream, seq, kind, object_id, data, edited_at)) from (select * from tocsin.events";
    run(sql, &format!("{replay} order by {order}) as log")).await;
    for table in PROJECTIONS {
        let (before, after) = (format!("table {table}_before"), format!("table tocsin.{table}"));
        for (one, other) in [(&before, &after), (&after, &before)] {
            let differ: Vec<String> =
                column(sql, &format!("select d::text from ({one} except all {other}) as d")).await;
            assert!(differ.is_empty(), "{table}, {one}: {differ:#?}");
        }
        assert!(value::<i64>(sql, &format!("select count(*) from {table}_before")).await > 0, "{table}");
        run(sql, &format!("drop table {table}_before")).await;
    }
}

#[tokio::test]
async fn replaying_the_log_makes_the_same_rows() {
    let seed = rand::random();
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let (_database, server, sql) = served().await;
    let mut known = Vec::new();
    for n in 0..240 {
        run(&sql, &statement(&mut rng)).await;
        if n % 8 == 0 {
            over_http(&server.api, &mut rng, &mut known).await;
        }
    }
    let channel = server.api.channel("last").await;
    server.api.subscribe("b0", &channel).await;
    run(&sql, &message("b0", "last")).await;
    server.stop().await;
    assert_exact(&sql).await;
    rebuilt_is_identical(&sql, "stream, seq").await;
    rebuilt_is_identical(&sql, "edited_at, seq").await;
}
