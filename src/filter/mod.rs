//! A filter as data: which events a subscription wants (spec: SearchCriteria, SearchCriterion). Pure; `memory`
//! decides for one event.

pub mod explain;
pub mod memory;

use serde::{Deserialize, Serialize};

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

/// One criterion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum Criterion {
    /// The object has this value among those of the attribute. Names are compared without case.
    Attribute {
        /// The attribute.
        name: String,
        /// The value.
        value: String,
    },
    /// The object has the flag, or has it not.
    Flag {
        /// The flag, compared without case.
        name: String,
        /// Whether it must be set.
        set: bool,
    },
}

/// A whole filter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// At least one.
    pub criteria: Vec<Criterion>,
    /// How they are put together.
    pub operator: Operator,
}

/// Attributes whose values are compared without case (spec/nms: Message-Context and Direction).
pub fn value_without_case(attribute: &str) -> bool {
    attribute.eq_ignore_ascii_case("Message-Context") || attribute.eq_ignore_ascii_case("Direction")
}
