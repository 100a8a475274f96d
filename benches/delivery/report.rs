//! Figures of a run, medians of runs, and tables.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use hdrhistogram::Histogram;

use crate::contestant::Received;
use crate::writers::Insert;

/// What a run, or the median of several, comes to.
#[derive(Debug, Clone)]
pub struct Figures {
    /// Inserts committed per second.
    pub rate: f64,
    /// INSERT sent to received by the listener: half of them were faster.
    pub p50: Option<Duration>,
    /// Nine of ten.
    pub p90: Option<Duration>,
    /// 99 of 100.
    pub p99: Option<Duration>,
    /// The slowest.
    pub max: Option<Duration>,
    /// From the last commit until the listener had everything.
    pub behind: Option<Duration>,
}

impl Figures {
    /// Of a run; counted is what was sent (for the latency) and committed (for the rate) in the window. Fails unless
    /// the listener got every committed message exactly once, those outside of the window too.
    pub fn of(inserts: &[Insert], received: Option<Vec<Received>>, window: Range<Instant>) -> anyhow::Result<Self> {
        let counted = inserts.iter().filter(|insert| window.contains(&insert.committed)).count();
        let rate = counted as f64 / (window.end - window.start).as_secs_f64();
        let mut figures = Figures { rate, p50: None, p90: None, p99: None, max: None, behind: None };
        let Some(received) = received else { return Ok(figures) };

        ensure!(received.len() == inserts.len(), "{} committed, {} received", inserts.len(), received.len());
        let by_id: HashMap<i64, Instant> = received.iter().map(|received| (received.id, received.at)).collect();
        let mut histogram = Histogram::<u64>::new(3)?;
        for insert in inserts {
            let at = by_id.get(&insert.id).with_context(|| format!("{} was never received", insert.id))?;
            if window.contains(&insert.sent) {
                histogram.record(u64::try_from((*at - insert.sent).as_nanos())?)?;
            }
        }
        let quantile = |q| Some(Duration::from_nanos(histogram.value_at_quantile(q)));
        (figures.p50, figures.p90, figures.p99) = (quantile(0.5), quantile(0.9), quantile(0.99));
        figures.max = Some(Duration::from_nanos(histogram.max()));
        let last_commit = inserts.iter().map(|insert| insert.committed).max();
        let last_received = received.iter().map(|received| received.at).max();
        figures.behind =
            last_received.zip(last_commit).map(|(received, commit)| received.saturating_duration_since(commit));
        Ok(figures)
    }

    /// Each figure's median; of `max`, the largest.
    pub fn medians(runs: &[Figures]) -> Self {
        let times = |of: fn(&Figures) -> Option<Duration>| median(runs.iter().filter_map(of).collect());
        let rates = runs.iter().map(|run| Duration::from_secs_f64(run.rate)).collect();
        Figures {
            rate: median(rates).map_or(0.0, |rate| rate.as_secs_f64()),
            p50: times(|run| run.p50),
            p90: times(|run| run.p90),
            p99: times(|run| run.p99),
            max: runs.iter().filter_map(|run| run.max).max(),
            behind: times(|run| run.behind),
        }
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.0} inserts/s", self.rate)?;
        for (name, time) in [("p50", self.p50), ("p99", self.p99), ("max", self.max), ("behind", self.behind)] {
            if let Some(time) = time {
                write!(f, ", {name} {}", Cell::Time(time))?;
            }
        }
        Ok(())
    }
}

fn median(mut values: Vec<Duration>) -> Option<Duration> {
    values.sort_unstable();
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    Some(if values.len() % 2 == 1 { upper } else { (values[middle - 1] + upper) / 2 })
}

/// What stands in a table.
pub enum Cell {
    /// A name.
    Text(String),
    /// A number, without decimals.
    Count(f64),
    /// How many times as much.
    Ratio(f64),
    /// A time, in milliseconds.
    Time(Duration),
    /// Nothing.
    None,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cell::Text(text) => write!(f, "{text}"),
            Cell::Count(count) => write!(f, "{}", thousands(count.round() as u64)),
            Cell::Ratio(ratio) => write!(f, "{ratio:.2}"),
            Cell::Time(time) => write!(f, "{:.2} ms", time.as_secs_f64() * 1e3),
            Cell::None => write!(f, "-"),
        }
    }
}

fn thousands(number: u64) -> String {
    match number {
        0..1000 => number.to_string(),
        _ => format!("{},{:03}", thousands(number / 1000), number % 1000),
    }
}

/// Prints a Markdown table.
pub fn table(heads: &[&str], rows: &[Vec<Cell>]) {
    println!("| {} |", heads.join(" | "));
    println!("| --- |{}", " ---: |".repeat(heads.len() - 1));
    for row in rows {
        let cells: Vec<String> = row.iter().map(Cell::to_string).collect();
        println!("| {} |", cells.join(" | "));
    }
}
