//! What goes wrong, on purpose.

mod holder;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use tokio::time::{Instant, sleep};

pub use self::holder::Holder;

use super::world::{AGAIN_AFTER, World};
use crate::support::server::Program;

/// A long run has a crash this often.
const CRASH_EVERY: Duration = Duration::from_secs(8);
/// Transactions rolled back right before Postgres is stopped: their ids are used again.
const ROLLED_BACK: usize = 300;

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

pub async fn start(arguments: &[String]) -> Program {
    Program::start_with(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).await
}

impl Chaos {
    pub fn new(world: Arc<World>, program: Program, arguments: Vec<String>) -> Chaos {
        let chance = world.plan.chance("chaos");
        Chaos { world, chance, program: Some(program), arguments, figures: Figures::default() }
    }

    /// Disturbs for as long as the plan says: connections often, crashes evenly spread, at least two of the server and
    /// one of Postgres. Answers the server that runs in the end.
    pub async fn run(mut self) -> (Program, Figures) {
        let length = self.world.plan.length;
        let mut crashes = vec![Crash::Server, Crash::Postgres, Crash::Server];
        crashes.shuffle(&mut self.chance);
        for _ in 3..length.as_secs() / CRASH_EVERY.as_secs() {
            crashes.push(if self.chance.random_bool(0.5) { Crash::Server } else { Crash::Postgres });
        }
        let begun = Instant::now();
        let between = length / (u32::try_from(crashes.len()).unwrap() + 1);
        for (n, crash) in (1..).zip(crashes) {
            self.disconnect_until(begun + between * n).await;
            match crash {
                Crash::Server => self.kill_server().await,
                Crash::Postgres => self.stop_postgres().await,
            }
        }
        self.disconnect_until(begun + length).await;
        (self.program.unwrap(), self.figures)
    }

    /// Ends the connections that the server follows the log with, now and then.
    async fn disconnect_until(&mut self, end: Instant) {
        loop {
            let pause = Duration::from_millis(self.chance.random_range(100..1500));
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

    /// While nobody commits, many transactions take ids and roll back; nothing of that reaches the disk before
    /// Postgres is stopped, so the ids are given again.
    async fn stop_postgres(&mut self) {
        let world = self.world.clone();
        let sql = world.connect("chaos").await;
        let commits = world.commits.write().await;
        let mut last: i64 = 0;
        for _ in 0..ROLLED_BACK {
            let Ok(row) = sql.query_one("select pg_current_xact_id()::text::bigint", &[]).await else { break };
            last = row.get(0);
            // Alone, this statement would commit.
            let roll_back = "begin; insert into tocsin.messages (box_id, body) values ('tel:+0', 'never'); rollback";
            if sql.batch_execute(roll_back).await.is_err() {
                break;
            }
        }
        let Some(postmaster) = world.postmaster() else { return };
        kill(Pid::from_raw(postmaster), Signal::SIGQUIT).unwrap();
        drop(commits);
        while world.postmaster() == Some(postmaster) {
            sleep(AGAIN_AFTER).await;
        }
        self.figures.postgres_stopped += 1;
        let sql = world.connect("chaos").await;
        if let Ok(row) = sql.query_one("select pg_snapshot_xmax(pg_current_snapshot())::text::bigint", &[]).await {
            self.figures.xids_again += u64::from(row.get::<_, i64>(0) <= last);
        }
    }
}
