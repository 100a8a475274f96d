//! Postgres' own log: kept in the data directory, quoted when Postgres does not start.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use nix::fcntl::OFlag;

/// Beyond this the log is put aside at the next start, and the one put aside before is dropped.
const SIZE_MAX: u64 = 16 * 1024 * 1024;

/// How much of the log an error message quotes.
const LINES_QUOTED: usize = 15;
const BYTES_QUOTED: u64 = 16 * 1024;

/// The log, and where the present run's part of it begins.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    file: File,
    begin: u64,
}

impl LogFile {
    pub(super) fn open(path: &Path) -> anyhow::Result<LogFile> {
        if fs::symlink_metadata(path).is_ok_and(|log| log.len() > SIZE_MAX) {
            let aside = path.with_extension("log.1");
            fs::rename(path, &aside).with_context(|| format!("renaming {}", path.display()))?;
        }
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            // The directory may belong to an account with fewer rights than we have.
            .custom_flags(OFlag::O_NOFOLLOW.bits())
            .open(path)
            .with_context(|| format!("opening {}", path.display()))?;
        let begin = file.metadata()?.len();
        Ok(LogFile { path: path.to_owned(), file, begin })
    }

    /// A handle for a child to write to.
    pub(super) fn handle(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// The last lines since this run began, under a line that says where they are from.
    pub(super) fn tail(&self) -> String {
        let text = self.read_end().unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let tail = &lines[lines.len().saturating_sub(LINES_QUOTED)..];
        format!("the end of {}:\n{}", self.path.display(), tail.join("\n"))
    }

    fn read_end(&self) -> io::Result<String> {
        let mut file = File::open(&self.path)?;
        let begin = self.begin.max(file.metadata()?.len().saturating_sub(BYTES_QUOTED));
        file.seek(SeekFrom::Start(begin))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}
