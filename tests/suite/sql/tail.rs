//! What the tail makes of transactions of every size and length.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_big_transaction_arrives_whole_and_in_order() {
    const ROWS: i64 = 50_000;
    let (_database, server, sql) = served().await;
    let mut follower = Follower::start(&server).await;
    let insert = format!("insert into tocsin.events (stream, kind) select 'b', 'k' from generate_series(1, {ROWS})");
    run(&sql, &insert).await;
    follower.takes(2, ROWS + 1).await;
    run(&sql, &message("b", "after")).await;
    follower.takes(ROWS + 2, ROWS + 2).await;
}

#[tokio::test]
async fn a_transaction_that_is_open_elsewhere_delays_nothing_and_is_not_lost() {
    let (database, server, sql) = served().await;
    let mut follower = Follower::start(&server).await;
    let channel = server.api.channel("bob").await;
    server.api.subscribe("c", &channel).await;
    let mut other = Socket::open(&channel).await;
    let open = database.connect().await;
    run(&open, &format!("begin; select pg_current_xact_id(); {}", message("c", "late"))).await;
    for n in 0..30 {
        run(&sql, &message("b", n)).await;
        follower.takes(n + 2, n + 2).await;
    }
    run(&open, "savepoint s").await;
    run(&open, &message("c", "later").repeat(2)).await;
    run(&open, "commit").await;
    for seq in 2..=4 {
        assert_eq!(other.list().await.seq(), seq);
    }
}

#[tokio::test]
async fn many_open_transactions_that_end_in_any_order_arrive_each_once() {
    let (database, server, sql) = served().await;
    let mut follower = Follower::start(&server).await;
    let mut open = Vec::new();
    for n in 0..12 {
        let writer = database.connect().await;
        // Ids in one order; places in the box in another, which is that of the commits.
        run(&writer, &format!("begin; select pg_current_xact_id(); {}", message(&format!("other{n}"), n))).await;
        open.push(writer);
    }
    for n in [7, 0, 11, 3, 5, 1, 10, 2, 9, 4, 8, 6] {
        let end = if n % 4 == 3 { "rollback" } else { "commit" };
        run(&open[n], &format!("{} savepoint s; {} {end}", message("b", n), message("b", n))).await;
    }
    run(&sql, &message("b", "last")).await;
    follower.takes(2, 2 * 9 + 2).await;
    assert_exact(&sql).await;
}

#[tokio::test]
async fn a_prepared_transaction_arrives_when_it_commits() {
    let (_database, server, sql) = served().await;
    let mut follower = Follower::start(&server).await;
    let name: String = value(&sql, "select current_database()").await;
    run(&sql, &format!("set tocsin.ring = 'off'; begin; {} prepare transaction '{name}'", message("b", 1).repeat(3)))
        .await;
    run(&sql, &format!("set tocsin.ring = 'auto'; {}", message("c", 1))).await;
    tail_goes_on(&sql).await;
    run(&sql, &format!("commit prepared '{name}'")).await;
    follower.takes(2, 4).await;
}

#[tokio::test]
async fn two_nodes_deliver_the_same_log() {
    let (database, server, sql) = served().await;
    let second = Server::start(&database).await;
    let mut follower = Follower::start(&server).await;
    let channel = second.api.channel("bob").await;
    let subscription = second.api.subscribe("b", &channel).await;
    assert_ne!(subscription["resourceURL"], follower.subscription["resourceURL"]);
    let mut socket = Socket::open(&channel).await;
    for n in 0..40 {
        run(&sql, &message("b", n)).await;
    }
    for seq in 3..=42 {
        let (one, other) = (follower.socket.list().await, socket.list().await);
        assert_eq!((one.seq(), other.seq()), (seq, seq));
        assert_eq!((one.token, one.events[0]["changedObject"]["lastModSeq"].clone()), (other.token, seq.into()));
    }
}
