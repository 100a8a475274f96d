//! How fast events go from INSERT to WebSocket, how fast they can be written, and what sockets cost, beside what others do
//! on the same machine at the same time: see docs/BENCHMARKS.md. `scripts/bench.sh` runs it.
//!
//! Each part is a module with a `run`, which prints its table and returns its lines of the summary.

#[macro_use]
mod progress; // before those who print

mod background;
mod boxes;
mod contestant;
mod fanout;
mod field;
mod flat_out;
mod latency;
mod listener;
mod log;
mod machine;
mod matching;
mod memory;
mod nchan;
mod nms;
mod nodes;
mod program;
mod relay;
mod replay;
mod report;
mod rounds;
mod socketio;
mod sockets;
mod writers;

use clap::{Parser, ValueEnum};

use contestant::Contestant;
use field::Field;
use program::Program;
use report::Line;

/// Measures the server against others, on a private cluster in a temporary directory.
#[derive(Debug, Parser)]
struct Args {
    /// What to measure
    #[arg(default_value = "all")]
    parts: Vec<Part>,
    /// Who takes part; all by default
    #[arg(long, value_delimiter = ',', value_name = "CONTESTANT")]
    only: Vec<Contestant>,
    /// Length of a run
    #[arg(long, default_value_t = 5.0, value_parser = seconds)]
    seconds: f64,
    /// Length of what is not counted at the beginning of a run
    #[arg(long, default_value_t = 1.0, value_parser = seconds)]
    warm_up: f64,
    /// How often each contestant runs
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Numbers of concurrent writers, flat out
    #[arg(long, value_delimiter = ',', default_values_t = [16, 32])]
    writers: Vec<u32>,
    /// Inserts per second, for the latency
    #[arg(long, value_delimiter = ',', default_values_t = [200, 2000])]
    rates: Vec<u32>,
    /// Inserts per second, for the fan-out
    #[arg(long, value_delimiter = ',', default_values_t = [20, 200])]
    fanout_rates: Vec<u32>,
    /// Sockets of the fan-out, and boxes with a socket each
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    sockets: u32,
    /// Numbers of idle sockets
    #[arg(long, value_delimiter = ',', default_values_t = [5000, 10_000])]
    idle: Vec<u32>,
    /// How long idle sockets come to rest
    #[arg(long, default_value_t = 10.0, value_parser = seconds)]
    settle: f64,
    /// Numbers of subscriptions, all to other boxes but one
    #[arg(long, value_delimiter = ',', default_values_t = [1, 1000, 100_000])]
    subscriptions: Vec<u32>,
    /// Numbers of filtered subscriptions to one box
    #[arg(long, value_delimiter = ',', default_values_t = [1, 1000, 10_000])]
    filters: Vec<u32>,
    /// Numbers of nodes on one database
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2, 4])]
    nodes: Vec<u32>,
    /// Concurrent clients of the message store
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..))]
    clients: u32,
    /// Length of the long log, in events; a million take 1 GB of disk
    #[arg(long, default_value_t = 10_000_000)]
    events: u64,
    /// Events that one client reads from the log
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1000..))]
    missed: u32,
    /// Clients that return at once
    #[arg(long, default_value_t = 5000, value_parser = clap::value_parser!(u32).range(1..))]
    storm: u32,
    /// What `cargo bench` says to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

impl Args {
    /// Whether somebody takes part.
    fn wants(&self, contestant: Contestant) -> bool {
        self.only.is_empty() || self.only.contains(&contestant)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Everything below
    All,
    /// Time from INSERT to WebSocket
    Latency,
    /// Inserts per second, writers flat out
    Writers,
    /// One box that a thousand sockets hear of
    Fanout,
    /// A thousand boxes with a socket each, writers flat out
    Boxes,
    /// Memory of idle sockets
    Memory,
    /// Requests per second to the message store
    Nms,
    /// What an event costs with many subscriptions
    Matching,
    /// What was missed, read from the log: by one client, and by many at once
    Replay,
    /// Several nodes on one database
    Nodes,
    /// What becomes of all that when the log is long
    Log,
}

impl Part {
    /// In the order in which they run.
    const EACH: [Part; 10] = [
        Part::Latency,
        Part::Writers,
        Part::Fanout,
        Part::Boxes,
        Part::Memory,
        Part::Nms,
        Part::Matching,
        Part::Replay,
        Part::Nodes,
        Part::Log,
    ];

    /// As the command line has it.
    fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    async fn run(self, args: &Args, program: &Program, field: &Field) -> anyhow::Result<Vec<Line>> {
        match self {
            Part::All => Ok(Vec::new()),
            Part::Latency => latency::run(args, field).await,
            Part::Writers => flat_out::run(args, field).await,
            Part::Fanout => fanout::run(args, field).await,
            Part::Boxes => boxes::run(args, field).await,
            Part::Memory => memory::run(args).await,
            Part::Nms => nms::run(args, program, field).await,
            Part::Matching => matching::run(args).await,
            Part::Replay => replay::run(args, program, field).await,
            Part::Nodes => nodes::run(args).await,
            Part::Log => log::run(args).await,
        }
    }
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

/// Runs the parts; one that fails does not keep the others from running.
async fn run(args: &Args, program: &Program) -> anyhow::Result<()> {
    let field = Field::prepare(program).await?;
    let machine = machine::describe(&field, program.directory()).await?;
    say!("{machine}");
    let is_wanted = |part: &Part| args.parts.contains(&Part::All) || args.parts.contains(part);
    let parts: Vec<Part> = Part::EACH.into_iter().filter(is_wanted).collect();
    let (mut lines, mut failed) = (Vec::new(), false);
    progress::begin(parts.len());
    for part in parts {
        progress::part(&part.name());
        match part.run(args, program, &field).await {
            Ok(of_part) => lines.extend(of_part),
            Err(fault) => {
                failed = true;
                say!("FAILED: {fault:#}");
                lines.push(Line::failed(part.name()));
            }
        }
    }
    progress::end();
    report::summary(lines);
    anyhow::ensure!(!failed, "not everything could be measured");
    Ok(())
}
