//! `tocsin rebuild`.

use std::cell::Cell;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use anyhow::bail;
use indicatif::{ProgressBar, ProgressStyle};

use crate::app::Home;
use crate::config::telemetry::Telemetry;
use crate::config::{DatabaseArgs, Limits};
use crate::postgres::Database;
use crate::postgres::rebuild::{self, Progress, Rebuilt};
use crate::{lifecycle, telemetry};

/// How often a line says how far it is, where there is no terminal for a bar.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// `tocsin rebuild`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    database: DatabaseArgs,
    /// Rebuild although nodes are serving: writers wait for the last part of it, and requests that wait for more than
    /// five seconds are answered with 503
    #[arg(long)]
    while_serving: bool,
}

pub(super) async fn run(args: Args) -> anyhow::Result<()> {
    telemetry::start(&Telemetry::of_environment())?;
    let home = Home::find(&args.database.resolve()?).await?;
    let outcome = tokio::select! {
        outcome = rebuild(&home.url, args.while_serving) => outcome,
        asked = lifecycle::asked_to_stop() => asked.and_then(|()| bail!("interrupted: everything is as it was")),
    };
    home.close().await;
    outcome
}

async fn rebuild(url: &str, while_serving: bool) -> anyhow::Result<()> {
    let mut connection = Database::new(url)?.connect("rebuild").await?;
    let months_ahead = Limits::default().partitions_months_ahead;
    let display = Display::new();
    let rebuilt =
        rebuild::run(&mut connection.client, months_ahead, while_serving, |progress| display.show(progress)).await?;
    display.end();
    for Rebuilt { projection, rows, removed, written } in rebuilt {
        println!("{projection}: {rows} rows; {removed} were wrong and removed, {written} written");
    }
    Ok(())
}

/// A bar on a terminal, else lines now and then; both on stderr.
struct Display {
    bar: ProgressBar,
    lines: bool,
    began: Instant,
    next_line: Cell<Instant>,
    events: Cell<u64>,
}

impl Display {
    fn new() -> Display {
        let lines = !std::io::stderr().is_terminal();
        let style = "{wide_bar} {human_pos} of {human_len} events, {per_sec}, {eta} left {msg}";
        let bar = if lines { ProgressBar::hidden() } else { ProgressBar::new(0) };
        bar.set_style(ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()));
        let began = Instant::now();
        Display { bar, lines, began, next_line: Cell::new(began), events: Cell::new(0) }
    }

    fn show(&self, progress: Progress) {
        match progress {
            Progress::Replayed { events, of } => {
                self.events.set(events);
                self.bar.set_length(of);
                self.bar.set_position(events);
                if Instant::now() >= self.next_line.get() {
                    self.next_line.set(Instant::now() + LINE_EVERY);
                    self.line(&format!("replayed {events} of {of} events"));
                }
            }
            Progress::WaitingForWriters => self.say("waiting for transactions that write"),
            Progress::Comparing => self.say("comparing"),
        }
    }

    fn say(&self, what: &'static str) {
        self.bar.set_message(what);
        self.line(what);
    }

    fn line(&self, line: &str) {
        if self.lines {
            eprintln!("{line}");
        }
    }

    fn end(&self) {
        self.bar.finish_and_clear();
        eprintln!("replayed {} events in {:.1} s", self.events.get(), self.began.elapsed().as_secs_f64());
    }
}
