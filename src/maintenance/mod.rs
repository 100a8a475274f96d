//! What must be done from time to time, by one node or another: idempotent, bounded, cancellable.

pub mod deferred;
pub mod figures;
pub mod terms;

use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::base::metrics::{Metrics, Seconds};
use crate::base::{Error, Result};
use crate::log::retention;
use crate::postgres::Database;
use crate::store::payload;

/// How often channels and subscriptions that outlived their time are looked for.
const EXPIRE_EVERY: Duration = Duration::from_secs(1);
/// How many are ended in one transaction.
const EXPIRE_BATCH: i32 = 100;
/// How often the partitions ahead are looked after.
const PARTITIONS_EVERY: Duration = Duration::from_secs(3600);
/// How often partitions past their age are looked for.
const RETAIN_EVERY: Duration = Duration::from_secs(3600);
/// How often keys of callbacks that are a day old are looked for.
const CALLBACK_KEYS_EVERY: Duration = Duration::from_secs(600);
/// How many are forgotten in one transaction.
const CALLBACK_KEYS_BATCH: i32 = 10_000;
/// How often payloads that nobody has are looked for.
const PAYLOADS_EVERY: Duration = Duration::from_secs(900);

/// How often watched tables that have changed are looked for: their writers are slower until then.
const WATCHES_EVERY: Duration = Duration::from_secs(10);
/// How many are dealt with in one transaction.
const WATCHES_BATCH: i32 = 10;

/// How often objects and tombstones that outlived their time are looked for.
const OBJECTS_EVERY: Duration = Duration::from_secs(60);
/// How many are dealt with in one transaction.
const OBJECTS_BATCH: i32 = 1000;

/// Ends channels and subscriptions at their time, by the database's clock.
pub async fn expire(database: Database, stop: CancellationToken) -> anyhow::Result<()> {
    let expire = "select tocsin.expire($1)::bigint";
    every(EXPIRE_EVERY, stop, "expiry", || in_batches(&database, expire, EXPIRE_BATCH)).await
}

/// Attaches the partitions of the months ahead, warns as long as there are too few, and seals those of months that are
/// over.
pub async fn partitions(
    database: Database,
    months_ahead: i32,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let end = &metrics.log_partitions_end;
    every(PARTITIONS_EVERY, stop.clone(), "partitions", || async {
        let attached = attach_partitions(&database, months_ahead, end).await;
        let row = database.get().await?.query_one("select tocsin.partitions_left()", &[]).await?;
        let left: i32 = row.get(0);
        if left < months_ahead {
            warn!("partitions of {left} months ahead are left, not {months_ahead}: nothing can be written after them");
        }
        attached?;
        tokio::select! {
            () = stop.cancelled() => Ok(()),
            outcome = seal_partitions(&database) => outcome,
        }
    })
    .await
}

/// (Each is read once for it, which takes a second for some million events.)
async fn seal_partitions(database: &Database) -> Result<()> {
    while database.get().await?.query_one("select tocsin.seal_partition()", &[]).await?.get(0) {}
    Ok(())
}

async fn attach_partitions(database: &Database, months_ahead: i32, end: &Seconds) -> Result<()> {
    let client = database.get().await?;
    let attached: i64 = client.query_one("select tocsin.attach_partitions($1)", &[&months_ahead]).await?.get(0);
    let lasts = client.query_one(include_str!("../../sql/queries/partitions_end.sql"), &[]).await?;
    end.set(lasts.get::<_, Option<f64>>(0).unwrap_or(f64::INFINITY));
    if attached > 0 {
        info!("{attached} partitions attached");
    }
    Ok(())
}

/// Drops the partitions whose newest possible event is more than `keep_days` old; never, when that is 0.
pub async fn retention(database: Database, keep_days: u32, stop: CancellationToken) -> anyhow::Result<()> {
    if keep_days == 0 {
        stop.cancelled().await;
        return Ok(());
    }
    every(RETAIN_EVERY, stop.clone(), "retention", || async {
        tokio::select! {
            () = stop.cancelled() => Ok(()),
            outcome = retention::retain(&database, keep_days) => {
                outcome.map_err(|fault| Error::internal(anyhow!("{fault:#}")))
            }
        }
    })
    .await
}

/// Forgets the keys of callbacks that nobody will send again.
pub async fn callback_keys(database: Database, stop: CancellationToken) -> anyhow::Result<()> {
    let forget = "select tocsin.forget_callback_keys($1)";
    every(CALLBACK_KEYS_EVERY, stop, "callback keys", || in_batches(&database, forget, CALLBACK_KEYS_BATCH)).await
}

/// Makes what tells of watched tables anew where these have changed.
pub async fn watches(database: Database, stop: CancellationToken) -> anyhow::Result<()> {
    let refresh = "select tocsin.refresh_watches($1)";
    every(WATCHES_EVERY, stop, "watched tables", || in_batches(&database, refresh, WATCHES_BATCH)).await
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
