//! `tocsin doctor`, on deployments that are well and on some that are not.

use serde_json::Value;
use tempfile::TempDir;
use tocsin::postgres::embedded::Embedded;

use crate::cli::{run, stdout};
use crate::support::pooler::{deaf, of_transactions};
use crate::support::postgres::{Database, FORGETFUL};
use crate::support::server::Server;

/// What it found, and its exit code.
async fn doctor(url: &str, more: &[&str]) -> (Vec<Value>, Option<i32>) {
    let output = run(&[&["doctor", "--database-url", url, "--output", "json"], more].concat()).await;
    let all: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    (all["findings"].as_array().unwrap().clone(), output.status.code())
}

/// That a check fails, with these words in what was found and in the remedy; and nothing else does.
pub async fn fails(url: &str, check: &str, finding: &str, remedy: &str) {
    let (findings, code) = doctor(url, &[]).await;
    let failed: Vec<_> = findings.iter().filter(|finding| finding["health"] == "fail").collect();
    assert_eq!((failed.len(), code), (1, Some(1)), "{findings:?}");
    assert_eq!(failed[0]["check"], check, "{findings:?}");
    let says = |member: &str, text: &str| failed[0][member].as_str().unwrap().contains(text);
    assert!(says("finding", finding) && says("remedy", remedy), "{:?}", failed[0]);
}

#[tokio::test]
async fn a_deployment_that_is_well_has_nothing_to_be_told() {
    let (database, _role) = Database::of_plain_role().await;
    let (findings, code) = doctor(database.url(), &[]).await;
    let rights = findings.iter().find(|finding| finding["check"] == "rights").unwrap();
    assert_eq!((&rights["health"], code), (&Value::from("warn"), Some(0)), "there is no schema yet: {findings:?}");
    let server = Server::start(&database).await;
    let (findings, code) = doctor(database.url(), &["--server", &server.api.url]).await;
    assert_eq!(code, Some(0), "{findings:?}");
    // What is of the whole cluster, other tests may be at.
    let ours = |finding: &&Value| {
        !["connections", "transactions", "prepared", "public schema"].contains(&finding["check"].as_str().unwrap())
    };
    assert!(findings.iter().filter(ours).all(|finding| finding["health"] == "ok"), "{findings:?}");
    assert!(findings.len() >= 18 && findings.last().unwrap()["check"] == "server", "{findings:?}");
    let table = stdout(&run(&["doctor", "--database-url", database.url()]).await);
    assert_eq!(table.lines().count(), findings.len(), "a head, and a line each, without the server: {table}");
    server.stop().await;
    let (findings, code) = doctor(database.url(), &["--server", &server_that_is_gone()]).await;
    assert_eq!((&findings.last().unwrap()["health"], code), (&Value::from("fail"), Some(1)));
}

fn server_that_is_gone() -> String {
    "http://127.0.0.1:1".to_owned()
}

#[tokio::test]
async fn a_database_that_cannot_be_reached_and_a_pooler_in_the_way_are_told() {
    fails("postgres://127.0.0.1:1/nothing", "database", "cannot be reached", "is Postgres running").await;
    let (database, dir, other_dir) = (Database::new().await, TempDir::new().unwrap(), TempDir::new().unwrap());
    fails(&deaf(&database, &dir).await, "notify", "pooler", "pool_mode = session").await;
    // Even one that has nobody else to serve, and would give the same session each time.
    let url = of_transactions(&database, &other_dir).await;
    fails(&url, "session", "a session does not last", "pool_mode = session").await;
}

#[tokio::test]
async fn a_role_or_a_server_without_room_for_a_node_or_without_autovacuum_is_told() {
    let (database, role) = Database::of_plain_role().await;
    let limit = format!("alter role {role} connection limit 10");
    Database::new().await.connect().await.batch_execute(&limit).await.unwrap();
    fails(database.url(), "limit", "may have 10 connections", "CONNECTION LIMIT").await;

    let dir = TempDir::new().unwrap();
    let settings = [&FORGETFUL[..], &[("autovacuum", "off"), ("max_connections", "20")]].concat();
    let embedded = Embedded::start_with(dir.path(), &settings).await.unwrap();
    let (findings, code) = doctor(embedded.url(), &[]).await;
    let failed: Vec<_> = findings.iter().filter(|finding| finding["health"] == "fail").collect();
    let (checks, says): (Vec<_>, Vec<_>) =
        failed.iter().map(|it| (it["check"].as_str().unwrap(), it["remedy"].as_str().unwrap())).unzip();
    assert_eq!((checks, code), (vec!["connections", "autovacuum"], Some(1)), "{findings:?}");
    assert!(says[0].contains("max_connections") && says[1].contains("autovacuum = on"), "{says:?}");
}

#[tokio::test]
async fn a_role_that_may_not_is_told_what_it_needs() {
    let database = Database::new().await;
    let (role, _client) = database.role("nobody").await;
    let url = database.url().replace("://tocsin@", &format!("://{role}@"));
    fails(&url, "rights", "the schema tocsin is tocsin's", "connect as tocsin").await;
    database.connect().await.batch_execute("drop schema tocsin cascade").await.unwrap();
    fails(&url, "rights", "may not create the schema", "GRANT CREATE ON DATABASE").await;
}

#[tokio::test]
async fn a_schema_that_is_newer_too_open_or_at_its_end_is_told() {
    let database = Database::new().await;
    let sql = database.connect().await;
    sql.batch_execute("grant select on tocsin.objects to public").await.unwrap();
    fails(database.url(), "PUBLIC", "tocsin.objects, 1 in all", "REVOKE ALL").await;
    sql.batch_execute("revoke select on tocsin.objects from public").await.unwrap();
    let detach = "do $$ begin execute format('alter table tocsin.events detach partition tocsin.%I',
        to_char(date_trunc('month', now() at time zone 'UTC') + interval '1 month', '\"events_\"YYYY_MM')); end $$";
    sql.batch_execute(detach).await.unwrap();
    fails(database.url(), "partitions", "for 0 months", "tocsin migrate").await;
    let newer =
        "update tocsin.migrations set version = 9999 where version = (select max(version) from tocsin.migrations)";
    sql.batch_execute(newer).await.unwrap();
    fails(database.url(), "schema", "V9999) is newer", "run the newer tocsin").await;
}
