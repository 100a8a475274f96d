//! What a crashed run leaves behind: a postmaster without its server, backends without their
//! postmaster, files that name processes long gone.
//!
//! **Invariant**: only the holder of the data directory's lock calls [`clear`]. Without the lock, the
//! postmaster found here would be another server's, in use.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::{Instant, sleep};

use super::account::Account;
use super::place::{PORT, Place};

/// From polite to final, and how long each may take. Fast shutdown writes a checkpoint.
const SIGNALS: [(Signal, Duration); 3] = [
    (Signal::SIGINT, Duration::from_secs(15)),
    (Signal::SIGQUIT, Duration::from_secs(5)),
    (Signal::SIGKILL, Duration::from_secs(5)),
];

const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// Stops every process of a previous run and removes its stale files, so that Postgres can start.
pub(super) async fn clear(place: &Place, account: &Account) -> anyhow::Result<()> {
    stop_all(&place.pgdata, account).await?;
    // Postgres believes these files when the process id in them has been given to somebody else
    // since, and refuses to start when they contain rubbish. Nobody is left whom they could mean.
    let socket = format!(".s.PGSQL.{PORT}");
    for stale in [
        place.pgdata.join("postmaster.pid"),
        place.socket_dir.join(format!("{socket}.lock")),
        place.socket_dir.join(socket),
    ] {
        match fs::remove_file(&stale) {
            Ok(()) => tracing::info!("removed {}, left by a previous run", stale.display()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                return Err(error).with_context(|| format!("removing {}", stale.display()));
            }
        }
    }
    Ok(())
}

async fn stop_all(pgdata: &Path, account: &Account) -> anyhow::Result<()> {
    let Ok(pgdata) = pgdata.canonicalize() else {
        return Ok(()); // no cluster yet
    };
    for (signal, patience) in SIGNALS {
        let all = processes_of(&pgdata, account);
        // A killed postmaster can no longer take its children with it.
        let found = if signal == Signal::SIGKILL { all } else { leaders(all) };
        if found.is_empty() {
            return Ok(());
        }
        for process in &found {
            tracing::warn!("stopping Postgres process {} of a previous run: {signal}", process.pid);
            // Gone in the meantime is what we want.
            let _ = kill(Pid::from_raw(process.pid), signal);
        }
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            if processes_of(&pgdata, account).is_empty() {
                return Ok(());
            }
            sleep(BETWEEN_LOOKS).await;
        }
    }
    bail!("Postgres processes of a previous run on {} do not end", pgdata.display())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Process {
    pid: i32,
    parent: i32,
}

/// The postmaster if there is one, which takes its children with it; else the children it left.
fn leaders(processes: Vec<Process>) -> Vec<Process> {
    let is_among = |pid: i32| processes.iter().any(|process| process.pid == pid);
    processes.iter().copied().filter(|process| !is_among(process.parent)).collect()
}

/// Every process of Postgres changes to its data directory, which tells ours from any other, whatever
/// `postmaster.pid` says. Without /proc that file has to do.
fn processes_of(pgdata: &Path, account: &Account) -> Vec<Process> {
    if Path::new("/proc/self/stat").exists() {
        let Ok(entries) = fs::read_dir("/proc") else {
            return Vec::new();
        };
        entries
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter_map(|pid| process_from_proc(pid, pgdata, account))
            .collect()
    } else {
        postmaster_by_its_file(pgdata).into_iter().collect()
    }
}

fn process_from_proc(pid: i32, pgdata: &Path, account: &Account) -> Option<Process> {
    let proc = PathBuf::from(format!("/proc/{pid}"));
    if !fs::read_to_string(proc.join("comm")).ok()?.contains("postgres") {
        return None;
    }
    if working_directory(&proc, account)? != pgdata {
        return None;
    }
    // `pid (comm) state ppid ...`, where comm may contain anything, parentheses too.
    let stat = fs::read_to_string(proc.join("stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    (state != "Z").then_some(Process { pid, parent })
}

/// In a container root may lack the right to look at another account's process, which that account
/// always has.
fn working_directory(proc: &Path, account: &Account) -> Option<PathBuf> {
    let link = proc.join("cwd");
    match fs::read_link(&link) {
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            let output = account.command("readlink").arg("-n").arg(link).output().ok()?;
            Some(PathBuf::from(OsString::from_vec(output.stdout)))
        }
        found => found.ok(),
    }
}

fn postmaster_by_its_file(pgdata: &Path) -> Option<Process> {
    let file = fs::read_to_string(pgdata.join("postmaster.pid")).ok()?;
    let pid: i32 = file.lines().next()?.trim().parse().ok()?;
    let ps = Command::new("ps").args(["-o", "command=", "-p", &pid.to_string()]).output().ok()?;
    let command = String::from_utf8_lossy(&ps.stdout).into_owned();
    (command.contains("postgres") && command.contains(pgdata.to_str()?)).then_some(Process { pid, parent: 0 })
}
