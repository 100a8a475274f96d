//! Inserts per second, writers flat out, with one listener.

use crate::Args;
use crate::contestant::{Audience, Case, Contestant};
use crate::field::Field;
use crate::report::{self, Cell, Line};
use crate::rounds::{Pace, figures_of, rounds, told_of};

/// What is aimed at.
const AIM: &str = "at least 2.5 times Socket.IO's";
const AIM_RATIO: f64 = 2.5;

/// Boxes of those that do not care.
const ANY: Audience = Audience::One { boxes: 100 };
const CASES: [Case; 5] = [
    Case { contestant: Contestant::Plain, audience: ANY },
    Case { contestant: Contestant::Notify, audience: ANY },
    Case { contestant: Contestant::SocketIo, audience: ANY },
    Case { contestant: Contestant::Tocsin, audience: Audience::One { boxes: 1 } },
    Case { contestant: Contestant::Tocsin, audience: Audience::One { boxes: 1000 } },
];

/// Runs it.
pub async fn run(args: &Args, field: &Field) -> anyhow::Result<Vec<Line>> {
    say!("\n## Writers flat out\n");
    say!("One INSERT per transaction, each writer on a connection of its own.\n");
    let (mut rows, mut lines) = (Vec::new(), Vec::new());
    for &writers in &args.writers {
        let outcomes = rounds(args, field, &CASES, Pace::FlatOut { writers }).await?;
        let reference = figures_of(&outcomes, Contestant::SocketIo);
        for outcome in &outcomes {
            let mut row = vec![Cell::Text(outcome.case.to_string()), Cell::Count(f64::from(writers))];
            let Ok(figures) = &outcome.figures else {
                row.extend(outcome.figures.as_ref().err().map(|why| Cell::Text(why.clone())));
                rows.push(row);
                continue;
            };
            let ratio = reference.map(|reference| figures.rate / reference.rate);
            row.extend([
                Cell::Count(figures.rate),
                ratio.map_or(Cell::None, Cell::Ratio),
                figures.p50.into(),
                figures.p99.into(),
                figures.behind.into(),
                figures.p50.map_or(Cell::None, |_| Cell::Count(figures.lost as f64)),
            ]);
            rows.push(row);
            if outcome.case.contestant == Contestant::Tocsin {
                lines.push(Line {
                    case: format!("1 listener, {writers} writers flat out"),
                    contestant: outcome.case.to_string(),
                    figures: format!("{} inserts/s", Cell::Count(figures.rate)),
                    reference: told_of(&outcomes, Contestant::SocketIo, |figures| {
                        format!("{} inserts/s", Cell::Count(figures.rate))
                    }),
                    ratio,
                    aim: AIM,
                    met: ratio.map(|ratio| ratio >= AIM_RATIO),
                });
            }
        }
    }
    let heads =
        ["", "writers", "inserts/s", "of Socket.IO's", "INSERT to listener p50", "p99", "all received after", "lost"];
    report::table(&heads, &rows);
    Ok(lines)
}
