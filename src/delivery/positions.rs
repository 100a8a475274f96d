//! The sources of one connected channel and where each stands; turns events into frames. No I/O.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use tracing::{Level, debug, enabled};

use super::listener::Listener;
use crate::base::ids::{ChannelId, SourceId, Stream, SubscriptionId};
use crate::base::metrics::Tally;
use crate::base::{Format, room};
use crate::channel::cursor::{Cursor, Horizon, Step};
use crate::channel::hub::Seen;
use crate::channel::queue::Slot;
use crate::filter::Filter;
use crate::filter::index::Key;
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
    Subscription {
        /// Which of them; `None`: all.
        filter: Option<Filter>,
        shape: EventListShape,
    },
    /// What enablers post to the channel, each as it is.
    Callbacks {
        /// The position as the database has it: of the same history as the log.
        stored: Cursor,
        /// What the client reads.
        format: Format,
    },
    /// An inbox or a room, each event as it is.
    Listener(Listener),
}

/// A source, and where its delivery stands.
#[derive(Debug)]
struct Live {
    slot: Slot,
    id: SourceId,
    source: Source,
    stream: Stream,
    cursor: Cursor,
    /// It must read the log before it can take events as they come.
    behind: bool,
    /// Its cursor has moved since it was confirmed last.
    moved: bool,
    /// The log's head after the hub was told of the source: what came later comes by the tail. `i64::MAX`: not known.
    head: i64,
    /// The newest event that came by the tail and was not taken, because something before it is missing.
    missed: i64,
}

impl Live {
    /// Whether the event is about this very subscription, and later than what we know of it.
    fn is_news(&self, event: &Event) -> bool {
        let SourceId::Subscription(id) = &self.id else { return false };
        matches!(event.kind, Kind::SubscriptionRepositioned | Kind::SubscriptionEnded)
            && event.seq > self.cursor.generation
            && event.subscription().is_some_and(|told| told.id() == *id)
    }

    /// The body of the notification that the client gets of this event, if it gets one.
    fn body<'a>(&self, event: &'a Event) -> Option<Cow<'a, str>> {
        match &self.source {
            Source::Subscription { filter, shape } if event.kind.is_notified() => {
                let wants = filter.as_ref().is_none_or(|filter| filter.matches(event, self.cursor.generation));
                wants.then(|| shape.body(event)).flatten().map(Cow::from)
            }
            Source::Callbacks { format, .. } if event.kind == Kind::ChannelNotified => {
                event.body(*format, false, |event| callback::notification(event, *format)).map(Cow::from)
            }
            Source::Listener(listener) => listener.body(event),
            _ => None,
        }
    }

    /// The format of its notifications.
    fn format(&self) -> Format {
        match &self.source {
            Source::Subscription { shape, .. } => shape.format(),
            Source::Callbacks { format, .. } => *format,
            Source::Listener(_) => Format::Json,
        }
    }

    /// What is told when the log cannot go on from the cursor.
    fn reset_body(&self) -> Cow<'static, str> {
        match &self.source {
            Source::Listener(listener) => listener.reset().into(),
            _ => nms::reset_box(self.format()).into(),
        }
    }

    /// Writes a notification.
    fn write(&self, out: &mut String, body: &str, index: i64, at: DateTime<Utc>) {
        match &self.source {
            Source::Subscription { shape, .. } => shape.write(out, body, index, at),
            Source::Callbacks { .. } | Source::Listener(_) => out.push_str(body),
        }
    }
}

/// What a source must read in the log.
pub struct Behind {
    /// The source.
    pub slot: Slot,
    /// Which stream.
    pub stream: Stream,
    /// From here on.
    pub seq: i64,
    /// All that is wanted is later.
    pub after: DateTime<Utc>,
    /// Up to here; `i64::MAX`: up to the end.
    pub until: i64,
}

/// The sources of one connected channel.
pub struct Positions {
    urls: Arc<Urls>,
    notifications_max: u32,
    /// In the order of their slots.
    live: Vec<Live>,
    /// The slots in the order of the sources' ids.
    by_id: Vec<Slot>,
    next_slot: Slot,
    /// How many of them are behind.
    behind: usize,
    /// The slots of those that have moved.
    moved: Vec<Slot>,
    frame: String,
    /// Of the notifications in the frame: a frame holds those of one format.
    format: Format,
    notifications: u32,
    frames: Vec<String>,
    /// Of what was offered since it was last taken.
    tally: Tally,
    /// The events in the frames, when somebody wants to read of them in the log.
    traced: Vec<(Stream, i64)>,
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
            live: Vec::new(),
            by_id: Vec::new(),
            next_slot: 0,
            behind: 0,
            moved: Vec::new(),
            frame: String::new(),
            format: Format::Json,
            notifications: 0,
            frames: Vec::new(),
            tally: Tally::default(),
            traced: Vec::new(),
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

    /// Takes up a subscription as the database has it, to read the log from its cursor. Answers its slot, for whoever
    /// brings its events.
    pub fn take_up(&mut self, subscription: Subscription) -> Slot {
        let id = SourceId::Subscription(subscription.id.clone());
        let (stream, cursor) = (subscription.of.stream().clone(), subscription.cursor);
        let shape = EventListShape::new(&subscription, &self.urls);
        self.take_up_source(id, Source::Subscription { filter: subscription.filter, shape }, stream, cursor)
    }

    /// Takes up what is posted to the channel, from the cursor that the database has.
    pub fn take_up_callbacks(&mut self, channel: &ChannelId, cursor: Cursor, format: Format) -> Slot {
        let (id, stream) = (SourceId::Callbacks(channel.clone()), Stream::of_channel(channel));
        self.take_up_source(id, Source::Callbacks { stored: cursor, format }, stream, cursor)
    }

    /// Takes up a stream that is listened to. Answers its slot.
    pub fn take_up_listener(&mut self, id: SourceId, listener: Listener, stream: Stream, cursor: Cursor) -> Slot {
        self.take_up_source(id, Source::Listener(listener), stream, cursor)
    }

    /// All sources must be held against the log again.
    pub fn take_up_again(&mut self) -> Vec<(Slot, Stream)> {
        let slots: Vec<_> = self.live.iter().map(|live| (live.slot, live.stream.clone())).collect();
        for (slot, _) in &slots {
            if let Some(live) = self.get_mut(*slot) {
                (live.head, live.missed) = (i64::MAX, 0);
            }
            self.set_behind(*slot, true);
        }
        slots
    }

    /// What is in memory is further than what is stored, unless the stored position is of a newer generation.
    fn take_up_source(&mut self, id: SourceId, source: Source, stream: Stream, cursor: Cursor) -> Slot {
        let place = self.place_of(&id);
        let slot = match place.ok().and_then(|at| self.get_mut(self.by_id[at])) {
            Some(known) => {
                (known.source, known.head, known.missed) = (source, i64::MAX, 0);
                if known.cursor.generation < cursor.generation {
                    known.cursor = cursor;
                    known.moved = false;
                }
                known.slot
            }
            None => {
                let slot = self.next_slot;
                self.next_slot += 1;
                room::for_one(&mut self.by_id);
                self.by_id.insert(place.unwrap_or_else(|at| at), slot);
                let (head, missed) = (i64::MAX, 0);
                room::for_one(&mut self.live);
                self.live.push(Live { slot, id, source, stream, cursor, behind: false, moved: false, head, missed });
                slot
            }
        };
        self.set_behind(slot, true);
        slot
    }

    /// Forgets a subscription that has ended; answers the slot that it had.
    pub fn drop_subscription(&mut self, id: &SubscriptionId) -> Option<Slot> {
        let slot = self.by_id[self.place_of(&SourceId::Subscription(id.clone())).ok()?];
        self.remove(&[slot]);
        Some(slot)
    }

    /// Forgets all subscriptions but these; answers the slots that the others had.
    pub fn keep_only(&mut self, ids: &[SubscriptionId]) -> Vec<Slot> {
        let kept: HashSet<&SubscriptionId> = ids.iter().collect();
        let is_gone = |live: &&Live| matches!(&live.id, SourceId::Subscription(id) if !kept.contains(id));
        let gone: Vec<_> = self.live.iter().filter(is_gone).map(|live| live.slot).collect();
        self.remove(&gone);
        gone
    }

    /// These are in order.
    fn remove(&mut self, slots: &[Slot]) {
        slots.iter().for_each(|slot| self.set_behind(*slot, false));
        let stays = |slot: &Slot| slots.binary_search(slot).is_err();
        self.live.retain(|live| stays(&live.slot));
        self.by_id.retain(stays);
        self.moved.retain(stays);
    }

    /// Where in `by_id` a source is, or would be.
    fn place_of(&self, id: &SourceId) -> Result<usize, usize> {
        self.by_id.binary_search_by(|slot| self.get(*slot).map(|live| &live.id).cmp(&Some(id)))
    }

    fn get(&self, slot: Slot) -> Option<&Live> {
        self.live.binary_search_by_key(&slot, |live| live.slot).ok().map(|at| &self.live[at])
    }

    fn get_mut(&mut self, slot: Slot) -> Option<&mut Live> {
        self.live.binary_search_by_key(&slot, |live| live.slot).ok().map(|at| &mut self.live[at])
    }

    fn set_behind(&mut self, slot: Slot, behind: bool) {
        let Some(live) = self.get_mut(slot) else { return };
        match (std::mem::replace(&mut live.behind, behind), behind) {
            (false, true) => self.behind += 1,
            (true, false) => self.behind -= 1,
            _ => {}
        }
    }

    fn set_moved(&mut self, slot: Slot) {
        if let Some(live) = self.get_mut(slot)
            && !std::mem::replace(&mut live.moved, true)
        {
            self.moved.push(slot);
        }
    }

    /// Where a source stands.
    pub fn cursor(&self, slot: Slot) -> Option<Cursor> {
        self.get(slot).map(|live| live.cursor)
    }

    /// Where a source stands in which stream.
    pub fn place(&self, slot: Slot) -> Option<(Stream, Cursor)> {
        self.get(slot).map(|live| (live.stream.clone(), live.cursor))
    }

    /// Which events of its stream a source may want.
    pub fn keys(&self, slot: Slot) -> Vec<Key> {
        match self.get(slot).map(|live| &live.source) {
            Some(Source::Subscription { filter: Some(filter), .. }) => filter.keys(),
            _ => vec![Key::Any],
        }
    }

    /// What the log says of a cursor, after the hub was told of its source. Where a subscription's cannot go on, a
    /// resetBox is due. For callbacks there is none: they go on from what is stored, which is of the same history as
    /// the log. A source that has all there is need not read it.
    pub fn hold_against(&mut self, slot: Slot, horizon: &Horizon) {
        let Some(live) = self.get_mut(slot) else { return };
        let cursor = &mut live.cursor;
        if !cursor.reset && !horizon.continues(cursor) {
            match &live.source {
                Source::Subscription { .. } | Source::Listener(_) => cursor.reset_to(horizon.head_seq, horizon.head_at),
                Source::Callbacks { stored, .. } => {
                    *cursor = *stored;
                    cursor.next_seq = stored.next_seq.min(horizon.head_seq + 1).max(horizon.base_seq + 1);
                }
            }
        }
        live.head = horizon.head_seq;
        if !cursor.reset && cursor.next_seq > horizon.head_seq {
            self.set_behind(slot, false);
        }
    }

    /// A source that must read the log: of several, the one that has heard nothing for longest, so that a busy one does
    /// not keep the others waiting.
    pub fn behind(&self) -> Option<Behind> {
        let behind = self.live.iter().filter(|live| live.behind);
        let live = behind.min_by_key(|live| live.cursor.next_at)?;
        Some(Behind {
            slot: live.slot,
            stream: live.stream.clone(),
            seq: live.cursor.next_seq,
            after: live.cursor.next_at,
            until: live.head.max(live.missed),
        })
    }

    /// Whether any source must read the log.
    pub fn is_behind(&self) -> bool {
        self.behind > 0
    }

    /// An event for a source, which was brought whatever it may want of the events from seq `since` on.
    pub fn offer(&mut self, slot: Slot, event: &Event, since: i64) {
        let Some(live) = self.get_mut(slot) else { return };
        match live.cursor.step(event.seq, since) {
            Step::Drop => {}
            Step::Take if !live.behind => self.pass_live(slot, event),
            Step::Take | Step::Gap => {
                live.missed = event.seq;
                self.set_behind(slot, true);
            }
        }
    }

    /// A copy of an event that came ahead of the tail: taken if it is the next one, else left to the tail.
    pub fn offer_copy(&mut self, slot: Slot, event: &Event) {
        if self.get(slot).is_some_and(|live| !live.behind && live.cursor.step(event.seq, event.seq) == Step::Take) {
            self.pass_live(slot, event);
        }
    }

    /// A source must read the log up to its end, since something may not have been brought to it.
    pub fn look_again(&mut self, slot: Slot) {
        if let Some(live) = self.get_mut(slot) {
            live.head = i64::MAX;
            self.set_behind(slot, true);
        }
    }

    /// The sources that take events as they come, with their streams.
    pub fn following(&self) -> Vec<(Slot, Stream)> {
        let following = self.live.iter().filter(|live| !live.behind && !live.cursor.reset);
        following.map(|live| (live.slot, live.stream.clone())).collect()
    }

    /// Moves a source past what it did not want: it has taken everything it was brought, and of what was `seen` nothing
    /// else was for it.
    pub fn pass_unwanted(&mut self, slot: Slot, seen: Seen) {
        if self.is_full() {
            return; // what it did want may be left where it is
        }
        let Some(live) = self.get_mut(slot).filter(|live| !live.behind && !live.cursor.reset) else { return };
        let next = live.cursor.next_seq;
        if (seen.since..=seen.upto).contains(&next) {
            live.cursor.pass(seen.upto, seen.at, false);
            self.set_moved(slot);
        }
    }

    /// Events of the log for a source that was behind; `last`: nothing followed them, at a time after the hub was told of
    /// it. It is behind until it has them all, and those that came meanwhile. The log may be ahead of the tail: where it
    /// says that this very subscription starts elsewhere or has ended, which nobody has told us yet, the replay stops,
    /// for the caller to look at that event. Going on would give indexes to what never has them.
    pub fn replay(&mut self, slot: Slot, page: &[Arc<Event>], last: bool) -> Option<Arc<Event>> {
        self.pass_reset(slot);
        for event in page {
            if self.is_full() {
                return None;
            }
            let live = self.get(slot)?;
            if live.cursor.step(event.seq, event.seq) == Step::Take {
                if live.is_news(event) {
                    return Some(event.clone());
                }
                self.pass(slot, event);
            }
        }
        let live = self.get(slot)?;
        let next = live.cursor.next_seq;
        if next > live.missed && (last || next > live.head) && !self.is_full() {
            self.set_behind(slot, false);
        }
        None
    }

    /// As [`Positions::replay`], for what is posted to the channel: events of its own stream.
    pub fn replay_callbacks(&mut self, page: &[Arc<Event>]) {
        let callbacks = self.live.iter().find(|live| matches!(live.source, Source::Callbacks { .. }));
        if let Some(slot) = callbacks.map(|live| live.slot) {
            self.replay(slot, page, false);
        }
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

    fn pass_reset(&mut self, slot: Slot) {
        let Some(live) = self.get(slot).filter(|live| live.cursor.reset) else { return };
        let (format, body) = (live.format(), live.reset_body());
        if !self.has_room(format) {
            return;
        }
        let Some(live) = self.get_mut(slot) else { return };
        let (index, at) = (live.cursor.pass_reset(), live.cursor.next_at);
        self.set_moved(slot);
        self.add(slot, &body, index, at);
    }

    /// As [`Positions::pass`], for an event that comes as it was written: how long that took is of interest.
    fn pass_live(&mut self, slot: Slot, event: &Event) {
        if self.pass(slot, event) {
            let at = event.edited_at;
            self.tally.live_since = Some(self.tally.live_since.map_or(at, |since| since.min(at)));
        }
    }

    /// A source takes its next event. Answers whether it wants it.
    fn pass(&mut self, slot: Slot, event: &Event) -> bool {
        if let Some(Live { source: Source::Listener(listener), .. }) = self.get_mut(slot) {
            listener.learn(event);
        }
        let Some(live) = self.get(slot) else { return false };
        let (body, format) = (live.body(event), live.format());
        if self.is_full() || body.is_some() && !self.has_room(format) {
            return false;
        }
        self.count(slot, event, body.is_some());
        let Some(live) = self.get_mut(slot) else { return false };
        let index = live.cursor.pass(event.seq, event.edited_at, body.is_some());
        self.set_moved(slot);
        let Some((index, body)) = index.zip(body) else { return false };
        self.trace(slot, event);
        self.add(slot, &body, index, event.edited_at);
        true
    }

    /// Says in the log which event is wanted by which source.
    fn trace(&mut self, slot: Slot, event: &Event) {
        if !enabled!(Level::DEBUG) {
            return;
        }
        if let Some(source) = self.get(slot).map(|live| live.id.as_str()) {
            debug!(source, stream = event.stream.as_str(), seq = event.seq, "matched");
        }
        self.traced.push((event.stream.clone(), event.seq));
    }

    /// A subscription was offered an event of its box.
    fn count(&mut self, slot: Slot, event: &Event, wanted: bool) {
        let of_subscription = self.get(slot).is_some_and(|live| matches!(live.source, Source::Subscription { .. }));
        if of_subscription && event.kind.is_notified() {
            self.tally.wanted += u64::from(wanted);
            self.tally.unwanted += u64::from(!wanted);
        }
    }

    fn add(&mut self, slot: Slot, body: &str, index: i64, at: DateTime<Utc>) {
        let Ok(place) = self.live.binary_search_by_key(&slot, |live| live.slot) else { return };
        let live = &self.live[place];
        let write = |out: &mut String| live.write(out, body, index, at);
        if self.alone {
            nc::write_alone(&mut self.frame, self.format, write);
            self.reached.push((live.id.clone(), live.cursor));
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
            self.tally.notifications += u64::from(self.notifications);
            self.notifications = 0;
        }
    }

    /// The frames made since the last call.
    pub fn take_frames(&mut self) -> Vec<String> {
        self.end_frame();
        self.pending_since = None;
        std::mem::take(&mut self.frames)
    }

    /// What became of what was offered since the last call; to be called when the frames are taken.
    pub fn take_tally(&mut self) -> Tally {
        std::mem::take(&mut self.tally)
    }

    /// The events in the frames taken since the last call, when somebody wants to read of them in the log.
    pub fn take_traced(&mut self) -> Vec<(Stream, i64)> {
        std::mem::take(&mut self.traced)
    }

    /// The position after each of the frames that are single notifications; none for lists.
    pub fn take_reached(&mut self) -> Vec<(SourceId, Cursor)> {
        std::mem::take(&mut self.reached)
    }

    /// The positions that moved since they were last taken: confirmed once everything before them has arrived.
    pub fn take_moved(&mut self) -> Vec<(SourceId, Cursor)> {
        let mut positions = Vec::with_capacity(self.moved.len());
        for slot in std::mem::take(&mut self.moved) {
            if let Some(live) = self.get_mut(slot)
                && std::mem::take(&mut live.moved)
            {
                positions.push((live.id.clone(), live.cursor));
            }
        }
        positions
    }

    /// The moment from which nothing is lost, whichever the source: for a close frame's reason. (Callbacks have no
    /// restartToken.)
    pub fn restart_at(&self) -> Option<DateTime<Utc>> {
        let restartable = self.live.iter().filter(|live| !matches!(live.source, Source::Callbacks { .. }));
        restartable.map(|live| live.cursor.next_at).min()
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
            attributes: false,
            client_correlator: None,
            subscriber: None,
            expires_at: DateTime::UNIX_EPOCH,
            remaining_seconds: 1,
            cursor: Cursor { generation, next_seq, next_at: DateTime::UNIX_EPOCH, next_index, reset: false },
        }
    }

    #[test]
    fn a_replay_that_is_ahead_of_the_tail_stops_where_the_subscription_starts_elsewhere() {
        let urls = Arc::new(Urls::new("http://x".to_owned(), UrlKey::new(vec![1; 32])));
        let mut positions = Positions::new(urls, 100);
        let slot = positions.take_up(subscription(1, 2, 1));
        let page = [
            event(2, Kind::ObjectCreated, "{}"),
            event(3, Kind::SubscriptionRepositioned, r#"{"id":"another","channel":"c"}"#),
            event(4, Kind::SubscriptionRepositioned, r#"{"id":"s","channel":"c"}"#),
            event(5, Kind::ObjectCreated, "{}"),
        ];
        let news = positions.replay(slot, &page, true);
        assert_eq!(news.map(|event| event.seq), Some(4));
        assert_eq!(positions.cursor(slot).unwrap().next_index, 2, "what comes after it has another index");
        assert!(positions.is_behind());
        // As the update said: from the beginning, on the same index sequence. Now its own event is nothing new.
        positions.take_up(subscription(4, 2, 2));
        assert!(positions.replay(slot, &page, true).is_none());
        assert_eq!(positions.cursor(slot).unwrap().next_index, 4);
        assert!(!positions.is_behind());
    }
}
