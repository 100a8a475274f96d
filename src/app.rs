//! Builds every part of the server, starts every task, and ends them in the right order.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore};
use tracing::{info, warn};

use crate::auth::Gate;
use crate::auth::config::Jwt;
use crate::base::ids::NodeId;
use crate::base::metrics::Metrics;
use crate::base::rate::Rates;
use crate::channel::confirm::Confirmations;
use crate::channel::hub::Hub;
use crate::channel::keyring::Keyring;
use crate::channel::polls::Undelivered;
use crate::channel::secret::OutsideSecret;
use crate::config::{Config, DatabaseChoice};
use crate::delivery::dispatcher::Dispatcher;
use crate::delivery::drain::Drain;
use crate::delivery::websocket::CLOSE_PATIENCE;
use crate::delivery::{Delivery, OPENINGS_MAX};
use crate::http;
use crate::http::admission::{self, Admission};
use crate::http::quotas::Quotas;
use crate::http::serve;
use crate::http::state::App;
use crate::http::tls::Certificate;
use crate::inbox::rows as inbox;
use crate::lifecycle::{Signals, Tasks};
use crate::log::pages::Pages;
use crate::log::tailer;
use crate::maintenance;
use crate::outbound::Senders;
use crate::postgres::embedded::{self, Embedded};
use crate::postgres::{Database, migrate};
use crate::store::payload::upload::Uploads;
use crate::wire::urls::Urls;

/// How long tasks and requests may take to end.
const END_PATIENCE: Duration = Duration::from_secs(10);
/// How long the private cluster may take to stop, before it is left to itself.
const CLUSTER_PATIENCE: Duration = Duration::from_secs(60);
/// How long the last positions may take to be stored.
const LAST_FLUSH_PATIENCE: Duration = Duration::from_secs(5);

/// The database, and the private cluster it lies in when it is ours to run.
#[derive(Clone)]
pub(crate) struct Home {
    pub url: String,
    cluster: Tasks,
}

impl Home {
    /// Starts and supervises the private cluster, if that is the choice.
    pub async fn open(choice: &DatabaseChoice) -> anyhow::Result<Home> {
        let cluster = Tasks::new();
        let url = match choice {
            DatabaseChoice::Url(url) => url.clone(),
            DatabaseChoice::Embedded(dir) => {
                let embedded = Embedded::start(dir).await?;
                migrate::make_writer(&Database::new(embedded.url())?.connect("roles").await?.client).await?;
                let url = embedded.url().to_owned();
                cluster.spawn("postgres", embedded.supervise(cluster.stopping()));
                url
            }
        };
        Ok(Home { url, cluster })
    }

    /// For a command beside the server: the private cluster of one that is running, or else as [`Home::open`].
    pub async fn find(choice: &DatabaseChoice) -> anyhow::Result<Home> {
        if let DatabaseChoice::Embedded(dir) = choice
            && let Ok(url) = embedded::running_url(dir)
        {
            return Ok(Home { url, cluster: Tasks::new() });
        }
        Home::open(choice).await
    }

    /// Stops the private cluster, if it is ours.
    pub async fn close(self) {
        self.cluster.end(CLUSTER_PATIENCE).await;
    }
}

/// What is made of the settings and of the files that they name, before anything is started.
struct Outside {
    senders: Senders,
    gate: Option<Arc<Gate>>,
    secret: Option<OutsideSecret>,
}

/// What is wrong with the files that the settings name, and with the settings of push.
pub(crate) async fn faults(config: &Config) -> Vec<String> {
    let senders = Senders::new(&config.push, config.allow_private_targets).err();
    let secret = config.secret_key_file.as_deref().and_then(|file| OutsideSecret::read(file).err());
    let certificate = match &config.edge.tls {
        Some(files) => Certificate::load(files.clone()).await.err(),
        None => None,
    };
    [senders, secret, certificate].into_iter().flatten().map(|fault| format!("{fault:#}")).collect()
}

/// A running server.
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    /// `{serverRoot}` with its scheme.
    pub url: String,
    /// How the log is followed.
    pub tail: Arc<tailer::Status>,
    tasks: Tasks,
    home: Home,
    database: Database,
    confirmations: Arc<Confirmations>,
    undelivered: Arc<Undelivered>,
    drain: Arc<Drain>,
    hub: Arc<Hub>,
}

impl Server {
    /// Starts everything; when it returns, requests are accepted.
    pub async fn start(config: Config) -> anyhow::Result<Server> {
        // Before anything else: key files that are of no use are told at once.
        let senders = Senders::new(&config.push, config.allow_private_targets)?;
        let gate = config.jwt.as_ref().map(Jwt::gate).transpose()?.map(Arc::new);
        let secret = config.secret_key_file.as_deref().map(OutsideSecret::read).transpose()?;
        let outside = Outside { senders, gate, secret };
        let home = Home::open(&config.database).await?;
        match Self::start_on(config, outside, home.clone()).await {
            Ok(server) => Ok(server),
            Err(fault) => {
                home.close().await;
                Err(fault)
            }
        }
    }

    async fn start_on(config: Config, outside: Outside, home: Home) -> anyhow::Result<Server> {
        let Outside { senders, gate, secret } = outside;
        let listener = listen(config.listen).await?;
        let address = listener.local_addr()?;
        let certificate = match &config.edge.tls {
            Some(files) => Some(Certificate::load(files.clone()).await?),
            None => None,
        };
        let metrics = Arc::new(Metrics::new());
        let node = NodeId::random();
        let database = Database::new(&home.url)?.measured_by(&metrics).of_node(&node, address);
        let mut connection = database.connect("migrate").await?;
        migrate::run(&mut connection.client, config.limits.partitions_months_ahead).await?;
        drop(connection);

        let scheme = if config.edge.tls.is_some() { "https" } else { "http" };
        let root = config.public_url.clone().unwrap_or_else(|| format!("{scheme}://{address}"));
        let keyring = Keyring::open(&database, secret).await?;
        let urls = Arc::new(Urls::new(root.clone(), keyring.keys()));
        let (tasks, hub) = (Tasks::new(), Arc::new(Hub::new(&metrics)));
        let drain = Arc::new(Drain::new(Duration::from_secs(config.drain_seconds), &tasks.stopping()));
        let confirmations = Arc::new(Confirmations::default());
        let tail = Arc::new(tailer::Status::new(metrics.clone()));
        let undelivered = Arc::new(Undelivered::default());
        let limits = &config.limits;
        let uploads = Arc::new(Uploads::new(limits.payload_bytes_max, limits.payload_parts_max));
        let delivery = Arc::new(Delivery {
            database: database.clone(),
            pages: Arc::new(Pages::new(database.clone(), limits.pages_bytes_max)),
            hub: hub.clone(),
            confirmations: confirmations.clone(),
            undelivered: undelivered.clone(),
            openings: Semaphore::new(OPENINGS_MAX),
            urls: urls.clone(),
            limits: config.limits.clone(),
            channel_made: Notify::new(),
            drain: drain.clone(),
            metrics: metrics.clone(),
            stop: tasks.stopping(),
        });
        declare(&database, &config).await?;
        let deferred_made = Arc::new(Notify::new());
        let app = App {
            node: node.clone(),
            database: database.clone(),
            urls,
            gate: gate.clone(),
            limits: Arc::new(config.limits.clone()),
            edge: Arc::new(config.edge.clone()),
            hub: hub.clone(),
            confirmations: confirmations.clone(),
            delivery: delivery.clone(),
            senders: senders.clone(),
            quotas: Arc::new(Quotas::new(&config.limits, &metrics)),
            callback_rates: Arc::new(Rates::new(config.limits.callbacks_per_second_max)),
            uploads: uploads.clone(),
            deferred_made: deferred_made.clone(),
            tail: tail.clone(),
            metrics: metrics.clone(),
            tasks: tasks.clone(),
        };
        let serving = serving(&config, app, certificate.as_ref())?;

        let (draining, stop) = (hub.clone(), tasks.stopping());
        tasks.spawn("drain", async move {
            stop.cancelled().await;
            draining.drain();
            Ok(())
        });
        tasks.spawn("tailer", tailer::run(database.clone(), delivery.clone(), tail.clone(), tasks.stopping()));
        let (for_confirmations, stop) = (database.clone(), tasks.stopping());
        let confirming = confirmations.clone();
        tasks.spawn("confirmations", async move { confirming.run(&for_confirmations, stop).await });
        tasks.spawn("dispatcher", Dispatcher::new(delivery, senders, node).run());
        let (for_undelivered, stop) = (database.clone(), tasks.stopping());
        let noting = undelivered.clone();
        tasks.spawn("undelivered", async move { noting.run(&for_undelivered, stop).await });
        let (for_uploads, stop) = (database.clone(), tasks.stopping());
        tasks.spawn("uploads", async move { uploads.run(&for_uploads, stop).await });
        tasks.spawn("url keys", keyring.run(database.clone(), tasks.stopping()));
        tasks.spawn("payloads", maintenance::payloads(database.clone(), tasks.stopping()));
        tasks.spawn("expire", maintenance::expire(database.clone(), tasks.stopping()));
        let months = config.limits.partitions_months_ahead;
        tasks.spawn("partitions", maintenance::partitions(database.clone(), months, metrics.clone(), tasks.stopping()));
        tasks.spawn("figures", maintenance::figures::look(database.clone(), metrics, tasks.stopping()));
        let keep = config.limits.events_keep_days;
        tasks.spawn("retention", maintenance::retention(database.clone(), keep, tasks.stopping()));
        tasks.spawn("callback keys", maintenance::callback_keys(database.clone(), tasks.stopping()));
        tasks.spawn("watches", maintenance::watches(database.clone(), tasks.stopping()));
        let (expire, keep) = (config.limits.objects_expire_seconds, config.limits.tombstones_keep_seconds);
        tasks.spawn("objects", maintenance::objects(database.clone(), expire, keep, tasks.stopping()));
        tasks.spawn("terms", maintenance::terms::terms(database.clone(), tasks.stopping()));
        tasks.spawn("deferred", maintenance::deferred::release(database.clone(), deferred_made, tasks.stopping()));
        if let Some(gate) = gate {
            tasks.spawn("keys", gate.run(tasks.stopping()));
        }
        if let Some(certificate) = certificate {
            tasks.spawn("certificate", certificate.run(tasks.stopping()));
        }
        tasks.spawn("http", serving.run(listener));
        info!("listening on {address}");
        if !address.ip().is_loopback() && config.edge.tls.is_none() && config.edge.trusted_proxies.is_empty() {
            warn!("everybody on the way can read and change what goes over http: see --tls-cert, or --trusted-proxies");
        }
        if address.ip().is_unspecified() && config.public_url.is_none() {
            warn!("URLs begin with {root}, which is nobody's address: see --public-url");
        }
        Ok(Server { address, url: root, tail, tasks, home, database, confirmations, undelivered, drain, hub })
    }

    /// Runs until asked to stop, or until a part of the server fails; then drains and ends. Asked again, it ends at once:
    /// an error, since positions may not have been stored.
    pub async fn run_until(self, mut signals: Signals) -> anyhow::Result<()> {
        let (tasks, cluster) = (self.tasks.stopping(), self.home.cluster.stopping());
        let outcome = tokio::select! {
            () = signals.next() => Ok(()),
            () = tasks.cancelled() => Err(anyhow::anyhow!("a part of the server failed")),
            () = cluster.cancelled() => Err(anyhow::anyhow!("the private Postgres cluster failed")),
        };
        let home = self.home.clone();
        tokio::select! {
            () = self.end() => outcome,
            () = signals.next() => {
                home.close().await; // a private cluster must not be left behind
                anyhow::bail!("asked twice: ended without draining")
            }
        }
    }

    /// Drains: takes no more sockets and polls, gives up its leases, closes the sockets one by one with their positions.
    /// Then it stores the last positions and stops the cluster.
    pub async fn end(self) {
        let left = self.drain.leave(&self.hub, CLOSE_PATIENCE).await;
        if left > 0 {
            info!("{left} sockets are not closed in time");
        }
        self.tasks.end(END_PATIENCE).await;
        match tokio::time::timeout(LAST_FLUSH_PATIENCE, self.confirmations.flush(&self.database)).await {
            Ok(Ok(())) => {}
            _ => warn!("the last positions could not be stored: what they confirm will be sent again"),
        }
        match tokio::time::timeout(LAST_FLUSH_PATIENCE, self.undelivered.flush(&self.database)).await {
            Ok(Ok(())) => {}
            _ => warn!("answers that were lost could not be noted: they will not be sent again"),
        }
        self.database.close();
        self.home.close().await;
    }
}

async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|fault| {
        let remedy = match fault.kind() {
            ErrorKind::AddrInUse => " (another program does: stop it, or say another address with --listen)",
            ErrorKind::AddrNotAvailable => " (this machine has no such address: say one of its own with --listen)",
            ErrorKind::PermissionDenied => {
                " (ports below 1024 need the right CAP_NET_BIND_SERVICE, or another --listen)"
            }
            _ => "",
        };
        anyhow::Error::new(fault).context(format!("cannot listen on {address}{remedy}"))
    })
}

/// Declares the types of events and the groups of the configuration.
async fn declare(database: &Database, config: &Config) -> anyhow::Result<()> {
    for of in &config.event_types {
        let declared = inbox::declare_event_type(database, &of.name, &of.title, &of.description).await;
        declared.with_context(|| format!("event type {}", of.name))?;
    }
    for (name, users) in &config.groups {
        inbox::declare_group(database, name, users).await.with_context(|| format!("group {name}"))?;
    }
    Ok(())
}

/// What connections are served with.
fn serving(config: &Config, app: App, certificate: Option<&Arc<Certificate>>) -> anyhow::Result<serve::Server> {
    let (limits, metrics, tasks) = (app.limits.clone(), app.metrics.clone(), app.tasks.clone());
    let uncounted = config.edge.trusted_proxies.clone();
    let connections = metrics.connections.clone();
    admission::make_room(limits.connections_max);
    let admission = Admission::new(limits.connections_max, limits.connections_per_address_max, uncounted, connections);
    let tls = certificate.map(Certificate::acceptor).transpose()?;
    Ok(serve::Server { router: http::router(app), tls, admission: Arc::new(admission), limits, metrics, tasks })
}
