//! Which channels this node delivers to: those it has a lease for. A node that dies loses its leases within
//! [`LEASE`], and others, who look every second, take over where its channels' cursors stand: within 13 seconds. One
//! that leaves in good order gives them up at once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::warn;

use super::Delivery;
use super::sender::{Lease, Sender};
use crate::base::ids::{ChannelId, NodeId};
use crate::base::{Error, Result};
use crate::channel::leases::{self, LEASE};
use crate::channel::rows as channels;
use crate::lifecycle::Attendant;
use crate::outbound::Senders;

/// How often channels without a sender are looked for.
const CLAIM_EVERY: Duration = Duration::from_secs(1);
/// How often leases are renewed.
const RENEW_EVERY: Duration = Duration::from_secs(4);
/// Channels taken at once.
const CLAIM_MOST: usize = 200;

struct Running {
    lease: Arc<Lease>,
    task: Attendant,
}

/// Gives every outbound channel a sender, on one node at a time.
pub struct Dispatcher {
    delivery: Arc<Delivery>,
    senders: Senders,
    node: NodeId,
    running: HashMap<ChannelId, Running>,
    renewed: Instant,
}

impl Dispatcher {
    /// Nothing is sent yet.
    pub fn new(delivery: Arc<Delivery>, senders: Senders, node: NodeId) -> Self {
        Dispatcher { delivery, senders, node, running: HashMap::new(), renewed: Instant::now() }
    }

    /// Runs until the node leaves; then gives its leases up for others to take at once.
    pub async fn run(mut self) -> anyhow::Result<()> {
        let leaving = self.delivery.drain.begun().clone();
        let mut ticks = interval(CLAIM_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = leaving.cancelled() => break,
                _ = ticks.tick() => {}
                () = self.delivery.channel_made.notified() => {}
            }
            if let Err(fault) = self.look().await {
                warn!("leases: {fault}");
            }
            self.count();
        }
        if let Err(fault) = self.give_up_all().await {
            warn!("leases cannot be given up, and run out within {LEASE:?}: {fault}");
        }
        self.delivery.stop.cancelled().await; // sockets are still served
        Ok(())
    }

    /// What was being sent may have arrived without our knowing: it is sent again, with the same id.
    async fn give_up_all(&mut self) -> Result<()> {
        let held: Vec<ChannelId> = self.running.drain().map(|(id, _)| id).collect();
        self.count();
        self.delivery.confirmations.flush(&self.delivery.database).await?;
        let held: Vec<&str> = held.iter().map(ChannelId::as_str).collect();
        leases::release(&self.delivery.database, self.node.as_str(), &held).await
    }

    fn count(&self) {
        self.delivery.metrics.outbound_leases.set(i64::try_from(self.running.len()).unwrap_or(i64::MAX));
    }

    async fn look(&mut self) -> Result<()> {
        let over = |_: &ChannelId, running: &mut Running| running.task.is_finished() || !running.lease.is_valid();
        let over: Vec<ChannelId> = self.running.extract_if(over).map(|(id, _)| id).collect();
        let over: Vec<&str> = over.iter().map(ChannelId::as_str).collect();
        if !over.is_empty() {
            leases::release(&self.delivery.database, self.node.as_str(), &over).await?;
        }
        if self.renewed.elapsed() >= RENEW_EVERY {
            self.renew().await?;
        }
        loop {
            let until = Instant::now() + LEASE;
            let claimed = leases::claim(&self.delivery.database, self.node.as_str(), CLAIM_MOST).await?;
            let all = claimed.len() < CLAIM_MOST;
            for id in claimed {
                self.start(id, until).await?;
            }
            if all {
                return Ok(());
            }
        }
    }

    async fn renew(&mut self) -> Result<()> {
        let until = Instant::now() + LEASE;
        let ids: Vec<&str> = self.running.keys().map(ChannelId::as_str).collect();
        let ours = leases::renew(&self.delivery.database, self.node.as_str(), &ids).await?;
        for (id, due) in ours {
            let Some(running) = self.running.get(&id) else { continue };
            running.lease.renew(until);
            if due {
                running.lease.hurry();
            }
        }
        self.renewed = Instant::now();
        Ok(())
    }

    async fn start(&mut self, id: ChannelId, until: Instant) -> Result<()> {
        let channel = match channels::get(&self.delivery.database, &id).await {
            Ok(channel) => channel,
            Err(Error::NotFound { .. }) => return Ok(()), // it has ended meanwhile
            Err(fault) => return Err(fault),
        };
        let lease = Arc::new(Lease::new(until));
        let sender = Sender::new(self.delivery.clone(), self.senders.clone(), channel, lease.clone());
        self.running.insert(id, Running { lease, task: Attendant::spawn(sender.run()) });
        Ok(())
    }
}
