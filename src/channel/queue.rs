//! The small bounded queue of a connected channel: pure. The log is the real buffer: when the queue is full it is
//! dropped whole, and the channel reads the log from its cursors once its client has caught up.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::log::Event;

/// One thing that waits for a channel.
#[derive(Debug, Clone)]
pub enum Item {
    /// An event the tail brought.
    Event(Arc<Event>),
    /// A copy of an event, ahead of the tail: to be taken only if it is the next one wanted.
    Copy(Arc<Event>),
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

    /// Adds an item; a full queue is dropped.
    pub fn push(&mut self, item: Item) {
        if self.lagged {
            return;
        }
        if self.items.len() >= self.most {
            self.lag();
            return;
        }
        self.items.push_back(item);
    }

    /// Drops everything: the channel is to read the log.
    pub fn lag(&mut self) {
        self.lagged = true;
        self.items = VecDeque::new();
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
        Some(Taken::Items(self.items.drain(..count).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::Stream;
    use crate::log::Kind;

    fn item(seq: i64) -> Item {
        let data = serde_json::value::RawValue::from_string("{}".into()).unwrap();
        Item::Event(Arc::new(Event::new(
            Stream::from_log("s/b"),
            seq,
            Kind::ObjectCreated,
            None,
            chrono::DateTime::UNIX_EPOCH,
            data,
        )))
    }

    #[test]
    fn a_full_queue_is_dropped_and_says_so_once() {
        let mut queue = Queue::new(3);
        (1..=3).for_each(|seq| queue.push(item(seq)));
        assert!(matches!(queue.take(2), Some(Taken::Items(items)) if items.len() == 2));
        (4..=6).for_each(|seq| queue.push(item(seq)));
        queue.push(item(7));
        assert!(matches!(queue.take(10), Some(Taken::Lagged)));
        assert!(queue.take(10).is_none());
        queue.push(item(8));
        assert!(matches!(queue.take(10), Some(Taken::Items(items)) if items.len() == 1));
    }
}
