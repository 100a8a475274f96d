//! What must be done from time to time, by one node or another: idempotent, bounded, cancellable.

pub mod terms;

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::base::Result;
use crate::postgres::Database;
use crate::store::payload;

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
/// How often payloads that nobody has are looked for.
const PAYLOADS_EVERY: Duration = Duration::from_secs(900);

/// How often objects and tombstones that outlived their time are looked for.
const OBJECTS_EVERY: Duration = Duration::from_secs(60);
/// How many are dealt with in one transaction.
const OBJECTS_BATCH: i32 = 1000;

/// Ends channels and subscriptions at their time, by the database's clock.
pub async fn expire(database: Database, stop: CancellationToken) -> anyhow::Result<()> {
    let expire = "select tocsin.expire($1)::bigint";
    every(EXPIRE_EVERY, stop, "expiry", || in_batches(&database, expire, EXPIRE_BATCH)).await
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
    let forget = "select tocsin.forget_callback_keys($1)";
    every(CALLBACK_KEYS_EVERY, stop, "callback keys", || in_batches(&database, forget, CALLBACK_KEYS_BATCH)).await
}

/// Expires objects by age, if policy says so, and forgets tombstones.
pub async fn objects(database: Database, expire: u64, keep: u64, stop: CancellationToken) -> anyhow::Result<()> {
    every(OBJECTS_EVERY, stop, "objects", || async {
        if expire > 0 {
            let expire_objects = format!("select tocsin.expire_objects(make_interval(secs => {expire}), $1)::bigint");
            in_batches(&database, &expire_objects, OBJECTS_BATCH).await?;
        }
        let forget = format!("select tocsin.forget_tombstones(make_interval(secs => {keep}), $1)");
        in_batches(&database, &forget, OBJECTS_BATCH).await
    })
    .await
}

/// Calls a function that deals with at most `most` things, its one parameter, and says with how many, until they were
/// fewer.
async fn in_batches(database: &Database, function: &str, most: i32) -> Result<()> {
    loop {
        let row = database.get().await?.query_one(function, &[&most]).await?;
        if row.get::<_, i64>(0) < i64::from(most) {
            return Ok(());
        }
    }
}

/// Removes uploads that nobody finished, and payloads whose objects are gone.
pub async fn payloads(database: Database, stop: CancellationToken) -> anyhow::Result<()> {
    every(PAYLOADS_EVERY, stop, "payloads", || payload::sweep(&database)).await
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
