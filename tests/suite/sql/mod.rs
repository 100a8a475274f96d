//! The promises of the log, one file for each subject: what is written, how it is followed, who is rung.

mod append_only;
mod awake;
mod bulk;
mod concurrency;
mod copies;
mod crash;
mod deaf;
mod folders;
mod messages;
mod model;
mod moved;
mod partitions;
mod projection;
mod rebuild;
mod refused;
mod restored;
mod retention;
mod ring;
mod roles;
mod sessions;
mod shapes;
mod standby;
mod tail;

use serde_json::Value;
use tokio_postgres::types::FromSqlOwned;
use tokio_postgres::{Client, Row};

use crate::support::client::{EventList, Socket};
use crate::support::eventually;
use crate::support::postgres::Database;
use crate::support::server::Server;

/// Runs statements.
async fn run(sql: &Client, statements: &str) {
    if let Err(fault) = sql.batch_execute(statements).await {
        panic!("{statements}: {fault:?}");
    }
}

/// The SQLSTATE that statements are refused with.
async fn refusal(sql: &Client, statements: &str) -> String {
    match sql.batch_execute(statements).await {
        Ok(()) => panic!("not refused: {statements}"),
        Err(fault) => fault.code().unwrap_or_else(|| panic!("{statements}: {fault}")).code().to_owned(),
    }
}

/// The one value of the one row that a query returns.
async fn value<T: FromSqlOwned>(sql: &Client, query: &str) -> T {
    rows(sql, query).await[0].get(0)
}

async fn rows(sql: &Client, query: &str) -> Vec<Row> {
    sql.query(query, &[]).await.unwrap_or_else(|fault| panic!("{query}: {fault:?}"))
}

/// The first column of every row.
async fn column<T: FromSqlOwned>(sql: &Client, query: &str) -> Vec<T> {
    rows(sql, query).await.iter().map(|row| row.get(0)).collect()
}

/// Holds all that section 3 of the design says of seq, edited_at and the heads against the log as it is now.
async fn assert_exact(sql: &Client) {
    let wrong: Vec<String> = column(
        sql,
        "with numbered as (
             select stream, seq, edited_at, row_number() over w as n, lag(edited_at) over w as before
             from tocsin.events window w as (partition by stream order by seq)),
         heads as (select stream, max(seq) as seq, max(edited_at) as at from tocsin.events group by stream)
         select format('%s: seq %s at %s is the %s. event, after %s', stream, seq, edited_at, n, before)
         from numbered where seq <> n or edited_at <= before
         union all
         select format('%s: the head says %s at %s, open: %s', s.stream, s.head_seq, s.head_at, s.open)
         from tocsin.streams s full join heads h using (stream)
         where s.head_seq is distinct from h.seq or s.head_at is distinct from h.at or s.open is distinct from false",
    )
    .await;
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The seqs of a box's stream that are visible.
async fn seqs(sql: &Client, box_id: &str) -> Vec<i64> {
    column(sql, &format!("select seq from tocsin.events where stream = 'default/{box_id}' order by seq")).await
}

async fn backend_pid(sql: &Client) -> i32 {
    value(sql, "select pg_backend_pid()").await
}

/// Returns when a backend waits for a lock.
async fn blocked(observer: &Client, pid: i32) {
    let query = format!("select wait_event_type is not distinct from 'Lock' from pg_stat_activity where pid = {pid}");
    eventually("a writer waits for the other", async || value::<bool>(observer, &query).await.then_some(())).await;
}

/// One message to a box.
fn message(box_id: &str, body: impl std::fmt::Display) -> String {
    format!(
        "insert into tocsin.messages (box_id, sender, recipient, body) values ('{box_id}', 'x', '{box_id}', '{body}');"
    )
}

/// A channel with one subscription to the box `b`, whose first event that is, and its socket.
struct Follower {
    channel: Value,
    subscription: Value,
    socket: Socket,
}

impl Follower {
    async fn start(server: &Server) -> Follower {
        let channel = server.api.channel("alice").await;
        let subscription = server.api.subscribe("b", &channel).await;
        let socket = Socket::open(&channel).await;
        Follower { channel, subscription, socket }
    }

    /// Takes the lists of all events from `first` to `last`, which must come in order, and without loss in the index.
    async fn takes(&mut self, first: i64, last: i64) {
        for seq in first..=last {
            let list = self.socket.list().await;
            assert_eq!((list.seq(), list.index), (seq, seq - 1));
        }
    }
}

/// Whether a list is a resetBox.
fn is_reset(list: &EventList) -> bool {
    list.kind() == "resetBox"
}

/// The backend of the server's connection of this name: once there is one other than `not`.
async fn server_backend(sql: &Client, name: &str, not: Option<i32>) -> i32 {
    let query = format!(
        "select pid from pg_stat_activity where application_name like 'tocsin {name}%' and datname = current_database()"
    );
    eventually("the server's connection", async || {
        column::<i32>(sql, &query).await.into_iter().find(|pid| Some(*pid) != not)
    })
    .await
}

/// Waits until the tail has begun some more statements: whatever it was at is over then, and it has looked again.
async fn tail_goes_on(sql: &Client) {
    let query = "select query_start::text from pg_stat_activity
                 where application_name like 'tocsin tail%' and datname = current_database()";
    let mut begun = std::collections::HashSet::new();
    eventually("the tail goes on", async || {
        begun.extend(column::<String>(sql, query).await);
        (begun.len() >= 4).then_some(())
    })
    .await;
}

/// Ends the server's connection of this name, once there is one other than `not`; answers its pid.
async fn cut(sql: &Client, name: &str, not: Option<i32>) -> i32 {
    let pid = server_backend(sql, name, not).await;
    assert!(value::<bool>(sql, &format!("select pg_terminate_backend({pid})")).await);
    pid
}

/// A database, a server on it, and a connection beside it.
async fn served() -> (Database, Server, Client) {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let sql = database.connect().await;
    (database, server, sql)
}
