//! Everything that runs in the background: named, owned, supervised, and ended on shutdown. The only caller of
//! `tokio::spawn`.

use std::future::Future;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, error, info, info_span};

/// The server's background tasks. `stop` asks all of them to end.
#[derive(Debug, Clone, Default)]
pub struct Tasks {
    stop: CancellationToken,
    tracker: TaskTracker,
}

impl Tasks {
    /// Nothing runs yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Cancelled when the server is to end.
    pub fn stopping(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Runs a task for the life of the server. One that ends early, by error or panic, takes the server down with it:
    /// half a server is worse than a restart.
    pub fn spawn<F>(&self, name: &'static str, task: F)
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let stop = self.stop.clone();
        let running = tokio::spawn(task.instrument(info_span!("task", name)));
        self.tracker.spawn(async move {
            match running.await {
                Ok(Ok(())) if stop.is_cancelled() => {}
                Ok(Ok(())) => error!(name, "task ended early"),
                Ok(Err(fault)) => error!(name, "task failed: {fault:#}"),
                Err(panic) => error!(name, "task panicked: {panic}"),
            }
            stop.cancel();
        });
    }

    /// Runs a task for a client (a socket's session), to be waited for at the end. What becomes of it is its own affair.
    pub fn attend(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tracker.spawn(task);
    }

    /// Asks every task to end and waits, at most `patience`.
    pub async fn end(&self, patience: Duration) {
        self.stop.cancel();
        self.tracker.close();
        if tokio::time::timeout(patience, self.tracker.wait()).await.is_err() {
            error!("{} tasks did not end in time", self.tracker.len());
        }
    }
}

/// A helper task that ends when its owner is dropped: the driver of a connection.
#[derive(Debug)]
pub struct Attendant(JoinHandle<()>);

impl Attendant {
    /// Runs `task` until it ends or the attendant is dropped.
    pub fn spawn<F: Future<Output = ()> + Send + 'static>(task: F) -> Self {
        Attendant(tokio::spawn(task))
    }

    /// Whether it has ended by itself.
    pub fn is_finished(&self) -> bool {
        self.0.is_finished()
    }
}

impl Drop for Attendant {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What asks the process to end: SIGTERM and Ctrl-C.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// From now on they do nothing else.
    pub fn listen() -> anyhow::Result<Self> {
        Ok(Signals { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) {
        let name = tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        };
        info!("{name}: stopping");
    }
}

/// Waits for SIGTERM or Ctrl-C.
pub async fn asked_to_stop() -> anyhow::Result<()> {
    Signals::listen()?.next().await;
    Ok(())
}
