//! The bytes of objects: taken and given piece by piece, never as a whole, and stored once however many objects have them.

pub mod download;
mod rows;
pub mod upload;

pub use rows::of_column;

use serde::{Deserialize, Serialize};

use super::rows::object_id;
use crate::base::Result;
use crate::base::ids::BoxName;
use crate::mime::Part;
use crate::postgres::Database;

/// What an object's event says of its payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payload {
    /// SHA-256 of the bytes, in hexadecimal: what they are stored under.
    pub hash: String,
    /// How many bytes it is.
    pub size: u64,
    /// Content-Type with parameters.
    #[serde(rename = "type")]
    pub content_type: String,
    /// Of a multipart payload its first level; of another one a single part, which is the whole.
    #[serde(default)]
    pub parts: Vec<Part>,
    /// Text to search in, not all of it if there is much.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub texts: Vec<String>,
}

/// A payload and where its bytes are.
#[derive(Debug)]
pub struct Stored {
    /// What it is.
    pub payload: Payload,
    /// The id its bytes are under.
    id: i64,
}

/// The payload of a live object. [`crate::base::Error::NotFound`] when there is no such object, or it has none.
pub async fn of_object(database: &Database, of: &BoxName, object: &str) -> Result<Stored> {
    rows::of_object(database, of, object_id(object)?).await
}

/// Looks through all payloads for what nobody has, a bounded number at a time.
pub async fn sweep(database: &Database) -> Result<()> {
    let mut after = Some(0);
    while let Some(id) = after {
        after = rows::sweep(database, id).await?;
    }
    Ok(())
}
