//! How often something may be done by each of many: pure. Each node counts for itself.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Counted at once. Beyond it counting starts afresh: so many busy ones are more than a node can serve.
const KEYS_MAX: usize = 65_536;

/// What one has left.
#[derive(Debug, Clone, Copy)]
struct Allowance {
    left: f64,
    at: Instant,
}

/// A token bucket for each that was active lately.
#[derive(Debug)]
pub struct Rates<K> {
    per_second: f64,
    allowances: Mutex<HashMap<K, Allowance>>,
}

impl<K: Eq + Hash + Clone> Rates<K> {
    /// At most `per_second` a second for each, and as many at once.
    pub fn new(per_second: u32) -> Self {
        Rates { per_second: f64::from(per_second), allowances: Mutex::default() }
    }

    /// Whether one more is fine now.
    pub fn admit(&self, key: &K, now: Instant) -> bool {
        let mut allowances = self.allowances.lock().unwrap_or_else(PoisonError::into_inner);
        if allowances.len() >= KEYS_MAX && !allowances.contains_key(key) {
            // One that would be whole again says nothing.
            allowances.retain(|_, allowance| self.left(allowance, now) < self.per_second);
            if allowances.len() >= KEYS_MAX {
                allowances.clear();
            }
        }
        let allowance = allowances.entry(key.clone()).or_insert(Allowance { left: self.per_second, at: now });
        *allowance = Allowance { left: self.left(allowance, now), at: now };
        let admitted = allowance.left >= 1.0;
        if admitted {
            allowance.left -= 1.0;
        }
        admitted
    }

    fn left(&self, allowance: &Allowance, now: Instant) -> f64 {
        let since = now.saturating_duration_since(allowance.at).as_secs_f64();
        (allowance.left + since * self.per_second).min(self.per_second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::ChannelId;
    use std::time::Duration;

    #[test]
    fn so_many_at_once_and_so_many_a_second_for_each_channel() {
        let rates = Rates::new(10);
        let (one, other) = (ChannelId::random(), ChannelId::random());
        let start = Instant::now();
        let admitted = |channel, at| (0..100).filter(|_| rates.admit(channel, at)).count();
        assert_eq!(admitted(&one, start), 10);
        assert_eq!(admitted(&other, start), 10);
        assert_eq!(admitted(&one, start + Duration::from_millis(500)), 5);
        assert_eq!(admitted(&one, start + Duration::from_secs(60)), 10, "what was not used does not add up");
    }

    #[test]
    fn however_many_channels_memory_is_bounded() {
        let rates = Rates::new(1);
        let start = Instant::now();
        for _ in 0..KEYS_MAX + 10 {
            assert!(rates.admit(&ChannelId::random(), start));
        }
        assert!(rates.allowances.lock().unwrap().len() <= KEYS_MAX);
    }
}
