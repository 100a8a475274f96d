//! A program in the background: ended by SIGTERM, at the latest when it is dropped.

use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use tokio::process::{Child, ChildStdout, Command};

/// How long a program may take to end.
const STOP_PATIENCE: Duration = Duration::from_secs(60);

/// A running program. Ctrl-C is not for it, but for us: we stop it.
pub struct Background {
    child: Child,
    /// What it works in, removed when it has been told to end.
    directory: Option<TempDir>,
}

impl Background {
    /// Starts it; what it prints can be read.
    pub fn start(command: &mut Command) -> anyhow::Result<(Self, ChildStdout)> {
        let program = command.as_std().get_program().to_owned();
        let mut child = command
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let stdout = child.stdout.take().context("a program without stdout")?;
        Ok((Background { child, directory: None }, stdout))
    }

    /// Keeps a directory as long as it runs.
    pub fn keep(&mut self, directory: TempDir) {
        self.directory = Some(directory);
    }

    /// Its process, as long as it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> anyhow::Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// Ends it, and waits.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.end();
        tokio::time::timeout(STOP_PATIENCE, self.child.wait()).await.context("a program does not stop")??;
        self.directory.take().map_or(Ok(()), TempDir::close).context("a temporary directory stays behind")
    }

    /// Ends it as a crash would, and waits.
    pub async fn kill(mut self) -> anyhow::Result<()> {
        Ok(self.child.kill().await?)
    }

    /// Tells it to end, so that it can end what it has started itself.
    fn end(&self) {
        if let Some(pid) = self.child.id().and_then(|pid| pid.try_into().ok()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM); // or it has ended
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.end();
    }
}
