//! The projections follow from the log alone, and `tocsin rebuild` makes them from it.

use std::process::{Output, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use tocsin::postgres::rebuild;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::*;
use crate::support::PATIENCE;
use crate::support::client::Api;
use crate::support::server::Program;

/// `tocsin rebuild` with these arguments.
fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tocsin"));
    command.arg("rebuild").args(arguments).env_remove("DATABASE_URL").stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// Runs it to its end.
async fn rebuild(arguments: &[&str]) -> Output {
    timeout(PATIENCE, command(arguments).output()).await.expect("it does not end").unwrap()
}

/// What it printed for each projection.
fn rebuilt(output: &Output) -> Vec<String> {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap().lines().map(str::to_owned).collect()
}

/// What it said when it refused.
fn refusal_of(output: &Output) -> String {
    assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// In this process: how many rows it removed and wrote.
async fn changes(database: &Database) -> (i64, i64) {
    let mut connection = tocsin::postgres::Database::new(database.url()).unwrap().connect("rebuild").await.unwrap();
    let rebuilt = rebuild::run(&mut connection.client, 3, true, |_| {}).await.unwrap();
    (rebuilt.iter().map(|r| r.removed).sum(), rebuilt.iter().map(|r| r.written).sum())
}

/// The rows of all projections, in some order.
async fn projected(sql: &Client) -> Vec<String> {
    let mut all = Vec::new();
    for projection in value::<Vec<String>>(sql, "select tocsin.projections()").await {
        let rows: Vec<String> = column(sql, &format!("select '{projection} ' || p from tocsin.{projection} p")).await;
        all.extend(rows);
    }
    all.sort();
    all
}

async fn empty_projections(sql: &Client) {
    for projection in value::<Vec<String>>(sql, "select tocsin.projections()").await {
        assert!(value::<i64>(sql, &format!("select count(*) from tocsin.{projection}")).await > 0, "{projection}");
        run(sql, &format!("delete from tocsin.{projection}")).await;
    }
}

fn statement(rng: &mut StdRng) -> String {
    let (a_box, n) = (rng.random_range(0..4), rng.random_range(0..100));
    let some = "where id in (select id from tocsin.messages order by random() limit 3)";
    match rng.random_range(0..14) {
        0..3 => format!(
            "insert into tocsin.messages (box_id, sender, body) select 'b{a_box}', 'x', i::text from generate_series(1, 3) as i"
        ),
        3 => format!(
            "insert into tocsin.messages (store, box_id, flags, folder, correlation_id, attributes) values ('s', 'b{a_box}', '{{a,A,f{n}}}', 'f', 'c{n}', '{{\"X\": [\"1\", \"2\"]}}')"
        ),
        4 => format!(
            "insert into tocsin.events (stream, kind, data) values ('b{a_box}', 'order.placed', '{{\"n\": {n}}}')"
        ),
        5 => format!("update tocsin.messages set body = 'changed {n}', flags = flags || '{{g{n}}}' {some}"),
        6 => format!(
            "update tocsin.messages set folder = 'f{n}/g', attributes = attributes - 'From' || '{{\"y\": \"{n}\"}}' {some}"
        ),
        7 => format!("update tocsin.messages set flags = '{{}}' {some}"),
        8 => format!("delete from tocsin.messages {some}"),
        9 if n > 70 => format!(
            "select tocsin.end_folder('default/b{a_box}', (select id from tocsin.folders where name = 'f{n}' limit 1), 'deleted')"
        ),
        10 => format!("select tocsin.publish('room', 't{n}', users => '{{u{a_box},u1}}', silent => {})", n < 20),
        11 => format!(
            "select tocsin.read_notifications('u{a_box}', array(select id from tocsin.notifications order by random() limit 5))"
        ),
        12 if n < 30 => format!("select tocsin.prefer('u{a_box}', '{{room}}', null)"),
        12 => "select tocsin.delete_notification(user_id, id) from tocsin.notifications order by random() limit 1"
            .to_owned(),
        13 if n < 60 => {
            format!(
                "select tocsin.publish_to_room('r', obj => '{n}', recipients => '{{u1}}', deliver_at => now() + interval '1 day')"
            )
        }
        13 => "select tocsin.cancel_deferred(id) from tocsin.deferred order by random() limit 1".to_owned(),
        _ if n < 15 => format!("insert into tocsin.events (stream, kind) values ('b{a_box}', 'box.reset')"),
        _ => format!(
            "begin; {} savepoint s; {} rollback to s; {} commit",
            message("b0", n),
            message("b1", n),
            message("b2", n)
        ),
    }
}

async fn over_http(api: &Api, rng: &mut StdRng, known: &mut Vec<(Value, Value)>) {
    match (rng.random_range(0..4), known.choose(rng).cloned()) {
        (0, Some((_, subscription))) => {
            let path = subscription["resourceURL"].as_str().unwrap();
            let token = subscription["restartToken"].as_str().unwrap();
            let fields = json!({ "nmsSubscription": { "duration": 500, "restartToken": token } });
            api.put(path, fields).await;
        }
        (1, Some((channel, subscription))) => {
            let which = if rng.random_bool(0.5) { channel } else { subscription };
            api.delete(which["resourceURL"].as_str().unwrap()).await;
        }
        _ => {
            let kind = if rng.random_bool(0.5) { "WebSockets" } else { "LongPolling" };
            let data = json!({ "maxNotifications": 3, "maxWaitTime": rng.random_range(0..9) });
            let correlator = known.len().to_string();
            let fields = json!({ "channelType": kind, "channelData": data, "clientCorrelator": correlator });
            let channel = api.channel_with("alice", fields).await;
            api.post(channel["callbackURL"].as_str().unwrap(), json!({ "note": correlator })).await;
            let subscription = api
                .subscribe_with("b1", &channel, json!({ "duration": 300, "x-attributes": rng.random_bool(0.5) }))
                .await;
            known.push((channel, subscription));
        }
    }
}

#[tokio::test]
async fn replaying_the_log_makes_the_same_rows() {
    let seed = rand::random();
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let (database, server, sql) = served().await;
    let mut known = Vec::new();
    for n in 0..240 {
        run(&sql, &statement(&mut rng)).await;
        if n % 8 == 0 {
            over_http(&server.api, &mut rng, &mut known).await;
        }
    }
    let channel = server.api.channel("last").await;
    server.api.subscribe("b0", &channel).await;
    run(&sql, &message("b0", "last")).await;
    run(&sql, "select tocsin.publish('room', 'last', users => '{u1}')").await;
    run(&sql, "select tocsin.publish('room', 'last', users => '{u1}', deliver_at => now() + interval '1 day')").await;
    server.stop().await;
    assert_exact(&sql).await;
    let before = projected(&sql).await;
    assert_eq!(changes(&database).await, (0, 0), "nothing differed");
    assert_eq!(projected(&sql).await, before);
    empty_projections(&sql).await;
    assert_eq!(changes(&database).await, (0, before.len() as i64), "everything was made again");
    assert_eq!(projected(&sql).await, before);
}

#[tokio::test]
async fn what_is_wrong_is_put_right_and_told() {
    let (database, server, sql) = served().await;
    let channel = server.api.channel("alice").await;
    server.api.subscribe("b", &channel).await;
    for n in 0..9 {
        run(&sql, &message("b", n)).await;
    }
    run(&sql, "update tocsin.messages set flags = '{read}' where id < 4; delete from tocsin.messages where id = 9")
        .await;
    server.stop().await;
    let before = projected(&sql).await;
    run(&sql, "delete from tocsin.objects where id in (1, 2)").await; // missing
    run(&sql, "update tocsin.objects set flags = '{}' where id = 3").await; // wrong
    run(&sql, "update tocsin.objects set attributes = '{\"a\": 1}', folder_id = 5, gone = null where id = 9").await;
    run(&sql, "update tocsin.objects set id = 100 where id = 4").await; // one missing, one too many
    run(&sql, "update tocsin.subscriptions set start_seq = 99").await;
    run(&sql, "delete from tocsin.channels").await;
    assert_ne!(projected(&sql).await, before);

    let output = rebuild(&["--database-url", database.url()]).await;
    let expected = [
        "objects: 9 rows; 3 were wrong and removed, 5 written",
        "folders: 0 rows; 0 were wrong and removed, 0 written",
        "channels: 1 rows; 0 were wrong and removed, 1 written",
        "subscriptions: 1 rows; 1 were wrong and removed, 1 written",
        "inboxes: 0 rows; 0 were wrong and removed, 0 written",
        "notifications: 0 rows; 0 were wrong and removed, 0 written",
        "deferred: 0 rows; 0 were wrong and removed, 0 written",
    ];
    assert_eq!(rebuilt(&output), expected);
    assert_eq!(projected(&sql).await, before);
    let said = String::from_utf8_lossy(&output.stderr);
    let events: i64 = value(&sql, "select count(*) from tocsin.events").await;
    assert!(said.contains(&format!("replayed {events} of {events} events")), "how far it is: {said}");
    assert!(said.contains(&format!("replayed {events} events in ")), "{said}");
    let analyzed = "select count(*) from pg_stats where schemaname = 'tocsin' and tablename = 'objects'";
    assert!(value::<i64>(&sql, analyzed).await > 0, "the planner knows of it");
    assert_eq!(changes(&database).await, (0, 0));
}

#[tokio::test]
async fn an_empty_log_makes_empty_projections() {
    let database = Database::new().await;
    let sql = database.connect().await;
    run(&sql, "insert into tocsin.channels values ('x', 'alice', null, null, now(), '{}', 'JSON')").await;
    let lines = rebuilt(&rebuild(&["--database-url", database.url()]).await);
    assert!(lines.contains(&"channels: 0 rows; 1 were wrong and removed, 0 written".to_owned()), "{lines:?}");
    assert_eq!(projected(&sql).await, Vec::<String>::new());
    assert_eq!(changes(&database).await, (0, 0));
}

#[tokio::test]
async fn it_refuses_while_nodes_are_serving() {
    let (database, server, sql) = served().await;
    let another = Server::start(&database).await;
    run(&sql, &message("b", 1)).await;
    run(&sql, "delete from tocsin.objects").await;
    for node in ["tail", "keys"] {
        server_backend(&sql, node, None).await;
    }
    let nodes = "select count(*) from pg_stat_activity where application_name like 'tocsin keys%'
                 and datname = current_database()";
    eventually("both follow the log", async || (value::<i64>(&sql, nodes).await == 2).then_some(())).await;
    let here = ["--database-url", database.url()];
    let said = refusal_of(&rebuild(&here).await);
    assert!(said.contains("2 of this database's nodes are serving") && said.contains("--while-serving"), "{said}");
    another.stop().await;
    assert!(refusal_of(&rebuild(&here).await).contains("1 of this database's nodes"));
    assert_eq!(value::<i64>(&sql, "select count(*) from tocsin.objects").await, 0, "nothing was done");

    assert!(rebuilt(&rebuild(&[&here[..], &["--while-serving"]].concat()).await)[0].ends_with(" 1 written"));
    assert_eq!(server.api.get("/nms/v1/default/b/objects/1").await.status, 200);
    server.stop().await;
    rebuilt(&rebuild(&here).await);
}

#[tokio::test]
async fn writers_go_on_meanwhile_and_nothing_of_theirs_is_lost() {
    let (database, server, sql) = served().await;
    let insert = "insert into tocsin.events (stream, kind, data)
                  select 'w' || i % 7, 'object.created', '{\"attributes\": {}}' from generate_series(1, 4000) as i";
    run(&sql, insert).await;
    let mut follower = Follower::start(&server).await;
    let stop = tokio_util::sync::CancellationToken::new();
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..2 {
        let (sql, stop) = (database.connect().await, stop.clone());
        writers.spawn(async move {
            let mut written = 0;
            while !stop.is_cancelled() {
                run(&sql, &message("b", written)).await;
                let change =
                    format!("update tocsin.messages set flags = '{{f{written}}}' where id = {}", 1 + written * 7);
                run(&sql, &change).await;
                if written % 10 == writer {
                    run(&sql, &format!("delete from tocsin.messages where id = {}", 1 + written * 3)).await;
                }
                written += 1;
            }
            written
        });
    }
    let mut during = 0;
    for round in 0..3 {
        if round == 1 {
            run(&sql, "delete from tocsin.objects where id between 3000 and 3500").await;
        }
        let before: i64 = value(&sql, "select count(*) from tocsin.events").await;
        let (removed, written) = changes(&database).await;
        assert_eq!(removed, 0);
        assert_eq!(written > 0, round == 1, "{written}");
        during += value::<i64>(&sql, "select count(*) from tocsin.events").await - before;
    }
    stop.cancel();
    let written: i64 = writers.join_all().await.into_iter().sum();
    assert!(during > 0, "there were writes during the rebuilds");
    assert_exact(&sql).await;
    assert_eq!(value::<i64>(&sql, "select count(*) from tocsin.objects").await, 4000 + written);
    let head: i64 = value(&sql, "select head_seq from tocsin.streams where stream = 'default/b'").await;
    follower.takes(2, head).await;
    server.stop().await;
    assert_eq!(changes(&database).await, (0, 0));
}

/// `tocsin rebuild`, running.
struct Running {
    child: Child,
    said: BufReader<tokio::process::ChildStderr>,
}

impl Running {
    /// Returns when it has replayed the log and a transaction is in its way.
    async fn waiting_for_writers(database: &Database) -> Running {
        let mut command = command(&["--database-url", database.url()]);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("waiting for transactions that write") {
            line.clear();
            let read = timeout(PATIENCE, said.read_line(&mut line)).await.expect("it says nothing").unwrap();
            assert!(read > 0, "it has ended");
        }
        Running { child, said }
    }

    /// Whether it succeeded, and what else it said.
    async fn signalled(mut self, signal: Option<Signal>) -> (bool, String) {
        if let Some(signal) = signal {
            kill(Pid::from_raw(self.child.id().unwrap().try_into().unwrap()), signal).unwrap();
        }
        let mut rest = String::new();
        timeout(PATIENCE, self.said.read_to_string(&mut rest)).await.expect("it does not end").unwrap();
        (self.child.wait().await.unwrap().success(), rest)
    }
}

#[tokio::test]
async fn one_that_is_interrupted_has_changed_nothing() {
    let database = Database::new().await;
    let (sql, holder) = (database.connect().await, database.connect().await);
    for n in 0..5 {
        run(&sql, &message("b", n)).await;
    }
    run(&sql, "delete from tocsin.objects where id = 2").await;
    let wrong = projected(&sql).await;
    run(&holder, &format!("begin; {}", message("held", 1))).await;
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGKILL] {
        let rebuild = Running::waiting_for_writers(&database).await;
        let (succeeded, said) = rebuild.signalled(Some(signal)).await;
        assert!(!succeeded);
        assert!(signal == Signal::SIGKILL || said.contains("everything is as it was"), "{said}");
        assert_eq!(projected(&sql).await, wrong);
    }
    let left = format!(
        "select count(*) from pg_locks where locktype = 'advisory' and pid <> {}
         and database = (select oid from pg_database where datname = current_database())",
        backend_pid(&holder).await
    );
    eventually("its locks are gone", async || (value::<i64>(&sql, &left).await == 0).then_some(())).await;

    // Others can write while it waits for the one who does not end.
    let rebuild = Running::waiting_for_writers(&database).await;
    run(&sql, &message("b", "meanwhile")).await;
    run(&holder, "commit").await;
    let (succeeded, said) = rebuild.signalled(None).await;
    assert!(succeeded, "{said}");
    assert_eq!(value::<i64>(&sql, "select count(*) from tocsin.objects").await, 7);
    assert_eq!(changes(&database).await, (0, 0));
}

#[tokio::test]
async fn a_node_that_starts_meanwhile_waits() {
    let database = Database::new().await;
    let (sql, holder) = (database.connect().await, database.connect().await);
    run(&holder, &format!("begin; {}", message("b", 1))).await;
    let rebuild = Running::waiting_for_writers(&database).await;
    let mut starting = std::pin::pin!(Server::start(&database));
    assert!(timeout(Duration::from_millis(500), &mut starting).await.is_err(), "it serves already");
    run(&holder, "commit").await;
    assert!(rebuild.signalled(None).await.0);
    let server = timeout(PATIENCE, starting).await.expect("it waits for ever");
    assert_eq!(server.api.get("/nms/v1/default/b/objects/1").await.status, 200);

    // So does one that has lost its connections, and comes back in the middle.
    run(&sql, "select pg_advisory_lock_shared(1953456499, 1)").await; // it shall not sleep
    let tail = cut(&sql, "tail", None).await;
    run(&sql, "select pg_advisory_lock(1953456499, 2)").await; // as a rebuild does
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(server.tail().mode(), tocsin::log::tailer::Mode::Lost);
    run(&sql, "select pg_advisory_unlock_all()").await;
    server_backend(&sql, "keys", Some(tail)).await;
    eventually("it follows the log again", async || {
        (server.tail().mode() != tocsin::log::tailer::Mode::Lost).then_some(())
    })
    .await;
    server.stop().await;
}

#[tokio::test]
async fn what_the_log_no_longer_holds_is_not_thrown_away() {
    let database = Database::new().await;
    let sql = database.connect().await;
    for box_id in ["a", "b", "c", "d", "e"] {
        run(&sql, &format!("{0} {0}", message(box_id, 1))).await;
    }
    run(&sql, "update tocsin.streams set base_seq = 1 where stream <> 'default/a'").await;
    run(&sql, "delete from tocsin.objects where id = 1").await;
    let before = projected(&sql).await;
    let said = refusal_of(&rebuild(&["--database-url", database.url()]).await);
    assert!(said.contains("4 streams") && said.contains("(default/b, default/c, default/d, ...)"), "{said}");
    assert_eq!(projected(&sql).await, before);
}

#[tokio::test]
async fn a_projection_that_was_left_out_is_noticed_before_anything_is_written() {
    let database = Database::new().await;
    let sql = database.connect().await;
    run(&sql, &message("b", 1)).await;
    let list = "create or replace function tocsin.projections() returns text[] language sql immutable as";
    run(
        &sql,
        &format!("{list} $$ select array['objects', 'folders', 'channels', 'inboxes', 'notifications', 'deferred'] $$"),
    )
    .await;
    let before = projected(&sql).await;
    let said = refusal_of(&rebuild(&["--database-url", database.url()]).await);
    assert!(
        said.contains("a table that tocsin.projections() does not name") && said.contains("subscription"),
        "{said}"
    );
    assert_eq!(projected(&sql).await, before);
}

#[tokio::test]
async fn a_private_cluster_is_started_for_it_or_used_as_it_runs() {
    let dir = tempfile::tempdir().unwrap();
    let here = ["--data-dir", dir.path().to_str().unwrap()];
    let lines = rebuilt(&rebuild(&here).await);
    assert_eq!(lines.len(), 7, "from nothing: {lines:?}");
    let program = Program::start(dir.path()).await;
    program.api.channel("alice").await;
    assert!(refusal_of(&rebuild(&here).await).contains("1 of this database's nodes"));
    let lines = rebuilt(&rebuild(&[&here[..], &["--while-serving"]].concat()).await);
    assert!(lines.contains(&"channels: 1 rows; 0 were wrong and removed, 0 written".to_owned()), "{lines:?}");
    assert_eq!(program.terminate().await, Some(0));
    assert_eq!(rebuilt(&rebuild(&here).await), lines);
    assert!(!dir.path().join("postgres/postmaster.pid").exists(), "its Postgres has ended with it");
}
