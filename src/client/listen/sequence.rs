//! Where a subscription stands: what comes once more, and what is missing. Pure.

/// What is to be done with a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// It is the next one.
    New,
    /// It has come before, or follows on a missing one.
    Dropped,
    /// Those before it are missing.
    Gap {
        /// The first of them.
        expected: i64,
    },
}

/// The lists of a subscription as they come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sequence {
    next: i64,
    /// One is missing: until the server begins again after the last one that came, nothing is of use.
    behind: bool,
}

impl Sequence {
    /// The next list has this index.
    pub(super) fn from(next: i64) -> Self {
        Sequence { next, behind: false }
    }

    /// A list has come.
    pub(super) fn take(&mut self, index: i64) -> Taken {
        if self.behind || index < self.next {
            return Taken::Dropped;
        }
        if index > self.next {
            self.behind = true;
            return Taken::Gap { expected: self.next };
        }
        self.next += 1;
        Taken::New
    }

    /// Whether one is missing.
    pub(super) fn is_behind(&self) -> bool {
        self.behind
    }

    /// Whether the server has to begin again: lists are missing, or it takes some for delivered that have not come.
    pub(super) fn must_rewind(&self, confirmed_next: i64) -> bool {
        self.behind || confirmed_next > self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_list_is_taken_once_and_a_missing_one_is_noticed_once() {
        let mut sequence = Sequence::from(3);
        assert_eq!(
            [2, 3, 3, 4].map(|index| sequence.take(index)),
            [Taken::Dropped, Taken::New, Taken::Dropped, Taken::New]
        );
        assert!(!sequence.must_rewind(5) && !sequence.must_rewind(3));
        assert!(sequence.must_rewind(6), "5 is taken for delivered");
        assert_eq!(
            [7, 5, 8].map(|index| sequence.take(index)),
            [Taken::Gap { expected: 5 }, Taken::Dropped, Taken::Dropped]
        );
        assert!(sequence.must_rewind(5));
    }
}
