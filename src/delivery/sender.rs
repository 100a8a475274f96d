//! Delivery to one channel that is pushed or posted to: one list of notifications after the other, each tried until
//! it is taken. What the other side took is confirmed; what it did not take stays in the log.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, info, warn};
use url::Url;
use uuid::Uuid;

use super::Delivery;
use super::feed::{Feed, retry, unless_over};
use crate::base::backoff::Backoff;
use crate::base::metrics::Counted;
use crate::base::{Error, Result};
use crate::channel::{Channel, Transport, large_polls, leases, rows as channels};
use crate::outbound::{Message, NotASecret, Outcome, Senders, SigningSecret, ways};
use crate::wire::{nc, xml};

/// Wait after a first failure; it doubles from one to the next.
const RETRY_FIRST: Duration = Duration::from_secs(1);
/// The longest wait of our own choice.
const RETRY_MOST: Duration = Duration::from_secs(300);
/// The longest wait that the other side may ask for.
const RETRY_AFTER_MOST: Duration = Duration::from_secs(3600);
/// How often it is looked whether a client has fetched.
const FETCHED_LOOK: Duration = Duration::from_secs(1);
/// How often positions are moved past what nobody wants, when nothing else moves them.
const UNWANTED_LOOK: Duration = Duration::from_secs(30);
/// For how long a webhook is of use.
const WEBHOOK_VALIDITY: TimeDelta = TimeDelta::days(1);

/// Until when this node may deliver to a channel, by its own clock: always earlier than by the database's.
#[derive(Debug)]
pub struct Lease {
    until: Mutex<Instant>,
    due: Notify,
}

impl Lease {
    /// Valid until then.
    pub fn new(until: Instant) -> Self {
        Lease { until: Mutex::new(until), due: Notify::new() }
    }

    /// Renewed until then.
    pub fn renew(&self, until: Instant) {
        *self.until.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }

    /// Whether it is ours now.
    pub fn is_valid(&self) -> bool {
        Instant::now() < *self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next attempt is due: who waits for it just now, waits no longer.
    pub fn hurry(&self) {
        self.due.notify_waiters();
    }
}

/// Why a sender ends.
enum Over {
    /// It is not ours any more, or the channel is no more.
    Gone,
    /// There is too much to push: the client is to fetch it.
    TooMuch,
    /// Something of ours is out of order; whoever takes the lease next tries again.
    Fault(Error),
}

impl From<Error> for Over {
    fn from(fault: Error) -> Self {
        Over::Fault(fault)
    }
}

/// Delivers to one channel while it has the lease.
pub struct Sender {
    delivery: Arc<Delivery>,
    senders: Senders,
    channel: Channel,
    lease: Arc<Lease>,
    backoff: Backoff,
    failing: bool,
}

impl Sender {
    /// For a channel whose lease this node has.
    pub fn new(delivery: Arc<Delivery>, senders: Senders, channel: Channel, lease: Arc<Lease>) -> Self {
        let backoff = Backoff::new(RETRY_FIRST, RETRY_MOST);
        Sender { delivery, senders, channel, lease, backoff, failing: true }
    }

    /// Runs until the channel ends, is given up, or belongs to another node.
    pub async fn run(mut self) {
        loop {
            match self.deliver_in_turn().await {
                Ok(()) => {}
                Err(Over::Fault(fault)) => {
                    return warn!(channel = %self.channel.id, "delivery stops: {fault}");
                }
                Err(Over::Gone | Over::TooMuch) => return debug!(channel = %self.channel.id, "delivery ends"),
            }
        }
    }

    /// Pushes until there is too much for that; then tells the client to fetch it.
    async fn deliver_in_turn(&mut self) -> Result<(), Over> {
        self.wait_until_fetched().await?;
        let mut feed = Feed::connect(self.delivery.clone(), &self.channel);
        let (leaving, connection) = (self.delivery.drain.begun().clone(), feed.connection().clone());
        match unless_over(&leaving, &connection, self.deliver_all(&mut feed)).await {
            Ok(Err(Over::TooMuch)) => {}
            Ok(outcome) => return outcome,
            Err(_) => return Err(Over::Gone),
        }
        drop(feed); // nobody else may follow the channel while the client fetches
        self.tell_to_fetch().await
    }

    /// While the client may fetch, nothing is pushed.
    async fn wait_until_fetched(&self) -> Result<(), Over> {
        if self.channel.settings.transport.large_data_polling().is_none() {
            return Ok(());
        }
        let (database, channel) = (&self.delivery.database, &self.channel.id);
        loop {
            if !self.lease.is_valid() {
                return Err(Over::Gone);
            }
            self.delivery.undelivered.settle(database, channel).await?;
            match retry(|| large_polls::over(database, channel)).await {
                Ok(true) => return Ok(()),
                Ok(false) => sleep(FETCHED_LOOK).await,
                Err(Error::NotFound { .. }) => return Err(Over::Gone),
                Err(fault) => return Err(fault.into()),
            }
        }
    }

    /// Opens a temporary channelURL and pushes it.
    async fn tell_to_fetch(&mut self) -> Result<(), Over> {
        // What was pushed need not be fetched.
        self.delivery.confirmations.flush(&self.delivery.database).await?;
        let (serial, seconds) = (Uuid::new_v4().simple().to_string(), self.delivery.limits.large_poll_seconds);
        let expiry = large_polls::open(&self.delivery.database, &self.channel.id, &serial, seconds).await?;
        let url = self.delivery.urls.large_poll(&self.channel.id, &serial);
        let notification = nc::large_polling_notification(&url, expiry, self.channel.format);
        match self.deliver(message_id(&serial, &notification), &notification).await {
            Err(Over::TooMuch) => {
                warn!(channel = %self.channel.id, "not even a URL fits into a push");
                Ok(())
            }
            outcome => outcome,
        }
    }

    async fn deliver_all(&mut self, feed: &mut Feed) -> Result<(), Over> {
        feed.take_up_all().await?;
        loop {
            if feed.is_behind() {
                feed.read_page().await?;
            } else if !feed.take_batch().await? && timeout(UNWANTED_LOOK, feed.woken()).await.is_ok() {
                continue;
            }
            feed.pass_unwanted();
            let (frames, reached, moved) = (feed.take_frames(), feed.take_reached(), feed.take_moved());
            if frames.len() > 1 && self.channel.settings.transport.large_data_polling().is_some() {
                return Err(Over::TooMuch);
            }
            for (n, frame) in frames.iter().enumerate() {
                let after = reached.get(n..=n);
                if after.is_some() || n + 1 == frames.len() {
                    feed.sent(after.unwrap_or(&moved));
                }
                let place = after.unwrap_or(&moved).iter();
                let place = place.map(|(id, at)| format!("{} {} {}", id.as_str(), at.generation, at.next_seq));
                let n = if after.is_some() { 0 } else { n };
                let place = format!("{} {n} {}", self.channel.id, place.collect::<Vec<_>>().join(" "));
                self.deliver(message_id(&place, frame), frame).await?;
                feed.confirm(after.unwrap_or_default().to_vec());
            }
            feed.confirm(moved);
        }
    }

    /// Tries until it is taken.
    async fn deliver(&mut self, id: Uuid, frame: &str) -> Result<(), Over> {
        loop {
            if !self.lease.is_valid() {
                return Err(Over::Gone);
            }
            match self.measured_attempt(id, frame).await {
                Outcome::Delivered => return self.delivered().await,
                Outcome::Retry { after, why } => self.wait(after, &why).await?,
                Outcome::Refused { why } => self.wait(None, &why).await?,
                Outcome::Gone { why } => {
                    self.give_up(&why).await?;
                    return Err(Over::Gone);
                }
                Outcome::TooLarge if self.channel.settings.transport.large_data_polling().is_some() => {
                    return Err(Over::TooMuch);
                }
                Outcome::TooLarge => {
                    warn!(channel = %self.channel.id, bytes = frame.len(), "left out: larger than the bearer takes");
                    return Ok(());
                }
            }
        }
    }

    async fn measured_attempt(&self, id: Uuid, frame: &str) -> Outcome {
        let (metrics, transport) = (&self.delivery.metrics, ("transport", self.channel.settings.transport.label()));
        let began = Instant::now();
        let outcome = self.attempt(id, frame).await;
        metrics.outbound_seconds.get_or_create(&[transport]).observe(began.elapsed().as_secs_f64());
        metrics.outbound_attempts.get_or_create(&[transport, ("outcome", outcome.name())]).inc();
        outcome
    }

    fn count_disabled(&self) {
        let transport = self.channel.settings.transport.label();
        self.delivery.metrics.outbound_disabled.get_or_create(&[("transport", transport)]).inc();
    }

    async fn attempt(&self, id: Uuid, frame: &str) -> Outcome {
        let content_type = if frame.starts_with('<') { "application/xml" } else { "application/json" };
        let mut message = Message { id, content_type, body: frame, expires: self.channel.expires_at };
        match &self.channel.settings.transport {
            Transport::Webhooks { webhook_url } => {
                message.expires = Utc::now() + WEBHOOK_VALIDITY;
                match (Url::parse(webhook_url), self.secrets()) {
                    (Ok(url), Ok(secrets)) => self.senders.post_webhook(&url, &secrets, &message).await,
                    _ => Outcome::Gone { why: "the webhook's URL cannot be used".to_owned() },
                }
            }
            Transport::NativeChannel { channel_sub_type, registration_token, .. } => {
                let json = in_json(frame);
                message.body = &json;
                self.senders.push_native(*channel_sub_type, registration_token, &message).await
            }
            Transport::OMAPush { app_id, .. } => {
                self.senders.push_oma(self.channel.user.as_str(), app_id.as_deref(), &message).await
            }
            Transport::NotifyUrl { notify_url } => match Url::parse(notify_url) {
                Ok(url) => self.senders.post_notification(&url, &message).await,
                Err(_) => Outcome::Gone { why: "the notifyURL cannot be used".to_owned() },
            },
            Transport::Inbox { way, target, .. } => match (ways::way(way), self.secrets()) {
                (Some(way), Ok(secrets)) => way.send(&self.senders, target, &secrets, &message).await,
                _ => Outcome::Gone { why: format!("there is no way {way} any more") },
            },
            Transport::LongPolling { .. } | Transport::WebSockets { .. } => {
                Outcome::Gone { why: "nothing is sent to a channel that its client fetches from".to_owned() }
            }
        }
    }

    /// What a webhook is signed with, the newest first.
    fn secrets(&self) -> Result<Vec<SigningSecret>, NotASecret> {
        self.delivery.urls.webhook_secrets(&self.channel.id).iter().map(|secret| SigningSecret::parse(secret)).collect()
    }

    /// Nobody is there any more: a subscription that brought its channel with it ends; other channels wait for their
    /// client.
    async fn give_up(&self, why: &str) -> Result<(), Over> {
        let (database, channel) = (&self.delivery.database, &self.channel.id);
        if let Transport::NotifyUrl { .. } | Transport::Inbox { .. } = self.channel.settings.transport {
            info!(channel = %channel, "nobody is there any more: {why}");
            self.delivery.confirmations.flush(database).await?; // so that the log says how far it came
            channels::expire(database, channel).await?;
        } else {
            info!(channel = %channel, "disabled: {why}");
            leases::disable(database, channel, why).await?;
        }
        self.count_disabled();
        Ok(())
    }

    /// The failures, of whatever node, are over.
    async fn delivered(&mut self) -> Result<(), Over> {
        if std::mem::take(&mut self.failing) {
            leases::delivered(&self.delivery.database, &self.channel.id).await?;
            self.backoff.reset();
        }
        Ok(())
    }

    /// Waits for the next attempt, unless the failures have lasted too long.
    async fn wait(&mut self, after: Option<Duration>, why: &str) -> Result<(), Over> {
        self.failing = true;
        let own = self.backoff.scattered_delay();
        let delay = after.map_or(own, |after| after.min(RETRY_AFTER_MOST).max(own));
        let patience = Duration::from_secs(self.delivery.limits.sender_disable_after_seconds);
        if leases::failed(&self.delivery.database, &self.channel.id, why, patience, delay).await? {
            info!(channel = %self.channel.id, "disabled: {why}");
            self.count_disabled();
            return Err(Over::Gone);
        }
        debug!(channel = %self.channel.id, "again in {delay:?}: {why}");
        let _waits = Counted::new(&self.delivery.metrics.outbound_backing_off);
        let _ = timeout(delay, self.lease.due.notified()).await; // whichever is first
        Ok(())
    }
}

/// The same for each attempt at the same list, on whatever node.
fn message_id(place: &str, frame: &str) -> Uuid {
    let hash = Sha256::new().chain_update(place).chain_update("\n").chain_update(frame).finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

/// Push services of platforms carry JSON.
fn in_json(frame: &str) -> String {
    match xml::read(frame.as_bytes()) {
        Ok((root, value)) if frame.starts_with('<') => json!({ root: value }).to_string(),
        _ => frame.to_owned(),
    }
}
