//! Which streams the clients of this node follow, told to the database in few bytes, so that the tail need not bring
//! what nobody here wants: pure.
//!
//! Streams fall into places by a hash that Rust and SQL know; a place is set while somebody follows one of its streams.
//! A stream that nobody follows may fall into a place that is set: then it is brought for nothing.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::base::ids::Stream;

/// How many places there are: the first two bytes of a SHA-256 (sql/queries/read_since_snapshot.sql).
const PLACES: usize = 1 << 16;
/// When more of them are set, hardly anything would be left out.
const SET_MAX: usize = PLACES / 4;

/// The places that are set, as the database takes them.
pub type Places = Arc<[u8]>;

/// What is followed.
#[derive(Debug)]
pub struct Interest {
    /// How many follow something in each place.
    followers: Vec<u32>,
    places: Vec<u8>,
    set: usize,
}

impl Default for Interest {
    fn default() -> Self {
        Interest { followers: vec![0; PLACES], places: vec![0; PLACES / 8], set: 0 }
    }
}

fn place(stream: &Stream) -> usize {
    let hash = Sha256::digest(stream.as_str());
    usize::from(hash[0]) << 8 | usize::from(hash[1])
}

/// Whether the stream's place is among these.
pub fn covers(places: &[u8], stream: &Stream) -> bool {
    let place = place(stream);
    places[place / 8] & 1 << (place % 8) != 0
}

impl Interest {
    /// One more follows the stream.
    pub fn add(&mut self, stream: &Stream) {
        let place = place(stream);
        self.followers[place] += 1;
        if self.followers[place] == 1 {
            self.places[place / 8] |= 1 << (place % 8);
            self.set += 1;
        }
    }

    /// One of those who followed it does not any more.
    pub fn remove(&mut self, stream: &Stream) {
        let place = place(stream);
        self.followers[place] -= 1;
        if self.followers[place] == 0 {
            self.places[place / 8] &= !(1 << (place % 8));
            self.set -= 1;
        }
    }

    /// The places that are set, unless they are so many that everything may as well be read.
    pub fn places(&self) -> Option<Places> {
        (self.set <= SET_MAX).then(|| self.places.as_slice().into())
    }
}

/// Whether it is cheaper to leave out what nobody here wants: decided by what was read lately.
#[derive(Debug, Default)]
pub struct Thrift {
    reads: u32,
    read: usize,
    wanted: usize,
    leave_out: bool,
}

/// Events after which it is decided anew.
const DECIDE_EVENTS: usize = 500;
/// While things are left out, one read in so many brings everything, to see whether that is still right.
const LOOK_READS: u32 = 64;

impl Thrift {
    /// Whether the next read may leave out what nobody wants.
    pub fn leave_out(&mut self) -> bool {
        self.reads = self.reads.wrapping_add(1);
        self.leave_out && !self.reads.is_multiple_of(LOOK_READS)
    }

    /// What a read that left nothing out has brought.
    pub fn note(&mut self, read: usize, wanted: usize) {
        self.read += read;
        self.wanted += wanted;
        if self.read >= DECIDE_EVENTS {
            self.leave_out = self.wanted * 2 < self.read;
            (self.read, self.wanted) = (0, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_set_while_somebody_follows() {
        let (one, other) = (Stream::from_log("default/a"), Stream::from_log("default/b"));
        let mut interest = Interest::default();
        interest.add(&one);
        interest.add(&one);
        let places = interest.places().unwrap();
        assert!(covers(&places, &one) && !covers(&places, &other));
        interest.remove(&one);
        assert!(covers(&interest.places().unwrap(), &one));
        interest.remove(&one);
        assert!(interest.places().unwrap().iter().all(|byte| *byte == 0));
    }

    #[test]
    fn with_too_many_places_everything_is_read() {
        let mut interest = Interest::default();
        for n in 0..30_000 {
            interest.add(&Stream::from_log(&format!("default/{n}")));
        }
        assert!(interest.places().is_none());
    }

    #[test]
    fn thrift_begins_when_most_is_unwanted_and_ends_when_it_is_not() {
        let mut thrift = Thrift::default();
        thrift.note(400, 10);
        assert!(!thrift.leave_out(), "too early to say");
        thrift.note(200, 10);
        assert!((0..LOOK_READS).filter(|_| thrift.leave_out()).count() + 1 == LOOK_READS as usize);
        thrift.note(600, 500);
        assert!(!thrift.leave_out());
    }
}
