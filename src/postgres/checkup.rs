//! What `tocsin doctor` looks at in a database: each check finds that something is well, could be better, or is broken,
//! and then says what to do about it.

use std::time::Duration;

use anyhow::Context;
use chrono::{DateTime, Utc};
use tokio::time::{Instant, timeout};
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use super::migrate::Schema;
use super::{Connection, Database, POOL_CONNECTIONS_MAX};

/// How long our own NOTIFY may take to come back.
const NOTIFY_PATIENCE: Duration = Duration::from_secs(3);
/// How long a session may take to answer while another one is in a transaction.
const SESSION_PATIENCE: Duration = Duration::from_secs(5);
/// Connections of a node outside its pool: the tail, the doorbell's key, the terms, and one for what comes now and then.
const OTHER_CONNECTIONS: i64 = 4;
/// How far clocks may differ, in seconds: more is told in figures and leases that are not right...
const SKEW_WARN: f64 = 1.0;
/// ...and this much in tokens that are not valid yet, or no longer.
const SKEW_FAIL: f64 = 30.0;
/// How much of the queue of notifications may be full: it holds 8 GB.
const QUEUE_WARN: f64 = 0.05;
/// Writers fail when all of it is.
const QUEUE_FAIL: f64 = 0.5;
/// How long a transaction may be open, in seconds.
const TRANSACTION_WARN: f64 = 300.0;
/// One that is forgotten.
const TRANSACTION_FAIL: f64 = 3600.0;

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// Well.
    Ok,
    /// It could be better.
    Warn,
    /// Broken, or about to be.
    Fail,
}

impl Health {
    /// As it is printed.
    pub fn name(self) -> &'static str {
        match self {
            Health::Ok => "ok",
            Health::Warn => "warn",
            Health::Fail => "fail",
        }
    }
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at, in a word or two.
    pub check: &'static str,
    /// How it is.
    pub health: Health,
    /// What was seen.
    pub seen: String,
    /// What to do; nothing when all is well.
    pub remedy: String,
}

impl Finding {
    /// All is well.
    pub fn ok(check: &'static str, seen: impl Into<String>) -> Self {
        Finding { check, health: Health::Ok, seen: seen.into(), remedy: String::new() }
    }

    /// It could be better.
    pub fn warn(check: &'static str, seen: impl Into<String>, remedy: impl Into<String>) -> Self {
        Finding { check, health: Health::Warn, seen: seen.into(), remedy: remedy.into() }
    }

    /// It is broken.
    pub fn fail(check: &'static str, seen: impl Into<String>, remedy: impl Into<String>) -> Self {
        Finding { check, health: Health::Fail, seen: seen.into(), remedy: remedy.into() }
    }

    /// By a number: the more, the worse.
    fn by(check: &'static str, number: f64, (warn, fail): (f64, f64), seen: String, remedy: &str) -> Self {
        match number {
            number if number > fail => Finding::fail(check, seen, remedy),
            number if number > warn => Finding::warn(check, seen, remedy),
            _ => Finding::ok(check, seen),
        }
    }
}

/// Looks at everything, as far as it can be seen: what cannot be reached ends it.
pub async fn look(database: &Database) -> Vec<Finding> {
    let connection = match database.connect("doctor").await {
        Ok(connection) => connection,
        Err(fault) => {
            let remedy = "is Postgres running, and are the URL, the password, pg_hba.conf and sslmode right?";
            return vec![Finding::fail("database", format!("cannot be reached: {fault:#}"), remedy)];
        }
    };
    let mut findings = vec![Finding::ok("database", "can be reached")];
    if let Err(fault) = look_at(database, connection, &mut findings).await {
        let remedy = "look at the log of Postgres; without a reason there, is what answers Postgres itself?";
        findings.push(Finding::fail("questions", format!("cannot be asked: {fault:#}"), remedy));
    }
    findings
}

async fn look_at(database: &Database, mut connection: Connection, findings: &mut Vec<Finding>) -> anyhow::Result<()> {
    let server = ask(&connection.client, include_str!("../../sql/queries/doctor_server.sql")).await?;
    findings.extend([version(&server), primary(&server)]);
    if findings.iter().any(|finding| finding.health == Health::Fail) {
        return Ok(()); // nothing else matters
    }
    let session = session(database, &connection.client).await;
    let lasts = session.health == Health::Ok;
    findings.push(session);
    if lasts {
        findings.push(notifications(database, &mut connection).await?); // elsewhere somebody else would listen
    }
    findings.extend([rights(&server), superuser(&server), public_schema(&server)]);
    if server.get("owns") {
        look_at_schema(&connection.client, findings).await?;
    }
    findings.push(clock(&connection.client).await?);
    findings.extend([connections(&server), limit(&server), queue(&server), autovacuum(&server)]);
    findings.extend([transactions(&server), prepared(&server), slots(&server)]);
    Ok(())
}

fn version(server: &Row) -> Finding {
    let major: i32 = server.get("major");
    let seen = format!("Postgres {major}");
    if major < 14 {
        Finding::fail("version", seen, "upgrade to Postgres 14 or newer")
    } else {
        Finding::ok("version", seen)
    }
}

fn primary(server: &Row) -> Finding {
    if server.get("standby") {
        return Finding::fail(
            "primary",
            "this is a standby",
            "give tocsin the primary: target_session_attrs=read-write",
        );
    }
    Finding::ok("primary", "can be written to")
}

/// Whether what is said in a session holds in its next transaction.
async fn session(database: &Database, client: &Client) -> Finding {
    const CHECK: &str = "session";
    let remedy = "connect directly, or let the pooler pool sessions (pool_mode = session)";
    match timeout(SESSION_PATIENCE, keeps_session(database, client)).await {
        Ok(Ok(true)) => Finding::ok(CHECK, "settings and prepared statements outlast a transaction"),
        Ok(Ok(false)) => Finding::fail(CHECK, "settings are lost between transactions: a transaction pooler", remedy),
        Ok(Err(fault)) => Finding::fail(CHECK, format!("a session does not last: {fault:#}"), remedy),
        Err(_) => Finding::fail(CHECK, "two connections do not get a session each: a pooler that is full", remedy),
    }
}

/// A pooler gives the session that was used last to the next who asks: while another connection is in a transaction, we
/// get ours back only when it is ours alone.
async fn keeps_session(database: &Database, client: &Client) -> anyhow::Result<bool> {
    let mark = uuid::Uuid::new_v4().simple().to_string();
    let set = "select pg_backend_pid(), set_config('tocsin.doctor', $1, false)";
    let look = "select pg_backend_pid(), coalesce(current_setting('tocsin.doctor', true), '')";
    let look = client.prepare(look).await?;
    let pid: i32 = client.query_typed_one(set, &[(&mark, Type::TEXT)]).await?.get(0);
    let mut other = database.get().await.context("a second connection")?;
    let transaction = other.transaction().await?;
    let row = client.query_one(&look, &[]).await?;
    transaction.rollback().await?;
    Ok(row.get::<_, i32>(0) == pid && row.get::<_, String>(1) == mark)
}

/// Asks without preparing, which a transaction pooler may not allow.
async fn ask(client: &Client, question: &str) -> Result<Row, tokio_postgres::Error> {
    client.query_typed_one(question, &[]).await
}

/// Whether a NOTIFY from another connection comes back to one that listens.
async fn notifications(database: &Database, connection: &mut Connection) -> anyhow::Result<Finding> {
    const CHECK: &str = "notify";
    let channel = format!("tocsin_doctor_{}", uuid::Uuid::new_v4().simple());
    connection.client.batch_execute(&format!("listen {channel}")).await?;
    let sent = Instant::now();
    database.get().await.context("a second connection")?.execute("select pg_notify($1, '')", &[&channel]).await?;
    let heard = async {
        while let Some(notification) = connection.notifications.recv().await {
            if notification.channel() == channel {
                return true;
            }
        }
        false
    };
    Ok(match timeout(NOTIFY_PATIENCE, heard).await {
        Ok(true) => Finding::ok(CHECK, format!("heard after {:?}", sent.elapsed())),
        _ => Finding::fail(
            CHECK,
            "our own NOTIFY does not come back: a transaction pooler is in the way, and nodes read the log every 50 ms",
            "connect directly, or let the pooler pool sessions (pool_mode = session)",
        ),
    })
}

fn rights(server: &Row) -> Finding {
    const CHECK: &str = "rights";
    let (role, database): (String, String) = (server.get("role"), server.get("database"));
    match server.get::<_, Option<String>>("owner") {
        Some(owner) if !server.get::<_, bool>("owns") => Finding::fail(
            CHECK,
            format!("the schema tocsin is {owner}'s, not {role}'s"),
            format!("connect as {owner}, or GRANT {owner} TO {role}"),
        ),
        Some(_) => Finding::ok(CHECK, format!("{role} owns the schema tocsin")),
        None if !server.get::<_, bool>("may_create") => Finding::fail(
            CHECK,
            format!("{role} may not create the schema tocsin"),
            format!("GRANT CREATE ON DATABASE {database} TO {role}"),
        ),
        None => Finding::warn(CHECK, "there is no schema tocsin yet", "start a node, or run tocsin migrate"),
    }
}

fn superuser(server: &Row) -> Finding {
    let role: String = server.get("role");
    if server.get("superuser") {
        let remedy = format!("a role with CREATE on the database is enough: ALTER ROLE {role} NOSUPERUSER");
        return Finding::warn("superuser", format!("{role} is a superuser, which tocsin never needs"), remedy);
    }
    Finding::ok("superuser", format!("{role} is none"))
}

fn public_schema(server: &Row) -> Finding {
    if server.get("anybody_creates") {
        let remedy = "REVOKE CREATE ON SCHEMA public FROM PUBLIC";
        return Finding::warn(
            "public schema",
            "anybody may create functions there, which others may call by mistake",
            remedy,
        );
    }
    Finding::ok("public schema", "not everybody may create something there")
}

async fn look_at_schema(client: &Client, findings: &mut Vec<Finding>) -> anyhow::Result<()> {
    let schema = Schema::of(client).await.context("the schema tocsin")?;
    findings.push(match schema.fault() {
        None => Finding::ok("schema", format!("V{}, as this program has it", schema.there)),
        Some(fault) if schema.there > schema.ours => Finding::fail("schema", fault, "run the newer tocsin everywhere"),
        Some(fault) => Finding::warn("schema", fault, "start a node of this version, or run tocsin migrate"),
    });
    if schema.fault().is_some() {
        return Ok(()); // it may look otherwise
    }
    let row = ask(client, include_str!("../../sql/queries/doctor_schema.sql")).await?;
    findings.extend([partitions(&row), everybody(&row), writer(&row), dead_rows(&row)]);
    Ok(())
}

fn partitions(schema: &Row) -> Finding {
    let ahead: i32 = schema.get("months_ahead");
    let seen = format!("the log can be written for {ahead} months after this one");
    let remedy = "run tocsin migrate, and look into a node's log for what keeps it from attaching them";
    match ahead {
        ..=0 => Finding::fail("partitions", seen, remedy),
        1 => Finding::warn("partitions", seen, remedy),
        _ => Finding::ok("partitions", seen),
    }
}

fn everybody(schema: &Row) -> Finding {
    let granted: i64 = schema.get("granted");
    if granted == 0 {
        return Finding::ok("PUBLIC", "has nothing in the schema tocsin");
    }
    let first: String = schema.get("granted_first");
    let remedy = "REVOKE ALL ON SCHEMA tocsin FROM PUBLIC, and the same for ALL TABLES, SEQUENCES and FUNCTIONS IN it";
    Finding::fail("PUBLIC", format!("has rights in the schema tocsin: {first}, {granted} in all"), remedy)
}

fn writer(schema: &Row) -> Finding {
    match (schema.get("writer"), schema.get("writer_writes")) {
        (false, _) => Finding::ok("tocsin_writer", "is not there: only the owner writes with SQL"),
        (true, true) => Finding::ok("tocsin_writer", "has its rights"),
        (true, false) => Finding::warn("tocsin_writer", "has no rights yet", "start a node, or run tocsin migrate"),
    }
}

fn dead_rows(schema: &Row) -> Finding {
    let Some(table) = schema.get::<_, Option<String>>("dead_table") else {
        return Finding::ok("dead rows", "few");
    };
    let dead: i64 = schema.get("dead_rows");
    let remedy = format!("VACUUM tocsin.{table}; what holds them: see transactions, prepared and slots");
    Finding::warn("dead rows", format!("{dead} in {table}, more than half of what lives"), remedy)
}

/// By the quickest of three looks.
async fn clock(client: &Client) -> anyhow::Result<Finding> {
    let mut best: Option<(Duration, f64)> = None;
    for _ in 0..3 {
        let (before, began) = (Utc::now(), Instant::now());
        let there: DateTime<Utc> = ask(client, "select clock_timestamp()").await?.get(0);
        let took = began.elapsed();
        if best.is_none_or(|(least, _)| took < least) {
            best = Some((took, skew(before, took, there)));
        }
    }
    Ok(told_skew(best.map_or(0.0, |(_, skew)| skew)))
}

/// How far the other clock is ahead, in seconds, when it was looked at in the middle of this time.
fn skew(before: DateTime<Utc>, took: Duration, there: DateTime<Utc>) -> f64 {
    (there - before).as_seconds_f64() - took.as_secs_f64() / 2.0
}

fn told_skew(skew: f64) -> Finding {
    let seen = format!("the database's is {:+.3} s from this machine's", skew);
    Finding::by("clock", skew.abs(), (SKEW_WARN, SKEW_FAIL), seen, "let both machines follow a time server (NTP)")
}

fn connections(server: &Row) -> Finding {
    let used = server.get::<_, Option<i64>>("connections").unwrap_or(0);
    let most = server.get("connections_max");
    let seen = format!("{used} of {most} are open");
    room_for_nodes(("connections", "raise max_connections"), seen, (most, used), server.get("nodes"))
}

fn limit(server: &Row) -> Finding {
    const CHECK: &str = "limit";
    let Some(most) = server.get::<_, Option<i64>>("connections_limit") else {
        return Finding::ok(CHECK, "neither the role nor the database has one");
    };
    let seen = format!("the role or the database may have {most} connections");
    room_for_nodes((CHECK, "ALTER ROLE or ALTER DATABASE ... CONNECTION LIMIT"), seen, (most, 0), server.get("nodes"))
}

/// Whether there is room for the nodes that run, and for one more.
fn room_for_nodes(
    (check, remedy): (&'static str, &str),
    seen: String,
    (most, used): (i64, i64),
    nodes: i64,
) -> Finding {
    let a_node = POOL_CONNECTIONS_MAX as i64 + OTHER_CONNECTIONS;
    let seen = format!("{seen}; a node takes up to {a_node}, and {nodes} run");
    if most < a_node * nodes.max(1) {
        return Finding::fail(check, seen, remedy);
    }
    // (Those that run need not have all of theirs open.)
    let left = if nodes == 0 { most - used } else { most - a_node * nodes };
    if left < a_node {
        return Finding::warn(check, format!("{seen}: no room for another one, as when one is replaced"), remedy);
    }
    Finding::ok(check, seen)
}

fn queue(server: &Row) -> Finding {
    let full: f64 = server.get("queue");
    let remedy =
        "a session that listens is in a transaction and does not read: look for it in pg_stat_activity, and end it";
    let seen = format!("the queue of notifications is {:.1} % full", full * 100.0);
    Finding::by("notify queue", full, (QUEUE_WARN, QUEUE_FAIL), seen, remedy)
}

fn autovacuum(server: &Row) -> Finding {
    if server.get("autovacuum") {
        return Finding::ok("autovacuum", "is on");
    }
    Finding::fail("autovacuum", "is off: tables only grow", "autovacuum = on, track_counts = on in postgresql.conf")
}

fn transactions(server: &Row) -> Finding {
    let age = server.get::<_, Option<f64>>("transaction_age").unwrap_or(0.0);
    let pid = server.get::<_, Option<i32>>("transaction_pid").map_or(String::new(), |pid| format!(" (pid {pid})"));
    let seen = format!("the oldest that is open, as far as this role may see, is {age:.0} s old{pid}");
    let remedy = "it keeps rows from vacuum and searches slow: end it (pg_terminate_backend), set idle_in_transaction_session_timeout";
    Finding::by("transactions", age, (TRANSACTION_WARN, TRANSACTION_FAIL), seen, remedy)
}

fn prepared(server: &Row) -> Finding {
    let Some(age) = server.get::<_, Option<f64>>("prepared_age") else {
        return Finding::ok("prepared", "no transaction is prepared");
    };
    let seen = format!("the oldest prepared transaction is {age:.0} s old");
    let remedy = "COMMIT PREPARED or ROLLBACK PREPARED what pg_prepared_xacts shows";
    Finding::by("prepared", age, (TRANSACTION_WARN, TRANSACTION_FAIL), seen, remedy)
}

fn slots(server: &Row) -> Finding {
    let Some(slots) = server.get::<_, Option<String>>("slots") else {
        return Finding::ok("slots", "no replication slot that nobody reads holds much WAL");
    };
    let remedy = "let its reader come back, or SELECT pg_drop_replication_slot(...)";
    Finding::warn("slots", format!("nobody reads {slots}, which holds more than 1 GiB of WAL"), remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_needs_room_and_so_does_its_successor() {
        for (most, used, nodes, health) in [
            (97, 5, 0, Health::Ok),
            (97, 80, 0, Health::Warn),
            (20, 1, 0, Health::Fail),
            (97, 30, 2, Health::Ok),
            (97, 30, 3, Health::Warn),
            (97, 30, 4, Health::Fail),
        ] {
            let finding = room_for_nodes(("connections", "more"), String::new(), (most, used), nodes);
            assert_eq!(finding.health, health, "{most} {used} {nodes}");
        }
    }

    #[test]
    fn clocks_are_compared_in_the_middle_of_the_look() {
        let before = DateTime::UNIX_EPOCH;
        let there = before + Duration::from_millis(150);
        assert!((skew(before, Duration::from_millis(300), there)).abs() < 1e-9);
        for (skew, health) in [(0.9, Health::Ok), (-1.5, Health::Warn), (29.0, Health::Warn), (-31.0, Health::Fail)] {
            let finding = told_skew(skew);
            assert_eq!((finding.health, finding.remedy.contains("NTP")), (health, health != Health::Ok), "{finding:?}");
        }
    }
}
