//! The sources of one connected channel and where each stands; turns events into frames. No I/O.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::base::Format;
use crate::base::ids::{ChannelId, SourceId, Stream, SubscriptionId};
use crate::channel::cursor::{Cursor, Horizon, Step};
use crate::log::{Event, Kind};
use crate::subscription::Subscription;
use crate::wire::nms::{self, EventListShape};
use crate::wire::urls::Urls;
use crate::wire::{callback, nc};

/// A frame is sent when it has grown this large, however few notifications it holds.
const FRAME_BYTES_MAX: usize = 64 * 1024;
/// So is the answer to a poll: each of them costs a round trip.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// What is delivered.
#[derive(Debug)]
enum Source {
    /// Events of a box, each in an nmsEventList.
    Subscription { subscription: Box<Subscription>, shape: EventListShape },
    /// What enablers post to the channel, each as it is.
    Callbacks {
        /// The position as the database has it: of the same history as the log.
        stored: Cursor,
        /// What the client reads.
        format: Format,
    },
}

/// A source, and where its delivery stands.
#[derive(Debug)]
struct Live {
    source: Source,
    stream: Stream,
    cursor: Cursor,
}

impl Live {
    /// Whether the event is about this very subscription, and later than what we know of it.
    fn is_news(&self, event: &Event) -> bool {
        let Source::Subscription { subscription, .. } = &self.source else { return false };
        matches!(event.kind, Kind::SubscriptionRepositioned | Kind::SubscriptionEnded)
            && event.seq > self.cursor.generation
            && event.subscription().is_some_and(|told| told.id() == subscription.id)
    }

    /// The body of the notification that the client gets of this event, if it gets one.
    fn body<'a>(&self, event: &'a Event, urls: &Urls) -> Option<&'a str> {
        match &self.source {
            Source::Subscription { subscription, .. } if subscription.wants(event) => {
                event.body(subscription.format, |event| nms::event(event, urls, subscription.format))
            }
            Source::Callbacks { format, .. } if event.kind == Kind::ChannelNotified => {
                event.body(*format, |event| callback::notification(event, *format))
            }
            _ => None,
        }
    }

    /// The format of its notifications.
    fn format(&self) -> Format {
        match &self.source {
            Source::Subscription { subscription, .. } => subscription.format,
            Source::Callbacks { format, .. } => *format,
        }
    }

    /// Writes a notification.
    fn write(&self, out: &mut String, body: &str, index: i64, at: DateTime<Utc>) {
        match &self.source {
            Source::Subscription { shape, .. } => shape.write(out, body, index, at),
            Source::Callbacks { .. } => out.push_str(body),
        }
    }
}

/// The sources of one connected channel.
pub struct Positions {
    urls: Arc<Urls>,
    notifications_max: u32,
    live: HashMap<SourceId, Live>,
    by_stream: HashMap<Stream, Vec<SourceId>>,
    /// Those that must read the log before they can take events as they come.
    behind: HashSet<SourceId>,
    /// Those whose cursor has moved since it was confirmed last.
    moved: HashSet<SourceId>,
    frame: String,
    /// Of the notifications in the frame: a frame holds those of one format.
    format: Format,
    notifications: u32,
    frames: Vec<String>,
    /// One frame is all that is wanted: what would stand in the next one is left where it is.
    one_frame: bool,
    /// A frame is one notification by itself, not a list.
    alone: bool,
    /// The position after each of the frames, when they are such.
    reached: Vec<(SourceId, Cursor)>,
    /// When the earliest of the notifications in the frames arrived.
    pending_since: Option<DateTime<Utc>>,
}

impl Positions {
    /// No sources yet; at most `notifications_max` notifications in a notificationList.
    pub fn new(urls: Arc<Urls>, notifications_max: u32) -> Self {
        Positions {
            urls,
            notifications_max,
            live: HashMap::new(),
            by_stream: HashMap::new(),
            behind: HashSet::new(),
            moved: HashSet::new(),
            frame: String::new(),
            format: Format::Json,
            notifications: 0,
            frames: Vec::new(),
            one_frame: false,
            alone: false,
            reached: Vec::new(),
            pending_since: None,
        }
    }

    /// As [`Positions::new`], for one notificationList.
    pub fn for_one_list(urls: Arc<Urls>, notifications_max: u32) -> Self {
        Positions { one_frame: true, ..Positions::new(urls, notifications_max) }
    }

    /// As [`Positions::new`], for notifications that go out each by itself.
    pub fn for_single_notifications(urls: Arc<Urls>) -> Self {
        Positions { alone: true, ..Positions::new(urls, 1) }
    }

    /// Takes up a subscription as the database has it, to read the log from its cursor.
    pub fn take_up(&mut self, subscription: Subscription) {
        let id = SourceId::Subscription(subscription.id.clone());
        let (stream, cursor) = (subscription.of.stream().clone(), subscription.cursor);
        let shape = EventListShape::new(&subscription, &self.urls);
        let source = Source::Subscription { subscription: Box::new(subscription), shape };
        self.take_up_source(id, Live { source, stream, cursor });
    }

    /// Takes up what is posted to the channel, from the cursor that the database has.
    pub fn take_up_callbacks(&mut self, channel: &ChannelId, cursor: Cursor, format: Format) {
        let source = Source::Callbacks { stored: cursor, format };
        self.take_up_source(
            SourceId::Callbacks(channel.clone()),
            Live { source, stream: Stream::of_channel(channel), cursor },
        );
    }

    /// What is in memory is further than what is stored, unless the stored position is of a newer generation.
    fn take_up_source(&mut self, id: SourceId, mut live: Live) {
        let moved = self.moved.contains(&id);
        if let Some(known) = self.remove(&id)
            && known.cursor.generation >= live.cursor.generation
        {
            live.cursor = known.cursor;
            if moved {
                self.moved.insert(id.clone());
            }
        }
        self.by_stream.entry(live.stream.clone()).or_default().push(id.clone());
        self.behind.insert(id.clone());
        self.live.insert(id, live);
    }

    /// Forgets a subscription that has ended.
    pub fn drop_subscription(&mut self, id: &SubscriptionId) {
        self.remove(&SourceId::Subscription(id.clone()));
    }

    /// Forgets all subscriptions but these.
    pub fn keep_only(&mut self, ids: &[SubscriptionId]) {
        let is_gone = |id: &&SourceId| matches!(id, SourceId::Subscription(id) if !ids.contains(id));
        let gone: Vec<_> = self.live.keys().filter(is_gone).cloned().collect();
        for id in gone {
            self.remove(&id);
        }
    }

    fn remove(&mut self, id: &SourceId) -> Option<Live> {
        let live = self.live.remove(id)?;
        self.behind.remove(id);
        self.moved.remove(id);
        if let Some(ids) = self.by_stream.get_mut(&live.stream) {
            ids.retain(|other| other != id);
            if ids.is_empty() {
                self.by_stream.remove(&live.stream);
            }
        }
        Some(live)
    }

    /// Whether any source wants this stream.
    pub fn wants_stream(&self, stream: &Stream) -> bool {
        self.by_stream.contains_key(stream)
    }

    /// Every cursor, to be held against the log.
    pub fn cursors(&self) -> Vec<(SourceId, (Stream, Cursor))> {
        self.live.iter().map(|(id, live)| (id.clone(), (live.stream.clone(), live.cursor))).collect()
    }

    /// What the log says of a cursor. Where a subscription's cannot go on, a resetBox is due. For callbacks there is
    /// none: they go on from what is stored, which is of the same history as the log. A source that has all there is
    /// need not read it.
    pub fn hold_against(&mut self, id: &SourceId, horizon: &Horizon) {
        let Some(live) = self.live.get_mut(id) else { return };
        let cursor = &mut live.cursor;
        if !cursor.reset && !horizon.continues(cursor) {
            match &live.source {
                Source::Subscription { .. } => cursor.reset_to(horizon.head_seq, horizon.head_at),
                Source::Callbacks { stored, .. } => {
                    *cursor = *stored;
                    cursor.next_seq = stored.next_seq.min(horizon.head_seq + 1).max(horizon.base_seq + 1);
                }
            }
        }
        if !cursor.reset && cursor.next_seq > horizon.head_seq {
            self.behind.remove(id);
        }
    }

    /// A source that must read the log, and from where: of several, the one that has heard nothing for longest, so
    /// that a busy one does not keep the others waiting.
    pub fn behind(&self) -> Option<(SourceId, Stream, i64)> {
        let behind = self.behind.iter().filter_map(|id| Some((id, self.live.get(id)?)));
        let (id, live) = behind.min_by_key(|(_, live)| live.cursor.next_at)?;
        Some((id.clone(), live.stream.clone(), live.cursor.next_seq))
    }

    /// Whether any source must read the log.
    pub fn is_behind(&self) -> bool {
        !self.behind.is_empty()
    }

    /// An event that came by the tail, for all sources of its stream.
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

    /// What the event is to each source of its stream that takes events as they come.
    fn steps(&self, event: &Event) -> Vec<(SourceId, Step)> {
        let ids = self.by_stream.get(&event.stream).into_iter().flatten().filter(|id| !self.behind.contains(*id));
        ids.filter_map(|id| Some((id.clone(), self.live.get(id)?.cursor.step(event.seq)))).collect()
    }

    /// A page of the log for a source that was behind; `last`: it reaches the present. The log may be ahead of the
    /// tail: where it says that this very subscription starts elsewhere or has ended, which nobody has told us yet,
    /// the replay stops, for the caller to look at that event. Going on would give indexes to what never has them.
    pub fn replay(&mut self, id: &SourceId, page: &[Arc<Event>], last: bool) -> Option<Arc<Event>> {
        self.pass_reset(id);
        for event in page {
            let live = self.live.get(id)?;
            if live.cursor.step(event.seq) == Step::Take {
                if live.is_news(event) {
                    return Some(event.clone());
                }
                self.pass(id, event);
            }
        }
        if last && !self.is_full() {
            self.behind.remove(id);
        }
        None
    }

    /// Whether the one list that is wanted is ready: then no position moves any more.
    pub fn is_full(&self) -> bool {
        self.one_frame && !self.frames.is_empty()
    }

    /// Says in the one list, which is not full, that everything is handed over with it.
    pub fn complete(&mut self, format: Format) {
        if self.notifications == 0 {
            self.format = format;
        }
        nc::add_complete(&mut self.frame, self.format);
        self.notifications += 1;
    }

    /// When the earliest notification that waits to be taken arrived, by the log.
    pub fn pending_since(&self) -> Option<DateTime<Utc>> {
        self.pending_since
    }

    fn pass_reset(&mut self, id: &SourceId) {
        let Some(format) = self.live.get(id).filter(|live| live.cursor.reset).map(Live::format) else { return };
        if !self.has_room(format) {
            return;
        }
        let Some(live) = self.live.get_mut(id) else { return };
        let (index, at) = (live.cursor.pass_reset(), live.cursor.next_at);
        self.moved.insert(id.clone());
        self.add(id, &nms::reset_box(format), index, at);
    }

    fn pass(&mut self, id: &SourceId, event: &Event) {
        let Some(live) = self.live.get(id) else { return };
        let (body, format) = (live.body(event, &self.urls), live.format());
        if self.is_full() || body.is_some() && !self.has_room(format) {
            return;
        }
        let Some(live) = self.live.get_mut(id) else { return };
        self.moved.insert(id.clone());
        let index = live.cursor.pass(event.edited_at, body.is_some());
        if let Some((index, body)) = index.zip(body) {
            self.add(id, body, index, event.edited_at);
        }
    }

    fn add(&mut self, id: &SourceId, body: &str, index: i64, at: DateTime<Utc>) {
        let Some(live) = self.live.get(id) else { return };
        let write = |out: &mut String| live.write(out, body, index, at);
        if self.alone {
            nc::write_alone(&mut self.frame, self.format, write);
            self.reached.push((id.clone(), live.cursor));
        } else {
            nc::add_to_list(&mut self.frame, self.format, write);
        }
        self.notifications += 1;
        self.pending_since = Some(self.pending_since.map_or(at, |since| since.min(at)));
        let bytes_max = if self.one_frame { ANSWER_BYTES_MAX } else { FRAME_BYTES_MAX };
        if self.notifications >= self.notifications_max || self.frame.len() >= bytes_max {
            self.end_frame();
        }
    }

    /// Whether a notification of this format may be added: a frame holds one format, so another one ends it.
    fn has_room(&mut self, format: Format) -> bool {
        if format != self.format {
            self.end_frame();
            self.format = format;
        }
        !self.is_full()
    }

    fn end_frame(&mut self) {
        if self.notifications > 0 {
            if !self.alone {
                nc::end_list(&mut self.frame, self.format);
            }
            self.frames.push(std::mem::take(&mut self.frame));
            self.notifications = 0;
        }
    }

    /// The frames made since the last call.
    pub fn take_frames(&mut self) -> Vec<String> {
        self.end_frame();
        self.pending_since = None;
        std::mem::take(&mut self.frames)
    }

    /// The position after each of the frames that are single notifications; none for lists.
    pub fn take_reached(&mut self) -> Vec<(SourceId, Cursor)> {
        std::mem::take(&mut self.reached)
    }

    /// The positions that moved since they were last taken: confirmed once everything before them has arrived.
    pub fn take_moved(&mut self) -> Vec<(SourceId, Cursor)> {
        let moved = std::mem::take(&mut self.moved);
        moved.into_iter().filter_map(|id| self.live.get(&id).map(|live| (id.clone(), live.cursor))).collect()
    }

    /// The moment from which nothing is lost, whichever the subscription: for a close frame's reason. (Callbacks have
    /// no restartToken.)
    pub fn restart_at(&self) -> Option<DateTime<Utc>> {
        let subscriptions = self.live.values().filter(|live| matches!(live.source, Source::Subscription { .. }));
        subscriptions.map(|live| live.cursor.next_at).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::BoxName;
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
            notify_url: None,
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
        let id = SourceId::Subscription(SubscriptionId::from_text("s"));
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
        assert!(positions.is_behind());
        // As the update said: from the beginning, on the same index sequence. Now its own event is nothing new.
        positions.take_up(subscription(4, 2, 2));
        assert!(positions.replay(&id, &page, true).is_none());
        assert_eq!(positions.cursors()[0].1.1.next_index, 4);
        assert!(!positions.is_behind());
    }
}
