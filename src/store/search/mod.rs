//! Searches for objects and folders of a box (spec/nms 3.8). They go on from a place in the order asked for, never from a count, so
//! that what comes and goes meanwhile neither repeats nor hides anything.

pub mod folders;
mod order;
pub mod rows;

use serde::{Deserialize, Serialize};

use super::Object;
use crate::base::ids::BoxName;
use crate::filter::{Criterion, Filter};

/// Attributes that results are sorted by, at most: the cursor carries a value of each. Further ones are ignored.
pub const SORT_ATTRIBUTES_MAX: usize = 3;

/// A search.
#[derive(Debug, Clone)]
pub struct Search {
    /// In which box.
    pub of: BoxName,
    /// What is looked for; `None`: everything.
    pub filter: Option<Filter>,
    /// For `CreatedObjects`: only what was made after this seq of the box.
    pub created_after: i64,
    /// Where; `None`: in the whole box.
    pub scope: Option<Scope>,
    /// In which order, the most significant first. Without any: the oldest first, and of vanished objects the first to go.
    pub sort: Vec<Sort>,
    /// Results at most, not 0.
    pub max_entries: u32,
    /// Where to go on.
    pub from: Option<Place>,
}

impl Search {
    /// Whether tombstones are looked for instead of what lives.
    pub fn of_vanished(&self) -> bool {
        self.has(&Criterion::VanishedObjects)
    }

    /// Whether the answer tells how far objects have been created.
    pub fn of_created(&self) -> bool {
        self.has(&Criterion::CreatedObjects)
    }

    fn has(&self, criterion: &Criterion) -> bool {
        self.filter.as_ref().is_some_and(|filter| filter.criteria.contains(criterion))
    }
}

/// Part of a box.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Scope {
    /// The folder to start at.
    pub top: Top,
    /// With the folders below.
    pub recursive: bool,
}

/// A folder as a client names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Top {
    /// By its id, 0 is the root folder, from this URL.
    Id(i64, String),
    /// By its path.
    Path(String),
}

/// One criterion of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Sort {
    /// By the time of storing.
    Date {
        /// Oldest first.
        ascending: bool,
    },
    /// By the first value of an attribute, its first hundred letters, by code points; absent is the same as empty.
    Attribute {
        /// The attribute, compared without case.
        name: String,
        /// The lowest first.
        ascending: bool,
    },
}

/// The last result of a batch: its place in the order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The values it is sorted by.
    #[serde(rename = "k", default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
    /// What tells it from others with the same values: a seq.
    #[serde(rename = "s")]
    pub seq: i64,
    /// Of a search for created objects: the box's head when it began.
    #[serde(rename = "h", default, skip_serializing_if = "Option::is_none")]
    pub head: Option<i64>,
}

/// A batch of results.
#[derive(Debug)]
pub struct Found {
    /// In the order asked for.
    pub objects: Vec<Object>,
    /// Where the next batch begins; `None`: that was all.
    pub next: Option<Place>,
    /// Of a search for created objects: the seq after which the next one finds all that this one does not.
    pub created_upto: Option<i64>,
}
