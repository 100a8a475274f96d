//! How fast events go from INSERT to WebSocket, and how fast they can be written, beside what plain Postgres does on
//! the same machine at the same time: see docs/BENCHMARKS.md. `scripts/bench.sh` runs it.
//!
//! The contestants take turns in short runs, round after round, so that whatever else the machine does hits all alike;
//! a figure is the median over the rounds.

mod contestant;
mod listener;
mod machine;
mod nms;
mod program;
mod relay;
mod report;
mod writers;

use std::fmt;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use tokio::time::Instant;

use contestant::{Contestant, Field};
use nms::{Operation, Store};
use program::Program;
use report::{Cell, Figures};

/// Measures the server against plain Postgres, on a private cluster in a temporary directory.
#[derive(Debug, Parser)]
struct Args {
    /// What to measure; all by default
    part: Option<Part>,
    /// Length of a run
    #[arg(long, default_value_t = 5.0, value_parser = seconds)]
    seconds: f64,
    /// Length of what is not counted at the beginning of a run
    #[arg(long, default_value_t = 1.0, value_parser = seconds)]
    warm_up: f64,
    /// How often each contestant runs
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Numbers of concurrent writers
    #[arg(long, value_delimiter = ',', default_values_t = [16, 32])]
    writers: Vec<u32>,
    /// Inserts per second, for the latency
    #[arg(long, value_delimiter = ',', default_values_t = [200, 2000])]
    rates: Vec<u32>,
    /// Concurrent clients of the message store
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..))]
    clients: u32,
    /// What `cargo bench` says to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Inserts per second, writers flat out
    Writers,
    /// Time from INSERT to WebSocket
    Latency,
    /// Requests per second to the message store
    Nms,
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.1..=3600.0).contains(&seconds) { Ok(seconds) } else { Err("0.1 to 3600".to_owned()) }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let program = Program::start().await?;
    let outcome = tokio::select! {
        outcome = run(&args, &program) => outcome,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    program.stop().await?;
    outcome
}

async fn run(args: &Args, program: &Program) -> anyhow::Result<()> {
    let field = Field::prepare(program).await?;
    println!("{}", machine::describe(&field, program.directory()).await?);
    let wanted = |part| args.part.is_none_or(|only| only == part);
    if wanted(Part::Writers) {
        writers(args, &field).await?;
    }
    if wanted(Part::Latency) {
        latency(args, &field).await?;
    }
    if wanted(Part::Nms) {
        message_store(args, program, &field).await?;
    }
    Ok(())
}

/// Inserts per second, writers flat out.
async fn writers(args: &Args, field: &Field) -> anyhow::Result<()> {
    const CONTESTANTS: [Contestant; 4] =
        [Contestant::Plain, Contestant::Notify, Contestant::Tocsin { boxes: 1 }, Contestant::Tocsin { boxes: 1000 }];
    println!("\n## Writers flat out\n");
    println!("One INSERT per transaction, each writer on a connection of its own.\n");
    let mut rows = Vec::new();
    for &count in &args.writers {
        let figures = rounds(args, field, &CONTESTANTS, Pace::FlatOut { writers: count }).await?;
        let notify = figures[1].rate;
        rows.extend(CONTESTANTS.iter().zip(&figures).map(|(contestant, figures)| {
            vec![
                Cell::Text(contestant.to_string()),
                Cell::Count(f64::from(count)),
                Cell::Count(figures.rate),
                Cell::Ratio(figures.rate / notify),
                figures.p50.map_or(Cell::None, Cell::Time),
                figures.p99.map_or(Cell::None, Cell::Time),
                figures.behind.map_or(Cell::None, Cell::Time),
            ]
        }));
    }
    let heads = ["", "writers", "inserts/s", "of NOTIFY's", "INSERT to listener p50", "p99", "all received after"];
    report::table(&heads, &rows);
    Ok(())
}

/// Time from INSERT to WebSocket.
async fn latency(args: &Args, field: &Field) -> anyhow::Result<()> {
    const CONTESTANTS: [Contestant; 2] = [Contestant::Relay, Contestant::Tocsin { boxes: 1 }];
    println!("\n## Latency, INSERT sent to frame received\n");
    let mut rows = Vec::new();
    for &rate in &args.rates {
        let figures = rounds(args, field, &CONTESTANTS, Pace::Rate { per_second: rate }).await?;
        let relay = figures[0].p50;
        rows.extend(CONTESTANTS.iter().zip(&figures).map(|(contestant, figures)| {
            let ratio = figures.p50.zip(relay).map(|(own, relay)| own.as_secs_f64() / relay.as_secs_f64());
            let time = |time: Option<Duration>| time.map_or(Cell::None, Cell::Time);
            vec![
                Cell::Text(contestant.to_string()),
                Cell::Count(f64::from(rate)),
                Cell::Count(figures.rate),
                time(figures.p50),
                time(figures.p90),
                time(figures.p99),
                time(figures.max),
                ratio.map_or(Cell::None, Cell::Ratio),
            ]
        }));
    }
    report::table(&["", "asked/s", "inserts/s", "p50", "p90", "p99", "max", "p50 of the relay's"], &rows);
    Ok(())
}

/// Requests per second to the message store.
async fn message_store(args: &Args, program: &Program, field: &Field) -> anyhow::Result<()> {
    println!("\n## The message store over HTTP, {} clients\n", args.clients);
    println!("Searches and flags are in a box of {} objects.\n", Cell::Count(f64::from(nms::BOX_OBJECTS)));
    let store = Store::prepare(program, &field.tocsin().await?).await?;
    let time = Duration::from_secs_f64(args.seconds);
    let mut rows = Vec::new();
    for operation in Operation::ALL {
        store.run(operation, args.clients, Duration::from_secs_f64(args.warm_up)).await?;
        let run = store.run(operation, args.clients, time).await?;
        rows.push(vec![
            Cell::Text(operation.to_string()),
            Cell::Count(run.rate),
            Cell::Time(run.p50),
            Cell::Time(run.p99),
        ]);
    }
    report::table(&["", "requests/s", "p50", "p99"], &rows);
    Ok(())
}

/// How a run's inserts are paced.
#[derive(Debug, Clone, Copy)]
enum Pace {
    FlatOut { writers: u32 },
    Rate { per_second: u32 },
}

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pace::FlatOut { writers } => write!(f, "{writers} writers"),
            Pace::Rate { per_second } => write!(f, "{per_second}/s"),
        }
    }
}

/// Lets the contestants take turns; the medians of each, in their order.
async fn rounds(args: &Args, field: &Field, contestants: &[Contestant], pace: Pace) -> anyhow::Result<Vec<Figures>> {
    let mut runs = vec![Vec::new(); contestants.len()];
    for round in 0..usize::from(args.rounds) {
        for turn in 0..contestants.len() {
            let who = (turn + round) % contestants.len(); // nobody always comes after the same one
            let figures = run_once(args, field, contestants[who], pace).await?;
            eprintln!("round {}: {}, {pace}: {figures}", round + 1, contestants[who]);
            runs[who].push(figures);
        }
    }
    Ok(runs.iter().map(|runs| Figures::medians(runs)).collect())
}

async fn run_once(args: &Args, field: &Field, contestant: Contestant, pace: Pace) -> anyhow::Result<Figures> {
    let entry = field.enter(contestant).await?;
    field.settle().await?;
    let from = std::time::Instant::now() + writers::CONNECTING + Duration::from_secs_f64(args.warm_up);
    let until = from + Duration::from_secs_f64(args.seconds);
    let job = writers::Job { config: entry.config.clone(), insert: entry.insert, boxes: entry.boxes.clone(), until };
    let writing = tokio::task::spawn_blocking(move || match pace {
        Pace::FlatOut { writers } => writers::flat_out(&job, writers),
        Pace::Rate { per_second } => writers::paced(&job, per_second),
    });
    let inserts = writing.await??;
    let received = match entry.listener {
        Some(listener) => {
            let deadline = Instant::now() + Duration::from_secs(30);
            while listener.count() < inserts.len() && Instant::now() < deadline {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            tokio::time::sleep(Duration::from_millis(100)).await; // whatever comes once too often
            Some(contestant.read(&listener.stop()?)?)
        }
        None => None,
    };
    field.leave(entry.channel).await?;
    Figures::of(&inserts, received, from..until)
}
