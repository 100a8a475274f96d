//! `tocsin rebuild`.

use std::cell::Cell;
use std::time::Instant;

use anyhow::bail;
use serde_json::{Value, json};

use super::output::{Output, print_json};
use super::progress::Progress;
use crate::app::Home;
use crate::config::telemetry::Telemetry;
use crate::config::{DatabaseArgs, Limits};
use crate::postgres::Database;
use crate::postgres::rebuild::{self, Progress as Step, Rebuilt};
use crate::{lifecycle, telemetry};

/// `tocsin rebuild`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    database: DatabaseArgs,
    /// Rebuild although nodes are serving: writers wait for the last part of it, and requests that wait for more than
    /// five seconds are answered with 503
    #[arg(long)]
    while_serving: bool,
    /// How to print what became of each projection
    #[arg(long, value_name = "FORM", value_enum, default_value_t)]
    output: Output,
}

pub(super) async fn run(args: Args) -> anyhow::Result<()> {
    telemetry::start(&Telemetry::of_environment())?;
    let home = Home::find(&args.database.resolve()?).await?;
    let outcome = tokio::select! {
        outcome = rebuild(&home.url, args.while_serving, args.output) => outcome,
        asked = lifecycle::asked_to_stop() => asked.and_then(|()| bail!("interrupted: everything is as it was")),
    };
    home.close().await;
    outcome
}

async fn rebuild(url: &str, while_serving: bool, output: Output) -> anyhow::Result<()> {
    let mut connection = Database::new(url)?.connect("rebuild").await?;
    let months_ahead = Limits::default().partitions_months_ahead;
    let display = Display::new();
    let rebuilt =
        rebuild::run(&mut connection.client, months_ahead, while_serving, |progress| display.show(progress)).await?;
    display.end();
    if output == Output::Json {
        return print_json(&rebuilt.iter().map(as_json).collect());
    }
    for Rebuilt { projection, rows, removed, written } in rebuilt {
        println!("{projection}: {rows} rows; {removed} were wrong and removed, {written} written");
    }
    Ok(())
}

fn as_json(rebuilt: &Rebuilt) -> Value {
    let Rebuilt { projection, rows, removed, written } = rebuilt;
    json!({ "projection": projection, "rows": rows, "removed": removed, "written": written })
}

/// How far it is, and how long it took.
struct Display {
    progress: Progress,
    began: Instant,
    events: Cell<u64>,
}

impl Display {
    fn new() -> Display {
        let progress = Progress::new("{wide_bar} {human_pos} of {human_len} events, {eta} left {msg}");
        Display { progress, began: Instant::now(), events: Cell::new(0) }
    }

    fn show(&self, step: Step) {
        match step {
            Step::Replayed { events, of } => {
                self.events.set(events);
                self.progress.show(events, of);
                self.progress.line_now_and_then(|| format!("replayed {events} of {of} events"));
            }
            Step::WaitingForWriters => self.say("waiting for transactions that write"),
            Step::Comparing => self.say("comparing"),
        }
    }

    fn say(&self, what: &str) {
        self.progress.say(what);
        self.progress.line(what);
    }

    fn end(&self) {
        self.progress.end();
        eprintln!("replayed {} events in {:.1} s", self.events.get(), self.began.elapsed().as_secs_f64());
    }
}
