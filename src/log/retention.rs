//! Removes partitions of the log that are past their age: whole months, oldest first, and nobody waits for it.
//!
//! First the streams' bases are raised, so that who asks for what is about to go is told that it is gone. The partition
//! is detached CONCURRENTLY, which waits for every transaction that has touched the log, and keeps none waiting. Those
//! may have committed events into it; so the bases are raised again before it is dropped. Whatever interrupts this, the
//! next attempt takes it up where it was.

use anyhow::Context;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use tracing::info;

use crate::postgres::Database;

/// Streams whose bases are raised in one transaction: few, since their writers wait for it.
const STREAMS_BATCH: i32 = 500;
/// How long the row of one stream is waited for.
const STREAM_PATIENCE: &str = "set lock_timeout = '2s'";
/// How long transactions that have touched the log are waited for, each; then it is taken up again an hour later.
const DETACH_PATIENCE: &str = "set lock_timeout = '60s'";
/// One node at a time does this, by an advisory lock: 'tocr' in ASCII.
const ALONE: &str = "select pg_try_advisory_lock(1953456498)";

/// Drops the partitions whose newest possible event is more than `keep_days` old. Should the caller give up, what waits
/// in the database is ended by its connection, and finished by whoever comes next.
pub async fn retain(database: &Database, keep_days: u32) -> anyhow::Result<()> {
    let connection = database.connect("retention").await?;
    let client = &connection.client;
    // Should we vanish while we wait, let Postgres notice. (Not on every platform.)
    let _ = client.batch_execute("set client_connection_check_interval = '2s'").await;
    if !client.query_one(ALONE, &[]).await?.get::<_, bool>(0) {
        return Ok(());
    }
    finish_pending(client).await?;
    let past = format!("select partition, attached from tocsin.partitions_past(make_interval(days => {keep_days}))");
    for row in client.query(&past, &[]).await? {
        let (partition, attached): (String, bool) = (row.get(0), row.get(1));
        if attached {
            raise_bases(client, &partition).await?;
            detach(client, &partition, "concurrently").await?;
        }
        raise_bases(client, &partition).await?;
        client.batch_execute(&format!("drop table tocsin.{partition}")).await?;
        info!("{partition} is past its age, and was dropped");
    }
    Ok(())
}

/// A detaching that was interrupted comes first: Postgres detaches one partition at a time.
async fn finish_pending(client: &Client) -> anyhow::Result<()> {
    let pending: Option<String> = client.query_one("select tocsin.partition_pending()", &[]).await?.get(0);
    if let Some(partition) = pending {
        detach(client, &partition, "finalize").await?;
        raise_bases(client, &partition).await?;
    }
    Ok(())
}

/// (Not in a transaction: so it is a statement of its own.)
async fn detach(client: &Client, partition: &str, how: &str) -> anyhow::Result<()> {
    client.batch_execute(DETACH_PATIENCE).await?;
    client
        .batch_execute(&format!("alter table tocsin.events detach partition tocsin.{partition} {how}"))
        .await
        .with_context(|| format!("{partition} cannot be detached yet"))
}

/// Everything in the partition counts as gone from now on.
async fn raise_bases(client: &Client, partition: &str) -> anyhow::Result<()> {
    client.batch_execute(STREAM_PATIENCE).await?;
    let mut since = Some(String::new());
    while let Some(stream) = since {
        let batch = "select upto, held from tocsin.raise_bases($1, $2, $3)";
        let row = client.query_one(batch, &[&partition, &stream, &STREAMS_BATCH]).await?;
        for held in row.get::<_, Vec<String>>(1) {
            raise_base(client, partition, &held).await?;
        }
        since = row.get(0);
    }
    Ok(())
}

/// One stream, whose writers are so many, or so slow, that we wait for our turn.
async fn raise_base(client: &Client, partition: &str, stream: &str) -> anyhow::Result<()> {
    match client.execute("select tocsin.raise_base($1, $2)", &[&partition, &stream]).await {
        Err(fault) if fault.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => {
            Err(fault).with_context(|| format!("a transaction holds the stream {stream}: {partition} stays for now"))
        }
        outcome => Ok(outcome.map(|_| ())?),
    }
}
