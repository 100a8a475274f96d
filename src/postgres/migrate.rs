//! Brings the schema up to date: the numbered migrations, then the replaceable files of sql/, under one lock.

use std::cmp::Ordering;

use anyhow::{Context, bail};
use refinery::Target;
use sha2::{Digest, Sha256};
use tokio_postgres::Client;
use tracing::info;

mod embedded {
    refinery::embed_migrations!("migrations");
}

/// The files of sql/ in the order they are loaded: views after the functions they call and before those that
/// take their rows, then triggers, and last who may do what.
const REPLACEABLE: &[(&str, &str)] = &[
    ("functions/fold.sql", include_str!("../../sql/functions/fold.sql")),
    ("functions/paths.sql", include_str!("../../sql/functions/paths.sql")),
    ("functions/values.sql", include_str!("../../sql/functions/values.sql")),
    ("functions/terms.sql", include_str!("../../sql/functions/terms.sql")),
    ("views/messages.sql", include_str!("../../sql/views/messages.sql")),
    ("functions/apply.sql", include_str!("../../sql/functions/apply.sql")),
    ("functions/callbacks.sql", include_str!("../../sql/functions/callbacks.sql")),
    ("functions/channels.sql", include_str!("../../sql/functions/channels.sql")),
    ("functions/cluster.sql", include_str!("../../sql/functions/cluster.sql")),
    ("functions/completed.sql", include_str!("../../sql/functions/completed.sql")),
    ("functions/deferred.sql", include_str!("../../sql/functions/deferred.sql")),
    ("functions/folders.sql", include_str!("../../sql/functions/folders.sql")),
    ("functions/guard.sql", include_str!("../../sql/functions/guard.sql")),
    ("functions/inbox.sql", include_str!("../../sql/functions/inbox.sql")),
    ("functions/keys.sql", include_str!("../../sql/functions/keys.sql")),
    ("functions/large_polls.sql", include_str!("../../sql/functions/large_polls.sql")),
    ("functions/listening.sql", include_str!("../../sql/functions/listening.sql")),
    ("functions/messages.sql", include_str!("../../sql/functions/messages.sql")),
    ("functions/objects.sql", include_str!("../../sql/functions/objects.sql")),
    ("functions/moves.sql", include_str!("../../sql/functions/moves.sql")),
    ("functions/partitions.sql", include_str!("../../sql/functions/partitions.sql")),
    ("functions/payloads.sql", include_str!("../../sql/functions/payloads.sql")),
    ("functions/polls.sql", include_str!("../../sql/functions/polls.sql")),
    ("functions/positions.sql", include_str!("../../sql/functions/positions.sql")),
    ("functions/rebuild.sql", include_str!("../../sql/functions/rebuild.sql")),
    ("functions/rights.sql", include_str!("../../sql/functions/rights.sql")),
    ("functions/ring.sql", include_str!("../../sql/functions/ring.sql")),
    ("functions/rooms.sql", include_str!("../../sql/functions/rooms.sql")),
    ("functions/senders.sql", include_str!("../../sql/functions/senders.sql")),
    ("functions/stamp.sql", include_str!("../../sql/functions/stamp.sql")),
    ("functions/tokens.sql", include_str!("../../sql/functions/tokens.sql")),
    ("functions/end.sql", include_str!("../../sql/functions/end.sql")),
    ("functions/grants.sql", include_str!("../../sql/functions/grants.sql")),
    ("functions/watch.sql", include_str!("../../sql/functions/watch.sql")),
    ("views/watched_tables.sql", include_str!("../../sql/views/watched_tables.sql")),
    ("functions/tables.sql", include_str!("../../sql/functions/tables.sql")),
    ("views/event_items.sql", include_str!("../../sql/views/event_items.sql")),
    ("views/box_figures.sql", include_str!("../../sql/views/box_figures.sql")),
    ("triggers/events.sql", include_str!("../../sql/triggers/events.sql")),
    ("triggers/objects.sql", include_str!("../../sql/triggers/objects.sql")),
    ("triggers/messages.sql", include_str!("../../sql/triggers/messages.sql")),
    ("privileges.sql", include_str!("../../sql/privileges.sql")),
];

/// Key of the advisory lock that a migrating node or a rebuild holds: 'toc' and 'm' in ASCII.
const LOCK: i64 = 0x746f_636d;

/// Migrates the database. Safe to call from many nodes at once; refuses a database older than Postgres 14, one that
/// is a standby, and a schema newer than this program.
pub async fn run(client: &mut Client, months_ahead: i32) -> anyhow::Result<()> {
    run_telling(client, months_ahead, |step| {
        if let Some(name) = step.next {
            info!("migration {name} ({} of {})", step.done + 1, step.of);
        }
    })
    .await
}

/// As [`run`]; `tell` is told before each migration, and after the last one.
pub async fn run_telling(client: &mut Client, months_ahead: i32, tell: impl Fn(Step<'_>)) -> anyhow::Result<()> {
    let server =
        client.query_one("select current_setting('server_version_num')::int / 10000, pg_is_in_recovery()", &[]).await?;
    let (major, standby): (i32, bool) = (server.get(0), server.get(1));
    if major < 14 {
        bail!("Postgres {major} is too old: tocsin needs 14 or newer");
    }
    if standby {
        bail!("this database is a standby (in recovery): tocsin must be given the primary");
    }
    keep_others_away(client).await?;
    let outcome = migrate_locked(client, months_ahead, tell).await;
    client.execute("select pg_advisory_unlock($1)", &[&LOCK]).await?;
    outcome
}

/// How far the migrations are.
#[derive(Debug, Clone, Copy)]
pub struct Step<'a> {
    /// How many of those that were missing are done.
    pub done: usize,
    /// How many were missing.
    pub of: usize,
    /// The one that is about to be applied; `None` after the last one.
    pub next: Option<&'a str>,
}

/// Keeps other nodes from migrating, and so from starting, until the lock is given back or the connection closed.
pub async fn keep_others_away(client: &Client) -> anyhow::Result<()> {
    if !client.query_one("select pg_try_advisory_lock($1)", &[&LOCK]).await?.get::<_, bool>(0) {
        info!("waiting for another tocsin, which migrates or rebuilds this database");
        client.execute("select pg_advisory_lock($1)", &[&LOCK]).await?;
    }
    Ok(())
}

/// Which schema a database has, and which one this program is for: numbers of migrations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schema {
    /// The newest that was applied there.
    pub there: i64,
    /// The newest that this program knows.
    pub ours: i64,
}

impl Schema {
    /// Of a database that has been migrated at least once.
    ///
    /// # Errors
    /// There is no schema, or it cannot be read.
    pub async fn of(client: &Client) -> Result<Self, tokio_postgres::Error> {
        let newest = "select coalesce(max(version), 0)::bigint from tocsin.migrations";
        let there = client.query_typed_one(newest, &[]).await?.get(0);
        let runner = embedded::migrations::runner();
        let ours = runner.get_migrations().iter().map(|migration| i64::from(migration.version())).max().unwrap_or(0);
        Ok(Schema { there, ours })
    }

    /// Why the program cannot work with it, if it cannot.
    pub fn fault(self) -> Option<String> {
        let Schema { there, ours } = self;
        match there.cmp(&ours) {
            Ordering::Equal => None,
            Ordering::Less => {
                Some(format!("the schema (V{there}) is older than this program (V{ours}): tocsin migrate"))
            }
            Ordering::Greater => Some(format!(
                "the schema (V{there}) is newer than this program (V{ours}): run the newer tocsin that made it"
            )),
        }
    }
}

/// Makes the role `tocsin_writer`, which migrations grant its rights, where roles are ours to make: in the private cluster.
pub async fn make_writer(client: &Client) -> anyhow::Result<()> {
    let make = "do $$ begin create role tocsin_writer; exception when duplicate_object then null; end $$";
    client.batch_execute(make).await.context("cannot make the role tocsin_writer")
}

async fn migrate_locked(client: &mut Client, months_ahead: i32, tell: impl Fn(Step<'_>)) -> anyhow::Result<()> {
    if !client.query_one("select to_regnamespace('tocsin') is not null", &[]).await?.get::<_, bool>(0) {
        let may = "cannot create the schema tocsin (its owner needs: grant create on database ... to ...)";
        client.batch_execute("create schema tocsin").await.context(may)?;
    }
    migrate_tables(client, tell).await?;
    load_replaceable(client).await?;
    if client.query_one("select tocsin.grant_to_writer()", &[]).await?.get(0) {
        info!("the role tocsin_writer has been granted its rights");
    }
    if client.query_one("select tocsin.adopt_cluster()", &[]).await?.get(0) {
        info!("the log comes from another cluster: its transaction ids were reset");
    }
    let attached: i64 = client.query_one("select tocsin.attach_partitions($1)", &[&months_ahead]).await?.get(0);
    if attached > 0 {
        info!("{attached} partitions attached");
    }
    Ok(())
}

/// Applies the numbered migrations that are missing, each in a transaction of its own.
async fn migrate_tables(client: &mut Client, tell: impl Fn(Step<'_>)) -> anyhow::Result<()> {
    let mut runner = embedded::migrations::runner();
    runner.set_migration_table_name("tocsin.migrations");
    let mut there = 0;
    if client.query_one("select to_regclass('tocsin.migrations') is not null", &[]).await?.get(0) {
        let schema = Schema::of(client).await?;
        if let Some(newer) = schema.fault().filter(|_| schema.there > schema.ours) {
            bail!(newer);
        }
        there = schema.there;
    }
    let known = runner.get_migrations().iter().map(|one| (one.version(), one.to_string()));
    let mut missing: Vec<_> = known.filter(|(version, _)| i64::from(*version) > there).collect();
    missing.sort_unstable();
    // What is there is held against what we know in any case.
    runner = runner.set_target(Target::Version(there.try_into()?));
    runner
        .run_async(client)
        .await
        .context("the schema is not what this program would have made (run the tocsin that made it)")?;
    for (done, (version, name)) in missing.iter().enumerate() {
        tell(Step { done, of: missing.len(), next: Some(name) });
        runner = runner.set_target(Target::Version(*version));
        runner
            .run_async(client)
            .await
            .with_context(|| format!("the migration {name} failed, and has changed nothing"))?;
    }
    tell(Step { done: missing.len(), of: missing.len(), next: None });
    Ok(())
}

/// Loads sql/ when it differs from what is there: replacing a trigger takes a lock on the log, and need not be done
/// at every start.
async fn load_replaceable(client: &mut Client) -> anyhow::Result<()> {
    let fingerprint = fingerprint();
    let loaded: Option<String> =
        client.query_opt("select fingerprint from tocsin.replaceable", &[]).await?.map(|row| row.get(0));
    if loaded.as_deref() == Some(&fingerprint) {
        return Ok(());
    }
    let transaction = client.transaction().await?;
    // What a view or a rule means is decided now: nobody shall have put something of the same name in its way.
    let settings = "set local check_function_bodies = off; set local search_path = pg_catalog, pg_temp";
    transaction.batch_execute(settings).await?;
    for (name, text) in REPLACEABLE {
        transaction.batch_execute(text).await.with_context(|| format!("in sql/{name}"))?;
    }
    transaction
        .execute(
            "insert into tocsin.replaceable (fingerprint) values ($1)
             on conflict (one) do update set fingerprint = excluded.fingerprint",
            &[&fingerprint],
        )
        .await?;
    transaction.commit().await?;
    info!("functions, views and triggers loaded");
    Ok(())
}

fn fingerprint() -> String {
    let mut hash = Sha256::new();
    for (name, text) in REPLACEABLE {
        hash.update(name);
        hash.update(text);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_replaceable_file_is_loaded() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("sql");
        for folder in ["functions", "views", "triggers"] {
            for entry in std::fs::read_dir(root.join(folder)).unwrap() {
                let name = format!("{folder}/{}", entry.unwrap().file_name().to_str().unwrap());
                assert!(REPLACEABLE.iter().any(|(loaded, _)| *loaded == name), "{name} is not loaded");
            }
        }
    }
}
