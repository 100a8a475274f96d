//! Those who write, in every way there is to write, and who remember what became of it.

mod prepared;
mod shape;
mod work;

use std::sync::Arc;

use rand::rngs::StdRng;
use tokio::time::sleep;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Error};

use self::prepared::Prepared;
use self::shape::{End, Fate, Shape};
use self::work::{Own, Work};
use super::evidence::{Outcome, Transaction};
use super::plan::pause;
use super::world::World;

/// Attempts at a transaction that is refused with 40001 or 40P01.
const ATTEMPTS: u32 = 6;
/// Own objects remembered, to be changed and deleted.
const OWN_MAX: usize = 60;

/// What a writer hands over at the end.
#[derive(Debug, Default)]
pub struct Journal {
    pub transactions: Vec<Transaction>,
    /// What should not have happened to a writer.
    pub faults: Vec<String>,
    /// Transactions refused with 40001, and with 40P01.
    pub refused: (u64, u64),
    /// Transactions that went through two phases.
    pub prepared: u64,
}

impl Journal {
    /// Another writer's, too.
    pub fn add(&mut self, other: Journal) {
        self.transactions.extend(other.transactions);
        self.faults.extend(other.faults);
        self.refused = (self.refused.0 + other.refused.0, self.refused.1 + other.refused.1);
        self.prepared += other.prepared;
    }
}

pub struct Writer {
    world: Arc<World>,
    name: String,
    chance: StdRng,
    /// Texts given so far: each is given once.
    texts: u64,
    own: Vec<Own>,
    journal: Journal,
    /// Between PREPARE TRANSACTION and its end.
    prepared: Option<Prepared>,
}

/// The connection is gone.
struct Lost;

impl Writer {
    pub fn new(world: Arc<World>, number: usize) -> Writer {
        let name = format!("w{number}");
        let chance = world.plan.chance(&name);
        Writer { world, name, chance, texts: 0, own: Vec::new(), journal: Journal::default(), prepared: None }
    }

    /// Writes until nobody is to write any more.
    pub async fn run(mut self) -> Journal {
        while self.world.running() || self.prepared.is_some() {
            let client = self.world.connect("writer").await;
            // Unsorted statements deadlock on purpose: not to wait a second each time.
            if client.batch_execute("set deadlock_timeout = '50ms'").await.is_err() {
                continue;
            }
            let _ = self.write_until_lost(&client).await;
        }
        self.journal
    }

    async fn write_until_lost(&mut self, client: &Client) -> Result<(), Lost> {
        self.end_prepared(client).await?;
        while self.world.running() {
            self.transaction(client).await?;
            sleep(pause(&mut self.chance)).await;
        }
        Ok(())
    }

    /// One transaction, as often as it takes.
    async fn transaction(&mut self, client: &Client) -> Result<(), Lost> {
        let shape = Shape::choose(&mut self.chance);
        for _ in 0..ATTEMPTS {
            let mut work = Work::new(format!("{} ({shape})", self.name));
            let written = self.write(client, &shape, &mut work).await;
            let ended = match written {
                Ok(()) => self.end(client, &shape, work).await,
                Err(fault) => Err((fault, work, Outcome::RolledBack)),
            };
            let Err((fault, work, outcome)) = ended else {
                // What could not be ended is found again on another connection.
                return if self.prepared.is_some() { Err(Lost) } else { Ok(()) };
            };
            if is_lost(client, &fault) {
                self.remember(work, outcome);
                return Err(Lost);
            }
            self.remember(work, Outcome::RolledBack);
            client.batch_execute("rollback").await.map_err(|_| Lost)?;
            match fault.code() {
                Some(&SqlState::T_R_SERIALIZATION_FAILURE) => self.journal.refused.0 += 1,
                Some(&SqlState::T_R_DEADLOCK_DETECTED) => self.journal.refused.1 += 1,
                _ => {
                    self.journal.faults.push(format!("{} ({shape}): {}", self.name, in_full(&fault)));
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    async fn write(&mut self, client: &Client, shape: &Shape, work: &mut Work) -> Result<(), Error> {
        client.batch_execute(&shape.begin()).await?;
        if shape.early_xid {
            client.query_one("select pg_current_xact_id()::text", &[]).await?;
            sleep(4 * pause(&mut self.chance)).await;
        }
        for (n, step) in shape.steps.iter().enumerate() {
            let mark = work.mark();
            if step.savepoint.is_some() {
                client.batch_execute("savepoint s").await?;
            }
            self.do_deed(client, step.deed, &shape.boxes[n..], shape.sorted, work).await?;
            match step.savepoint {
                None => {}
                Some(Fate::Released) => client.batch_execute("release s").await?,
                Some(Fate::RolledBack) => {
                    client.batch_execute("rollback to savepoint s").await?;
                    work.back_to(mark);
                }
            }
            sleep(pause(&mut self.chance)).await;
        }
        Ok(())
    }

    /// Ends the transaction as it was meant to end. An error comes with what is known of the outcome.
    async fn end(&mut self, client: &Client, shape: &Shape, work: Work) -> Result<(), (Error, Work, Outcome)> {
        match shape.end {
            End::Commit => {
                let world = self.world.clone();
                let _committing = world.commits.read().await;
                // When the connection broke before, nothing was sent, and so nothing committed.
                let outcome = if client.is_closed() { Outcome::RolledBack } else { Outcome::Unknown };
                match client.batch_execute("commit").await {
                    Ok(()) => self.remember(work, Outcome::Committed),
                    Err(fault) => return Err((fault, work, outcome)),
                }
            }
            End::Rollback => match client.batch_execute("rollback").await {
                Ok(()) => self.remember(work, Outcome::RolledBack),
                Err(fault) => return Err((fault, work, Outcome::RolledBack)),
            },
            End::Prepare { commit } => return self.prepare(client, work, commit).await,
        }
        Ok(())
    }

    /// What became of a transaction; own objects follow.
    fn remember(&mut self, work: Work, outcome: Outcome) {
        if outcome == Outcome::Committed {
            self.own.extend(work.made);
        }
        if outcome != Outcome::RolledBack {
            self.own.retain(|own| !work.gone.contains(&own.id));
            let most = self.own.len().saturating_sub(OWN_MAX);
            self.own.drain(..most);
        }
        if !work.writes.is_empty() || !work.undone.is_empty() {
            let (writes, undone) = (work.writes, work.undone);
            self.journal.transactions.push(Transaction { name: work.name, outcome, writes, undone });
        }
    }

    fn text(&mut self) -> String {
        self.texts += 1;
        format!("{}-{}", self.name, self.texts)
    }
}

/// Whether Postgres or the connection to it is gone, rather than the statement refused.
fn is_lost(client: &Client, fault: &Error) -> bool {
    let ending = [SqlState::ADMIN_SHUTDOWN, SqlState::CRASH_SHUTDOWN, SqlState::CANNOT_CONNECT_NOW];
    client.is_closed() || fault.code().is_none_or(|code| ending.contains(code))
}

fn in_full(fault: &Error) -> String {
    match fault.as_db_error() {
        Some(db) => format!("{} {} {}", db.code().code(), db.message(), db.where_().unwrap_or_default()),
        None => fault.to_string(),
    }
}
