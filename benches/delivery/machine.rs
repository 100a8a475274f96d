//! Where it was measured.

use std::path::Path;
use std::process::Command;

use crate::field::Field;

/// Date, machine, and Postgres.
pub async fn describe(field: &Field, directory: &Path) -> anyhow::Result<String> {
    let cores = std::thread::available_parallelism()?;
    let model = proc_line("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown processor".to_owned());
    let kernel = said_by(Command::new("uname").arg("-sr")).unwrap_or_else(|| "unknown kernel".to_owned());
    let load = std::fs::read_to_string("/proc/loadavg").ok();
    let load = load.as_deref().and_then(|load| load.split(' ').next()).unwrap_or("unknown").to_owned();
    let disk = said_by(Command::new("df").args(["--output=fstype"]).arg(directory))
        .and_then(|said| said.lines().last().map(str::to_owned))
        .unwrap_or_else(|| "unknown file system".to_owned());
    let memory = proc_line("/proc/meminfo", "MemTotal").unwrap_or_else(|| "unknown".to_owned());
    let (version, fsync) = (field.setting("server_version").await?, field.setting("fsync").await?);
    let (commit, wal) = (field.setting("synchronous_commit").await?, field.setting("wal_sync_method").await?);
    Ok(format!(
        "{}: {cores} cores of {model}, {memory} memory, {kernel}; load before the start {load}\n\
         Postgres {version} on {disk}: fsync {fsync} ({wal}), synchronous_commit {commit}",
        chrono::Utc::now().format("%Y-%m-%d %H:%M UTC"),
    ))
}

/// The value of a `name: value` line.
fn proc_line(file: &str, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn said_by(command: &mut Command) -> Option<String> {
    let output = command.output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
