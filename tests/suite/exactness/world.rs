//! What all actors of a run share.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use tocsin::postgres::embedded::running_url;
use tocsin::wire::urls::segment;
use tokio::sync::{RwLock, watch};
use tokio::time::sleep;
use tokio_postgres::{Client, NoTls};

use super::clients::Shared;
use super::plan::{CANARY_BOX, Plan};
use crate::support::client::Api;

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

/// `{serverRoot}` of all nodes: the same in whatever any of them makes.
pub const PUBLIC_URL: &str = "http://tocsin.test";

/// Where a server listens. Its processes come and go.
pub struct Node {
    pub address: SocketAddr,
    /// Odd while it is being ended and started again.
    ends: AtomicU64,
}

impl Node {
    /// A URL of the server, or of its WebSockets, as it is reached here.
    pub fn url(&self, public: &str) -> String {
        public.replacen("tocsin.test", &self.address.to_string(), 1)
    }

    pub fn api(&self) -> Api {
        Api::new(&self.url(PUBLIC_URL))
    }

    pub fn age(&self) -> Age {
        Age(self.ends.load(Ordering::SeqCst))
    }

    /// Whether it may have been ended since.
    pub fn ended_since(&self, then: Age) -> bool {
        let now = self.age();
        now != then || !now.0.is_multiple_of(2)
    }
}

/// How often a node had been ended, and how often started again, at some moment: both together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Age(u64);

pub struct World {
    pub plan: Plan,
    pub nodes: Vec<Node>,
    /// Shared by those who commit, or make a server commit: whoever has it alone knows that nobody will.
    pub commits: RwLock<()>,
    /// Of the client that waits for canaries.
    pub steady: OnceLock<Shared>,
    phase: watch::Sender<Phase>,
    data_dir: PathBuf,
    /// Those that begin, and those that are over.
    accidents: (AtomicU64, AtomicU64),
}

impl World {
    pub fn new(plan: Plan, data_dir: &Path) -> World {
        World {
            nodes: free_addresses(plan.nodes).map(|address| Node { address, ends: AtomicU64::new(0) }).collect(),
            plan,
            commits: RwLock::new(()),
            steady: OnceLock::new(),
            phase: watch::channel(Phase::Running).0,
            data_dir: data_dir.to_owned(),
            accidents: Default::default(),
        }
    }

    /// The node that a client turns to.
    pub fn any_node(&self, chance: &mut StdRng) -> &Node {
        self.nodes.choose(chance).unwrap()
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

    /// A node is about to be ended.
    pub fn end_begins(&self, node: usize) {
        self.accident_begins();
        self.nodes[node].ends.fetch_add(1, Ordering::SeqCst);
    }

    /// It has been started again.
    pub fn end_is_over(&self, node: usize) {
        self.nodes[node].ends.fetch_add(1, Ordering::SeqCst);
        self.accident_is_over();
    }

    pub fn accident_begins(&self) {
        self.accidents.0.fetch_add(1, Ordering::SeqCst);
    }

    pub fn accident_is_over(&self) {
        self.accidents.1.fetch_add(1, Ordering::SeqCst);
    }

    /// How many accidents there have been; `None` in the midst of one.
    pub fn accidents(&self) -> Option<u64> {
        let (begun, over) = &self.accidents;
        let over = over.load(Ordering::SeqCst);
        (begun.load(Ordering::SeqCst) == over).then_some(over)
    }
}

/// Addresses that nobody listens on. No connection that goes out takes their ports while a server is away: those are
/// above.
fn free_addresses(count: usize) -> impl Iterator<Item = SocketAddr> {
    let mut taken = Vec::new();
    while taken.len() < count {
        let port = rand::rng().random_range(10_000..32_000);
        taken.extend(TcpListener::bind(("127.0.0.1", port)).ok());
    }
    taken.into_iter().map(|listener| listener.local_addr().unwrap())
}
