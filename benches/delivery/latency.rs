//! Time from INSERT to WebSocket, at a steady rate, with one listener.

use crate::Args;
use crate::contestant::{Audience, Case, Contestant};
use crate::field::Field;
use crate::report::{self, Cell, Figures, Line};
use crate::rounds::{Pace, figures_of, rounds, told_of};

/// What is aimed at.
const AIM: &str = "p50 at most Socket.IO's";

/// Inserts per second of one writer, at most.
const RATE_PER_WRITER: u32 = 250;

const ONE: Audience = Audience::One { boxes: 1 };
const CASES: [Case; 4] = [
    Case { contestant: Contestant::Relay, audience: ONE },
    Case { contestant: Contestant::SocketIo, audience: ONE },
    Case { contestant: Contestant::Tocsin, audience: ONE },
    Case { contestant: Contestant::Tocsin, audience: Audience::One { boxes: 1000 } },
];

/// Runs it.
pub async fn run(args: &Args, field: &Field) -> anyhow::Result<Vec<Line>> {
    say!("\n## Latency, INSERT sent to frame received\n");
    let (mut rows, mut lines) = (Vec::new(), Vec::new());
    for &per_second in &args.rates {
        let writers = per_second.div_ceil(RATE_PER_WRITER).max(1);
        let outcomes = rounds(args, field, &CASES, Pace::Rate { per_second, writers }).await?;
        let reference = figures_of(&outcomes, Contestant::SocketIo).and_then(|figures| figures.p50);
        let of_reference = |figures: &Figures| {
            figures.p50.zip(reference).map(|(own, reference)| own.as_secs_f64() / reference.as_secs_f64())
        };
        for outcome in &outcomes {
            let mut row = vec![Cell::Text(outcome.case.to_string()), Cell::Count(f64::from(per_second))];
            match &outcome.figures {
                Ok(figures) => row.extend([
                    Cell::Count(figures.rate),
                    figures.p50.into(),
                    figures.p90.into(),
                    figures.p99.into(),
                    figures.max.into(),
                    of_reference(figures).map_or(Cell::None, Cell::Ratio),
                    Cell::Count(figures.lost as f64),
                ]),
                Err(why) => row.push(Cell::Text(why.clone())),
            }
            rows.push(row);
            let Ok(own) = &outcome.figures else { continue };
            if outcome.case.contestant == Contestant::Tocsin {
                let ratio = of_reference(own);
                lines.push(Line {
                    case: format!("1 listener, {} inserts/s", Cell::Count(f64::from(per_second))),
                    contestant: outcome.case.to_string(),
                    figures: brief(own),
                    reference: told_of(&outcomes, Contestant::SocketIo, brief),
                    ratio,
                    aim: AIM,
                    met: ratio.map(|ratio| ratio <= 1.0),
                });
            }
        }
    }
    let heads = ["", "asked/s", "inserts/s", "p50", "p90", "p99", "max", "p50 of Socket.IO's", "lost"];
    report::table(&heads, &rows);
    Ok(lines)
}

fn brief(figures: &Figures) -> String {
    format!("p50 {}, p99 {}", Cell::from(figures.p50), Cell::from(figures.p99))
}
