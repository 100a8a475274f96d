//! What all actors of a run share.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tocsin::postgres::embedded::running_url;
use tocsin::wire::urls::segment;
use tokio::sync::{RwLock, watch};
use tokio::time::sleep;
use tokio_postgres::{Client, NoTls};

use super::clients::Shared;
use super::plan::{CANARY_BOX, Plan};

/// Pause before something that did not work is tried again.
pub const AGAIN_AFTER: Duration = Duration::from_millis(50);

/// How far the run has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Everybody writes, reads and disturbs.
    Running,
    /// Nobody writes or disturbs any more; clients stay connected and read on.
    Settling,
    /// All has been seen: clients go.
    Over,
}

pub struct World {
    pub plan: Plan,
    /// `{serverRoot}`, the same for all runs of the server.
    pub root: String,
    /// Shared by those who commit, or make the server commit: whoever has it alone knows that nobody will.
    pub commits: RwLock<()>,
    /// Of the client that waits for canaries.
    pub steady: OnceLock<Shared>,
    phase: watch::Sender<Phase>,
    data_dir: PathBuf,
    /// Odd while the server is being killed and started again.
    kills: AtomicU64,
}

/// How often the server had been killed at some moment.
#[derive(Debug, Clone, Copy)]
pub struct Age(u64);

impl World {
    pub fn new(plan: Plan, data_dir: &Path, root: &str) -> World {
        World {
            plan,
            root: root.to_owned(),
            commits: RwLock::new(()),
            steady: OnceLock::new(),
            phase: watch::channel(Phase::Running).0,
            data_dir: data_dir.to_owned(),
            kills: AtomicU64::new(0),
        }
    }

    pub fn running(&self) -> bool {
        *self.phase.borrow() == Phase::Running
    }

    pub fn phase(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    pub fn enter(&self, phase: Phase) {
        self.phase.send_replace(phase);
    }

    /// A session of its own in the server's cluster, as soon as there is one to be had.
    pub async fn connect(&self, name: &str) -> Client {
        loop {
            match self.try_connect(name).await {
                Ok(client) => return client,
                Err(_) => sleep(AGAIN_AFTER).await,
            }
        }
    }

    async fn try_connect(&self, name: &str) -> anyhow::Result<Client> {
        let mut config: tokio_postgres::Config = running_url(&self.data_dir)?.parse()?;
        config.application_name(name).connect_timeout(Duration::from_secs(5));
        let (client, connection) = config.connect(NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// How many canaries have arrived.
    pub fn canaries_seen(&self) -> usize {
        let of = format!("/{}/", segment(CANARY_BOX));
        let notes = self.steady.get().unwrap().lock().unwrap();
        let upto = notes.seen.iter().filter(|(url, _)| url.contains(&of)).flat_map(|(_, seen)| seen);
        upto.map(|list| usize::try_from(list.index).unwrap()).max().unwrap_or(0)
    }

    /// The process id of Postgres.
    pub fn postmaster(&self) -> Option<i32> {
        let file = std::fs::read_to_string(self.data_dir.join("postgres/postmaster.pid")).ok()?;
        file.lines().next()?.trim().parse().ok()
    }

    /// The server is about to be killed, or has been started again.
    pub fn kill_begins_or_ends(&self) {
        self.kills.fetch_add(1, Ordering::SeqCst);
    }

    pub fn age(&self) -> Age {
        Age(self.kills.load(Ordering::SeqCst))
    }

    /// Whether the server may have been killed since.
    pub fn killed_since(&self, then: Age) -> bool {
        let now = self.kills.load(Ordering::SeqCst);
        now != then.0 || now % 2 == 1
    }
}
