//! A channel with its subscriptions, kept alive: a stream of what they deliver.

mod follow;
mod sequence;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::Stream;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use self::follow::Follower;
use super::{Client, Error, NotificationList, Result, Wish};
use crate::lifecycle::Attendant;

/// Lists that may wait to be read, unless told otherwise. The server sends some 64 KiB in one.
const LISTS_WAITING_MAX: usize = 64;

type Told = Arc<dyn Fn(Happening<'_>) + Send + Sync>;

/// What is listened to, and how.
#[derive(Clone)]
pub struct Listen {
    user: String,
    wishes: Vec<Wish>,
    lifetime: Option<Duration>,
    check_every: Option<Duration>,
    lists_waiting_max: usize,
    told: Told,
}

/// What happens to a listener and is no list.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Happening<'a> {
    /// It sees what is still there, and opens a socket.
    Connecting,
    /// The socket is open.
    Open,
    /// A list was missing; what came after it comes again.
    Gap {
        /// The index of the missing one.
        expected: i64,
        /// The index that came instead.
        got: i64,
    },
    /// Something went wrong, and is tried again.
    Problem(&'a Error),
}

impl Listen {
    /// By a channel of this user, to what is wished.
    pub fn new(user: &str, wishes: impl IntoIterator<Item = Wish>) -> Self {
        Listen {
            user: user.to_owned(),
            wishes: wishes.into_iter().collect(),
            lifetime: None,
            check_every: None,
            lists_waiting_max: LISTS_WAITING_MAX,
            told: Arc::new(|_| {}),
        }
    }

    /// The channel's lifetime, in whole seconds, instead of what the server chooses.
    pub fn lifetime(self, lifetime: Duration) -> Self {
        Listen { lifetime: Some(lifetime), ..self }
    }

    /// How often the connection is checked: a third of the lifetime unless told, at most 30 seconds.
    pub fn check_every(self, every: Duration) -> Self {
        Listen { check_every: Some(every), ..self }
    }

    /// How many lists may wait to be read, at least one. When there are more, the server has to wait.
    pub fn lists_waiting_max(self, most: usize) -> Self {
        Listen { lists_waiting_max: most.max(1), ..self }
    }

    /// Who is told of what happens besides. It must not block.
    pub fn told(self, told: impl Fn(Happening<'_>) + Send + Sync + 'static) -> Self {
        Listen { told: Arc::new(told), ..self }
    }
}

impl fmt::Debug for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listen").field("user", &self.user).field("wishes", &self.wishes).finish_non_exhaustive()
    }
}

/// A stream of what the subscriptions of a channel deliver; see [`Client::listen`].
///
/// * **Once and in order.** The lists of a subscription are numbered. One that comes twice is dropped; one that is missing is
///   noticed, and the subscription begins again after what has come.
/// * **Through everything.** A broken socket is opened again, after 0.1 to 5 seconds, half of it by chance. A channel or a
///   subscription that is gone meanwhile is made anew, and goes on after the last list that came. So does a token that
///   expires: a newer one is asked for a minute before, and brought over the socket.
/// * **As fast as it is read.** What is not read waits on the server.
/// * **Alive.** A connCheck prolongs the channel; one without an answer until the next counts as a broken connection.
///   Subscriptions are prolonged when half their time is over.
/// * **To the end.** An error is final for what it is of: a subscription that is refused ends, and the stream with the last
///   one; so it does when another connection has taken the channel over (4001), or the user may no longer read (4007).
///
/// Dropped, it leaves the channel to its lifetime; [`Listener::close`] removes it.
#[derive(Debug)]
pub struct Listener {
    lists: mpsc::Receiver<Result<NotificationList>>,
    stop: CancellationToken,
    _following: Attendant,
}

impl Client {
    /// Makes a channel and its subscriptions, and listens to them until all has ended.
    ///
    /// # Errors
    /// What is refused or cannot be reached now. Nothing is left on the server then. Later faults are waited out.
    pub async fn listen(&self, listen: Listen) -> Result<Listener> {
        let (out, lists) = mpsc::channel(listen.lists_waiting_max);
        let stop = CancellationToken::new();
        let follower = Follower::begin(self.clone(), listen, out).await?;
        let following = Attendant::spawn(follower.run(stop.clone()));
        Ok(Listener { lists, stop, _following: following })
    }
}

impl Listener {
    /// Ends the channel and its subscriptions. What has not been read is lost, unless the next one goes on before it.
    ///
    /// # Errors
    /// They could not be ended, and will end with their lifetime.
    pub async fn close(mut self) -> Result<()> {
        self.stop.cancel();
        let mut outcome = Ok(());
        while let Some(list) = self.lists.recv().await {
            outcome = list.map(drop);
        }
        outcome
    }
}

impl Stream for Listener {
    type Item = Result<NotificationList>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.lists.poll_recv(context)
    }
}
