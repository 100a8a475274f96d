//! The SQL of channels.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use deadpool_postgres::GenericClient;
use tokio_postgres::Row;
use tokio_postgres::types::Json;
use tracing::debug;

use super::secret::{Key, OutsideSecret, UrlKey};
use super::{Channel, Disabled, NO_CHANNEL, Settings};
use crate::base::ids::{ChannelId, Stream, UserId};
use crate::base::{Error, Format, Result};
use crate::postgres::Database;

/// The keys of URLs that are accepted now, the newest first.
pub async fn url_keys(database: &Database, secret: Option<&OutsideSecret>) -> Result<Vec<Key>> {
    let query =
        "select key, extract(epoch from signs_from - now())::float8, extract(epoch from expires_at - now())::float8
        from tocsin.url_keys where expires_at is null or expires_at > now() order by id desc";
    let asked = Instant::now();
    let after = |seconds: f64| asked + Duration::try_from_secs_f64(seconds).unwrap_or_default();
    let rows = database.get().await?.query(query, &[]).await?;
    let key = |row: Row| {
        let of_database: Vec<u8> = row.get(0);
        Key {
            key: secret.map_or_else(|| UrlKey::new(of_database.clone()), |secret| secret.key(&of_database)),
            signs_from: after(row.get(1)),
            expires: row.get::<_, Option<f64>>(2).map(after),
        }
    };
    Ok(rows.into_iter().map(key).collect())
}

/// Removes keys that are not accepted any more.
pub async fn forget_url_keys(database: &Database) -> Result<()> {
    database.get().await?.execute("delete from tocsin.url_keys where expires_at <= now()", &[]).await?;
    Ok(())
}

/// Makes a new key of URLs, in use after `begins_in`; older ones are accepted for `keep` from then on. Answers these two
/// moments.
pub async fn rotate_url_key(
    database: &Database,
    keep: Duration,
    begins_in: Duration,
) -> Result<(DateTime<Utc>, DateTime<Utc>)> {
    let rotate = "select * from tocsin.rotate_key(make_interval(secs => $1), make_interval(secs => $2))";
    let row = database.get().await?.query_one(rotate, &[&keep.as_secs_f64(), &begins_in.as_secs_f64()]).await?;
    Ok((row.get(0), row.get(1)))
}

/// The fingerprint of the secret that the keys are used with, if there is one.
pub async fn secret_fingerprint(database: &Database) -> Result<Option<String>> {
    let row = database.get().await?.query_opt("select fingerprint from tocsin.secret_key", &[]).await?;
    Ok(row.map(|row| row.get(0)))
}

/// From now on the keys are used with the secret of this fingerprint, unless it is another one already. Answers whether
/// URLs had been made without it.
pub async fn adopt_secret(database: &Database, fingerprint: &str) -> Result<bool> {
    let adopt =
        "with adopted as (insert into tocsin.secret_key (fingerprint) values ($1) on conflict do nothing returning 1)
        select exists (select from adopted) and exists (select from tocsin.channels)";
    Ok(database.get().await?.query_one(adopt, &[&fingerprint]).await?.get(0))
}

/// What a client asks for, after policy.
#[derive(Debug)]
pub struct NewChannel {
    /// Whose.
    pub user: UserId,
    /// How it delivers.
    pub settings: Settings,
    /// What its client writes and reads.
    pub format: Format,
    /// Echoed; a second create with the same one is taken for a repetition of the first.
    pub client_correlator: Option<String>,
    /// Echoed.
    pub application_tag: Option<String>,
    /// Lifetime granted, in seconds.
    pub lifetime_seconds: u32,
}

/// What came of a request to create.
#[derive(Debug)]
pub enum Creation {
    /// The channel: a new one, or the one that the same request made before.
    Channel(Box<Channel>),
    /// A different channel of the user has the clientCorrelator.
    Duplicate(ChannelId),
}

/// Creates a channel, once for each clientCorrelator. [`Error::Policy`] when the user has `channels_max` already.
pub async fn create(database: &Database, new: NewChannel, channels_max: u32) -> Result<Creation> {
    create_with(&database.get().await?, new, channels_max).await
}

/// As [`create`], inside a transaction.
pub async fn create_with(client: &impl GenericClient, new: NewChannel, channels_max: u32) -> Result<Creation> {
    let statement = client.prepare_cached(include_str!("../../sql/queries/channel_create.sql")).await?;
    let row = client
        .query_one(
            &statement,
            &[
                &ChannelId::random().as_str(),
                &new.user.as_str(),
                &Json(&new.settings),
                &new.format.name(),
                &new.client_correlator,
                &new.application_tag,
                &i64::from(new.lifetime_seconds),
                &i64::from(channels_max),
            ],
        )
        .await?;
    let id = || ChannelId::from_text(row.get("channel_id"));
    match row.get("outcome") {
        "created" | "there" => Ok(Creation::Channel(Box::new(Channel {
            id: id(),
            user: new.user,
            settings: new.settings,
            format: new.format,
            client_correlator: new.client_correlator,
            application_tag: new.application_tag,
            lifetime_seconds: new.lifetime_seconds,
            expires_at: row.get("expires_at"),
            disabled: None,
        }))),
        "other" => Ok(Creation::Duplicate(id())),
        _ => Err(Error::Policy { rule: format!("a user may have {channels_max} channels") }),
    }
}

/// The live channels of a user, oldest first.
pub async fn list(database: &Database, user: &UserId) -> Result<Vec<Channel>> {
    let rows = select(database, Some(user), None).await?;
    rows.iter().map(channel).collect()
}

/// A live channel, whoever owns it. [`Error::NotFound`] when there is none.
pub async fn get(database: &Database, id: &ChannelId) -> Result<Channel> {
    channel(select(database, None, Some(id)).await?.first().ok_or(NO_CHANNEL)?)
}

/// A live channel of a user, and the seconds that remain of its lifetime.
pub async fn get_of(database: &Database, user: &UserId, id: &ChannelId) -> Result<(Channel, u32)> {
    let rows = select(database, Some(user), Some(id)).await?;
    let row = rows.first().ok_or(NO_CHANNEL)?;
    let remaining: i64 = row.get("remaining_seconds");
    Ok((channel(row)?, u32::try_from(remaining).unwrap_or(0)))
}

/// Starts the lifetime again, with `seconds` or with what was granted last; answers what is granted now.
pub async fn refresh(database: &Database, id: &ChannelId, seconds: Option<u32>) -> Result<u32> {
    let client = database.get().await?;
    let statement = client.prepare_cached(include_str!("../../sql/queries/channel_refresh.sql")).await?;
    let row = client.query_opt(&statement, &[&id.as_str(), &seconds.map(i64::from)]).await?.ok_or(NO_CHANNEL)?;
    Ok(row.get::<_, i32>(0).unsigned_abs())
}

/// Ends a channel and its subscriptions as their time would: nobody is there any more.
pub async fn expire(database: &Database, id: &ChannelId) -> Result<()> {
    database.get().await?.query_one("select tocsin.end_channel($1, 'expired')", &[&id.as_str()]).await?;
    Ok(())
}

/// Ends a channel and its subscriptions.
pub async fn delete(database: &Database, id: &ChannelId) -> Result<()> {
    let row = database.get().await?.query_one("select tocsin.end_channel($1, 'deleted')", &[&id.as_str()]).await?;
    if row.get(0) { Ok(()) } else { Err(NO_CHANNEL) }
}

/// A socket was opened.
#[derive(Debug)]
pub struct Opened {
    /// The place of that word in the channel's stream.
    pub seq: i64,
    /// Its moment.
    pub at: DateTime<Utc>,
}

/// Says that `connection` is the channel's socket from now on.
pub async fn open(database: &Database, id: &ChannelId, connection: &str) -> Result<Opened> {
    let client = database.get().await?;
    let statement = client.prepare_cached(include_str!("../../sql/queries/channel_open.sql")).await?;
    let row = client.query_opt(&statement, &[&id.as_str(), &connection]).await?.ok_or(NO_CHANNEL)?;
    Ok(Opened { seq: row.get("seq"), at: row.get("edited_at") })
}

/// A notification that an enabler posts.
#[derive(Debug)]
pub struct Callback<'a> {
    /// Of the body.
    pub format: Format,
    /// The notification, as text of that format.
    pub body: &'a str,
    /// The sender's name for it: the same one again is none.
    pub key: Option<&'a str>,
}

/// How much may wait for the client of a channel.
#[derive(Debug, Clone, Copy)]
pub struct Pending {
    /// Notifications.
    pub count: u32,
    /// What they have in all.
    pub bytes: usize,
}

/// Takes a notification for a channel's client; it is in the log when this returns. [`Error::Busy`] when
/// so much waits for the client.
pub async fn take_callback(database: &Database, id: &ChannelId, callback: &Callback<'_>, most: Pending) -> Result<()> {
    let client = database.get().await?;
    let statement = client.prepare_cached("select tocsin.take_callback($1, $2, $3, $4, $5, $6)").await?;
    let row = client
        .query_one(
            &statement,
            &[
                &id.as_str(),
                &callback.format.name(),
                &callback.body,
                &callback.key,
                &i64::from(most.count),
                &i64::try_from(most.bytes).unwrap_or(i64::MAX),
            ],
        )
        .await?;
    match row.get(0) {
        "gone" => Err(NO_CHANNEL),
        "full" => Err(Error::Busy(format!("channel {id}: too many callbacks wait for its client"))),
        "taken" => {
            debug!(stream = Stream::of_channel(id).as_str(), "written");
            Ok(())
        }
        _ => Ok(()), // it was taken before
    }
}

async fn select(database: &Database, user: Option<&UserId>, id: Option<&ChannelId>) -> Result<Vec<Row>> {
    let client = database.get().await?;
    let statement = client.prepare_cached(include_str!("../../sql/queries/channel_get.sql")).await?;
    Ok(client.query(&statement, &[&user.map(UserId::as_str), &id.map(ChannelId::as_str)]).await?)
}

fn channel(row: &Row) -> Result<Channel> {
    let Json(settings) = row.try_get("settings").map_err(Error::internal)?;
    let format: &str = row.get("format");
    Ok(Channel {
        id: ChannelId::from_text(row.get("id")),
        user: UserId::from_log(row.get("user_id")),
        settings,
        format: if format == Format::Xml.name() { Format::Xml } else { Format::Json },
        client_correlator: row.get("client_correlator"),
        application_tag: row.get("application_tag"),
        lifetime_seconds: row.get::<_, i32>("lifetime_seconds").unsigned_abs(),
        expires_at: row.get("expires_at"),
        disabled: disabled(row),
    })
}

/// Why nothing is delivered to the channel of a row.
pub fn disabled(row: &Row) -> Option<Disabled> {
    let at = row.get::<_, Option<_>>("disabled_at")?;
    Some(Disabled { at, why: row.get::<_, Option<_>>("disabled_why").unwrap_or_default() })
}
