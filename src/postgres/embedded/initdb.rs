//! Making the cluster, once. It is made beside its final place and renamed, so that an interrupted
//! attempt never looks like a cluster.

use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context, bail, ensure};
use tokio::process::Command;

use super::account::Account;
use super::binaries::Binaries;
use super::log_file::LogFile;
use super::place::Place;

/// Makes the cluster. `durable` is false only for clusters that nobody would miss.
pub(super) async fn run(place: &Place, account: &Account, binaries: &Binaries, durable: bool) -> anyhow::Result<()> {
    ensure!(
        is_absent_or_empty(&place.pgdata),
        "{} is not empty, and not a Postgres cluster: it has no PG_VERSION. Move it away",
        place.pgdata.display()
    );
    remove_attempts(&place.pgdata);
    // A name of its own: the `initdb` of a killed server may still be writing to the last attempt.
    let attempt = place.pgdata.with_extension(format!("{ATTEMPT}{}", uuid::Uuid::new_v4().simple()));
    tracing::info!("creating a Postgres cluster in {}", place.pgdata.display());

    let log = LogFile::open(&place.log)?;
    let mut command = account.command(binaries.program("initdb"));
    command
        .args(["--encoding=UTF8", "--locale=C", "--username=tocsin", "--data-checksums"])
        .args(["--auth-local=trust", "--auth-host=reject", "--no-instructions"])
        .args((!durable).then_some("--no-sync"))
        .arg("--pgdata")
        .arg(&attempt)
        .stdout(log.handle()?)
        .stderr(log.handle()?);
    let status = Command::from(command).kill_on_drop(true).status().await.context("running initdb")?;
    if !status.success() {
        bail!("initdb failed ({status}); {}", log.tail());
    }
    fs::rename(&attempt, &place.pgdata)
        .with_context(|| format!("moving the new cluster to {}", place.pgdata.display()))?;
    // initdb has synced the files; the new name of their directory is ours to sync.
    File::open(&place.home).and_then(|home| home.sync_all()).context("syncing the new cluster")
}

const ATTEMPT: &str = "attempt-";

/// `rename` replaces an empty directory: somebody may have prepared one.
fn is_absent_or_empty(pgdata: &Path) -> bool {
    match fs::read_dir(pgdata) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    }
}

/// Best effort: what cannot be removed now is in nobody's way, and is tried again at the next start
/// that finds no cluster.
fn remove_attempts(pgdata: &Path) {
    let (Some(parent), Some(name)) = (pgdata.parent(), pgdata.file_name().and_then(|it| it.to_str())) else {
        return;
    };
    let prefix = format!("{name}.{ATTEMPT}");
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        if entry.file_name().to_str().is_some_and(|name| name.starts_with(&prefix))
            && let Err(error) = fs::remove_dir_all(entry.path())
        {
            tracing::warn!("cannot remove {}: {error}", entry.path().display());
        }
    }
}
