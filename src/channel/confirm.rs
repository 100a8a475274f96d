//! Stores what clients have confirmed: batched, so that a busy channel costs one row per flush, not per message. What was
//! sent is noted too, and stored only where its confirmation takes its time: for those who ask why nothing arrives.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::cursor::Cursor;
use crate::base::Result;
use crate::base::ids::SourceId;
use crate::postgres::Database;

/// A first confirmation after a quiet time is stored this soon, so that what a client reads agrees with what it got.
const SOON: Duration = Duration::from_millis(20);
/// Under load, positions are stored this often.
const OFTEN: Duration = Duration::from_millis(500);
/// What was sent is stored when it has waited this long for its confirmation.
const UNCONFIRMED: Duration = Duration::from_secs(1);

/// How far a source was sent.
#[derive(Debug, Clone, Copy)]
struct Sent {
    upto: Cursor,
    at: Instant,
}

/// The confirmed positions not stored yet: at most one for each source of a channel connected here. And how far they
/// were sent.
#[derive(Default)]
pub struct Confirmations {
    waiting: Mutex<HashMap<SourceId, Cursor>>,
    sent: Mutex<HashMap<SourceId, Sent>>,
    more: Notify,
    /// Held while positions are on their way to the database: whoever flushes waits for those, too.
    storing: tokio::sync::Mutex<()>,
}

impl Confirmations {
    /// A client has everything before this position.
    pub fn confirm(&self, source: SourceId, cursor: Cursor) {
        lock(&self.sent).remove(&source);
        lock(&self.waiting).insert(source, cursor);
        self.more.notify_one();
    }

    /// How many positions wait to be stored.
    pub fn waiting(&self) -> usize {
        lock(&self.waiting).len()
    }

    /// Everything before these positions is on its way to a client.
    pub fn sent(&self, positions: &[(SourceId, Cursor)]) {
        let at = Instant::now();
        lock(&self.sent).extend(positions.iter().map(|(source, upto)| (source.clone(), Sent { upto: *upto, at })));
    }

    /// Stores what was sent and has waited too long for its confirmation.
    async fn store_sent(&self, database: &Database) -> Result<()> {
        let overdue = |_: &SourceId, sent: &mut Sent| sent.at.elapsed() >= UNCONFIRMED;
        let overdue: Vec<_> = lock(&self.sent).extract_if(overdue).collect();
        if overdue.is_empty() {
            return Ok(());
        }
        let ids: Vec<&str> = overdue.iter().map(|(source, _)| source.as_str()).collect();
        let column = |of: fn(&Cursor) -> i64| overdue.iter().map(|(_, sent)| of(&sent.upto)).collect::<Vec<_>>();
        let ages: Vec<f64> = overdue.iter().map(|(_, sent)| sent.at.elapsed().as_secs_f64()).collect();
        let client = database.get().await?;
        let statement = client.prepare_cached(include_str!("../../sql/queries/sent_store.sql")).await?;
        client.execute(&statement, &[&ids, &column(|c| c.generation), &column(|c| c.next_seq), &ages]).await?;
        Ok(())
    }

    /// Stores what waits: afterwards everything confirmed before the call is in the database. What cannot be stored
    /// waits on.
    pub async fn flush(&self, database: &Database) -> Result<()> {
        let _storing = self.storing.lock().await;
        let batch = std::mem::take(&mut *lock(&self.waiting));
        if batch.is_empty() {
            return Ok(());
        }
        let stored = store(database, &batch).await;
        if stored.is_err() {
            let mut waiting = lock(&self.waiting);
            for (source, cursor) in batch {
                waiting.entry(source).or_insert(cursor);
            }
        }
        stored
    }

    /// Flushes until `stop`, and once more at the end.
    pub async fn run(&self, database: &Database, stop: CancellationToken) -> anyhow::Result<()> {
        let mut pause = SOON;
        let mut looks = interval(UNCONFIRMED);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.more.notified() => {}
                _ = looks.tick() => {
                    if let Err(fault) = self.store_sent(database).await {
                        debug!("what was sent is not noted: {fault}");
                    }
                    continue;
                }
            }
            sleep(pause).await;
            if let Err(fault) = self.flush(database).await {
                warn!("positions cannot be stored yet: {fault}");
                self.more.notify_one();
            }
            // More has come while we waited and stored: it is busy.
            let busy = !lock(&self.waiting).is_empty();
            pause = if busy { OFTEN } else { SOON };
        }
        self.flush(database).await?;
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn store(database: &Database, batch: &HashMap<SourceId, Cursor>) -> Result<()> {
    let ids: Vec<&str> = batch.keys().map(SourceId::as_str).collect();
    let column = |of: fn(&Cursor) -> i64| batch.values().map(of).collect::<Vec<_>>();
    let times: Vec<_> = batch.values().map(|cursor| cursor.next_at).collect();
    let client = database.get().await?;
    let statement = client.prepare_cached(include_str!("../../sql/queries/cursors_store.sql")).await?;
    client
        .execute(
            &statement,
            &[&ids, &column(|c| c.generation), &column(|c| c.next_seq), &times, &column(|c| c.next_index)],
        )
        .await?;
    Ok(())
}
