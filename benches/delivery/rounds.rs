//! The contestants take turns in short runs, round after round, so that whatever else the machine does hits all alike; a
//! figure is the median over the rounds.

use std::fmt;
use std::time::{Duration, Instant};

use crate::Args;
use crate::contestant::{Case, Contestant};
use crate::field::{Entry, Field};
use crate::listener::Listener;
use crate::report::{Figures, rate};
use crate::writers::{self, Insert, Job};

/// What was written has arrived, or is lost, when nothing more has come for so long.
const LOST_AFTER: Duration = Duration::from_secs(10);

/// How a run's inserts are paced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// As fast as it goes.
    FlatOut {
        /// So many at the same time.
        writers: u32,
    },
    /// At scheduled times.
    Rate {
        /// So many, all writers together.
        per_second: u32,
        /// So many, enough that they need not wait for each other.
        writers: u32,
    },
}

impl Pace {
    /// Does a job at this pace.
    pub fn write(self, job: &Job) -> anyhow::Result<Vec<Insert>> {
        match self {
            Pace::FlatOut { writers } => writers::flat_out(job, writers),
            Pace::Rate { per_second, writers } => writers::paced(job, per_second, writers),
        }
    }
}

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pace::FlatOut { writers } => write!(f, "{writers} writers"),
            Pace::Rate { per_second, .. } => write!(f, "{per_second}/s"),
        }
    }
}

/// What a case came to: the medians over the rounds, or why a reference did not run.
pub struct Outcome {
    /// Who, before whom.
    pub case: Case,
    /// How well.
    pub figures: Result<Figures, String>,
}

/// The figures of a contestant that ran.
pub fn figures_of(outcomes: &[Outcome], contestant: Contestant) -> Option<&Figures> {
    let outcome = outcomes.iter().find(|outcome| outcome.case.contestant == contestant)?;
    outcome.figures.as_ref().ok()
}

/// What the summary says of a reference.
pub fn told_of(outcomes: &[Outcome], contestant: Contestant, tell: impl Fn(&Figures) -> String) -> String {
    match outcomes.iter().find(|outcome| outcome.case.contestant == contestant) {
        Some(Outcome { figures: Ok(figures), .. }) => format!("{contestant}: {}", tell(figures)),
        Some(Outcome { figures: Err(why), .. }) => format!("{contestant}: {why}"),
        None => "-".to_owned(),
    }
}

/// Lets those that are wanted take turns; what each came to, in their order. A fault of a reference is its outcome, a
/// fault of anybody else's ends the part.
pub async fn rounds(args: &Args, field: &Field, cases: &[Case], pace: Pace) -> anyhow::Result<Vec<Outcome>> {
    let cases: Vec<Case> = cases.iter().filter(|case| args.wants(case.contestant)).copied().collect();
    let mut runs: Vec<Result<Vec<Figures>, String>> = vec![Ok(Vec::new()); cases.len()];
    for round in 0..usize::from(args.rounds) {
        for turn in 0..cases.len() {
            let who = (turn + round) % cases.len(); // nobody always comes after the same one
            let Ok(figures) = &mut runs[who] else { continue };
            match run_once(args, field, cases[who], pace).await {
                Ok(run) => {
                    note!("round {}: {}, {pace}: {run}", round + 1, cases[who]);
                    figures.push(run);
                }
                Err(fault) if cases[who].contestant.is_foreign() => {
                    note!("round {}: {}, {pace}: {fault:#}", round + 1, cases[who]);
                    runs[who] = Err(format!("{fault:#}"));
                }
                Err(fault) => return Err(fault.context(format!("{}, {pace}", cases[who]))),
            }
        }
    }
    let outcome = |(case, runs): (Case, Result<Vec<Figures>, String>)| Outcome {
        case,
        figures: runs.map(|runs| Figures::medians(&runs)),
    };
    Ok(cases.into_iter().zip(runs).map(outcome).collect())
}

async fn run_once(args: &Args, field: &Field, case: Case, pace: Pace) -> anyhow::Result<Figures> {
    run_entered(args, field, field.enter(case).await?, pace).await
}

/// Lets a contestant run that is ready for its audience, and ends what was made for it.
pub async fn run_entered(args: &Args, field: &Field, entry: Entry, pace: Pace) -> anyhow::Result<Figures> {
    let listener = entry.listen()?;
    field.settle().await?;
    let from = Instant::now() + writers::CONNECTING + Duration::from_secs_f64(args.warm_up);
    let until = from + Duration::from_secs_f64(args.seconds);
    let boxes = [entry.boxes.as_slice(), &entry.unheard].concat();
    let job = Job { target: entry.target.clone(), boxes, until };
    let writing = tokio::task::spawn_blocking(move || pace.write(&job));
    let inserts = writing.await??;
    let heard: Vec<_> = inserts.iter().filter(|insert| insert.to < entry.boxes.len()).copied().collect();
    let (case, copies) = (entry.case, entry.case.audience.copies());
    let received = match listener {
        Some(listener) => {
            wait_for(&listener, heard.len() * copies as usize).await;
            Some(listener.stop()?)
        }
        None => None,
    };
    field.leave(entry).await?;
    let mut figures = Figures::of(&heard, received.as_deref(), copies, from..until)?;
    figures.rate = rate(&inserts, &(from..until));
    if !case.contestant.is_foreign() {
        figures.must_be_exact()?;
    }
    Ok(figures)
}

/// Waits until so much has arrived, or nothing more comes.
pub async fn wait_for(listener: &Listener, expected: usize) {
    let (mut count, mut since) = (listener.count(), Instant::now());
    while listener.count() < expected && since.elapsed() < LOST_AFTER && !listener.has_ended() {
        tokio::time::sleep(Duration::from_millis(5)).await;
        if listener.count() > count {
            (count, since) = (listener.count(), Instant::now());
        }
    }
    tokio::time::sleep(Duration::from_millis(100)).await; // whatever comes once too often
}
