//! The SQL of leases: which node delivers to a channel that is pushed or posted to.

use std::time::Duration;

use super::NO_CHANNEL;
use crate::base::Result;
use crate::base::ids::ChannelId;
use crate::postgres::Database;

/// A lease that is not renewed for so long goes to whoever asks.
pub const LEASE: Duration = Duration::from_secs(12);

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

/// Takes up to `most` channels that no node delivers to.
pub async fn claim(database: &Database, node: &str, most: usize) -> Result<Vec<ChannelId>> {
    let client = database.get().await?;
    let statement = client.prepare_cached(include_str!("../../sql/queries/senders_claim.sql")).await?;
    let most = i32::try_from(most).unwrap_or(i32::MAX);
    let rows = client.query(&statement, &[&node, &seconds(LEASE), &most]).await?;
    Ok(rows.iter().map(|row| ChannelId::from_text(row.get(0))).collect())
}

/// Renews these leases for [`LEASE`] from now; answers those that the node still has, each with whether its next attempt is
/// due.
pub async fn renew(database: &Database, node: &str, channels: &[&str]) -> Result<Vec<(ChannelId, bool)>> {
    let client = database.get().await?;
    let statement = client.prepare_cached(include_str!("../../sql/queries/senders_renew.sql")).await?;
    let rows = client.query(&statement, &[&node, &channels, &seconds(LEASE)]).await?;
    Ok(rows.iter().map(|row| (ChannelId::from_text(row.get(0)), row.get(1))).collect())
}

/// Gives leases up, for other nodes to take at once.
pub async fn release(database: &Database, node: &str, channels: &[&str]) -> Result<()> {
    let client = database.get().await?;
    let statement = client.prepare_cached(include_str!("../../sql/queries/senders_release.sql")).await?;
    client.execute(&statement, &[&node, &channels]).await?;
    Ok(())
}

/// An attempt failed, and the next one comes after `pause`; answers whether that has lasted for `patience`, and the channel
/// is disabled now.
pub async fn failed(
    database: &Database,
    channel: &ChannelId,
    why: &str,
    patience: Duration,
    pause: Duration,
) -> Result<bool> {
    let client = database.get().await?;
    let statement = "select tocsin.sender_failed($1, $2, make_interval(secs => $3::bigint), make_interval(secs => $4))";
    let row = client.query_one(statement, &[&channel.as_str(), &why, &seconds(patience), &pause.as_secs_f64()]).await?;
    Ok(row.get(0))
}

/// An attempt succeeded after failures.
pub async fn delivered(database: &Database, channel: &ChannelId) -> Result<()> {
    let client = database.get().await?;
    let statement = client.prepare_cached(include_str!("../../sql/queries/sender_delivered.sql")).await?;
    client.execute(&statement, &[&channel.as_str()]).await?;
    Ok(())
}

/// Gives a channel up until its client refreshes it.
pub async fn disable(database: &Database, channel: &ChannelId, why: &str) -> Result<()> {
    database.get().await?.query_one("select tocsin.disable_channel($1, $2)", &[&channel.as_str(), &why]).await?;
    Ok(())
}

/// A client shows that it is there: a disabled channel is delivered to again.
pub async fn enable(database: &Database, channel: &ChannelId) -> Result<()> {
    database.get().await?.query_one("select tocsin.enable_channel($1)", &[&channel.as_str()]).await?;
    Ok(())
}

/// The next attempt comes now, or when the node that delivers renews its lease: within 5 seconds. A disabled channel is
/// enabled. [`NO_CHANNEL`] when nothing is sent to such a channel.
pub async fn retry(database: &Database, channel: &ChannelId) -> Result<()> {
    let row = database.get().await?.query_one("select tocsin.retry_sender($1)", &[&channel.as_str()]).await?;
    if row.get(0) { Ok(()) } else { Err(NO_CHANNEL) }
}
