//! What handlers may reach.

use std::sync::Arc;

use tokio::sync::Notify;

use crate::base::metrics::Metrics;
use crate::channel::confirm::Confirmations;
use crate::channel::hub::Hub;
use crate::channel::rate::Rates;
use crate::config::Limits;
use crate::config::edge::Edge;
use crate::delivery::Delivery;
use crate::lifecycle::Tasks;
use crate::log::tailer::Status;
use crate::outbound::Senders;
use crate::postgres::Database;
use crate::store::payload::upload::Uploads;
use crate::wire::urls::Urls;

/// The parts of a running server.
#[derive(Clone)]
pub struct App {
    /// The log and its projections.
    pub database: Database,
    /// Makes URLs.
    pub urls: Arc<Urls>,
    /// Policy.
    pub limits: Arc<Limits>,
    /// TLS, proxies, browsers.
    pub edge: Arc<Edge>,
    /// The channels connected here.
    pub hub: Arc<Hub>,
    /// Positions on their way to the database.
    pub confirmations: Arc<Confirmations>,
    /// Serves sockets.
    pub delivery: Arc<Delivery>,
    /// Pushes and webhooks.
    pub senders: Senders,
    /// How often enablers post.
    pub callback_rates: Arc<Rates>,
    /// Payloads on their way into storage.
    pub uploads: Arc<Uploads>,
    /// Something was deferred here.
    pub deferred_made: Arc<Notify>,
    /// How the log is followed.
    pub tail: Arc<Status>,
    /// What is measured.
    pub metrics: Arc<Metrics>,
    /// To wait for sessions at the end.
    pub tasks: Tasks,
}
