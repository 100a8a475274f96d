//! What handlers may reach.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use tokio::sync::Notify;

use super::quotas::Quotas;

use crate::auth::Gate;
use crate::auth::token::Principal;

use crate::base::ids::{ChannelId, NodeId};
use crate::base::metrics::Metrics;
use crate::base::rate::Rates;
use crate::channel::confirm::Confirmations;
use crate::channel::hub::Hub;
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
    /// This node.
    pub node: NodeId,
    /// The log and its projections.
    pub database: Database,
    /// Makes URLs.
    pub urls: Arc<Urls>,
    /// Verifies tokens; without it, callers are not told apart.
    pub gate: Option<Arc<Gate>>,
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
    /// How much a user and an address may ask for.
    pub quotas: Arc<Quotas>,
    /// How often enablers post.
    pub callback_rates: Arc<Rates<ChannelId>>,
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

/// The parts of the server as a handler sees them: a request that says `acr:auth` gets URLs that say it too
/// (spec/common 12).
impl FromRequestParts<App> for App {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Infallible> {
        let mut app = app.clone();
        if parts.extensions.get::<AcrAuth>().is_some()
            && let Some(principal) = parts.extensions.get::<Principal>()
        {
            app.urls = Arc::new(app.urls.with_acr_auth(&principal.user));
        }
        Ok(app)
    }
}

/// Marks a request in whose path `acr:auth` stands for the user.
#[derive(Debug, Clone, Copy)]
pub struct AcrAuth;
