//! Following a channel, whatever carries its notifications to the client: where it stands in each source, what the
//! hub brings, what the log has, and what the client has confirmed.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::Delivery;
use super::listener::Listener;
use super::positions::{Behind, Positions};
use crate::base::ids::{BoxName, ChannelId, SourceId, Stream, UserId};
use crate::base::metrics::Traffic;
use crate::base::{Error, Format, Result};
use crate::channel::cursor::{Cursor, Horizon};
use crate::channel::hub::{Connection, End};
use crate::channel::queue::{Item, Slot, Taken};
use crate::channel::{Channel, Transport, rows as channels};
use crate::inbox::rows as inbox;
use crate::log::pages::{PAGE_EVENTS, Reader};
use crate::log::{Event, Kind};
use crate::subscription::{Subscription, rows as subscriptions};
use crate::wire::nc;

/// Events read from the log at once, at least, for a poll that takes only a few.
const SMALL_PAGE_EVENTS: i64 = 16;
/// Items taken from the queue at once.
const BATCH_ITEMS: usize = 128;
/// Pause after the database could not be read.
const RETRY_PAUSE: Duration = Duration::from_millis(250);

/// What is followed.
#[derive(Debug, PartialEq, Eq)]
enum Of {
    /// A channel: what is posted to it, and its subscriptions. Where they stand is stored.
    Channel,
    /// An inbox, which a channel of its own brings to its user.
    Inbox {
        /// Its stream.
        stream: Stream,
        /// In which way.
        via: &'static str,
    },
    /// One stream, for a client that says itself where it stands.
    Stream,
}

/// A channel, or a stream, that is followed; no longer when this is dropped.
pub struct Feed {
    delivery: Arc<Delivery>,
    of: Of,
    connection: Arc<Connection>,
    positions: Positions,
    /// What its client reads.
    format: Format,
    reader: Reader,
    traffic: Traffic,
    /// Notifications that were taken since somebody asked.
    unconfirmed: u64,
    /// From here nothing is lost, whatever of the frames that were ready was still sent.
    restart_at: Option<DateTime<Utc>>,
}

impl Feed {
    /// Tells the hub of a new connection of the channel: from now on it hears what happens to the channel.
    pub fn connect(delivery: Arc<Delivery>, channel: &Channel) -> Self {
        let positions = match channel.settings.transport {
            Transport::NotifyUrl { .. } | Transport::Inbox { .. } => {
                Positions::for_single_notifications(delivery.urls.clone())
            }
            _ => Positions::new(delivery.urls.clone(), channel.settings.max_notifications),
        };
        Self::with(delivery, channel, positions, PAGE_EVENTS, channel.settings.transport.label())
    }

    /// As [`Feed::connect`], until there is one notificationList of `most` notifications.
    pub fn connect_poll(delivery: Arc<Delivery>, channel: &Channel, most: u32) -> Self {
        let positions = Positions::for_one_list(delivery.urls.clone(), most);
        let page_events = i64::from(most).clamp(SMALL_PAGE_EVENTS, PAGE_EVENTS);
        let label = match channel.settings.transport {
            Transport::LongPolling { .. } => channel.settings.transport.label(),
            _ => "large_polling",
        };
        Self::with(delivery, channel, positions, page_events, label)
    }

    fn with(
        delivery: Arc<Delivery>,
        channel: &Channel,
        positions: Positions,
        page_events: i64,
        label: &'static str,
    ) -> Self {
        let traffic = delivery.metrics.traffic(label);
        let name = uuid::Uuid::new_v4().simple().to_string();
        let connection = delivery.hub.connect(channel.id.clone(), name, delivery.limits.queue_events_max);
        let reader = Reader::new(delivery.pages.clone(), page_events);
        let of = match &channel.settings.transport {
            // Its owner is the name of the stream.
            transport @ Transport::Inbox { .. } => {
                Of::Inbox { stream: Stream::from_log(channel.user.as_str()), via: transport.label() }
            }
            _ => Of::Channel,
        };
        let format = channel.format;
        Feed { delivery, of, connection, positions, format, reader, traffic, unconfirmed: 0, restart_at: None }
    }

    /// Listens to a stream, from a place on. There may be any number of those.
    pub fn listen(
        delivery: Arc<Delivery>,
        stream: Stream,
        listener: Listener,
        from: Cursor,
        label: &'static str,
    ) -> Self {
        let mut positions = Positions::for_single_notifications(delivery.urls.clone());
        positions.take_up_listener(SourceId::Listener, listener, stream, from);
        let traffic = delivery.metrics.traffic(label);
        // To the hub it is the connection of a channel that nobody else has.
        let id = ChannelId::random();
        let connection = delivery.hub.connect(id.clone(), id.as_str().to_owned(), delivery.limits.queue_events_max);
        let reader = Reader::new(delivery.pages.clone(), PAGE_EVENTS);
        let (of, format) = (Of::Stream, Format::Json);
        Feed { delivery, of, connection, positions, format, reader, traffic, unconfirmed: 0, restart_at: None }
    }

    /// The hub's side of it.
    pub fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// Waits until the hub has brought something.
    pub async fn woken(&self) {
        self.connection.woken().await;
    }

    /// The hub need tell us nothing more.
    pub fn disconnect(&self) {
        self.delivery.hub.disconnect(&self.connection);
    }

    /// Says in the log that this connection is the channel's, then takes up all. [`Error::NotFound`] when the channel is
    /// over.
    pub async fn open(&mut self) -> Result<()> {
        if self.of == Of::Stream {
            return self.take_up_all().await;
        }
        let (delivery, connection) = (self.delivery.clone(), self.connection.clone());
        let turn = delivery.turn().await?;
        let opened = retry(|| channels::open(&delivery.database, &connection.channel, &connection.id)).await?;
        drop(turn);
        connection.opened_at(opened.seq);
        self.take_up_all().await?;
        // Usually it is all there is to read in the channel's own stream.
        let (stream, seq) = (Stream::of_channel(&connection.channel), opened.seq);
        let opened = Event::new(stream, seq, Kind::ChannelOpened, None, opened.at, "{}");
        self.positions.replay_callbacks(&[Arc::new(opened)]);
        Ok(())
    }

    /// Takes up all subscriptions of the channel and its own callbacks, holds their cursors against the log, and reads
    /// on from there. From the connect on, the hub has told us of new ones; it is told of the streams before their log
    /// is read: so nothing falls between. [`Error::NotFound`] when the channel is over.
    pub async fn take_up_all(&mut self) -> Result<()> {
        match &self.of {
            Of::Channel => self.take_up_channel().await,
            Of::Inbox { stream, via } => self.take_up_inbox(stream.clone(), via).await,
            Of::Stream => self.take_up_stream().await,
        }
    }

    async fn take_up_stream(&mut self) -> Result<()> {
        let delivery = self.delivery.clone();
        let _turn = delivery.turn().await?;
        self.reader.forget();
        let taken_up = self.positions.take_up_again();
        for (slot, stream) in &taken_up {
            self.follow(*slot, stream);
        }
        self.hold_against_head(taken_up.into_iter().map(|(slot, _)| slot).collect()).await
    }

    async fn take_up_inbox(&mut self, stream: Stream, via: &'static str) -> Result<()> {
        let (delivery, channel) = (self.delivery.clone(), self.connection.channel.clone());
        let _turn = delivery.turn().await?;
        self.reader.forget();
        let user = UserId::from_log(stream.inbox_of().unwrap_or_default());
        let found = retry(|| subscriptions::sources(&delivery.database, &channel)).await?;
        let (wanted, wanted_since) = retry(|| inbox::preferences(&delivery.database, &user)).await?;
        let listener = Listener::Inbox { wanted, wanted_since, via, minimal: false };
        let (id, (cursor, _)) = (SourceId::Callbacks(channel), found.callbacks);
        let slot = self.positions.take_up_listener(id, listener, stream.clone(), cursor);
        self.follow(slot, &stream);
        self.hold_against_head(vec![slot]).await
    }

    async fn take_up_channel(&mut self) -> Result<()> {
        let (delivery, channel) = (self.delivery.clone(), self.connection.channel.clone());
        let _turn = delivery.turn().await?;
        self.reader.forget();
        let found = retry(|| subscriptions::sources(&delivery.database, &channel)).await?;
        let (cursor, horizon) = found.callbacks;
        let slot = self.positions.take_up_callbacks(&channel, cursor, self.format);
        let is_new = self.follow(slot, &Stream::of_channel(&channel));
        let mut said = vec![(slot, horizon, !is_new && self.positions.cursor(slot) == Some(cursor))];
        let ids: Vec<_> = found.subscriptions.iter().map(|(subscription, _)| subscription.id.clone()).collect();
        for slot in self.positions.keep_only(&ids) {
            delivery.hub.unfollow(&self.connection, slot);
        }
        for (subscription, horizon) in found.subscriptions {
            let cursor = subscription.cursor;
            let (slot, is_new) = self.take_up(subscription);
            said.push((slot, horizon, !is_new && self.positions.cursor(slot) == Some(cursor)));
        }
        self.hold_against_log(said).await
    }

    /// Holds every cursor against the log: by what was said about it, if that is to be relied on, or else by what the log
    /// says now. It is not where it was said before the hub knew of the source, or about another position.
    async fn hold_against_log(&mut self, said: Vec<(Slot, Horizon, bool)>) -> Result<()> {
        let (reliable, unreliable): (Vec<_>, Vec<_>) = said.into_iter().partition(|(_, _, reliable)| *reliable);
        for (slot, horizon, _) in reliable {
            self.positions.hold_against(slot, &horizon);
        }
        self.hold_against_head(unreliable.into_iter().map(|(slot, ..)| slot).collect()).await
    }

    async fn hold_against_head(&mut self, slots: Vec<Slot>) -> Result<()> {
        let cursors: Vec<_> = slots.iter().filter_map(|slot| self.positions.place(*slot)).collect();
        if cursors.is_empty() {
            return Ok(());
        }
        let horizons = retry(|| subscriptions::horizons(&self.delivery.database, &cursors)).await?;
        for (slot, horizon) in slots.into_iter().zip(&horizons) {
            self.positions.hold_against(slot, horizon);
        }
        Ok(())
    }

    fn take_up(&mut self, subscription: Subscription) -> (Slot, bool) {
        let stream = subscription.of.stream().clone();
        let slot = self.positions.take_up(subscription);
        (slot, self.follow(slot, &stream))
    }

    /// The log is read for a source only after this. Answers whether the hub did not know of it.
    fn follow(&self, slot: Slot, stream: &Stream) -> bool {
        self.delivery.hub.follow(&self.connection, slot, stream, self.positions.keys(slot))
    }

    /// Takes some of what the hub brought; answers whether there was anything.
    pub async fn take_batch(&mut self) -> Result<bool> {
        match self.connection.take(BATCH_ITEMS) {
            None => return Ok(false),
            Some(Taken::Lagged) => Box::pin(self.take_up_all()).await?,
            Some(Taken::Items(items)) => {
                for item in items {
                    match item {
                        Item::Copy { slot, event } => self.positions.offer_copy(slot, &event),
                        Item::Event { slot, event, since } => self.positions.offer(slot, &event, since),
                        Item::LookAgain(slot) => {
                            self.reader.forget(); // what it says of the log's end was said before
                            self.positions.look_again(slot);
                        }
                        Item::News(event) => Box::pin(self.learn(&event)).await?, // rare: it must not cost idle sockets memory
                    }
                }
            }
        }
        Ok(true)
    }

    /// A subscription was created, repositioned, prolonged or ended: if it is ours, looks it up.
    async fn learn(&mut self, event: &Event) -> Result<()> {
        let Some(told) = event.subscription() else { return Ok(()) };
        let Some(of) = BoxName::of(&event.stream) else { return Ok(()) };
        if told.channel() != self.connection.channel {
            return Ok(());
        }
        let (id, database) = (told.id(), self.delivery.database.clone());
        self.reader.forget();
        match retry(|| subscriptions::get(&database, &of, &id)).await {
            Ok(subscription) => drop(self.take_up(subscription)),
            Err(_) => {
                if let Some(slot) = self.positions.drop_subscription(&id) {
                    self.delivery.hub.unfollow(&self.connection, slot);
                }
            }
        }
        Ok(())
    }

    /// Events that nobody here wants move no cursor as they pass. This moves the cursors past them, from time to time:
    /// so that they are not read again after a reconnect, and that no cursor is outlived by its events.
    pub fn pass_unwanted(&mut self) {
        let seen = |(slot, stream): (Slot, Stream)| Some((slot, self.delivery.hub.seen(&stream)?));
        let seen: Vec<_> = self.positions.following().into_iter().filter_map(seen).collect();
        // What was seen was put into the queue first: if that is empty now, all of it has been taken.
        if self.connection.is_idle() {
            seen.into_iter().for_each(|(slot, seen)| self.positions.pass_unwanted(slot, seen));
        }
    }

    /// Whether something must be read from the log before events can be taken as they come.
    pub fn is_behind(&self) -> bool {
        self.positions.is_behind()
    }

    /// Reads some of the log for one source that is behind.
    pub async fn read_page(&mut self) -> Result<()> {
        let Some(Behind { slot, stream, seq, after, until }) = self.positions.behind() else { return Ok(()) };
        if seq > until {
            self.positions.replay(slot, &[], true); // all that is due is a resetBox
            return Ok(());
        }
        let portion = match self.reader.read(&stream, seq, after, until).await {
            Ok(portion) => portion,
            Err(fault) => {
                debug!("the log cannot be read yet: {fault}");
                sleep(RETRY_PAUSE).await;
                return Ok(());
            }
        };
        if portion.events().first().is_none_or(|event| event.seq > seq) && self.is_gone(slot).await? {
            return Ok(());
        }
        self.delivery.metrics.replayed_pages.inc();
        self.delivery.metrics.replayed_events.inc_by(portion.events().len() as u64);
        for event in portion.events().iter().filter(|event| event.kind.is_of_connections()) {
            self.delivery.hub.heard(event);
        }
        if let Some(news) = self.positions.replay(slot, portion.events(), portion.last) {
            self.learn(&news).await?;
        }
        // Sockets whose next event is here already have their turn.
        tokio::task::yield_now().await;
        Ok(())
    }

    /// The log does not have what a source wants next. Answers whether that is no longer kept, and the source goes on
    /// elsewhere: retention goes on while a channel is connected, too.
    async fn is_gone(&mut self, slot: Slot) -> Result<bool> {
        let Some(stands) = self.positions.place(slot) else { return Ok(false) };
        let (database, stands) = (&self.delivery.database, [stands]);
        let horizons = retry(|| subscriptions::horizons(database, &stands)).await?;
        if let Some(horizon) = horizons.first() {
            self.positions.hold_against(slot, horizon);
        }
        Ok(self.positions.place(slot).is_some_and(|now| now != stands[0]))
    }

    /// The notificationLists made since the last call.
    pub fn take_frames(&mut self) -> Vec<String> {
        let frames = self.positions.take_frames();
        if self.of == Of::Stream {
            self.positions.take_reached(); // nobody confirms them
        }
        for (stream, seq) in self.positions.take_traced() {
            debug!(channel = %self.connection.channel, stream = stream.as_str(), seq, "sent");
        }
        let tally = self.positions.take_tally();
        self.traffic.count(&frames, &tally);
        self.unconfirmed += tally.notifications;
        frames
    }

    /// How many notifications were taken since the last call: of those nothing is confirmed yet.
    pub fn take_unconfirmed(&mut self) -> u64 {
        std::mem::take(&mut self.unconfirmed)
    }

    /// Whether a poll's one notificationList is ready.
    pub fn is_full(&self) -> bool {
        self.positions.is_full()
    }

    /// When the earliest notification that waits to be taken arrived, by the log.
    pub fn pending_since(&self) -> Option<DateTime<Utc>> {
        self.positions.pending_since()
    }

    /// Says in a list that is not full that everything is handed over with it.
    pub fn complete_list(&mut self) {
        self.positions.complete(self.format);
    }

    /// A poll's notificationList, perhaps an empty one.
    pub fn take_list(&mut self) -> String {
        self.take_frames().pop().unwrap_or_else(|| nc::empty_list(self.format))
    }

    /// The position after each of the frames that are single notifications; none for lists.
    pub fn take_reached(&mut self) -> Vec<(SourceId, Cursor)> {
        self.positions.take_reached()
    }

    /// The positions that moved since they were last taken: confirmed once everything before them has arrived.
    pub fn take_moved(&mut self) -> Vec<(SourceId, Cursor)> {
        self.positions.take_moved()
    }

    /// Everything before these positions is on its way to the client.
    pub fn sent(&self, positions: &[(SourceId, Cursor)]) {
        if self.of == Of::Stream {
            return;
        }
        self.delivery.confirmations.sent(positions);
    }

    /// The client has everything before these positions.
    pub fn confirm(&self, positions: Vec<(SourceId, Cursor)>) {
        if self.of == Of::Stream {
            return; // its client knows where it stands
        }
        for (id, cursor) in positions {
            self.delivery.confirmations.confirm(id, cursor);
        }
    }

    /// No frame waits: the positions are what the client was sent. (A channel that ends has none any more.)
    pub fn sent_all(&mut self) {
        self.restart_at = self.positions.restart_at().or(self.restart_at);
    }

    /// From here nothing is lost, whichever the subscription.
    pub fn restart_at(&self) -> Option<DateTime<Utc>> {
        self.restart_at
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.disconnect();
    }
}

/// Does some work, unless the connection is over meanwhile, or the node leaves: then the work is given up, wherever it
/// waits.
pub async fn unless_over<T>(
    leaving: &CancellationToken,
    connection: &Connection,
    work: impl Future<Output = T>,
) -> Result<T, End> {
    tokio::select! {
        biased;
        () = leaving.cancelled() => Err(End::Draining),
        end = connection.ended() => Err(end),
        done = work => Ok(done),
    }
}

/// Tries again while the database is not to be had. Other errors are the caller's.
pub async fn retry<T, F: Future<Output = Result<T>>>(mut attempt: impl FnMut() -> F) -> Result<T> {
    loop {
        match attempt().await {
            Err(Error::Busy(fault)) => {
                debug!("again: {fault}");
                sleep(RETRY_PAUSE).await;
            }
            outcome => return outcome,
        }
    }
}
