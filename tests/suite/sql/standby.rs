//! A standby has a log that cannot be followed exactly: the server refuses it.

use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use tocsin::log::Event;
use tocsin::log::interest::Places;
use tocsin::log::tailer::{self, Mode, Sink, Status};
use tocsin::postgres::embedded::Embedded;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::support::postgres::FORGETFUL;

async fn stop(embedded: Embedded) {
    let stopped = CancellationToken::new();
    stopped.cancel();
    embedded.supervise(stopped).await.unwrap();
}

#[derive(Default)]
struct Told(Mutex<u32>);

impl Sink for Told {
    fn begin_read(&self, _: bool) -> Option<Places> {
        None
    }
    fn events(&self, batch: Vec<Event>) -> usize {
        *self.0.lock().unwrap() += 1;
        batch.len()
    }
    fn end_read(&self) {}
    fn copy(&self, _: Event) {
        *self.0.lock().unwrap() += 1;
    }
    fn resync(&self) {
        *self.0.lock().unwrap() += 1;
    }
}

#[tokio::test]
async fn a_standby_is_refused_with_one_clear_message_and_not_tailed() {
    let dir = TempDir::new().unwrap();
    let embedded = Embedded::start_with(dir.path(), &FORGETFUL).await.unwrap();
    let mut connection = tocsin::postgres::Database::new(embedded.url()).unwrap().connect("migrate").await.unwrap();
    tocsin::postgres::migrate::run(&mut connection.client, 1).await.unwrap();
    drop(connection);
    stop(embedded).await;
    std::fs::write(dir.path().join("postgres/standby.signal"), "").unwrap();
    let embedded = Embedded::start_with(dir.path(), &FORGETFUL).await.unwrap();
    let sql = crate::support::postgres::connect(embedded.url()).await;
    assert!(value::<bool>(&sql, "select pg_is_in_recovery()").await);

    crate::doctor::fails(embedded.url(), "primary", "standby", "target_session_attrs=read-write").await;
    let refused = tokio::process::Command::new(env!("CARGO_BIN_EXE_tocsin"))
        .args(["serve", "--listen", "127.0.0.1:0", "--database-url", embedded.url()])
        .kill_on_drop(true)
        .output();
    let refused = tokio::time::timeout(crate::support::PATIENCE, refused).await.unwrap().unwrap();
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success() && refused.stdout.is_empty(), "{said}");
    let told: Vec<&str> = said.lines().filter(|line| line.contains("standby")).collect();
    assert!(told.len() == 1 && told[0].contains("primary"), "{said}");

    // The tail looks for itself: a primary may have become a standby since the start.
    let database = tocsin::postgres::Database::new(embedded.url()).unwrap();
    let (sink, status, end) = (Arc::new(Told::default()), Arc::new(Status::default()), CancellationToken::new());
    let tail = tokio::spawn(tailer::run(database, sink.clone(), status.clone(), end.clone()));
    // (A try is too short to be seen in pg_stat_activity.)
    let sessions = "select sum(sessions)::bigint from pg_stat_database";
    let before: i64 = value(&sql, sessions).await;
    eventually("it tries again", async || (value::<i64>(&sql, sessions).await >= before + 2).then_some(())).await;
    assert_eq!((status.mode(), *sink.0.lock().unwrap()), (Mode::Lost, 0));
    end.cancel();
    tail.await.unwrap().unwrap();
    stop(embedded).await;
}
