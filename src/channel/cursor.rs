//! How far a subscription, or what is posted to a channel, has been delivered, and the one rule that merges live events and replay: pure.

use chrono::{DateTime, Utc};

/// Where delivery from one source stands: of a subscription, or of what is posted to the channel itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// Seq of the event that set the position (creation, or an update with a restartToken). A position of an older
    /// generation never overwrites one of a newer.
    pub generation: i64,
    /// The next seq wanted.
    pub next_seq: i64,
    /// `edited_at` of the event before it: the subscription's restartToken.
    pub next_at: DateTime<Utc>,
    /// Index of the next nmsEventList.
    pub next_index: i64,
    /// A resetBox is due before anything else.
    pub reset: bool,
}

/// What to do with an event that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It was delivered before: ignore it.
    Drop,
    /// It is the one that is wanted.
    Take,
    /// Something before it is missing: read the log from `next_seq`.
    Gap,
}

impl Cursor {
    /// The rule. `seq < next`: drop. `seq = next`: take. `seq > next`: read the log, unless whatever is wanted of the
    /// events from `since` on was brought: then those between are not wanted, and the event is the next one that is.
    pub fn step(&self, seq: i64, since: i64) -> Step {
        if seq < self.next_seq {
            Step::Drop
        } else if seq == self.next_seq || since <= self.next_seq {
            Step::Take
        } else {
            Step::Gap
        }
    }

    /// Moves past the event of this seq, and past what was not wanted before it. When it was `notified`, answers the
    /// index of the list that carries it.
    pub fn pass(&mut self, seq: i64, at: DateTime<Utc>, notified: bool) -> Option<i64> {
        self.next_seq = seq + 1;
        self.next_at = at;
        notified.then(|| self.take_index())
    }

    /// The box's history is not the one this cursor knew, or what it wants is no longer kept: a resetBox is due, and
    /// delivery goes on after `seq`, the stream's present head, whose `edited_at` is `at`.
    pub fn reset_to(&mut self, seq: i64, at: DateTime<Utc>) {
        self.next_seq = seq + 1;
        self.next_at = at;
        self.reset = true;
    }

    /// The resetBox that was due is sent: answers its index.
    pub fn pass_reset(&mut self) -> i64 {
        self.reset = false;
        self.take_index()
    }

    fn take_index(&mut self) -> i64 {
        let index = self.next_index;
        self.next_index += 1;
        index
    }
}

/// What the log says of a cursor's stream.
#[derive(Debug, Clone, Copy)]
pub struct Horizon {
    /// Seq of the newest event; 0 when there is none.
    pub head_seq: i64,
    /// Its `edited_at`.
    pub head_at: DateTime<Utc>,
    /// Everything up to here is no longer kept.
    pub base_seq: i64,
    /// `edited_at` of the event before the cursor, when it is kept and what the cursor says.
    pub at_cursor: Option<DateTime<Utc>>,
}

impl Horizon {
    /// Whether the log can go on from the cursor: it has not lost what the cursor has seen (a restore, a failover to
    /// a standby that lagged), and still keeps what the cursor wants.
    pub fn continues(&self, cursor: &Cursor) -> bool {
        let before = cursor.next_seq - 1;
        if before > self.head_seq || before < self.base_seq {
            return false;
        }
        // The seq may have been written again after a restore: then its time differs.
        before == 0 || before == self.base_seq || self.at_cursor == Some(cursor.next_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;
    use proptest::prelude::*;

    fn at(seq: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(seq)
    }

    fn cursor(next_seq: i64) -> Cursor {
        Cursor { generation: 1, next_seq, next_at: at(next_seq - 1), next_index: 1, reset: false }
    }

    proptest! {
        /// Whatever is lost, late, doubled or out of order between log and channel, and wherever whoever brings the
        /// events began to leave out those that are not wanted: each event that is wanted is taken exactly once, in
        /// order, and the index has no gap.
        #[test]
        fn takes_each_wanted_event_once_in_order(
            arrivals in prop::collection::vec((1i64..30, 1i64..30), 0..200),
            unwanted in 1i64..7,
        ) {
            let wanted = |seq: i64| seq % unwanted != 0;
            let mut cursor = cursor(1);
            let (mut taken, mut indexes) = (Vec::new(), Vec::new());
            let mut take = |cursor: &mut Cursor, seq: i64| {
                taken.extend(wanted(seq).then_some(seq));
                indexes.extend(cursor.pass(seq, at(seq), wanted(seq)));
            };
            for (seq, since) in arrivals {
                // What is promised with `since` must hold: from there on nothing that is wanted was left out.
                let since = if (since.max(cursor.next_seq)..seq).any(wanted) { seq } else { since.min(seq) };
                match cursor.step(seq, since) {
                    Step::Drop => {}
                    Step::Take => take(&mut cursor, seq),
                    Step::Gap => (cursor.next_seq..=seq).for_each(|seq| take(&mut cursor, seq)),
                }
            }
            let all: Vec<_> = (1..cursor.next_seq).filter(|seq| wanted(*seq)).collect();
            prop_assert_eq!(&taken, &all);
            prop_assert_eq!(&indexes, &(1..cursor.next_index).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_log_that_lost_or_rewrote_history_does_not_continue() {
        let horizon = |head_seq, base_seq, at_cursor| Horizon { head_seq, head_at: at(head_seq), base_seq, at_cursor };
        assert!(horizon(9, 0, Some(at(4))).continues(&cursor(5)));
        assert!(horizon(4, 0, Some(at(4))).continues(&cursor(5)), "exactly at the head");
        assert!(!horizon(3, 0, None).continues(&cursor(5)), "above the head");
        assert!(!horizon(9, 0, Some(at(77))).continues(&cursor(5)), "written again");
        assert!(!horizon(9, 5, None).continues(&cursor(5)), "no longer kept");
        assert!(horizon(9, 4, None).continues(&cursor(5)), "just still kept");
        assert!(horizon(0, 0, None).continues(&cursor(1)), "nothing yet");
    }

    #[test]
    fn a_reset_takes_an_index_and_goes_on_after_the_head() {
        let mut cursor = cursor(5);
        cursor.reset_to(2, at(2));
        assert!(cursor.reset);
        assert_eq!((cursor.pass_reset(), cursor.reset, cursor.next_index), (1, false, 2));
        assert_eq!(cursor.step(3, 3), Step::Take);
    }
}
