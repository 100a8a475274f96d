//! What writers know against the log: committed, exactly once; rolled back, not at all; unknown, whole or not at all.

use std::collections::{HashMap, HashSet};

use super::super::evidence::{Log, Outcome, Transaction};
use super::shortened;

pub fn faults(log: &Log, transactions: &[Transaction]) -> Vec<String> {
    let mut found: HashMap<String, Vec<i64>> = HashMap::new();
    for (stream, entries) in log {
        for entry in entries.iter().filter(|entry| entry.is_notified()) {
            found.entry(entry.key(stream)).or_default().push(entry.seq);
        }
    }
    let mut faults = Vec::new();
    let mut claimed = HashSet::new();
    for transaction in transactions {
        let there = |key: &&String| found.contains_key(*key);
        let missing = transaction.writes.iter().find(|key| !there(key));
        match transaction.outcome {
            Outcome::RolledBack => continue,
            Outcome::Committed => {
                if let Some(key) = missing {
                    faults.push(format!("{} committed, but the log has no `{key}`", transaction.name));
                }
            }
            Outcome::Unknown => {
                if let Some((there, missing)) = transaction.writes.iter().find(there).zip(missing) {
                    faults.push(format!("{} is there by half: `{there}`, not `{missing}`", transaction.name));
                }
            }
        }
        claimed.extend(&transaction.writes);
    }
    for (key, seqs) in &found {
        if seqs.len() > 1 {
            faults.push(format!("the log has `{key}` more than once: seq {seqs:?}"));
        }
        if !claimed.contains(key) {
            let by = transactions.iter().find(|t| t.writes.contains(key) || t.undone.contains(key));
            let by = by.map_or("nobody wrote it".to_owned(), |t| format!("{} rolled it back", t.name));
            faults.push(format!("the log has `{key}` as seq {seqs:?}, but {by}"));
        }
    }
    shortened(faults)
}
