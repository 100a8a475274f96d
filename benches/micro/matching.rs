//! What it costs to find those who may want an event; docs/BENCHMARKS.md says what the same comes to in the whole server.

use std::sync::Arc;

use chrono::DateTime;
use divan::{Bencher, black_box};
use tocsin::base::ids::{ChannelId, Stream};
use tocsin::base::metrics::Metrics;
use tocsin::channel::hub::{Connection, Hub};
use tocsin::filter::index::{Index, Key};
use tocsin::filter::{Criterion, Filter, Operator};
use tocsin::log::tailer::Sink;
use tocsin::log::{Event, Kind};

const FILTERS: [usize; 3] = [1, 1000, 100_000];
const FOLLOWERS: [usize; 3] = [1, 1000, 10_000];
/// As many as a channel may have.
const ON_CHANNEL: usize = 1000;
/// It is what the filters numbered 0 look for.
const DATA: &str = r#"{"flags": ["\\Seen", "f0"], "path": "/main/p0/deep", "attributes": {"To": "tel:+19585550100",
    "From": "tel:+0", "Date": "2026-01-31T12:00:00Z", "Direction": "In", "Message-Context": "pager-message",
    "TextContent": "Shall we meet at the usual place tomorrow at noon? I'll bring the drawings."}}"#;

fn event(stream: &Stream, seq: i64) -> Event {
    Event::new(stream.clone(), seq, Kind::ObjectCreated, Some(seq), DateTime::UNIX_EPOCH, DATA)
}

/// One event among so many filters; `found`: how many are named.
fn candidates(bencher: Bencher, filters: usize, found: usize, criterion: impl Fn(usize) -> Criterion) {
    let mut index = Index::default();
    for number in 0..filters {
        let filter = Filter { criteria: vec![criterion(number)], operator: Operator::And };
        index.insert(&filter.keys(), &number);
    }
    let event = event(&Stream::from_log("default/tel:+19585550100"), 1);
    event.state(); // is read once for each event, whoever wants it
    let count = || {
        let mut count = 0;
        index.candidates(black_box(&event), |_| count += 1);
        count
    };
    assert_eq!(count(), found);
    bencher.bench(count);
}

#[divan::bench(args = FILTERS)]
fn of_an_attribute(bencher: Bencher, filters: usize) {
    let criterion = |number| Criterion::Attribute { name: "From".to_owned(), value: format!("tel:+{number}") };
    candidates(bencher, filters, 1, criterion);
}

#[divan::bench(args = FILTERS)]
fn of_a_flag(bencher: Bencher, filters: usize) {
    candidates(bencher, filters, 1, |number| Criterion::Flag { name: format!("f{number}"), set: true });
}

#[divan::bench(args = FILTERS)]
fn of_a_path(bencher: Bencher, filters: usize) {
    candidates(bencher, filters, 1, |number| Criterion::Path { path: format!("/main/p{number}") });
}

/// Texts are not looked up: each filter is named, and decides by itself.
#[divan::bench(args = FILTERS)]
fn of_a_text(bencher: Bencher, filters: usize) {
    candidates(bencher, filters, filters, |number| Criterion::AllTextAttributes { text: format!("text {number}") });
}

/// A channel whose queue takes whatever comes between two looks at it.
fn connect(hub: &Hub) -> Arc<Connection> {
    hub.connect(ChannelId::random(), "c".to_owned(), usize::MAX)
}

/// One event that `followers` want, each on a channel of its own, while others follow other streams.
fn hand_on(bencher: Bencher, followers: usize, elsewhere: usize) {
    let hub = Hub::new(&Metrics::new());
    let stream = Stream::from_log("default/tel:+19585550100");
    let connections: Vec<_> = (0..followers).map(|_| connect(&hub)).collect();
    for connection in &connections {
        assert!(hub.follow(connection, 0, &stream, vec![Key::Any]));
    }
    for channel in 0..elsewhere / ON_CHANNEL {
        let connection = connect(&hub);
        for slot in 0..ON_CHANNEL {
            let other = Stream::from_log(&format!("default/{}", (channel * ON_CHANNEL + slot) % 10_000));
            assert!(hub.follow(&connection, slot as u32, &other, vec![Key::Any]));
        }
    }
    let mut seq = 0;
    let next = || {
        for connection in &connections {
            drop(connection.take(usize::MAX));
        }
        seq += 1;
        vec![event(&stream, seq)]
    };
    bencher.with_inputs(next).bench_local_values(|batch| assert_eq!(hub.events(batch), 1));
}

#[divan::bench(args = FOLLOWERS)]
fn handed_to_followers(bencher: Bencher, followers: usize) {
    hand_on(bencher, followers, 0);
}

#[divan::bench(args = [0, 100_000])]
fn handed_to_one_with_others_elsewhere(bencher: Bencher, others: usize) {
    hand_on(bencher, 1, others);
}
