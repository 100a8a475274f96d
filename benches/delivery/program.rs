//! The real program, on a private cluster in a temporary directory.

use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::background::Background;

const TOCSIN: &str = env!("CARGO_BIN_EXE_tocsin");
/// In which Linux tells the time of processes, on every machine of today.
const TICK: Duration = Duration::from_millis(10);

fn directory() -> anyhow::Result<TempDir> {
    Ok(tempfile::Builder::new().prefix("tocsin-bench-").tempdir()?)
}

/// A running `tocsin serve`.
pub struct Program {
    process: Background,
    /// `http://` and where it listens.
    pub url: String,
    directory: TempDir,
}

impl Program {
    /// Starts it; returns when it is READY.
    pub async fn start() -> anyhow::Result<Self> {
        let directory = directory()?;
        let path = directory.path().to_owned();
        Self::serve(["--data-dir".as_ref(), path.as_os_str()], directory).await
    }

    /// Starts one more node on a database that another one has.
    pub async fn join(database_url: &str) -> anyhow::Result<Self> {
        Self::serve(["--database-url", database_url].map(AsRef::as_ref), directory()?).await
    }

    async fn serve(database: [&OsStr; 2], directory: TempDir) -> anyhow::Result<Self> {
        let mut command = Command::new(TOCSIN);
        command
            // All of its sockets come from one address: no more of them than there may be in all.
            .args(["serve", "--listen", "127.0.0.1:0", "--trusted-proxies", "127.0.0.0/8"])
            .args(database)
            .env_remove("DATABASE_URL")
            .env_remove("TOCSIN_CONFIG")
            .env("RUST_LOG", std::env::var("RUST_LOG").unwrap_or_else(|_| "warn".to_owned()));
        let (process, stdout) = Background::start(&mut command)?;
        let line = BufReader::new(stdout).lines().next_line().await?.context("the server ended before READY")?;
        let url = line.strip_prefix("READY ").with_context(|| format!("not READY: {line}"))?.to_owned();
        note!("tocsin serve: process {}, {url}", process.pid().unwrap_or_default());
        Ok(Program { process, url, directory })
    }

    /// The process that serves, without its cluster's.
    pub fn pid(&self) -> Option<u32> {
        self.process.pid()
    }

    /// The processor's time that it has used until now, without its cluster's.
    pub fn processor_time(&self) -> anyhow::Result<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid().context("the server ended")?))?;
        let (_, after_name) = stat.rsplit_once(')').context("the name of a process")?;
        let used = after_name.split_whitespace().skip(11).take(2).map(str::parse::<u32>);
        let ticks = used.sum::<Result<u32, _>>()?; // utime and stime
        Ok(TICK * ticks)
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

    /// SIGKILL.
    pub async fn kill(self) -> anyhow::Result<()> {
        self.process.kill().await
    }

    /// SIGTERM, and waits: then nothing is left of it.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.process.stop().await?;
        self.directory.close().context("the temporary directory stays behind")
    }
}
