//! The small bounded queue of a connected channel: pure. The log is the real buffer: when the queue is full it is
//! dropped whole, and the channel reads the log from its cursors once its client has caught up.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::log::Event;

/// One of the sources that a connection delivers from, in its own numbering. No number is used twice.
pub type Slot = u32;

/// One thing that waits for a channel.
#[derive(Debug, Clone)]
pub enum Item {
    /// An event for a source. Of the events of its stream from seq `since` on, the source was brought every one that
    /// it may want: what it was not brought it need not see.
    Event {
        /// Which source.
        slot: Slot,
        /// What is brought.
        event: Arc<Event>,
        /// A seq, at most the event's own.
        since: i64,
    },
    /// A copy of an event, ahead of the tail: to be taken only if it is the next one wanted.
    Copy {
        /// For which source.
        slot: Slot,
        /// What is brought.
        event: Arc<Event>,
    },
    /// Something may not have been brought to a source: it must look into the log.
    LookAgain(Slot),
    /// What happened to one of the channel's subscriptions.
    News(Arc<Event>),
}

/// What a channel takes out.
#[derive(Debug)]
pub enum Taken {
    /// These, in order.
    Items(Vec<Item>),
    /// Something was dropped: read the log.
    Lagged,
}

/// The queue.
#[derive(Debug)]
pub struct Queue {
    items: VecDeque<Item>,
    most: usize,
    lagged: bool,
}

impl Queue {
    /// Empty, for at most `most` events.
    pub fn new(most: usize) -> Self {
        Queue { items: VecDeque::new(), most, lagged: false }
    }

    /// Adds an item; a full queue is dropped: answers whether it was.
    pub fn push(&mut self, item: Item) -> bool {
        if self.lagged {
            return false;
        }
        if self.items.len() >= self.most {
            self.lag();
            return true;
        }
        self.items.push_back(item);
        false
    }

    /// How many items wait; `None` when they were dropped.
    pub fn waiting(&self) -> Option<usize> {
        (!self.lagged).then_some(self.items.len())
    }

    /// Drops everything: the channel is to read the log.
    pub fn lag(&mut self) {
        self.lagged = true;
        self.items = VecDeque::new();
    }

    /// Whether nothing waits, and nothing was dropped.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty() && !self.lagged
    }

    /// Takes up to `most` items; `None` when nothing waits.
    pub fn take(&mut self, most: usize) -> Option<Taken> {
        if std::mem::take(&mut self.lagged) {
            return Some(Taken::Lagged);
        }
        if self.items.is_empty() {
            return None;
        }
        let count = self.items.len().min(most);
        let items = self.items.drain(..count).collect();
        if self.items.is_empty() {
            self.items = VecDeque::new(); // thousands of queues are empty most of the time
        }
        Some(Taken::Items(items))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::Stream;
    use crate::log::Kind;

    fn item(seq: i64) -> Item {
        let data = serde_json::value::RawValue::from_string("{}".into()).unwrap();
        let stream = Stream::from_log("s/b");
        let event = Event::new(stream, seq, Kind::ObjectCreated, None, chrono::DateTime::UNIX_EPOCH, data);
        Item::News(Arc::new(event))
    }

    #[test]
    fn a_full_queue_is_dropped_and_says_so_once() {
        let mut queue = Queue::new(3);
        (1..=3).for_each(|seq| assert!(!queue.push(item(seq))));
        assert!(matches!(queue.take(2), Some(Taken::Items(items)) if items.len() == 2));
        (4..=5).for_each(|seq| assert!(!queue.push(item(seq))));
        assert_eq!(queue.waiting(), Some(3));
        assert!(queue.push(item(6)) && !queue.push(item(7)));
        assert_eq!(queue.waiting(), None);
        assert!(matches!(queue.take(10), Some(Taken::Lagged)));
        assert!(queue.take(10).is_none());
        queue.push(item(8));
        assert!(matches!(queue.take(10), Some(Taken::Items(items)) if items.len() == 1));
    }
}
