//! Whose turn it is among the polls of a channel, and whether their answers arrived: in the database, so that any node
//! may take the next poll. HTTP does not tell a server whether an answer was read. So the positions that an answer
//! reaches are written down before it is sent, and the next poll confirms them, unless the answer is known to be lost.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::NO_CHANNEL;
use super::cursor::Cursor;
use crate::base::ids::{ChannelId, SourceId};
use crate::base::{Error, Result};
use crate::log::event::token;
use crate::postgres::Database;

/// Pause after the database could not be told.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// A poll that has begun.
#[derive(Debug)]
pub struct Begun {
    /// Its place in the channel's stream: a `channel.opened` after it supersedes the poll.
    pub opened_seq: i64,
    /// When it began, by the database's clock.
    pub at: DateTime<Utc>,
}

/// Begins a poll: it supersedes older ones, and confirms what the last answer brought. [`Error::NotFound`] when the
/// channel does not live.
///
/// `refresh`: it starts the channel's lifetime again.
pub async fn begin(database: &Database, channel: &ChannelId, poll: &str, refresh: bool) -> Result<Begun> {
    let client = database.get().await?;
    let statement = client.prepare_cached("select * from tocsin.poll_begin($1, $2, $3)").await?;
    let row = client.query_opt(&statement, &[&channel.as_str(), &poll, &refresh]).await?.ok_or(NO_CHANNEL)?;
    Ok(Begun { opened_seq: row.get("opened_seq"), at: row.get("begun_at") })
}

/// Writes down what a poll's answer reaches; the answer may be sent then. [`Error::SimultaneousPolls`] when a newer poll
/// took over, [`Error::NotFound`] when the channel ended. May be tried again after [`Error::Busy`].
pub async fn answer(
    database: &Database,
    channel: &ChannelId,
    poll: &str,
    positions: &[(SourceId, Cursor)],
    refresh: bool,
) -> Result<()> {
    let positions = Value::Array(positions.iter().map(|(source, cursor)| position(source, cursor)).collect());
    let client = database.get().await?;
    let statement = client.prepare_cached("select tocsin.poll_answer($1, $2, $3, $4)").await?;
    let row = client.query_one(&statement, &[&channel.as_str(), &poll, &positions, &refresh]).await?;
    match row.get(0) {
        "answered" => Ok(()),
        "superseded" => Err(Error::SimultaneousPolls),
        _ => Err(NO_CHANNEL),
    }
}

fn position(source: &SourceId, cursor: &Cursor) -> Value {
    json!({
        "source": source.as_str(), "generation": cursor.generation, "seq": cursor.next_seq,
        "at": token(cursor.next_at), "index": cursor.next_index,
    })
}

/// Polls whose client is gone and answers that were lost, until the database knows of them: no more than there were
/// polls open here, since none begins while the database is not to be had.
#[derive(Debug, Default)]
pub struct Undelivered {
    waiting: Mutex<HashMap<ChannelId, Vec<String>>>,
    more: Notify,
}

impl Undelivered {
    /// What stands for a poll until it is known that its answer arrived.
    pub fn receipt(self: &Arc<Self>, channel: ChannelId, poll: String) -> Receipt {
        Receipt { of: Some((channel, poll)), undelivered: self.clone() }
    }

    /// Stores what is known of the channel's last answer: to be called before the next poll would confirm it.
    pub async fn settle(&self, database: &Database, channel: &ChannelId) -> Result<()> {
        while let Some(poll) = self.first_of(channel) {
            store(database, channel, &poll).await?; // (as good as once, if two do it)
            self.forget(channel, &poll);
        }
        Ok(())
    }

    /// Stores all that waits.
    pub async fn flush(&self, database: &Database) -> Result<()> {
        let channels: Vec<_> = self.waiting().keys().cloned().collect();
        for channel in channels {
            self.settle(database, &channel).await?;
        }
        Ok(())
    }

    /// Flushes until `stop`.
    pub async fn run(&self, database: &Database, stop: CancellationToken) -> anyhow::Result<()> {
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = self.more.notified() => {}
            }
            if let Err(fault) = self.flush(database).await {
                warn!("lost answers cannot be noted yet: {fault}");
                self.more.notify_one();
                sleep(RETRY_PAUSE).await;
            }
        }
    }

    fn first_of(&self, channel: &ChannelId) -> Option<String> {
        self.waiting().get(channel)?.first().cloned()
    }

    fn forget(&self, channel: &ChannelId, poll: &str) {
        let mut waiting = self.waiting();
        if let Some(polls) = waiting.get_mut(channel) {
            polls.retain(|other| other != poll);
            if polls.is_empty() {
                waiting.remove(channel);
            }
        }
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<ChannelId, Vec<String>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn store(database: &Database, channel: &ChannelId, poll: &str) -> Result<()> {
    let client = database.get().await?;
    let statement = client.prepare_cached("select tocsin.poll_undelivered($1, $2)").await?;
    client.execute(&statement, &[&channel.as_str(), &poll]).await?;
    Ok(())
}

/// Stands for a poll, then for its answer. Dropped, it says that the client got nothing: wherever the poll was given
/// up, nothing is lost.
#[derive(Debug)]
pub struct Receipt {
    of: Option<(ChannelId, String)>,
    undelivered: Arc<Undelivered>,
}

impl Receipt {
    /// There is nothing to say of it: the answer arrived as far as anybody can tell, or brought nothing.
    pub fn settled(mut self) {
        self.of = None;
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        if let Some((channel, poll)) = self.of.take() {
            self.undelivered.waiting().entry(channel).or_default().push(poll);
            self.undelivered.more.notify_one();
        }
    }
}
