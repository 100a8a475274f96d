//! Bytes on their way into storage. They are nobody's until the transaction that gives them to an object commits; an
//! upload that does not come so far is removed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{Payload, rows};
use crate::base::{Error, Result};
use crate::mime::{Head, Outline, Refused};
use crate::postgres::Database;

/// Bytes of a payload in one row.
const CHUNK_BYTES: usize = 256 << 10;
/// Bytes of a text that becomes an attribute, at most (spec/nms 1.2).
const INLINE_BYTES_MAX: usize = 4096;
/// Pause after the database could not be told.
const RETRY_PAUSE: Duration = Duration::from_millis(500);
/// What is refused when an attachment is.
const PART: &str = "attachments";

/// Takes uploads, and removes those that came to nothing: no more than there were under way here.
#[derive(Debug)]
pub struct Uploads {
    /// Bytes of a payload, at most.
    pub bytes_max: usize,
    /// Parts of a multipart payload, at most.
    pub parts_max: usize,
    abandoned: Mutex<Vec<i64>>,
    more: Notify,
}

impl Uploads {
    /// Takes payloads of so many bytes and parts.
    pub fn new(bytes_max: usize, parts_max: usize) -> Self {
        Uploads { bytes_max, parts_max, abandoned: Mutex::default(), more: Notify::new() }
    }

    /// Removes abandoned uploads until `stop`.
    pub async fn run(&self, database: &Database, stop: CancellationToken) -> anyhow::Result<()> {
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = self.more.notified() => {}
            }
            let abandoned = std::mem::take(&mut *self.abandoned.lock().unwrap_or_else(PoisonError::into_inner));
            if let Err(fault) = rows::discard(database, &abandoned).await {
                warn!("abandoned uploads cannot be removed yet: {fault}");
                abandoned.into_iter().for_each(|id| self.abandon(id));
                sleep(RETRY_PAUSE).await;
            }
        }
    }

    fn abandon(&self, upload: i64) {
        self.abandoned.lock().unwrap_or_else(PoisonError::into_inner).push(upload);
        self.more.notify_one();
    }
}

/// Stands for the rows of an upload. Dropped, it has them removed, unless an object has them.
#[derive(Debug)]
pub struct Claim {
    id: i64,
    uploads: Arc<Uploads>,
    kept: bool,
}

impl Claim {
    /// The id of the upload.
    pub fn id(&self) -> i64 {
        self.id
    }

    /// An object has it.
    pub fn kept(mut self) {
        self.kept = true;
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.kept {
            self.uploads.abandon(self.id);
        }
    }
}

/// A payload whose bytes are coming.
pub struct Upload {
    database: Database,
    uploads: Arc<Uploads>,
    /// From the first bytes that are stored.
    claim: Option<Claim>,
    head: Head,
    outline: Outline,
    hash: Sha256,
    size: usize,
    /// Bytes that are stored.
    stored: i64,
    /// Not stored yet.
    buffer: Vec<u8>,
}

impl Upload {
    /// Begins one that its sender describes so. Nothing is stored yet.
    pub fn new(database: Database, uploads: Arc<Uploads>, head: Head) -> Self {
        let outline = Outline::new(&head, uploads.parts_max);
        Upload {
            database,
            uploads,
            claim: None,
            head,
            outline,
            hash: Sha256::new(),
            size: 0,
            stored: 0,
            buffer: Vec::new(),
        }
    }

    /// Takes more of its bytes. [`Error::TooLarge`] when there are too many, [`Error::Invalid`] when it has too many parts.
    pub async fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        self.size += bytes.len();
        if self.size > self.uploads.bytes_max {
            return Err(Error::TooLarge { part: PART });
        }
        self.hash.update(bytes);
        self.outline.take(bytes).map_err(|Refused| Error::invalid(PART))?;
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(CHUNK_BYTES - self.buffer.len()));
            self.buffer.extend_from_slice(now);
            if self.buffer.len() == CHUNK_BYTES {
                self.flush().await?;
            }
            bytes = later;
        }
        Ok(())
    }

    /// How many bytes have come.
    pub fn size(&self) -> usize {
        self.size
    }

    /// All of it, when it is a text that can stand in an attribute.
    pub fn text(&self) -> Option<&str> {
        let fits = self.size <= INLINE_BYTES_MAX && self.head.is_plain_utf8() && !self.buffer.contains(&0);
        if fits { std::str::from_utf8(&self.buffer).ok() } else { None }
    }

    /// Everything has come: what it is, and its rows, for an object to have.
    pub async fn end(mut self) -> Result<(Payload, Claim)> {
        self.flush().await?;
        let claim = self.claim.take().ok_or_else(|| Error::internal(anyhow::anyhow!("an empty upload")))?;
        let (parts, texts) = self.outline.end().map_err(|Refused| Error::invalid(PART))?;
        let hash = self.hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        let content_type = self.head.content_type().to_owned();
        Ok((Payload { hash, size: self.size as u64, content_type, parts, texts }, claim))
    }

    async fn flush(&mut self) -> Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let id = match &self.claim {
            Some(claim) => claim.id,
            None => {
                let id = rows::begin(&self.database).await?;
                self.claim = Some(Claim { id, uploads: self.uploads.clone(), kept: false });
                id
            }
        };
        rows::append(&self.database, id, self.stored, &self.buffer).await?;
        self.stored += self.buffer.len() as i64;
        self.buffer.clear();
        Ok(())
    }
}
