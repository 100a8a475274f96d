//! Where things lie. Usually everything is in the data directory; the account that runs Postgres may
//! not get there, though, and a Unix socket's path has to be short.

use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use sha2::{Digest, Sha256};

use super::account::Account;

/// Where root keeps the clusters of data directories that Postgres' account cannot reach.
const ELSEWHERE: &str = "/var/lib/tocsin";

/// The kernel allows 108 bytes on Linux and 104 on macOS, the terminating zero included.
const SOCKET_PATH_BYTES_MAX: usize = 100;

/// The port is only a part of the socket's name: nothing listens on TCP.
pub(super) const PORT: u16 = 5432;

/// The resolved paths of one cluster.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// Holds the cluster and belongs to the account: the data directory, or its stand-in elsewhere.
    pub(super) home: PathBuf,
    /// The cluster's files, without any link on the way.
    pub(super) pgdata: PathBuf,
    /// Postgres' own log.
    pub(super) log: PathBuf,
    /// Holds the Unix socket.
    pub(super) socket_dir: PathBuf,
}

/// Where a data directory's cluster is seen, be it there or a link to elsewhere.
pub(super) fn pgdata_link(data_dir: &Path) -> PathBuf {
    data_dir.join("postgres")
}

/// Creates the data directory or accepts an existing one, and returns its absolute path.
///
/// It will be closed to others and perhaps change hands, so a directory with somebody's files in it
/// is refused: `--data-dir /etc` must not be the end of a machine.
pub(super) fn adopt(data_dir: &Path) -> anyhow::Result<PathBuf> {
    let creating = || {
        let dir = data_dir.display();
        format!("cannot make the data directory {dir} (name one that {} may write with --data-dir)", whoami())
    };
    if let Some(parent) = data_dir.parent() {
        fs::create_dir_all(parent).with_context(creating)?;
    }
    match DirBuilder::new().mode(0o700).create(data_dir) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            return Err(error).with_context(creating);
        }
        _ => {}
    }
    let data_dir = data_dir.canonicalize().with_context(creating)?;
    ensure!(
        looks_like_ours(&data_dir).with_context(|| not_ours(&data_dir))?,
        "{} holds other files and is no data directory of this server: give an empty or a new \
         directory with --data-dir",
        data_dir.display()
    );
    Ok(data_dir)
}

/// What can be done about a directory that somebody else owns.
pub(super) fn not_ours(dir: &Path) -> String {
    let dir = dir.display();
    format!("{dir} is closed to {} (start the server as the owner of {dir}, or name another --data-dir)", whoami())
}

/// The user that we are.
fn whoami() -> String {
    let uid = nix::unistd::Uid::effective();
    let user = nix::unistd::User::from_uid(uid).ok().flatten();
    user.map_or_else(|| format!("user {uid}"), |user| format!("user {}", user.name))
}

fn looks_like_ours(data_dir: &Path) -> std::io::Result<bool> {
    if fs::symlink_metadata(data_dir.join("lock")).is_ok_and(|lock| lock.is_file()) {
        return Ok(true);
    }
    for entry in fs::read_dir(data_dir)? {
        if entry?.file_name() != "lost+found" {
            return Ok(false);
        }
    }
    Ok(true)
}

impl Place {
    /// Decides where the cluster of this (absolute) data directory lies, and makes the directories
    /// that the account needs.
    pub(super) fn settle(data_dir: &Path, account: &Account) -> anyhow::Result<Place> {
        let link = pgdata_link(data_dir);
        let target = fs::read_link(&link).ok();
        let (home, pgdata) = match target {
            Some(target) if is_elsewhere(&target) => (elsewhere(&target, account)?, target),
            Some(target) => {
                let pgdata =
                    link.canonicalize().with_context(|| format!("{} leads to {}", link.display(), target.display()))?;
                (give(data_dir, account)?, pgdata)
            }
            None if reachable(data_dir, account) => (give(data_dir, account)?, link),
            None => {
                let target = move_elsewhere(data_dir, &link, account)?;
                (elsewhere(&target, account)?, target)
            }
        };
        let socket_dir = socket_dir(&home, account)?;
        Ok(Place { home, pgdata, log: data_dir.join("postgres.log"), socket_dir })
    }

    /// The major version of the cluster, or none when there is no cluster yet.
    pub(super) fn cluster_major(&self) -> anyhow::Result<Option<u32>> {
        let path = self.pgdata.join("PG_VERSION");
        match fs::read_to_string(&path) {
            Ok(version) => {
                version.trim().parse().map(Some).with_context(|| format!("{} contains {version:?}", path.display()))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
        }
    }

    /// The socket's directory may lie where machines clean up, so it is made anew before each start.
    pub(super) fn make_socket_dir(&self, account: &Account) -> anyhow::Result<()> {
        if self.socket_dir == self.home { Ok(()) } else { private_dir(&self.socket_dir, account) }
    }

    /// Removes a socket directory that is not part of the data.
    pub(super) fn remove_socket_dir(&self) {
        if self.socket_dir != self.home {
            // Not empty or already gone: neither is worth a word at the end.
            let _ = fs::remove_dir(&self.socket_dir);
        }
    }

    /// The URL for clients. The path is encoded whole: a slash would end the host.
    pub(super) fn url(&self) -> String {
        let host = percent_encoding::percent_encode(
            self.socket_dir.as_os_str().as_encoded_bytes(),
            percent_encoding::NON_ALPHANUMERIC,
        );
        format!("postgresql://tocsin@/tocsin?host={host}&port={PORT}")
    }
}

/// The data directory itself will be the account's; what matters is the way to it.
fn reachable(data_dir: &Path, account: &Account) -> bool {
    data_dir.parent().is_none_or(|parent| account.can_enter(parent))
        && account.take_over(data_dir).is_ok()
        && account.can_write_in(data_dir)
}

fn give(data_dir: &Path, account: &Account) -> anyhow::Result<PathBuf> {
    account.take_over(data_dir).with_context(|| not_ours(data_dir))?;
    Ok(data_dir.to_owned())
}

/// Leaves a link in the data directory, which also outlives a move of it: the cluster's name comes
/// from the path it was born with.
fn move_elsewhere(data_dir: &Path, link: &Path, account: &Account) -> anyhow::Result<PathBuf> {
    ensure!(
        !link.exists(),
        "user {} cannot reach the cluster in {}: a directory above it is closed to that user",
        account.name,
        link.display()
    );
    ensure!(nix::unistd::Uid::effective().is_root(), "{}", not_ours(data_dir));
    let pgdata = unused_elsewhere(data_dir).join("postgres");
    std::os::unix::fs::symlink(&pgdata, link).with_context(|| format!("linking {}", link.display()))?;
    tracing::info!(
        "user {} cannot reach {}: the cluster is kept in {}",
        account.name,
        data_dir.display(),
        pgdata.display()
    );
    Ok(pgdata)
}

/// Taken by the word, since what we made has no `..` in it: the account may write the link, and must
/// not lead root to give it /etc.
fn is_elsewhere(pgdata: &Path) -> bool {
    pgdata.starts_with(ELSEWHERE) && pgdata.components().all(|part| part != std::path::Component::ParentDir)
}

/// Who deletes a data directory and starts again wants a new cluster, not the old one back; and only
/// people delete clusters, so the old one stays where it is.
fn unused_elsewhere(data_dir: &Path) -> PathBuf {
    let name = short_name(data_dir);
    let mut home = Path::new(ELSEWHERE).join(&name);
    let mut number = 1;
    while home.exists() {
        tracing::info!("{} is of a data directory that was here before", home.display());
        number += 1;
        home = Path::new(ELSEWHERE).join(format!("{name}-{number}"));
    }
    home
}

/// Makes the directory of a cluster below [`ELSEWHERE`], and the way to it.
fn elsewhere(pgdata: &Path, account: &Account) -> anyhow::Result<PathBuf> {
    let home = pgdata.parent().context("the cluster's link has no parent")?;
    if !home.exists() {
        fs::create_dir_all(ELSEWHERE)
            // Said again, because our umask may have closed it.
            .and_then(|()| fs::set_permissions(ELSEWHERE, fs::Permissions::from_mode(0o755)))
            .with_context(|| format!("creating {ELSEWHERE}"))?;
    }
    private_dir(home, account)?;
    Ok(home.to_owned())
}

/// The home, unless its path cannot be a socket's: too long, or not to be written in a URL, where a
/// comma separates hosts.
fn socket_dir(home: &Path, account: &Account) -> anyhow::Result<PathBuf> {
    if suits_a_socket(home) {
        return Ok(home.to_owned());
    }
    let name = format!("tocsin-{}", short_name(home));
    for base in [std::env::temp_dir(), PathBuf::from("/tmp")] {
        let dir = base.join(&name);
        if base.is_absolute() && suits_a_socket(&dir) && account.can_enter(&base) {
            return Ok(dir);
        }
    }
    bail!("{} is too long for a Unix socket, and there is no short directory for it", home.display())
}

fn suits_a_socket(dir: &Path) -> bool {
    let socket = dir.join(format!(".s.PGSQL.{PORT}"));
    socket.to_str().is_some_and(|path| path.len() <= SOCKET_PATH_BYTES_MAX && !path.contains(','))
}

/// A directory that belongs to the account alone. One that exists is only trusted if it is: in /tmp
/// anybody could have made it first, to sit between us and our database.
fn private_dir(dir: &Path, account: &Account) -> anyhow::Result<()> {
    let making = || format!("making {}", dir.display());
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            return Err(error).with_context(making);
        }
        _ => {}
    }
    let found = fs::symlink_metadata(dir).with_context(making)?;
    let me = nix::unistd::Uid::effective().as_raw();
    ensure!(
        found.is_dir() && [account.uid, me].contains(&found.uid()),
        "{} exists and belongs to somebody else: remove it",
        dir.display()
    );
    account.take_over(dir).with_context(making)
}

/// A short name that stands for a path.
fn short_name(path: &Path) -> String {
    let digest = Sha256::digest(path.as_os_str().as_encoded_bytes());
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
