//! A node and its bell: asleep, awake, or without a bell at all.

use std::time::{Duration, Instant};

use tocsin::log::tailer::Mode;

use super::*;
use crate::support::postgres::doorbell;

/// The class of the key that writers try.
const KEY_CLASS: i32 = 1_953_456_499;
/// The rows of pg_locks about the key of this database.
const KEY: &str = "locktype = 'advisory' and classid = 1953456499 and objid = 1
    and database = (select oid from pg_database where datname = current_database())";

async fn mode(server: &Server, wanted: Mode) {
    eventually("the node's mode", async || (server.tail().mode() == wanted).then_some(())).await;
}

const COMMITS: usize = 4000;
/// How fast writers are depends on what else the machine does: so many bursts at most, until one keeps the node awake.
const BURSTS_MAX: usize = 5;

/// Bursts until the node has stayed awake during one, which it must: how many events there were. The follower, if there
/// is one, takes them all.
async fn bursts(database: &Database, server: &Server, box_id: &str, mut follower: Option<&mut Follower>) -> i64 {
    for n in 1.. {
        let (heard, woken) = burst(database, server, box_id).await;
        assert!(heard > 0, "it was asleep when the burst began");
        let written = (n * COMMITS) as i64;
        if let Some(follower) = &mut follower {
            follower.takes(written - COMMITS as i64 + 2, written + 1).await;
        }
        if woken && heard < COMMITS / 2 {
            return written;
        }
        assert!(n < BURSTS_MAX, "{heard} rings for {COMMITS} commits, awake: {woken}");
    }
    unreachable!()
}

/// Writes to a box, each event in a transaction of its own, by several writers as fast as they can. How often the node,
/// which must be asleep, was rung, and whether it was seen awake.
async fn burst(database: &Database, server: &Server, box_id: &str) -> (usize, bool) {
    const WRITERS: usize = 4;
    mode(server, Mode::Asleep).await;
    let mut ears = tocsin::postgres::Database::new(database.url()).unwrap().connect("ears").await.unwrap();
    let channel = doorbell(&ears.client).await;
    ears.client.batch_execute(&format!("listen {channel}")).await.unwrap();
    let heard = tokio::spawn(async move {
        let mut heard = 0;
        while ears.notifications.recv().await.unwrap().payload() != "the end" {
            heard += 1;
        }
        heard
    });
    let burst = format!(
        "do $$ begin for i in 1..{} loop
             insert into tocsin.events (stream, kind) values ('{box_id}', 'k'); commit;
         end loop; end $$",
        COMMITS / WRITERS
    );
    let mut writers = tokio::task::JoinSet::new();
    for _ in 0..WRITERS {
        let (writer, burst) = (database.connect().await, burst.clone());
        writers.spawn(async move { run(&writer, &burst).await });
    }
    let mut woken = false;
    while !writers.is_empty() {
        woken |= server.tail().mode() == Mode::Awake;
        tokio::select! {
            _ = writers.join_next() => {}
            () = tokio::time::sleep(Duration::from_millis(1)) => {}
        }
    }
    run(&database.connect().await, &format!("notify {channel}, 'the end'")).await;
    (heard.await.unwrap(), woken)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_awake_is_not_rung() {
    let (database, server, sql) = served().await;
    let mut follower = Follower::start(&server).await;
    let written = bursts(&database, &server, "b", Some(&mut follower)).await;
    mode(&server, Mode::Asleep).await;
    run(&sql, &message("b", "rung again")).await;
    follower.takes(written + 2, written + 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_stays_awake_while_others_are_written_to_though_it_leaves_that_out() {
    let (database, server, sql) = served().await;
    let mut follower = Follower::start(&server).await;
    run(&sql, "insert into tocsin.messages (box_id) select 'other' from generate_series(1, 1000)").await;
    eventually("it knows by now that nobody here wants these", async || (server.tail().events() > 1000).then_some(()))
        .await;
    let before = server.tail().events();
    let written = bursts(&database, &server, "other", None).await;
    let read = server.tail().events() - before;
    assert!(read < written as u64 / 2, "{read} events of {written} were not left out");
    run(&sql, &message("b", "wanted")).await;
    follower.takes(2, 2).await;
    mode(&server, Mode::Asleep).await;
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
async fn nodes_sleep_beside_the_one_that_has_the_key() {
    let (database, first, sql) = served().await;
    mode(&first, Mode::Asleep).await;
    let others = [Server::start(&database).await, Server::start(&database).await];
    let mut followers = Vec::new();
    for server in &others {
        mode(server, Mode::Asleep).await;
        followers.push(Follower::start(server).await);
    }
    let queue = format!(
        "select (select count(*) from pg_locks where granted and {KEY}), (select count(*) from pg_locks where not granted and {KEY})"
    );
    let row = &rows(&sql, &queue).await[0];
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (1, 2), "one has the key, two stand in the queue");
    let began = Instant::now();
    for n in 1..=5 {
        run(&sql, &message("b", n)).await;
        let seq = value::<i64>(&sql, "select head_seq from tocsin.streams where stream = 'default/b'").await;
        for follower in &mut followers {
            assert_eq!(follower.socket.list().await.seq(), seq);
        }
    }
    // By the slow poll each one would take up to a second.
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    // The key passes on when the one that has it goes.
    first.stop().await;
    eventually("the key has passed on", async || {
        let row = &rows(&sql, &queue).await[0];
        ((row.get::<_, i64>(0), row.get::<_, i64>(1)) == (1, 1)).then_some(())
    })
    .await;
    run(&sql, &message("b", "last")).await;
    let seq = value::<i64>(&sql, "select head_seq from tocsin.streams where stream = 'default/b'").await;
    for follower in &mut followers {
        assert_eq!(follower.socket.list().await.seq(), seq);
    }
}
