//! The log's SQL: reading a stream, and reading since a snapshot.

use std::error::Error as StdError;
use std::pin::pin;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio_postgres::types::{FromSql, ToSql, Type};
use tokio_postgres::{Client, Row, Statement};

use super::event::{Event, Kind};
use super::interest::Places;
use crate::base::Result;
use crate::base::ids::Stream;
use crate::postgres::Database;

/// A `jsonb` as its text: it comes as one byte of a version and the text, which needs no second look.
struct JsonText<'a>(&'a str);

impl<'a> FromSql<'a> for JsonText<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn StdError + Sync + Send>> {
        match raw.split_first() {
            Some((1, text)) => Ok(JsonText(std::str::from_utf8(text)?)),
            _ => Err("a jsonb of an unknown version".into()),
        }
    }

    fn accepts(of: &Type) -> bool {
        *of == Type::JSONB
    }
}

/// An event from its columns, which begin with `seq` at `first`.
fn event(row: &Row, stream: Stream, first: usize) -> Event {
    Event::new(
        stream,
        row.get(first),
        Kind::parse(row.get(first + 1)),
        row.get(first + 2),
        row.get(first + 3),
        row.get::<_, JsonText>(first + 4).0,
    )
}

/// Up to `limit` events of a stream, from `seq` on, all of them later than `after`, but no more once their data has
/// `bytes_max` bytes; and whether these were all there were.
pub async fn read_stream(
    database: &Database,
    stream: &Stream,
    seq: i64,
    after: DateTime<Utc>,
    limit: i64,
    bytes_max: usize,
) -> Result<(Vec<Arc<Event>>, bool)> {
    let client = database.get().await?;
    let statement = client.prepare_cached(include_str!("../../sql/queries/read_stream.sql")).await?;
    let stored_max = i64::try_from(bytes_max).unwrap_or(i64::MAX);
    let parameters: [&(dyn ToSql + Sync); 5] = [&stream.as_str(), &seq, &limit, &stored_max, &after];
    let mut rows = pin!(client.query_raw(&statement, parameters).await?);
    let (mut events, mut bytes, mut stored) = (Vec::new(), 0, 0_i64);
    while let Some(row) = rows.try_next().await? {
        let event = event(&row, stream.clone(), 0);
        bytes += event.data_bytes();
        stored = row.get(5);
        events.push(Arc::new(event));
        if bytes >= bytes_max {
            return Ok((events, false));
        }
    }
    let all = (events.len() as i64) < limit && stored < stored_max;
    Ok((events, all))
}

/// What was visible at some moment (`pg_snapshot`): everything before `xmax` except what was still running; and all
/// there will ever be in partitions that end at `sealed`, or before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    xmax: String,
    running: String,
    sealed: String,
}

impl Snapshot {
    /// From `xmin:xmax:running,...`, the text of a `pg_snapshot`, and the text of a moment.
    pub fn parse(text: &str, sealed: &str) -> anyhow::Result<Self> {
        let mut parts = text.splitn(3, ':').skip(1);
        match (parts.next(), parts.next()) {
            (Some(xmax), Some(running)) => {
                Ok(Snapshot { xmax: xmax.to_owned(), running: format!("{{{running}}}"), sealed: sealed.to_owned() })
            }
            _ => anyhow::bail!("not a snapshot: {text}"),
        }
    }

    /// Whether transactions began to write between the other one and this one.
    pub fn is_later_than(&self, other: &Snapshot) -> bool {
        self.xmax != other.xmax
    }

    /// What is visible now.
    pub async fn take(client: &Client) -> anyhow::Result<Self> {
        let now = "select pg_current_snapshot()::text, coalesce(max(upto), '-infinity')::text from tocsin.sealed";
        let row = client.query_one(now, &[]).await?;
        Self::parse(row.get(0), row.get(1))
    }
}

/// How the session of the tail plans: once, and so that whatever statistics say, each partition is read by the index on
/// xid, and nothing else. What the tail wants is always little, but a plan made once cannot know that. It would scan a
/// partition that was empty then, and start parallel workers for each read of one that is large.
pub const TAIL_SESSION: &str = "set plan_cache_mode = force_generic_plan; set enable_seqscan = off;
    set enable_indexscan = off; set max_parallel_workers_per_gather = 0";

/// The statement of the tail, prepared on its connection.
pub async fn prepare_tail(client: &Client) -> anyhow::Result<Statement> {
    Ok(client.prepare(include_str!("../../sql/queries/read_since_snapshot.sql")).await?)
}

/// A row of the tail: the snapshot it was read under, and an event, if there was any.
pub struct TailRow(Row);

impl TailRow {
    /// The snapshot from which the next read goes on.
    pub fn snapshot(&self) -> anyhow::Result<Snapshot> {
        Snapshot::parse(self.0.get(0), self.0.get("sealed"))
    }

    /// The event.
    pub fn event(&self) -> Option<Event> {
        self.0.get::<_, Option<&str>>(1).map(|stream| event(&self.0, Stream::from_log(stream), 2))
    }
}

/// Reads what became visible since `snapshot`, row by row: a transaction of any size passes through bounded memory.
/// With `places`, what nobody follows there is left out.
pub async fn read_since(
    client: &Client,
    tail: &Statement,
    snapshot: &Snapshot,
    places: Option<&Places>,
) -> anyhow::Result<impl futures_util::Stream<Item = Result<TailRow, tokio_postgres::Error>> + use<>> {
    let places = places.map(|places| &places[..]);
    let parameters: [&(dyn ToSql + Sync); 4] = [&snapshot.xmax, &snapshot.running, &snapshot.sealed, &places];
    let rows = client.query_raw(tail, parameters).await?;
    Ok(rows.map_ok(TailRow))
}

/// A copy of an event as a ring carries it.
#[derive(Deserialize)]
struct Copy<'a> {
    stream: &'a str,
    seq: i64,
    kind: &'a str,
    object_id: Option<i64>,
    edited_at: chrono::DateTime<chrono::Utc>,
    data: Box<RawValue>,
}

/// The event a ring carries a copy of, if it does.
pub fn ring_copy(payload: &str) -> Option<Event> {
    let copy: Copy<'_> = serde_json::from_str(payload).ok()?;
    Some(Event::new(
        Stream::from_log(copy.stream),
        copy.seq,
        Kind::parse(copy.kind),
        copy.object_id,
        copy.edited_at,
        copy.data,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_its_xmax_and_what_was_running() {
        let s = Snapshot::parse("10:20:10,14", "-infinity").unwrap();
        assert_eq!((s.xmax.as_str(), s.running.as_str()), ("20", "{10,14}"));
        assert_eq!(Snapshot::parse("10:10:", "-infinity").unwrap().running, "{}");
        assert!(Snapshot::parse("10", "-infinity").is_err());
    }
}
