//! What is past its age leaves the log in whole months: nobody waits for it, and nobody is left with a hole.

use std::time::Duration;

use serde_json::json;
use tocsin::config::Limits;

use super::*;
use crate::metrics::reaches;

/// Events were written so many months ago: those of the condition. (The log is not asked, and neither are its guards.)
async fn age(sql: &Client, months: i32, which: &str) {
    run(
        sql,
        &format!(
            "select tocsin.attach_partition(now() at time zone 'UTC' - interval '{months} months');
             set session_replication_role = replica;
             update tocsin.events set created_at = date_trunc('month', now(), 'UTC') - interval '{months} months' where {which};
             set session_replication_role = origin"
        ),
    )
    .await;
}

/// Keeps the partition of two months ago, whatever day it is, and not the one before.
async fn keep(sql: &Client) -> Limits {
    let days: i32 = value(
        sql,
        "select 1 + extract(day from now() - (date_trunc('month', now(), 'UTC') - interval '1 month'))::integer",
    )
    .await;
    Limits { events_keep_days: days.try_into().unwrap(), ..Limits::default() }
}

/// Partitions of the log older than last month, and what is left of such.
async fn old_partitions(sql: &Client) -> Vec<String> {
    let old = "select relname::text from pg_class where relkind = 'r' and relname ~ '^events_[0-9]'
                   and relname < 'events_' || to_char(now() at time zone 'UTC' - interval '1 month', 'YYYY_MM')
               order by relname";
    column(sql, old).await
}

/// Waits until only so many of them are left.
async fn dropped(sql: &Client, left: usize) {
    eventually("partitions are dropped", async || (old_partitions(sql).await.len() == left).then_some(())).await;
}

/// A stream's base and head.
async fn places(sql: &Client, box_id: &str) -> (i64, i64) {
    let row = &rows(sql, &format!("select base_seq, head_seq from tocsin.streams where stream = 'default/{box_id}'"))
        .await[0];
    (row.get(0), row.get(1))
}

async fn token(sql: &Client, box_id: &str, seq: i64) -> String {
    value(
        sql,
        &format!("select tocsin_token(edited_at) from tocsin.events where stream = 'default/{box_id}' and seq = {seq}"),
    )
    .await
}

/// How restartTokens are written.
async fn prepare_tokens(sql: &Client) {
    run(
        sql,
        r#"create function tocsin_token(at timestamptz) returns text language sql as
           $$ select to_char(at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') $$"#,
    )
    .await;
}

/// A subscription of a new channel to a box from a token on, and its socket.
async fn from_token(server: &Server, box_id: &str, token: &str) -> Socket {
    let channel = server.api.channel("alice").await;
    server.api.subscribe_with(box_id, &channel, json!({ "restartToken": token })).await;
    Socket::open(&channel).await
}

#[tokio::test]
async fn whole_months_past_their_age_leave_and_everything_younger_stays() {
    let database = Database::new().await;
    let sql = database.connect().await;
    run(&sql, &format!("{} {} {}", message("a", 1).repeat(4), message("b", 1).repeat(3), message("c", 1))).await;
    age(&sql, 4, "stream = 'default/a' and seq = 1").await;
    age(&sql, 3, "stream = 'default/a' and seq = 2 or stream = 'default/b'").await;
    age(&sql, 2, "stream = 'default/a' and seq = 3 or stream = 'default/c'").await;
    let for_ever = Server::start(&database).await;
    assert_eq!(old_partitions(&sql).await.len(), 3);

    let server = Server::start_with(&database, keep(&sql).await).await;
    dropped(&sql, 1).await;
    assert_eq!((seqs(&sql, "a").await, seqs(&sql, "b").await, seqs(&sql, "c").await), (vec![3, 4], vec![], vec![1]));
    assert_eq!((places(&sql, "a").await, places(&sql, "b").await, places(&sql, "c").await), ((2, 4), (3, 3), (0, 1)));
    assert!(value::<bool>(&sql, "select base_at = head_at from tocsin.streams where stream = 'default/b'").await);
    assert_eq!(refusal(&sql, "delete from tocsin.events").await, "42501");
    assert_eq!(refusal(&sql, &format!("truncate tocsin.{}", old_partitions(&sql).await[0])).await, "42501");
    run(&sql, &message("b", 4)).await;
    assert_eq!((seqs(&sql, "b").await, places(&sql, "b").await), (vec![4], (3, 4)));
    // The objects are no part of the log.
    assert_eq!(for_ever.api.get("/nms/v1/default/b/objects/5").await.status, 200);
    let found = server
        .api
        .post("/nms/v1/default/b/objects/operations/search", json!({ "selectionCriteria": { "maxEntries": 9 } }))
        .await;
    assert_eq!(found.json()["objectList"]["object"].as_array().unwrap().len(), 4, "{}", found.text);
}

#[tokio::test]
async fn a_token_from_before_what_is_kept_begins_with_a_reset_and_no_other_does() {
    let database = Database::new().await;
    let sql = database.connect().await;
    prepare_tokens(&sql).await;
    run(&sql, &format!("{} {}", message("a", 1).repeat(5), message("b", 1).repeat(3))).await;
    age(&sql, 3, "seq <= 3").await;
    let (before, horizon, kept) = (token(&sql, "a", 2).await, token(&sql, "a", 3).await, token(&sql, "a", 4).await);
    let (gone, head) = (token(&sql, "b", 2).await, token(&sql, "b", 3).await);
    let server = Server::start_with(&database, keep(&sql).await).await;
    dropped(&sql, 0).await;

    let mut socket = from_token(&server, "a", &horizon).await;
    assert_eq!((socket.list().await.seq(), socket.list().await.seq()), (4, 5));
    let mut socket = from_token(&server, "a", &kept).await;
    assert_eq!(socket.list().await.seq(), 5);
    let mut at_head = from_token(&server, "b", &head).await;
    for (box_id, token) in [("a", &before), ("b", &gone)] {
        let mut socket = from_token(&server, box_id, token).await;
        assert!(is_reset(&socket.list().await));
        run(&sql, &message(box_id, "later")).await;
        assert_eq!(socket.list().await.seq(), places(&sql, box_id).await.1);
    }
    assert_eq!(at_head.list().await.seq(), 6, "after the subscriptions, which are events 4 and 5");
}

#[tokio::test]
async fn an_update_to_a_token_from_before_what_is_kept_resets() {
    let database = Database::new().await;
    let sql = database.connect().await;
    prepare_tokens(&sql).await;
    run(&sql, &message("b", 1).repeat(3)).await;
    age(&sql, 3, "seq <= 2").await;
    let gone = token(&sql, "b", 1).await;
    let server = Server::start_with(&database, keep(&sql).await).await;
    dropped(&sql, 0).await;
    let channel = server.api.channel("alice").await;
    let subscription = server.api.subscribe("b", &channel).await;
    let mut socket = Socket::open(&channel).await;
    let url = subscription["resourceURL"].as_str().unwrap();
    let answer = server.api.post(url, json!({ "nmsSubscriptionUpdate": { "restartToken": gone } })).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert!(is_reset(&socket.list().await));
}

/// The subscription of the box `b` is its event 1; 2 to 4 were delivered, and 5 and 6 came when its client was away.
async fn away(server: &Server, sql: &Client) -> Value {
    let mut follower = Follower::start(server).await;
    run(sql, &message("b", "seen").repeat(3)).await;
    follower.takes(2, 4).await;
    let stored = "select exists (select from tocsin.cursors where next_seq = 5)";
    follower.socket.until("the position is stored", async || value::<bool>(sql, stored).await.then_some(())).await;
    follower.socket.close().await;
    run(sql, &message("b", "unseen").repeat(2)).await;
    follower.channel
}

#[tokio::test]
async fn a_channel_that_was_away_is_reset_only_when_it_lacks_something_that_has_left() {
    for (leaves, reset) in [(3, false), (4, false), (5, true), (6, true)] {
        let (database, server, sql) = served().await;
        let channel = away(&server, &sql).await;
        age(&sql, 3, &format!("stream = 'default/b' and seq <= {leaves}")).await;
        let _retaining = Server::start_with(&database, keep(&sql).await).await;
        dropped(&sql, 0).await;
        let mut socket = Socket::open(&channel).await;
        let list = socket.list().await;
        assert_eq!((is_reset(&list), list.index), (reset, 4), "{leaves}");
        if !reset {
            assert_eq!((list.seq(), socket.list().await.seq()), (5, 6));
        }
        run(&sql, &message("b", "later")).await;
        assert_eq!(socket.list().await.seq(), 7);
    }
}

#[tokio::test]
async fn a_connected_channel_goes_on_when_what_it_has_seen_leaves() {
    let (database, server, sql) = served().await;
    let mut follower = Follower::start(&server).await;
    run(&sql, &message("b", "seen").repeat(3)).await;
    follower.takes(2, 4).await;
    age(&sql, 3, "true").await;
    let _retaining = Server::start_with(&database, keep(&sql).await).await;
    dropped(&sql, 0).await;
    assert_eq!(places(&sql, "b").await, (4, 4));
    run(&sql, &message("b", "later").repeat(2)).await;
    follower.takes(5, 6).await;
}

#[tokio::test]
async fn what_leaves_before_a_connected_channel_has_read_it_is_told_by_a_reset() {
    const EVENTS: usize = 8000;
    let (database, server, sql) = served().await;
    let channel = server.api.channel("alice").await;
    // Lists so long that what is under way to a client that does not read is soon as much as there is room for.
    server
        .api
        .subscribe_with("b", &channel, json!({ "callbackReference": { "callbackData": "x".repeat(4000) } }))
        .await;
    let mut socket = Socket::open(&channel).await;
    run(&sql, &format!("insert into tocsin.messages (box_id) select 'b' from generate_series(1, {EVENTS})")).await;
    reaches(&server.api, "tocsin_sockets_stalled", 1.0).await;
    age(&sql, 3, "stream = 'default/b'").await;
    let _retaining = Server::start_with(&database, keep(&sql).await).await;
    dropped(&sql, 0).await;
    let mut read = 0;
    let reset = loop {
        let list = socket.list().await;
        read += 1;
        assert_eq!(list.index, read);
        if is_reset(&list) {
            break list;
        }
        assert_eq!(list.seq(), read + 1);
    };
    assert!((2..EVENTS as i64).contains(&reset.index), "{reset:?}");
    run(&sql, &message("b", "later")).await;
    let list = socket.list().await;
    assert_eq!((list.index, list.seq()), (reset.index + 1, EVENTS as i64 + 2));
}

#[tokio::test]
async fn writers_are_not_kept_waiting_while_a_long_transaction_is_and_what_that_brings_is_gone_too() {
    let (database, server, sql) = served().await;
    let (long, writer) = (database.connect().await, database.connect().await);
    let mut follower = Follower::start(&server).await;
    run(&sql, &message("a", 1).repeat(2)).await;
    age(&sql, 3, "stream = 'default/a'").await;
    // It began three months ago.
    run(
        &long,
        "begin; set local session_replication_role = replica;
         insert into tocsin.events (stream, seq, kind, edited_at, created_at, xid)
         values ('default/late', 1, 'x', now(), date_trunc('month', now(), 'UTC') - interval '3 months', '3');
         insert into tocsin.streams (stream, head_seq, head_at, last_xid) values ('default/late', 1, now(), '3')",
    )
    .await;
    let _retaining = Server::start_with(&database, keep(&sql).await).await;
    eventually("it is being detached", async || {
        value::<Option<String>>(&sql, "select tocsin.partition_pending()").await
    })
    .await;
    assert_eq!(places(&sql, "a").await, (2, 2));
    run(&writer, "set lock_timeout = '2s'").await;
    for n in 2..=6 {
        run(&writer, &format!("{} {}", message("a", n), message("b", n))).await;
        follower.takes(n, n).await;
    }
    // (Who seals may be waiting for the long transaction, for five seconds at most.)
    run(&writer, "set lock_timeout = '20s'").await;
    assert_eq!(value::<i64>(&writer, "select tocsin.attach_partitions(5)").await, 2);
    assert_eq!(old_partitions(&sql).await.len(), 1);
    run(&long, "commit").await;
    dropped(&sql, 0).await;
    assert_eq!((places(&sql, "late").await, seqs(&sql, "late").await), ((1, 1), vec![]));
}

#[tokio::test]
async fn a_detaching_that_was_interrupted_is_finished_whatever_came_in_between() {
    // Interrupted while it waited; after it, before the drop.
    for finished in [false, true] {
        let database = Database::new().await;
        let (sql, long) = (database.connect().await, database.connect().await);
        run(&sql, &message("b", 1).repeat(3)).await;
        age(&sql, 3, "seq <= 2").await;
        age(&sql, 4, "seq <= 1").await;
        run(&long, "begin; select count(*) from tocsin.events").await;
        let first = &old_partitions(&sql).await[0];
        run(&sql, "set lock_timeout = '200ms'").await;
        let detach = format!("alter table tocsin.events detach partition tocsin.{first}");
        assert_eq!(refusal(&sql, &format!("{detach} concurrently")).await, "55P03");
        run(&long, "commit").await;
        if finished {
            run(&sql, &format!("{detach} finalize")).await;
        }
        let _server = Server::start_with(&database, keep(&sql).await).await;
        dropped(&sql, 0).await;
        assert_eq!((places(&sql, "b").await, seqs(&sql, "b").await), ((2, 3), vec![3]));
    }
}

#[tokio::test]
async fn a_stream_that_somebody_holds_puts_it_off_and_nobody_else_waits() {
    let database = Database::new().await;
    let (sql, holder) = (database.connect().await, database.connect().await);
    run(&sql, &format!("{} {} {}", message("a", 1), message("b", 1), message("c", 1))).await;
    age(&sql, 3, "true").await;
    run(&holder, &format!("begin; {}", message("b", 2))).await;
    let server = Server::start_with(&database, keep(&sql).await).await;
    eventually("the others' bases are raised", async || (places(&sql, "c").await.0 == 1).then_some(())).await;
    run(&sql, &format!("set lock_timeout = '1s'; {} {}", message("a", 2), message("c", 2))).await;
    assert_eq!(old_partitions(&sql).await.len(), 1);
    run(&holder, "commit").await;
    server.stop().await;
    let _again = Server::start_with(&database, keep(&sql).await).await;
    dropped(&sql, 0).await;
    assert_eq!((places(&sql, "b").await, seqs(&sql, "b").await), ((1, 2), vec![2]));
}

#[tokio::test]
async fn two_nodes_at_once_do_it_once() {
    let database = Database::new().await;
    let sql = database.connect().await;
    run(&sql, &message("b", 1).repeat(4)).await;
    for months in 3..=6 {
        age(&sql, months, &format!("seq <= {}", 7 - months)).await;
    }
    let keep = keep(&sql).await;
    let (one, other) = tokio::join!(Server::start_with(&database, keep.clone()), Server::start_with(&database, keep));
    dropped(&sql, 0).await;
    assert_eq!(places(&sql, "b").await, (4, 4));
    for server in [one, other] {
        eventually("it is ready", async || (server.api.get("/readyz").await.status == 200).then_some(())).await;
        server.stop().await;
    }
}

#[tokio::test]
async fn bases_are_raised_in_batches_of_any_size() {
    let database = Database::new().await;
    let sql = database.connect().await;
    let boxes: String = (0..7).map(|n| message(&format!("b{n}"), n).repeat(n + 1)).collect();
    run(&sql, &boxes).await;
    age(&sql, 3, "stream <> 'default/b3'").await;
    let partition = &old_partitions(&sql).await[0];
    let mut since = Some(String::new());
    let mut batches = 0;
    while let Some(stream) = since {
        let batch = format!("select upto, held from tocsin.raise_bases('{partition}', '{stream}', 2)");
        let row = &rows(&sql, &batch).await[0];
        assert!(row.get::<_, Vec<String>>(1).is_empty());
        since = row.get(0);
        batches += 1;
    }
    assert_eq!(batches, 4, "three of two, and one that finds nothing");
    let bases: Vec<i64> = column(&sql, "select base_seq from tocsin.streams order by stream").await;
    assert_eq!(bases, [1, 2, 3, 0, 5, 6, 7]);
    assert_eq!(value::<i64>(&sql, "select count(*) from tocsin.streams where base_at = head_at").await, 6);
}

#[tokio::test]
async fn a_server_attaches_this_month_before_it_is_ready_and_says_how_many_are_left() {
    let database = Database::new().await;
    let sql = database.connect().await;
    let partitions: Vec<String> =
        column(&sql, "select inhrelid::regclass::text from pg_inherits where inhparent = 'tocsin.events'::regclass")
            .await;
    run(&sql, &format!("drop table {}", partitions.join(", "))).await;
    assert_eq!(refusal(&sql, &message("b", 1)).await, "23514");
    assert_eq!(value::<i32>(&sql, "select tocsin.partitions_left()").await, -1);
    let server = Server::start(&database).await;
    run(&sql, &message("b", 1)).await;
    assert_eq!(server.api.get("/readyz").await.json()["partitions"]["monthsAhead"], 3);
    // Its own look at them, which would attach again what is dropped now, is over.
    eventually("it has looked", async || {
        let metrics = server.api.get("/metrics").await.text;
        let end = metrics.lines().find_map(|line| line.strip_prefix("tocsin_log_partitions_end_timestamp_seconds "));
        end.is_some_and(|end| end.parse::<f64>().unwrap() > 0.0).then_some(())
    })
    .await;
    let next = "select 'drop table tocsin.events_' || to_char(date_trunc('month', now(), 'UTC') at time zone 'UTC' + interval '2 months', 'YYYY_MM')";
    run(&sql, &value::<String>(&sql, next).await).await;
    let ready =
        eventually("it is ready", async || Some(server.api.get("/readyz").await).filter(|r| r.status == 200)).await;
    assert_eq!(ready.json()["partitions"]["monthsAhead"], 1);
}

#[tokio::test]
async fn what_the_log_no_longer_says_of_a_subscription_is_not_known() {
    let (database, server, sql) = served().await;
    let mut follower = Follower::start(&server).await;
    run(&sql, &message("b", "seen").repeat(3)).await;
    follower.takes(2, 4).await;
    let id = follower.subscription["resourceURL"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    age(&sql, 3, "seq <= 2").await;
    let _retaining = Server::start_with(&database, keep(&sql).await).await;
    dropped(&sql, 0).await;
    let explained = tokio::time::timeout(
        Duration::from_secs(30),
        tokio::process::Command::new(env!("CARGO_BIN_EXE_tocsin"))
            .args(["explain", "--database-url", database.url(), &id, "4"])
            .output(),
    )
    .await
    .unwrap()
    .unwrap();
    let said = String::from_utf8_lossy(&explained.stdout).into_owned() + &String::from_utf8_lossy(&explained.stderr);
    assert!(said.contains("is no longer kept"), "{said}");
}
