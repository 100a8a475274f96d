//! The servers' processes, and the cluster that they share.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::future::join_all;
use tocsin::postgres::embedded::Embedded;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::super::world::{PUBLIC_URL, World};
use crate::support::PATIENCE;
use crate::support::postgres::FORGETFUL;
use crate::support::server::Program;

/// What the servers log to, beside the data directory.
pub const LOG: &str = "server.log";

/// How all of them are run. A short queue, so that slow clients overflow it; short polls, so that many begin.
const CONFIG: &str = "allow_private_targets = true\ndrain_seconds = 1\n\
    [limits]\nqueue_events_max = 24\npoll_seconds = 5\n";

/// How a server ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// SIGKILL.
    Killed,
    /// SIGTERM: it sends its clients away first.
    Asked,
}

/// Each node has a process, except while it is away. One node has the cluster for its own; several are given one,
/// which survives them all.
pub struct Nodes {
    world: Arc<World>,
    programs: Vec<Option<Program>>,
    /// How to run any of them; where to listen is added.
    arguments: Vec<String>,
    log: PathBuf,
    shared: Option<(JoinHandle<()>, CancellationToken)>,
}

impl Nodes {
    /// Starts them all at once, on an empty database.
    pub async fn start(world: Arc<World>, data_dir: &Path) -> Nodes {
        let config = data_dir.with_file_name("tocsin.toml");
        std::fs::write(&config, CONFIG).unwrap();
        let path = |path: &Path| path.to_str().unwrap().to_owned();
        let mut arguments = vec!["--config".into(), path(&config), "--public-url".into(), PUBLIC_URL.into()];
        let mut shared = None;
        if world.nodes.len() == 1 {
            arguments.extend(["--data-dir".into(), path(data_dir)]);
        } else {
            let cluster = Embedded::start_with(data_dir, &FORGETFUL).await.unwrap();
            arguments.extend(["--database-url".into(), cluster.url().to_owned()]);
            let stop = CancellationToken::new();
            let supervised = cluster.supervise(stop.clone());
            shared = Some((tokio::spawn(async { supervised.await.unwrap() }), stop));
        }
        let (programs, log) = (world.nodes.iter().map(|_| None).collect(), data_dir.with_file_name(LOG));
        let mut nodes = Nodes { world, programs, arguments, log, shared };
        let all: Vec<usize> = (0..nodes.programs.len()).collect();
        nodes.start_again(&all).await;
        nodes
    }

    /// Ends these nodes, all at once; answers what was wrong with that. They count as being ended until they were
    /// [started again](Nodes::restart).
    pub async fn end(&mut self, which: &[usize], how: End) -> Vec<String> {
        let ending = which.iter().map(|node| {
            self.world.end_begins(*node);
            let program = self.programs[*node].take().unwrap();
            async move {
                match how {
                    End::Killed => {
                        program.kill().await;
                        None
                    }
                    End::Asked => leaves(program, *node).await,
                }
            }
        });
        let ending: Vec<_> = ending.collect();
        join_all(ending).await.into_iter().flatten().collect()
    }

    /// Starts nodes that were ended where they were before.
    pub async fn restart(&mut self, which: &[usize]) {
        self.start_again(which).await;
        for node in which {
            self.world.end_is_over(*node);
        }
    }

    async fn start_again(&mut self, which: &[usize]) {
        let (arguments, log) = (&self.arguments, &self.log);
        let starting = which.iter().map(|node| {
            let listen = self.world.nodes[*node].address.to_string();
            async move {
                let mut arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
                arguments.extend(["--listen", &listen]);
                Program::start_logging(&arguments, log).await
            }
        });
        let started = join_all(starting).await;
        for (node, program) in which.iter().zip(started) {
            self.programs[*node] = Some(program);
        }
    }

    /// The end of the run: all leave in good order, and the cluster after them. Answers what was wrong with that.
    pub async fn stop(self) -> Vec<String> {
        let leaving = self.programs.into_iter().flatten().enumerate().map(|(node, program)| leaves(program, node));
        let faults = join_all(leaving).await.into_iter().flatten().collect();
        if let Some((supervised, stop)) = self.shared {
            stop.cancel();
            supervised.await.unwrap();
        }
        faults
    }
}

/// It is asked to, and must do so in good order.
async fn leaves(program: Program, node: usize) -> Option<String> {
    match timeout(PATIENCE, program.terminate()).await {
        Ok(Some(0)) => None,
        Ok(code) => Some(format!("node {node} was asked to stop, and ended with {code:?}")),
        Err(_) => Some(format!("node {node} was asked to stop, and did not end within {PATIENCE:?}")),
    }
}
