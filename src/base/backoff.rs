//! How long to wait before trying again.

use std::time::Duration;

/// Delays that double from `first` up to `most`; [`Backoff::reset`] starts over after a success.
#[derive(Debug)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    next: Duration,
}

impl Backoff {
    /// Delays from `first` up to `most`.
    pub fn new(first: Duration, most: Duration) -> Self {
        Backoff { first, most, next: first }
    }

    /// The delay to wait now; the next one is twice as long.
    pub fn delay(&mut self) -> Duration {
        let now = self.next;
        self.next = (now * 2).min(self.most);
        now
    }

    /// The same, of which up to half is taken off by chance: many who failed together do not come back together.
    pub fn scattered_delay(&mut self) -> Duration {
        self.delay().mul_f64(rand::random_range(0.5..=1.0))
    }

    /// The last attempt succeeded.
    pub fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_the_most_and_starts_over() {
        let ms = Duration::from_millis;
        let mut backoff = Backoff::new(ms(100), ms(350));
        assert_eq!(
            [backoff.delay(), backoff.delay(), backoff.delay(), backoff.delay()],
            [ms(100), ms(200), ms(350), ms(350)]
        );
        backoff.reset();
        assert_eq!(backoff.delay(), ms(100));
        assert!((ms(100)..=ms(200)).contains(&backoff.scattered_delay()));
        assert_eq!(backoff.delay(), ms(350), "it counts like any other");
    }
}
