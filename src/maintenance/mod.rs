//! What must be done from time to time, by one node or another: idempotent, bounded, cancellable.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::base::Result;
use crate::postgres::Database;

/// How often channels and subscriptions that outlived their time are looked for.
const EXPIRE_EVERY: Duration = Duration::from_secs(1);
/// How many are ended in one transaction.
const EXPIRE_BATCH: i32 = 100;
/// How often the partitions ahead are looked after.
const PARTITIONS_EVERY: Duration = Duration::from_secs(3600);
/// How often keys of callbacks that are a day old are looked for.
const CALLBACK_KEYS_EVERY: Duration = Duration::from_secs(600);
/// How many are forgotten in one transaction.
const CALLBACK_KEYS_BATCH: i32 = 10_000;
/// How often new objects are looked for, to give them their terms.
const TERMS_EVERY: Duration = Duration::from_secs(1);
/// How many get theirs in one transaction.
const TERMS_BATCH: i32 = 200;
/// How many times as long as a batch the rest after it is.
const TERMS_REST: u32 = 3;

/// Ends channels and subscriptions at their time, by the database's clock.
pub async fn expire(database: Database, stop: CancellationToken) -> anyhow::Result<()> {
    every(EXPIRE_EVERY, stop, "expiry", || expire_once(&database)).await
}

async fn expire_once(database: &Database) -> Result<()> {
    loop {
        let row = database.get().await?.query_one("select tocsin.expire($1)", &[&EXPIRE_BATCH]).await?;
        if row.get::<_, i32>(0) < EXPIRE_BATCH {
            return Ok(());
        }
    }
}

/// Attaches the partitions of the months ahead.
pub async fn partitions(database: Database, months_ahead: i32, stop: CancellationToken) -> anyhow::Result<()> {
    every(PARTITIONS_EVERY, stop, "partitions", || attach_partitions(&database, months_ahead)).await
}

async fn attach_partitions(database: &Database, months_ahead: i32) -> Result<()> {
    let row = database.get().await?.query_one("select tocsin.attach_partitions($1)", &[&months_ahead]).await?;
    let attached: i64 = row.get(0);
    if attached > 0 {
        info!("{attached} partitions attached");
    }
    Ok(())
}

/// Forgets the keys of callbacks that nobody will send again.
pub async fn callback_keys(database: Database, stop: CancellationToken) -> anyhow::Result<()> {
    every(CALLBACK_KEYS_EVERY, stop, "callback keys", || forget_callback_keys(&database)).await
}

async fn forget_callback_keys(database: &Database) -> Result<()> {
    loop {
        let forget = "select tocsin.forget_callback_keys($1)";
        let row = database.get().await?.query_one(forget, &[&CALLBACK_KEYS_BATCH]).await?;
        if row.get::<_, i64>(0) < i64::from(CALLBACK_KEYS_BATCH) {
            return Ok(());
        }
    }
}

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

async fn every<F: Future<Output = Result<()>>>(
    pause: Duration,
    stop: CancellationToken,
    duty: &str,
    mut once: impl FnMut() -> F,
) -> anyhow::Result<()> {
    let mut ticks = interval(pause);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            _ = ticks.tick() => {}
        }
        if let Err(fault) = once().await {
            warn!("{duty}: {fault}");
        }
    }
}
