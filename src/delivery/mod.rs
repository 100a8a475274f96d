//! Delivery: what happens between an event and its arrival at the client. One open connection each.

pub mod dispatcher;
pub mod feed;
pub mod polling;
pub mod positions;
pub mod sender;
pub mod websocket;

use std::sync::Arc;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::channel::confirm::Confirmations;
use crate::channel::hub::Hub;
use crate::channel::polls::Undelivered;
use crate::config::Limits;
use crate::postgres::Database;
use crate::wire::urls::Urls;

/// What every connection needs.
pub struct Delivery {
    /// The log and the positions.
    pub database: Database,
    /// The channels connected here.
    pub hub: Arc<Hub>,
    /// Stores positions.
    pub confirmations: Arc<Confirmations>,
    /// Polls and answers that went nowhere.
    pub undelivered: Arc<Undelivered>,
    /// Makes URLs.
    pub urls: Arc<Urls>,
    /// Policy.
    pub limits: Limits,
    /// A channel was created here: it may want a sender.
    pub channel_made: Notify,
    /// The server is to end.
    pub stop: CancellationToken,
}
