//! One open WebSocket of a channel.
//!
//! A WebSocket has no acknowledgement of its own. So after a batch a Ping goes out that stands for the positions
//! reached: its Pong proves that everything before it arrived at the peer's WebSocket stack, and only then are the
//! positions stored. At most one such Ping is under way. What was not confirmed is sent again after a reconnect, with
//! the same index and content, since each list holds one event and follows from the log, the cursor and the filter.

mod socket;

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use hyper::upgrade::Upgraded;
use tokio::time::{Instant, Sleep, sleep_until, timeout};
use tokio_tungstenite::tungstenite;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message};
use tracing::{debug, warn};

use super::Delivery;
use super::drain::Place;
use super::feed::Feed;
use crate::auth::pass::Pass;
use crate::base::crowd::Seat;
use crate::base::ids::SourceId;
use crate::base::metrics::Counted;
use crate::base::{Error, Format, Result};
use crate::channel::cursor::Cursor;
use crate::channel::hub::End;
use crate::channel::{Channel, Transport, rows as channels};
use crate::log::event::token;
use crate::wire::nc::{self, FromClient};
use socket::Socket;

/// How long a closing client may take to answer.
pub const CLOSE_PATIENCE: Duration = Duration::from_secs(2);
/// A client that takes longer for what is written holds us up.
const PROMPT: Duration = Duration::from_millis(100);
/// A client's connChecks renew the lifetime this often at most.
const REFRESH_PAUSE: Duration = Duration::from_secs(1);
/// Between two Pings that ask for a confirmation. The first after a quiet time goes out at once.
const PING_PAUSE: Duration = Duration::from_secs(1);
/// Frames are sent when there are so many bytes of them: what a slow client costs, with the kernel's buffers.
const SEND_BYTES: usize = 64 * 1024;

/// Why the server closes a socket: the code and what the reason begins with. 4000 to 4999 are for applications.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Close {
    Draining,
    Superseded,
    Deleted,
    Expired,
    Stalled,
    Unanswered,
    TokenExpired,
    Forbidden,
    Fault,
    NotText,
    NotJson,
    TooLarge,
    Protocol,
}

impl Close {
    fn code_and_reason(self) -> (CloseCode, &'static str) {
        match self {
            Close::Draining => (CloseCode::Away, "server stopping"),
            Close::Superseded => (CloseCode::Library(4001), "superseded by a newer connection"),
            Close::Deleted => (CloseCode::Library(4002), "channel deleted"),
            Close::Expired => (CloseCode::Library(4003), "channel expired"),
            Close::Stalled => (CloseCode::Library(4004), "frames or Pings not taken in time"),
            Close::Unanswered => (CloseCode::Library(4005), "connCheck not answered in time"),
            Close::TokenExpired => (CloseCode::Library(4006), "access token expired"),
            Close::Forbidden => (CloseCode::Library(4007), "no longer allowed"),
            Close::Fault => (CloseCode::Error, "internal error"),
            Close::NotText => (CloseCode::Unsupported, "only text frames are understood"),
            Close::NotJson => (CloseCode::Invalid, "neither a JSON nor an XML message"),
            Close::TooLarge => (CloseCode::Size, "message too large"),
            Close::Protocol => (CloseCode::Protocol, "not a WebSocket frame"),
        }
    }
}

impl Close {
    /// As metrics call it.
    fn label(self) -> &'static str {
        match self {
            Close::Draining => "draining",
            Close::Superseded => "superseded",
            Close::Deleted => "deleted",
            Close::Expired => "expired",
            Close::Stalled => "stalled",
            Close::Unanswered => "unanswered",
            Close::TokenExpired => "token_expired",
            Close::Forbidden => "forbidden",
            Close::Fault => "fault",
            Close::NotText => "not_text",
            Close::NotJson => "not_json",
            Close::TooLarge => "too_large",
            Close::Protocol => "protocol",
        }
    }
}

impl From<End> for Close {
    fn from(end: End) -> Self {
        match end {
            End::Draining => Close::Draining,
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
    /// As metrics call it.
    fn label(&self) -> &'static str {
        match self {
            Over::Close(close) => close.label(),
            Over::Gone => "gone",
        }
    }

    /// What could not be read: the client is told what was wrong with it, if it is still there.
    fn by(fault: &tungstenite::Error) -> Self {
        match fault {
            tungstenite::Error::Capacity(_) => Close::TooLarge.into(),
            tungstenite::Error::Utf8(_) => Close::NotJson.into(),
            tungstenite::Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Over::Gone,
            tungstenite::Error::Protocol(_) => Close::Protocol.into(),
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

impl From<End> for Over {
    fn from(end: End) -> Self {
        Over::Close(end.into())
    }
}

/// By what a socket was opened, as long as it is.
#[derive(Debug, Default)]
pub struct Admitted {
    /// A token, beside a secret URL.
    pass: Option<Box<Pass>>,
    /// One of its user's.
    _seat: Option<Seat>,
}

impl Admitted {
    /// By these.
    pub fn new(pass: Option<Box<Pass>>, seat: Option<Seat>) -> Self {
        Admitted { pass, _seat: seat }
    }
}

/// Serves a channel's socket until it is over. (The channel is boxed because it is not needed for long; and a session is
/// made in its place and never moved, since a future keeps room for whatever is moved into another one.)
pub async fn serve(delivery: Arc<Delivery>, channel: Box<Channel>, admitted: Admitted, upgraded: Upgraded) {
    let socket = Socket::new(upgraded).await;
    let check = Check { offered_seconds: channel.lifetime_seconds, format: channel.format, unanswered: false };
    let mut session = Session::new(delivery.clone(), Feed::connect(delivery, &channel), Some(check), admitted, socket);
    if matches!(channel.settings.transport, Transport::WebSockets { checked_by_server: true }) {
        session.timers.check = Some(Instant::now() + session.check_interval());
    }
    drop(channel);
    session.serve().await;
}

/// Serves the socket of somebody who listens to a stream, until it is over. (The feed is boxed until it has its place.)
pub async fn serve_listener(delivery: Arc<Delivery>, feed: Box<Feed>, admitted: Admitted, upgraded: Upgraded) {
    let socket = Socket::new(upgraded).await;
    Session::new(delivery, *feed, None, admitted, socket).serve().await;
}

/// A Ping under way.
struct Ping {
    number: u64,
    sent_at: Instant,
    stands_for: Vec<(SourceId, Cursor)>,
    /// How many went out before it, behind the one before.
    notifications: u64,
}

/// Our own connChecks, to clients that answer them (Appendix I.3).
struct Check {
    /// The lifetime that a connAck accepts.
    offered_seconds: u32,
    format: Format,
    unanswered: bool,
}

/// What happens from time to time, all by one timer: there is one for each of many idle sockets.
struct Timers {
    keep_alive: Instant,
    /// Of clients that are checked.
    check: Option<Instant>,
    /// What the socket was opened with.
    pass: Option<Instant>,
    /// A Ping that waits for its turn.
    confirm: Option<Instant>,
    /// Rings at the earliest of them, or earlier: setting it later costs more than being woken for nothing.
    alarm: Pin<Box<Sleep>>,
}

impl Timers {
    /// Waits until something is due, or for nothing.
    async fn alarm(&mut self) {
        let next = [self.check, self.pass, self.confirm].into_iter().flatten().fold(self.keep_alive, Instant::min);
        if self.alarm.is_elapsed() || next < self.alarm.deadline() {
            self.alarm.as_mut().reset(next);
        }
        self.alarm.as_mut().await;
    }

    /// Whether this is due; then it is again `after` from now, or not at all.
    fn take_due(timer: &mut Option<Instant>, after: Option<Duration>) -> bool {
        let now = Instant::now();
        let due = timer.is_some_and(|at| at <= now);
        if due {
            *timer = after.map(|after| now + after);
        }
        due
    }
}

struct Session {
    delivery: Arc<Delivery>,
    _place: Place,
    feed: Feed,
    socket: Socket,
    /// Lists were sent that no Ping stands for yet.
    unpinged: bool,
    ping: Option<Ping>,
    pings: u64,
    /// When the last Ping that asked for a confirmation went out.
    pinged_at: Option<Instant>,
    heard_at: Instant,
    refreshed: Option<Instant>,
    /// Of a channel's client.
    check: Option<Check>,
    admitted: Admitted,
    timers: Timers,
}

type Never = std::convert::Infallible;

fn ping_interval(delivery: &Delivery) -> Duration {
    Duration::from_secs(delivery.limits.socket_ping_seconds.max(1))
}

impl Session {
    fn new(delivery: Arc<Delivery>, feed: Feed, check: Option<Check>, admitted: Admitted, socket: Socket) -> Self {
        let now = Instant::now();
        let keep_alive = now + ping_interval(&delivery) / 2;
        Session {
            _place: delivery.drain.socket(),
            feed,
            socket,
            unpinged: false,
            ping: None,
            pings: 0,
            pinged_at: None,
            heard_at: now,
            refreshed: None,
            check,
            timers: Timers {
                keep_alive,
                check: None,
                pass: admitted.pass.as_ref().map(|pass| now + pass.look_again()),
                confirm: None,
                alarm: Box::pin(sleep_until(now)),
            },
            admitted,
            delivery,
        }
    }

    async fn serve(&mut self) {
        let over = match self.run().await {
            Ok(never) => match never {},
            Err(over) => over,
        };
        self.delivery.metrics.socket_closes.get_or_create(&[("reason", over.label())]).inc();
        if let Over::Close(close) = over {
            debug!(channel = %self.feed.connection().channel, "closing: {close:?}");
            Box::pin(self.close(close)).await;
        }
        let unanswered = self.ping.as_ref().map_or(0, |ping| ping.notifications);
        self.delivery.metrics.socket_unconfirmed.inc_by(unanswered + self.feed.take_unconfirmed());
    }

    async fn run(&mut self) -> Result<Never, Over> {
        let connection = self.feed.connection().clone();
        let mut ended = pin!(connection.ended());
        // Boxed: what an idle socket does not do must not cost it memory.
        tokio::select! {
            biased;
            end = &mut ended => return Err(end.into()),
            opened = Box::pin(self.open()) => opened?,
        }
        loop {
            tokio::select! {
                biased;
                step = self.go_on() => step?,
                end = &mut ended => return Err(end.into()),
            }
            if connection.is_over() {
                return Err(ended.await.into());
            }
        }
    }

    /// One step: a page of the log while a source is behind, else whatever comes next.
    async fn go_on(&mut self) -> Result<(), Over> {
        if self.feed.is_behind() {
            return Box::pin(self.replay()).await;
        }
        tokio::select! {
            () = self.feed.woken() => self.take_queue().await,
            message = self.socket.next() => Box::pin(self.hear(message)).await,
            () = self.timers.alarm() => Box::pin(self.look_at_timers()).await,
        }
    }

    async fn replay(&mut self) -> Result<(), Over> {
        while let Some(message) = self.socket.next().now_or_never() {
            self.hear(message).await?;
        }
        self.take_queue().await?;
        self.feed.read_page().await?;
        self.send().await
    }

    /// Opens the feed.
    async fn open(&mut self) -> Result<(), Over> {
        self.feed.open().await?;
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
        for frame in self.feed.take_frames() {
            self.unpinged = true;
            self.socket.add_text(&frame);
            if self.socket.waiting() >= SEND_BYTES {
                self.flush().await?;
            }
        }
        self.ask_for_confirmation();
        self.flush().await?;
        self.feed.sent_all();
        Ok(())
    }

    /// Positions reached are confirmed by the Pong to a Ping; those reached without sending anything, at once. There is
    /// one Ping at a time, and under load only one in a while: it stands for all that was sent before it.
    fn ask_for_confirmation(&mut self) {
        if self.ping.is_some() {
            return;
        }
        if !self.unpinged {
            let moved = self.feed.take_moved();
            return self.feed.confirm(moved);
        }
        let now = Instant::now();
        match self.pinged_at.map(|at| at + PING_PAUSE).filter(|due| *due > now) {
            Some(due) => self.timers.confirm = Some(due),
            None => {
                self.pinged_at = Some(now);
                self.add_ping(now);
            }
        }
    }

    fn add_ping(&mut self, now: Instant) {
        self.unpinged = false;
        self.timers.confirm = None;
        self.pings += 1;
        let stands_for = self.feed.take_moved();
        self.feed.sent(&stands_for);
        let notifications = self.feed.take_unconfirmed();
        self.ping = Some(Ping { number: self.pings, sent_at: now, stands_for, notifications });
        self.socket.add_ping(&self.pings.to_be_bytes());
    }

    fn stall(&self) -> Duration {
        Duration::from_secs(self.delivery.limits.socket_stall_seconds)
    }

    async fn look_at_timers(&mut self) -> Result<(), Over> {
        if self.timers.keep_alive <= Instant::now() {
            self.timers.keep_alive = Instant::now() + ping_interval(&self.delivery) / 2;
            self.keep_alive()?;
        }
        let check_again = Some(self.check_interval());
        if Timers::take_due(&mut self.timers.check, check_again) {
            self.send_check()?;
        }
        if Timers::take_due(&mut self.timers.pass, None) {
            self.look_at_pass().await?;
        }
        if Timers::take_due(&mut self.timers.confirm, None) {
            self.ask_for_confirmation();
        }
        self.flush().await
    }

    /// A socket ends with its token, and with the grant that it rests on.
    async fn look_at_pass(&mut self) -> Result<(), Over> {
        let Some(pass) = &self.admitted.pass else { return Ok(()) };
        if pass.remaining().is_zero() {
            return Err(Close::TokenExpired.into());
        }
        if !pass.holds(&self.delivery.database).await {
            return Err(Close::Forbidden.into());
        }
        self.timers.pass = Some(Instant::now() + pass.look_again());
        Ok(())
    }

    /// A newer token in place of the one that the socket was opened with. One that is refused changes nothing.
    async fn take_token(&mut self, token: &str) -> Result<(), Over> {
        let Some(pass) = &mut self.admitted.pass else { return Ok(()) };
        let answer = match pass.renew(&self.delivery.database, token).await {
            Ok(()) => {
                self.timers.pass = Some(Instant::now() + pass.look_again());
                nc::token_refreshed(pass.remaining())
            }
            Err(refused) => nc::token_refused(&refused.to_string()),
        };
        self.socket.add_text(&answer);
        self.flush().await
    }

    fn keep_alive(&mut self) -> Result<(), Over> {
        self.feed.pass_unwanted();
        match &self.ping {
            Some(ping) if ping.sent_at.elapsed() > self.stall() => Err(Close::Stalled.into()),
            Some(_) => Ok(()),
            None if self.heard_at.elapsed() < ping_interval(&self.delivery) => {
                self.ask_for_confirmation();
                Ok(())
            }
            None => {
                self.add_ping(Instant::now());
                Ok(())
            }
        }
    }

    /// What the client sent.
    async fn hear(&mut self, message: Option<Result<Message, tungstenite::Error>>) -> Result<(), Over> {
        self.heard_at = Instant::now();
        match message {
            None | Some(Ok(Message::Close(_))) => Err(Over::Gone),
            Some(Err(fault)) => Err(Over::by(&fault)),
            Some(Ok(Message::Binary(_))) => Err(Close::NotText.into()),
            Some(Ok(Message::Ping(_) | Message::Frame(_))) => Ok(()), // Pings are answered below us
            Some(Ok(Message::Pong(payload))) => self.pong(&payload).await,
            Some(Ok(Message::Text(text))) => match nc::read_from_client(&text) {
                Ok(FromClient::TokenRefresh(token)) => self.take_token(&token).await,
                _ if self.check.is_none() => Ok(()), // who listens has nothing else to say
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
        self.ask_for_confirmation();
        self.flush().await
    }

    /// Well within the lifetime that each check renews.
    fn check_interval(&self) -> Duration {
        let offered = self.check.as_ref().map_or(u32::MAX, |check| check.offered_seconds);
        let most = Duration::from_secs(offered.into()) / 2;
        Duration::from_secs(self.delivery.limits.conn_check_seconds).min(most).max(Duration::from_secs(1))
    }

    /// A client that has not answered the last check by now is taken for gone: its socket is closed, not its channel.
    fn send_check(&mut self) -> Result<(), Over> {
        let interval = self.check_interval();
        let Some(check) = &mut self.check else { return Ok(()) };
        if std::mem::replace(&mut check.unanswered, true) {
            return Err(Close::Unanswered.into());
        }
        let check = nc::conn_check(interval.as_secs(), check.offered_seconds, check.format);
        self.socket.add_text(&check);
        Ok(())
    }

    /// A connAck that answers a check starts the lifetime again, as the check offered.
    async fn take_ack(&mut self) -> Result<(), Over> {
        let Some(check) = self.check.as_mut().filter(|check| check.unanswered) else { return Ok(()) };
        check.unanswered = false;
        let offered = check.offered_seconds;
        let (database, channel) = (&self.delivery.database, &self.feed.connection().channel);
        match channels::refresh(database, channel, Some(offered)).await {
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
            Ok(seconds) => {
                self.socket.add_text(&nc::conn_ack(seconds, format));
                self.flush().await
            }
            Err(Error::NotFound { .. }) => Err(Close::Expired.into()),
            Err(fault) => {
                warn!("a connCheck stays without answer: {fault}");
                Ok(())
            }
        }
    }

    /// Sends what was added. A client that does not take it in time is disconnected; meanwhile its queue may overflow,
    /// which costs it a read of the log and nobody anything else.
    async fn flush(&mut self) -> Result<(), Over> {
        let stall = self.stall();
        let mut sent = pin!(self.socket.flush());
        if let Ok(sent) = timeout(PROMPT, sent.as_mut()).await {
            return sent.map_err(|_| Over::Gone);
        }
        self.delivery.metrics.socket_stalls.inc();
        let _stalled = Counted::new(&self.delivery.metrics.sockets_stalled);
        match timeout(stall, sent).await {
            Ok(sent) => sent.map_err(|_| Over::Gone),
            Err(_) => Err(Close::Stalled.into()),
        }
    }

    /// Closes, with the position in the reason from which nothing is lost, and hears the last Pongs.
    async fn close(&mut self, close: Close) {
        self.feed.disconnect();
        let (code, reason) = close.code_and_reason();
        let reason = match self.feed.restart_at() {
            Some(at) if self.check.is_some() => format!("{reason}; restartToken={}", token(at)),
            Some(at) => format!("{reason}; since={}", token(at)),
            None => reason.to_owned(),
        };
        let frame = CloseFrame { code, reason: reason.into() };
        let _ = timeout(CLOSE_PATIENCE, async {
            self.socket.close(frame).await.ok()?;
            while let Some(Ok(message)) = self.socket.next().await {
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
