//! The server under test: in this process on a database of the test, or as the real program.

use std::path::Path;
use std::process::Stdio;

use tocsin::app;
use tocsin::config::{Config, DatabaseChoice, Limits};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::client::Api;
use super::postgres::Database;

/// A server in this process. One that is not stopped ends with the test's runtime, as if it had been killed.
pub struct Server {
    running: app::Server,
    /// At the address it listens on, whatever its public URL is.
    pub api: Api,
}

impl Server {
    pub async fn start(database: &Database) -> Server {
        Server::start_with(database, Limits::default()).await
    }

    pub async fn start_with(database: &Database, limits: Limits) -> Server {
        Server::start_as(database, |config| config.limits = limits).await
    }

    /// With settings of the test's own.
    pub async fn start_as(database: &Database, change: impl FnOnce(&mut Config)) -> Server {
        Server::try_start_as(database, change).await.unwrap()
    }

    /// The same, when it may be refused.
    pub async fn try_start_as(database: &Database, change: impl FnOnce(&mut Config)) -> anyhow::Result<Server> {
        let mut config = Config {
            listen: "127.0.0.1:0".parse().unwrap(),
            database: DatabaseChoice::Url(database.url().to_owned()),
            public_url: None,
            jwt: None,
            limits: Limits::default(),
            push: Default::default(),
            allow_private_targets: false,
            drain_seconds: 5,
            edge: Default::default(),
            telemetry: Default::default(),
            secret_key_file: None,
            event_types: Vec::new(),
            groups: Default::default(),
        };
        change(&mut config);
        let running = app::Server::start(config).await?;
        let api = Api::new(&format!("http://{}", running.address));
        Ok(Server { running, api })
    }

    /// How it follows the log.
    pub fn tail(&self) -> &tocsin::log::tailer::Status {
        &self.running.tail
    }

    /// As SIGTERM would.
    pub async fn stop(self) {
        self.running.end().await;
    }
}

/// The real program, on a private cluster of its own or on the database it is given.
pub struct Program {
    child: Child,
    pub url: String,
    pub api: Api,
}

impl Program {
    /// `tocsin serve` on any free port, with a cluster in `data_dir`.
    pub async fn start(data_dir: &Path) -> Program {
        Program::start_with(&["--data-dir", data_dir.to_str().unwrap(), "--listen", "127.0.0.1:0"]).await
    }

    /// `tocsin serve` with these arguments; returns when it is READY.
    pub async fn start_with(args: &[&str]) -> Program {
        Program::spawn(args, Stdio::inherit(), None).await
    }

    /// As [`Program::start_with`]; what it logs is appended to a file.
    pub async fn start_logging(args: &[&str], log: &Path) -> Program {
        let log = std::fs::File::options().create(true).append(true).open(log).unwrap();
        Program::spawn(args, log.into(), None).await
    }

    /// As [`Program::start_logging`], with everything that code of ours would ever write.
    pub async fn start_tracing(args: &[&str], log: &Path) -> Program {
        let log = std::fs::File::create(log).unwrap();
        Program::spawn(args, log.into(), Some("info,tocsin=trace")).await
    }

    async fn spawn(args: &[&str], log: Stdio, filter: Option<&str>) -> Program {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tocsin"))
            .arg("serve")
            .args(args)
            .env_remove("DATABASE_URL")
            .envs(filter.map(|filter| ("RUST_LOG", filter)))
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = lines.next_line().await.unwrap().expect("the server ended before it was ready");
        let url = line.strip_prefix("READY ").expect("the first line is READY").to_owned();
        let api = Api::new(&url);
        Program { child, url, api }
    }

    pub fn pid(&self) -> u32 {
        self.child.id().unwrap()
    }

    /// SIGKILL.
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// SIGTERM.
    pub fn ask_to_stop(&self) {
        let pid = nix::unistd::Pid::from_raw(self.pid().try_into().unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    }

    /// Waits until it ends by itself; answers the exit code.
    pub async fn ended(mut self) -> Option<i32> {
        tokio::time::timeout(super::PATIENCE, self.child.wait()).await.expect("it does not end").unwrap().code()
    }

    /// SIGTERM; answers the exit code.
    pub async fn terminate(mut self) -> Option<i32> {
        self.ask_to_stop();
        self.child.wait().await.unwrap().code()
    }
}
