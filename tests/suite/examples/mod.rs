//! The programs of examples/, as somebody runs them: through the loss of the server and of themselves, each event once.

mod curl;
mod python;

use std::process::Stdio;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use crate::cli::stdout;
use crate::support::postgres::Database;
use crate::support::server::Server;
use crate::support::{PATIENCE, eventually};

fn command(program: &str, server: &Server, arguments: &[&str]) -> Command {
    let mut command = Command::new(format!("{}/examples/{program}", env!("CARGO_MANIFEST_DIR")));
    command.args(arguments).env("TOCSIN_URL", &server.api.url).env("PYTHONDONTWRITEBYTECODE", "1");
    command.env_remove("TOCSIN_TOKEN").stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// Runs it to its end; answers what it printed.
async fn run(program: &str, server: &Server, arguments: &[&str]) -> String {
    let output = command(program, server, arguments).output();
    stdout(&timeout(PATIENCE, output).await.expect("it does not end").unwrap())
}

/// One that goes on, in a terminal of its own.
struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    /// Returns when it has subscribed to something.
    async fn start(program: &str, server: &Server, database: &Database, arguments: &[&str]) -> Running {
        let sql = database.connect().await;
        let count = "select count(*) from tocsin.subscriptions";
        let before: i64 = sql.query_one(count, &[]).await.unwrap().get(0);
        let mut command = command(program, server, arguments);
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).spawn().expect("it can be started");
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let subscribed = async || (sql.query_one(count, &[]).await.unwrap().get::<_, i64>(0) > before).then_some(());
        eventually("it has subscribed", subscribed).await;
        Running { child, lines }
    }

    async fn line(&mut self) -> String {
        timeout(PATIENCE, self.lines.next_line()).await.expect("it prints nothing").unwrap().expect("it has ended")
    }

    /// What its lines end in.
    async fn texts(&mut self, count: usize) -> Vec<String> {
        let mut texts = Vec::new();
        while texts.len() < count {
            texts.push(self.line().await.rsplit(' ').next().unwrap().to_owned());
        }
        texts
    }

    /// By a signal to all that is in its terminal; answers what else it printed, and what it said on stderr.
    async fn end(mut self, signal: Signal) -> (Vec<String>, String) {
        killpg(Pid::from_raw(self.child.id().unwrap().try_into().unwrap()), signal).unwrap();
        let (mut rest, mut said) = (Vec::new(), String::new());
        while let Some(line) = timeout(PATIENCE, self.lines.next_line()).await.unwrap().unwrap() {
            rest.push(line);
        }
        self.child.stderr.take().unwrap().read_to_string(&mut said).await.unwrap();
        self.child.wait().await.unwrap();
        (rest, said)
    }
}

async fn write(database: &Database, texts: &[&str]) {
    let sql = database.connect().await;
    for text in texts {
        sql.execute("insert into tocsin.messages (box_id, body) values ('tel:+1', $1)", &[text]).await.unwrap();
    }
}

/// Whether anything is left of what was made.
async fn assert_nothing_is_left(database: &Database) {
    let left = "select (select count(*) from tocsin.channels) + (select count(*) from tocsin.subscriptions)";
    let left: i64 = database.connect().await.query_one(left, &[]).await.unwrap().get(0);
    assert_eq!(left, 0);
}
