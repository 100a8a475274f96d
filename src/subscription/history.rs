//! The SQL of what became of a subscription: what the log says of it, and how far its delivery came.

use chrono::{DateTime, Utc};
use serde::Deserialize;

use crate::base::ids::{BoxName, ChannelId, Stream, SubscriptionId};
use crate::base::{Error, Result};
use crate::filter::Filter;
use crate::postgres::Database;

/// Where delivery started: when the subscription was created, and each time it was repositioned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    /// Seq of the event that says so.
    pub seq: i64,
    /// When that was.
    pub at: DateTime<Utc>,
    /// What comes after this seq is delivered.
    pub from: i64,
    /// Index of the first list.
    pub index: i64,
    /// The first list is a resetBox.
    pub reset: bool,
}

/// How far the client had confirmed when its subscription ended.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Confirmed {
    /// Up to here.
    pub seq: i64,
    /// Index of the list that would have come next.
    pub next_index: i64,
    /// When it was stored last; `None`: not known.
    pub at: Option<DateTime<Utc>>,
}

/// The end of a subscription.
#[derive(Debug, Clone)]
pub struct End {
    /// Seq of the event that says so.
    pub seq: i64,
    /// When that was.
    pub at: DateTime<Utc>,
    /// `deleted` or `expired`.
    pub how: String,
    /// `None`: nothing of the newest generation.
    pub confirmed: Option<Confirmed>,
}

/// What the log says of a subscription.
#[derive(Debug, Clone)]
pub struct History {
    /// The box.
    pub of: BoxName,
    /// Where it delivered.
    pub channel: ChannelId,
    /// What was wanted; `None`: everything.
    pub filter: Option<Filter>,
    /// Oldest first; at least one.
    pub generations: Vec<Generation>,
    /// `None`: it lives, or nobody has ended it yet.
    pub end: Option<End>,
}

/// What an event of a subscription says.
#[derive(Debug, Deserialize)]
struct Told {
    channel: String,
    filter: Option<Filter>,
    from: Option<i64>,
    index: Option<i64>,
    reset: Option<bool>,
    confirmed: Option<Confirmed>,
}

/// Whether there is a live subscription of this id, whatever the log still says of it.
pub async fn lives(database: &Database, id: &SubscriptionId) -> Result<bool> {
    let lives = "select exists (select from tocsin.subscriptions where id = $1)";
    Ok(database.get().await?.query_one(lives, &[&id.as_str()]).await?.get(0))
}

/// What the log says of a subscription; `None` when it has none of this id. Without its stream, or the subscription
/// being live, that takes a look at the whole log.
pub async fn read(database: &Database, id: &SubscriptionId, stream: Option<&Stream>) -> Result<Option<History>> {
    let client = database.get().await?;
    let live = client.query_opt("select stream from tocsin.subscriptions where id = $1", &[&id.as_str()]).await?;
    let stream = live.map(|row| row.get(0)).or_else(|| stream.map(|stream| stream.as_str().to_owned()));
    let rows = client.query(include_str!("../../sql/queries/history_events.sql"), &[&id.as_str(), &stream]).await?;
    let mut history: Option<History> = None;
    for row in rows {
        let (seq, at): (i64, DateTime<Utc>) = (row.get("seq"), row.get("edited_at"));
        let told: Told = serde_json::from_value(row.get("data")).map_err(Error::internal)?;
        let generation = told.from.zip(told.index).map(|(from, index)| {
            let reset = told.reset.unwrap_or_default();
            Generation { seq, at, from, index, reset }
        });
        let kind: &str = row.get("kind");
        match (&mut history, kind) {
            (None, "subscription.created") => {
                let of = BoxName::of(&Stream::from_log(row.get("stream")));
                history = of.map(|of| History {
                    of,
                    channel: ChannelId::from_text(&told.channel),
                    filter: told.filter,
                    generations: generation.into_iter().collect(),
                    end: None,
                });
            }
            (Some(history), "subscription.deleted" | "subscription.expired") => {
                let how = kind.trim_start_matches("subscription.").to_owned();
                history.end = Some(End { seq, at, how, confirmed: told.confirmed });
            }
            (Some(history), _) => history.generations.extend(generation),
            (None, _) => {}
        }
    }
    Ok(history)
}

/// A place in a stream.
#[derive(Debug)]
pub struct Place {
    /// Seq of the newest event.
    pub head: i64,
    /// Everything up to here is no longer kept.
    pub base: i64,
    /// The kind of the event there, if there is one.
    pub kind: Option<String>,
}

/// Where a stream stands, and what kind of event it has at `seq`.
pub async fn place(database: &Database, stream: &Stream, seq: i64) -> Result<Place> {
    let client = database.get().await?;
    let row = client.query_opt(include_str!("../../sql/queries/history_event.sql"), &[&stream.as_str(), &seq]).await?;
    Ok(row.map_or(Place { head: 0, base: 0, kind: None }, |row| Place {
        head: row.get("head_seq"),
        base: row.get("base_seq"),
        kind: row.get("kind"),
    }))
}

/// What is known of delivery to a live subscription, beside its cursor.
#[derive(Debug)]
pub struct Progress {
    /// When its cursor was stored last.
    pub confirmed_at: Option<DateTime<Utc>>,
    /// Everything before this seq was sent, and when the last of it.
    pub sent: Option<(i64, DateTime<Utc>)>,
    /// Everything before this seq was in the answer to a poll, when that was, and whether it is known to be lost.
    pub answered: Option<(i64, Option<DateTime<Utc>>, bool)>,
    /// Type of its channel, and whose that is.
    pub channel: (String, String),
    /// Nothing is delivered, since then, and why.
    pub disabled: Option<(DateTime<Utc>, String)>,
    /// Attempts have failed since then, so many, and what the last one came to.
    pub failing: Option<(DateTime<Utc>, i32, String)>,
}

/// How delivery to a live subscription goes.
pub async fn progress(database: &Database, id: &SubscriptionId) -> Result<Progress> {
    const GONE: Error = Error::NotFound { what: "NmsSubscription" };
    let client = database.get().await?;
    let row = client.query_opt(include_str!("../../sql/queries/history_progress.sql"), &[&id.as_str()]).await?;
    let row = row.ok_or(GONE)?;
    let text = |column: &str| row.get::<_, Option<String>>(column).unwrap_or_default();
    let sent = row.get::<_, Option<i64>>("sent_seq").zip(row.get("sent_at"));
    let failing_since: Option<DateTime<Utc>> = row.get("failing_since");
    Ok(Progress {
        confirmed_at: row.get("confirmed_at"),
        sent,
        answered: row.get::<_, Option<i64>>("answered_seq").map(|seq| (seq, row.get("answered_at"), row.get("lost"))),
        channel: (text("channel_type"), text("user_id")),
        disabled: row.get::<_, Option<_>>("disabled_at").map(|at| (at, text("disabled_why"))),
        failing: failing_since.map(|since| (since, row.get("attempts"), text("last_error"))),
    })
}
