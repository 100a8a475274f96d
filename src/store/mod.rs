//! What is in the boxes.

pub mod rows;
pub mod search;

use chrono::{DateTime, Utc};

use crate::base::ids::BoxName;
use crate::log::event::ItemState;

/// An object as it is now.
#[derive(Debug)]
pub struct Object {
    /// Its id, unique over all boxes.
    pub id: i64,
    /// The box it is in.
    pub of: BoxName,
    /// Attributes, flags, folder, correlation.
    pub state: ItemState,
    /// Seq of its last change: lastModSeq.
    pub seq: i64,
    /// When it was stored.
    pub created_at: DateTime<Utc>,
}
