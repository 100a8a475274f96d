//! The judge is judged: what is wrong must be seen.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;

use super::super::evidence::{Entry, Evidence, Outcome, Seen, Start, Subscription, Transaction, write_key};
use super::judge;
use super::subscription::expected_list;

const STREAM: &str = "default/b";

fn at(seq: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(seq)
}

fn entry(seq: i64, kind: &str) -> Entry {
    let data = json!({ "attributes": { "TextContent": format!("text {seq}") } });
    Entry { seq, kind: kind.to_owned(), object_id: Some(100 + seq), at: at(seq), data }
}

fn key(seq: i64) -> String {
    write_key(STREAM, &format!("text {seq}"))
}

fn transaction(outcome: Outcome, seqs: &[i64]) -> Transaction {
    Transaction { name: "w".into(), outcome, writes: seqs.iter().map(|seq| key(*seq)).collect(), undone: Vec::new() }
}

fn subscription(start: Start) -> Subscription {
    Subscription {
        url: "http://s/b/subscriptions/1".into(),
        box_url: "http://s/b".into(),
        stream: STREAM.into(),
        start,
    }
}

/// Seq 2 created the subscription; 1, 3, 4, 5 and 6 are notified; the client saw the last four.
fn exact() -> Evidence {
    let kind = |seq| if seq == 2 { "subscription.created" } else { "object.created" };
    let mut evidence = Evidence::default();
    evidence.log.insert(STREAM.to_owned(), (1..=6).map(|seq| entry(seq, kind(seq))).collect());
    evidence.transactions = vec![transaction(Outcome::Committed, &[1, 3]), transaction(Outcome::Committed, &[4, 5, 6])];
    let subscription = subscription(Start::AfterSeq(2));
    let seen = subscription.expected(&evidence.log).into_iter().zip(1..).map(|(entry, index)| Seen {
        socket: 1,
        index,
        list: expected_list(&subscription, entry, index).to_string(),
        may_miss: 0,
    });
    let seen = seen.collect();
    evidence.subscriptions.push((subscription, seen));
    evidence
}

fn seen(evidence: &mut Evidence) -> &mut Vec<Seen> {
    &mut evidence.subscriptions[0].1
}

/// The one fault of this evidence says so.
fn complains(evidence: &Evidence, of: &str) {
    let faults = judge(evidence);
    assert!(faults.len() == 1 && faults[0].contains(of), "{of}: {faults:#?}");
}

#[test]
fn what_is_exact_is_not_complained_of() {
    assert_eq!(judge(&exact()), Vec::<String>::new());
}

#[test]
fn a_repeat_after_a_reconnect_is_no_fault() {
    let mut evidence = exact();
    let again: Vec<Seen> = seen(&mut evidence)[1..3].iter().map(|list| Seen { socket: 2, ..list.clone() }).collect();
    seen(&mut evidence).splice(3..3, again);
    seen(&mut evidence)[5].socket = 2;
    assert_eq!(judge(&evidence), Vec::<String>::new());
}

#[test]
fn a_missing_event_is_seen() {
    let mut evidence = exact();
    seen(&mut evidence).pop();
    complains(&evidence, "nothing came after index 3; due was seq 6");
    // Left out in the middle, with the index hiding it.
    let mut evidence = exact();
    seen(&mut evidence).remove(1);
    let (of, lists) = &mut evidence.subscriptions[0];
    for (list, index) in lists.iter_mut().zip(1..) {
        let seq = if index == 1 { 3 } else { index + 3 };
        list.list = expected_list(of, &entry(seq, "object.created"), index).to_string();
        list.index = index;
    }
    complains(&evidence, "\"lastModSeq\":4");
}

#[test]
fn a_first_event_that_is_missing_is_seen() {
    let mut evidence = exact();
    evidence.subscriptions[0].0.start = Start::AfterToken(at(0));
    complains(&evidence, "\"lastModSeq\":1");
    evidence.subscriptions[0].0.start = Start::AfterToken(at(1));
    assert_eq!(judge(&evidence), Vec::<String>::new());
}

#[test]
fn reordered_events_are_seen() {
    let mut evidence = exact();
    seen(&mut evidence).swap(1, 2);
    complains(&evidence, "index 3 right after 1");
    let mut evidence = exact();
    let (second, third) = (seen(&mut evidence)[1].list.clone(), seen(&mut evidence)[2].list.clone());
    seen(&mut evidence)[1].list = third;
    seen(&mut evidence)[2].list = second;
    complains(&evidence, "due was");
}

#[test]
fn a_gap_of_the_index_is_seen() {
    let mut evidence = exact();
    seen(&mut evidence).remove(1);
    complains(&evidence, "index 3 right after 1");
    // A new socket may go back, not ahead.
    seen(&mut evidence)[1].socket = 2;
    complains(&evidence, "index 3 where 2 was due");
}

#[test]
fn what_an_answer_took_with_it_is_no_fault_but_no_more_than_that() {
    let with = |may_miss| {
        let mut evidence = exact();
        seen(&mut evidence).drain(1..3);
        let last = &mut seen(&mut evidence)[1];
        (last.socket, last.may_miss) = (2, may_miss);
        evidence
    };
    assert_eq!(judge(&with(2)), Vec::<String>::new());
    complains(&with(1), "index 4 where 2 was due");
    let mut evidence = with(2);
    let late = Seen { socket: 3, ..seen(&mut exact())[1].clone() };
    seen(&mut evidence).push(late);
    complains(&evidence, "index 2 came after it had been lost");
    // It is missing for one reason only once.
    let mut evidence = exact();
    seen(&mut evidence).remove(2);
    seen(&mut evidence).remove(0);
    for (list, socket) in seen(&mut evidence).iter_mut().zip(2..) {
        (list.socket, list.may_miss) = (socket, 1);
    }
    complains(&evidence, "index 4 where 3 was due");
}

#[test]
fn a_repeat_without_a_reconnect_is_seen() {
    let mut evidence = exact();
    let again = seen(&mut evidence)[1].clone();
    seen(&mut evidence).insert(2, again);
    complains(&evidence, "index 2 right after 2");
}

#[test]
fn a_changed_repeat_is_seen() {
    let mut evidence = exact();
    let mut again = Seen { socket: 2, ..seen(&mut evidence)[3].clone() };
    again.list = again.list.replace("objects/106", "objects/107");
    seen(&mut evidence).push(again);
    complains(&evidence, "index 4 came again, changed");
}

#[test]
fn what_nobody_wrote_is_seen() {
    let mut evidence = exact();
    let more = Seen { index: 5, ..seen(&mut evidence)[3].clone() };
    seen(&mut evidence).push(more);
    complains(&evidence, "nothing more was due");
}

#[test]
fn a_reset_box_is_seen() {
    let mut evidence = exact();
    seen(&mut evidence)[1].list = r#"{"nmsEvent":[{"resetBox":null}],"index":2}"#.to_owned();
    complains(&evidence, "due was");
}

#[test]
fn a_log_with_a_gap_or_a_step_back_is_seen() {
    let mut evidence = exact();
    evidence.subscriptions.clear();
    evidence.log.get_mut(STREAM).unwrap()[1].at = at(1);
    complains(&evidence, "does not rise from seq 1");
    let mut evidence = exact();
    evidence.subscriptions.clear();
    evidence.log.get_mut(STREAM).unwrap().remove(1);
    complains(&evidence, "seq 3 where 2 was due");
}

#[test]
fn writes_and_the_log_are_compared() {
    let with = |transactions: Vec<Transaction>| Evidence { transactions, ..exact() };
    let committed = |seqs: &[i64]| transaction(Outcome::Committed, seqs);
    complains(&with(vec![committed(&[1, 3, 4, 5, 6, 7])]), "has no `default/b text 7`");
    complains(&with(vec![committed(&[1, 3, 4, 5])]), "nobody wrote it");
    let rolled_back = transaction(Outcome::RolledBack, &[6]);
    complains(&with(vec![committed(&[1, 3, 4, 5]), rolled_back]), "w rolled it back");
    let undone = Transaction { undone: vec![key(6)], ..committed(&[1, 3, 4, 5]) };
    complains(&with(vec![undone]), "w rolled it back");
    let unknown = |seqs: &[i64]| transaction(Outcome::Unknown, seqs);
    complains(&with(vec![committed(&[1, 3, 4, 5]), unknown(&[6, 7])]), "is there by half");
    assert_eq!(judge(&with(vec![committed(&[1, 3, 4]), unknown(&[5, 6]), unknown(&[7])])), Vec::<String>::new());
    let mut twice = exact();
    twice.subscriptions.clear();
    twice.log.get_mut(STREAM).unwrap()[5].data = json!({ "attributes": { "TextContent": "text 5" } });
    twice.transactions = vec![committed(&[1, 3, 4, 5])];
    complains(&twice, "more than once: seq [5, 6]");
}
