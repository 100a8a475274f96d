//! Who keeps a listener's channel, subscriptions and socket.

use std::future::pending;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::sequence::{Sequence, Taken};
use super::{Happening, Listen};
use crate::base::backoff::Backoff;
use crate::client::{Channel, Client, Error, EventList, Frame, NotificationList, Result, Socket, Subscription, Wish};

/// The pause before connecting again, at first and at most.
const PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(5)];
/// After which an open socket counts as a success: one that is closed at once must not be opened at once.
const OPEN_LONG: Duration = Duration::from_secs(5);
const CHECK_EVERY_MOST: Duration = Duration::from_secs(30);
const CHECK_EVERY_LEAST: Duration = Duration::from_secs(1);
/// How long before a token expires a newer one is asked for.
const TOKEN_AHEAD: Duration = Duration::from_secs(60);
/// How soon another one is asked for after one was refused.
const TOKEN_AGAIN: Duration = Duration::from_secs(5);
/// Close codes after which coming back would only do harm: another connection has taken over, or it is no longer allowed.
const ENDS: [u16; 2] = [SUPERSEDED, 4007];
const SUPERSEDED: u16 = 4001;
/// Of a request for a subscription, to whom no repetition helps.
const HOPELESS: [u16; 3] = [400, 403, 404];

/// A subscription, and how far it has come.
struct Followed {
    wish: Wish,
    made: Subscription,
    sequence: Sequence,
    prolong_at: Instant,
}

impl Followed {
    fn new(wish: Wish, made: Subscription) -> Self {
        let mut followed =
            Followed { wish, sequence: Sequence::from(0), prolong_at: Instant::now(), made: made.clone() };
        followed.adopt(made);
        followed
    }

    /// The subscription is this one, and goes on at its index.
    fn adopt(&mut self, made: Subscription) {
        self.wish.restart_token.get_or_insert_with(|| made.restart_token.clone());
        self.sequence = Sequence::from(made.index);
        self.prolong_at = prolong_at(&made);
        self.made = made;
    }

    /// Goes on where we are: in the subscription, if it is there.
    async fn look(&mut self, client: &Client, channel: &Channel) -> Result<()> {
        match client.subscription(&self.made.resource_url).await? {
            Some(found) if self.sequence.must_rewind(found.index) => self.rewind(client, channel).await,
            Some(_) => Ok(()),
            None => self.make(client, channel).await,
        }
    }

    async fn make(&mut self, client: &Client, channel: &Channel) -> Result<()> {
        let made = client.subscribe(channel, &self.wish).await?;
        self.adopt(made);
        Ok(())
    }

    /// Has the server begin again after what has come. Indexes go on, so what is under way is dropped as seen.
    async fn rewind(&mut self, client: &Client, channel: &Channel) -> Result<()> {
        let place = self.wish.restart_token.as_deref().unwrap_or(&self.made.restart_token);
        match client.rewind(&self.made.resource_url, place).await? {
            Some(made) => {
                self.adopt(made);
                Ok(())
            }
            None => self.make(client, channel).await,
        }
    }

    async fn prolong(&mut self, client: &Client, channel: &Channel) -> Result<()> {
        match client.prolong(&self.made.resource_url, self.wish.duration).await? {
            Some(made) => {
                self.prolong_at = prolong_at(&made);
                Ok(())
            }
            None => self.make(client, channel).await,
        }
    }
}

fn prolong_at(made: &Subscription) -> Instant {
    Instant::now() + Duration::from_secs(made.duration_seconds.max(2).into()) / 2
}

/// What is due on an open socket, and when.
struct Timers {
    check: Instant,
    /// The last check is not answered yet.
    unanswered: bool,
    /// A newer token is to be brought.
    refresh: Option<Instant>,
}

impl Timers {
    fn refresh_before(&mut self, expires_in: Option<Duration>) {
        let wait = expires_in.map(|left| (left / 2).max(left.saturating_sub(TOKEN_AHEAD)).max(Duration::from_secs(1)));
        self.refresh = wait.and_then(|wait| Instant::now().checked_add(wait));
    }
}

/// The task of a listener.
pub(super) struct Follower {
    client: Client,
    listen: Listen,
    channel: Channel,
    followed: Vec<Followed>,
    out: mpsc::Sender<Result<NotificationList>>,
}

impl Follower {
    /// Makes the channel and its subscriptions, all or nothing.
    pub(super) async fn begin(
        client: Client,
        listen: Listen,
        out: mpsc::Sender<Result<NotificationList>>,
    ) -> Result<Self> {
        let channel = client.create_channel(&listen.user, listen.lifetime).await?;
        let mut follower = Follower { client, listen, channel, followed: Vec::new(), out };
        for wish in std::mem::take(&mut follower.listen.wishes) {
            match follower.client.subscribe(&follower.channel, &wish).await {
                Ok(made) => follower.followed.push(Followed::new(wish, made)),
                Err(fault) => {
                    let _ = follower.end().await; // the first fault is the one to tell
                    return Err(fault);
                }
            }
        }
        Ok(follower)
    }

    /// Follows until it is stopped, or all has ended.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let over = match stop.run_until_cancelled(self.follow()).await {
            Some(fault) => {
                if fault.status() != Some(SUPERSEDED) {
                    let _ = self.end().await; // it is over in any case
                }
                Err(fault)
            }
            None => self.end().await,
        };
        if let Err(fault) = over {
            let _ = self.out.send(Err(fault)).await; // unless nobody listens any more
        }
    }

    /// Removes the channel and its subscriptions.
    async fn end(&self) -> Result<()> {
        for one in &self.followed {
            self.client.delete(&one.made.resource_url).await?;
        }
        self.client.delete(&self.channel.resource_url).await.map(drop)
    }

    fn tell(&self, happening: Happening<'_>) {
        (self.listen.told)(happening);
    }

    /// Goes on through everything; why it cannot.
    async fn follow(&mut self) -> Error {
        let mut backoff = Backoff::new(PAUSES[0], PAUSES[1]);
        let subscribes = !self.followed.is_empty();
        loop {
            self.tell(Happening::Connecting);
            let began = Instant::now();
            let fault = match self.follow_once().await {
                Ok(never) => match never {},
                Err(fault) => fault,
            };
            if (subscribes && self.followed.is_empty()) || fault.status().is_some_and(|status| ENDS.contains(&status)) {
                return fault;
            }
            self.tell(Happening::Problem(&fault));
            if began.elapsed() > OPEN_LONG {
                backoff.reset();
            }
            sleep(backoff.scattered_delay()).await;
        }
    }

    /// One socket, from its opening to its end.
    async fn follow_once(&mut self) -> Result<std::convert::Infallible> {
        self.look().await?;
        let mut socket = self.client.open(&self.channel).await?;
        self.tell(Happening::Open);
        let mut timers = Timers { check: Instant::now(), unanswered: false, refresh: None };
        timers.refresh_before(socket.token_lasts());
        loop {
            tokio::select! {
                frame = socket.next() => self.hear(frame?, &mut socket, &mut timers).await?,
                () = sleep_until(self.due(&timers)) => self.act(&mut socket, &mut timers).await?,
            }
        }
    }

    /// Sees that the channel and the subscriptions are there; those of a channel that is gone went with it.
    async fn look(&mut self) -> Result<()> {
        let found = self.client.channel(&self.channel.resource_url).await?;
        let anew = found.is_none();
        self.channel = match found {
            Some(channel) => channel,
            None => self.client.create_channel(&self.listen.user, self.listen.lifetime).await?,
        };
        let mut place = 0;
        while let Some(one) = self.followed.get_mut(place) {
            let outcome = match anew {
                true => one.make(&self.client, &self.channel).await,
                false => one.look(&self.client, &self.channel).await,
            };
            if self.keep(place, outcome).await? {
                place += 1;
            }
        }
        Ok(())
    }

    /// Keeps a subscription, unless it can be had no more: then it must not keep the others.
    async fn keep(&mut self, place: usize, outcome: Result<()>) -> Result<bool> {
        match outcome {
            Ok(()) => Ok(true),
            Err(fault) if fault.status().is_some_and(|status| HOPELESS.contains(&status)) => {
                self.followed.remove(place);
                if self.followed.is_empty() {
                    return Err(fault);
                }
                let _ = self.out.send(Err(fault)).await; // unless nobody listens any more
                Ok(false)
            }
            Err(fault) => Err(fault),
        }
    }

    /// When something is due next.
    fn due(&self, timers: &Timers) -> Instant {
        let prolongings = self.followed.iter().map(|one| one.prolong_at);
        prolongings.chain(timers.refresh).fold(timers.check, Instant::min)
    }

    /// Does what is due.
    async fn act(&mut self, socket: &mut Socket, timers: &mut Timers) -> Result<()> {
        let now = Instant::now();
        if timers.check <= now {
            if std::mem::replace(&mut timers.unanswered, true) {
                return Err(self.client.lost("a check of the connection is not answered".to_owned()));
            }
            timers.check = now + self.check_every();
            socket.check().await?;
        }
        if timers.refresh.take_if(|at| *at <= now).is_some() {
            self.refresh(socket, timers).await?;
        }
        while let Some(place) = self.followed.iter().position(|one| one.prolong_at <= now) {
            let prolonged = self.followed[place].prolong(&self.client, &self.channel).await;
            self.keep(place, prolonged).await?;
        }
        Ok(())
    }

    fn check_every(&self) -> Duration {
        let third = Duration::from_secs(self.channel.lifetime_seconds.into()) / 3;
        self.listen.check_every.unwrap_or(third.min(CHECK_EVERY_MOST)).max(CHECK_EVERY_LEAST)
    }

    async fn refresh(&self, socket: &mut Socket, timers: &mut Timers) -> Result<()> {
        match self.client.token.now().await {
            Ok(Some(token)) => socket.refresh(&token).await,
            Ok(None) => Ok(()),
            Err(fault) => {
                self.refused(&fault, timers);
                Ok(())
            }
        }
    }

    /// The socket goes on with the token that it has; if there is no better one until that expires, it ends.
    fn refused(&self, fault: &Error, timers: &mut Timers) {
        self.tell(Happening::Problem(fault));
        timers.refresh = Some(Instant::now() + TOKEN_AGAIN);
    }

    async fn hear(&mut self, frame: Frame, socket: &mut Socket, timers: &mut Timers) -> Result<()> {
        timers.unanswered = false; // whatever came, the connection lives
        match frame {
            Frame::List(list) => return self.take(list, socket, timers).await,
            Frame::Answered => {}
            Frame::Check => return socket.answer().await,
            Frame::TokenRefreshed(left) => timers.refresh_before(Some(left)),
            Frame::TokenRefused(why) => {
                let text = format!("the token is not renewed: {why}");
                self.refused(&Error::Refused { status: 401, code: None, text }, timers);
            }
            Frame::Closed(code, reason) if ENDS.contains(&code) => {
                return Err(Error::Refused { status: code, code: None, text: reason });
            }
            Frame::Closed(code, reason) => {
                return Err(self.client.lost(format!("the server closed the connection ({code} {reason})")));
            }
        }
        Ok(())
    }

    /// Hands on what is new of a list, and has what is missing come again.
    async fn take(&mut self, mut list: NotificationList, socket: &mut Socket, timers: &mut Timers) -> Result<()> {
        list.notifications.retain(|one| one.events.as_ref().is_none_or(|events| self.is_new(events)));
        if !list.notifications.is_empty() {
            self.hand_on(list, socket, timers).await?;
        }
        while let Some(place) = self.followed.iter().position(|one| one.sequence.is_behind()) {
            let rewound = self.followed[place].rewind(&self.client, &self.channel).await;
            self.keep(place, rewound).await?;
        }
        Ok(())
    }

    /// Whether a list is the next one of its subscription; so are none of one that was made anew meanwhile.
    fn is_new(&mut self, events: &EventList) -> bool {
        let Some(url) = events.subscription().map(|url| self.client.here(url)) else { return false };
        let of = |one: &&mut Followed| self.client.here(&one.made.resource_url) == url;
        let Some(one) = self.followed.iter_mut().find(of) else { return false };
        match one.sequence.take(events.index) {
            Taken::New => {
                one.wish.restart_token = Some(events.restart_token.clone());
                true
            }
            Taken::Dropped => false,
            Taken::Gap { expected } => {
                self.tell(Happening::Gap { expected, got: events.index });
                false
            }
        }
    }

    /// Waits until there is room, and keeps the channel meanwhile.
    async fn hand_on(&mut self, list: NotificationList, socket: &mut Socket, timers: &mut Timers) -> Result<()> {
        loop {
            tokio::select! {
                room = self.out.reserve() => {
                    match room {
                        Ok(room) => room.send(Ok(list)),
                        Err(_) => pending().await, // nobody listens any more: we are about to be dropped
                    }
                    return Ok(());
                }
                // Nothing is read meanwhile, answers neither.
                () = sleep_until(timers.check) => {
                    timers.check = Instant::now() + self.check_every();
                    socket.check().await?;
                }
            }
        }
    }
}
