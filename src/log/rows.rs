//! The log's SQL: reading a stream, and reading since a snapshot.

use std::sync::Arc;

use futures_util::TryStreamExt;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio_postgres::types::Json;
use tokio_postgres::{Client, Row, Statement};

use super::event::{Event, Kind};
use crate::base::Result;
use crate::base::ids::Stream;
use crate::postgres::Database;

fn event(row: &Row, first: usize) -> Event {
    let Json(data): Json<Box<RawValue>> = row.get(first + 5);
    Event::new(
        Stream::from_log(row.get(first)),
        row.get(first + 1),
        Kind::parse(row.get(first + 2)),
        row.get(first + 3),
        row.get(first + 4),
        data,
    )
}

/// Up to `limit` events of a stream, from `seq` on.
pub async fn read_stream(database: &Database, stream: &Stream, seq: i64, limit: i64) -> Result<Vec<Arc<Event>>> {
    let client = database.get().await?;
    let statement = client.prepare_cached(READ_STREAM).await?;
    let rows = client.query(&statement, &[&stream.as_str(), &seq, &limit]).await?;
    Ok(rows.iter().map(|row| Arc::new(event(row, 0))).collect())
}

const READ_STREAM: &str = include_str!("../../sql/queries/read_stream.sql");

/// What was visible at some moment (`pg_snapshot`): everything before `xmax` except what was still running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    xmax: String,
    running: String,
}

impl Snapshot {
    /// From `xmin:xmax:running,...`, the text of a `pg_snapshot`.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let mut parts = text.splitn(3, ':').skip(1);
        match (parts.next(), parts.next()) {
            (Some(xmax), Some(running)) => Ok(Snapshot { xmax: xmax.to_owned(), running: format!("{{{running}}}") }),
            _ => anyhow::bail!("not a snapshot: {text}"),
        }
    }

    /// What is visible now.
    pub async fn take(client: &Client) -> anyhow::Result<Self> {
        Self::parse(client.query_one("select pg_current_snapshot()::text", &[]).await?.get(0))
    }
}

/// The statement of the tail, prepared on its connection.
pub async fn prepare_tail(client: &Client) -> anyhow::Result<Statement> {
    Ok(client.prepare(include_str!("../../sql/queries/read_since_snapshot.sql")).await?)
}

/// A row of the tail: the snapshot it was read under, and an event, if there was any.
pub struct TailRow(Row);

impl TailRow {
    /// The snapshot from which the next read goes on.
    pub fn snapshot(&self) -> anyhow::Result<Snapshot> {
        Snapshot::parse(self.0.get(0))
    }

    /// The event.
    pub fn event(&self) -> Option<Event> {
        self.0.get::<_, Option<&str>>(1).map(|_| event(&self.0, 1))
    }
}

/// Reads what became visible since `snapshot`, row by row: a transaction of any size passes through bounded memory.
pub async fn read_since(
    client: &Client,
    tail: &Statement,
    snapshot: &Snapshot,
) -> anyhow::Result<impl futures_util::Stream<Item = Result<TailRow, tokio_postgres::Error>> + use<>> {
    let rows = client.query_raw(tail, [snapshot.xmax.as_str(), snapshot.running.as_str()]).await?;
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
        let s = Snapshot::parse("10:20:10,14").unwrap();
        assert_eq!((s.xmax.as_str(), s.running.as_str()), ("20", "{10,14}"));
        assert_eq!(Snapshot::parse("10:10:").unwrap().running, "{}");
        assert!(Snapshot::parse("10").is_err());
    }
}
