//! The log itself: seq without gaps, edited_at strictly increasing.

use super::super::evidence::Log;
use super::shortened;

pub fn faults(log: &Log) -> Vec<String> {
    let mut faults = Vec::new();
    for (stream, entries) in log {
        for (n, entry) in entries.iter().enumerate() {
            let due = i64::try_from(n).unwrap() + 1;
            if entry.seq != due {
                faults.push(format!("log, {stream}: seq {} where {due} was due", entry.seq));
                break;
            }
        }
        for pair in entries.windows(2) {
            if pair[0].at >= pair[1].at {
                faults.push(format!(
                    "log, {stream}: edited_at does not rise from seq {} ({}) to {} ({})",
                    pair[0].seq, pair[0].at, pair[1].seq, pair[1].at
                ));
                break;
            }
        }
    }
    shortened(faults)
}
