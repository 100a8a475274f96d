//! The channels connected to this node: the tailer's sink. It knows which of them follow which stream, puts events
//! into their queues, and tells them when they are superseded or over. It decides nothing about subscriptions: that
//! each connection does for itself, from the events in its queue.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::Notify;

use super::queue::{Item, Queue, Taken};
use crate::base::ids::{ChannelId, Stream};
use crate::log::tailer::Sink;
use crate::log::{Event, Kind};

/// Why the server ends a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
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
    followed: Mutex<HashSet<Stream>>,
    queue: Mutex<Queue>,
    woken: Notify,
    end: OnceLock<End>,
    ended: Notify,
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
        lock(&self.queue).push(item);
        self.woken.notify_one();
    }

    fn lag(&self) {
        lock(&self.queue).lag();
        self.woken.notify_one();
    }

    fn finish(&self, end: End) {
        let _ = self.end.set(end);
        self.ended.notify_waiters();
        self.ended.notify_one();
    }
}

/// The connected channels.
#[derive(Debug, Default)]
pub struct Hub {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    connections: HashMap<ChannelId, Arc<Connection>>,
    /// Who follows a stream.
    followers: HashMap<Stream, Vec<Arc<Connection>>>,
}

impl Hub {
    /// A new connection of a channel. From now on it is told of everything that happens to the channel; an older one
    /// on this node is superseded at once (on other nodes, when they read `channel.opened`).
    pub fn connect(&self, channel: ChannelId, id: String, queue_events_max: usize) -> Arc<Connection> {
        let connection = Arc::new(Connection {
            channel: channel.clone(),
            id,
            opened: Mutex::default(),
            followed: Mutex::default(),
            queue: Mutex::new(Queue::new(queue_events_max)),
            woken: Notify::new(),
            end: OnceLock::new(),
            ended: Notify::new(),
        });
        let mut state = lock(&self.state);
        if let Some(older) = state.connections.insert(channel, connection.clone()) {
            state.unfollow_all(&older);
            older.finish(End::Superseded);
        }
        connection
    }

    /// The connection is gone.
    pub fn disconnect(&self, connection: &Arc<Connection>) {
        let mut state = lock(&self.state);
        state.unfollow_all(connection);
        if state.is_current(connection) {
            state.connections.remove(&connection.channel);
        }
    }

    /// The connection wants the stream's events. To be called before the log is read for it: what is tailed from now
    /// on arrives in its queue, what was tailed before is found in the log.
    pub fn follow(&self, connection: &Arc<Connection>, stream: &Stream) {
        lock(&self.state).follow(connection, stream);
    }

    /// The connection no longer wants the stream's events.
    pub fn unfollow(&self, connection: &Arc<Connection>, stream: &Stream) {
        lock(&self.state).unfollow(connection, stream);
    }

    /// A `channel.opened` was read in the log: perhaps one that the tail missed while its connection was lost.
    pub fn heard_opened(&self, event: &Event) {
        lock(&self.state).opened(event);
    }

    /// How many channels are connected.
    pub fn connections(&self) -> usize {
        lock(&self.state).connections.len()
    }
}

impl State {
    fn is_current(&self, connection: &Arc<Connection>) -> bool {
        self.connections.get(&connection.channel).is_some_and(|current| Arc::ptr_eq(current, connection))
    }

    fn follow(&mut self, connection: &Arc<Connection>, stream: &Stream) {
        if self.is_current(connection) && lock(&connection.followed).insert(stream.clone()) {
            self.followers.entry(stream.clone()).or_default().push(connection.clone());
        }
    }

    fn unfollow(&mut self, connection: &Arc<Connection>, stream: &Stream) {
        if !lock(&connection.followed).remove(stream) {
            return;
        }
        let Some(followers) = self.followers.get_mut(stream) else { return };
        followers.retain(|follower| !Arc::ptr_eq(follower, connection));
        if followers.is_empty() {
            self.followers.remove(stream);
        }
    }

    fn unfollow_all(&mut self, connection: &Arc<Connection>) {
        let followed: Vec<Stream> = lock(&connection.followed).iter().cloned().collect();
        for stream in followed {
            self.unfollow(connection, &stream);
        }
    }

    fn hand_on(&mut self, event: Event) {
        match event.kind {
            Kind::ChannelOpened => self.opened(&event), // and its followers' cursors move past it
            Kind::ChannelDeleted => return self.over(&event, End::Deleted),
            Kind::ChannelExpired => return self.over(&event, End::Expired),
            _ => {}
        }
        let event = Arc::new(event);
        if event.kind == Kind::SubscriptionCreated {
            // Before the events that follow it in its stream are looked at.
            let of = event.subscription().and_then(|told| self.connections.get(&told.channel()).cloned());
            if let Some(connection) = of {
                self.follow(&connection, &event.stream);
            }
        }
        for follower in self.followers.get(&event.stream).into_iter().flatten() {
            follower.push(Item::Event(event.clone()));
        }
    }

    fn opened(&self, event: &Event) {
        let Some((connection, opened)) = self.of_channel_stream(event).zip(event.opened()) else { return };
        if connection.id != opened.connection {
            connection.other_opened_at(event.seq);
        }
    }

    fn over(&self, event: &Event, end: End) {
        if let Some(connection) = self.of_channel_stream(event) {
            connection.finish(end);
        }
    }

    fn of_channel_stream(&self, event: &Event) -> Option<&Arc<Connection>> {
        let id = event.stream.as_str().strip_prefix("$channel/")?;
        self.connections.get(&ChannelId::from_text(id))
    }
}

impl Sink for Hub {
    fn events(&self, batch: Vec<Event>) {
        let mut state = lock(&self.state);
        for event in batch {
            state.hand_on(event);
        }
    }

    fn copy(&self, event: Event) {
        // Only what is delivered: everything else waits for the tail.
        if !event.kind.is_notified() && event.kind != Kind::ChannelNotified {
            return;
        }
        let state = lock(&self.state);
        if let Some(followers) = state.followers.get(&event.stream) {
            let event = Arc::new(event);
            for follower in followers {
                follower.push(Item::Copy(event.clone()));
            }
        }
    }

    fn resync(&self) {
        for connection in lock(&self.state).connections.values() {
            connection.lag();
        }
    }
}

/// A panic elsewhere leaves these maps whole: no change to them can be seen half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
