//! Releases what is due. Every node does; of what is due each takes another one.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::base::Result;
use crate::inbox::rows::{self, Released};
use crate::postgres::Database;

/// How late something is at most that another node has taken.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// When another node has what is due, it is looked again this soon.
const LOOK_SOON: Duration = Duration::from_millis(20);

/// Releases what is due, by the database's clock; `made`: this node has taken something.
pub async fn release(database: Database, made: Arc<Notify>, stop: CancellationToken) -> anyhow::Result<()> {
    loop {
        let pause = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            pause = release_due(&database) => pause.unwrap_or_else(|fault| {
                warn!("what is deferred: {fault}");
                LOOK_EVERY
            }),
        };
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = made.notified() => {}
            () = sleep(pause) => {}
        }
    }
}

/// One after the other, each in a transaction of its own; answers when to look again. What somebody holds must not hold up
/// the others: it is left out until then.
async fn release_due(database: &Database) -> Result<Duration> {
    let mut leave = Vec::new();
    loop {
        match rows::release_one(database, &leave).await? {
            Released::One => {}
            Released::Held(id) => leave.push(id),
            Released::Nothing(seconds_to_next) => {
                let next = seconds_to_next.unwrap_or(f64::MAX).clamp(0.0, LOOK_EVERY.as_secs_f64());
                return Ok(Duration::from_secs_f64(next).max(LOOK_SOON));
            }
        }
    }
}
