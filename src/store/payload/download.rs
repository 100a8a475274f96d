//! Bytes on their way out of storage, piece by piece as the client reads.

use std::ops::Range;

use bytes::Bytes;
use futures_util::stream::{Stream, try_unfold};

use super::{Stored, rows};
use crate::base::{Error, Result};
use crate::mime::Part;
use crate::mime::encoding::{Decoder, Encoding};
use crate::postgres::Database;

/// What is read: a range of the stored bytes, decoded, and of that a range.
#[derive(Debug, Clone)]
pub struct Content {
    payload: i64,
    /// Of the stored bytes.
    from: u64,
    to: u64,
    encoding: Option<Encoding>,
    /// How many bytes it is, decoded.
    pub size: u64,
}

impl Content {
    /// All of a payload.
    pub fn whole(stored: &Stored) -> Self {
        let size = stored.payload.size;
        Content { payload: stored.id, from: 0, to: size, encoding: None, size }
    }

    /// One part of a payload.
    pub fn part(stored: &Stored, part: &Part) -> Self {
        let to = part.offset.saturating_add(part.length);
        Content { payload: stored.id, from: part.offset, to, encoding: part.encoding, size: part.size }
    }

    /// Reads this range of the content. Fails when the payload goes meanwhile, an hour after the last object that had it.
    pub fn read(self, database: Database, range: Range<u64>) -> impl Stream<Item = Result<Bytes>> + Send {
        let wanted = range.end.min(self.size).saturating_sub(range.start);
        let (from, skip) = match self.encoding {
            None => (self.from.saturating_add(range.start), 0),
            Some(_) => (self.from, range.start),
        };
        let reading = Reading { database, content: self, at: from, decoder: None, skip, wanted };
        try_unfold(reading, Reading::next)
    }
}

struct Reading {
    database: Database,
    content: Content,
    /// The next of the stored bytes.
    at: u64,
    /// Of encoded content, from its beginning on.
    decoder: Option<Decoder>,
    /// Decoded bytes before those that are wanted.
    skip: u64,
    wanted: u64,
}

impl Reading {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>> {
        while self.wanted > 0 {
            let bytes = self.decoded().await?;
            let skipped = bytes.len().min(usize::try_from(self.skip).unwrap_or(usize::MAX));
            self.skip -= skipped as u64;
            let taken = (bytes.len() - skipped).min(usize::try_from(self.wanted).unwrap_or(usize::MAX));
            self.wanted -= taken as u64;
            if taken > 0 {
                return Ok(Some((bytes.slice(skipped..skipped + taken), self)));
            }
        }
        Ok(None)
    }

    /// More of the content.
    async fn decoded(&mut self) -> Result<Bytes> {
        let Some(encoding) = self.content.encoding else { return self.stored().await };
        let mut decoder = self.decoder.take().unwrap_or_else(|| Decoder::new(Some(encoding)));
        let mut out = Vec::new();
        if self.at < self.content.to {
            decoder.decode(&self.stored().await?, &mut out);
        } else {
            decoder.end(&mut out);
            self.wanted = self.wanted.min(out.len().saturating_sub(usize::try_from(self.skip).unwrap_or(0)) as u64);
        }
        self.decoder = Some(decoder);
        Ok(out.into())
    }

    /// More of the stored bytes.
    async fn stored(&mut self) -> Result<Bytes> {
        let (begins, bytes) = rows::chunk(&self.database, self.content.payload, signed(self.at)).await?;
        let within = |at: u64| bytes.len().min(usize::try_from(signed(at) - begins).unwrap_or(0));
        let (from, to) = (within(self.at), within(self.content.to));
        if from >= to {
            return Err(Error::internal(anyhow::anyhow!("payload {} ends early", self.content.payload)));
        }
        self.at += (to - from) as u64;
        Ok(bytes.slice(from..to))
    }
}

/// A place in a payload as the database counts.
fn signed(at: u64) -> i64 {
    i64::try_from(at).unwrap_or(i64::MAX)
}
