//! Gives objects their terms, by which searches find them (terms.sql), behind their writers.

use std::ops::ControlFlow;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::postgres::Database;

/// How often new objects are looked for, to give them their terms.
const TERMS_EVERY: Duration = Duration::from_secs(1);
/// How many get theirs in one transaction.
const TERMS_BATCH: i32 = 200;
/// How many times as long as a batch the rest after it is.
const TERMS_REST: u32 = 3;

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
        loop {
            let began = Instant::now();
            let row = client.query_one("select tocsin.index_terms($1, $2)", &[&reached, &TERMS_BATCH]).await?;
            // None: another node is at it.
            let rest = match row.get::<_, Option<i64>>(0) {
                Some(left) if left > 0 => began.elapsed() * TERMS_REST,
                _ => TERMS_EVERY,
            };
            if pause(rest, stop).await.is_break() {
                return Ok(());
            }
            if rest == TERMS_EVERY {
                break;
            }
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
