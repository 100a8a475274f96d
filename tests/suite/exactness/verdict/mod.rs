//! Holds the evidence against the promises: pure. Every fault is one text that can be read on its own.

mod log;
mod subscription;
mod tests;
mod writes;

use super::evidence::Evidence;

/// More faults of one kind tell nothing new.
const FAULTS_MAX: usize = 5;

/// What is wrong; empty when every promise was kept.
pub fn judge(evidence: &Evidence) -> Vec<String> {
    let mut faults = log::faults(&evidence.log);
    faults.extend(writes::faults(&evidence.log, &evidence.transactions));
    let all = evidence.subscriptions.iter();
    let of_subscriptions: Vec<String> =
        all.filter_map(|(subscription, seen)| subscription::fault(subscription, &evidence.log, seen)).collect();
    faults.extend(shortened(of_subscriptions));
    faults
}

fn shortened(mut faults: Vec<String>) -> Vec<String> {
    let more = faults.len().saturating_sub(FAULTS_MAX);
    faults.truncate(FAULTS_MAX);
    if more > 0 {
        faults.push(format!("... and {more} more like these"));
    }
    faults
}
