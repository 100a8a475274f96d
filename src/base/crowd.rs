//! How many of something each of many has at once: pure. Each node counts for itself.

use std::collections::HashMap;
use std::collections::hash_map::{Entry, RandomState};
use std::hash::{BuildHasher, Hash};
use std::sync::{Arc, Mutex, PoisonError};

/// Counts by hash: there is one for each open socket, and an id would take more room than the rest of it. (Two whose
/// hashes meet share what one may have; nobody can choose that.)
#[derive(Debug)]
pub struct Crowd {
    most: u32,
    hasher: RandomState,
    counts: Mutex<HashMap<u64, u32>>,
}

impl Crowd {
    /// Each may have so many.
    pub fn new(most: u32) -> Self {
        Crowd { most, hasher: RandomState::new(), counts: Mutex::default() }
    }

    /// One more, until what this answers is dropped; `None` when it has as many as it may.
    pub fn admit(self: &Arc<Self>, who: &impl Hash) -> Option<Seat> {
        let key = self.hasher.hash_one(who);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(key).or_insert(0);
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Seat { crowd: self.clone(), key })
    }
}

/// One of those.
#[derive(Debug)]
pub struct Seat {
    crowd: Arc<Crowd>,
    key: u64,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut counts = self.crowd.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut count) = counts.entry(self.key) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_so_many_at_once_and_what_is_given_back_can_be_had_again() {
        let crowd = Arc::new(Crowd::new(2));
        let seats: Vec<Seat> = (0..2).map(|_| crowd.admit(&"ann").unwrap()).collect();
        assert!(crowd.admit(&"ann").is_none());
        let other = crowd.admit(&"bob").unwrap();
        drop(seats);
        assert!(crowd.admit(&"ann").is_some());
        drop(other);
        assert!(crowd.counts.lock().unwrap().is_empty());
    }
}
