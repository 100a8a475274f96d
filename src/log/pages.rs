//! Reading streams from the log in pages, which all sessions of the node share. When thousands of clients return at
//! once to the same box, each page is read and decoded once, and each body is encoded once.
//!
//! What is kept are ranges of events, since committed events never change: a range stays true as long as the history does
//! that it was read from, so a new connection of the tail forgets them all ([`Pages::forget`]). Whether anything follows a
//! range is another matter: that is known only to the one who began to read it, and only at that time.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use futures_util::future::{BoxFuture, FutureExt, Shared, WeakShared};
use tokio::sync::Semaphore;

use super::event::Event;
use super::rows;
use crate::base::ids::Stream;
use crate::base::{Error, Result};
use crate::lifecycle::Attendant;
use crate::postgres::Database;

/// Events of a page.
pub const PAGE_EVENTS: i64 = 1000;
/// A page ends when the data of its events has so many bytes, however few they are.
const PAGE_BYTES_MAX: usize = 512 * 1024;
/// Events handed over at once: between portions other tasks have their turn.
const PORTION_EVENTS: usize = 250;
/// What an event takes besides its data: itself, and its body in a format.
const EVENT_BYTES: usize = 768;
/// Pages read at the same time. More would not be faster, and the pool is there for others too.
const READS_MAX: usize = 8;

/// Events of one stream that follow each other. At least one.
#[derive(Debug)]
struct Range {
    events: Vec<Arc<Event>>,
    bytes: usize,
}

impl Range {
    fn of(events: Vec<Arc<Event>>) -> Self {
        let bytes = events.iter().map(|event| event.data_bytes() + EVENT_BYTES).sum();
        Range { events, bytes }
    }

    /// The seq after its last one.
    fn end(&self) -> i64 {
        self.events.last().map_or(0, |event| event.seq + 1)
    }
}

/// What a read came to: the events, and whether nothing followed them when it began.
type Outcome = Result<(Arc<Range>, bool), Arc<Error>>;
/// A read under way, for all who wait for it: whoever still does drives it.
type Flight = Shared<BoxFuture<'static, Outcome>>;

/// The pages that a node keeps, and those that it reads at present.
pub struct Pages {
    database: Database,
    bytes_max: usize,
    reads: Semaphore,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    kept: HashMap<Stream, BTreeMap<i64, Kept>>,
    /// When each was used last, the oldest first.
    used: BTreeMap<u64, (Stream, i64)>,
    uses: u64,
    bytes: usize,
    flights: HashMap<(Stream, i64), WeakShared<BoxFuture<'static, Outcome>>>,
    /// Which history they belong to.
    history: u64,
}

struct Kept {
    range: Arc<Range>,
    used: u64,
}

impl Pages {
    /// Keeps up to `bytes_max` bytes of events.
    pub fn new(database: Database, bytes_max: usize) -> Self {
        Pages { database, bytes_max, reads: Semaphore::new(READS_MAX), state: Mutex::default() }
    }

    /// The log may be another one from here on: forgets everything, what is being read too.
    pub fn forget(&self) {
        let mut state = lock(&self.state);
        *state = State { history: state.history + 1, ..State::default() };
    }

    /// What is known from `seq` on, or a read of it that is under way or that begins now (then `true`: it sees everything
    /// that was committed before).
    fn find(
        self: &Arc<Self>,
        stream: &Stream,
        seq: i64,
        after: DateTime<Utc>,
        most: i64,
    ) -> Result<Arc<Range>, (Flight, bool)> {
        let mut state = lock(&self.state);
        if let Some(range) = state.kept(stream, seq) {
            return Ok(range);
        }
        let place = (stream.clone(), seq);
        if let Some(flight) = state.flights.get(&place).and_then(WeakShared::upgrade) {
            return Err((flight, false));
        }
        // Up to where something is kept already.
        let next = state.kept.get(stream).and_then(|ranges| ranges.range(seq..).next());
        let most = next.map_or(most, |(first, _)| most.min(first - seq));
        let reading = Reading { pages: self.clone(), place: place.clone(), history: state.history };
        let flight = async move { reading.read(after, most).await.map_err(Arc::new) }.boxed().shared();
        state.flights.extend(flight.downgrade().map(|flight| (place, flight)));
        Err((flight, true))
    }
}

/// A read of a page that others can join until it is dropped.
struct Reading {
    pages: Arc<Pages>,
    place: (Stream, i64),
    history: u64,
}

impl Reading {
    async fn read(self, after: DateTime<Utc>, most: i64) -> Result<(Arc<Range>, bool)> {
        let (pages, (stream, seq)) = (&self.pages, &self.place);
        let _turn = pages.reads.acquire().await.map_err(Error::internal)?;
        let (events, all) = rows::read_stream(&pages.database, stream, *seq, after, most, PAGE_BYTES_MAX).await?;
        let range = Arc::new(Range::of(events));
        let mut state = lock(&pages.state);
        if state.history == self.history {
            state.keep(stream.clone(), range.clone(), pages.bytes_max);
        }
        drop(state);
        Ok((range, all))
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        let mut state = lock(&self.pages.state);
        if state.history == self.history {
            state.flights.remove(&self.place);
        }
    }
}

impl State {
    /// The kept range that has the event.
    fn kept(&mut self, stream: &Stream, seq: i64) -> Option<Arc<Range>> {
        let (first, kept) = self.kept.get_mut(stream)?.range_mut(..=seq).next_back()?;
        if kept.range.end() <= seq {
            return None;
        }
        self.uses += 1;
        let place = self.used.remove(&std::mem::replace(&mut kept.used, self.uses));
        self.used.insert(self.uses, place.unwrap_or_else(|| (stream.clone(), *first)));
        Some(kept.range.clone())
    }

    fn keep(&mut self, stream: Stream, range: Arc<Range>, bytes_max: usize) {
        let Some(first) = range.events.first().map(|event| event.seq) else { return };
        self.uses += 1;
        self.bytes += range.bytes;
        self.used.insert(self.uses, (stream.clone(), first));
        let kept = Kept { range, used: self.uses };
        if let Some(before) = self.kept.entry(stream).or_default().insert(first, kept) {
            self.bytes -= before.range.bytes;
            self.used.remove(&before.used);
        }
        while self.bytes > bytes_max
            && let Some((_, (stream, first))) = self.used.pop_first()
        {
            self.drop_range(&stream, first);
        }
    }

    fn drop_range(&mut self, stream: &Stream, first: i64) {
        let Some(ranges) = self.kept.get_mut(stream) else { return };
        if let Some(kept) = ranges.remove(&first) {
            self.bytes -= kept.range.bytes;
        }
        if ranges.is_empty() {
            self.kept.remove(stream);
        }
    }
}

/// Some events of a stream, from where they were asked for.
pub struct Portion {
    range: Arc<Range>,
    from: usize,
    to: usize,
    /// Nothing followed them in the log, at a time after they were asked for.
    pub last: bool,
}

impl Portion {
    /// The events, in order.
    pub fn events(&self) -> &[Arc<Event>] {
        self.range.events.get(self.from..self.to).unwrap_or_default()
    }
}

/// One session's reading: the page it has in hand, and the one that is read ahead meanwhile.
pub struct Reader {
    pages: Arc<Pages>,
    most: i64,
    hand: Option<InHand>,
    ahead: Option<Ahead>,
}

struct InHand {
    stream: Stream,
    range: Arc<Range>,
    all: bool,
}

/// A page that is read by a task of its own.
struct Ahead {
    stream: Stream,
    seq: i64,
    flight: Flight,
    own: bool,
    _reading: Attendant,
}

impl Reader {
    /// Reads pages of `most` events.
    pub fn new(pages: Arc<Pages>, most: i64) -> Self {
        Reader { pages, most, hand: None, ahead: None }
    }

    /// Forgets what it has read: what it says of the log's end is no longer to be relied on.
    pub fn forget(&mut self) {
        (self.hand, self.ahead) = (None, None);
    }

    /// Some events of a stream from `seq` on, which are later than `after`; of a page, one portion after the other. When it comes to the page's end and
    /// the stream goes on up to `until`, the next page is read ahead.
    pub async fn read(
        &mut self,
        stream: &Stream,
        seq: i64,
        after: DateTime<Utc>,
        until: i64,
    ) -> Result<Portion, Arc<Error>> {
        let hand = match self.hand.take().filter(|hand| hand.has(stream, seq)) {
            Some(hand) => hand,
            None => self.turn_to(stream, seq, after, until).await?,
        };
        let events = &hand.range.events;
        let from = events.partition_point(|event| event.seq < seq);
        let to = (from + PORTION_EVENTS).min(events.len());
        let portion = Portion { range: hand.range.clone(), from, to, last: hand.all && to == events.len() };
        if to < events.len() {
            self.hand = Some(hand);
        }
        Ok(portion)
    }

    /// The page from `seq` on, and begins to read the one after it.
    async fn turn_to(
        &mut self,
        stream: &Stream,
        seq: i64,
        after: DateTime<Utc>,
        until: i64,
    ) -> Result<InHand, Arc<Error>> {
        let ahead = self.ahead.take().filter(|ahead| ahead.stream == *stream && ahead.seq == seq);
        let (range, all) = match ahead {
            Some(ahead) => {
                let (range, all) = ahead.flight.clone().await?;
                (range, all && ahead.own)
            }
            None => match self.pages.find(stream, seq, after, self.most) {
                Ok(range) => (range, false),
                Err((flight, own)) => {
                    let (range, all) = flight.await?;
                    (range, all && own)
                }
            },
        };
        let next = range.end();
        if self.most == PAGE_EVENTS && !all && seq < next && next <= until {
            let after = range.events.last().map_or(after, |event| event.edited_at);
            self.read_ahead(stream, next, after);
        }
        Ok(InHand { stream: stream.clone(), range, all })
    }

    fn read_ahead(&mut self, stream: &Stream, seq: i64, after: DateTime<Utc>) {
        if let Err((flight, own)) = self.pages.find(stream, seq, after, self.most) {
            let reading = Attendant::spawn(flight.clone().map(drop));
            self.ahead = Some(Ahead { stream: stream.clone(), seq, flight, own, _reading: reading });
        }
    }
}

impl InHand {
    fn has(&self, stream: &Stream, seq: i64) -> bool {
        let first = self.range.events.first().map_or(i64::MAX, |event| event.seq);
        self.stream == *stream && (first..self.range.end()).contains(&seq)
    }
}

/// A panic elsewhere leaves it whole: no change to it can be seen half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
