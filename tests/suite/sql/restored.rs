//! A log that lost its newest events (a restore to an earlier moment, a failover to a standby that lagged): whoever
//! had seen them is told by a resetBox.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::json;

use super::*;

/// What a restore leaves of the box: nothing after `seq`; `then` was written to the restored log.
fn rewind(seq: i64, then: &str) -> String {
    format!(
        "begin; set local session_replication_role = replica;
         delete from tocsin.events where stream = 'default/b' and seq > {seq};
         delete from tocsin.objects where box_id = 'b' and seq > {seq};
         update tocsin.streams set head_seq = {seq}, last_xid = '1',
             head_at = (select edited_at from tocsin.events where stream = 'default/b' and seq = {seq})
         where stream = 'default/b';
         set local session_replication_role = origin; {then} commit"
    )
}

/// The subscription is event 1; these are 2 to 7.
async fn six_delivered(server: &Server, sql: &Client) -> Follower {
    let mut follower = Follower::start(server).await;
    run(sql, &message("b", "seen").repeat(6)).await;
    follower.takes(2, 7).await;
    follower
}

/// A resetBox comes before anything else, then what is written from now on, at `seq`.
async fn reset_then(follower: &mut Follower, sql: &Client, seq: i64) {
    let list = follower.socket.list().await;
    assert!(is_reset(&list), "{list:?}");
    assert_eq!(list.index, 7);
    let head: DateTime<Utc> = value(sql, "select head_at from tocsin.streams where stream = 'default/b'").await;
    assert_eq!(list.token, head.to_rfc3339_opts(SecondsFormat::Micros, true));
    run(sql, &message("b", "later").repeat(2)).await;
    for n in 0..2 {
        let list = follower.socket.list().await;
        assert_eq!((list.kind(), list.seq(), list.index), ("changedObject", seq + n, 8 + n));
    }
}

#[tokio::test]
async fn a_connected_channel_whose_events_were_lost_is_reset() {
    let (_database, server, sql) = served().await;
    let mut follower = six_delivered(&server, &sql).await;
    run(&sql, &rewind(4, "")).await;
    cut(&sql, "tail", None).await;
    reset_then(&mut follower, &sql, 5).await;
}

#[tokio::test]
async fn a_connected_channel_whose_events_were_replaced_is_reset() {
    let (_database, server, sql) = served().await;
    let mut follower = six_delivered(&server, &sql).await;
    run(&sql, &rewind(4, &message("b", "instead").repeat(3))).await;
    cut(&sql, "tail", None).await;
    reset_then(&mut follower, &sql, 8).await;
}

/// The channel has confirmed all, and is gone.
async fn away(mut follower: Follower, sql: &Client) -> Value {
    let confirmed = "select exists (select from tocsin.cursors where next_seq = 8)";
    eventually("the position is stored", async || {
        follower.socket.silent(std::time::Duration::from_millis(10)).await; // which answers Pings
        value::<bool>(sql, confirmed).await.then_some(())
    })
    .await;
    follower.socket.close().await;
    follower.channel
}

#[tokio::test]
async fn a_channel_that_was_away_while_its_events_were_lost_or_replaced_is_reset() {
    // With as many events as it had seen, with fewer, and with more.
    for instead in [0, 2, 3, 5] {
        let (_database, server, sql) = served().await;
        let follower = six_delivered(&server, &sql).await;
        let subscription = follower.subscription.clone();
        let channel = away(follower, &sql).await;
        run(&sql, &rewind(4, &message("b", "instead").repeat(instead))).await;
        let socket = Socket::open(&channel).await;
        let mut follower = Follower { channel, subscription, socket };
        reset_then(&mut follower, &sql, 5 + instead as i64).await;
    }
}

#[tokio::test]
async fn a_channel_whose_events_are_all_there_is_not_reset() {
    let (_database, server, sql) = served().await;
    let follower = six_delivered(&server, &sql).await;
    let channel = away(follower, &sql).await;
    // Of what it had not seen, something was lost.
    run(&sql, &message("b", "unseen").repeat(2)).await;
    run(&sql, &rewind(7, "")).await;
    let mut socket = Socket::open(&channel).await;
    run(&sql, &message("b", "later")).await;
    let list = socket.list().await;
    assert_eq!((list.kind(), list.seq(), list.index), ("changedObject", 8, 7));
}

fn token(at: DateTime<Utc>) -> Value {
    json!({ "restartToken": at.to_rfc3339_opts(SecondsFormat::Micros, true) })
}

#[tokio::test]
async fn a_token_above_the_head_starts_with_a_reset() {
    let (_database, server, sql) = served().await;
    run(&sql, &message("b", "kept").repeat(3)).await;
    let head: DateTime<Utc> = value(&sql, "select head_at from tocsin.streams").await;
    let channel = server.api.channel("alice").await;
    server.api.subscribe_with("b", &channel, token(head + TimeDelta::microseconds(1))).await;
    let mut socket = Socket::open(&channel).await;
    assert!(is_reset(&socket.list().await));
    run(&sql, &message("b", "later")).await;
    assert_eq!(socket.list().await.seq(), 5);
}

#[tokio::test]
async fn a_token_of_the_box_replays_exactly_what_came_after_it() {
    let (_database, server, sql) = served().await;
    run(&sql, &message("b", "m").repeat(5)).await;
    let times: Vec<DateTime<Utc>> = column(&sql, "select edited_at from tocsin.events order by seq").await;
    for (n, at) in times.into_iter().enumerate() {
        let channel = server.api.channel("alice").await;
        server.api.subscribe_with("b", &channel, token(at)).await;
        let mut socket = Socket::open(&channel).await;
        for seq in n + 2..=5 {
            assert_eq!(socket.list().await.seq(), seq as i64);
        }
        socket.silent(std::time::Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_token_of_the_future_or_of_no_time_is_an_invalid_restart_token() {
    let (_database, server, sql) = served().await;
    run(&sql, &message("b", "m")).await;
    let now: DateTime<Utc> = value(&sql, "select clock_timestamp()").await;
    let channel = server.api.channel("alice").await;
    let future = (now + TimeDelta::minutes(5)).to_rfc3339();
    for bad in [future.as_str(), "yesterday", "2024-13-01T00:00:00Z", "2024-01-01", "1", " "] {
        for box_id in ["b", "empty"] {
            let fields = json!({ "callbackReference": { "notifyURL": channel["callbackURL"] }, "restartToken": bad });
            let answer = server
                .api
                .post(&format!("/nms/v1/default/{box_id}/subscriptions"), json!({ "nmsSubscription": fields }))
                .await;
            assert_eq!(answer.status, 400, "{bad}: {}", answer.text);
            assert_eq!(answer.fault(), ("SVC0002".to_owned(), vec!["restartToken".to_owned()]), "{bad}");
        }
    }
}
