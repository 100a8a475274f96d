//! Who writes: one INSERT per transaction, each writer on a connection of its own, with a prepared statement; or one
//! message published by HTTP, where there is no database. All
//! writers that are flat out share one thread, so that they leave the processor to those who are measured.

use std::net::SocketAddr;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, Statement};

use crate::field::connect;
use crate::nchan::Publisher;

/// Time that is left to connect before anything is counted.
pub const CONNECTING: Duration = Duration::from_millis(500);

const SENDER: &str = "tel:+15550001111";
const BODY: &str = "Shall we meet at the usual place tomorrow at noon? I'll bring the drawings.";

/// Where to write.
#[derive(Debug, Clone)]
pub enum Target {
    /// Into a database.
    Sql {
        /// Which one.
        config: Box<Config>,
        /// The statement: box, sender, recipient, body, or the first few of them; returns the id.
        insert: &'static str,
    },
    /// To Nchan.
    Nchan {
        /// Where it listens.
        address: SocketAddr,
    },
}

/// What to write.
pub struct Job {
    /// Where.
    pub target: Target,
    /// To which boxes, at random.
    pub boxes: Vec<String>,
    /// Until when.
    pub until: Instant,
}

/// A message that is in the database.
#[derive(Debug, Clone, Copy)]
pub struct Insert {
    /// Its id.
    pub id: i64,
    /// Which of the job's boxes it went to.
    pub to: usize,
    /// When the INSERT was sent.
    pub sent: Instant,
    /// When we knew that it is committed.
    pub committed: Instant,
}

/// Writes as fast as it goes.
pub fn flat_out(job: &Job, writers: u32) -> anyhow::Result<Vec<Insert>> {
    runtime()?.block_on(async {
        let connecting = (0..writers).map(|number| Writer::connect(job, number));
        let mut writers = futures_util::future::try_join_all(connecting).await?;
        let writing = writers.iter_mut().map(async |writer| {
            let mut inserts = Vec::new();
            while Instant::now() < job.until {
                inserts.push(writer.insert(&job.boxes).await?);
            }
            anyhow::Ok(inserts)
        });
        Ok(futures_util::future::try_join_all(writing).await?.concat())
    })
}

/// Writes so many per second over so many connections, at scheduled times: a late one does not move the schedule. A
/// connection that cannot keep up sends the next one as soon as it can.
pub fn paced(job: &Job, per_second: u32, writers: u32) -> anyhow::Result<Vec<Insert>> {
    let pause = Duration::from_secs(1) / per_second.max(1);
    let start = Instant::now() + CONNECTING;
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..writers)
            .map(|number| {
                scope.spawn(move || {
                    let runtime = runtime()?;
                    let mut writer = runtime.block_on(Writer::connect(job, number))?;
                    let mut inserts = Vec::new();
                    let mut next = start + pause * number;
                    while next.max(Instant::now()) < job.until {
                        sleep(next.saturating_duration_since(Instant::now())); // finer than the runtime's timers
                        inserts.push(runtime.block_on(writer.insert(&job.boxes))?);
                        next += pause * writers;
                    }
                    anyhow::Ok(inserts)
                })
            })
            .collect();
        let mut all = Vec::new();
        for thread in threads {
            all.extend(thread.join().map_err(|_| anyhow!("a writer panicked"))??);
        }
        Ok(all)
    })
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

struct Writer {
    connection: Connection,
    dice: u64,
}

enum Connection {
    Sql {
        client: Client,
        statement: Statement,
    },
    Nchan {
        publisher: Publisher,
        /// The last message's: there is no database that gives them.
        id: i64,
    },
}

impl Writer {
    async fn connect(job: &Job, number: u32) -> anyhow::Result<Self> {
        let connection = match &job.target {
            Target::Sql { config, insert } => {
                let client = connect(config).await?;
                client.batch_execute("set synchronous_commit = on").await?;
                let statement = client.prepare(insert).await?;
                Connection::Sql { client, statement }
            }
            Target::Nchan { address } => {
                Connection::Nchan { publisher: Publisher::connect(*address).await?, id: i64::from(number) * 10_000_000 }
            }
        };
        Ok(Writer { connection, dice: u64::from(number) + 1 })
    }

    async fn insert(&mut self, boxes: &[String]) -> anyhow::Result<Insert> {
        // Good enough to make writers meet in a box by chance, and the same in every run.
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let number = (self.dice >> 33) as usize % boxes.len();
        let to = &boxes[number];
        let sent = Instant::now();
        let id = match &mut self.connection {
            Connection::Sql { client, statement } => {
                let values: [&(dyn ToSql + Sync); 4] = [to, &SENDER, to, &BODY];
                client.query_one(statement, &values[..statement.params().len()]).await?.get(0)
            }
            Connection::Nchan { publisher, id } => {
                *id += 1;
                publisher.publish(to, *id).await?;
                *id
            }
        };
        Ok(Insert { id, to: number, sent, committed: Instant::now() })
    }
}
