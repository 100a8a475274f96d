//! One open WebSocket of a channel.
//!
//! A WebSocket has no acknowledgement of its own. So after a batch a Ping goes out that stands for the positions
//! reached: its Pong proves that everything before it arrived at the peer's WebSocket stack, and only then are the
//! positions stored. At most one such Ping is under way. What was not confirmed is sent again after a reconnect, with
//! the same index and content, since each list holds one event and follows from the log, the cursor and the filter.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use chrono::{DateTime, Utc};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{FutureExt, SinkExt, StreamExt};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep, timeout};
use tokio_tungstenite::tungstenite;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::positions::Positions;
use crate::base::ids::SubscriptionId;
use crate::base::{Error, Format, Result};
use crate::channel::confirm::Confirmations;
use crate::channel::cursor::Cursor;
use crate::channel::hub::{Connection, End, Hub};
use crate::channel::queue::{Item, Taken};
use crate::channel::{Channel, rows as channels};
use crate::config::Limits;
use crate::log::event::token;
use crate::log::{Event, rows as log};
use crate::postgres::Database;
use crate::subscription::rows as subscriptions;
use crate::wire::nc::{self, FromClient};
use crate::wire::urls::Urls;

/// Events read from the log at once.
const PAGE_EVENTS: i64 = 500;
/// Items taken from the queue at once.
const BATCH_ITEMS: usize = 128;
/// How long a closing client may take to answer.
const CLOSE_PATIENCE: Duration = Duration::from_secs(2);
/// A client's connChecks renew the lifetime this often at most.
const REFRESH_PAUSE: Duration = Duration::from_secs(1);
/// Pause after the database could not be read.
const RETRY_PAUSE: Duration = Duration::from_millis(250);

/// Why the server closes a socket: the code and what the reason begins with. 4000 to 4999 are for applications.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Close {
    Draining,
    Superseded,
    Deleted,
    Expired,
    Stalled,
    Fault,
    NotText,
    NotJson,
    TooLarge,
    Protocol,
}

impl Close {
    fn code_and_reason(self) -> (u16, &'static str) {
        match self {
            Close::Draining => (close_code::AWAY, "server stopping"),
            Close::Superseded => (4001, "superseded by a newer connection"),
            Close::Deleted => (4002, "channel deleted"),
            Close::Expired => (4003, "channel expired"),
            Close::Stalled => (4004, "frames or Pings not taken in time"),
            Close::Fault => (close_code::ERROR, "internal error"),
            Close::NotText => (close_code::UNSUPPORTED, "only text frames are understood"),
            Close::NotJson => (close_code::INVALID, "neither a JSON nor an XML message"),
            Close::TooLarge => (close_code::SIZE, "message too large"),
            Close::Protocol => (close_code::PROTOCOL, "not a WebSocket frame"),
        }
    }
}

impl From<End> for Close {
    fn from(end: End) -> Self {
        match end {
            End::Superseded => Close::Superseded,
            End::Deleted => Close::Deleted,
            End::Expired => Close::Expired,
        }
    }
}

/// How a session ends.
enum Over {
    /// We close.
    Close(Close),
    /// The client is gone.
    Gone,
}

impl Over {
    /// What could not be read: the client is told what was wrong with it, if it is still there.
    fn by(fault: axum::Error) -> Self {
        match fault.into_inner().downcast_ref() {
            Some(tungstenite::Error::Capacity(_)) => Close::TooLarge.into(),
            Some(tungstenite::Error::Utf8(_)) => Close::NotJson.into(),
            Some(tungstenite::Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => Over::Gone,
            Some(tungstenite::Error::Protocol(_)) => Close::Protocol.into(),
            _ => Over::Gone,
        }
    }
}

impl From<Close> for Over {
    fn from(close: Close) -> Self {
        Over::Close(close)
    }
}

/// What every session needs.
pub struct Delivery {
    /// The log and the positions.
    pub database: Database,
    /// The channels connected here.
    pub hub: Arc<Hub>,
    /// Stores positions.
    pub confirmations: Arc<Confirmations>,
    /// Makes URLs.
    pub urls: Arc<Urls>,
    /// Policy.
    pub limits: Limits,
    /// The server is to end.
    pub stop: CancellationToken,
}

impl Delivery {
    /// Serves a socket until it is over.
    pub async fn serve(self: Arc<Self>, channel: Channel, socket: WebSocket) {
        let name = uuid::Uuid::new_v4().simple().to_string();
        let connection = self.hub.connect(channel.id.clone(), name, self.limits.queue_events_max);
        let (sink, mut stream) = socket.split();
        let mut session = Session {
            positions: Positions::new(self.urls.clone(), channel.settings.max_notifications),
            connection: connection.clone(),
            sink,
            unpinged: false,
            ping: None,
            pings: 0,
            heard_at: Instant::now(),
            refreshed: None,
            restart_at: None,
            delivery: self.clone(),
        };
        let over = match session.run(&mut stream).await {
            Ok(never) => match never {},
            Err(over) => over,
        };
        self.hub.disconnect(&connection);
        if let Over::Close(close) = over {
            debug!(channel = %channel.id, "closing: {close:?}");
            session.close(close, &mut stream).await;
        }
    }

    fn stall(&self) -> Duration {
        Duration::from_secs(self.limits.socket_stall_seconds)
    }
}

/// A Ping under way.
struct Ping {
    number: u64,
    sent_at: Instant,
    stands_for: Vec<(SubscriptionId, Cursor)>,
}

struct Session {
    delivery: Arc<Delivery>,
    connection: Arc<Connection>,
    positions: Positions,
    sink: SplitSink<WebSocket, Message>,
    /// Lists were sent that no Ping stands for yet.
    unpinged: bool,
    ping: Option<Ping>,
    pings: u64,
    heard_at: Instant,
    refreshed: Option<Instant>,
    /// From here nothing is lost, whatever of the frames that were ready was still sent.
    restart_at: Option<DateTime<Utc>>,
}

type Never = std::convert::Infallible;

impl Session {
    async fn run(&mut self, stream: &mut SplitStream<WebSocket>) -> Result<Never, Over> {
        let (stop, connection) = (self.delivery.stop.clone(), self.connection.clone());
        unless_over(&stop, &connection, self.open()).await?;
        let mut keepalive = interval(Duration::from_secs(self.delivery.limits.socket_ping_seconds.max(1)) / 2);
        keepalive.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            unless_over(&stop, &connection, self.go_on(stream, &mut keepalive)).await?;
        }
    }

    /// One step: a page of the log while a subscription is behind, else whatever comes next.
    async fn go_on(&mut self, stream: &mut SplitStream<WebSocket>, keepalive: &mut Interval) -> Result<(), Over> {
        if self.positions.behind().is_some() {
            while let Some(message) = stream.next().now_or_never() {
                self.hear(message).await?;
            }
            self.take_queue().await?;
            return self.read_log().await;
        }
        let connection = self.connection.clone();
        tokio::select! {
            message = stream.next() => self.hear(message).await,
            () = connection.woken() => self.take_queue().await,
            _ = keepalive.tick() => self.keep_alive().await,
        }
    }

    /// Says in the log that this socket is the channel's, then takes up the subscriptions. From the connect on, the
    /// hub has told us of new ones; it is told of the streams before their log is read: so nothing falls between.
    async fn open(&mut self) -> Result<(), Over> {
        let delivery = self.delivery.clone();
        let opened = retry(|| channels::open(&delivery.database, &self.connection.channel, &self.connection.id)).await;
        self.connection.opened_at(opened.map_err(|_| Close::Deleted)?);
        self.take_up_all().await?;
        self.sent_all();
        Ok(())
    }

    /// Takes up all subscriptions of the channel, holds their cursors against the log, and reads on from there.
    async fn take_up_all(&mut self) -> Result<(), Over> {
        let database = self.delivery.database.clone();
        let all =
            retry(|| subscriptions::of_channel(&database, &self.connection.channel)).await.map_err(|_| Close::Fault)?;
        let ids: Vec<_> = all.iter().map(|subscription| subscription.id.clone()).collect();
        self.positions.keep_only(&ids);
        for subscription in all {
            self.delivery.hub.follow(&self.connection, subscription.of.stream());
            self.positions.take_up(subscription);
        }
        let (ids, cursors): (Vec<_>, Vec<_>) = self.positions.cursors().into_iter().unzip();
        let horizons = retry(|| subscriptions::horizons(&database, &cursors)).await.map_err(|_| Close::Fault)?;
        for (id, horizon) in ids.iter().zip(&horizons) {
            self.positions.hold_against(id, horizon);
        }
        Ok(())
    }

    /// Empties the queue.
    async fn take_queue(&mut self) -> Result<(), Over> {
        while let Some(taken) = self.connection.take(BATCH_ITEMS) {
            match taken {
                Taken::Lagged => self.take_up_all().await?,
                Taken::Items(items) => {
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
            self.send().await?;
        }
        Ok(())
    }

    /// A subscription was created, repositioned, prolonged or ended: if it is ours, looks it up.
    async fn learn(&mut self, event: &Event) -> Result<(), Over> {
        let Some(told) = event.subscription() else { return Ok(()) };
        let Some(of) = crate::base::ids::BoxName::of(&event.stream) else { return Ok(()) };
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

    /// Reads one page of the log for one subscription that is behind.
    async fn read_log(&mut self) -> Result<(), Over> {
        let Some((id, stream, seq)) = self.positions.behind() else { return Ok(()) };
        match log::read_stream(&self.delivery.database, &stream, seq, PAGE_EVENTS).await {
            Ok(page) => {
                let last = (page.len() as i64) < PAGE_EVENTS;
                let news = self.positions.replay(&id, &page, last);
                self.send().await?;
                match news {
                    Some(event) => self.learn(&event).await,
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

    /// Sends the frames that are ready, and a Ping that stands for what they brought.
    async fn send(&mut self) -> Result<(), Over> {
        let frames = self.positions.take_frames();
        self.unpinged |= !frames.is_empty();
        let messages = frames.into_iter().map(|frame| Message::Text(frame.into()));
        self.write(messages).await?;
        self.sent_all();
        self.ask_for_confirmation().await
    }

    /// No frame waits: the positions are what the client was sent. (A channel that ends has none any more.)
    fn sent_all(&mut self) {
        self.restart_at = self.positions.restart_at().or(self.restart_at);
    }

    /// Positions reached are confirmed by the Pong to a Ping; those reached without sending anything, at once.
    async fn ask_for_confirmation(&mut self) -> Result<(), Over> {
        if self.ping.is_some() {
            return Ok(());
        }
        let moved = self.positions.take_moved();
        if std::mem::take(&mut self.unpinged) {
            return self.send_ping(moved).await;
        }
        self.confirm(moved);
        Ok(())
    }

    async fn send_ping(&mut self, stands_for: Vec<(SubscriptionId, Cursor)>) -> Result<(), Over> {
        self.pings += 1;
        self.ping = Some(Ping { number: self.pings, sent_at: Instant::now(), stands_for });
        let payload = self.pings.to_be_bytes().to_vec();
        self.write(std::iter::once(Message::Ping(payload.into()))).await
    }

    fn confirm(&self, positions: Vec<(SubscriptionId, Cursor)>) {
        for (id, cursor) in positions {
            self.delivery.confirmations.confirm(id, cursor);
        }
    }

    async fn keep_alive(&mut self) -> Result<(), Over> {
        match &self.ping {
            Some(ping) if ping.sent_at.elapsed() > self.delivery.stall() => Err(Close::Stalled.into()),
            Some(_) => Ok(()),
            None if self.heard_at.elapsed() < Duration::from_secs(self.delivery.limits.socket_ping_seconds) => Ok(()),
            None => {
                let moved = self.positions.take_moved();
                self.send_ping(moved).await
            }
        }
    }

    /// What the client sent.
    async fn hear(&mut self, message: Option<Result<Message, axum::Error>>) -> Result<(), Over> {
        self.heard_at = Instant::now();
        match message {
            None | Some(Ok(Message::Close(_))) => Err(Over::Gone),
            Some(Err(fault)) => Err(Over::by(fault)),
            Some(Ok(Message::Binary(_))) => Err(Close::NotText.into()),
            Some(Ok(Message::Ping(_))) => Ok(()), // answered below us
            Some(Ok(Message::Pong(payload))) => self.pong(&payload).await,
            Some(Ok(Message::Text(text))) => match nc::read_from_client(&text) {
                Ok(FromClient::ConnCheck(format)) => self.answer_check(format).await,
                Ok(FromClient::ConnAck | FromClient::Unknown) => Ok(()),
                Err(_) => Err(Close::NotJson.into()),
            },
        }
    }

    async fn pong(&mut self, payload: &[u8]) -> Result<(), Over> {
        let Some(ping) = self.ping.take_if(|ping| payload == ping.number.to_be_bytes()) else { return Ok(()) };
        self.confirm(ping.stands_for);
        self.ask_for_confirmation().await
    }

    /// A connCheck renews the lifetime and must be answered (Appendix I.3).
    async fn answer_check(&mut self, format: Format) -> Result<(), Over> {
        let database = self.delivery.database.clone();
        let channel = self.connection.channel.clone();
        let lately = self.refreshed.is_some_and(|at| at.elapsed() < REFRESH_PAUSE);
        let granted = if lately {
            channels::get(&database, &channel).await.map(|channel| channel.lifetime_seconds)
        } else {
            self.refreshed = Some(Instant::now());
            channels::refresh(&database, &channel, None).await
        };
        match granted {
            Ok(seconds) => self.write(std::iter::once(Message::Text(nc::conn_ack(seconds, format).into()))).await,
            Err(Error::NotFound { .. }) => Err(Close::Expired.into()),
            Err(fault) => {
                warn!("a connCheck stays without answer: {fault}");
                Ok(())
            }
        }
    }

    /// Writes messages. A client that does not take them in time is disconnected; meanwhile its queue may overflow,
    /// which costs it a read of the log and nobody anything else.
    async fn write(&mut self, messages: impl Iterator<Item = Message>) -> Result<(), Over> {
        let stall = self.delivery.stall();
        let mut messages = messages.peekable();
        if messages.peek().is_none() {
            return Ok(());
        }
        for message in messages {
            timeout(stall, self.sink.feed(message)).await.map_err(|_| Close::Stalled)?.map_err(|_| Over::Gone)?;
        }
        timeout(stall, self.sink.flush()).await.map_err(|_| Close::Stalled)?.map_err(|_| Over::Gone)
    }

    /// Closes, with the position in the reason from which nothing is lost, and hears the last Pongs.
    async fn close(&mut self, close: Close, stream: &mut SplitStream<WebSocket>) {
        let (code, reason) = close.code_and_reason();
        let reason = match self.restart_at {
            Some(at) => format!("{reason}; restartToken={}", token(at)),
            None => reason.to_owned(),
        };
        let frame = Message::Close(Some(CloseFrame { code, reason: reason.into() }));
        let _ = timeout(CLOSE_PATIENCE, async {
            self.sink.send(frame).await.ok()?;
            while let Some(Ok(message)) = stream.next().await {
                if let Message::Pong(payload) = message
                    && let Some(ping) = self.ping.take_if(|ping| *payload == ping.number.to_be_bytes())
                {
                    self.confirm(ping.stands_for);
                }
            }
            Some(())
        })
        .await;
    }
}

/// Does some work, unless the session is over meanwhile: then the work is given up, wherever it waits.
async fn unless_over<T>(
    stop: &CancellationToken,
    connection: &Connection,
    work: impl Future<Output = Result<T, Over>>,
) -> Result<T, Over> {
    tokio::select! {
        biased;
        () = stop.cancelled() => Err(Close::Draining.into()),
        end = connection.ended() => Err(Close::from(end).into()),
        done = work => done,
    }
}

/// Tries again while the database is not to be had. Other errors are the caller's.
async fn retry<T, F: Future<Output = Result<T>>>(mut attempt: impl FnMut() -> F) -> Result<T> {
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
