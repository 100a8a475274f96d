//! What goes wrong, on purpose.

mod holder;
mod postgres;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use tokio::time::{Instant, sleep};

pub use self::holder::Holder;

use super::evidence::Transaction;
use super::world::World;
use crate::support::server::Program;

/// A long run has a crash this often.
const CRASH_EVERY: Duration = Duration::from_secs(8);

/// A part that crashes.
#[derive(Debug, Clone, Copy)]
enum Crash {
    Server,
    Postgres,
}

/// What was done.
#[derive(Debug, Default)]
pub struct Figures {
    /// Connections of the tail that were ended, and of the doorbell's keys.
    pub disconnected: (u64, u64),
    pub server_killed: u64,
    pub postgres_stopped: u64,
    /// After how many of these stops transaction ids were used again.
    pub xids_again: u64,
}

pub struct Chaos {
    world: Arc<World>,
    chance: StdRng,
    program: Option<Program>,
    arguments: Vec<String>,
    figures: Figures,
    canaries: Canaries,
}

/// The first message after each stop of Postgres.
#[derive(Default)]
pub struct Canaries {
    pub written: Vec<Transaction>,
    /// Those that did not arrive.
    pub faults: Vec<String>,
}

/// What to run `tocsin` with: always the same data directory and port.
pub fn arguments(data_dir: &Path, port: u16) -> Vec<String> {
    let config = data_dir.with_file_name("tocsin.toml");
    // Small, so that slow clients overflow it.
    std::fs::write(&config, "[limits]\nqueue_events_max = 24\n").unwrap();
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    let listen = format!("127.0.0.1:{port}");
    vec!["--data-dir".into(), path(data_dir), "--config".into(), path(&config), "--listen".into(), listen]
}

/// Starts it; it logs to [`LOG`].
pub async fn start(arguments: &[String]) -> Program {
    let log = Path::new(&arguments[1]).with_file_name(LOG);
    Program::start_logging(&arguments.iter().map(String::as_str).collect::<Vec<_>>(), &log).await
}

/// What the server logs to, beside its data directory.
pub const LOG: &str = "server.log";

impl Chaos {
    pub fn new(world: Arc<World>, program: Program, arguments: Vec<String>) -> Chaos {
        let chance = world.plan.chance("chaos");
        Chaos {
            world,
            chance,
            program: Some(program),
            arguments,
            figures: Figures::default(),
            canaries: Canaries::default(),
        }
    }

    /// Disturbs for as long as the plan says: connections often, crashes evenly spread, at least two of the server and
    /// one of Postgres. Answers the server that runs in the end.
    pub async fn run(mut self) -> (Program, Figures, Canaries) {
        let length = self.world.plan.length;
        let mut crashes = vec![Crash::Server, Crash::Postgres, Crash::Server];
        crashes.shuffle(&mut self.chance);
        for _ in 3..length.as_secs() / CRASH_EVERY.as_secs() {
            crashes.push(if self.chance.random_bool(0.5) { Crash::Server } else { Crash::Postgres });
        }
        let between = length / (u32::try_from(crashes.len()).unwrap() + 1);
        for crash in crashes {
            self.disconnect_for(between).await;
            match crash {
                Crash::Server => self.kill_server().await,
                Crash::Postgres => self.stop_postgres().await,
            }
        }
        self.disconnect_for(between).await;
        (self.program.unwrap(), self.figures, self.canaries)
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
            let end = "select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name = $1";
            let Ok(row) = sql.query_one(end, &[&name]).await else { continue };
            let ended: i64 = row.get(0);
            *(if tail { &mut self.figures.disconnected.0 } else { &mut self.figures.disconnected.1 }) +=
                ended.unsigned_abs();
        }
    }

    async fn kill_server(&mut self) {
        self.world.kill_begins_or_ends();
        if let Some(program) = self.program.take() {
            program.kill().await;
        }
        sleep(Duration::from_millis(self.chance.random_range(0..500))).await;
        self.program = Some(start(&self.arguments).await);
        self.world.kill_begins_or_ends();
        self.figures.server_killed += 1;
    }

    async fn stop_postgres(&mut self) {
        let Some(stopped) = postgres::stop(&self.world, self.canaries.written.len() + 1).await else { return };
        self.figures.postgres_stopped += 1;
        self.figures.xids_again += u64::from(stopped.ids_came_back);
        self.canaries.written.push(stopped.canary);
        self.canaries.faults.extend(stopped.fault);
    }
}
