//! Leaving without a stampede: from a first moment on the node takes no new sockets and polls, and closes the sockets
//! it has one by one, spread evenly over a window, so that their clients come to the other nodes at a steady rate.
//! Until its turn has come, a socket is served as before.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::base::{Error, Result};
use crate::channel::hub::{End, Hub};

/// What each socket adds to the window, up to the whole of it: a node with few of them leaves quickly.
const PER_SOCKET: Duration = Duration::from_millis(20);

/// Whether the node leaves, and who is still here.
#[derive(Debug)]
pub struct Drain {
    window_most: Duration,
    begun: CancellationToken,
    open: AtomicUsize,
    emptied: Notify,
}

/// How the closes are spread.
#[derive(Debug, Clone, Copy)]
struct Plan {
    begun_at: Instant,
    window: Duration,
    sockets: usize,
}

impl Plan {
    fn new(sockets: usize, window_most: Duration) -> Self {
        let window = PER_SOCKET.saturating_mul(u32::try_from(sockets).unwrap_or(u32::MAX));
        Plan { begun_at: Instant::now(), window: window.min(window_most), sockets }
    }

    /// When the nth socket closes: each has an equal part of the window, and its moment in there by chance (0 to 1).
    fn turn(&self, nth: usize, chance: f64) -> Instant {
        let part = (nth as f64 + chance) / self.sockets.max(1) as f64;
        self.begun_at + self.window.mul_f64(part.min(1.0))
    }
}

impl Drain {
    /// Sockets will be closed over at most `window_most`. It has begun, too, when the server is to `stop`.
    pub fn new(window_most: Duration, stop: &CancellationToken) -> Self {
        Drain { window_most, begun: stop.child_token(), open: AtomicUsize::new(0), emptied: Notify::new() }
    }

    /// Cancelled when the node begins to leave.
    pub fn begun(&self) -> &CancellationToken {
        &self.begun
    }

    /// [`Error::Draining`] when the node leaves: whoever asks for a socket or a poll is to ask another node.
    pub fn admit(&self) -> Result<()> {
        if self.begun.is_cancelled() { Err(Error::Draining) } else { Ok(()) }
    }

    /// A socket is open, until what is returned is dropped.
    pub fn socket(self: &Arc<Self>) -> Place {
        self.open.fetch_add(1, Ordering::Relaxed);
        Place(self.clone())
    }

    /// Leaves: ends the connections one by one, then waits until their sockets are closed, but no longer than
    /// `patience`. Answers how many are not.
    pub async fn leave(&self, hub: &Hub, patience: Duration) -> usize {
        self.begun.cancel();
        let plan = Plan::new(self.open.load(Ordering::Relaxed), self.window_most);
        for (nth, connection) in hub.all().into_iter().filter(|connection| !connection.is_over()).enumerate() {
            sleep_until(plan.turn(nth, rand::random())).await;
            connection.finish(End::Draining);
        }
        hub.drain();
        self.emptied(patience).await
    }

    async fn emptied(&self, patience: Duration) -> usize {
        let none = async {
            while self.open.load(Ordering::Acquire) > 0 {
                self.emptied.notified().await;
            }
        };
        let _ = timeout(patience, none).await;
        self.open.load(Ordering::Acquire)
    }
}

/// An open socket.
#[derive(Debug)]
pub struct Place(Arc<Drain>);

impl Drop for Place {
    fn drop(&mut self) {
        if self.0.open.fetch_sub(1, Ordering::Release) == 1 {
            self.0.emptied.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::metrics::Metrics;

    #[test]
    fn the_window_grows_with_the_sockets_up_to_what_is_set() {
        for (sockets, seconds, window) in [(0, 5, 0), (1, 5, 20), (200, 5, 4000), (1000, 5, 5000), (1000, 0, 0)] {
            let plan = Plan::new(sockets, Duration::from_secs(seconds));
            assert_eq!(plan.window, Duration::from_millis(window), "{sockets} in {seconds} s");
        }
    }

    #[test]
    fn turns_are_spread_evenly_over_the_window() {
        let plan = Plan::new(100, Duration::from_secs(1));
        for nth in 0..100 {
            for chance in [0.0, 0.999] {
                let at = (plan.turn(nth, chance) - plan.begun_at).as_secs_f64();
                let (from, to) = (nth as f64 / 100.0, (nth + 1) as f64 / 100.0);
                assert!((from - 1e-6..=to).contains(&at), "{nth}: {at}");
            }
        }
        assert_eq!(plan.turn(100, 0.5), plan.begun_at + plan.window, "one that came too late goes with the last");
    }

    #[tokio::test]
    async fn it_is_over_when_the_last_socket_is_closed() {
        let drain = Arc::new(Drain::new(Duration::ZERO, &CancellationToken::new()));
        let (one, two) = (drain.socket(), drain.socket());
        assert!(drain.admit().is_ok());
        drop(one);
        let hub = Hub::new(&Metrics::new());
        assert_eq!(drain.leave(&hub, Duration::ZERO).await, 1, "it does not wait for ever");
        assert!(matches!(drain.admit(), Err(Error::Draining)));
        let (left, ()) = tokio::join!(drain.leave(&hub, Duration::from_secs(60)), async { drop(two) });
        assert_eq!(left, 0);
    }
}
