//! From a written row to a client's socket, and back after an absence.

use std::time::Duration;

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
