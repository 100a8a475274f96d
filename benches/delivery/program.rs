//! The real program, on a private cluster in a temporary directory.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// How long the server may take to stop its cluster.
const STOP_PATIENCE: Duration = Duration::from_secs(60);

const TOCSIN: &str = env!("CARGO_BIN_EXE_tocsin");

/// A running `tocsin serve`.
pub struct Program {
    child: Child,
    /// `http://` and where it listens.
    pub url: String,
    directory: TempDir,
}

impl Program {
    /// Starts it; returns when it is READY.
    pub async fn start() -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("tocsin-bench-").tempdir()?;
        let mut child = Command::new(TOCSIN)
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(directory.path())
            .env_remove("DATABASE_URL")
            .env_remove("TOCSIN_CONFIG")
            .env("RUST_LOG", std::env::var("RUST_LOG").unwrap_or_else(|_| "warn".to_owned()))
            .process_group(0) // Ctrl-C is for us: we stop it
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stdout = child.stdout.take().context("the server has no stdout")?;
        let line = BufReader::new(stdout).lines().next_line().await?.context("the server ended before READY")?;
        let url = line.strip_prefix("READY ").with_context(|| format!("not READY: {line}"))?.to_owned();
        Ok(Program { child, url, directory })
    }

    /// Where the cluster is.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The URL of its database, as `tocsin url` tells it.
    pub async fn database_url(&self) -> anyhow::Result<String> {
        let told = Command::new(TOCSIN)
            .args(["url", "--data-dir"])
            .arg(self.directory.path())
            .env_remove("DATABASE_URL")
            .env_remove("TOCSIN_CONFIG")
            .output()
            .await?;
        if !told.status.success() {
            bail!("tocsin url: {}", String::from_utf8_lossy(&told.stderr));
        }
        Ok(String::from_utf8(told.stdout)?.trim().to_owned())
    }

    /// SIGTERM, and waits: then nothing is left of it.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        if let Some(pid) = self.child.id() {
            let pid = nix::unistd::Pid::from_raw(pid.try_into()?);
            nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM)?;
            tokio::time::timeout(STOP_PATIENCE, self.child.wait()).await.context("the server does not stop")??;
        }
        self.directory.close().context("the temporary directory stays behind")
    }
}
