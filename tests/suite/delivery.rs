//! From a written row to a client's socket, and back after an absence.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::json;
use tocsin::config::Limits;

use crate::support::client::Socket;
use crate::support::postgres::Database;
use crate::support::server::Server;

#[tokio::test]
async fn a_row_inserted_by_sql_arrives_on_the_socket() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let channel = server.api.channel("alice").await;
    let subscription = server.api.subscribe("tel%3A%2B1", &channel).await;
    let mut socket = Socket::open(&channel).await;
    let sql = database.connect().await;
    sql.batch_execute(
        "insert into tocsin.messages (box_id, sender, recipient, body) values ('tel:+1', 'tel:+2', 'tel:+1', 'hello')",
    )
    .await
    .unwrap();
    let list = socket.list().await;
    assert_eq!((list.index, list.kind(), list.seq()), (1, "changedObject", 2));
    assert_eq!(list.subscription, subscription["resourceURL"]);
    socket.silent(Duration::from_millis(200)).await;
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_was_away_loses_nothing() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let channel = server.api.channel("alice").await;
    server.api.subscribe("b", &channel).await;
    let sql = database.connect().await;
    let insert = "insert into tocsin.messages (box_id, body) select 'b', i::text from generate_series(1, 700) as i";
    sql.batch_execute(insert).await.unwrap();
    let mut socket = Socket::open(&channel).await;
    let lists = socket.lists(700).await;
    assert!(lists.iter().enumerate().all(|(n, list)| list.index == n as i64 + 1 && list.seq() == n as i64 + 2));
    socket.close().await;
    sql.batch_execute(insert).await.unwrap();
    let mut socket = Socket::open(&channel).await;
    let first = socket.list().await;
    assert!(first.index <= 701, "nothing is skipped: {}", first.index);
    assert_eq!(first.seq(), first.index + 1);
    let rest = socket.lists(1400 - first.index as usize).await;
    assert!(rest.iter().enumerate().all(|(n, list)| list.index == first.index + 1 + n as i64));
    server.stop().await;
}

#[tokio::test]
async fn many_writers_and_a_tiny_queue_lose_nothing_and_disorder_nothing() {
    let database = Database::new().await;
    let server = Server::start_with(&database, Limits { queue_events_max: 4, ..Limits::default() }).await;
    let channel = server.api.channel("alice").await;
    server.api.subscribe("b", &channel).await;
    let mut socket = Socket::open(&channel).await;
    let writers = (0..6).map(async |_| {
        let sql = database.connect().await;
        for size in 0..20 {
            let insert = format!("insert into tocsin.messages (box_id) select 'b' from generate_series(0, {size} % 4)");
            sql.batch_execute(&insert).await.unwrap();
        }
    });
    let (lists, _) = tokio::join!(socket.lists(300), join_all(writers));
    assert!(lists.iter().enumerate().all(|(n, list)| (list.index, list.seq()) == (n as i64 + 1, n as i64 + 2)));
    assert!(lists.windows(2).all(|pair| pair[0].token < pair[1].token), "restartTokens rise");
    server.stop().await;
}

#[tokio::test]
async fn what_commits_is_delivered_when_it_commits_and_what_does_not_never() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let channel = server.api.channel("alice").await;
    let late = server.api.subscribe("late", &channel).await;
    let soon = server.api.subscribe("soon", &channel).await;
    let mut socket = Socket::open(&channel).await;
    let (one, two) = (database.connect().await, database.connect().await);
    one.batch_execute("begin; insert into tocsin.messages (box_id) values ('late')").await.unwrap();
    two.batch_execute("begin; insert into tocsin.messages (box_id) values ('soon'); rollback").await.unwrap();
    two.batch_execute("insert into tocsin.messages (box_id) values ('soon')").await.unwrap();
    let first = socket.list().await;
    assert_eq!((&json!(first.subscription), first.index, first.seq()), (&soon["resourceURL"], 1, 2));
    one.batch_execute("commit").await.unwrap();
    let second = socket.list().await;
    assert_eq!((&json!(second.subscription), second.index, second.seq()), (&late["resourceURL"], 1, 2));
    server.stop().await;
}

#[tokio::test]
async fn events_arrive_without_a_ring_too_and_under_any_kind() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let channel = server.api.channel("alice").await;
    server.api.subscribe("b", &channel).await;
    let mut socket = Socket::open(&channel).await;
    let sql = database.connect().await;
    sql.batch_execute(
        r#"set tocsin.ring = 'off'; insert into tocsin.events (stream, kind, data) values ('b', 'door.opened', '{"by":"me"}')"#,
    )
    .await
    .unwrap();
    let list = socket.list().await;
    assert_eq!(list.kind(), "changedObject");
    let object = server.api.get(list.events[0]["changedObject"]["resourceURL"].as_str().unwrap()).await.json();
    let attributes = object["object"]["attributes"]["attribute"].as_array().unwrap().clone();
    for expected in
        [json!({ "name": "by", "value": ["me"] }), json!({ "name": "Event-Kind", "value": ["door.opened"] })]
    {
        assert!(attributes.contains(&expected), "{expected} in {attributes:?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn thousands_who_return_at_once_share_what_is_read() {
    const CLIENTS: usize = 50;
    const EVENTS: usize = 1100;
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let sql = database.connect().await;
    let mut channels = Vec::new();
    for n in 0..CLIENTS {
        let channel = server.api.channel(&format!("user{n}")).await;
        server.api.subscribe("b", &channel).await;
        channels.push(channel);
    }
    let insert = format!("insert into tocsin.messages (box_id) select 'b' from generate_series(1, {EVENTS})");
    sql.batch_execute(&insert).await.unwrap();
    let (before, begun) = (statements(&sql).await, Instant::now());
    join_all(channels.iter().map(async |channel| {
        let lists = Socket::open(channel).await.lists(EVENTS).await;
        assert!(lists.iter().enumerate().all(|(n, list)| list.index == n as i64 + 1));
        assert!(lists.windows(2).all(|pair| pair[1].seq() > pair[0].seq()), "in the order of the box");
    }))
    .await;
    // Each opens with three, and each has a position to store; the rest is the log's pages, and what a server does anyway.
    let meanwhile = 100 * begun.elapsed().as_secs() as i64;
    let most = CLIENTS as i64 * 5 + 200 + meanwhile;
    let asked = statements(&sql).await - before;
    assert!(asked < most, "{asked} statements for {CLIENTS} clients of {EVENTS} events each");
    server.stop().await;
}

/// Statements of the database so far, since each is a transaction. Backends tell with a delay of a second.
async fn statements(sql: &tokio_postgres::Client) -> i64 {
    tokio::time::sleep(Duration::from_millis(2500)).await;
    let count = "select xact_commit + xact_rollback from pg_stat_database where datname = current_database()";
    sql.query_one(count, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn large_events_pass_in_small_pages() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let channel = server.api.channel("alice").await;
    server.api.subscribe("b", &channel).await;
    let sql = database.connect().await;
    // What can be compressed is small in the table, and large when it is read.
    let insert = "insert into tocsin.messages (box_id, body)
        select 'b', case when i % 2 = 0 then repeat('a', 200000)
                    else (select string_agg(md5(j::text || i), '') from generate_series(1, 5000) as j) end
        from generate_series(1, 40) as i";
    sql.batch_execute(insert).await.unwrap();
    let lists = Socket::open(&channel).await.lists(40).await;
    assert!(lists.iter().enumerate().all(|(n, list)| (list.index, list.seq()) == (n as i64 + 1, n as i64 + 2)));
    server.stop().await;
}
