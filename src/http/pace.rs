//! What a connection is doing, as far as its client can hold it up: told by what is read and written and by the requests
//! that are served, and looked at by the task that drives the connection, which ends it when that takes too long.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The head of a request is coming; on a new connection it is to come.
    Head,
    /// A request is served. That may take long: it may be a poll.
    Serving,
    /// Nothing of another request has come.
    Idle,
    /// The client does not take what is written.
    Stalled,
}

/// What is known of one connection. Only its own task tells of it and looks at it.
#[derive(Debug)]
pub struct Pace {
    serving: AtomicBool,
    begun: AtomicBool,
    blocked: AtomicBool,
    turn: AtomicU32,
}

impl Pace {
    /// Of a new connection.
    pub fn new() -> Self {
        Pace {
            serving: AtomicBool::new(false),
            begun: AtomicBool::new(true),
            blocked: AtomicBool::new(false),
            turn: AtomicU32::new(0),
        }
    }

    /// The phase, and a number that is another one in each.
    pub fn phase(&self) -> (Phase, u32) {
        let is = |flag: &AtomicBool| flag.load(Ordering::Relaxed);
        let phase = match () {
            () if is(&self.blocked) => Phase::Stalled,
            () if is(&self.serving) => Phase::Serving,
            () if is(&self.begun) => Phase::Head,
            () => Phase::Idle,
        };
        (phase, self.turn.load(Ordering::Relaxed))
    }

    /// Something came. Without a request it is the beginning of one: what comes of its head later leaves it no more time.
    pub fn read(&self) {
        if !self.serving.load(Ordering::Relaxed) {
            self.set(&self.begun, true);
        }
    }

    /// Something was taken, or nothing could be.
    pub fn wrote(&self, taken: bool) {
        self.set(&self.blocked, !taken);
    }

    /// The head of a request has come. It is served until what this answers is dropped.
    pub fn serve(self: &Arc<Self>) -> Serving {
        self.set(&self.serving, true);
        Serving(self.clone())
    }

    fn set(&self, flag: &AtomicBool, value: bool) {
        if flag.swap(value, Ordering::Relaxed) != value {
            self.turn.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Default for Pace {
    fn default() -> Self {
        Pace::new()
    }
}

/// A request that is served.
#[derive(Debug)]
pub struct Serving(Arc<Pace>);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.begun.store(false, Ordering::Relaxed);
        self.0.set(&self.0.serving, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_that_trickles_gains_no_time() {
        let pace = Pace::new();
        let new = pace.phase();
        assert_eq!(new.0, Phase::Head);
        pace.read();
        pace.read();
        assert_eq!(pace.phase(), new);
    }

    #[test]
    fn each_request_begins_anew() {
        let pace = Arc::new(Pace::new());
        let mut seen = vec![pace.phase()];
        for _ in 0..2 {
            let serving = pace.serve();
            seen.push(pace.phase());
            pace.read();
            assert_eq!(pace.phase(), seen[seen.len() - 1], "a body is no head");
            drop(serving);
            seen.push(pace.phase());
            pace.read();
            seen.push(pace.phase());
        }
        let phases = seen.iter().map(|(phase, _)| *phase).collect::<Vec<_>>();
        use Phase::{Head, Idle, Serving};
        assert_eq!(phases, [Head, Serving, Idle, Head, Serving, Idle, Head]);
        seen.dedup_by_key(|(_, turn)| *turn);
        assert_eq!(seen.len(), 7, "each has a number of its own");
    }

    #[test]
    fn who_takes_a_little_gains_time() {
        let pace = Arc::new(Pace::new());
        let _serving = pace.serve();
        pace.wrote(false);
        let stalled = pace.phase();
        pace.wrote(false);
        assert_eq!(pace.phase(), stalled);
        pace.wrote(true);
        assert_eq!(pace.phase().0, Phase::Serving);
        pace.wrote(false);
        assert_eq!(pace.phase().0, Phase::Stalled);
        assert_ne!(pace.phase(), stalled);
    }
}
