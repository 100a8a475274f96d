//! Stores what clients have confirmed: batched, so that a busy channel costs one row per flush, not per message.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::cursor::Cursor;
use crate::base::Result;
use crate::base::ids::SourceId;
use crate::postgres::Database;

/// A first confirmation after a quiet time is stored this soon, so that what a client reads agrees with what it got.
const SOON: Duration = Duration::from_millis(20);
/// Under load, positions are stored this often.
const OFTEN: Duration = Duration::from_millis(500);

/// The confirmed positions not stored yet: at most one for each source of a channel connected here.
#[derive(Default)]
pub struct Confirmations {
    waiting: Mutex<HashMap<SourceId, Cursor>>,
    more: Notify,
    /// Held while positions are on their way to the database: whoever flushes waits for those, too.
    storing: tokio::sync::Mutex<()>,
}

impl Confirmations {
    /// A client has everything before this position.
    pub fn confirm(&self, source: SourceId, cursor: Cursor) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(source, cursor);
        self.more.notify_one();
    }

    /// Stores what waits: afterwards everything confirmed before the call is in the database. What cannot be stored
    /// waits on.
    pub async fn flush(&self, database: &Database) -> Result<()> {
        let _storing = self.storing.lock().await;
        let batch = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        if batch.is_empty() {
            return Ok(());
        }
        let stored = store(database, &batch).await;
        if stored.is_err() {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            for (source, cursor) in batch {
                waiting.entry(source).or_insert(cursor);
            }
        }
        stored
    }

    /// Flushes until `stop`, and once more at the end.
    pub async fn run(&self, database: &Database, stop: CancellationToken) -> anyhow::Result<()> {
        let mut pause = SOON;
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.more.notified() => {}
            }
            sleep(pause).await;
            if let Err(fault) = self.flush(database).await {
                warn!("positions cannot be stored yet: {fault}");
                self.more.notify_one();
            }
            // More has come while we waited and stored: it is busy.
            let busy = !self.waiting.lock().unwrap_or_else(PoisonError::into_inner).is_empty();
            pause = if busy { OFTEN } else { SOON };
        }
        self.flush(database).await?;
        Ok(())
    }
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
