//! One subscription: everything, in order, once but for exact repeats after a reconnect. Only answers to polls can get
//! lost; how many, the client knows.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::super::evidence::{Entry, Log, Seen, Subscription};

/// Lists shown around the first difference.
const SHOWN: usize = 3;

/// The first thing that is wrong with what was seen of a subscription.
pub fn fault(subscription: &Subscription, log: &Log, seen: &[Seen]) -> Option<String> {
    let expected = subscription.expected(log);
    // The list of each index, as it came first; `None`: it never did.
    let mut first: Vec<Option<&Seen>> = Vec::new();
    let mut may_miss = 0;
    let mut on_socket: HashMap<u32, i64> = HashMap::new();
    for (n, list) in seen.iter().enumerate() {
        let wrong = match on_socket.insert(list.socket, list.index) {
            Some(last) if list.index != last + 1 => Some(format!("index {} right after {last}", list.index)),
            _ => {
                pass_over(&mut first, list.index, list.may_miss - may_miss);
                may_miss = list.may_miss;
                new_or_repeat(subscription, &expected, &mut first, list)
            }
        };
        if let Some(wrong) = wrong {
            return Some(report(subscription, &expected, first.len(), &seen[n.saturating_sub(SHOWN)..], &wrong));
        }
    }
    if let Some(entry) = expected.get(first.len()) {
        let wrong = format!("nothing came after index {}; due was seq {} ({})", first.len(), entry.seq, entry.kind);
        return Some(report(subscription, &expected, first.len(), &seen[seen.len().saturating_sub(SHOWN)..], &wrong));
    }
    None
}

/// Lists before this index may be missing, so many at most.
fn pass_over(first: &mut Vec<Option<&Seen>>, index: i64, may_miss: i64) {
    let had = i64::try_from(first.len()).unwrap();
    let missing = index - 1 - had;
    if (1..=may_miss).contains(&missing) {
        first.extend((0..missing).map(|_| None));
    }
}

fn new_or_repeat<'a>(
    subscription: &Subscription,
    expected: &[&Entry],
    first: &mut Vec<Option<&'a Seen>>,
    list: &'a Seen,
) -> Option<String> {
    let place = usize::try_from(list.index - 1).ok();
    match place {
        Some(place) if place < first.len() => match first[place] {
            None => Some(format!("index {} came after it had been lost", list.index)),
            Some(before) if before.list != list.list => {
                Some(format!("index {} came again, changed; first: {}", list.index, before.list))
            }
            Some(_) => None,
        },
        Some(place) if place == first.len() => {
            let due = expected.get(place).map(|entry| expected_list(subscription, entry, list.index));
            first.push(Some(list));
            let came = serde_json::from_str::<Value>(&list.list).ok();
            match due {
                None => Some("nothing more was due".to_owned()),
                Some(due) if came.as_ref() != Some(&due) => Some(format!("due was {due}")),
                Some(_) => None,
            }
        }
        _ => Some(format!("index {} where {} was due", list.index, first.len() + 1)),
    }
}

/// The nmsEventList that tells of an event.
pub fn expected_list(subscription: &Subscription, entry: &Entry, index: i64) -> Value {
    let url = format!("{}/objects/{}", subscription.box_url, entry.object_id.unwrap_or(0));
    let mut fields = json!({ "resourceURL": url, "lastModSeq": entry.seq });
    let name = match entry.kind.as_str() {
        "object.deleted" => "deletedObject",
        "object.expired" => "expiredObject",
        _ => {
            let flags = entry.data.get("flags").cloned().unwrap_or(json!([]));
            fields["parentFolder"] = json!(format!("{}/folders/root", subscription.box_url));
            fields["flags"] = json!({ "flag": flags, "resourceURL": format!("{url}/flags") });
            "changedObject"
        }
    };
    json!({
        "nmsEvent": [{ name: fields }],
        "index": index,
        "restartToken": tocsin::log::event::token(entry.at),
        "link": [{ "rel": "NmsSubscription", "href": subscription.url }],
    })
}

fn report(subscription: &Subscription, expected: &[&Entry], upto: usize, seen: &[Seen], wrong: &str) -> String {
    let mut text = format!("{} ({:?}): {wrong}", subscription.url, subscription.start);
    text += &format!("\n    due {} lists, had {upto} of them; due around:", expected.len());
    for (n, entry) in expected.iter().enumerate().skip(upto.saturating_sub(SHOWN)).take(2 * SHOWN) {
        text += &format!("\n      index {}: seq {} {} {}", n + 1, entry.seq, entry.kind, entry.at);
    }
    text += "\n    seen around:";
    for list in seen.iter().take(2 * SHOWN) {
        text += &format!("\n      socket {}: {}", list.socket, list.list.replace(&subscription.box_url, ""));
    }
    text
}
