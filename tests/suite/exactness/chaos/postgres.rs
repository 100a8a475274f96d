//! Postgres stopped so that the ids of transactions that rolled back are given again: who followed the log by ids alone
//! would then take new transactions for old ones.

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::sleep;
use tokio_postgres::Client;

use super::super::world::{AGAIN_AFTER, World};

/// Transactions rolled back right before.
const ROLLED_BACK: usize = 100;
/// By then what a stopped server had asked for is done.
const ALL_STAND_STILL: Duration = Duration::from_millis(100);

/// While nobody commits, the server included, many transactions take ids and roll back. Nothing of that reaches the disk
/// before Postgres is stopped in immediate mode. Answers whether ids came back; `None` when Postgres was away already.
pub async fn stop(world: &World, server: u32) -> Option<bool> {
    let sql = world.connect("chaos").await;
    let committing = world.commits.write().await;
    let find = "select pid from pg_stat_activity where backend_type = 'walwriter'";
    let wal_writer = Pid::from_raw(sql.query_opt(find, &[]).await.ok()??.get(0));
    let (server, postmaster) = (Pid::from_raw(i32::try_from(server).unwrap()), world.postmaster()?);
    signal(server, Signal::SIGSTOP);
    signal(wal_writer, Signal::SIGSTOP);
    sleep(ALL_STAND_STILL).await;
    let last = roll_back_many(&sql).await;
    signal(Pid::from_raw(postmaster), Signal::SIGQUIT);
    signal(wal_writer, Signal::SIGQUIT);
    signal(wal_writer, Signal::SIGCONT);
    while !sql.is_closed() {
        sleep(Duration::from_millis(5)).await; // until then somebody could still commit
    }
    signal(server, Signal::SIGCONT);
    drop(committing);
    while world.postmaster() == Some(postmaster) {
        sleep(AGAIN_AFTER).await;
    }
    let sql = world.connect("chaos").await;
    let next = "select split_part(next_xid, ':', 2)::bigint from pg_control_checkpoint()"; // as recovery found it
    let next: Option<i64> = sql.query_one(next, &[]).await.ok().map(|row| row.get(0));
    Some(next.zip(last).is_some_and(|(next, last)| next <= last))
}

/// Answers the last transaction id that was taken.
async fn roll_back_many(sql: &Client) -> Option<i64> {
    let write = "begin; insert into tocsin.messages (box_id, body) values ('tel:+0', 'never'); rollback;";
    sql.batch_execute(&write.repeat(ROLLED_BACK)).await.ok()?;
    let last = "select pg_snapshot_xmax(pg_current_snapshot())::text::bigint - 1";
    sql.query_one(last, &[]).await.ok().map(|row| row.get(0))
}

/// It fails only for a process that has ended, which is as well.
fn signal(process: Pid, signal: Signal) {
    let _ = kill(process, signal);
}
