//! A node and its bell: asleep, awake, or without a bell at all.

use std::time::{Duration, Instant};

use tocsin::log::tailer::Mode;

use super::*;

/// The keys that writers try, and those by which nodes own a slot.
const KEY_CLASS: i32 = 1_953_456_499;
const SLOT_CLASS: i32 = KEY_CLASS + 1;

async fn mode(server: &Server, wanted: Mode) {
    eventually("the node's mode", async || (server.tail().mode() == wanted).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_awake_is_not_rung() {
    const COMMITS: usize = 4000;
    const WRITERS: usize = 4;
    let (database, server, sql) = served().await;
    let mut follower = Follower::start(&server).await;
    mode(&server, Mode::Asleep).await;
    let mut ears = tocsin::postgres::Database::new(database.url()).unwrap().connect("ears").await.unwrap();
    ears.client.batch_execute("listen tocsin").await.unwrap();
    let heard = tokio::spawn(async move {
        let mut heard = 0;
        while ears.notifications.recv().await.unwrap().payload() != "the end" {
            heard += 1;
        }
        heard
    });
    // Each in a transaction of its own, by several writers as fast as they can.
    let burst = format!(
        "do $$ begin for i in 1..{} loop
             insert into tocsin.events (stream, kind) values ('b', 'k'); commit;
         end loop; end $$",
        COMMITS / WRITERS
    );
    let mut writers = tokio::task::JoinSet::new();
    for _ in 0..WRITERS {
        let (writer, burst) = (database.connect().await, burst.clone());
        writers.spawn(async move { run(&writer, &burst).await });
    }
    let (_, woken) = tokio::join!(writers.join_all(), async {
        let mut woken = false;
        while server.tail().events() < COMMITS as u64 {
            woken |= server.tail().mode() == Mode::Awake;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        woken
    });
    run(&sql, "notify tocsin, 'the end'").await;
    let heard: usize = heard.await.unwrap();
    assert!(woken && heard < COMMITS / 2, "{heard} rings for {COMMITS} commits, awake: {woken}");
    assert!(heard > 0, "it was asleep when the burst began");
    follower.takes(2, COMMITS as i64 + 1).await;
    mode(&server, Mode::Asleep).await;
    run(&sql, &message("b", "rung again")).await;
    follower.takes(COMMITS as i64 + 2, COMMITS as i64 + 2).await;
}

#[tokio::test]
async fn a_writer_that_idles_with_the_keys_delays_nobody() {
    let database = Database::new().await;
    let (idle, sql) = (database.connect().await, database.connect().await);
    // With no node there yet it is granted all keys, and keeps them.
    run(&idle, &format!("begin; {}", message("other", 1))).await;
    let server = Server::start(&database).await;
    let mut follower = Follower::start(&server).await;
    let waits = format!(
        "select count(*) from pg_locks where locktype = 'advisory' and classid = {KEY_CLASS}::oid and not granted
                         and database = (select oid from pg_database where datname = current_database())"
    );
    eventually("the node asks for its key", async || (value::<i64>(&sql, &waits).await == 1).then_some(())).await;
    let began = Instant::now();
    for n in 0..20 {
        run(&sql, &message("b", n)).await;
        follower.takes(n + 2, n + 2).await;
    }
    // Only rung it is this quick: by the slow poll each one would take up to a second.
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    let ready = server.api.get("/readyz").await;
    assert_eq!(ready.status, 200, "{}", ready.text);
    run(&idle, "commit").await;
    mode(&server, Mode::Asleep).await;
    run(&sql, &message("b", "last")).await;
    follower.takes(22, 22).await;
}

#[tokio::test]
async fn a_node_for_which_no_slot_is_free_polls() {
    let database = Database::new().await;
    let (others, sql) = (database.connect().await, database.connect().await);
    run(&others, &format!("select pg_advisory_lock({SLOT_CLASS}, slot) from generate_series(1, 16) as slot")).await;
    let server = Server::start(&database).await;
    mode(&server, Mode::Polling).await;
    let mut follower = Follower::start(&server).await;
    for n in 0..10 {
        run(&sql, &message("b", n)).await;
        follower.takes(n + 2, n + 2).await;
    }
    let ready = server.api.get("/readyz").await;
    assert_eq!((ready.status.as_u16(), server.tail().mode()), (200, Mode::Polling), "{}", ready.text);
    assert!(ready.json()["doorbell"].as_str().unwrap().starts_with("polling"), "{}", ready.text);
}

#[tokio::test]
async fn the_last_free_slot_is_taken() {
    let database = Database::new().await;
    let (others, sql) = (database.connect().await, database.connect().await);
    run(&others, &format!("select pg_advisory_lock({SLOT_CLASS}, slot) from generate_series(1, 15) as slot")).await;
    let server = Server::start(&database).await;
    mode(&server, Mode::Asleep).await;
    let held = format!("select array_agg(objid::int) from pg_locks where locktype = 'advisory' and classid = {KEY_CLASS}::oid
                        and mode = 'ExclusiveLock' and granted and database = (select oid from pg_database where datname = current_database())");
    assert_eq!(value::<Vec<i32>>(&sql, &held).await, [16]);
    let mut follower = Follower::start(&server).await;
    run(&sql, &message("b", 1)).await;
    follower.takes(2, 2).await;
}
