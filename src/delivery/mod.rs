//! Delivery: what happens between an event and its arrival at the client. One open connection each.

pub mod dispatcher;
pub mod drain;
pub mod feed;
pub mod listener;
pub mod polling;
pub mod positions;
pub mod sender;
pub mod websocket;

use std::sync::Arc;

use tokio::sync::{Notify, Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;

use crate::base::metrics::Metrics;
use crate::base::{Error, Result};
use crate::channel::confirm::Confirmations;
use crate::channel::hub::Hub;
use crate::channel::polls::Undelivered;
use crate::config::Limits;
use crate::log::Event;
use crate::log::interest::Places;
use crate::log::pages::Pages;
use crate::log::tailer::Sink;
use crate::postgres::Database;
use crate::wire::urls::Urls;
use drain::Drain;

/// What every connection needs.
pub struct Delivery {
    /// The log and the positions.
    pub database: Database,
    /// What is read of the log.
    pub pages: Arc<Pages>,
    /// The channels connected here.
    pub hub: Arc<Hub>,
    /// Stores positions.
    pub confirmations: Arc<Confirmations>,
    /// Polls and answers that went nowhere.
    pub undelivered: Arc<Undelivered>,
    /// Connections that are being opened. When thousands come at once they wait here, in order and as long as it
    /// takes, not for the pool, which others need too and which gives up.
    pub openings: Semaphore,
    /// Makes URLs.
    pub urls: Arc<Urls>,
    /// Policy.
    pub limits: Limits,
    /// A channel was created here: it may want a sender.
    pub channel_made: Notify,
    /// The node leaves: before it ends, in good order.
    pub drain: Arc<Drain>,
    /// What is measured.
    pub metrics: Arc<Metrics>,
    /// The server is to end.
    pub stop: CancellationToken,
}

/// Connections opened at the same time: well below what the pool has.
pub const OPENINGS_MAX: usize = 8;

impl Delivery {
    /// Waits for one's turn to ask the database about a connection that is being opened.
    pub async fn turn(&self) -> Result<SemaphorePermit<'_>> {
        self.openings.acquire().await.map_err(Error::internal)
    }
}

/// What the tail brings is the hub's.
impl Sink for Delivery {
    fn begin_read(&self, leave_out: bool) -> Option<Places> {
        self.hub.begin_read(leave_out)
    }

    fn events(&self, batch: Vec<Event>) -> usize {
        self.hub.events(batch)
    }

    fn end_read(&self) {
        self.hub.end_read();
    }

    fn copy(&self, event: Event) {
        self.hub.copy(event);
    }

    fn resync(&self) {
        self.pages.forget(); // before anybody reads on
        self.hub.resync();
    }
}
