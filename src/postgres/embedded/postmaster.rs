//! One run of Postgres: started, waited for, stopped.

use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::Child;
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::NoTls;
use tokio_postgres::error::SqlState;

use super::log_file::LogFile;

/// Replaying the log of a crashed run may take minutes; a Postgres that is stuck must not keep the
/// server waiting for ever.
const STARTING_MAX: Duration = Duration::from_mins(10);
const STARTING_REPORTED_EVERY: Duration = Duration::from_secs(10);
const BETWEEN_TRIES: Duration = Duration::from_millis(25);
const TRY_MAX: Duration = Duration::from_secs(10);

/// What a stop does, and how long it may take before the next: "fast" ends the sessions and writes a
/// checkpoint, "immediate" leaves the rest to recovery, and a kill asks nobody.
const STOPPING: [(Signal, Duration); 3] = [
    (Signal::SIGINT, Duration::from_secs(15)),
    (Signal::SIGQUIT, Duration::from_secs(5)),
    (Signal::SIGKILL, Duration::from_secs(5)),
];

/// The same when the value is dropped, where nothing can be awaited: the thread is blocked meanwhile.
const DROPPING: [(Signal, Duration); 3] = [
    (Signal::SIGINT, Duration::from_secs(3)),
    (Signal::SIGQUIT, Duration::from_secs(2)),
    (Signal::SIGKILL, Duration::from_secs(2)),
];

/// A running `postgres`. Dropping it stops it: nobody else would.
#[derive(Debug)]
pub(super) struct Postmaster {
    child: Child,
    log: LogFile,
}

impl Postmaster {
    pub(super) fn spawn(mut command: Command, log: LogFile) -> anyhow::Result<Postmaster> {
        command.stdout(log.handle()?).stderr(log.handle()?);
        let program = command.get_program().to_owned();
        let child = tokio::process::Command::from(command)
            .spawn()
            .with_context(|| format!("starting {}", program.display()))?;
        Ok(Postmaster { child, log })
    }

    /// Waits until Postgres accepts connections and has the database that the URL names.
    pub(super) async fn ready(&mut self, url: &str) -> anyhow::Result<()> {
        let started = Instant::now();
        let mut reported = started;
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("Postgres did not start ({status}); {}", self.log.tail());
            }
            let error = match timeout(TRY_MAX, ensure_database(url)).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) if is_of_starting(&error) => anyhow!(error),
                Ok(Err(error)) => return Err(error).context("preparing the cluster's database"),
                Err(elapsed) => anyhow!(elapsed),
            };
            if started.elapsed() > STARTING_MAX {
                return Err(error)
                    .with_context(|| format!("Postgres has been starting for too long; {}", self.log.tail()));
            }
            if reported.elapsed() > STARTING_REPORTED_EVERY {
                reported = Instant::now();
                tracing::info!("Postgres is still starting: {error:#}");
            }
            sleep(BETWEEN_TRIES).await;
        }
    }

    /// Resolves when Postgres has ended, with how and why.
    pub(super) async fn ended(&mut self) -> anyhow::Result<(ExitStatus, String)> {
        let status = self.child.wait().await.context("waiting for Postgres")?;
        Ok((status, self.log.tail()))
    }

    /// Stops Postgres, and returns when the process is gone.
    pub(super) async fn stop(mut self) -> anyhow::Result<()> {
        for (signal, patience) in STOPPING {
            self.signal(signal);
            if let Ok(status) = timeout(patience, self.child.wait()).await {
                let status = status.context("waiting for Postgres")?;
                tracing::info!("Postgres has stopped ({status})");
                return Ok(());
            }
            tracing::warn!("Postgres has not stopped {} s after {signal}", patience.as_secs());
        }
        bail!("Postgres cannot be stopped; {}", self.log.tail())
    }

    /// Does nothing once the process has been waited for: its id may be another's by then.
    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.child.id().and_then(|pid| i32::try_from(pid).ok()) {
            // It fails only for a process that has ended, which is what any signal here wants.
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }

    fn is_gone(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Postmaster {
    fn drop(&mut self) {
        for (signal, patience) in DROPPING {
            self.signal(signal);
            let deadline = Instant::now() + patience;
            while Instant::now() < deadline {
                if self.is_gone() {
                    return;
                }
                std::thread::sleep(BETWEEN_TRIES);
            }
        }
    }
}

/// Refused, or no socket yet, or "the database system is starting up".
fn is_of_starting(error: &tokio_postgres::Error) -> bool {
    match error.code() {
        Some(code) => *code == SqlState::CANNOT_CONNECT_NOW,
        None => true,
    }
}

async fn ensure_database(url: &str) -> Result<(), tokio_postgres::Error> {
    let mut config: tokio_postgres::Config = url.parse()?;
    let name = config.get_dbname().unwrap_or("postgres").to_owned();
    config.dbname("postgres");
    let (client, connection) = config.connect(NoTls).await?;
    let ensure = async {
        let found = client.query_opt("select from pg_database where datname = $1", &[&name]).await?;
        if found.is_none() {
            client.batch_execute(&format!("create database {name}")).await?;
        }
        Ok(())
    };
    tokio::select! {
        ensured = ensure => ensured,
        // It ends first only when it breaks, and then the try ends as one that is to be repeated.
        broken = connection => broken,
    }
}
