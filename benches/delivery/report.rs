//! Figures of a run, medians of runs, tables, and the summary.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::ensure;
use hdrhistogram::Histogram;

use crate::listener::Received;
use crate::writers::Insert;

/// What a run, or the median of several, comes to.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    /// Inserts committed per second.
    pub rate: f64,
    /// Messages received per second, all listeners together.
    pub deliveries: f64,
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
    /// What never arrived, of all that should have; outside of the window too.
    pub lost: u64,
    /// What arrived once too often, or was never written.
    pub extra: u64,
}

impl Figures {
    /// Of a run before an audience of which so many hear of each message; counted is what was sent (for the latency),
    /// committed (for the rate) and received (for the deliveries) in the window.
    pub fn of(
        inserts: &[Insert],
        received: Option<&[Received]>,
        copies: u32,
        window: Range<Instant>,
    ) -> anyhow::Result<Self> {
        let seconds = (window.end - window.start).as_secs_f64();
        let mut figures = Figures { rate: rate(inserts, &window), ..Figures::default() };
        let Some(received) = received else { return Ok(figures) };

        // Of each message, when it was sent, and how many of its copies are missing.
        let mut sent: HashMap<i64, (Instant, i64)> =
            inserts.iter().map(|insert| (insert.id, (insert.sent, i64::from(copies)))).collect();
        let mut histogram = Histogram::<u64>::new(3)?;
        let mut delivered = 0_u64;
        for one in received {
            delivered += u64::from(window.contains(&one.at));
            let Some((sent, missing)) = sent.get_mut(&one.id) else {
                figures.extra += 1;
                continue;
            };
            *missing -= 1;
            if window.contains(sent) {
                histogram.record(u64::try_from((one.at - *sent).as_nanos())?)?;
            }
        }
        figures.lost = sent.values().filter_map(|(_, missing)| u64::try_from(*missing).ok()).sum();
        figures.extra += sent.values().filter_map(|(_, missing)| u64::try_from(-*missing).ok()).sum::<u64>();
        figures.deliveries = delivered as f64 / seconds;
        let quantile = |q| (!histogram.is_empty()).then(|| Duration::from_nanos(histogram.value_at_quantile(q)));
        (figures.p50, figures.p90, figures.p99) = (quantile(0.5), quantile(0.9), quantile(0.99));
        figures.max = quantile(1.0);
        let last_commit = inserts.iter().map(|insert| insert.committed).max();
        let last_received = received.iter().map(|received| received.at).max();
        figures.behind =
            last_received.zip(last_commit).map(|(received, commit)| received.saturating_duration_since(commit));
        Ok(figures)
    }

    /// Fails unless all listeners got every committed message exactly once.
    pub fn must_be_exact(&self) -> anyhow::Result<()> {
        ensure!(self.lost == 0 && self.extra == 0, "{} lost, {} too many", self.lost, self.extra);
        Ok(())
    }

    /// Each figure's median; of `max`, the largest; of what is lost or too many, the sum.
    pub fn medians(runs: &[Figures]) -> Self {
        let times = |of: fn(&Figures) -> Option<Duration>| median(runs.iter().filter_map(of).collect());
        let rates = |of: fn(&Figures) -> f64| {
            let rates = runs.iter().map(|run| Duration::from_secs_f64(of(run))).collect();
            median(rates).map_or(0.0, |rate| rate.as_secs_f64())
        };
        Figures {
            rate: rates(|run| run.rate),
            deliveries: rates(|run| run.deliveries),
            p50: times(|run| run.p50),
            p90: times(|run| run.p90),
            p99: times(|run| run.p99),
            max: runs.iter().filter_map(|run| run.max).max(),
            behind: times(|run| run.behind),
            lost: runs.iter().map(|run| run.lost).sum(),
            extra: runs.iter().map(|run| run.extra).sum(),
        }
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.0} inserts/s, {:.0} deliveries/s", self.rate, self.deliveries)?;
        for (name, time) in [("p50", self.p50), ("p99", self.p99), ("max", self.max), ("behind", self.behind)] {
            if let Some(time) = time {
                write!(f, ", {name} {}", Cell::Time(time))?;
            }
        }
        if self.lost + self.extra > 0 {
            write!(f, ", {} lost, {} too many", self.lost, self.extra)?;
        }
        Ok(())
    }
}

/// Inserts committed per second of the window.
pub fn rate(inserts: &[Insert], window: &Range<Instant>) -> f64 {
    let counted = inserts.iter().filter(|insert| window.contains(&insert.committed)).count();
    counted as f64 / (window.end - window.start).as_secs_f64()
}

/// The one in the middle.
pub fn median(mut values: Vec<Duration>) -> Option<Duration> {
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
    /// A short one, in microseconds.
    Micros(Duration),
    /// A size, in KB of 1,024 bytes.
    Size(f64),
    /// Nothing.
    None,
}

impl From<Option<Duration>> for Cell {
    fn from(time: Option<Duration>) -> Self {
        time.map_or(Cell::None, Cell::Time)
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cell::Text(text) => write!(f, "{text}"),
            Cell::Count(count) => write!(f, "{}", thousands(count.round() as u64)),
            Cell::Ratio(ratio) => write!(f, "{ratio:.2}"),
            Cell::Time(time) => write!(f, "{:.2} ms", time.as_secs_f64() * 1e3),
            Cell::Micros(time) => write!(f, "{:.0} µs", time.as_secs_f64() * 1e6),
            Cell::Size(bytes) => write!(f, "{:.1} KB", bytes / 1024.0),
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

/// Prints a Markdown table. A row may end early.
pub fn table(heads: &[&str], rows: &[Vec<Cell>]) {
    say!("| {} |", heads.join(" | "));
    say!("| --- |{}", " ---: |".repeat(heads.len() - 1));
    for row in rows {
        let cells = row.iter().map(Cell::to_string).chain(std::iter::repeat("-".to_owned()));
        let cells: Vec<String> = cells.take(heads.len()).collect();
        say!("| {} |", cells.join(" | "));
    }
}

/// A line of the summary: what the server did, beside a reference in the same run.
pub struct Line {
    /// What was done.
    pub case: String,
    /// Who did it.
    pub contestant: String,
    /// How well.
    pub figures: String,
    /// How well the reference did, or why it did not.
    pub reference: String,
    /// The server's figure over the reference's.
    pub ratio: Option<f64>,
    /// What is aimed at.
    pub aim: &'static str,
    /// Whether that is met, if there is enough to tell.
    pub met: Option<bool>,
}

impl Line {
    /// Of a part that failed.
    pub fn failed(part: String) -> Self {
        Line {
            case: part,
            contestant: "-".to_owned(),
            figures: "FAILED, see above".to_owned(),
            reference: "-".to_owned(),
            ratio: None,
            aim: "-",
            met: Some(false),
        }
    }
}

/// Prints the lines of all parts as one table.
pub fn summary(lines: Vec<Line>) {
    say!("\n## Summary\n");
    let met = |met| match met {
        Some(true) => "yes",
        Some(false) => "NO",
        None => "-",
    };
    let rows: Vec<_> = lines
        .into_iter()
        .map(|line| {
            vec![
                Cell::Text(line.case),
                Cell::Text(line.contestant),
                Cell::Text(line.figures),
                Cell::Text(line.reference),
                line.ratio.map_or(Cell::None, Cell::Ratio),
                Cell::Text(line.aim.to_owned()),
                Cell::Text(met(line.met).to_owned()),
            ]
        })
        .collect();
    table(&["case", "contestant", "figures", "reference's", "ratio", "aim", "met"], &rows);
}
