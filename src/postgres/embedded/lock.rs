//! One server per data directory. The lock is the kernel's and goes with its holder, however the
//! holder ends; the file's content only tells others who it is and where its database is.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use nix::fcntl::OFlag;

const FILE: &str = "lock";

/// Somebody who only looks (`tocsin url`) holds a shared lock for an instant, and a process that is
/// being spawned holds a copy of every file until it becomes itself: a refusal must outlive both.
const TRIES: u32 = 10;
const BETWEEN_TRIES: Duration = Duration::from_millis(20);

/// The held lock of a data directory; released when dropped.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
}

impl Lock {
    /// Takes the lock, or says who has it.
    pub(super) async fn take(dir: &Path) -> anyhow::Result<Lock> {
        let path = dir.join(FILE);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false) // it is another's until we hold the lock
            .mode(0o600)
            // The directory may belong to an account with fewer rights than we have.
            .custom_flags(OFlag::O_NOFOLLOW.bits())
            .open(&path)
            .with_context(|| super::place::not_ours(dir))?;
        for _ in 0..TRIES {
            match file.try_lock() {
                Ok(()) => {
                    let mut lock = Lock { file };
                    lock.write(&format!("{}\n", std::process::id()))?;
                    return Ok(lock);
                }
                Err(TryLockError::WouldBlock) => tokio::time::sleep(BETWEEN_TRIES).await,
                Err(TryLockError::Error(error)) => {
                    return Err(error).with_context(|| format!("locking {}", path.display()));
                }
            }
        }
        let holder = Content::read(file)?.pid.map_or(String::new(), |pid| format!(" (process {pid})"));
        bail!(
            "another server{holder} is running in the data directory {}: stop it, or give this one \
             another --data-dir",
            dir.display()
        )
    }

    /// Tells those who look where the database is. Called once it accepts connections.
    pub(super) fn publish(&mut self, url: &str) -> anyhow::Result<()> {
        self.write(&format!("{}\n{url}\n", std::process::id()))
    }

    /// What the server that holds this directory's lock has published.
    pub(super) fn published(dir: &Path) -> anyhow::Result<String> {
        let path = dir.join(FILE);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                bail!(not_running(dir))
            }
            Err(error) => return Err(error).with_context(|| super::place::not_ours(dir)),
        };
        match file.try_lock_shared() {
            Ok(()) => bail!(not_running(dir)),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("locking {}", path.display()));
            }
        }
        Content::read(file)?
            .url
            .with_context(|| format!("the server in the data directory {} is still starting", dir.display()))
    }

    fn write(&mut self, content: &str) -> anyhow::Result<()> {
        self.file
            .set_len(0)
            .and_then(|()| self.file.rewind())
            .and_then(|()| self.file.write_all(content.as_bytes()))
            .context("writing the lock file")
    }
}

fn not_running(dir: &Path) -> String {
    let dir = dir.display();
    format!("no server is running in the data directory {dir} (`tocsin serve --data-dir {dir}` starts one)")
}

/// A first line with the holder's process id, a second with the URL once there is one.
struct Content {
    pid: Option<u32>,
    url: Option<String>,
}

impl Content {
    fn read(mut file: File) -> anyhow::Result<Content> {
        let mut text = String::new();
        file.read_to_string(&mut text).context("reading the lock file")?;
        // A line without its end is still being written.
        let mut lines = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
        Ok(Content { pid: lines.next().and_then(|line| line.parse().ok()), url: lines.next().map(str::to_owned) })
    }
}
