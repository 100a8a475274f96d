//! Looks at what only the database knows of the log's horizon and of what is derived from the log, for /metrics.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::every;
use crate::base::Result;
use crate::base::metrics::Metrics;
use crate::postgres::Database;

/// How often.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Looks from time to time.
pub async fn look(database: Database, metrics: Arc<Metrics>, stop: CancellationToken) -> anyhow::Result<()> {
    let horizon = tokio::sync::Mutex::new(Horizon::default());
    every(LOOK_EVERY, stop, "figures", || async { look_once(&database, &metrics, &mut *horizon.lock().await).await })
        .await
}

async fn look_once(database: &Database, metrics: &Metrics, horizon: &mut Horizon) -> Result<()> {
    let client = database.get().await?;
    let statement = client.prepare_cached(include_str!("../../sql/queries/figures.sql")).await?;
    let row = client.query_one(&statement, &[]).await?;
    let age = horizon.age(row.get("oldest"), row.get("next"), Instant::now());
    metrics.horizon_age.set(age.as_secs_f64());
    metrics.terms_waiting.set(row.get("terms_waiting"));
    metrics.deferred_waiting.set(row.get("deferred_waiting"));
    metrics.deferred_late.set(row.get::<_, f64>("deferred_late").max(0.0));
    Ok(())
}

/// The oldest transaction that writes, and since when it is known to be that. (When it began is told only to who has been
/// granted `pg_read_all_stats`.)
#[derive(Debug, Default)]
struct Horizon(Option<(i64, Instant)>);

impl Horizon {
    /// For how long the oldest transaction has been seen; nothing when none is open.
    fn age(&mut self, oldest: i64, next: i64, now: Instant) -> Duration {
        self.0 = match self.0 {
            _ if oldest >= next => None,
            Some((known, since)) if known == oldest => Some((known, since)),
            _ => Some((oldest, now)),
        };
        self.0.map_or(Duration::ZERO, |(_, since)| now - since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_is_as_old_as_it_has_been_seen() {
        let (mut horizon, now) = (Horizon::default(), Instant::now());
        let later = |seconds| now + Duration::from_secs(seconds);
        assert_eq!(horizon.age(7, 7, now), Duration::ZERO, "none is open");
        assert_eq!(horizon.age(7, 8, later(15)), Duration::ZERO);
        assert_eq!(horizon.age(7, 9, later(30)), Duration::from_secs(15));
        assert_eq!(horizon.age(8, 9, later(45)), Duration::ZERO, "another one");
        assert_eq!(horizon.age(9, 9, later(60)), Duration::ZERO);
    }
}
