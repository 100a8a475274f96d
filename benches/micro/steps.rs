//! Encoding, replaying a page, and a channel's queue.

use std::sync::Arc;

use chrono::DateTime;
use divan::{Bencher, black_box, counter::ItemsCount};
use tocsin::base::Format;
use tocsin::base::ids::{BoxName, ChannelId, Stream, SubscriptionId};
use tocsin::channel::cursor::Cursor;
use tocsin::channel::queue::{Item, Queue};
use tocsin::channel::secret::UrlKey;
use tocsin::delivery::positions::Positions;
use tocsin::log::{Event, Kind};
use tocsin::subscription::Subscription;
use tocsin::wire::nms::{self, EventListShape};
use tocsin::wire::urls::Urls;

const DATA: &str = r#"{"flags": ["\\Seen"], "attributes": {"To": "tel:+19585550100", "Date": "2026-01-31T12:00:00Z",
    "From": "tel:+15550001111", "Direction": "In", "Message-Context": "pager-message",
    "TextContent": "Shall we meet at the usual place tomorrow at noon? I'll bring the drawings."}}"#;
const FORMATS: [Format; 2] = [Format::Json, Format::Xml];
const PAGE: usize = 1000;

fn event(seq: i64) -> Arc<Event> {
    let (stream, at) = (Stream::from_log("default/tel:+19585550100"), DateTime::UNIX_EPOCH);
    Arc::new(Event::new(stream, seq, Kind::ObjectCreated, Some(seq), at, DATA))
}

fn urls() -> Urls {
    Urls::new("https://nms.example".to_owned(), UrlKey::new(vec![1; 32]))
}

fn subscription(format: Format) -> Subscription {
    Subscription {
        id: SubscriptionId::from_text("0198b2c46b0f7e6a8f5d3c2b1a090807"),
        of: BoxName::of(&event(1).stream).expect("a box"),
        channel: ChannelId::from_text("c"),
        notify_url: None,
        callback_data: None,
        format,
        filter: None,
        attributes: false,
        client_correlator: None,
        subscriber: None,
        expires_at: DateTime::UNIX_EPOCH,
        remaining_seconds: 1,
        cursor: Cursor { generation: 1, next_seq: 1, next_at: DateTime::UNIX_EPOCH, next_index: 1, reset: false },
    }
}

/// The `nmsEvent` of one event.
#[divan::bench(args = FORMATS)]
fn body(bencher: Bencher, format: Format) {
    let (event, subscription) = (event(1), subscription(format));
    let url = urls().store_box(&subscription.of);
    bencher.bench(|| nms::event(black_box(&event), &url, format, false));
}

/// The `nmsEventList` around it.
#[divan::bench(args = FORMATS)]
fn list(bencher: Bencher, format: Format) {
    let (shape, event) = (EventListShape::new(&subscription(format), &urls()), event(1));
    let body = shape.body(&event).expect("a body");
    let mut out = String::with_capacity(1 << 12);
    bencher.bench_local(|| {
        out.clear();
        shape.write(&mut out, black_box(body), 123_456, event.edited_at);
        out.len()
    });
}

/// A page of the log becomes frames: bodies encoded, or there already.
#[divan::bench(args = [false, true])]
fn replay(bencher: Bencher, encoded: bool) {
    let urls = Arc::new(urls());
    let page = || (1..=PAGE as i64).map(event).collect::<Vec<_>>();
    let positions = || {
        let mut positions = Positions::new(urls.clone(), 100);
        let slot = positions.take_up(subscription(Format::Json));
        (positions, slot)
    };
    let kept = page();
    let (mut first, slot) = positions();
    first.replay(slot, &kept, true);
    let inputs = bencher
        .counter(ItemsCount::new(PAGE))
        .with_inputs(|| (positions(), if encoded { kept.clone() } else { page() }));
    inputs.bench_values(|((mut positions, slot), page)| {
        positions.replay(slot, &page, true);
        (positions.take_frames(), page)
    });
}

/// Into a channel's queue and out of it.
#[divan::bench]
fn queue(bencher: Bencher) {
    let (mut queue, event) = (Queue::new(256), event(1));
    bencher.counter(ItemsCount::new(128_usize)).bench_local(|| {
        for _ in 0..128 {
            queue.push(Item::Event { slot: 0, event: event.clone(), since: 1 });
        }
        queue.take(128)
    });
}
