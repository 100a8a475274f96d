//! The sessions by which a node follows the log: what they are set to, what they hold, and what their loss costs.

use super::*;

const TAIL: &str = include_str!("../../../sql/queries/read_since_snapshot.sql");

/// Writes to the box and cuts the server's connection of this name again and again; nothing is lost.
async fn survives_cuts_of(name: &str) {
    const MESSAGES: i64 = 240;
    const CUTS: i64 = 3;
    let (database, server, sql) = served().await;
    let mut follower = Follower::start(&server).await;
    let observer = database.connect().await;
    let writing = async {
        for n in 0..MESSAGES {
            run(&sql, &message("b", n)).await;
        }
    };
    let cutting = async {
        let mut ended = None;
        for _ in 0..CUTS {
            ended = Some(cut(&observer, name, ended).await);
        }
        ended
    };
    let ((), ended, ()) = tokio::join!(writing, cutting, follower.takes(2, MESSAGES + 1));
    // And it is as before.
    let ended = cut(&observer, name, ended).await;
    server_backend(&observer, name, Some(ended)).await;
    run(&sql, &message("b", "last")).await;
    follower.takes(MESSAGES + 2, MESSAGES + 2).await;
    follower.socket.silent(std::time::Duration::from_millis(100)).await;
}

#[tokio::test]
async fn the_loss_of_the_tail_s_connection_loses_no_event() {
    survives_cuts_of("tail").await;
}

#[tokio::test]
async fn the_loss_of_the_keys_connection_loses_no_event() {
    survives_cuts_of("keys").await;
}

#[tokio::test]
async fn what_is_written_while_nobody_tails_is_delivered_after() {
    let (database, server, sql) = served().await;
    let mut follower = Follower::start(&server).await;
    run(&sql, &message("b", 1)).await;
    follower.takes(2, 2).await;
    // The tail cannot come back before these are committed: it has them from the log alone, not from its snapshot.
    let name: String = value(&sql, "select current_database()").await;
    let admin = crate::support::postgres::connect(crate::support::postgres::cluster().url()).await;
    run(&admin, &format!("alter database {name} with allow_connections false")).await;
    let pid = cut(&sql, "tail", None).await;
    let gone = format!("select count(*) = 0 from pg_stat_activity where pid = {pid}");
    eventually("the tail is gone", async || value::<bool>(&sql, &gone).await.then_some(())).await;
    run(&sql, &message("b", 2).repeat(5)).await;
    run(&admin, &format!("alter database {name} with allow_connections true")).await;
    follower.takes(3, 7).await;
    drop(database);
}

#[tokio::test]
async fn the_tail_s_plan_reads_the_index_on_xid_only_whatever_was_analysed() {
    let database = Database::new().await;
    let sql = database.connect().await;
    run(&sql, "insert into tocsin.events (stream, kind) select 'b' || i % 50, 'k' from generate_series(1, 3000) as i")
        .await;
    run(&sql, "select tocsin.attach_partitions(7)").await;
    let explain = format!("prepare tail (text, text[], text, bytea) as {TAIL}; {}", tocsin::log::rows::TAIL_SESSION);
    run(&sql, &explain).await;
    let plan = async |sealed: &str| {
        let explain = format!("explain execute tail('100', '{{3,5}}', {sealed}, null)");
        column::<String>(&sql, &explain).await.join("\n")
    };
    let of_all = plan("'-infinity'").await;
    assert!(of_all.matches("_xid_idx").count() >= 2 * 9, "{of_all}");
    // Two scans a partition: this month and seven.
    let unsealed = plan("date_trunc('month', now(), 'UTC')::text").await;
    assert_eq!(unsealed.matches("_xid_idx").count(), 16, "{unsealed}");
    // A large one beside empty ones, and statistics that say so. (Written by another session: the settings of the tail's
    // are no good for writing.)
    run(
        &database.connect().await,
        "insert into tocsin.events (stream, kind) select 'b' || i % 50, 'k' from generate_series(1, 100000) as i",
    )
    .await;
    run(&sql, "analyze tocsin.events").await;
    for tailed in [of_all, unsealed, plan("date_trunc('month', now(), 'UTC')::text").await] {
        assert!(!tailed.contains("_stream_seq") && !tailed.contains("Gather"), "{tailed}");
    }
}

#[tokio::test]
async fn the_node_s_own_sessions_have_no_time_limits() {
    let database = Database::new().await;
    let sql = database.connect().await;
    let name: String = value(&sql, "select current_database()").await;
    // What this version has.
    let limits = "select name from pg_settings where name like '%\\_timeout' and context = 'user'
        and name not in ('tcp_user_timeout', 'wal_sender_timeout')";
    let limits = column::<String>(&sql, limits).await;
    assert!(limits.len() >= 4, "{limits:?}");
    for limit in &limits {
        run(&sql, &format!("alter database {name} set {limit} = '400ms'")).await;
    }
    let own = tocsin::postgres::Database::new(database.url()).unwrap().connect("check").await.unwrap();
    for limit in &limits {
        assert_eq!(value::<String>(&own.client, &format!("select current_setting('{limit}')")).await, "0", "{limit}");
    }
    assert_eq!(value::<String>(&own.client, "show jit").await, "off");
    let pooled = tocsin::postgres::Database::new(database.url()).unwrap().get().await.unwrap();
    assert_eq!(pooled.query_one("show jit", &[]).await.unwrap().get::<_, String>(0), "off");
    drop(pooled);
    // A transaction keeps the node waiting for its key; then it idles from one slow poll to the next.
    let writer = own.client;
    run(&writer, &format!("begin; {}", message("other", 1))).await;
    let _server = Server::start(&database).await;
    let (tail, keys) = (server_backend(&sql, "tail", None).await, server_backend(&sql, "keys", None).await);
    tail_goes_on(&sql).await;
    run(&writer, "commit").await;
    tail_goes_on(&sql).await;
    assert_eq!((server_backend(&sql, "tail", None).await, server_backend(&sql, "keys", None).await), (tail, keys));
}

#[tokio::test]
async fn the_tail_holds_no_transaction_id_and_idle_no_snapshot() {
    let (_database, server, sql) = served().await;
    let mut follower = Follower::start(&server).await;
    let held = "select count(*) from pg_stat_activity
        where datname = current_database() and application_name ~ '^tocsin (tail|keys)'
          and (backend_xid is not null or state <> 'active' and (backend_xmin is not null or state <> 'idle'))";
    // (The view reads a session's state and its snapshot one after the other: between them a statement may begin.)
    let none = async || (value::<i64>(&sql, held).await == 0).then_some(());
    for n in 0..100 {
        run(&sql, &message("b", n)).await;
        eventually("nothing is held", none).await;
    }
    follower.takes(2, 101).await;
    eventually("nothing is held", none).await;
}

#[tokio::test]
async fn the_tail_itself_never_scans_a_partition() {
    let (_database, server, sql) = served().await;
    run(&sql, "insert into tocsin.events (stream, kind) select 'b' || i % 50, 'k' from generate_series(1, 3000) as i")
        .await;
    eventually("the tail has read them", async || (server.tail().events() == 3000).then_some(())).await;
    // (Whoever seals a month that is over reads it once.)
    let scans = "select coalesce(sum(seq_scan), 0)::bigint from pg_stat_user_tables
                 where relname = 'events_' || to_char(now() at time zone 'UTC', 'YYYY_MM')";
    // A session tells its statistics once in a while: so the first figure is of some polls later, the last of more.
    let mut figures = Vec::new();
    for _ in 0..2 {
        tail_goes_on(&sql).await;
        figures.push(value::<i64>(&sql, scans).await);
    }
    assert_eq!(figures[0], figures[1]);
}
