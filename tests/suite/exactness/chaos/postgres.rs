//! Postgres stopped so that the ids of transactions that rolled back are given again: who followed the log by ids alone
//! would then take new transactions for old ones.

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::{Instant, sleep};
use tokio_postgres::Client;

use super::super::evidence::{Outcome, Transaction, write_key};
use super::super::plan::{CANARY_BOX, stream_of};
use super::super::world::{AGAIN_AFTER, World};

/// Transactions rolled back right before.
const ROLLED_BACK: usize = 100;
/// By then the server has stored what clients confirmed, and has nothing more to commit.
const ALL_IS_QUIET: Duration = Duration::from_millis(1200);
/// By then the server has looked at the log again, though nothing rang: it knows the ids as taken.
const SLOW_POLL_PASSED: Duration = Duration::from_millis(1200);

/// How long the first message after a restart may take.
const CANARY_PATIENCE: Duration = Duration::from_secs(15);

/// What became of a stop.
pub struct Stopped {
    pub ids_came_back: bool,
    /// The first message after it.
    pub canary: Transaction,
    /// That it did not arrive.
    pub fault: Option<String>,
}

/// The `number`th stop. While nobody commits, many transactions take ids and roll back; the server sees that, but nothing of it reaches the
/// disk before Postgres is stopped in immediate mode. `None` when Postgres was away.
pub async fn stop(world: &World, number: usize) -> Option<Stopped> {
    let sql = world.connect("chaos").await;
    let committing = world.commits.write().await;
    sleep(ALL_IS_QUIET).await;
    let find = "select pid from pg_stat_activity where backend_type = 'walwriter'";
    let wal_writer = Pid::from_raw(sql.query_opt(find, &[]).await.ok()??.get(0));
    let postmaster = world.postmaster()?;
    signal(wal_writer, Signal::SIGSTOP);
    let last = roll_back_many(&sql).await;
    sleep(SLOW_POLL_PASSED).await;
    signal(Pid::from_raw(postmaster), Signal::SIGQUIT);
    signal(wal_writer, Signal::SIGQUIT);
    signal(wal_writer, Signal::SIGCONT);
    while !sql.is_closed() {
        sleep(Duration::from_millis(5)).await; // until then somebody could still commit
    }
    while world.postmaster() == Some(postmaster) {
        sleep(AGAIN_AFTER).await;
    }
    let sql = world.connect("chaos").await;
    let next = "select split_part(next_xid, ':', 2)::bigint from pg_control_checkpoint()"; // as recovery found it
    let next: Option<i64> = sql.query_one(next, &[]).await.ok().map(|row| row.get(0));
    let ids_came_back = next.zip(last).is_some_and(|(next, last)| next <= last);
    let (canary, fault) = canary(world, &sql, number).await;
    drop(committing);
    Some(Stopped { ids_came_back, canary, fault })
}

/// Before anybody else writes: a message with an id that was taken before. No later event of its box hides its loss.
async fn canary(world: &World, sql: &Client, number: usize) -> (Transaction, Option<String>) {
    let name = format!("canary-{number}");
    let insert = "insert into tocsin.messages (box_id, sender, recipient, body) values ($1, 'tel:+1', $1, $2)";
    let (outcome, mut fault) = match sql.execute(insert, &[&CANARY_BOX, &name]).await {
        Ok(_) => (Outcome::Committed, None),
        Err(fault) => (Outcome::Unknown, Some(format!("{name}: {fault}"))),
    };
    let written = Instant::now();
    while fault.is_none() && world.canaries_seen() < number {
        if written.elapsed() > CANARY_PATIENCE {
            fault = Some(format!("{name}, written after Postgres was stopped, did not arrive in {CANARY_PATIENCE:?}"));
        }
        sleep(AGAIN_AFTER).await;
    }
    let writes = vec![write_key(&stream_of(CANARY_BOX), &name)];
    (Transaction { name, outcome, writes, undone: Vec::new() }, fault)
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
