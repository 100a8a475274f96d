//! The subscriptions of one connected channel and where each stands; turns events into frames. No I/O.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::base::Format;
use crate::base::ids::{Stream, SubscriptionId};
use crate::channel::cursor::{Cursor, Horizon, Step};
use crate::log::{Event, Kind};
use crate::subscription::Subscription;
use crate::wire::nc;
use crate::wire::nms::{self, EventListShape};
use crate::wire::urls::Urls;

/// A frame is sent when it has grown this large, however few lists it holds.
const FRAME_BYTES_MAX: usize = 64 * 1024;

/// One subscription of the channel.
#[derive(Debug)]
struct Live {
    subscription: Subscription,
    shape: EventListShape,
}

impl Live {
    /// Whether the event is about this subscription, and later than what we know of it.
    fn is_news(&self, event: &Event) -> bool {
        matches!(event.kind, Kind::SubscriptionRepositioned | Kind::SubscriptionEnded)
            && event.seq > self.subscription.cursor.generation
            && event.subscription().is_some_and(|told| told.id() == self.subscription.id)
    }
}

/// The subscriptions of one connected channel.
pub struct Positions {
    urls: Arc<Urls>,
    lists_max: u32,
    live: HashMap<SubscriptionId, Live>,
    by_stream: HashMap<Stream, Vec<SubscriptionId>>,
    /// Those that must read the log before they can take events as they come.
    behind: HashSet<SubscriptionId>,
    /// Those whose cursor has moved since it was confirmed last.
    moved: HashSet<SubscriptionId>,
    frame: String,
    /// Of the lists in the frame: a frame holds lists of one format.
    format: Format,
    lists: u32,
    frames: Vec<String>,
}

impl Positions {
    /// No subscriptions yet; at most `lists_max` lists in a notificationList.
    pub fn new(urls: Arc<Urls>, lists_max: u32) -> Self {
        Positions {
            urls,
            lists_max,
            live: HashMap::new(),
            by_stream: HashMap::new(),
            behind: HashSet::new(),
            moved: HashSet::new(),
            frame: String::new(),
            format: Format::Json,
            lists: 0,
            frames: Vec::new(),
        }
    }

    /// Takes up a subscription as the database has it, to read the log from its cursor. What is in memory is further
    /// than what is stored, unless the stored position is of a newer generation.
    pub fn take_up(&mut self, mut subscription: Subscription) {
        let id = subscription.id.clone();
        let moved = self.moved.contains(&id);
        if let Some(known) = self.remove(&id)
            && known.subscription.cursor.generation >= subscription.cursor.generation
        {
            subscription.cursor = known.subscription.cursor;
            if moved {
                self.moved.insert(id.clone());
            }
        }
        self.by_stream.entry(subscription.of.stream().clone()).or_default().push(id.clone());
        let shape = EventListShape::new(&subscription, &self.urls);
        self.behind.insert(id.clone());
        self.live.insert(id, Live { subscription, shape });
    }

    /// Forgets a subscription that has ended.
    pub fn drop_subscription(&mut self, id: &SubscriptionId) {
        self.remove(id);
    }

    /// Forgets all but these.
    pub fn keep_only(&mut self, ids: &[SubscriptionId]) {
        let gone: Vec<_> = self.live.keys().filter(|id| !ids.contains(id)).cloned().collect();
        for id in gone {
            self.remove(&id);
        }
    }

    fn remove(&mut self, id: &SubscriptionId) -> Option<Live> {
        let live = self.live.remove(id)?;
        self.behind.remove(id);
        self.moved.remove(id);
        let stream = live.subscription.of.stream();
        if let Some(ids) = self.by_stream.get_mut(stream) {
            ids.retain(|other| other != id);
            if ids.is_empty() {
                self.by_stream.remove(stream);
            }
        }
        Some(live)
    }

    /// Whether any subscription wants this stream.
    pub fn wants_stream(&self, stream: &Stream) -> bool {
        self.by_stream.contains_key(stream)
    }

    /// Every cursor, to be held against the log.
    pub fn cursors(&self) -> Vec<(SubscriptionId, (Stream, Cursor))> {
        let cursor = |live: &Live| (live.subscription.of.stream().clone(), live.subscription.cursor);
        self.live.iter().map(|(id, live)| (id.clone(), cursor(live))).collect()
    }

    /// What the log says of a cursor: where it cannot go on, a resetBox is due.
    pub fn hold_against(&mut self, id: &SubscriptionId, horizon: &Horizon) {
        let Some(live) = self.live.get_mut(id) else { return };
        let cursor = &mut live.subscription.cursor;
        if !cursor.reset && !horizon.continues(cursor) {
            cursor.reset_to(horizon.head_seq, horizon.head_at);
        }
    }

    /// A subscription that must read the log, and from where.
    pub fn behind(&self) -> Option<(SubscriptionId, Stream, i64)> {
        let id = self.behind.iter().next()?;
        let live = self.live.get(id)?;
        Some((id.clone(), live.subscription.of.stream().clone(), live.subscription.cursor.next_seq))
    }

    /// An event that came by the tail, for all subscriptions of its stream.
    pub fn offer(&mut self, event: &Event) {
        for (id, step) in self.steps(event) {
            match step {
                Step::Take => self.pass(&id, event),
                Step::Drop => {}
                Step::Gap => drop(self.behind.insert(id)),
            }
        }
    }

    /// A copy of an event that came ahead of the tail: taken if it is the next one, else left to the tail.
    pub fn offer_copy(&mut self, event: &Event) {
        for (id, step) in self.steps(event) {
            if step == Step::Take {
                self.pass(&id, event);
            }
        }
    }

    /// What the event is to each subscription of its stream that takes events as they come.
    fn steps(&self, event: &Event) -> Vec<(SubscriptionId, Step)> {
        let ids = self.by_stream.get(&event.stream).into_iter().flatten().filter(|id| !self.behind.contains(*id));
        ids.filter_map(|id| Some((id.clone(), self.live.get(id)?.subscription.cursor.step(event.seq)))).collect()
    }

    /// A page of the log for a subscription that was behind; `last`: it reaches the present. The log may be ahead of
    /// the tail: where it says that this very subscription starts elsewhere or has ended, which nobody has told us yet,
    /// the replay stops, for the caller to look at that event. Going on would give indexes to what never has them.
    pub fn replay(&mut self, id: &SubscriptionId, page: &[Arc<Event>], last: bool) -> Option<Arc<Event>> {
        self.pass_reset(id);
        for event in page {
            let live = self.live.get(id)?;
            if live.subscription.cursor.step(event.seq) == Step::Take {
                if live.is_news(event) {
                    return Some(event.clone());
                }
                self.pass(id, event);
            }
        }
        if last {
            self.behind.remove(id);
        }
        None
    }

    fn pass_reset(&mut self, id: &SubscriptionId) {
        let Some(live) = self.live.get_mut(id) else { return };
        let cursor = &mut live.subscription.cursor;
        if cursor.reset {
            let index = cursor.pass_reset();
            let at = cursor.next_at;
            self.moved.insert(id.clone());
            let body = nms::reset_box(live.subscription.format);
            self.add_list(id, &body, index, at);
        }
    }

    fn pass(&mut self, id: &SubscriptionId, event: &Event) {
        let Some(live) = self.live.get_mut(id) else { return };
        let (urls, format) = (&self.urls, live.subscription.format);
        let body = live
            .subscription
            .wants(event)
            .then(|| event.body(format, |event| nms::event(event, urls, format)))
            .flatten();
        self.moved.insert(id.clone());
        let index = live.subscription.cursor.pass(event.edited_at, body.is_some());
        if let Some((index, body)) = index.zip(body) {
            self.add_list(id, body, index, event.edited_at);
        }
    }

    fn add_list(&mut self, id: &SubscriptionId, body: &str, index: i64, at: DateTime<Utc>) {
        let Some(live) = self.live.get(id) else { return };
        let format = live.subscription.format;
        if format != self.format {
            self.end_frame();
            self.format = format;
        }
        let Some(live) = self.live.get(id) else { return };
        nc::add_to_list(&mut self.frame, format, |out| live.shape.write(out, body, index, at));
        self.lists += 1;
        if self.lists >= self.lists_max || self.frame.len() >= FRAME_BYTES_MAX {
            self.end_frame();
        }
    }

    fn end_frame(&mut self) {
        if self.lists > 0 {
            nc::end_list(&mut self.frame, self.format);
            self.frames.push(std::mem::take(&mut self.frame));
            self.lists = 0;
        }
    }

    /// The frames made since the last call.
    pub fn take_frames(&mut self) -> Vec<String> {
        self.end_frame();
        std::mem::take(&mut self.frames)
    }

    /// The positions that moved since they were last taken: confirmed once everything before them has arrived.
    pub fn take_moved(&mut self) -> Vec<(SubscriptionId, Cursor)> {
        let moved = std::mem::take(&mut self.moved);
        moved
            .into_iter()
            .filter_map(|id| self.live.get(&id).map(|live| (id.clone(), live.subscription.cursor)))
            .collect()
    }

    /// The moment from which nothing is lost, whichever the subscription: for a close frame's reason.
    pub fn restart_at(&self) -> Option<DateTime<Utc>> {
        self.live.values().map(|live| live.subscription.cursor.next_at).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::{BoxName, ChannelId};
    use crate::channel::secret::UrlKey;

    fn event(seq: i64, kind: Kind, data: &str) -> Arc<Event> {
        let data = serde_json::value::RawValue::from_string(data.to_owned()).unwrap();
        Arc::new(Event::new(Stream::from_log("default/b"), seq, kind, Some(seq), DateTime::UNIX_EPOCH, data))
    }

    fn subscription(generation: i64, next_seq: i64, next_index: i64) -> Subscription {
        Subscription {
            id: SubscriptionId::from_text("s"),
            of: BoxName::parse("default", "b").unwrap(),
            channel: ChannelId::from_text("c"),
            callback_data: None,
            format: Format::Json,
            filter: None,
            client_correlator: None,
            expires_at: DateTime::UNIX_EPOCH,
            remaining_seconds: 1,
            cursor: Cursor { generation, next_seq, next_at: DateTime::UNIX_EPOCH, next_index, reset: false },
        }
    }

    #[test]
    fn a_replay_that_is_ahead_of_the_tail_stops_where_the_subscription_starts_elsewhere() {
        let urls = Arc::new(Urls::new("http://x".to_owned(), UrlKey::new(vec![1; 32])));
        let mut positions = Positions::new(urls, 100);
        let id = SubscriptionId::from_text("s");
        positions.take_up(subscription(1, 2, 1));
        let page = [
            event(2, Kind::ObjectCreated, "{}"),
            event(3, Kind::SubscriptionRepositioned, r#"{"id":"another","channel":"c"}"#),
            event(4, Kind::SubscriptionRepositioned, r#"{"id":"s","channel":"c"}"#),
            event(5, Kind::ObjectCreated, "{}"),
        ];
        let news = positions.replay(&id, &page, true);
        assert_eq!(news.map(|event| event.seq), Some(4));
        assert_eq!(positions.cursors()[0].1.1.next_index, 2, "what comes after it has another index");
        assert!(positions.behind().is_some());
        // As the update said: from the beginning, on the same index sequence. Now its own event is nothing new.
        positions.take_up(subscription(4, 2, 2));
        assert!(positions.replay(&id, &page, true).is_none());
        assert_eq!(positions.cursors()[0].1.1.next_index, 4);
        assert!(positions.behind().is_none());
    }
}
