//! Following a channel, whatever carries its notifications to the client: where it stands in each source, what the
//! hub brings, what the log has, and what the client has confirmed.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::Delivery;
use super::positions::Positions;
use crate::base::ids::{BoxName, SourceId, Stream};
use crate::base::{Error, Format, Result};
use crate::channel::cursor::Cursor;
use crate::channel::hub::{Connection, End};
use crate::channel::queue::{Item, Taken};
use crate::channel::{Channel, Transport, rows as channels};
use crate::log::{Event, Kind, rows as log};
use crate::subscription::rows as subscriptions;
use crate::wire::nc;

/// Events read from the log at once.
const PAGE_EVENTS: i64 = 500;
/// And at least, for a poll that takes only a few.
const SMALL_PAGE_EVENTS: i64 = 16;
/// Items taken from the queue at once.
const BATCH_ITEMS: usize = 128;
/// Pause after the database could not be read.
const RETRY_PAUSE: Duration = Duration::from_millis(250);

/// A channel that is followed; no longer when this is dropped.
pub struct Feed {
    delivery: Arc<Delivery>,
    connection: Arc<Connection>,
    positions: Positions,
    /// What its client reads.
    format: Format,
    page_events: i64,
    /// From here nothing is lost, whatever of the frames that were ready was still sent.
    restart_at: Option<DateTime<Utc>>,
}

impl Feed {
    /// Tells the hub of a new connection of the channel: from now on it hears what happens to the channel.
    pub fn connect(delivery: Arc<Delivery>, channel: &Channel) -> Self {
        let positions = match channel.settings.transport {
            Transport::NotifyUrl { .. } => Positions::for_single_notifications(delivery.urls.clone()),
            _ => Positions::new(delivery.urls.clone(), channel.settings.max_notifications),
        };
        Self::with(delivery, channel, positions, PAGE_EVENTS)
    }

    /// As [`Feed::connect`], until there is one notificationList of `most` notifications.
    pub fn connect_poll(delivery: Arc<Delivery>, channel: &Channel, most: u32) -> Self {
        let positions = Positions::for_one_list(delivery.urls.clone(), most);
        let page_events = i64::from(most).clamp(SMALL_PAGE_EVENTS, PAGE_EVENTS);
        Self::with(delivery, channel, positions, page_events)
    }

    fn with(delivery: Arc<Delivery>, channel: &Channel, positions: Positions, page_events: i64) -> Self {
        let name = uuid::Uuid::new_v4().simple().to_string();
        let connection = delivery.hub.connect(channel.id.clone(), name, delivery.limits.queue_events_max);
        Feed { delivery, connection, positions, format: channel.format, page_events, restart_at: None }
    }

    /// The hub's side of it.
    pub fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// The hub need tell us nothing more.
    pub fn disconnect(&self) {
        self.delivery.hub.disconnect(&self.connection);
    }

    /// Takes up all subscriptions of the channel and its own callbacks, holds their cursors against the log, and reads
    /// on from there. From the connect on, the hub has told us of new ones; it is told of the streams before their log
    /// is read: so nothing falls between. [`Error::NotFound`] when the channel is over.
    pub async fn take_up_all(&mut self) -> Result<()> {
        let (database, channel) = (self.delivery.database.clone(), self.connection.channel.clone());
        self.delivery.hub.follow(&self.connection, &Stream::of_channel(&channel));
        let cursor = retry(|| channels::callbacks_cursor(&database, &channel)).await?;
        self.positions.take_up_callbacks(&channel, cursor, self.format);
        let all = retry(|| subscriptions::of_channel(&database, &channel)).await?;
        let ids: Vec<_> = all.iter().map(|subscription| subscription.id.clone()).collect();
        self.positions.keep_only(&ids);
        for subscription in all {
            self.delivery.hub.follow(&self.connection, subscription.of.stream());
            self.positions.take_up(subscription);
        }
        let (ids, cursors): (Vec<_>, Vec<_>) = self.positions.cursors().into_iter().unzip();
        let horizons = retry(|| subscriptions::horizons(&database, &cursors)).await?;
        for (id, horizon) in ids.iter().zip(&horizons) {
            self.positions.hold_against(id, horizon);
        }
        Ok(())
    }

    /// Takes some of what the hub brought; answers whether there was anything.
    pub async fn take_batch(&mut self) -> Result<bool> {
        match self.connection.take(BATCH_ITEMS) {
            None => return Ok(false),
            Some(Taken::Lagged) => self.take_up_all().await?,
            Some(Taken::Items(items)) => {
                for item in items {
                    match item {
                        Item::Copy(event) => self.positions.offer_copy(&event),
                        Item::Event(event) => {
                            self.positions.offer(&event);
                            if event.kind.is_of_subscription() {
                                self.learn(&event).await?;
                            }
                        }
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
        match retry(|| subscriptions::get(&database, &of, &id)).await {
            Ok(subscription) => {
                self.delivery.hub.follow(&self.connection, &event.stream);
                self.positions.take_up(subscription);
            }
            Err(_) => {
                self.positions.drop_subscription(&id);
                if !self.positions.wants_stream(&event.stream) {
                    self.delivery.hub.unfollow(&self.connection, &event.stream);
                }
            }
        }
        Ok(())
    }

    /// Whether something must be read from the log before events can be taken as they come.
    pub fn is_behind(&self) -> bool {
        self.positions.is_behind()
    }

    /// Reads one page of the log for one source that is behind.
    pub async fn read_page(&mut self) -> Result<()> {
        let Some((id, stream, seq)) = self.positions.behind() else { return Ok(()) };
        match log::read_stream(&self.delivery.database, &stream, seq, self.page_events).await {
            Ok(page) => {
                let last = (page.len() as i64) < self.page_events;
                for opened in page.iter().filter(|event| event.kind == Kind::ChannelOpened) {
                    self.delivery.hub.heard_opened(opened);
                }
                match self.positions.replay(&id, &page, last) {
                    Some(news) => self.learn(&news).await,
                    None => Ok(()),
                }
            }
            Err(fault) => {
                debug!("the log cannot be read yet: {fault}");
                sleep(RETRY_PAUSE).await;
                Ok(())
            }
        }
    }

    /// The notificationLists made since the last call.
    pub fn take_frames(&mut self) -> Vec<String> {
        self.positions.take_frames()
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
        self.positions.take_frames().pop().unwrap_or_else(|| nc::empty_list(self.format))
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
        self.delivery.confirmations.sent(positions);
    }

    /// The client has everything before these positions.
    pub fn confirm(&self, positions: Vec<(SourceId, Cursor)>) {
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

/// Why work for a client is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interrupt {
    /// The server is to end.
    Stopping,
    /// The channel, or this connection of it.
    Ended(End),
}

/// Does some work, unless the connection is over meanwhile: then the work is given up, wherever it waits.
pub async fn unless_over<T>(
    stop: &CancellationToken,
    connection: &Connection,
    work: impl Future<Output = T>,
) -> Result<T, Interrupt> {
    tokio::select! {
        biased;
        () = stop.cancelled() => Err(Interrupt::Stopping),
        end = connection.ended() => Err(Interrupt::Ended(end)),
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
