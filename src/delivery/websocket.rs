//! One open WebSocket of a channel.
//!
//! A WebSocket has no acknowledgement of its own. So after a batch a Ping goes out that stands for the positions
//! reached: its Pong proves that everything before it arrived at the peer's WebSocket stack, and only then are the
//! positions stored. At most one such Ping is under way. What was not confirmed is sent again after a reconnect, with
//! the same index and content, since each list holds one event and follows from the log, the cursor and the filter.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{FutureExt, SinkExt, StreamExt};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, timeout};
use tokio_tungstenite::tungstenite;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tracing::{debug, warn};

use super::Delivery;
use super::feed::{Feed, Interrupt, retry, unless_over};
use crate::base::ids::SourceId;
use crate::base::{Error, Format, Result};
use crate::channel::cursor::Cursor;
use crate::channel::hub::End;
use crate::channel::{Channel, Transport, rows as channels};
use crate::log::event::token;
use crate::wire::nc::{self, FromClient};

/// How long a closing client may take to answer.
const CLOSE_PATIENCE: Duration = Duration::from_secs(2);
/// A client's connChecks renew the lifetime this often at most.
const REFRESH_PAUSE: Duration = Duration::from_secs(1);

/// Why the server closes a socket: the code and what the reason begins with. 4000 to 4999 are for applications.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Close {
    Draining,
    Superseded,
    Deleted,
    Expired,
    Stalled,
    Unanswered,
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
            Close::Unanswered => (4005, "connCheck not answered in time"),
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

impl From<Error> for Over {
    /// What following the channel came to.
    fn from(fault: Error) -> Self {
        Over::Close(match fault {
            Error::NotFound { .. } => Close::Deleted,
            fault => {
                warn!("a socket cannot go on: {fault}");
                Close::Fault
            }
        })
    }
}

impl From<Close> for Over {
    fn from(close: Close) -> Self {
        Over::Close(close)
    }
}

impl From<Interrupt> for Over {
    fn from(interrupt: Interrupt) -> Self {
        Over::Close(match interrupt {
            Interrupt::Stopping => Close::Draining,
            Interrupt::Ended(end) => end.into(),
        })
    }
}

/// Serves a socket until it is over.
pub async fn serve(delivery: Arc<Delivery>, channel: Channel, socket: WebSocket) {
    let (sink, mut stream) = socket.split();
    let mut session = Session {
        feed: Feed::connect(delivery.clone(), &channel),
        sink,
        unpinged: false,
        ping: None,
        pings: 0,
        heard_at: Instant::now(),
        refreshed: None,
        check: Check { offered_seconds: channel.lifetime_seconds, format: channel.format, unanswered: false },
        delivery,
    };
    let checked = matches!(channel.settings.transport, Transport::WebSockets { checked_by_server: true });
    let over = match session.run(&mut stream, checked).await {
        Ok(never) => match never {},
        Err(over) => over,
    };
    session.feed.disconnect();
    if let Over::Close(close) = over {
        debug!(channel = %channel.id, "closing: {close:?}");
        session.close(close, &mut stream).await;
    }
}

/// A Ping under way.
struct Ping {
    number: u64,
    sent_at: Instant,
    stands_for: Vec<(SourceId, Cursor)>,
}

/// Our own connChecks, to clients that answer them (Appendix I.3).
struct Check {
    /// The lifetime that a connAck accepts.
    offered_seconds: u32,
    format: Format,
    unanswered: bool,
}

/// What happens from time to time.
struct Timers {
    keepalive: Interval,
    checks: Option<Interval>,
}

impl Timers {
    async fn check(checks: &mut Option<Interval>) {
        match checks {
            Some(checks) => drop(checks.tick().await),
            None => std::future::pending().await,
        }
    }
}

struct Session {
    delivery: Arc<Delivery>,
    feed: Feed,
    sink: SplitSink<WebSocket, Message>,
    /// Lists were sent that no Ping stands for yet.
    unpinged: bool,
    ping: Option<Ping>,
    pings: u64,
    heard_at: Instant,
    refreshed: Option<Instant>,
    check: Check,
}

type Never = std::convert::Infallible;

impl Session {
    async fn run(&mut self, stream: &mut SplitStream<WebSocket>, checked: bool) -> Result<Never, Over> {
        let (stop, connection) = (self.delivery.stop.clone(), self.feed.connection().clone());
        unless_over(&stop, &connection, self.open()).await??;
        let mut timers = Timers {
            keepalive: every(Duration::from_secs(self.delivery.limits.socket_ping_seconds.max(1)) / 2),
            checks: checked.then(|| every(self.check_interval())),
        };
        loop {
            unless_over(&stop, &connection, self.go_on(stream, &mut timers)).await??;
        }
    }

    /// One step: a page of the log while a source is behind, else whatever comes next.
    async fn go_on(&mut self, stream: &mut SplitStream<WebSocket>, timers: &mut Timers) -> Result<(), Over> {
        if self.feed.is_behind() {
            while let Some(message) = stream.next().now_or_never() {
                self.hear(message).await?;
            }
            self.take_queue().await?;
            self.feed.read_page().await?;
            return self.send().await;
        }
        let connection = self.feed.connection().clone();
        tokio::select! {
            message = stream.next() => self.hear(message).await,
            () = connection.woken() => self.take_queue().await,
            _ = timers.keepalive.tick() => self.keep_alive().await,
            () = Timers::check(&mut timers.checks) => self.send_check().await,
        }
    }

    /// Says in the log that this socket is the channel's, then takes up the subscriptions.
    async fn open(&mut self) -> Result<(), Over> {
        let (database, connection) = (self.delivery.database.clone(), self.feed.connection().clone());
        let opened = retry(|| channels::open(&database, &connection.channel, &connection.id)).await;
        connection.opened_at(opened.map_err(|_| Close::Deleted)?);
        self.feed.take_up_all().await?;
        self.feed.sent_all();
        Ok(())
    }

    /// Empties the queue.
    async fn take_queue(&mut self) -> Result<(), Over> {
        while self.feed.take_batch().await? {
            self.send().await?;
        }
        Ok(())
    }

    /// Sends the frames that are ready, and a Ping that stands for what they brought.
    async fn send(&mut self) -> Result<(), Over> {
        let frames = self.feed.take_frames();
        self.unpinged |= !frames.is_empty();
        let messages = frames.into_iter().map(|frame| Message::Text(frame.into()));
        self.write(messages).await?;
        self.feed.sent_all();
        self.ask_for_confirmation().await
    }

    /// Positions reached are confirmed by the Pong to a Ping; those reached without sending anything, at once.
    async fn ask_for_confirmation(&mut self) -> Result<(), Over> {
        if self.ping.is_some() {
            return Ok(());
        }
        let moved = self.feed.take_moved();
        if std::mem::take(&mut self.unpinged) {
            return self.send_ping(moved).await;
        }
        self.feed.confirm(moved);
        Ok(())
    }

    async fn send_ping(&mut self, stands_for: Vec<(SourceId, Cursor)>) -> Result<(), Over> {
        self.pings += 1;
        self.feed.sent(&stands_for);
        self.ping = Some(Ping { number: self.pings, sent_at: Instant::now(), stands_for });
        let payload = self.pings.to_be_bytes().to_vec();
        self.write(std::iter::once(Message::Ping(payload.into()))).await
    }

    fn stall(&self) -> Duration {
        Duration::from_secs(self.delivery.limits.socket_stall_seconds)
    }

    async fn keep_alive(&mut self) -> Result<(), Over> {
        match &self.ping {
            Some(ping) if ping.sent_at.elapsed() > self.stall() => Err(Close::Stalled.into()),
            Some(_) => Ok(()),
            None if self.heard_at.elapsed() < Duration::from_secs(self.delivery.limits.socket_ping_seconds) => Ok(()),
            None => {
                let moved = self.feed.take_moved();
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
                Ok(FromClient::ConnAck) => self.take_ack().await,
                Ok(FromClient::Unknown) => Ok(()),
                Err(_) => Err(Close::NotJson.into()),
            },
        }
    }

    async fn pong(&mut self, payload: &[u8]) -> Result<(), Over> {
        let Some(ping) = self.ping.take_if(|ping| payload == ping.number.to_be_bytes()) else { return Ok(()) };
        self.feed.confirm(ping.stands_for);
        self.ask_for_confirmation().await
    }

    /// Well within the lifetime that each check renews.
    fn check_interval(&self) -> Duration {
        let most = Duration::from_secs(self.check.offered_seconds.into()) / 2;
        Duration::from_secs(self.delivery.limits.conn_check_seconds).min(most).max(Duration::from_secs(1))
    }

    /// A client that has not answered the last check by now is taken for gone: its socket is closed, not its channel.
    async fn send_check(&mut self) -> Result<(), Over> {
        if std::mem::replace(&mut self.check.unanswered, true) {
            return Err(Close::Unanswered.into());
        }
        let check = nc::conn_check(self.check_interval().as_secs(), self.check.offered_seconds, self.check.format);
        self.write(std::iter::once(Message::Text(check.into()))).await
    }

    /// A connAck that answers a check starts the lifetime again, as the check offered.
    async fn take_ack(&mut self) -> Result<(), Over> {
        if !std::mem::take(&mut self.check.unanswered) {
            return Ok(());
        }
        let (database, channel) = (&self.delivery.database, &self.feed.connection().channel);
        match channels::refresh(database, channel, Some(self.check.offered_seconds)).await {
            Ok(_) => Ok(()),
            Err(Error::NotFound { .. }) => Err(Close::Expired.into()),
            Err(fault) => {
                warn!("a connAck stays without effect: {fault}");
                Ok(())
            }
        }
    }

    /// A connCheck renews the lifetime and must be answered (Appendix I.3).
    async fn answer_check(&mut self, format: Format) -> Result<(), Over> {
        let database = self.delivery.database.clone();
        let channel = self.feed.connection().channel.clone();
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
        let stall = self.stall();
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
        let reason = match self.feed.restart_at() {
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
                    self.feed.confirm(ping.stands_for);
                }
            }
            Some(())
        })
        .await;
    }
}

fn every(period: Duration) -> Interval {
    let mut interval = interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}
