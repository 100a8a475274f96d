//! What goes wrong, on purpose.

mod holder;
mod nodes;
mod postgres;

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use tokio::time::{Instant, sleep};

pub use self::holder::Holder;
pub use self::nodes::{LOG, Nodes};

use self::nodes::End;
use super::evidence::Transaction;
use super::world::World;

/// A long run has a crash this often.
const CRASH_EVERY: Duration = Duration::from_secs(8);

/// Of several nodes, some end this often, in milliseconds.
const NODES_END_EVERY_MS: Range<u64> = 2000..4000;
/// For so long at least all of them are there together.
const ALL_ARE_THERE: Duration = Duration::from_millis(500);
/// Every so many times it is Postgres instead.
const POSTGRES_INSTEAD: usize = 8;

/// What goes away.
#[derive(Debug, Clone, Copy)]
enum Crash {
    Nodes(End),
    Postgres,
}

/// What was done.
#[derive(Debug, Default)]
pub struct Figures {
    /// Connections of the tail that were ended, and of the doorbell's keys.
    pub disconnected: (u64, u64),
    pub servers_killed: u64,
    /// Servers that were asked to stop.
    pub servers_drained: u64,
    pub postgres_stopped: u64,
    /// After how many of these stops transaction ids were used again.
    pub xids_again: u64,
}

pub struct Chaos {
    world: Arc<World>,
    chance: StdRng,
    nodes: Nodes,
    figures: Figures,
    /// The first message after each stop of Postgres.
    canaries: Vec<Transaction>,
    faults: Vec<String>,
}

/// What is left after it.
pub struct Aftermath {
    /// All of them run.
    pub nodes: Nodes,
    pub figures: Figures,
    pub canaries: Vec<Transaction>,
    pub faults: Vec<String>,
}

impl Chaos {
    pub fn new(world: Arc<World>, nodes: Nodes) -> Chaos {
        let chance = world.plan.chance("chaos");
        Chaos { world, chance, nodes, figures: Figures::default(), canaries: Vec::new(), faults: Vec::new() }
    }

    /// Disturbs for as long as the plan says: connections often, crashes again and again.
    pub async fn run(mut self) -> Aftermath {
        if self.world.nodes.len() == 1 {
            self.disturb_one().await;
        } else {
            self.disturb_many().await;
        }
        Aftermath { nodes: self.nodes, figures: self.figures, canaries: self.canaries, faults: self.faults }
    }

    /// Crashes are evenly spread: at least two of the server and one of Postgres.
    async fn disturb_one(&mut self) {
        let length = self.world.plan.length;
        let server = Crash::Nodes(End::Killed);
        let mut crashes = vec![server, Crash::Postgres, server];
        crashes.shuffle(&mut self.chance);
        for _ in 3..length.as_secs() / CRASH_EVERY.as_secs() {
            crashes.push(if self.chance.random_bool(0.5) { server } else { Crash::Postgres });
        }
        let between = length / (u32::try_from(crashes.len()).unwrap() + 1);
        for crash in crashes {
            self.disconnect_for(between).await;
            self.crash(crash).await;
        }
        self.disconnect_for(between).await;
    }

    /// Nodes are killed every few seconds, and now and then asked to leave. Postgres is stopped, too.
    async fn disturb_many(&mut self) {
        let mut next = Instant::now();
        let end = next + self.world.plan.length;
        for number in 1.. {
            next += Duration::from_millis(self.chance.random_range(NODES_END_EVERY_MS));
            next = next.max(Instant::now() + ALL_ARE_THERE);
            if next > end {
                break;
            }
            self.disconnect_for(next - Instant::now()).await;
            let crash = match number % POSTGRES_INSTEAD {
                5 => Crash::Postgres,
                2 => Crash::Nodes(End::Asked), // even a short run has one
                _ if self.chance.random_bool(0.2) => Crash::Nodes(End::Asked),
                _ => Crash::Nodes(End::Killed),
            };
            self.crash(crash).await;
        }
    }

    async fn crash(&mut self, crash: Crash) {
        match crash {
            Crash::Nodes(how) => self.end_nodes(how).await,
            Crash::Postgres => self.stop_postgres().await,
        }
    }

    /// Ends the connections that the server follows the log with, now and then.
    async fn disconnect_for(&mut self, time: Duration) {
        let end = Instant::now() + time;
        loop {
            let pause = Duration::from_millis(self.chance.random_range(50..1200));
            if Instant::now() + pause >= end {
                tokio::time::sleep_until(end).await;
                return;
            }
            sleep(pause).await;
            let tail = self.chance.random_bool(0.5);
            let name = if tail { "tocsin tail" } else { "tocsin keys" };
            let sql = self.world.connect("chaos").await;
            let end = "select count(pg_terminate_backend(pid)) from (
                select pid from pg_stat_activity where application_name like $1 || '%' order by random() limit $2) as chosen";
            let most = i64::try_from(self.chance.random_range(1..=self.world.nodes.len())).unwrap();
            let Ok(row) = sql.query_one(end, &[&name, &most]).await else { continue };
            let ended: i64 = row.get(0);
            *(if tail { &mut self.figures.disconnected.0 } else { &mut self.figures.disconnected.1 }) +=
                ended.unsigned_abs();
        }
    }

    /// Mostly one; now and then all but one, or the only one.
    async fn end_nodes(&mut self, how: End) {
        let mut which: Vec<usize> = (0..self.world.nodes.len()).collect();
        which.shuffle(&mut self.chance);
        let others = which.len() - 1;
        which.truncate(if self.chance.random_bool(0.2) { others.max(1) } else { 1 });
        self.faults.extend(self.nodes.end(&which, how).await);
        sleep(Duration::from_millis(self.chance.random_range(0..500))).await;
        self.nodes.restart(&which).await;
        let count = match how {
            End::Killed => &mut self.figures.servers_killed,
            End::Asked => &mut self.figures.servers_drained,
        };
        *count += which.len() as u64;
    }

    async fn stop_postgres(&mut self) {
        self.world.accident_begins();
        let stopped = postgres::stop(&self.world, self.canaries.len() + 1).await;
        self.world.accident_is_over();
        let Some(stopped) = stopped else { return };
        self.figures.postgres_stopped += 1;
        self.figures.xids_again += u64::from(stopped.ids_came_back);
        self.canaries.push(stopped.canary);
        self.faults.extend(stopped.fault);
    }
}
