//! One box that many hear of: messages received per second, and how long each took.

use std::time::Duration;

use crate::Args;
use crate::contestant::{Audience, Case, Contestant};
use crate::field::Field;
use crate::report::{self, Cell, Figures, Line};
use crate::rounds::{Pace, figures_of, rounds, told_of};

/// What is aimed at, at the rate of [`AIM_RATE`].
const AIM: &str = "at least Nchan's deliveries/s, p50 under 5 ms, nothing lost";
const AIM_RATE: u32 = 200;
const AIM_P50: Duration = Duration::from_millis(5);
/// Nobody can deliver more than is written: with less than that between them, two contestants are equal.
const EQUAL: f64 = 0.995;
/// Whoever publishes to Nchan waits until it has fanned out, so that one writer alone would set the rate.
const WRITERS: u32 = 4;

/// Runs it.
pub async fn run(args: &Args, field: &Field) -> anyhow::Result<Vec<Line>> {
    say!("\n## One box, {} sockets\n", args.sockets);
    let audience = Audience::Shared { sockets: args.sockets };
    let cases =
        [Contestant::SocketIo, Contestant::Nchan, Contestant::Tocsin].map(|contestant| Case { contestant, audience });
    let (mut rows, mut lines) = (Vec::new(), Vec::new());
    for &per_second in &args.fanout_rates {
        let outcomes = rounds(args, field, &cases, Pace::Rate { per_second, writers: WRITERS }).await?;
        for outcome in &outcomes {
            let mut row = vec![Cell::Text(outcome.case.to_string()), Cell::Count(f64::from(per_second))];
            row.extend(cells(&outcome.figures));
            rows.push(row);
        }
        let Some(own) = figures_of(&outcomes, Contestant::Tocsin) else { continue };
        let ratio = figures_of(&outcomes, Contestant::Nchan).map(|nchan| own.deliveries / nchan.deliveries);
        let aimed = per_second == AIM_RATE;
        lines.push(Line {
            case: format!("1 box, {} sockets, {per_second}/s", args.sockets),
            contestant: Contestant::Tocsin.to_string(),
            figures: brief(own),
            reference: told_of(&outcomes, Contestant::Nchan, brief),
            ratio,
            aim: if aimed { AIM } else { "-" },
            met: ratio.filter(|_| aimed).map(|ratio| ratio >= EQUAL && own.p50.is_some_and(|p50| p50 < AIM_P50)),
        });
    }
    report::table(&["", "asked/s", "inserts/s", "deliveries/s", "p50", "p99", "all received after", "lost"], &rows);
    Ok(lines)
}

/// The cells of a row, or why there are none.
pub fn cells(figures: &Result<Figures, String>) -> Vec<Cell> {
    match figures {
        Ok(figures) => vec![
            Cell::Count(figures.rate),
            Cell::Count(figures.deliveries),
            figures.p50.into(),
            figures.p99.into(),
            figures.behind.into(),
            Cell::Count(figures.lost as f64),
        ],
        Err(why) => vec![Cell::Text(why.clone())],
    }
}

/// What the summary says.
pub fn brief(figures: &Figures) -> String {
    let lost = if figures.lost > 0 { format!(", {} lost", Cell::Count(figures.lost as f64)) } else { String::new() };
    format!("{}/s, p50 {}{lost}", Cell::Count(figures.deliveries), Cell::from(figures.p50))
}
