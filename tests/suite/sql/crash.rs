//! Postgres crashes, and gives out the transaction ids again that it had not written down.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use tocsin::postgres::embedded::running_url;
use tokio_postgres::NoTls;

use super::*;
use crate::support::postgres::doorbell;
use crate::support::server::Program;

async fn connected(url: &str) -> Client {
    eventually("Postgres accepts connections", async || {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await.ok()?;
        tokio::spawn(connection);
        Some(client)
    })
    .await
}

/// Gives out many transaction ids that nobody writes down, lets the tail see them, and stops Postgres at once. Answers
/// the last of them.
async fn crash(sql: &Client, postmaster: Pid) -> i64 {
    run(sql, "set synchronous_commit = off").await;
    let now: String = value(sql, "select clock_timestamp()::text").await;
    run(sql, "do $$ begin for i in 1..5000 loop perform pg_current_xact_id(); rollback; end loop; end $$").await;
    let last = value(sql, "select pg_snapshot_xmax(pg_current_snapshot())::text::bigint - 1").await;
    run(sql, &format!("notify {}", doorbell(sql).await)).await;
    let seen = format!("select query_start > '{now}' from pg_stat_activity where application_name like 'tocsin tail%'");
    eventually("the tail has read", async || column(sql, &seen).await.contains(&true).then_some(())).await;
    kill(postmaster, Signal::SIGQUIT).unwrap();
    last
}

fn postmaster(dir: &TempDir) -> Pid {
    let file = std::fs::read_to_string(dir.path().join("postgres/postmaster.pid")).unwrap();
    Pid::from_raw(file.lines().next().unwrap().parse().unwrap())
}

#[tokio::test]
async fn after_a_crash_that_reuses_transaction_ids_every_event_arrives_once() {
    const BATCH: i64 = 20;
    let dir = TempDir::new().unwrap();
    let program = Program::start(dir.path()).await;
    let url = running_url(dir.path()).unwrap();
    let channel = program.api.channel("alice").await;
    let subscription = program.api.subscribe("b", &channel).await;
    let socket = Socket::open(&channel).await;
    let mut follower = Follower { channel, subscription, socket };
    let mut next = 2;
    let mut reused = false;
    for _ in 0..5 {
        let sql = connected(&url).await;
        for n in 0..BATCH {
            run(&sql, &message("b", n)).await;
        }
        follower.takes(next, next + BATCH - 1).await;
        next += BATCH;
        let last = crash(&sql, postmaster(&dir)).await;
        eventually("Postgres is gone", async || sql.is_closed().then_some(())).await;

        let sql = connected(&url).await;
        // Two rows at once, so that a ring brings no copy, and none once the tail is back: nothing comes after
        // that would show what it has missed.
        let two = "insert into tocsin.events (stream, kind) values ('b', 'k'), ('b', 'k') returning xid::text::bigint";
        let back = "select exists (select from pg_stat_activity where application_name like 'tocsin keys%')";
        let mut xids = Vec::new();
        eventually("the tail is back", async || {
            let is_back = value::<bool>(&sql, back).await && !xids.is_empty();
            if !is_back {
                xids.push(value::<i64>(&sql, two).await);
            }
            is_back.then_some(())
        })
        .await;
        let written = 2 * xids.len() as i64;
        follower.takes(next, next + written - 1).await;
        next += written;
        assert_exact(&sql).await;
        if xids.iter().all(|xid| *xid <= last) {
            reused = true;
            break;
        }
    }
    assert!(reused, "no crash made Postgres use a transaction id again");
    follower.socket.silent(std::time::Duration::from_millis(100)).await;
    assert_eq!(program.terminate().await, Some(0));
}
