//! One private cluster per test process, and a database of its own for every test that wants one.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use tocsin::postgres::embedded::Embedded;
use tokio::sync::{mpsc, oneshot};
use tokio_postgres::{Client, NoTls};
use tokio_util::sync::CancellationToken;

use super::eventually;

/// A machine that crashes may lose the cluster: nobody asks for it then. Killed processes lose nothing.
pub const FORGETFUL: [(&str, &str); 2] = [("fsync", "off"), ("full_page_writes", "off")];

const TEMPLATE: &str = "tocsin_template";

/// The cluster of this test process. It lives on a thread of its own, because every test has its own
/// runtime and none of them lasts.
pub struct Cluster {
    url: String,
    jobs: mpsc::UnboundedSender<Job>,
    /// Held for its standard input.
    _watchdog: Child,
}

/// What only one may do at a time: Postgres copies a template only while nobody is connected to it.
#[derive(Debug)]
enum Job {
    Create(oneshot::Sender<String>),
    Drop(String),
}

/// Starts the cluster if no test has done so yet.
pub fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(Cluster::start)
}

/// Brings the template to the state that every test database begins with.
async fn prepare_template(url: &str) -> anyhow::Result<()> {
    let mut connection = tocsin::postgres::Database::new(url)?.connect("template").await?;
    tocsin::postgres::migrate::run(&mut connection.client, 3).await
}

impl Cluster {
    fn start() -> Cluster {
        let data_dir = tempfile::Builder::new().prefix("tocsin-test-").tempdir().unwrap().keep();
        let watchdog = watch_over(&data_dir);
        let (jobs, queue) = mpsc::unbounded_channel();
        let (started, start) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(Cluster::run(data_dir, queue, started));
        });
        let url = start.recv().expect("the cluster's thread has said why it cannot start");
        Cluster { url, jobs, _watchdog: watchdog }
    }

    async fn run(data_dir: PathBuf, queue: mpsc::UnboundedReceiver<Job>, started: std::sync::mpsc::Sender<String>) {
        let embedded = Embedded::start_with(&data_dir, &FORGETFUL).await.unwrap();
        let url = embedded.url().to_owned();
        let admin = connect(&url).await;
        admin.batch_execute(&format!("create database {TEMPLATE}")).await.unwrap();
        prepare_template(&database_url(&url, TEMPLATE)).await.unwrap();
        started.send(url).unwrap();
        let (supervised, ()) = tokio::join!(embedded.supervise(CancellationToken::new()), serve(&admin, queue));
        supervised.unwrap();
    }

    /// The URL of the cluster's own database, which all tests share.
    pub fn url(&self) -> &str {
        &self.url
    }
}

async fn serve(admin: &Client, mut queue: mpsc::UnboundedReceiver<Job>) {
    let mut number = 0;
    while let Some(job) = queue.recv().await {
        match job {
            Job::Create(reply) => {
                number += 1;
                let name = format!("t_{number}");
                let create = format!("create database {name} template {TEMPLATE}");
                admin.batch_execute(&create).await.unwrap();
                // The test may have been given up meanwhile.
                let _ = reply.send(name);
            }
            Job::Drop(name) => {
                // One that a test left a prepared transaction in stays: other tests need the cluster.
                let _ = admin.batch_execute(&format!("drop database {name} with (force)")).await;
            }
        }
    }
}

/// A database of one test: a copy of the template, dropped with this value.
pub struct Database {
    name: String,
    url: String,
}

impl Database {
    /// Copies the template.
    pub async fn new() -> Database {
        let cluster = cluster();
        let (reply, created) = oneshot::channel();
        cluster.jobs.send(Job::Create(reply)).expect("the cluster's thread has died");
        let name = created.await.expect("the cluster's thread has died");
        let url = database_url(cluster.url(), &name);
        Database { name, url }
    }

    /// A database without a schema of ours, and a role of its own, which may log in and make schemas there, no more. The
    /// server is that role.
    pub async fn of_plain_role() -> (Database, String) {
        let name = format!("plain_{}", uuid::Uuid::new_v4().simple());
        let (role, admin) = (format!("server_of_{name}"), connect(cluster().url()).await);
        for statement in [
            format!("create database {name}"),
            format!("create role {role} login"),
            format!("grant create on database {name} to {role}"),
        ] {
            admin.batch_execute(&statement).await.unwrap();
        }
        let url = as_role(&database_url(cluster().url(), &name), &role);
        (Database { name, url }, role)
    }

    /// A role of this database's own that may log in, and a connection of it.
    pub async fn role(&self, name: &str) -> (String, Client) {
        let role = format!("{name}_of_{}", self.name);
        let create = format!("drop role if exists {role}; create role {role} login");
        self.connect().await.batch_execute(&create).await.unwrap();
        let client = connect(&as_role(&self.url, &role)).await;
        (role, client)
    }

    /// For the server under test, and for tokio-postgres.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Runs statements in a session of their own, and waits until Postgres' statistics say what it did, and what all sessions
    /// did that had ended before. (Before Postgres 15 they came by way of another process, in the order of their ends.)
    pub async fn run_and_tell(&self, statements: &str) {
        let (sql, mark) = (self.connect().await, format!("mark_{}", uuid::Uuid::new_v4().simple()));
        let scan = format!("{statements}; create table public.{mark} (); table public.{mark}");
        self.connect().await.batch_execute(&scan).await.unwrap();
        let told = format!("select pg_stat_get_numscans('public.{mark}'::regclass) > 0");
        eventually("statistics are told", async || {
            sql.batch_execute("select pg_stat_clear_snapshot()").await.unwrap();
            sql.query_one(&told, &[]).await.unwrap().get::<_, bool>(0).then_some(())
        })
        .await;
    }

    /// A connection, driven by a task of the test's runtime.
    pub async fn connect(&self) -> Client {
        connect(&self.url).await
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // Without the thread the cluster goes, and the database with it.
        let _ = cluster().jobs.send(Job::Drop(std::mem::take(&mut self.name)));
    }
}

/// A connection, driven by a task of the current runtime.
pub async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

fn as_role(url: &str, role: &str) -> String {
    url.replace("://tocsin@", &format!("://{role}@"))
}

/// The channel that the nodes listen to.
pub async fn doorbell(sql: &Client) -> String {
    sql.query_one("select channel from tocsin.doorbell", &[]).await.unwrap().get(0)
}

fn database_url(cluster_url: &str, name: &str) -> String {
    let (server, options) = cluster_url.split_once("/tocsin?").unwrap();
    format!("{server}/{name}?{options}")
}

/// Nothing runs at the end of a test process, least of all of one that is killed. So another process
/// waits for that end, which closes its standard input, and then
/// removes the cluster.
fn watch_over(data_dir: &Path) -> Child {
    Command::new("/bin/sh")
        .args(["-c", include_str!("watchdog.sh")])
        .arg(data_dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0) // Ctrl-C is not for it
        .spawn()
        .unwrap()
}
