//! One open poll of a channel (5.2.2.6, 5.3.1 to 5.3.6, 5.3.19).
//!
//! A poll follows the channel as a socket does, until one of three things: there are as many notifications as the client
//! takes at once; the first of them has waited as long as the client allows; the poll itself has been open too long.
//! Before the answer is sent, the positions it reaches are written down (`channel::polls`).

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tracing::debug;

use super::Delivery;
use super::feed::{Feed, retry, unless_over};
use crate::base::{Error, Result};
use crate::channel::hub::End;
use crate::channel::large_polls;
use crate::channel::polls::{self, Begun, Receipt};
use crate::channel::{Channel, NO_CHANNEL, Transport};

/// How long an answer that is ready waits for a database that cannot be reached.
const ANSWER_PATIENCE: Duration = Duration::from_secs(10);

/// What a poll is answered.
pub struct Answer {
    /// A notificationList, perhaps an empty one.
    pub list: String,
    /// Goes with it.
    pub receipt: Receipt,
}

/// Waits for notifications. [`Error::SimultaneousPolls`] when a newer poll took over, [`Error::NotFound`] when the
/// channel is over, [`Error::Busy`] when the database cannot be reached: then nothing is consumed. Nor is it when the
/// poll is given up by dropping this future.
pub async fn poll(delivery: &Arc<Delivery>, channel: &Channel) -> Result<Answer> {
    answer(delivery, channel, Manner::Wait, channel.settings.max_notifications).await
}

/// Fetches at once what was too much for a push, at most `most` notifications (5.2.2.8); errors as those of [`poll`].
/// The answer that hands over the last of them says so, and ends the temporary URL with this serial.
pub async fn fetch(delivery: &Arc<Delivery>, channel: &Channel, serial: &str, most: u32) -> Result<Answer> {
    large_polls::fetch(&delivery.database, &channel.id, serial, delivery.limits.large_poll_seconds).await?;
    answer(delivery, channel, Manner::Fetch { serial }, most).await
}

/// How a list is asked for.
#[derive(Clone, Copy)]
enum Manner<'a> {
    /// By a poll: it waits, and the channel's lifetime starts again.
    Wait,
    /// At the temporary URL with this serial.
    Fetch { serial: &'a str },
}

async fn answer(delivery: &Arc<Delivery>, channel: &Channel, manner: Manner<'_>, most: u32) -> Result<Answer> {
    let opened = Instant::now();
    let mut feed = Feed::connect_poll(delivery.clone(), channel, most);
    let receipt = delivery.undelivered.receipt(channel.id.clone(), feed.connection().id.clone());
    match follow(delivery, channel, &mut feed, manner, opened).await {
        Ok(list) => Ok(Answer { list, receipt }),
        Err(fault) => {
            if matches!(fault, Error::SimultaneousPolls | Error::NotFound { .. }) {
                receipt.settled();
            }
            Err(fault)
        }
    }
}

async fn follow(
    delivery: &Delivery,
    channel: &Channel,
    feed: &mut Feed,
    manner: Manner<'_>,
    opened: Instant,
) -> Result<String> {
    let refresh = matches!(manner, Manner::Wait);
    delivery.undelivered.settle(&delivery.database, &channel.id).await?;
    let connection = feed.connection().clone();
    let begun = polls::begin(&delivery.database, &channel.id, &connection.id, refresh).await?;
    connection.opened_at(begun.opened_seq);
    let patience = refresh.then(|| Patience::new(channel, begun));
    let deadline = opened + open_at_most(delivery.limits.poll_seconds, channel.lifetime_seconds);
    let gathered = timeout_at(deadline, gather(feed, patience.as_ref()));
    let all = match unless_over(delivery.drain.begun(), &connection, gathered).await {
        Ok(Ok(all)) => all?,
        Ok(Err(_)) | Err(End::Draining) => false, // with what there is
        Err(End::Superseded) => return Err(Error::SimultaneousPolls),
        Err(End::Deleted | End::Expired) => return Err(NO_CHANNEL),
    };
    feed.pass_unwanted();
    if all {
        feed.complete_list();
    }
    let (list, positions) = (feed.take_list(), feed.take_moved());
    debug!(channel = %channel.id, "a poll is answered with {} bytes", list.len());
    // From here on only the database decides: a newer poll may have heard of what we write.
    let answer = retry(|| polls::answer(&delivery.database, &channel.id, &connection.id, &positions, refresh));
    timeout(ANSWER_PATIENCE, answer).await.map_err(|_| Error::Busy("no answer can be written down".to_owned()))??;
    if let (Manner::Fetch { serial }, true) = (manner, all) {
        large_polls::drain(&delivery.database, &channel.id, serial).await?;
    }
    Ok(list)
}

/// How long a poll is open: it must end well before the channel would.
fn open_at_most(poll_seconds: u32, lifetime_seconds: u32) -> Duration {
    Duration::from_secs(poll_seconds.into()).min(Duration::from_secs(lifetime_seconds.into()) * 3 / 4)
}

/// Follows the channel until there is something to answer. Without `patience` that is at once, and the answer is
/// whether the list holds everything there is.
async fn gather(feed: &mut Feed, patience: Option<&Patience>) -> Result<bool> {
    feed.take_up_all().await?;
    let connection = feed.connection().clone();
    loop {
        while feed.is_behind() && !feed.is_full() {
            feed.read_page().await?;
        }
        while !feed.is_full() && feed.take_batch().await? {}
        if feed.is_full() {
            return Ok(false);
        }
        if feed.is_behind() {
            continue;
        }
        let Some(patience) = patience else { return Ok(true) };
        match feed.pending_since().map(|since| patience.ends(since)) {
            None => connection.woken().await,
            Some(end) => tokio::select! {
                biased;
                () = sleep_until(end) => return Ok(false),
                () = connection.woken() => {}
            },
        }
    }
}

/// How long the client lets a notification wait, told by the database's clock.
struct Patience {
    wait: TimeDelta,
    begun: Begun,
    begun_at: Instant,
}

impl Patience {
    fn new(channel: &Channel, begun: Begun) -> Self {
        let wait = match channel.settings.transport {
            Transport::LongPolling { max_wait_time } => TimeDelta::seconds(max_wait_time.into()),
            _ => TimeDelta::zero(),
        };
        Patience { wait, begun, begun_at: Instant::now() }
    }

    /// When a notification that arrived at this moment has waited long enough: perhaps before this poll began.
    fn ends(&self, arrived: DateTime<Utc>) -> Instant {
        let left = arrived + self.wait - self.begun.at;
        self.begun_at + left.to_std().unwrap_or(Duration::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_poll_ends_before_its_channel() {
        assert_eq!(open_at_most(30, 3600), Duration::from_secs(30));
        assert_eq!(open_at_most(30, 4), Duration::from_secs(3));
        assert_eq!(open_at_most(30, 1), Duration::from_millis(750));
    }
}
