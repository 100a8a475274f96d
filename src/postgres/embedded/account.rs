//! Who runs Postgres. Postgres refuses root, so a server started as root lends the work to another
//! account; any other server runs Postgres as itself.

use std::ffi::OsStr;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::{fs, io};

use anyhow::{Context, anyhow};
use nix::unistd::{Uid, User};

/// The only variables that the child sees. Everything else stays out: `PGPORT`, `PGOPTIONS` or a
/// broken `LC_ALL` would change the cluster, and our secrets are none of its business.
const ENVIRONMENT_KEPT: [&str; 3] = ["PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"];

/// Tried in this order when root has to lend the cluster to somebody.
const ACCOUNTS_LENT_TO: [&str; 2] = ["postgres", "nobody"];

/// The system account that owns the cluster's files and runs its processes.
#[derive(Debug, Clone)]
pub(super) struct Account {
    pub(super) name: String,
    pub(super) uid: u32,
    gid: u32,
    /// We are root and this is somebody else.
    lent: bool,
}

impl Account {
    /// The account for a cluster: the owner of the one that exists, because Postgres only starts
    /// for the owner of its files; else ourselves; and if that is root, the usual stand-ins.
    pub(super) fn for_cluster(pgdata: &Path) -> anyhow::Result<Account> {
        let me = Uid::effective();
        if !me.is_root() {
            return Ok(Account {
                name: "the server's own user".to_owned(),
                uid: me.as_raw(),
                gid: nix::unistd::Gid::effective().as_raw(),
                lent: false,
            });
        }
        if let Ok(cluster) = fs::metadata(pgdata)
            && cluster.uid() != 0
        {
            let name = User::from_uid(Uid::from_raw(cluster.uid()))?
                .map_or_else(|| cluster.uid().to_string(), |user| user.name);
            return Ok(Account { name, uid: cluster.uid(), gid: cluster.gid(), lent: true });
        }
        for name in ACCOUNTS_LENT_TO {
            if let Some(user) = User::from_name(name)? {
                return Ok(Account { name: user.name, uid: user.uid.as_raw(), gid: user.gid.as_raw(), lent: true });
            }
        }
        Err(anyhow!(
            "Postgres refuses to run as root, and there is no user `postgres` or `nobody` to run \
             it as: start the server as another user, or give it a DATABASE_URL"
        ))
    }

    /// A command that runs as this account, in a process group of its own so that Ctrl-C in the
    /// terminal reaches only the server, which stops Postgres when nobody needs it any more.
    pub(super) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .envs(ENVIRONMENT_KEPT.iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
            .env("LC_ALL", "C")
            .current_dir("/") // ours may be closed to the account
            .stdin(Stdio::null())
            .process_group(0);
        if self.lent {
            command.uid(self.uid).gid(self.gid);
        }
        command
    }

    /// Whether the account gets into this directory. Found out by going there: permission bits,
    /// access lists and mount options all have a say, and only the kernel knows them all.
    pub(super) fn can_enter(&self, dir: &Path) -> bool {
        self.succeeds("cd \"$0\"", dir)
    }

    /// Whether the account may create files in this directory.
    pub(super) fn can_write_in(&self, dir: &Path) -> bool {
        self.succeeds("cd \"$0\" && test -w .", dir)
    }

    fn succeeds(&self, script: &str, dir: &Path) -> bool {
        self.command("/bin/sh")
            .args(["-c", script])
            .arg(dir)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    }

    /// Makes the directory the account's own, closed to everybody else but root.
    pub(super) fn take_over(&self, dir: &Path) -> io::Result<()> {
        if self.lent {
            std::os::unix::fs::chown(dir, Some(self.uid), Some(self.gid))?;
        }
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700))
    }

    /// Gives a whole cluster to the account: one that root copied back from a backup is root's, and
    /// Postgres would refuse it.
    pub(super) fn take_over_cluster(&self, pgdata: &Path) -> anyhow::Result<()> {
        if self.lent && fs::metadata(pgdata)?.uid() != self.uid {
            self.take_over_below(pgdata)
                .and_then(|()| self.take_over(pgdata))
                .with_context(|| format!("giving {} to user {}", pgdata.display(), self.name))?;
        }
        Ok(())
    }

    fn take_over_below(&self, dir: &Path) -> io::Result<()> {
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            // `lchown` and `file_type` look at the entry itself: a link must not lead us outside.
            std::os::unix::fs::lchown(entry.path(), Some(self.uid), Some(self.gid))?;
            if entry.file_type()?.is_dir() {
                self.take_over_below(&entry.path())?;
            }
        }
        Ok(())
    }
}
