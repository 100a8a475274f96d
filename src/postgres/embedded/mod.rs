//! The private cluster: with no database given, the server brings its own Postgres, kept in the data
//! directory, reached through a Unix socket that only its owner may open.
//!
//! **Invariant**: whoever holds the data directory's lock owns every Postgres process of its cluster.
//! A postmaster found there at start is an orphan of a crashed run and is stopped; were two servers
//! to hold one directory, each would stop the other's.

mod account;
mod binaries;
mod initdb;
mod lock;
mod log_file;
mod orphan;
mod place;
mod postmaster;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use account::Account;
use binaries::Binaries;
use lock::Lock;
use log_file::LogFile;
use place::Place;
use postmaster::Postmaster;

/// What the cluster is run with, before the caller's own settings. fsync is left on: the log of
/// events is the truth.
const SETTINGS: [(&str, &str); 14] = [
    ("listen_addresses", ""),
    ("unix_socket_permissions", "0700"),
    // The role is called tocsin: by the default, "$user", public, tables that users make would be in our schema.
    ("search_path", "public"),
    ("max_connections", "200"),
    ("shared_buffers", "256MB"),
    ("max_wal_size", "4GB"),
    ("jit", "off"),                       // compiling costs more than our statements do
    ("max_locks_per_transaction", "256"), // partitions: one lock each
    ("max_prepared_transactions", "16"),
    ("log_min_messages", "warning"),
    ("log_line_prefix", "%m [%p] "),
    ("logging_collector", "off"), // stderr is the log
    ("timezone", "UTC"),
    ("log_timezone", "UTC"),
];

/// After a `kill -9` of the postmaster alone its backends live on for a moment, and Postgres rightly
/// refuses to start beside them.
const LEFTOVERS_MAX: Duration = Duration::from_secs(30);
const LEFTOVERS_AGAIN_AFTER: Duration = Duration::from_millis(200);
const LEFTOVERS_SAY: &str = "still in use";

/// The wait before a restart doubles between these, and starts over after a run that lasted.
const RESTART_AFTER_MIN: Duration = Duration::from_millis(100);
const RESTART_AFTER_MAX: Duration = Duration::from_secs(30);
const RUN_THAT_LASTED: Duration = Duration::from_secs(60);

/// A running private cluster. Dropping it stops Postgres, blocking for as long as that takes, at most
/// a few seconds; [`Embedded::supervise`] is the proper end.
#[derive(Debug)]
pub struct Embedded {
    // Fields drop in this order, and the locks must outlive the process they protect.
    postmaster: Postmaster,
    cluster: Cluster,
    _locks: Vec<Lock>,
}

impl Embedded {
    /// Takes the data directory, creating it and the cluster if need be, puts an end to what a
    /// crashed run has left, and returns once Postgres accepts connections.
    pub async fn start(data_dir: &Path) -> anyhow::Result<Embedded> {
        Embedded::start_with(data_dir, &[]).await
    }

    /// Like [`Embedded::start`], with settings of Postgres that come after our own and so win over
    /// them: tests turn `fsync` off.
    pub async fn start_with(data_dir: &Path, settings: &[(&str, &str)]) -> anyhow::Result<Embedded> {
        let data_dir = place::adopt(data_dir)?;
        let mut locks = vec![Lock::take(&data_dir).await?];
        let account = Account::for_cluster(&place::pgdata_link(&data_dir))?;
        let place = Place::settle(&data_dir, &account)?;
        if place.home != data_dir {
            // A copy of the data directory leads to the same cluster.
            locks.push(Lock::take(&place.home).await?);
        }
        let cluster = Cluster::prepare(place, account, settings).await?;
        let postmaster = cluster.launch().await?;
        locks[0].publish(&cluster.url)?;
        Ok(Embedded { postmaster, cluster, _locks: locks })
    }

    /// The URL of the cluster's database `tocsin`, for tokio-postgres and psql alike.
    pub fn url(&self) -> &str {
        &self.cluster.url
    }

    /// Starts Postgres again whenever it ends, until `stop` is cancelled; then stops it, and returns
    /// when it is gone.
    pub async fn supervise(mut self, stop: CancellationToken) -> anyhow::Result<()> {
        let mut restart_after = RESTART_AFTER_MIN;
        loop {
            let started = Instant::now();
            let (status, log) = tokio::select! {
                () = stop.cancelled() => break,
                ended = self.postmaster.ended() => ended?,
            };
            tracing::error!("Postgres has ended ({status}) and is started again; {log}");
            if started.elapsed() > RUN_THAT_LASTED {
                restart_after = RESTART_AFTER_MIN;
            }
            let Some(postmaster) = self.relaunch(&mut restart_after, &stop).await else {
                break; // nothing is running
            };
            self.postmaster = postmaster;
        }
        self.postmaster.stop().await?;
        self.cluster.place.remove_socket_dir();
        Ok(())
    }

    /// Tries for as long as it takes: without the database the server is of no use, and what is wrong
    /// (a full disk, no memory) may pass. None when `stop` came first.
    async fn relaunch(&self, restart_after: &mut Duration, stop: &CancellationToken) -> Option<Postmaster> {
        let attempts = async {
            loop {
                sleep(*restart_after).await;
                *restart_after = RESTART_AFTER_MAX.min(*restart_after * 2);
                match self.cluster.launch().await {
                    Ok(postmaster) => {
                        tracing::info!("Postgres is running again");
                        return postmaster;
                    }
                    Err(error) => tracing::error!("Postgres cannot be started again: {error:#}"),
                }
            }
        };
        stop.run_until_cancelled(attempts).await
    }
}

/// The URL of the cluster that a running server keeps in this data directory, for people who want to
/// look into it with psql. Fails when no server is running there, or none that is ready.
pub fn running_url(data_dir: &Path) -> anyhow::Result<String> {
    Lock::published(data_dir)
}

/// All that starting Postgres takes, the first time and any other.
#[derive(Debug)]
struct Cluster {
    place: Place,
    account: Account,
    binaries: Binaries,
    settings: Vec<(String, String)>,
    url: String,
}

impl Cluster {
    async fn prepare(place: Place, account: Account, settings: &[(&str, &str)]) -> anyhow::Result<Cluster> {
        let major = place.cluster_major()?;
        let binaries = Binaries::find(major)?;
        if major.is_some() {
            account.take_over_cluster(&place.pgdata)?;
        } else {
            let durable = !settings.contains(&("fsync", "off"));
            initdb::run(&place, &account, &binaries, durable).await?;
        }
        // Quoted, because the setting is a list with commas.
        let socket_dir = place.socket_dir.display().to_string().replace('"', "\"\"");
        let settings = SETTINGS
            .iter()
            .chain(settings)
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .chain([
                ("unix_socket_directories".to_owned(), format!("\"{socket_dir}\"")),
                ("port".to_owned(), place::PORT.to_string()),
            ])
            .collect();
        let url = place.url();
        Ok(Cluster { place, account, binaries, settings, url })
    }

    /// Makes way, starts Postgres, and waits until it can be used.
    async fn launch(&self) -> anyhow::Result<Postmaster> {
        let begun = Instant::now();
        loop {
            orphan::clear(&self.place, &self.account).await?;
            self.place.make_socket_dir(&self.account)?;
            let log = LogFile::open(&self.place.log)?;
            let mut postmaster = Postmaster::spawn(self.command(), log)?;
            let Err(error) = postmaster.ready(&self.url).await else {
                return Ok(postmaster);
            };
            if begun.elapsed() > LEFTOVERS_MAX || !format!("{error:#}").contains(LEFTOVERS_SAY) {
                return Err(error);
            }
            tracing::warn!("waiting for processes of a previous run: {error:#}");
            sleep(LEFTOVERS_AGAIN_AFTER).await;
        }
    }

    fn command(&self) -> Command {
        let mut command = self.account.command(self.binaries.program("postgres"));
        command.arg("-D").arg(&self.place.pgdata);
        // Postgres would go there itself, a moment later: from the first an orphan is known by it.
        command.current_dir(&self.place.pgdata);
        for (name, value) in &self.settings {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        command
    }
}
