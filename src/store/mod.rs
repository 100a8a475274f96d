//! What is in the boxes.

pub mod folders;
pub mod moves;
pub mod payload;
pub mod rows;
pub mod search;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use tracing::debug;

use crate::base::fold;
use crate::base::ids::BoxName;
use crate::log::event::ItemState;
use payload::Payload;

/// An object as it is now.
#[derive(Debug)]
pub struct Object {
    /// Its id, unique over all boxes.
    pub id: i64,
    /// The box it is in.
    pub of: BoxName,
    /// Attributes, flags, folder, correlation.
    pub state: ItemState,
    /// Its bytes, if it has any.
    pub payload: Option<Payload>,
    /// Seq of its last change: lastModSeq.
    pub seq: i64,
    /// When it was stored.
    pub created_at: DateTime<Utc>,
}

/// Says, in its span, what a request has written to a box: from here the item is followed to the frames that tell of it
/// (`tailed`, `matched`, `sent`).
fn written(of: &BoxName, id: i64) {
    debug!(stream = of.stream().as_str(), object = id, "written");
}

/// Where a new object is to be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Place {
    /// Wherever we like, which is the root folder.
    #[default]
    Anywhere,
    /// In this folder, 0 is the root folder.
    Folder(i64),
    /// In the folder at this path, which is made if it is not there.
    Path(String),
}

/// An object to be created.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NewObject {
    /// Where.
    pub place: Place,
    /// Name to value or array of values; no two names that differ by case only.
    pub attributes: Map<String, Value>,
    /// Its flags.
    pub flags: Vec<String>,
    /// Echoed.
    pub correlation_id: Option<String>,
    /// Echoed.
    pub correlation_tag: Option<String>,
}

impl NewObject {
    /// Whether it has an attribute of this name, whatever its case.
    pub fn has(&self, name: &str) -> bool {
        self.attributes.keys().any(|one| fold(one) == fold(name))
    }
}

/// An object that was created.
#[derive(Debug)]
pub struct Created {
    /// Its id.
    pub id: i64,
    /// The path of its folder, empty for the root folder.
    pub folder_path: String,
}
