//! The private cluster: one owner, found again after every kind of crash, gone when it is stopped.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid};
use tempfile::TempDir;
use tocsin::postgres::embedded::{Embedded, running_url};
use tokio::task::JoinHandle;
use tokio_postgres::{Client, NoTls};
use tokio_util::sync::CancellationToken;

use crate::support::eventually;
use crate::support::postgres::{Database, FORGETFUL, connect};

/// Tells the helper at the end of this file where to be a server.
const HELPER_DATA_DIR: &str = "TOCSIN_TEST_DATA_DIR";

async fn start(data_dir: &Path) -> anyhow::Result<Embedded> {
    Embedded::start_with(data_dir, &FORGETFUL).await
}

/// A supervised cluster.
struct Running {
    url: String,
    stop: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Running {
    async fn start(data_dir: &Path) -> Running {
        let embedded = start(data_dir).await.unwrap();
        let url = embedded.url().to_owned();
        let stop = CancellationToken::new();
        let task = tokio::spawn(embedded.supervise(stop.clone()));
        Running { url, stop, task }
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
    }
}

/// A server in a process of its own, which can be killed.
struct Server {
    process: Child,
    url: String,
}

impl Server {
    async fn start(data_dir: &Path) -> Server {
        let process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "embedded::helper_a_server_to_be_killed", "--ignored"])
            .env(HELPER_DATA_DIR, data_dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let url = eventually("the other server runs", async || running_url(data_dir).ok()).await;
        Server { process, url }
    }

    fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

fn postmaster_file(data_dir: &Path) -> PathBuf {
    data_dir.join("postgres/postmaster.pid")
}

fn postmaster_pid(data_dir: &Path) -> Option<Pid> {
    let file = fs::read_to_string(postmaster_file(data_dir)).ok()?;
    file.lines().next()?.parse().ok().map(Pid::from_raw)
}

/// A zombie counts as gone: it has no father in some containers.
fn is_gone(pid: Pid) -> bool {
    let ps = Command::new("ps").args(["-o", "stat=", "-p", &pid.to_string()]).output().unwrap();
    let state = String::from_utf8(ps.stdout).unwrap();
    state.trim().is_empty() || state.starts_with('Z')
}

async fn value(client: &Client, query: &str) -> String {
    client.query_one(query, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn the_cluster_is_durable_private_and_reached_by_psql_and_by_us() {
    let dir = TempDir::new().unwrap();
    let embedded = Embedded::start(dir.path()).await.unwrap();
    let client = connect(embedded.url()).await;
    for (setting, expected) in [
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("data_checksums", "on"),
        ("listen_addresses", ""),
        ("server_encoding", "UTF8"),
        ("TimeZone", "UTC"),
    ] {
        assert_eq!(value(&client, &format!("select current_setting('{setting}')")).await, expected);
    }
    assert_eq!(running_url(dir.path()).unwrap(), embedded.url());
    let psql = Command::new("psql").args([embedded.url(), "-XAtc", "select current_database()"]).output().unwrap();
    assert_eq!(String::from_utf8(psql.stdout).unwrap(), "tocsin\n", "{:?}", psql.stderr);
    let mode = fs::metadata(dir.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[tokio::test]
async fn a_second_server_is_refused_at_once_and_stopping_leaves_no_process() {
    let dir = TempDir::new().unwrap();
    let running = Running::start(dir.path()).await;
    let pid = postmaster_pid(dir.path()).unwrap();

    let asked = Instant::now();
    let refusal = format!("{:#}", start(dir.path()).await.unwrap_err());
    assert!(asked.elapsed() < Duration::from_secs(5));
    assert!(refusal.contains("another server"), "{refusal}");
    assert!(refusal.contains(dir.path().to_str().unwrap()), "{refusal}");
    assert!(refusal.contains(&std::process::id().to_string()), "{refusal}");

    let client = connect(&running.url).await;
    running.stop().await;
    assert!(is_gone(pid));
    assert!(client.simple_query("select 1").await.is_err());
    let refusal = running_url(dir.path()).unwrap_err().to_string();
    assert!(refusal.contains("no server is running"), "{refusal}");
}

#[tokio::test]
async fn dropping_the_cluster_stops_it() {
    let dir = TempDir::new().unwrap();
    let embedded = start(dir.path()).await.unwrap();
    let pid = postmaster_pid(dir.path()).unwrap();
    drop(embedded);
    assert!(is_gone(pid));
}

#[tokio::test]
async fn the_orphan_of_a_killed_server_is_found_whatever_its_file_says() {
    let dir = TempDir::new().unwrap();
    let server = Server::start(dir.path()).await;
    connect(&server.url).await.batch_execute("create table kept ()").await.unwrap();
    let orphan = postmaster_pid(dir.path()).unwrap();
    server.kill();
    assert!(!is_gone(orphan));
    if cfg!(target_os = "linux") {
        fs::write(postmaster_file(dir.path()), "nonsense").unwrap();
    }

    let embedded = start(dir.path()).await.unwrap();
    assert!(is_gone(orphan));
    connect(embedded.url()).await.batch_execute("select from kept").await.unwrap();
}

#[tokio::test]
async fn backends_that_outlive_their_postmaster_are_waited_for() {
    let dir = TempDir::new().unwrap();
    let server = Server::start(dir.path()).await;
    let client = connect(&server.url).await;
    client.batch_execute("create table kept ()").await.unwrap();
    let backend: i32 = client.query_one("select pg_backend_pid()", &[]).await.unwrap().get(0);
    // It does not look up from this, not even when the postmaster is gone.
    let endless = tokio::spawn(async move {
        client
            .batch_execute("do $$ begin while clock_timestamp() < now() + interval '1 minute' loop end loop; end $$")
            .await
    });
    let observer = connect(&server.url).await;
    let active = format!("select from pg_stat_activity where pid = {backend} and state = 'active'");
    eventually("the loop runs", async || observer.query_opt(&active, &[]).await.unwrap()).await;

    let postmaster = postmaster_pid(dir.path()).unwrap();
    server.kill();
    kill(postmaster, Signal::SIGKILL).unwrap();
    assert!(!is_gone(Pid::from_raw(backend)));

    let embedded = start(dir.path()).await.unwrap();
    assert!(is_gone(Pid::from_raw(backend)));
    assert!(endless.await.unwrap().is_err());
    connect(embedded.url()).await.batch_execute("select from kept").await.unwrap();
}

#[tokio::test]
async fn stale_files_do_not_prevent_a_start() {
    let dir = TempDir::new().unwrap();
    Running::start(dir.path()).await.stop().await;
    let reused = std::process::id();
    let dead = {
        let mut process = Command::new("true").spawn().unwrap();
        process.wait().unwrap();
        process.id()
    };
    for content in [format!("{dead}\n"), format!("{reused}\n"), "rubbish".to_owned(), String::new()] {
        fs::write(postmaster_file(dir.path()), &content).unwrap();
        fs::write(dir.path().join(".s.PGSQL.5432.lock"), &content).unwrap();
        fs::write(dir.path().join(".s.PGSQL.5432"), "").unwrap();
        Running::start(dir.path()).await.stop().await;
    }
}

#[tokio::test]
async fn a_killed_postmaster_is_started_again() {
    let dir = TempDir::new().unwrap();
    let running = Running::start(dir.path()).await;
    for _ in 0..2 {
        let pid = postmaster_pid(dir.path()).unwrap();
        let killed = Instant::now();
        kill(pid, Signal::SIGKILL).unwrap();
        eventually("it accepts connections again", async || {
            let (client, connection) = tokio_postgres::connect(&running.url, NoTls).await.ok()?;
            tokio::spawn(connection);
            client.simple_query("select 1").await.ok()?;
            (postmaster_pid(dir.path())? != pid).then_some(())
        })
        .await;
        assert!(killed.elapsed() < Duration::from_secs(10), "{:?}", killed.elapsed());
    }
    running.stop().await;
}

#[tokio::test]
async fn a_path_too_long_for_a_socket_or_strange_in_a_url_works() {
    let dir = TempDir::new().unwrap();
    let data_dir = dir.path().join("l o,n\"g%".repeat(20));
    let running = Running::start(&data_dir).await;
    assert_eq!(running_url(&data_dir).unwrap(), running.url);
    let client = connect(&running.url).await;
    let socket_dir = value(&client, "show unix_socket_directories").await;
    let socket_dir = Path::new(socket_dir.trim_matches('"'));
    assert_eq!(fs::metadata(socket_dir).unwrap().permissions().mode() & 0o777, 0o700);
    running.stop().await;
    assert!(!socket_dir.exists());
}

#[tokio::test]
async fn a_directory_closed_to_the_account_of_postgres_keeps_its_cluster_elsewhere() {
    if !Uid::effective().is_root() {
        return; // only root runs Postgres as somebody else
    }
    let closed = TempDir::new().unwrap();
    fs::set_permissions(closed.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let data_dir = closed.path().join("data");
    let running = Running::start(&data_dir).await;
    connect(&running.url).await.batch_execute("create table kept ()").await.unwrap();
    assert_eq!(running_url(&data_dir).unwrap(), running.url);
    let cluster = fs::read_link(data_dir.join("postgres")).unwrap();
    assert!(cluster.starts_with("/var/lib/tocsin"), "{}", cluster.display());

    // A copy of the data directory leads to the same cluster, and must not take it from its owner.
    let copy = closed.path().join("copy");
    fs::create_dir(&copy).unwrap();
    fs::write(copy.join("lock"), "").unwrap();
    symlink(&cluster, copy.join("postgres")).unwrap();
    let refusal = format!("{:#}", start(&copy).await.unwrap_err());
    assert!(refusal.contains("another server"), "{refusal}");
    running.stop().await;

    // The cluster is found again, also after a move of the data directory.
    let moved = closed.path().join("moved");
    fs::rename(&data_dir, &moved).unwrap();
    let running = Running::start(&moved).await;
    connect(&running.url).await.batch_execute("select from kept").await.unwrap();
    running.stop().await;

    // A new data directory in the same place is new.
    let running = Running::start(&data_dir).await;
    let other_cluster = fs::read_link(data_dir.join("postgres")).unwrap();
    assert_ne!(other_cluster, cluster);
    running.stop().await;
    for cluster in [cluster, other_cluster] {
        fs::remove_dir_all(cluster.parent().unwrap()).unwrap();
    }
}

#[tokio::test]
async fn an_interrupted_initdb_is_done_again() {
    let dir = TempDir::new().unwrap();
    tokio::select! {
        _ = start(dir.path()) => panic!("the start was faster than the test"),
        () = eventually("initdb is at work", async || {
            let mut entries = fs::read_dir(dir.path()).unwrap();
            entries.any(|entry| entry.unwrap().path().join("PG_VERSION").exists()).then_some(())
        }) => {}
    }
    assert!(!dir.path().join("postgres/PG_VERSION").exists());
    let attempt = dir.path().join("postgres.attempt-of-a-killed-server");
    fs::create_dir(&attempt).unwrap();
    fs::write(attempt.join("PG_VERSION"), "15").unwrap();

    let _embedded = start(dir.path()).await.unwrap();
    assert!(!attempt.exists());
}

#[tokio::test]
async fn a_failure_to_start_quotes_the_log() {
    let dir = TempDir::new().unwrap();
    let settings = [&FORGETFUL[..], &[("shared_buffers", "a lot")]].concat();
    let failure = format!("{:#}", Embedded::start_with(dir.path(), &settings).await.unwrap_err());
    assert!(failure.contains("invalid value for parameter \"shared_buffers\""), "{failure}");
    assert!(failure.contains("postgres.log"), "{failure}");
}

#[tokio::test]
async fn a_directory_with_other_files_is_left_alone() {
    let dir = TempDir::new().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(dir.path().join("letter"), "Dear Anna").unwrap();
    let refusal = format!("{:#}", start(dir.path()).await.unwrap_err());
    assert!(refusal.contains("holds other files"), "{refusal}");
    assert_eq!(fs::metadata(dir.path()).unwrap().permissions().mode() & 0o777, 0o755);
}

#[tokio::test]
async fn a_cluster_of_another_major_version_is_refused_by_name() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("lock"), "").unwrap();
    fs::create_dir(dir.path().join("postgres")).unwrap();
    fs::write(dir.path().join("postgres/PG_VERSION"), "9\n").unwrap();
    let refusal = format!("{:#}", start(dir.path()).await.unwrap_err());
    assert!(refusal.contains("made by Postgres 9"), "{refusal}");
}

#[tokio::test]
async fn every_test_has_a_database_of_its_own() {
    let (one, other) = tokio::join!(Database::new(), Database::new());
    assert_ne!(one.url(), other.url());
    one.connect().await.batch_execute("create table mine ()").await.unwrap();
    let found = value(&other.connect().await, "select (to_regclass('mine') is null)::text").await;
    assert_eq!(found, "true");
}

/// Not a test: run by [`Server`], in a process that can be killed. It ends when its parent does.
#[tokio::test]
#[ignore = "run by other tests"]
async fn helper_a_server_to_be_killed() {
    let Some(data_dir) = std::env::var_os(HELPER_DATA_DIR) else {
        return;
    };
    let stop = CancellationToken::new();
    let parent_gone = stop.clone();
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        parent_gone.cancel();
    });
    start(Path::new(&data_dir)).await.unwrap().supervise(stop).await.unwrap();
}
