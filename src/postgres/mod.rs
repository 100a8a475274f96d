//! Everything that knows how to reach Postgres: the pool, connections of one's own, migrations, the private cluster.

pub mod checkup;
pub mod embedded;
pub mod fault;
pub mod migrate;
pub mod rebuild;
pub mod tls;

use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use anyhow::Context;
use deadpool_postgres::{Hook, HookError, Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::error::Severity;
use tokio_postgres::{AsyncMessage, Client, Config, Notification};
use tokio_postgres_rustls::MakeRustlsConnect;
use tracing::warn;

use crate::base::ids::NodeId;
use crate::base::metrics::{Counter, Durations, Metrics};
use crate::base::{Error, Result};
use crate::lifecycle::Attendant;

/// A connection of the pool, for one request.
pub type Pooled = deadpool_postgres::Object;

/// Connections the pool opens at most.
const POOL_CONNECTIONS_MAX: usize = 24;
/// How long a request waits for one of them.
const POOL_WAIT: Duration = Duration::from_secs(5);
/// A request must not wait forever for a box that somebody's open transaction holds, nor hold one itself. And a plan over
/// many partitions looks dear, so that it would be compiled, which takes longer than any of our statements.
const POOL_SESSION: &str = "set lock_timeout = '5s'; set idle_in_transaction_session_timeout = '60s';
    set jit = off; set max_parallel_workers_per_gather = 0";
/// A session of one's own may take its time, whatever the database or the role says. (Not every version has every limit.)
const OWN_SESSION: &str = "select set_config(name, '0', false) from pg_settings where name in ('lock_timeout',
        'statement_timeout', 'transaction_timeout', 'idle_in_transaction_session_timeout', 'idle_session_timeout');
    set jit = off; set max_parallel_workers_per_gather = 0;
    set tcp_keepalives_idle = 30; set tcp_keepalives_interval = 10; set tcp_keepalives_count = 3";
/// Notifications that may wait to be looked at. More are dropped: the ring has been heard.
const NOTIFICATIONS_MAX: usize = 1024;

/// One database.
#[derive(Clone)]
pub struct Database {
    config: Config,
    tls: MakeRustlsConnect,
    pool: Pool,
    waits: Option<Waits>,
    /// Follows the names of connections of one's own.
    node: String,
}

/// How long connections are waited for.
#[derive(Clone)]
struct Waits {
    took: Durations,
    failures: Counter,
}

impl Database {
    /// Reads the URL, and the files of certificates that it names; nothing is connected yet.
    ///
    /// # Errors
    /// The URL or what it says of TLS cannot be used.
    pub fn new(url: &str) -> anyhow::Result<Self> {
        let parameters = tls::Parameters::of(url)?;
        let mut config = Config::from_str(&parameters.rest).context("the database URL cannot be read")?;
        let (mode, tls) = parameters.resolve().context("the database URL cannot be used")?;
        config.ssl_mode(if has_unix_sockets_only(&config) { SslMode::Disable } else { mode });
        config.application_name("tocsin");
        config.keepalives(true).keepalives_idle(Duration::from_secs(30)).connect_timeout(Duration::from_secs(10));
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_config(config.clone(), tls.clone(), recycling);
        let pool = Pool::builder(manager)
            .max_size(POOL_CONNECTIONS_MAX)
            .wait_timeout(Some(POOL_WAIT))
            .create_timeout(Some(POOL_WAIT))
            .runtime(Runtime::Tokio1)
            .post_create(Hook::async_fn(|client, _| {
                Box::pin(async move { client.batch_execute(POOL_SESSION).await.map_err(HookError::Backend) })
            }))
            .build()?;
        Ok(Database { config, tls, pool, waits: None, node: String::new() })
    }

    /// Measures from now on how long connections are waited for.
    pub fn measured_by(self, metrics: &Metrics) -> Self {
        let (took, failures) = (metrics.pool_waits.clone(), metrics.pool_failures.clone());
        Database { waits: Some(Waits { took, failures }), ..self }
    }

    /// Connections of one's own say from now on which node they belong to: its id, version, and the address it listens on, as
    /// sql/queries/operator_nodes.sql reads it.
    pub fn of_node(self, id: &NodeId, address: SocketAddr) -> Self {
        Database { node: format!(" {} {} {address}", id.as_str(), env!("CARGO_PKG_VERSION")), ..self }
    }

    /// A connection for a short while. [`Error::Busy`] when none can be had.
    pub async fn get(&self) -> Result<Pooled> {
        let asked = Instant::now();
        let got = self.pool.get().await;
        if let Some(waits) = &self.waits {
            waits.took.observe(asked.elapsed().as_secs_f64());
            waits.failures.inc_by(got.is_err().into());
        }
        got.map_err(|fault| Error::Busy(format!("no database connection: {fault}")))
    }

    /// How much of the pool is in use.
    pub fn pool(&self) -> PoolState {
        let status = self.pool.status();
        let idle = status.available.min(status.size);
        PoolState { in_use: status.size - idle, idle, most: status.max_size, waiting: status.waiting }
    }

    /// Closes the pool: nothing can be asked any more.
    pub fn close(&self) {
        self.pool.close();
    }

    /// A connection of one's own, outside the pool, with keepalives on the server's side too and no time limits.
    pub async fn connect(&self, name: &str) -> anyhow::Result<Connection> {
        let mut config = self.config.clone();
        config.application_name(format!("tocsin {name}{}", self.node));
        let connecting = config.connect(self.tls.clone()).await;
        let (client, mut driver) = connecting.map_err(|fault| fault::not_connected(fault, &config))?;
        let (heard, notifications) = mpsc::channel(NOTIFICATIONS_MAX);
        let name = name.to_owned();
        let attendant = Attendant::spawn(async move {
            let mut messages = futures_util::stream::poll_fn(|cx| driver.poll_message(cx));
            while let Some(message) = messages.next().await {
                match message {
                    Ok(AsyncMessage::Notification(notification)) => {
                        let _ = heard.try_send(notification);
                    }
                    Ok(AsyncMessage::Notice(notice)) if notice.parsed_severity() == Some(Severity::Warning) => {
                        warn!("{name}: {notice}");
                    }
                    Ok(_) => {}
                    Err(fault) => {
                        warn!("{name}: connection lost: {fault}");
                        break;
                    }
                }
            }
        });
        client.batch_execute(OWN_SESSION).await?;
        Ok(Connection { client, notifications, attendant })
    }
}

/// Postgres knows no TLS on Unix sockets; as libpq has it, they need none.
fn has_unix_sockets_only(config: &Config) -> bool {
    config.get_hostaddrs().is_empty() && config.get_hosts().iter().all(|host| matches!(host, Host::Unix(_)))
}

/// Connections of the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolState {
    /// Lent.
    pub in_use: usize,
    /// Open, for the next who asks.
    pub idle: usize,
    /// There may be so many.
    pub most: usize,
    /// Who waits for one.
    pub waiting: usize,
}

/// A connection outside the pool; closed when dropped.
pub struct Connection {
    /// For statements.
    pub client: Client,
    /// What arrives by NOTIFY; `None` when the connection is lost.
    pub notifications: mpsc::Receiver<Notification>,
    /// Drives the connection; dropping it closes the connection.
    pub attendant: Attendant,
}
