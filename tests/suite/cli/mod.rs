//! The real program, as people run it.

mod config;
mod errors;
mod exec;
mod people;
mod terminal;

use std::path::Path;
use std::process::{Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tocsin::config::Limits;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use crate::support::PATIENCE;
use crate::support::client::EventList;
use crate::support::eventually;
use crate::support::postgres::Database;
use crate::support::server::{Program, Server};

fn tocsin(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tocsin"));
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    for variable in ["DATABASE_URL", "TOCSIN_URL", "TOCSIN_DATA_DIR", "TOCSIN_CONFIG", "TOCSIN_LISTEN", "TOCSIN_TOKEN"]
    {
        command.env_remove(variable);
    }
    command
}

/// Runs it to its end.
pub async fn run(arguments: &[&str]) -> Output {
    timeout(PATIENCE, tocsin(arguments).output()).await.expect("it does not end").unwrap()
}

pub fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub fn refused(output: &Output, because: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_ne!(output.status.code(), Some(0), "{said}");
    assert!(said.contains(because), "{said}");
    assert!(output.stdout.is_empty(), "{output:?}");
}

fn lists(line: &str) -> Vec<EventList> {
    let line: Value = serde_json::from_str(line).unwrap();
    line["notificationList"].as_array().unwrap().iter().map(EventList::of).collect()
}

async fn psql(url: &str, sql: &str) -> String {
    let output = Command::new("psql").args([url, "-XAtqc", sql]).output().await.unwrap();
    stdout(&output).trim().to_owned()
}

async fn write(database: &Database, count: i64) {
    let insert =
        format!("insert into tocsin.messages (box_id, body) select 'b', i::text from generate_series(1, {count}) as i");
    database.connect().await.batch_execute(&insert).await.unwrap();
}

/// `tocsin listen`, running.
struct Listener {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Listener {
    /// Returns when it is connected.
    async fn start(server: &str, more: &[&str]) -> Listener {
        let mut command = tocsin(&["listen", "--server", server, "--user", "alice", "--box", "b"]);
        let mut child = command.args(more).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = async || {
            let answer = crate::support::client::Api::new(server).get("/readyz").await;
            (answer.json()["connections"] == 1).then_some(())
        };
        eventually("it is connected", ready).await;
        Listener { child, lines }
    }

    async fn line(&mut self) -> String {
        timeout(PATIENCE, self.lines.next_line()).await.expect("it prints nothing").unwrap().expect("it has ended")
    }

    async fn lists(&mut self, count: usize) -> Vec<EventList> {
        let mut all = Vec::new();
        while all.len() < count {
            all.extend(lists(&self.line().await));
        }
        all
    }

    /// Ctrl-C: its exit code, and what else it printed.
    async fn interrupt(mut self) -> (Option<i32>, Vec<String>) {
        kill(Pid::from_raw(self.child.id().unwrap().try_into().unwrap()), Signal::SIGINT).unwrap();
        let mut rest = Vec::new();
        while let Some(line) = timeout(PATIENCE, self.lines.next_line()).await.unwrap().unwrap() {
            rest.push(line);
        }
        (self.child.wait().await.unwrap().code(), rest)
    }
}

async fn serve_on(database: &Database, listen: &str) -> Program {
    Program::start_with(&["--database-url", database.url(), "--listen", listen]).await
}

#[tokio::test]
async fn a_server_of_its_own_can_be_used_with_psql_and_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let here = ["--data-dir", data.to_str().unwrap()];
    refused(&run(&["url", here[0], here[1]]).await, "");
    let program = Program::start(&data).await;
    assert_eq!(program.api.get("/healthz").await.status, 200);
    let url = stdout(&run(&["url", here[0], here[1]]).await);
    assert_eq!(url.lines().count(), 1);
    let channel = program.api.channel("alice").await;
    program.api.subscribe("b", &channel).await;
    let mut socket = crate::support::client::Socket::open(&channel).await;
    assert_eq!(
        psql(url.trim(), "insert into tocsin.messages (box_id, body) values ('b', 'hi') returning seq").await,
        "2"
    );
    assert_eq!(socket.list().await.seq(), 2);
    for _ in 0..2 {
        assert!(!stdout(&run(&["migrate", here[0], here[1]]).await).is_empty(), "also while the server runs");
    }
    let (closed, code) = tokio::join!(socket.closed(), program.terminate());
    assert_eq!((closed.0, code), (1001, Some(0)));
    refused(&run(&["url", here[0], here[1]]).await, "");
    assert!(!Path::new(&data).join("postgres/postmaster.pid").exists(), "its Postgres has ended with it");
}

#[tokio::test]
async fn migrate_can_be_repeated() {
    let database = Database::new().await;
    let tables = "select count(*) from pg_class c join pg_namespace n on n.oid = relnamespace where nspname = 'tocsin'";
    let before = psql(database.url(), tables).await;
    for _ in 0..2 {
        stdout(&run(&["migrate", "--database-url", database.url()]).await);
    }
    assert_eq!(psql(database.url(), tables).await, before);
    psql(database.url(), "drop schema tocsin cascade").await;
    stdout(&run(&["migrate", "--database-url", database.url()]).await);
    assert_eq!(psql(database.url(), tables).await, before, "from nothing to the same");
    let nobody = "postgres://127.0.0.1:1/nothing";
    refused(&run(&["migrate", "--database-url", nobody]).await, "connect");
}

#[tokio::test]
async fn what_cannot_be_served_is_refused_with_the_reason() {
    let database = Database::new().await;
    for listen in ["0.0.0.0:0", "[::]:0", "192.0.2.1:80"] {
        let output = run(&["serve", "--database-url", database.url(), "--listen", listen]).await;
        refused(&output, "--auth none");
    }
    refused(&run(&["serve", "--listen", "nowhere"]).await, "--listen");
    refused(&run(&["--database-url", "postgres://127.0.0.1:1/x", "--listen", "127.0.0.1:0"]).await, "database");
    refused(&run(&["serve", "--config", "/nonexistent.toml"]).await, "/nonexistent.toml");
    refused(&run(&["sing"]).await, "sing");
    let taken = Server::start(&database).await;
    let address = taken.api.url.strip_prefix("http://").unwrap();
    refused(&run(&["--database-url", database.url(), "--listen", address]).await, address);
    taken.stop().await;
}

#[tokio::test]
async fn listen_prints_a_line_for_each_list_and_leaves_nothing_behind() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let mut listener = Listener::start(&server.api.url, &[]).await;
    for n in 1..=3 {
        write(&database, 1).await;
        let line = listener.line().await;
        let lists = lists(&line);
        assert_eq!((lists.len(), lists[0].index, lists[0].seq()), (1, n, n + 1), "{line}");
    }
    assert_eq!(listener.interrupt().await, (Some(0), vec![]));
    let channels = server.api.get("/notificationchannel/v1/alice/channels").await.json();
    assert_eq!(channels["notificationChannelList"]["notificationChannel"], json!([]));
    let subscriptions = server.api.get("/nms/v1/default/b/subscriptions").await.json();
    assert_eq!(subscriptions["nmsSubscriptionList"]["subscription"], json!([]));
    let token = "1970-01-01T00:00:00Z";
    let mut listener = Listener::start(&server.api.url, &["--restart-token", token]).await;
    assert_eq!(listener.lists(3).await.len(), 3, "everything since the token");
    listener.interrupt().await;
    refused(
        &run(&["listen", "--server", &server.api.url, "--user", "a", "--box", "b", "--restart-token", "x"]).await,
        "restartToken",
    );
    let channels = server.api.get("/notificationchannel/v1/a/channels").await.json();
    assert_eq!(channels["notificationChannelList"]["notificationChannel"], json!([]), "nor when it fails");
    server.stop().await;
    refused(
        &run(&["listen", "--server", "http://127.0.0.1:1", "--user", "a", "--box", "b"]).await,
        "http://127.0.0.1:1",
    );
}

#[tokio::test]
async fn listen_survives_a_killed_server_without_loss_or_repetition() {
    let database = Database::new().await;
    let program = serve_on(&database, "127.0.0.1:0").await;
    let address = program.url.strip_prefix("http://").unwrap().to_owned();
    let mut listener = Listener::start(&program.url, &[]).await;
    write(&database, 250).await;
    let mut all = listener.lists(250).await;
    program.kill().await; // perhaps before the last positions were stored
    write(&database, 250).await;
    let program = serve_on(&database, &address).await;
    all.extend(listener.lists(250).await);
    write(&database, 5).await;
    let mut kept = Some(program);
    for _ in 0..2 {
        // Killed in the middle of things.
        kept.take().unwrap().kill().await;
        let program = serve_on(&database, &address).await;
        write(&database, 30).await;
        kept = Some(program);
    }
    all.extend(listener.lists(65).await);
    let seqs: Vec<_> = all.iter().map(EventList::seq).collect();
    assert_eq!(seqs, (2..=566).collect::<Vec<_>>());
    assert_eq!(listener.interrupt().await, (Some(0), vec![]));
    let program = kept.unwrap();
    let channels = program.api.get("/notificationchannel/v1/alice/channels").await.json();
    assert_eq!(channels["notificationChannelList"]["notificationChannel"], json!([]));
    assert_eq!(program.terminate().await, Some(0));
}

#[tokio::test]
async fn replay_prints_what_a_box_has_notified_and_ends() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let replay = async |arguments: &[&str]| run(&[&["replay", "--server", &server.api.url], arguments].concat()).await;
    assert_eq!(stdout(&replay(&["b"]).await), "", "an empty box");
    write(&database, 650).await;
    let all: Vec<_> = stdout(&replay(&["b"]).await).lines().flat_map(lists).collect();
    assert_eq!(all.len(), 650);
    assert!(all.iter().enumerate().all(|(n, list)| list.index == n as i64 + 1));
    let last: Vec<_> = stdout(&replay(&["b", &all[599].token]).await).lines().flat_map(lists).collect();
    assert_eq!(
        last.iter().map(EventList::seq).collect::<Vec<_>>(),
        all[600..].iter().map(EventList::seq).collect::<Vec<_>>()
    );
    assert_eq!(stdout(&replay(&["b", &all[649].token]).await), "", "from the end");
    assert_eq!(stdout(&replay(&["another"]).await), "");
    assert_eq!(stdout(&replay(&["--store", "other", "b"]).await), "");
    refused(&replay(&["b", "yesterday"]).await, "restartToken");
    refused(&replay(&["b", "2999-01-01T00:00:00Z"]).await, "restartToken");
    refused(&replay(&["a/b"]).await, "boxId");
    let left = server.api.get("/notificationchannel/v1/tocsin-replay/channels").await.json();
    assert_eq!(left["notificationChannelList"]["notificationChannel"], json!([]), "it cleans up");
    server.stop().await;
    refused(&run(&["replay", "--server", "http://127.0.0.1:1", "b"]).await, "http://127.0.0.1:1");
}

#[tokio::test]
async fn listen_keeps_its_channel_beyond_its_lifetime() {
    let database = Database::new().await;
    let limits = Limits { channel_lifetime_seconds_default: 3, ..Limits::default() };
    let server = Server::start_with(&database, limits).await;
    let mut listener = Listener::start(&server.api.url, &[]).await;
    let channels = "select string_agg(id, ' ') from tocsin.channels";
    let before = psql(database.url(), channels).await;
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    assert_eq!(psql(database.url(), channels).await, before);
    write(&database, 1).await;
    listener.lists(1).await;
    listener.interrupt().await;
    server.stop().await;
}
