//! Many boxes, a socket for each, writers flat out.

use std::time::Duration;

use crate::Args;
use crate::contestant::{Audience, Case, Contestant};
use crate::fanout::{brief, cells};
use crate::field::Field;
use crate::report::{self, Cell, Line};
use crate::rounds::{Pace, figures_of, rounds, told_of};

/// What is aimed at.
const AIM: &str = "p50 under 5 ms, nothing lost";
const AIM_P50: Duration = Duration::from_millis(5);
/// How many write.
const WRITERS: u32 = 16;

/// Runs it.
pub async fn run(args: &Args, field: &Field) -> anyhow::Result<Vec<Line>> {
    say!("\n## {} boxes with a socket each, {WRITERS} writers flat out\n", args.sockets);
    let audience = Audience::Each { sockets: args.sockets };
    let cases =
        [Contestant::SocketIo, Contestant::Nchan, Contestant::Tocsin].map(|contestant| Case { contestant, audience });
    let outcomes = rounds(args, field, &cases, Pace::FlatOut { writers: WRITERS }).await?;
    let rows: Vec<_> = outcomes
        .iter()
        .map(|outcome| {
            let mut row = vec![Cell::Text(outcome.case.to_string())];
            row.extend(cells(&outcome.figures));
            row
        })
        .collect();
    report::table(&["", "inserts/s", "deliveries/s", "p50", "p99", "all received after", "lost"], &rows);
    let Some(own) = figures_of(&outcomes, Contestant::Tocsin) else { return Ok(Vec::new()) };
    let line = |reference: Contestant, met| Line {
        case: format!("{} boxes and sockets, {WRITERS} writers", args.sockets),
        contestant: Contestant::Tocsin.to_string(),
        figures: brief(own),
        reference: told_of(&outcomes, reference, brief),
        ratio: figures_of(&outcomes, reference).map(|figures| own.deliveries / figures.deliveries),
        aim: if reference == Contestant::SocketIo { AIM } else { "-" },
        met,
    };
    let met = own.p50.map(|p50| p50 < AIM_P50); // what is lost has failed the run
    Ok(vec![line(Contestant::SocketIo, met), line(Contestant::Nchan, None)])
}
