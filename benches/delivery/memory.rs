//! What an idle socket costs: the memory of the server's processes with so many sockets open, less what they had before.

use std::time::Duration;

use anyhow::Context;

use crate::Args;
use crate::contestant::{Audience, Case, Contestant};
use crate::field::{Entry, Field};
use crate::program::Program;
use crate::report::{self, Cell, Line};

/// What is aimed at.
const AIM: &str = "at most 6 KB";
const AIM_BYTES: f64 = 6.0 * 1024.0;
/// A program that has just started comes to rest.
const STARTED: Duration = Duration::from_secs(3);

/// Runs it: each measurement with servers of its own, so that nothing is left over from what was done before.
pub async fn run(args: &Args) -> anyhow::Result<Vec<Line>> {
    say!("\n## Memory per idle socket\n");
    let (mut rows, mut lines) = (Vec::new(), Vec::new());
    for &sockets in &args.idle {
        let mut of_nchan = None;
        for contestant in [Contestant::SocketIo, Contestant::Nchan, Contestant::Tocsin] {
            if !args.wants(contestant) {
                continue;
            }
            let measured = match measure(args, contestant, sockets).await {
                Ok(measured) => Ok(measured),
                Err(fault) if contestant.is_foreign() => Err(format!("{fault:#}")),
                Err(fault) => return Err(fault.context(format!("{sockets} idle sockets"))),
            };
            note!("{contestant}, {sockets} idle sockets: {measured:?}");
            if let Ok(measured) = &measured
                && contestant == Contestant::Tocsin
            {
                lines.push(line(sockets, measured, of_nchan));
            }
            let mut row = vec![Cell::Text(contestant.to_string()), Cell::Count(f64::from(sockets))];
            match measured {
                Ok(measured) => {
                    row.extend([measured.before, measured.after, measured.per_socket()].map(Cell::Size));
                    of_nchan = (contestant == Contestant::Nchan).then(|| measured.per_socket()).or(of_nchan);
                }
                Err(why) => row.push(Cell::Text(why)),
            }
            rows.push(row);
        }
    }
    report::table(&["", "sockets", "before", "with them", "per socket"], &rows);
    Ok(lines)
}

fn line(sockets: u32, measured: &Memory, of_nchan: Option<f64>) -> Line {
    let own = measured.per_socket();
    Line {
        case: format!("{} idle sockets", Cell::Count(f64::from(sockets))),
        contestant: Contestant::Tocsin.to_string(),
        figures: format!("{} each", Cell::Size(own)),
        reference: of_nchan.map_or("-".to_owned(), |nchan| format!("{}: {}", Contestant::Nchan, Cell::Size(nchan))),
        ratio: of_nchan.map(|nchan| own / nchan),
        aim: AIM,
        met: Some(own <= AIM_BYTES),
    }
}

/// Bytes.
#[derive(Debug)]
struct Memory {
    before: f64,
    after: f64,
    sockets: u32,
}

impl Memory {
    fn per_socket(&self) -> f64 {
        (self.after - self.before) / f64::from(self.sockets)
    }
}

/// With servers of its own. What the server keeps of its channels and subscriptions counts too: `before` is before these
/// were created.
async fn measure(args: &Args, contestant: Contestant, sockets: u32) -> anyhow::Result<Memory> {
    let program = Program::start().await?;
    let measured = measure_with(args, &program, contestant, sockets).await;
    program.stop().await?;
    measured
}

async fn measure_with(args: &Args, program: &Program, contestant: Contestant, sockets: u32) -> anyhow::Result<Memory> {
    let field = Field::prepare(program).await?;
    let case = Case { contestant, audience: Audience::Each { sockets } };
    let (before, entry) = if contestant == Contestant::Tocsin {
        tokio::time::sleep(STARTED).await;
        let before = used_by(&[program.pid().context("the server ended")?])?;
        (before, field.enter(case).await?)
    } else {
        let entry = field.enter(case).await?;
        tokio::time::sleep(STARTED).await;
        (used_by(&processes(&entry)?)?, entry)
    };
    let listener = entry.listen()?.context("somebody listens")?;
    tokio::time::sleep(Duration::from_secs_f64(args.settle)).await;
    let after = match contestant {
        Contestant::Tocsin => used_by(&[program.pid().context("the server ended")?])?,
        _ => used_by(&processes(&entry)?)?,
    };
    listener.stop()?; // fails if one of the sockets was not open to the end
    // Its channels go with its database.
    if let Some(process) = entry.process {
        process.stop().await?;
    }
    Ok(Memory { before, after, sockets })
}

/// A reference's process, and those it has started.
fn processes(entry: &Entry) -> anyhow::Result<Vec<u32>> {
    let pid = entry.process.as_ref().and_then(|process| process.pid()).context("the server ended")?;
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
    let mut all = vec![pid];
    for child in children.split_whitespace() {
        all.push(child.parse()?);
    }
    Ok(all)
}

/// What processes have allocated, in bytes: their own pages, and their share of those they have in common. Pages of the
/// program's file do not count: how many of them have been touched says nothing about sockets.
fn used_by(pids: &[u32]) -> anyhow::Result<f64> {
    let mut bytes = 0.0;
    for pid in pids {
        let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
        let line =
            rollup.lines().find_map(|line| line.strip_prefix("Pss_Anon:")).context("smaps_rollup has a Pss_Anon")?;
        bytes += line.trim().trim_end_matches(" kB").parse::<f64>()? * 1024.0;
    }
    Ok(bytes)
}
