//! Gives objects their terms, by which searches find them (terms.sql), behind their writers.

use std::ops::ControlFlow;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::postgres::{Connection, Database};

/// How often new objects are looked for, to give them their terms.
const TERMS_EVERY: Duration = Duration::from_secs(1);
/// How many get theirs in one transaction.
const TERMS_BATCH: i32 = 200;
/// How many times as long as a batch the rest after it is.
const TERMS_REST: u32 = 3;

/// One node at a time does this, by an advisory lock, rests included: 'toct' in ASCII.
const ALONE: &str = "select pg_try_advisory_lock(1953456500)";
/// Lets others do it.
const ALONE_NO_LONGER: &str = "select pg_advisory_unlock(1953456500)";

/// Gives objects their terms, behind their writers: a batch, then a rest that is longer than it took, so that it never
/// takes much of the database. On a connection of its own: a mark means nothing in another history of the database.
pub async fn terms(database: Database, stop: CancellationToken) -> anyhow::Result<()> {
    loop {
        if let Err(fault) = follow_terms(&database, &stop).await {
            warn!("terms of objects: {fault}");
        }
        if pause(TERMS_EVERY, &stop).await.is_break() {
            return Ok(());
        }
    }
}

async fn follow_terms(database: &Database, stop: &CancellationToken) -> anyhow::Result<()> {
    let connection = database.connect("terms").await?;
    let client = &connection.client;
    loop {
        let mark = client.query_one("select reached, at from tocsin.terms_mark()", &[]).await?;
        let (reached, at): (i64, Option<String>) = (mark.get(0), mark.get(1));
        let Some(at) = at else {
            if pause(TERMS_EVERY, stop).await.is_break() {
                return Ok(());
            }
            continue;
        };
        while !client.query_one("select tocsin.terms_mark_passed($1)", &[&at]).await?.get::<_, bool>(0) {
            if pause(TERMS_EVERY, stop).await.is_break() {
                return Ok(());
            }
        }
        let alone: bool = client.query_one(ALONE, &[]).await?.get(0);
        if alone {
            if index_up_to(&connection, reached, stop).await?.is_break() {
                return Ok(());
            }
            client.execute(ALONE_NO_LONGER, &[]).await?;
        }
        if pause(TERMS_EVERY, stop).await.is_break() {
            return Ok(());
        }
    }
}

/// Batches and rests, until everything up to there has its terms.
async fn index_up_to(
    connection: &Connection,
    reached: i64,
    stop: &CancellationToken,
) -> anyhow::Result<ControlFlow<()>> {
    loop {
        let began = Instant::now();
        let row = connection.client.query_one("select tocsin.index_terms($1, $2)", &[&reached, &TERMS_BATCH]).await?;
        match row.get::<_, Option<i64>>(0) {
            Some(left) if left > 0 => {}
            _ => return Ok(ControlFlow::Continue(())),
        }
        if pause(began.elapsed() * TERMS_REST, stop).await.is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
}

/// Waits; breaks when it is time to stop.
async fn pause(pause: Duration, stop: &CancellationToken) -> ControlFlow<()> {
    tokio::select! {
        () = stop.cancelled() => ControlFlow::Break(()),
        () = sleep(pause) => ControlFlow::Continue(()),
    }
}
