//! A filter as data: what a search looks for, and which events a subscription wants (spec/nms 3.9, 4.6). Pure. There
//! are two who decide by it: `memory` for one event as it passes, and the database by the predicate that `sql` writes.
//! They agree on every item (tests/suite/nms/backends.rs).

mod explain;
pub mod index;
mod memory;
pub mod sql;
mod words;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::base::fold;

/// How criteria are put together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operator {
    /// All of them.
    #[default]
    And,
    /// At least one.
    Or,
    /// Not all of them.
    Not,
}

/// One criterion, about an item: an object or a folder. An attribute's values are its texts, numbers and booleans; a
/// folder has its name as the attribute `Name`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum Criterion {
    /// The item has this value among those of the attribute. Names are compared without case.
    Attribute {
        /// The attribute.
        name: String,
        /// The value.
        value: String,
    },
    /// The object has the flag, or has it not. Never a folder.
    Flag {
        /// The flag, compared without case.
        name: String,
        /// Whether it must be set.
        set: bool,
    },
    /// It was stored within this time, to the microsecond.
    Date {
        /// Then or later.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        min: Option<DateTime<Utc>>,
        /// Earlier.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max: Option<DateTime<Utc>>,
    },
    /// The text occurs, without case, in a value of an attribute that holds text.
    AllTextAttributes {
        /// Not empty.
        text: String,
    },
    /// The text occurs, without case, as a word of its own in an attribute that holds text, or in a text of the payload.
    WholeWord {
        /// Not empty.
        word: String,
    },
    /// An object that was deleted or has expired.
    VanishedObjects,
    /// Of a subscription: an object made after it began to listen. Of a search: one made after the creationCursor.
    CreatedObjects,
    /// The preset `path`: it lies in the folder of this path or below; of folders, that one too.
    Path {
        /// `/main/sent`; empty for the root folder, in which everything lies.
        path: String,
    },
    /// The preset `UPOneDotO`.
    Everything,
}

/// A whole filter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// At least one.
    pub criteria: Vec<Criterion>,
    /// How they are put together.
    pub operator: Operator,
}

/// Attributes whose values are compared without case: Message-Context and Direction.
pub fn value_without_case(attribute: &str) -> bool {
    attribute.eq_ignore_ascii_case("Message-Context") || attribute.eq_ignore_ascii_case("Direction")
}

/// The attributes, folded, that hold ids, tokens and dates: searches for texts leave them out.
/// `tocsin.is_text_attribute` knows the same (tests/suite/nms/backends.rs).
pub const NOT_TEXT: [&str; 21] = [
    "date",
    "direction",
    "message-context",
    "content-type",
    "content-location",
    "content-duration",
    "mime-version",
    "multipartcontenttype",
    "message-id",
    "conversation-id",
    "contribution-id",
    "inreplyto-contribution-id",
    "clientcorrelator",
    "dispositionoriginalmessageid",
    "dispositiontype",
    "dispositionstatus",
    "reportrequested",
    "udh",
    "is-cpm-group",
    "is-open-group",
    "event-kind",
];

/// Whether searches for texts look into an attribute.
pub fn is_text_attribute(name: &str) -> bool {
    !NOT_TEXT.contains(&fold(name).as_str())
}

/// The attributes, folded, that have so few values that an index of them would help nobody.
/// `tocsin.is_telling_attribute` knows the same (tests/suite/nms/backends.rs).
pub const NOT_TELLING: [&str; 7] =
    ["direction", "message-context", "content-type", "mime-version", "multipartcontenttype", "udh", "event-kind"];
