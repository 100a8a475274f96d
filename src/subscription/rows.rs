//! The SQL of subscriptions.

use std::ops::RangeInclusive;

use chrono::{DateTime, Utc};
use deadpool_postgres::{GenericClient, Transaction};
use serde_json::json;
use tokio_postgres::Row;
use tokio_postgres::types::Json;

use super::{BoxHead, Start, Subscriber, Subscription, Target, TokenRule};
use crate::base::ids::{BoxName, ChannelId, Stream, SubscriptionId, UserId};
use crate::base::{Error, Format, Result};
use crate::channel::cursor::{Cursor, Horizon};
use crate::channel::rows::{self as channels, NewChannel};
use crate::channel::{NO_CHANNEL, Settings, Transport};
use crate::filter::Filter;
use crate::filter::sql::Items;
use crate::log::event::token as token_text;
use crate::postgres::Database;

/// What a client asks for, after policy.
#[derive(Debug)]
pub struct NewSubscription {
    /// Which box.
    pub of: BoxName,
    /// Where to deliver.
    pub target: Target,
    /// Echoed in every list.
    pub callback_data: Option<String>,
    /// Format of the lists.
    pub format: Format,
    /// What is wanted.
    pub filter: Option<Filter>,
    /// Whether its events carry the attributes of their objects.
    pub attributes: bool,
    /// Echoed.
    pub client_correlator: Option<String>,
    /// Granted, in seconds.
    pub duration_seconds: u32,
    /// Where to start; `None`: now.
    pub restart_token: Option<DateTime<Utc>>,
    /// Who makes it, when callers are told apart.
    pub subscriber: Option<Subscriber>,
}

/// How many subscriptions there may be.
#[derive(Debug, Clone, Copy)]
pub struct Most {
    /// On one channel.
    pub on_channel: u32,
    /// Of one box.
    pub on_box: u32,
    /// Of one box, at URLs of their clients.
    pub at_urls: u32,
}

/// What came of a request to create.
#[derive(Debug)]
pub enum Creation {
    /// A new subscription.
    New(Box<Subscription>),
    /// The one that the same request made before; its duration is granted anew.
    There(Box<Subscription>),
    /// A different subscription of the same client has the clientCorrelator.
    Duplicate(SubscriptionId),
}

/// Creates a subscription, once for each clientCorrelator of a client.
pub async fn create(database: &Database, new: NewSubscription, most: Most) -> Result<Creation> {
    let mut client = database.get().await?;
    let transaction = client.transaction().await?;
    let creation = match made_before(&transaction, &new).await? {
        None => Creation::New(Box::new(append_new(&transaction, new, most).await?)),
        Some(there) if is_same(&there, &new) => Creation::There(Box::new(repeat(&transaction, there, new).await?)),
        Some(other) => Creation::Duplicate(other.id),
    };
    transaction.commit().await?;
    Ok(creation)
}

/// Whether a subscription is what is asked for.
fn is_same(there: &Subscription, new: &NewSubscription) -> bool {
    (&there.filter, there.format, &there.callback_data, there.attributes)
        == (&new.filter, new.format, &new.callback_data, new.attributes)
}

/// The live subscription that the client made with the same clientCorrelator. Until we have committed, nobody else
/// creates one with it.
async fn made_before(transaction: &Transaction<'_>, new: &NewSubscription) -> Result<Option<Subscription>> {
    let Some(correlator) = &new.client_correlator else { return Ok(None) };
    let stream = new.of.stream().as_str();
    let key = format!("tocsin.create_subscription {stream} {correlator}");
    transaction.query_one("select pg_advisory_xact_lock(hashtextextended($1, 0))", &[&key]).await?;
    let (channel, url) = match &new.target {
        Target::Channel(id) => (Some(id.as_str()), None),
        Target::NotifyUrl(url) => (None, Some(url)),
    };
    let found = include_str!("../../sql/queries/subscription_of_correlator.sql");
    let subscriber = new.subscriber.as_ref().map(|subscriber| subscriber.user.as_str());
    let Some(row) = transaction.query_opt(found, &[&stream, correlator, &channel, &url, &subscriber]).await? else {
        return Ok(None);
    };
    let id = SubscriptionId::from_text(row.get(0));
    Ok(select(transaction, Some(new.of.stream()), Some(&id)).await?.into_iter().next())
}

/// A request to create comes again: the subscription lives on, and starts again where the restartToken says, unless
/// that is where it started.
async fn repeat(transaction: &Transaction<'_>, there: Subscription, new: NewSubscription) -> Result<Subscription> {
    let mut update = Update { duration_seconds: Some(new.duration_seconds), restart_token: new.restart_token };
    if let Some(token) = new.restart_token {
        let starts_at = include_str!("../../sql/queries/subscription_starts_at.sql");
        if transaction.query_one(starts_at, &[&there.id.as_str(), &token]).await?.get(0) {
            update.restart_token = None;
        }
    }
    update_with(transaction, &there.of, &there.id, update).await
}

/// An event in the box's stream, so that "after it" is a place in the log and not a race.
async fn append_new(transaction: &Transaction<'_>, new: NewSubscription, most: Most) -> Result<Subscription> {
    admit_to_box(transaction, &new, most.on_box).await?;
    let id = SubscriptionId::random();
    let channel = match &new.target {
        Target::Channel(channel) => {
            admit(transaction, channel, most.on_channel).await?;
            channel.clone()
        }
        Target::NotifyUrl(url) => create_own_channel(transaction, &new, url.clone(), most.at_urls).await?,
    };
    let stream = new.of.stream();
    let start = match new.restart_token {
        Some(token) => Some(seek(transaction, stream, token).await?),
        None => None,
    };
    let mut data = json!({
        "id": id.as_str(), "channel": channel.as_str(),
        "callbackData": new.callback_data, "format": new.format.name(), "filter": new.filter,
        "withAttributes": new.attributes.then_some(true),
        "clientCorrelator": new.client_correlator,
        "subscriber": new.subscriber.as_ref().map(|subscriber| subscriber.user.as_str()),
        "privileged": new.subscriber.as_ref().and_then(|subscriber| subscriber.privileged.then_some(true)),
        "expiresAt": expiry(transaction, new.duration_seconds).await?,
    });
    if let Some(start) = start {
        data["from"] = json!(start.after_seq);
        data["token"] = json!(token_text(start.at));
        data["reset"] = json!(start.reset);
    }
    append(transaction, stream, "subscription.created", data).await?;
    one(select(transaction, Some(stream), Some(&id)).await?)
}

/// The channel that a subscription brings with it which delivers to a URL of its client: it lives as long.
async fn create_own_channel(
    transaction: &Transaction<'_>,
    new: &NewSubscription,
    notify_url: String,
    most: u32,
) -> Result<ChannelId> {
    let channel = NewChannel {
        user: UserId::of_box(&new.of),
        settings: Settings { max_notifications: 1, transport: Transport::NotifyUrl { notify_url } },
        format: new.format,
        client_correlator: None,
        application_tag: None,
        lifetime_seconds: new.duration_seconds,
    };
    match channels::create_with(transaction, channel, most).await {
        Ok(channels::Creation::Channel(channel)) => Ok(channel.id),
        Ok(channels::Creation::Duplicate(id)) => {
            Err(Error::internal(anyhow::anyhow!("channel {id} has no correlator")))
        }
        Err(Error::Policy { .. }) => {
            Err(Error::Policy { rule: format!("a box may have {most} subscriptions at URLs of clients") })
        }
        Err(fault) => Err(fault),
    }
}

/// What a client wants changed.
#[derive(Debug, Default)]
pub struct Update {
    /// New duration from now, granted, in seconds.
    pub duration_seconds: Option<u32>,
    /// Start again from here.
    pub restart_token: Option<DateTime<Utc>>,
}

/// Updates a subscription. With a restartToken, delivery starts again after that moment, and the index goes on where
/// it would have been had everything up to now been delivered: what is on its way to the client has lower ones.
pub async fn update(database: &Database, of: &BoxName, id: &SubscriptionId, update: Update) -> Result<Subscription> {
    let mut client = database.get().await?;
    let transaction = client.transaction().await?;
    let after = update_with(&transaction, of, id, update).await?;
    transaction.commit().await?;
    Ok(after)
}

async fn update_with(
    transaction: &Transaction<'_>,
    of: &BoxName,
    id: &SubscriptionId,
    update: Update,
) -> Result<Subscription> {
    let stream = of.stream();
    if let Some(seconds) = update.duration_seconds {
        // Before the stream is locked, as whoever ends a channel does.
        let refresh = include_str!("../../sql/queries/subscription_refresh_own_channel.sql");
        transaction.execute(refresh, &[&id.as_str(), &i64::from(seconds)]).await?;
    }
    let head = lock_head(transaction, stream).await?;
    let before = one(select(transaction, Some(stream), Some(id)).await?)?;
    let mut data = json!({ "id": id.as_str(), "channel": before.channel.as_str() });
    data["expiresAt"] = match update.duration_seconds {
        Some(seconds) => json!(expiry(transaction, seconds).await?),
        None => json!(token_text(before.expires_at)),
    };
    let kind = match update.restart_token {
        None => "subscription.updated",
        Some(token) => {
            let start = resolve(transaction, stream, &head, token).await?;
            let index = index_at(transaction, &before, head.seq).await?;
            data["from"] = json!(start.after_seq);
            data["token"] = json!(token_text(start.at));
            data["reset"] = json!(start.reset);
            data["index"] = json!(index);
            "subscription.repositioned"
        }
    };
    append(transaction, stream, kind, data).await?;
    one(select(transaction, Some(stream), Some(id)).await?)
}

/// Ends a subscription.
pub async fn delete(database: &Database, of: &BoxName, id: &SubscriptionId) -> Result<()> {
    let row = database
        .get()
        .await?
        .query_one("select tocsin.end_subscription($1, $2, 'deleted')", &[&of.stream().as_str(), &id.as_str()])
        .await?;
    if row.get(0) { Ok(()) } else { Err(NO_SUBSCRIPTION) }
}

/// A live subscription of a box.
pub async fn get(database: &Database, of: &BoxName, id: &SubscriptionId) -> Result<Subscription> {
    one(select(&database.get().await?, Some(of.stream()), Some(id)).await?)
}

/// The live subscriptions of a box, oldest first.
pub async fn list(database: &Database, of: &BoxName) -> Result<Vec<Subscription>> {
    select(&database.get().await?, Some(of.stream()), None).await
}

/// What a channel delivers from, with what the log says of each cursor.
#[derive(Debug)]
pub struct Sources {
    /// What enablers post to the channel itself.
    pub callbacks: (Cursor, Horizon),
    /// Its live subscriptions, oldest first.
    pub subscriptions: Vec<(Subscription, Horizon)>,
}

/// Everything a channel delivers from, in one look. [`Error::NotFound`] when the channel is over.
pub async fn sources(database: &Database, channel: &ChannelId) -> Result<Sources> {
    let client = database.get().await?;
    let statement = client.prepare_cached(include_str!("../../sql/queries/channel_sources.sql")).await?;
    let rows = client.query(&statement, &[&channel.as_str()]).await?;
    let (own, others) = rows.split_first().filter(|(own, _)| is_channel(own)).ok_or(NO_CHANNEL)?;
    let subscriptions = others.iter().map(|row| Ok((subscription(row)?, horizon(row)))).collect::<Result<_>>()?;
    Ok(Sources { callbacks: (cursor(own), horizon(own)), subscriptions })
}

fn is_channel(row: &Row) -> bool {
    row.get::<_, Option<&str>>("id").is_none()
}

/// What the log says of each cursor's stream, in the same order.
pub async fn horizons(database: &Database, cursors: &[(Stream, Cursor)]) -> Result<Vec<Horizon>> {
    let streams: Vec<&str> = cursors.iter().map(|(stream, _)| stream.as_str()).collect();
    let seqs: Vec<i64> = cursors.iter().map(|(_, cursor)| cursor.next_seq - 1).collect();
    let moments: Vec<DateTime<Utc>> = cursors.iter().map(|(_, cursor)| cursor.next_at).collect();
    let client = database.get().await?;
    let statement = client.prepare_cached(include_str!("../../sql/queries/subscription_horizons.sql")).await?;
    let rows = client.query(&statement, &[&streams, &seqs, &moments]).await?;
    Ok(rows.iter().map(horizon).collect())
}

fn horizon(row: &Row) -> Horizon {
    Horizon {
        head_seq: row.get::<_, Option<i64>>("head_seq").unwrap_or(0),
        head_at: row.get::<_, Option<DateTime<Utc>>>("head_at").unwrap_or(DateTime::UNIX_EPOCH),
        base_seq: row.get::<_, Option<i64>>("base_seq").unwrap_or(0),
        at_cursor: row.get("at_cursor"),
    }
}

/// There is none, or it is somebody else's.
pub const NO_SUBSCRIPTION: Error = Error::NotFound { what: "NmsSubscription" };

fn one(found: Vec<Subscription>) -> Result<Subscription> {
    found.into_iter().next().ok_or(NO_SUBSCRIPTION)
}

/// The channel must live, and have room.
async fn admit(transaction: &Transaction<'_>, channel: &ChannelId, on_channel_max: u32) -> Result<()> {
    let row = transaction
        .query_opt(include_str!("../../sql/queries/subscription_admit.sql"), &[&channel.as_str()])
        .await?
        .filter(|row| row.get(0))
        .ok_or_else(|| Error::invalid("notifyURL"))?;
    if row.get::<_, i64>(1) >= i64::from(on_channel_max) {
        return Err(Error::Policy { rule: format!("a channel may have {on_channel_max} subscriptions") });
    }
    Ok(())
}

/// The box has room, and the subscriber a right to it: its own, that to everything, or a grant, which then stays until
/// we have committed.
async fn admit_to_box(transaction: &Transaction<'_>, new: &NewSubscription, most: u32) -> Result<()> {
    let stream = new.of.stream().as_str();
    let has_room = include_str!("../../sql/queries/subscription_admit_to_box.sql");
    if !transaction.query_one(has_room, &[&stream, &i64::from(most)]).await?.get::<_, bool>(0) {
        return Err(Error::Policy { rule: format!("a box may have {most} subscriptions") });
    }
    let Some(Subscriber { user, privileged }) = &new.subscriber else { return Ok(()) };
    if *privileged || user.as_str() == new.of.box_id() {
        return Ok(());
    }
    let holds = "select tocsin.holds_grant($1, 'box', $2, 'read')";
    match transaction.query_one(holds, &[&user.as_str(), &stream]).await?.get(0) {
        true => Ok(()),
        false => Err(Error::NotFound { what: "resource" }),
    }
}

async fn expiry(transaction: &Transaction<'_>, seconds: u32) -> Result<String> {
    let row = transaction.query_one("select now() + make_interval(secs => $1::bigint)", &[&i64::from(seconds)]).await?;
    Ok(token_text(row.get(0)))
}

async fn append(transaction: &Transaction<'_>, stream: &Stream, kind: &str, data: serde_json::Value) -> Result<()> {
    transaction
        .execute(
            "insert into tocsin.events (stream, kind, data) values ($1, $2, jsonb_strip_nulls($3))",
            &[&stream.as_str(), &kind, &Json(data)],
        )
        .await?;
    Ok(())
}

/// Locks the stream: until we commit, its head stays.
async fn lock_head(transaction: &Transaction<'_>, stream: &Stream) -> Result<BoxHead> {
    let row =
        transaction.query_opt(include_str!("../../sql/queries/subscription_head.sql"), &[&stream.as_str()]).await?;
    let now = transaction.query_one("select clock_timestamp()", &[]).await?.get(0);
    Ok(match row {
        Some(row) => BoxHead { seq: row.get(0), at: row.get(1), base_at: row.get(2), now },
        None => BoxHead { seq: 0, at: None, base_at: None, now },
    })
}

async fn seek(transaction: &Transaction<'_>, stream: &Stream, token: DateTime<Utc>) -> Result<Start> {
    let head = lock_head(transaction, stream).await?;
    resolve(transaction, stream, &head, token).await
}

async fn resolve(
    transaction: &Transaction<'_>,
    stream: &Stream,
    head: &BoxHead,
    token: DateTime<Utc>,
) -> Result<Start> {
    match head.rule(token) {
        TokenRule::Refuse => Err(Error::invalid("restartToken")),
        TokenRule::Reset => Ok(Start { after_seq: head.seq, at: head.at.unwrap_or(DateTime::UNIX_EPOCH), reset: true }),
        TokenRule::Seek => {
            let row = transaction.query_one("select tocsin.start_after($1, $2)", &[&stream.as_str(), &token]).await?;
            let after_seq: i64 = row.get(0);
            let at = transaction
                .query_opt(
                    "select edited_at from tocsin.events where stream = $1 and seq = $2",
                    &[&stream.as_str(), &after_seq],
                )
                .await?
                .map_or(token, |row| row.get(0));
            Ok(Start { after_seq, at, reset: false })
        }
    }
}

/// The index a subscription's next list would have after everything up to `head` was delivered.
async fn index_at(transaction: &Transaction<'_>, subscription: &Subscription, head: i64) -> Result<i64> {
    let (cursor, stream) = (&subscription.cursor, subscription.of.stream());
    let filter = subscription.filter.as_ref();
    let count = count_wanted(transaction, stream, filter, cursor.generation, cursor.next_seq..=head).await?;
    Ok(cursor.next_index + i64::from(cursor.reset) + count)
}

/// How many events of a stream a subscription with this filter wants among these seqs; `generation` is the seq of the
/// event that set its position.
pub(super) async fn count_wanted(
    client: &impl GenericClient,
    stream: &Stream,
    filter: Option<&Filter>,
    generation: i64,
    seqs: RangeInclusive<i64>,
) -> Result<i64> {
    let wanted = filter.map(|filter| filter.predicate(Items::Events, stream.as_str(), generation));
    let (condition, texts) = wanted.map_or(("true".to_owned(), Vec::new()), |wanted| (wanted.condition, wanted.texts));
    let count = format!(
        "select count(*) from tocsin.event_items i \
         where stream = $2 and seq between $3 and $4 and item is not null and $1::text[] is not null and (item = 'box' or {condition})"
    );
    Ok(client.query_one(&count, &[&texts, &stream.as_str(), seqs.start(), seqs.end()]).await?.get(0))
}

async fn select(
    client: &impl GenericClient,
    stream: Option<&Stream>,
    id: Option<&SubscriptionId>,
) -> Result<Vec<Subscription>> {
    let rows = client
        .query(
            include_str!("../../sql/queries/subscription_get.sql"),
            &[&stream.map(Stream::as_str), &id.map(SubscriptionId::as_str)],
        )
        .await?;
    rows.iter().map(subscription).collect()
}

fn subscription(row: &Row) -> Result<Subscription> {
    let broken = |what: &str| Error::internal(anyhow::anyhow!("{what} of a subscription in the database"));
    let stream = Stream::from_log(row.get("stream"));
    let remaining: i64 = row.get("remaining_seconds");
    Ok(Subscription {
        id: SubscriptionId::from_text(row.get("id")),
        of: BoxName::of(&stream).ok_or_else(|| broken("stream"))?,
        channel: ChannelId::from_text(row.get("channel_id")),
        notify_url: row.get("notify_url"),
        callback_data: row.get("callback_data"),
        format: Format::parse(row.get("format")).ok_or_else(|| broken("format"))?,
        filter: row.get::<_, Option<Json<Filter>>>("filter").map(|Json(filter)| filter),
        attributes: row.get("attributes"),
        client_correlator: row.get("client_correlator"),
        subscriber: row.get::<_, Option<&str>>("subscriber").map(UserId::from_log),
        expires_at: row.get("expires_at"),
        remaining_seconds: u32::try_from(remaining).unwrap_or(0),
        cursor: cursor(row),
    })
}

fn cursor(row: &Row) -> Cursor {
    Cursor {
        generation: row.get("generation"),
        next_seq: row.get("next_seq"),
        next_at: row.get("next_at"),
        next_index: row.get("next_index"),
        reset: row.get("reset"),
    }
}
