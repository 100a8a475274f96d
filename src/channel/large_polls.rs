//! The SQL of large-data polling (5.2.2.8): the temporary channelURL of a channel that is pushed to otherwise.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::NO_CHANNEL;
use crate::base::Result;
use crate::base::ids::ChannelId;
use crate::postgres::Database;

/// How long it may take until an answer is known to be lost.
const GRACE: Duration = Duration::from_secs(3);

/// A new temporary URL with this serial, for so many seconds; answers when it expires.
pub async fn open(database: &Database, channel: &ChannelId, serial: &str, seconds: u32) -> Result<DateTime<Utc>> {
    let statement = "select tocsin.large_poll_open($1, $2, $3)";
    let row = database.get().await?.query_one(statement, &[&channel.as_str(), &serial, &i64::from(seconds)]).await?;
    Ok(row.get(0))
}

/// A client fetches: the URL lives so many seconds more. [`NO_CHANNEL`] when it is no more.
pub async fn fetch(database: &Database, channel: &ChannelId, serial: &str, seconds: u32) -> Result<()> {
    let statement = "select tocsin.large_poll_use($1, $2, $3)";
    let row = database.get().await?.query_one(statement, &[&channel.as_str(), &serial, &i64::from(seconds)]).await?;
    if row.get(0) { Ok(()) } else { Err(NO_CHANNEL) }
}

/// Everything is handed over: the URL is no more.
pub async fn drain(database: &Database, channel: &ChannelId, serial: &str) -> Result<()> {
    let statement = "select tocsin.large_poll_drain($1, $2)";
    database.get().await?.execute(statement, &[&channel.as_str(), &serial]).await?;
    Ok(())
}

/// Whether pushing may go on: there is no temporary URL, or it is drained or expired; what was fetched is confirmed
/// then. [`NO_CHANNEL`] when the channel is no more.
pub async fn over(database: &Database, channel: &ChannelId) -> Result<bool> {
    let statement = "select tocsin.large_poll_over($1, make_interval(secs => $2::bigint))";
    let grace = i64::try_from(GRACE.as_secs()).unwrap_or(i64::MAX);
    let row = database.get().await?.query_one(statement, &[&channel.as_str(), &grace]).await?;
    row.get::<_, Option<bool>>(0).ok_or(NO_CHANNEL)
}
