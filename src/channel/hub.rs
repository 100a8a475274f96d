//! The channels connected to this node: the tailer's sink. It knows which of them follow which stream, puts events
//! into their queues, and tells them when they are superseded or over. It decides nothing about subscriptions: that
//! each connection does for itself, from the events in its queue.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use chrono::{DateTime, Utc};
use tokio::sync::Notify;

use super::queue::{Item, Queue, Slot, Taken};
use crate::base::ids::{ChannelId, Stream};
use crate::base::metrics::{Counter, Metrics};
use crate::base::room;
use crate::filter::index::{Index, Key};
use crate::log::interest::{Interest, Places, covers};
use crate::log::tailer::Sink;
use crate::log::{Event, Kind};

/// Why the server ends a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The server is to end.
    Draining,
    /// A newer socket or poll of the same channel took over.
    Superseded,
    /// The channel was deleted.
    Deleted,
    /// The channel outlived its lifetime.
    Expired,
}

/// One connected channel.
#[derive(Debug)]
pub struct Connection {
    /// Which channel.
    pub channel: ChannelId,
    /// Which of its connections: named in its `channel.opened` event.
    pub id: String,
    opened: Mutex<OpenedSeqs>,
    /// In the order of their slots.
    followed: Mutex<Vec<Following>>,
    queue: Mutex<Queue>,
    dropped: Counter,
    woken: Notify,
    end: OnceLock<End>,
    ended: Notify,
}

/// What a connection follows for one of its sources.
#[derive(Debug)]
struct Following {
    slot: Slot,
    stream: Stream,
    keys: Box<[Key]>,
}

/// Places in the channel's stream.
#[derive(Debug, Default)]
struct OpenedSeqs {
    /// After which others supersede this connection, once that is known.
    own: Option<i64>,
    /// Of the newest other one seen.
    other: i64,
}

impl OpenedSeqs {
    fn superseded(&self) -> bool {
        self.own.is_some_and(|own| own < self.other)
    }
}

impl Connection {
    /// Waits until something is in the queue.
    pub async fn woken(&self) {
        self.woken.notified().await;
    }

    /// Takes up to `most` items out of the queue.
    pub fn take(&self, most: usize) -> Option<Taken> {
        lock(&self.queue).take(most)
    }

    /// Whether nothing waits in the queue.
    pub fn is_idle(&self) -> bool {
        lock(&self.queue).is_empty()
    }

    /// Whether the server has ended the connection.
    pub fn is_over(&self) -> bool {
        self.end.get().is_some()
    }

    /// Waits until the server ends the connection.
    pub async fn ended(&self) -> End {
        loop {
            let notified = self.ended.notified();
            if let Some(end) = self.end.get() {
                return *end;
            }
            notified.await;
        }
    }

    /// The seq of this connection's `channel.opened`, or of the newest event when a poll began without one: only later
    /// ones supersede it.
    pub fn opened_at(&self, seq: i64) {
        let mut opened = lock(&self.opened);
        opened.own = Some(seq);
        if opened.superseded() {
            self.finish(End::Superseded);
        }
    }

    fn other_opened_at(&self, seq: i64) {
        let mut opened = lock(&self.opened);
        opened.other = opened.other.max(seq);
        if opened.superseded() {
            self.finish(End::Superseded);
        }
    }

    fn push(&self, item: Item) {
        if lock(&self.queue).push(item) {
            self.dropped.inc();
        }
        self.woken.notify_one();
    }

    fn lag(&self) {
        lock(&self.queue).lag();
        self.woken.notify_one();
    }

    /// Ends it.
    pub fn finish(&self, end: End) {
        let _ = self.end.set(end);
        self.ended.notify_waiters();
        self.ended.notify_one();
    }
}

/// A source of a connection that follows a stream.
#[derive(Debug, Clone)]
struct Follower {
    connection: Arc<Connection>,
    slot: Slot,
}

impl PartialEq for Follower {
    fn eq(&self, other: &Self) -> bool {
        self.slot == other.slot && Arc::ptr_eq(&self.connection, &other.connection)
    }
}

/// What was handed on of a stream: every event from `since` to `upto`.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    /// Seq of the first.
    pub since: i64,
    /// Seq of the last.
    pub upto: i64,
    /// Its `edited_at`.
    pub at: DateTime<Utc>,
}

/// A stream that somebody here follows.
#[derive(Debug, Default)]
struct Followed {
    followers: Index<Follower>,
    seen: Option<Seen>,
}

impl Followed {
    /// An event of the stream, brought by the tail; one that a copy brought already has been handed on.
    fn hand_on(&mut self, event: &Arc<Event>) {
        let since = match self.seen {
            Some(seen) if event.seq <= seen.upto => return,
            Some(seen) if event.seq == seen.upto + 1 => seen.since,
            _ => event.seq,
        };
        self.seen = Some(Seen { since, upto: event.seq, at: event.edited_at });
        self.tell(event, |slot| Item::Event { slot, event: event.clone(), since });
    }

    /// A copy of an event, ahead of the tail. Where it is known to be the next one, it is as good as the event. What
    /// is not known yet, the sources may know; anything else waits for the tail.
    fn hand_on_copy(&mut self, event: &Arc<Event>) {
        match self.seen {
            Some(seen) if event.seq == seen.upto + 1 => self.hand_on(event),
            Some(_) => {}
            None => self.tell(event, |slot| Item::Copy { slot, event: event.clone() }),
        }
    }

    fn tell(&self, event: &Event, item: impl Fn(Slot) -> Item) {
        if event.kind.is_delivered() {
            self.followers.candidates(event, |follower| follower.connection.push(item(follower.slot)));
        }
    }
}

/// The connected channels.
#[derive(Debug, Default)]
pub struct Hub {
    state: Mutex<State>,
    queues_dropped: Counter,
}

/// What waits in the queues.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Queues {
    /// Events in all of them.
    pub events: usize,
    /// In the longest.
    pub longest: usize,
    /// Queues that were dropped, and not looked at since.
    pub lagging: usize,
}

#[derive(Debug, Default)]
struct State {
    connections: HashMap<ChannelId, Arc<Connection>>,
    streams: HashMap<Stream, Followed>,
    /// The streams of both.
    interest: Interest,
    /// What the read that is under way brings, unless it brings everything...
    reading: Option<Places>,
    /// ...and what was followed since it began, which it may have left out.
    unsure: Vec<Stream>,
    draining: bool,
}

impl Hub {
    /// Nobody is connected yet.
    pub fn new(metrics: &Metrics) -> Self {
        Hub { state: Mutex::default(), queues_dropped: metrics.queues_dropped.clone() }
    }

    /// A new connection of a channel. From now on it is told of everything that happens to the channel; an older one
    /// on this node is superseded at once (on other nodes, when they read `channel.opened`).
    pub fn connect(&self, channel: ChannelId, id: String, queue_events_max: usize) -> Arc<Connection> {
        let connection = Arc::new(Connection {
            channel: channel.clone(),
            id,
            opened: Mutex::default(),
            followed: Mutex::default(),
            queue: Mutex::new(Queue::new(queue_events_max)),
            dropped: self.queues_dropped.clone(),
            woken: Notify::new(),
            end: OnceLock::new(),
            ended: Notify::new(),
        });
        let mut state = lock(&self.state);
        match state.connections.insert(channel, connection.clone()) {
            Some(older) => {
                state.unfollow_all(&older);
                older.finish(End::Superseded);
            }
            None => state.interest.add(&Stream::of_channel(&connection.channel)),
        }
        if state.draining {
            connection.finish(End::Draining);
        }
        connection
    }

    /// Every connection, in no order.
    pub fn all(&self) -> Vec<Arc<Connection>> {
        lock(&self.state).connections.values().cloned().collect()
    }

    /// Ends all connections, and every one that comes later.
    pub fn drain(&self) {
        let mut state = lock(&self.state);
        state.draining = true;
        state.connections.values().for_each(|connection| connection.finish(End::Draining));
    }

    /// The connection is gone.
    pub fn disconnect(&self, connection: &Arc<Connection>) {
        let mut state = lock(&self.state);
        state.unfollow_all(connection);
        if state.is_current(connection) {
            state.connections.remove(&connection.channel);
            state.interest.remove(&Stream::of_channel(&connection.channel));
        }
    }

    /// A source of the connection wants those of the stream's events that have one of the keys. To be called before the
    /// log is read for it: what is tailed from now on arrives in the connection's queue, what was tailed before is
    /// found in the log. Answers whether that is news to us.
    pub fn follow(&self, connection: &Arc<Connection>, slot: Slot, stream: &Stream, keys: Vec<Key>) -> bool {
        lock(&self.state).follow(connection, slot, stream, keys)
    }

    /// The source wants nothing any more.
    pub fn unfollow(&self, connection: &Arc<Connection>, slot: Slot) {
        let mut followed = lock(&connection.followed);
        if let Ok(at) = followed.binary_search_by_key(&slot, |following| following.slot) {
            let following = followed.remove(at);
            drop(followed);
            lock(&self.state).unfollow(connection, &following);
        }
    }

    /// What was handed on of a stream, lately and without a gap.
    pub fn seen(&self, stream: &Stream) -> Option<Seen> {
        lock(&self.state).streams.get(stream)?.seen
    }

    /// An event that may end connections was read in the log: perhaps one that the tail missed while its connection was
    /// lost.
    pub fn heard(&self, event: &Event) {
        lock(&self.state).connection_event(event);
    }

    /// How many channels are connected.
    pub fn connections(&self) -> usize {
        lock(&self.state).connections.len()
    }

    /// What waits in the queues now. The hub is held up only while their list is copied.
    pub fn queues(&self) -> Queues {
        let mut queues = Queues::default();
        for connection in self.all() {
            match lock(&connection.queue).waiting() {
                Some(waiting) => {
                    queues.events += waiting;
                    queues.longest = queues.longest.max(waiting);
                }
                None => queues.lagging += 1,
            }
        }
        queues
    }
}

impl State {
    fn is_current(&self, connection: &Arc<Connection>) -> bool {
        self.connections.get(&connection.channel).is_some_and(|current| Arc::ptr_eq(current, connection))
    }

    fn follow(&mut self, connection: &Arc<Connection>, slot: Slot, stream: &Stream, keys: Vec<Key>) -> bool {
        let mut followed = lock(&connection.followed);
        let Err(place) = followed.binary_search_by_key(&slot, |following| following.slot) else { return false };
        if !self.is_current(connection) {
            return false;
        }
        let follower = Follower { connection: connection.clone(), slot };
        let known = self.streams.entry(stream.clone()).or_default();
        if known.followers.is_empty() {
            self.interest.add(stream);
        }
        known.followers.insert(&keys, &follower);
        if self.reading.as_ref().is_some_and(|places| !covers(places, stream)) {
            self.unsure.push(stream.clone());
        }
        room::for_one(&mut followed);
        followed.insert(place, Following { slot, stream: stream.clone(), keys: keys.into() });
        true
    }

    fn unfollow(&mut self, connection: &Arc<Connection>, following: &Following) {
        let Some(followed) = self.streams.get_mut(&following.stream) else { return };
        let follower = Follower { connection: connection.clone(), slot: following.slot };
        followed.followers.remove(&following.keys, &follower);
        if followed.followers.is_empty() {
            self.streams.remove(&following.stream);
            self.interest.remove(&following.stream);
        }
    }

    fn unfollow_all(&mut self, connection: &Arc<Connection>) {
        for following in std::mem::take(&mut *lock(&connection.followed)) {
            self.unfollow(connection, &following);
        }
    }

    /// Answers whether it concerns anybody here.
    fn hand_on(&mut self, event: Event) -> bool {
        let mut concerns = self.connection_event(&event);
        let event = Arc::new(event);
        if event.kind.is_of_subscription() {
            let of = event.subscription().and_then(|told| self.connections.get(&told.channel()));
            if let Some(connection) = of {
                connection.push(Item::News(event.clone()));
                concerns = true;
            }
        }
        if let Some(followed) = self.streams.get_mut(&event.stream) {
            followed.hand_on(&event);
            concerns = true;
        }
        concerns
    }

    /// Ends the connection that the event is the end of. Answers whether it concerns one here.
    fn connection_event(&self, event: &Event) -> bool {
        if !event.kind.is_of_connections() {
            return false;
        }
        let Some(connection) = self.of_channel_stream(event) else { return false };
        match event.kind {
            Kind::ChannelDeleted => connection.finish(End::Deleted),
            Kind::ChannelExpired => connection.finish(End::Expired),
            _ => {
                if event.opened().is_some_and(|opened| opened.connection != connection.id) {
                    connection.other_opened_at(event.seq);
                }
            }
        }
        true
    }

    fn of_channel_stream(&self, event: &Event) -> Option<&Arc<Connection>> {
        let id = event.stream.as_str().strip_prefix("$channel/")?;
        self.connections.get(&ChannelId::from_text(id))
    }
}

impl Sink for Hub {
    fn begin_read(&self, leave_out: bool) -> Option<Places> {
        let mut state = lock(&self.state);
        state.reading = state.interest.places().filter(|_| leave_out);
        state.reading.clone()
    }

    fn events(&self, batch: Vec<Event>) -> usize {
        batch.into_iter().filter_map(|event| lock(&self.state).hand_on(event).then_some(())).count()
    }

    /// What was followed only after the read had begun may have been left out of it, though it was committed after the
    /// follower had read the log.
    fn end_read(&self) {
        let mut state = lock(&self.state);
        state.reading = None;
        for stream in std::mem::take(&mut state.unsure) {
            if let Some(followed) = state.streams.get(&stream) {
                followed.followers.everybody(|follower| follower.connection.push(Item::LookAgain(follower.slot)));
            }
        }
    }

    fn copy(&self, event: Event) {
        if let Some(followed) = lock(&self.state).streams.get_mut(&event.stream)
            && event.kind.is_delivered()
        {
            followed.hand_on_copy(&Arc::new(event));
        }
    }

    fn resync(&self) {
        let mut state = lock(&self.state);
        state.reading = None;
        state.unsure.clear();
        state.streams.values_mut().for_each(|followed| followed.seen = None);
        for connection in state.connections.values() {
            connection.lag();
        }
    }
}

/// A panic elsewhere leaves these maps whole: no change to them can be seen half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
