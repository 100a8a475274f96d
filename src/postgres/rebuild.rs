//! Makes the projections anew from the log. What is done there, and why in copies, stands in
//! sql/functions/rebuild.sql; here is in which order, and who is kept away meanwhile.
//!
//! Writers go on while the log is replayed. Only for the end, what was written meanwhile and the comparison of the
//! copies with the projections, they wait; readers never do. All that changes is changed in that one transaction.

use std::time::Duration;

use anyhow::{Context, bail};
use tokio::time::sleep;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Row};

use super::migrate;

/// Events replayed in one transaction: few enough for what a transaction must remember of its own changes, and for
/// progress to be seen; many enough for a call and a commit not to matter.
const BATCH_EVENTS: i64 = 2000;
/// How often the log is run through while writers go on: each time there is less left for the end.
const PASSES: usize = 2;
/// How long the lock that keeps writers away is waited for: all writers queue up behind it.
const LOCK_PATIENCE: &str = "set local lock_timeout = '2s'";
/// And how long they are left in peace before the next attempt.
const LOCK_AGAIN: Duration = Duration::from_secs(1);

/// The lock that a node holds shared while it follows the log: class 'tocs' in ASCII, as the doorbell's key.
const SERVE: &str = "select pg_try_advisory_lock_shared(1953456499, 2)";
/// A rebuild that wants no node beside it holds it exclusively.
const ALONE: &str = "select pg_try_advisory_lock(1953456499, 2)";
const NODES: &str = "select count(*) from pg_locks
     where locktype = 'advisory' and classid = 1953456499 and objid = 2 and objsubid = 2 and granted
       and database = (select oid from pg_database where datname = current_database())";

/// How far it is.
#[derive(Debug, Clone, Copy)]
pub enum Progress {
    /// The log is replayed.
    Replayed {
        /// How many were replayed.
        events: u64,
        /// How many were in the log when last looked.
        of: u64,
    },
    /// Transactions that have written and are not over hold up the end.
    WaitingForWriters,
    /// The copies are compared with the projections.
    Comparing,
}

/// What became of a projection.
#[derive(Debug)]
pub struct Rebuilt {
    /// The table's name.
    pub projection: String,
    /// Rows it has now.
    pub rows: i64,
    /// Rows that were not what the log says.
    pub removed: i64,
    /// Rows that were missing, or came in the place of those removed.
    pub written: i64,
}

/// Shows a node to [`run`], for as long as this connection lives. Fails while a rebuild wants no node beside it.
pub async fn announce_node(client: &Client) -> anyhow::Result<()> {
    if !client.query_one(SERVE, &[]).await?.get::<_, bool>(0) {
        bail!("`tocsin rebuild` is at work, and no node may serve meanwhile");
    }
    Ok(())
}

/// Brings the schema up to date, then makes every projection what the log says. `client` is a connection of its own:
/// when it is closed, even in the middle, nothing is left behind or half done.
///
/// Refuses while nodes serve, unless `while_serving`; and when events have left the log, since what they said is only
/// in the projections.
pub async fn run(
    client: &mut Client,
    months_ahead: i32,
    while_serving: bool,
    progress: impl Fn(Progress),
) -> anyhow::Result<Vec<Rebuilt>> {
    // Until the end: nobody replaces apply.sql meanwhile, and nodes that start wait.
    migrate::keep_others_away(client).await?;
    migrate::run(client, months_ahead).await?;
    if !while_serving {
        refuse_beside_nodes(client).await?;
    }
    refuse_after_retention(client).await?;

    client.batch_execute("set temp_buffers = '64MB'; select tocsin.rebuild_begin()").await?;
    let mut replayed = 0;
    for _ in 0..PASSES {
        pass(client, &mut replayed, &progress).await?;
    }
    let projections: Vec<String> = client.query_one("select tocsin.projections()", &[]).await?.get(0);
    for projection in &projections {
        client.batch_execute(&format!("analyze pg_temp.{projection}")).await?;
    }
    keep_writers_away(client, &progress).await?;
    pass(client, &mut replayed, &progress).await?;
    progress(Progress::Comparing);
    let rebuilt = client.query("select projection, rows, removed, written from tocsin.rebuild_finish()", &[]).await?;
    client.batch_execute("commit").await?;
    for projection in &projections {
        client.batch_execute(&format!("analyze tocsin.{projection}")).await?;
    }
    Ok(rebuilt.iter().map(Rebuilt::of).collect())
}

impl Rebuilt {
    fn of(row: &Row) -> Self {
        Rebuilt { projection: row.get(0), rows: row.get(1), removed: row.get(2), written: row.get(3) }
    }
}

async fn refuse_beside_nodes(client: &Client) -> anyhow::Result<()> {
    if client.query_one(ALONE, &[]).await?.get(0) {
        return Ok(());
    }
    let nodes: i64 = client.query_one(NODES, &[]).await?.get(0);
    bail!("{nodes} of this database's nodes are serving: stop them, or say --while-serving");
}

async fn refuse_after_retention(client: &Client) -> anyhow::Result<()> {
    let sql = "select count(*), array_to_string((array_agg(stream order by stream))[:3], ', ')
               from tocsin.streams where base_seq > 0";
    let gone = client.query_one(sql, &[]).await?;
    let (streams, some): (i64, Option<String>) = (gone.get(0), gone.get(1));
    if let Some(some) = some {
        bail!(
            "the first events of {streams} streams are no longer in the log ({some}{}): what they said is only in the \
             projections, which can therefore not be made anew",
            if streams > 3 { ", ..." } else { "" }
        );
    }
    Ok(())
}

/// Runs through the streams once, replaying what the copies do not have yet.
async fn pass(client: &Client, replayed: &mut u64, progress: &impl Fn(Progress)) -> anyhow::Result<()> {
    let heads = client.query_one("select coalesce(sum(head_seq), 0)::bigint from tocsin.streams", &[]).await?;
    let of = u64::try_from(heads.get::<_, i64>(0))?;
    let step = client.prepare("select stream, events from tocsin.rebuild_step($1, $2)").await?;
    let mut since = Some(String::new());
    while let Some(stream) = since {
        let row = client.query_one(&step, &[&stream, &BATCH_EVENTS]).await.context("the log cannot be replayed")?;
        let events: i64 = row.get(1);
        since = if events < BATCH_EVENTS { None } else { row.get(0) };
        *replayed += u64::try_from(events)?;
        progress(Progress::Replayed { events: *replayed, of: of.max(*replayed) });
    }
    Ok(())
}

/// Begins the transaction in which nothing is written but by us.
async fn keep_writers_away(client: &Client, progress: &impl Fn(Progress)) -> anyhow::Result<()> {
    loop {
        client.batch_execute("begin").await?;
        client.batch_execute(LOCK_PATIENCE).await?;
        match client.batch_execute("lock table tocsin.streams in exclusive mode").await {
            Ok(()) => return Ok(client.batch_execute("set local lock_timeout = 0").await?),
            Err(fault) if fault.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => {
                client.batch_execute("rollback").await?;
                progress(Progress::WaitingForWriters);
                sleep(LOCK_AGAIN).await;
            }
            Err(fault) => return Err(fault.into()),
        }
    }
}
