//! Going to sleep and being rung: the node's half of the doorbell (the writer's half is `sql/functions/ring.sql`).
//!
//! There is one key. A node that is about to sleep asks for it exclusively; writers try it shared, and ring when they
//! fail, which they do while somebody holds the key or stands in the queue for it. A writer that succeeded, and so
//! wrote without ringing, stands in the queue's way until it has committed. So a node may sleep once it has the key
//! and has read the log once more: nothing can have escaped it. It may also sleep when another node has the key while
//! it stands in the queue itself: that the other one was granted it proves that every writer who did not ring has
//! committed, and from then on writers ring for both; when the other one wakes, the key passes on to the next in the
//! queue, and no writer gets in between.
//!
//! A node must never wait for the key alone, since one idle transaction can withhold it for hours: so the key is asked
//! for on a connection of its own ([`Key`]), while rings are heard on the other ([`Ears`]).

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::bail;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, sleep};
use tokio_postgres::{Client, Notification};
use tracing::{debug, warn};

use super::event::Event;
use super::rows;
use crate::base::Result;
use crate::base::metrics::Metrics;
use crate::lifecycle::Attendant;
use crate::postgres::{Connection, Database};

/// Asks for the key: class 'tocs' in ASCII, the same as in sql/functions/ring.sql.
const LOCK: &str = "select pg_advisory_lock(1953456499, 1) is not null";
/// Gives it back.
const UNLOCK: &str = "select pg_advisory_unlock(1953456499, 1)";

/// How often a node that sleeps measures how long a ring takes.
const PROBE_EVERY: Duration = Duration::from_secs(10);
/// How long our own ring may take to come back.
const PROBE_PATIENCE: Duration = Duration::from_secs(3);

/// What arrives on the connection that listens.
pub struct Ears {
    notifications: Receiver<Notification>,
    probe: Arc<Probe>,
}

/// Rings that were heard at once.
#[derive(Debug, Default)]
pub struct Rung {
    /// How many.
    pub rings: u32,
    /// The copies of events that they carry.
    pub copies: Vec<Event>,
}

impl Rung {
    fn add(&mut self, notification: &Notification, probe: &Probe) {
        if probe.is_heard(notification) {
            return;
        }
        self.rings += 1;
        self.copies.extend(rows::ring_copy(notification.payload()));
    }
}

impl Ears {
    /// On a connection that listens to the doorbell and to [`Probe::channel`].
    pub fn new(notifications: Receiver<Notification>, probe: Arc<Probe>) -> Self {
        Ears { notifications, probe }
    }

    /// Waits for a ring, and takes all that have come by then. `None` when the connection is lost.
    pub async fn rung(&mut self) -> Option<Rung> {
        let mut rung = Rung::default();
        while rung.rings == 0 {
            rung.add(&self.notifications.recv().await?, &self.probe);
            while let Ok(more) = self.notifications.try_recv() {
                rung.add(&more, &self.probe);
            }
        }
        Some(rung)
    }

    /// Sends a NOTIFY of our own and waits for it. `false` when it is not heard in time: something between us and
    /// Postgres, a transaction pooler for example, swallows notifications.
    pub async fn probe(&mut self, database: &Database) -> anyhow::Result<bool> {
        self.probe.send(database).await?;
        let heard = async {
            while let Some(notification) = self.notifications.recv().await {
                if self.probe.is_heard(&notification) {
                    return true;
                }
            }
            false
        };
        Ok(tokio::time::timeout(PROBE_PATIENCE, heard).await.unwrap_or(false))
    }
}

/// Measures how long a NOTIFY takes, there and back. It goes to a channel that only this node listens to, on the
/// connection that hears the doorbell: so it is no ring for anybody, and makes no node read the log.
pub struct Probe {
    channel: String,
    /// Its number, and when it was sent; `None` when none is expected.
    under_way: Mutex<Option<(u64, Instant)>>,
    metrics: Arc<Metrics>,
}

impl Probe {
    /// For one connection that listens.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        let channel = format!("tocsin_probe_{}", uuid::Uuid::new_v4().simple());
        Probe { channel, under_way: Mutex::default(), metrics }
    }

    /// To be listened to. It needs no quoting.
    pub fn channel(&self) -> &str {
        &self.channel
    }

    /// Sends one from time to time, while the node sleeps.
    pub async fn keep_sending(&self, database: &Database, asleep: impl Fn() -> bool) -> Infallible {
        loop {
            sleep(PROBE_EVERY).await;
            if !asleep() {
                continue;
            }
            if let Err(fault) = self.send(database).await {
                debug!("the doorbell cannot be measured: {fault}");
                self.forget();
            }
            sleep(PROBE_PATIENCE).await;
            if self.forget() {
                warn!("our own NOTIFY did not come back within {PROBE_PATIENCE:?}");
                self.count("lost");
            }
        }
    }

    async fn send(&self, database: &Database) -> Result<()> {
        // From the pool: a NOTIFY takes a transaction id, which the listening connection must never hold.
        let client = database.get().await?;
        let number = rand::random::<u64>();
        *self.under_way.lock().unwrap_or_else(PoisonError::into_inner) = Some((number, Instant::now()));
        client.execute("select pg_notify($1, $2)", &[&self.channel, &number.to_string()]).await?;
        Ok(())
    }

    /// Nothing is expected any more: the node wakes and hears no bell for a while. Answers whether something was.
    pub fn forget(&self) -> bool {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner).take().is_some()
    }

    /// Whether this is one of ours; then it is measured, if it is the one expected.
    fn is_heard(&self, notification: &Notification) -> bool {
        if notification.channel() != self.channel {
            return false;
        }
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, sent_at)) = under_way.take_if(|(number, _)| number.to_string() == notification.payload()) {
            self.metrics.doorbell_round_trip.set(sent_at.elapsed().as_secs_f64());
            self.count("heard");
        }
        true
    }

    fn count(&self, outcome: &'static str) {
        self.metrics.doorbell_probes.get_or_create(&[("outcome", outcome)]).inc();
    }
}

/// The connection that asks for the key and holds it. It never writes.
pub struct Key {
    client: Arc<Client>,
    /// Its process on the server: what the queue for the key knows us by.
    pub pid: i32,
    notifications: Receiver<Notification>,
    request: Option<BoxFuture<'static, anyhow::Result<bool>>>,
    held: bool,
    _attendant: Attendant,
}

impl Key {
    /// Connects.
    pub async fn open(database: &Database) -> anyhow::Result<Self> {
        let Connection { client, notifications, attendant } = database.connect("keys").await?;
        // Should we vanish while we stand in the queue, let Postgres notice. (Not on every platform.)
        let _ = client.batch_execute("set client_connection_check_interval = '2s'").await;
        let pid = client.query_one("select pg_backend_pid()", &[]).await?.get(0);
        Ok(Key { client: Arc::new(client), pid, notifications, request: None, held: false, _attendant: attendant })
    }

    /// Gets into the queue, if we are not there yet. ([`Key::changed`] must be awaited for it to happen.)
    pub fn ask(&mut self) {
        if !self.held && self.request.is_none() {
            let client = self.client.clone();
            self.request = Some(async move { yes(&client, LOCK).await }.boxed());
        }
    }

    /// Resolves when the key that was asked for is granted; an error when the connection is lost, and nobody rings for
    /// us any more.
    pub async fn changed(&mut self) -> anyhow::Result<()> {
        let granted = async {
            match &mut self.request {
                Some(request) => request.await,
                None => std::future::pending().await,
            }
        };
        let lost = async { while self.notifications.recv().await.is_some() {} };
        tokio::select! {
            granted = granted => granted?,
            () = lost => bail!("the connection that holds the doorbell's key is lost"),
        };
        self.request = None;
        self.held = true;
        Ok(())
    }

    /// Wakes up: from now on writers need not ring for us. A key that is still asked for is given back when it comes,
    /// see [`Key::refuse`].
    pub async fn give_back(&mut self) -> anyhow::Result<()> {
        if self.held && !yes(&self.client, UNLOCK).await? {
            bail!("the doorbell's key was lost");
        }
        self.held = false;
        Ok(())
    }

    /// While awake: gives back a key that was asked for before and comes now.
    pub async fn refuse(&mut self) -> anyhow::Result<()> {
        if let Some(changed) = self.changed().now_or_never() {
            changed?;
            self.give_back().await?;
        }
        Ok(())
    }
}

async fn yes(client: &Client, statement: &str) -> anyhow::Result<bool> {
    Ok(client.query_one(statement, &[]).await?.get(0))
}
