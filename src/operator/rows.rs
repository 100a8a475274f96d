//! The SQL of what operators see. Statements are planned for the values they are asked with, since a filter that is left out
//! needs another plan than one that is not.

use tokio_postgres::Row;
use tokio_postgres::types::{Json, ToSql};

use super::{BoxFigures, ChannelFigures, NodeFigures, NodeState, Page, SenderFigures, SubscriptionFigures};
use crate::base::ids::{BoxName, ChannelId, Stream, SubscriptionId};
use crate::base::{Error, Result};
use crate::channel::{Settings, Transport, rows as channels};
use crate::postgres::Database;

/// Up to `limit` boxes in the order of their names (`store/boxId`), after one of them, of those whose name begins so.
pub async fn boxes(database: &Database, after: &str, begins: &str, limit: u32) -> Result<Page<BoxFigures>> {
    let query = include_str!("../../sql/queries/operator_boxes.sql");
    page(database, query, &[&after, &begins], limit, of_box).await
}

/// Up to `limit` boxes in which something has happened lately, the latest first.
pub async fn recent_boxes(database: &Database, limit: u32) -> Result<Page<BoxFigures>> {
    let query = include_str!("../../sql/queries/operator_recent_boxes.sql");
    let found = page(database, query, &[], limit, of_box).await?;
    Ok(Page { more: false, ..found })
}

/// Up to `limit` channels in the order of their ids, after one of them; only a user's, if one is named.
pub async fn channels(
    database: &Database,
    after: &str,
    user: Option<&str>,
    limit: u32,
) -> Result<Page<ChannelFigures>> {
    let query = include_str!("../../sql/queries/operator_channels.sql");
    page(database, query, &[&after, &user], limit, channel).await
}

/// Up to `limit` subscriptions in the order of their ids, after one of them; only those to a box, if one is named.
pub async fn subscriptions(
    database: &Database,
    after: &str,
    of_box: Option<&BoxName>,
    limit: u32,
) -> Result<Page<SubscriptionFigures>> {
    let query = include_str!("../../sql/queries/operator_subscriptions.sql");
    let stream = of_box.map(|name| name.stream().as_str());
    page(database, query, &[&after, &stream], limit, subscription).await
}

/// Up to `limit` channels that are sent to, in the order of their ids, after one of them; only what fails or is disabled,
/// unless all are wanted.
pub async fn senders(database: &Database, after: &str, all: bool, limit: u32) -> Result<Page<SenderFigures>> {
    let query = include_str!("../../sql/queries/operator_senders.sql");
    page(database, query, &[&after, &all], limit, sender).await
}

/// The nodes, the longest there first.
pub async fn nodes(database: &Database) -> Result<Vec<NodeFigures>> {
    let rows = database.get().await?.query(include_str!("../../sql/queries/operator_nodes.sql"), &[]).await?;
    Ok(rows.iter().map(node).collect())
}

/// Asks for one more than a page has, which says whether there are more.
async fn page<T>(
    database: &Database,
    query: &str,
    place: &[&(dyn ToSql + Sync)],
    limit: u32,
    entry: impl Fn(&Row) -> Result<T>,
) -> Result<Page<T>> {
    let one_more = i64::from(limit) + 1;
    let parameters: Vec<&(dyn ToSql + Sync)> = place.iter().copied().chain([&one_more as _]).collect();
    let rows = database.get().await?.query(query, &parameters).await?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let entries = rows.iter().take(limit).map(entry).collect::<Result<_>>()?;
    Ok(Page { entries, more: rows.len() > limit })
}

fn name(stream: &str) -> Result<BoxName> {
    let name = BoxName::of(&Stream::from_log(stream));
    name.ok_or_else(|| Error::internal(anyhow::anyhow!("{stream} is no box")))
}

fn of_box(row: &Row) -> Result<BoxFigures> {
    Ok(BoxFigures {
        name: name(row.get("stream"))?,
        events: row.get("head_seq"),
        last_event_at: row.get("head_at"),
        objects: row.get("objects"),
        subscriptions: row.get("subscriptions"),
    })
}

fn transport(row: &Row) -> Result<Transport> {
    let Json(Settings { transport, .. }) = row.try_get("settings").map_err(Error::internal)?;
    Ok(transport)
}

fn channel(row: &Row) -> Result<ChannelFigures> {
    Ok(ChannelFigures {
        id: ChannelId::from_text(row.get("id")),
        owner: row.get("user_id"),
        transport: transport(row)?,
        created_at: row.get("created_at"),
        expires_at: row.get("expires_at"),
        disabled: channels::disabled(row),
        subscriptions: row.get("subscriptions"),
    })
}

fn subscription(row: &Row) -> Result<SubscriptionFigures> {
    Ok(SubscriptionFigures {
        id: SubscriptionId::from_text(row.get("id")),
        of_box: name(row.get("stream"))?,
        channel: ChannelId::from_text(row.get("channel_id")),
        subscriber: row.get("subscriber"),
        expires_at: row.get("expires_at"),
        next_index: row.get("next_index"),
        behind: row.get("behind"),
        confirmed_at: row.get("confirmed_at"),
    })
}

fn sender(row: &Row) -> Result<SenderFigures> {
    Ok(SenderFigures {
        channel: ChannelId::from_text(row.get("channel_id")),
        owner: row.get("user_id"),
        transport: transport(row)?,
        node: row.get("node"),
        waiting: row.get("waiting"),
        failing_since: row.get("failing_since"),
        attempts: row.get("attempts"),
        last_error: row.get("last_error"),
        retry_at: row.get("retry_at"),
        disabled_at: row.get("disabled_at"),
    })
}

fn node(row: &Row) -> NodeFigures {
    let state = match (row.get("connected"), row.get("asleep")) {
        (false, _) => NodeState::Lost,
        (true, true) => NodeState::Asleep,
        (true, false) => NodeState::Awake,
    };
    NodeFigures {
        id: row.get("id"),
        version: row.get("version"),
        address: row.get("address"),
        since: row.get("since"),
        state,
        leases: row.get("leases"),
    }
}
