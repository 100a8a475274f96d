//! The words of the tests.

pub mod certificates;
pub mod client;
pub mod poll;
pub mod pooler;
pub mod postgres;
pub mod raw;
pub mod relay;
pub mod server;
pub mod stand_in;

use std::time::{Duration, Instant};

/// Far beyond what anything takes on a busy machine: it ends a test that would otherwise hang.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Looks again and again until there is something to see.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
