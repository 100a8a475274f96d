//! The task that follows the log: woken by the doorbell or by the slow poll, it reads what became visible since its
//! last snapshot and hands it on.
//!
//! Tailing by snapshot difference returns every committed row exactly once and never waits for a transaction that has
//! not committed: neither `id > last` (which misses late commits) nor `xid < xmin` (which stalls behind them) does.
//! Its one weakness is that transaction ids are used again after a crash of Postgres: so a snapshot never outlives the
//! connection it was taken on. On every new connection a fresh one is taken first, and then everybody is told to
//! [`Sink::resync`]: to bring themselves up to date by seq. The truth is the seq; the tail only says where to look.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU8, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::StreamExt;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, interval_at, sleep, timeout};
use tokio_postgres::{Client, Statement};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::doorbell::{Ears, Key, Probe, Rung};
use super::event::Event;
use super::interest::{Places, Thrift};
use super::rows::{self, Snapshot};
use crate::base::backoff::Backoff;
use crate::base::metrics::Metrics;
use crate::lifecycle::Attendant;
use crate::postgres::{Database, rebuild};

/// The slow poll: how late an event can be when its ring was lost.
const SLOW_POLL: Duration = Duration::from_secs(1);
/// The poll when no ring can be heard at all.
const FAST_POLL: Duration = Duration::from_millis(50);
/// Events handed on at once.
const CHUNK_EVENTS_MAX: usize = 512;
/// No statement of the tail takes so long; one that does has a dead connection under it.
const STALL: Duration = Duration::from_secs(60);

/// Between a copy's delivery and the read that confirms it.
const CONFIRM_PAUSE: Duration = Duration::from_millis(1);
/// In which rings are counted.
const BUSY_WINDOW: Duration = Duration::from_millis(50);
/// So many rings in the window make the node stay awake, whoever rings.
const BUSY_RINGS: u32 = 75;
/// After so many it looks, once in the window, whether writers queue up to ring...
const LOOK_RINGS: u32 = 5;
/// ...and so many in that queue make it stay awake too. A rate alone would not tell: ringing is what limits it, to a
/// few hundred a second on a slow disk. A queue says that writers wait for nothing but each other's rings.
const BUSY_QUEUE: i64 = 2;
/// Pause between two reads while awake: at least this, and at least as long as the read took. Short, for latency;
/// not zero, so that a read returns more than one event and the writers have the processor.
const AWAKE_PAUSE: Duration = Duration::from_millis(1);
/// And no longer than this.
const AWAKE_PAUSE_MAX: Duration = Duration::from_millis(10);
/// When, on the way to sleep, it is first looked whether another node sleeps already.
const LOOK_SOON: Duration = Duration::from_millis(5);
/// And how often after that.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// Reads in a row that find nothing before the node goes to sleep.
const AWAKE_IDLE_READS: u32 = 3;

/// Who wants the events.
pub trait Sink: Send + Sync + 'static {
    /// A read begins. It brings what is in these places, or everything; `leave_out`: the former would be cheaper.
    fn begin_read(&self, leave_out: bool) -> Option<Places>;
    /// Events as they became visible: within a stream in the order of seq. Answers how many somebody wants.
    fn events(&self, batch: Vec<Event>) -> usize;
    /// The read is over.
    fn end_read(&self);
    /// A copy of an event that a ring brought, ahead of the log read that will bring it again.
    fn copy(&self, event: Event);
    /// The tail starts afresh: whatever was missed must be read from the log, by seq.
    fn resync(&self);
}

/// How the node hears of new events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Mode {
    /// Not connected.
    Lost = 0,
    /// Waits to be rung.
    Asleep = 1,
    /// Reads on and on, since events keep coming.
    Awake = 2,
    /// Polls quickly: notifications do not arrive.
    Polling = 3,
}

impl Mode {
    /// Every one.
    pub const ALL: [Mode; 4] = [Mode::Lost, Mode::Asleep, Mode::Awake, Mode::Polling];

    /// As operators are told of it.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Lost => "lost",
            Mode::Asleep => "asleep",
            Mode::Awake => "awake",
            Mode::Polling => "polling",
        }
    }
}

/// What can be seen of the tailer from outside.
#[derive(Debug, Default)]
pub struct Status {
    mode: AtomicU8,
    read_at_ms: AtomicI64,
    metrics: Arc<Metrics>,
}

impl Status {
    /// Nothing was read yet.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Status { metrics, ..Status::default() }
    }

    /// How the node hears of new events.
    pub fn mode(&self) -> Mode {
        match self.mode.load(Ordering::Relaxed) {
            1 => Mode::Asleep,
            2 => Mode::Awake,
            3 => Mode::Polling,
            _ => Mode::Lost,
        }
    }

    /// How long ago the log was last read.
    pub fn age(&self) -> Duration {
        let age = Utc::now().timestamp_millis() - self.read_at_ms.load(Ordering::Relaxed);
        Duration::from_millis(u64::try_from(age).unwrap_or(0))
    }

    /// Events tailed since the start.
    pub fn events(&self) -> u64 {
        self.metrics.log_events.get()
    }

    /// How old the last event was when it was read, by this node's clock.
    pub fn lag(&self) -> Duration {
        Duration::from_secs_f64(self.metrics.log_lag.get())
    }

    /// One read brought so many events, the newest of this moment.
    fn was_read(&self, events: usize, newest: Option<DateTime<Utc>>) {
        let now = Utc::now();
        self.read_at_ms.store(now.timestamp_millis(), Ordering::Relaxed);
        self.metrics.log_reads.inc();
        self.metrics.log_events.inc_by(events as u64);
        let Some(newest) = newest else { return };
        let lag = (now - newest).to_std().unwrap_or_default().as_secs_f64(); // (the clocks may differ)
        self.metrics.log_lag.set(lag);
        self.metrics.log_delays.observe(lag);
        self.metrics.log_last_event.set(newest.timestamp_micros() as f64 / 1e6);
    }

    fn enter(&self, mode: Mode) {
        self.mode.store(mode as u8, Ordering::Relaxed);
    }
}

/// Follows the log until `stop`. Whatever happens to the connections, it connects again.
pub async fn run<S: Sink>(
    database: Database,
    sink: Arc<S>,
    status: Arc<Status>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
    loop {
        let began = Instant::now();
        let outcome = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            outcome = follow(&database, &*sink, &status) => outcome,
        };
        status.enter(Mode::Lost);
        let Err(fault) = outcome;
        if began.elapsed() > Duration::from_secs(10) {
            backoff.reset();
        }
        let pause = backoff.delay();
        warn!("the tail is lost: {fault:#}; again in {pause:?}");
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = sleep(pause) => {}
        }
    }
}

/// What never returns but by an error.
type Forever = Result<std::convert::Infallible, anyhow::Error>;

async fn follow<S: Sink>(database: &Database, sink: &S, status: &Status) -> Forever {
    let probe = Arc::new(Probe::new(status.metrics.clone()));
    let (mut tail, mut ears) = Tail::open(database, sink, status, &probe).await?;
    sink.resync();
    if ears.probe(database).await? {
        let key = Key::open(database).await?;
        return tokio::select! {
            lost = wait_for_rings(&mut tail, &mut ears, key, &probe) => lost,
            never = probe.keep_sending(database, || status.mode() == Mode::Asleep) => match never {},
        };
    }
    warn!(
        "our own NOTIFY did not come back (is a transaction pooler in the way?): \
         reading the log every {FAST_POLL:?} instead of waiting for rings"
    );
    status.enter(Mode::Polling);
    loop {
        tail.read().await?;
        sleep(FAST_POLL).await;
    }
}

/// Sleeps and wakes, for as long as both connections live.
async fn wait_for_rings<S: Sink>(tail: &mut Tail<'_, S>, ears: &mut Ears, mut key: Key, probe: &Probe) -> Forever {
    let mut slow_poll = interval(SLOW_POLL);
    slow_poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tail.status.enter(Mode::Awake); // until it may sleep, which a writer can put off for hours
        fall_asleep(tail, ears, &mut key, &mut slow_poll).await?;
        tail.status.enter(Mode::Asleep);
        let mut rings = Rings::default();
        loop {
            tokio::select! {
                rung = ears.rung() => {
                    let heard = rung.as_ref().map_or(0, |rung| rung.rings);
                    tail.heard(rung).await?;
                    let busy = match rings.count(heard) {
                        Pace::Quiet => false,
                        Pace::Brisk => tail.ringing_writers().await? >= BUSY_QUEUE,
                        Pace::Busy => true,
                    };
                    if busy {
                        break;
                    }
                }
                _ = slow_poll.tick() => tail.read().await.map(drop)?,
                changed = key.changed() => changed?,
            }
        }
        key.give_back().await?;
        tail.status.enter(Mode::Awake);
        probe.forget();
        stay_awake(tail, &mut key).await?;
    }
}

/// Waits for the key, the bell and the slow poll together, until nothing can be written unnoticed; then reads once more.
async fn fall_asleep<S: Sink>(
    tail: &mut Tail<'_, S>,
    ears: &mut Ears,
    key: &mut Key,
    slow_poll: &mut Interval,
) -> anyhow::Result<()> {
    key.ask();
    let mut look = interval_at(Instant::now() + LOOK_SOON, LOOK_AGAIN);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            changed = key.changed() => {
                changed?;
                break;
            }
            _ = look.tick() => {
                if tail.another_sleeps(key.pid).await? {
                    break;
                }
            }
            rung = ears.rung() => tail.heard(rung).await?,
            _ = slow_poll.tick() => tail.read().await.map(drop)?,
        }
    }
    tail.read().await.map(drop)
}

/// Reads on until nothing comes any more.
async fn stay_awake<S: Sink>(tail: &mut Tail<'_, S>, key: &mut Key) -> anyhow::Result<()> {
    let mut idle = 0;
    let mut pause = AWAKE_PAUSE;
    while idle < AWAKE_IDLE_READS {
        sleep(pause).await;
        key.refuse().await?;
        let began = Instant::now();
        idle = if tail.read().await? { 0 } else { idle + 1 };
        pause = began.elapsed().clamp(AWAKE_PAUSE, AWAKE_PAUSE_MAX);
    }
    Ok(())
}

/// How often the bell rings.
enum Pace {
    /// Seldom.
    Quiet,
    /// Often enough to look whether writers queue up.
    Brisk,
    /// So often that being rung costs more than reading on.
    Busy,
}

/// Counts rings.
#[derive(Default)]
struct Rings {
    since: Option<Instant>,
    count: u32,
    looked: bool,
}

impl Rings {
    /// Some more rings: all that came while the log was read.
    fn count(&mut self, heard: u32) -> Pace {
        let now = Instant::now();
        if self.since.is_none_or(|since| now - since > BUSY_WINDOW) {
            *self = Rings { since: Some(now), ..Rings::default() };
        }
        self.count += heard;
        if self.count >= BUSY_RINGS {
            Pace::Busy
        } else if self.count >= LOOK_RINGS && !std::mem::replace(&mut self.looked, true) {
            Pace::Brisk
        } else {
            Pace::Quiet
        }
    }
}

/// The connection that reads, and where it stands.
struct Tail<'a, S> {
    client: Client,
    statement: Statement,
    ringing: Statement,
    sleeping: Statement,
    snapshot: Snapshot,
    thrift: Thrift,
    sink: &'a S,
    status: &'a Status,
    _attendant: Attendant,
}

impl<'a, S: Sink> Tail<'a, S> {
    async fn open(
        database: &Database,
        sink: &'a S,
        status: &'a Status,
        probe: &Arc<Probe>,
    ) -> anyhow::Result<(Self, Ears)> {
        let connection = database.connect("tail").await?;
        let client = connection.client;
        if client.query_one("select pg_is_in_recovery()", &[]).await?.get(0) {
            anyhow::bail!(
                "the database is a standby (in recovery): its log cannot be followed, tocsin needs the primary"
            );
        }
        rebuild::announce_node(&client).await?;
        client.batch_execute(rows::TAIL_SESSION).await?;
        let doorbell: String = client.query_one("select channel from tocsin.doorbell", &[]).await?.get(0);
        client.batch_execute(&format!("listen {doorbell}; listen {}", probe.channel())).await?;
        let statement = rows::prepare_tail(&client).await?;
        let ringing = client.prepare(include_str!("../../sql/queries/count_ringing_writers.sql")).await?;
        let sleeping = client.prepare(include_str!("../../sql/queries/another_node_sleeps.sql")).await?;
        let snapshot = Snapshot::take(&client).await?;
        info!("following the log");
        let thrift = Thrift::default();
        let _attendant = connection.attendant;
        let tail = Tail { client, statement, ringing, sleeping, snapshot, thrift, sink, status, _attendant };
        Ok((tail, Ears::new(connection.notifications, probe.clone())))
    }

    /// After a ring: hands on the copies it brought, then reads the log. When there is a copy for every ring, the read
    /// only confirms them: it lets their frames go first.
    async fn heard(&mut self, rung: Option<Rung>) -> anyhow::Result<()> {
        let Some(rung) = rung else { anyhow::bail!("the connection that listens is lost") };
        self.status.metrics.doorbell_rings.inc_by(rung.rings.into());
        self.status.metrics.doorbell_copies.inc_by(rung.copies.len() as u64);
        let confirms = rung.copies.len() == rung.rings as usize;
        for copy in rung.copies {
            debug!(stream = copy.stream.as_str(), seq = copy.seq, object = copy.object_id, "heard of");
            self.sink.copy(copy);
        }
        if confirms {
            sleep(CONFIRM_PAUSE).await;
        }
        self.read().await.map(drop)
    }

    /// Whether another node sleeps with the key while we (`pid`) stand in the queue for it.
    async fn another_sleeps(&self, pid: i32) -> anyhow::Result<bool> {
        Ok(timeout(STALL, self.client.query_one(&self.sleeping, &[&pid])).await??.get(0))
    }

    /// How many writers wait for their turn to ring.
    async fn ringing_writers(&self) -> anyhow::Result<i64> {
        Ok(timeout(STALL, self.client.query_one(&self.ringing, &[])).await??.get(0))
    }

    /// Hands on what became visible since the last read; answers whether there was any writing.
    async fn read(&mut self) -> anyhow::Result<bool> {
        let places = self.sink.begin_read(self.thrift.leave_out());
        let rows = rows::read_since(&self.client, &self.statement, &self.snapshot, places.as_ref()).await?;
        let mut rows = std::pin::pin!(rows);
        let (mut batch, mut count, mut wanted, mut next, mut newest) = (Vec::new(), 0, 0, None, None);
        while let Some(row) = timeout(STALL, rows.next()).await? {
            let row = row?;
            if next.is_none() {
                next = Some(row.snapshot()?);
            }
            let Some(event) = row.event() else { continue };
            debug!(stream = event.stream.as_str(), seq = event.seq, object = event.object_id, "tailed");
            newest = newest.max(Some(event.edited_at));
            batch.push(event);
            count += 1;
            if batch.len() == CHUNK_EVENTS_MAX {
                wanted += self.sink.events(std::mem::take(&mut batch));
                tokio::task::yield_now().await;
            }
        }
        if !batch.is_empty() {
            wanted += self.sink.events(batch);
        }
        self.sink.end_read();
        if places.is_none() {
            self.thrift.note(count, wanted);
        }
        let next = next.ok_or_else(|| anyhow::anyhow!("the tail returned no snapshot"))?;
        // Of what is left out it is only known that there were transactions. Their writers ring a node that sleeps, though
        // nobody here wants to know.
        let writing = count > 0 || places.is_some() && next.is_later_than(&self.snapshot);
        self.snapshot = next;
        self.status.was_read(count, newest);
        Ok(writing)
    }
}
