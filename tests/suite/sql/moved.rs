//! A log that came from another cluster: its transaction ids mean nothing here.

use super::*;

/// As a restored dump would leave it: written elsewhere, where transaction ids were far ahead of ours.
async fn written_elsewhere() -> (Database, Client) {
    let database = Database::new().await;
    let sql = database.connect().await;
    run(&sql, &message("b", "old").repeat(20)).await;
    run(
        &sql,
        "set session_replication_role = replica;
         update tocsin.events set xid = (4000000000 + seq)::text::xid8;
         update tocsin.streams set last_xid = '5000000000';
         update tocsin.cluster set system_identifier = 1;
         set session_replication_role = origin",
    )
    .await;
    (database, sql)
}

#[tokio::test]
async fn a_server_resets_foreign_transaction_ids_once_and_delivers_what_is_new() {
    let (database, sql) = written_elsewhere().await;
    let before: Vec<String> =
        column(&sql, "select row(stream, seq, edited_at, data)::text from tocsin.events order by seq").await;
    let server = Server::start(&database).await;
    let ahead = "select (select count(*) from tocsin.events where xid >= pg_snapshot_xmax(pg_current_snapshot()))
        + (select count(*) from tocsin.streams where last_xid >= pg_snapshot_xmax(pg_current_snapshot()))";
    assert_eq!(value::<i64>(&sql, ahead).await, 0);
    let after: Vec<String> =
        column(&sql, "select row(stream, seq, edited_at, data)::text from tocsin.events order by seq").await;
    assert_eq!(after, before, "nothing else of the log has changed");
    assert!(
        value::<bool>(
            &sql,
            "select system_identifier = (select system_identifier from pg_control_system()) from tocsin.cluster"
        )
        .await
    );

    eventually("the log is followed", async || {
        (server.tail().mode() == tocsin::log::tailer::Mode::Asleep).then_some(())
    })
    .await;
    let channel = server.api.channel("alice").await;
    server.api.subscribe("b", &channel).await;
    let mut socket = Socket::open(&channel).await;
    run(&sql, &message("b", "new").repeat(2)).await;
    assert_eq!((socket.list().await.seq(), socket.list().await.seq()), (22, 23));
    // channel.created, subscription.created, channel.opened and two messages: not the old ones with each read.
    let mut reads = std::collections::HashSet::new();
    eventually("the tail has polled some more", async || {
        reads.extend(column::<String>(&sql, "select query_start::text from pg_stat_activity where application_name like 'tocsin tail%' and datname = current_database()").await);
        (reads.len() >= 3).then_some(())
    })
    .await;
    assert_eq!(server.tail().events(), 5);
    assert_exact(&sql).await;
}

#[tokio::test]
async fn a_log_at_home_is_left_alone_and_guarded_after_a_move() {
    let (_database, sql) = written_elsewhere().await;
    assert!(value::<bool>(&sql, "select tocsin.adopt_cluster()").await);
    let ids: Vec<String> = column(&sql, "select distinct xid::text from tocsin.events").await;
    run(&sql, &message("b", "new")).await;
    assert!(!value::<bool>(&sql, "select tocsin.adopt_cluster()").await);
    assert_eq!(ids, ["1"]);
    assert!(value::<bool>(&sql, "select xid > '1' from tocsin.events order by xid desc limit 1").await);
    let off = "select count(*) from pg_trigger where tgrelid::regclass::text like 'tocsin.%' and tgenabled <> 'O'";
    assert_eq!(value::<i64>(&sql, off).await, 0);
    assert_eq!(refusal(&sql, "delete from tocsin.events").await, "42501");
}

#[tokio::test]
async fn a_stream_whose_last_writer_had_our_transaction_id_elsewhere_is_numbered_right() {
    let (_database, sql) = written_elsewhere().await;
    // Without the reset the next writer would be taken for the last one, as which it had not locked the stream.
    run(&sql, "update tocsin.streams set last_xid = (pg_current_xact_id()::text::bigint + 3)::text::xid8").await;
    assert!(value::<bool>(&sql, "select tocsin.adopt_cluster()").await);
    for n in 0..6 {
        run(&sql, &message("b", n)).await;
        assert!(value::<bool>(&sql, "select last_xid > '1' and not open from tocsin.streams").await);
    }
    assert_exact(&sql).await;
}
