//! Operations on many objects (spec/nms 3.12).

use super::flags::read_flags;
use super::reference::read_references;
use super::selection::read_selection;
use crate::base::ids::BoxName;
use crate::base::{Error, Result};
use crate::config::Limits;
use crate::store::search::Search;
use crate::wire::json::Fields;

/// Which objects an operation is about.
#[derive(Debug)]
pub enum Which {
    /// These, by their URLs.
    Referenced(Vec<String>),
    /// Those that a search finds. With a `maxEntries`, the first so many of them; otherwise all.
    Selected {
        /// The search.
        search: Box<Search>,
        /// The client's `maxEntries`.
        first: Option<u32>,
    },
}

/// A request to set or remove flags on many objects.
#[derive(Debug)]
pub struct BulkUpdate {
    /// Which objects.
    pub objects: Which,
    /// Which flags.
    pub flags: Vec<String>,
    /// Whether they are set or removed.
    pub operation: FlagOperation,
}

/// What is done with flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlagOperation {
    /// They are set.
    AddFlag,
    /// They are removed.
    RemoveFlag,
}

/// Reads a `bulkUpdate`.
pub fn read_bulk_update(of: &BoxName, mut fields: Fields, limits: &Limits) -> Result<BulkUpdate> {
    const OPERATIONS: &str = "AddFlag, RemoveFlag";
    let operation = match fields.text_not_empty("operation")?.as_deref() {
        Some("AddFlag") => FlagOperation::AddFlag,
        Some("RemoveFlag") => FlagOperation::RemoveFlag,
        _ => return Err(Error::choice("operation", OPERATIONS)),
    };
    let flags = fields.fields("flags")?.map(read_flags).transpose()?.unwrap_or_default();
    if flags.is_empty() {
        return Err(Error::invalid("flags"));
    }
    Ok(BulkUpdate { objects: read_which(of, &mut fields, limits)?, flags, operation })
}

/// Reads a `bulkDelete`: which objects.
pub fn read_bulk_delete(of: &BoxName, mut fields: Fields, limits: &Limits) -> Result<Which> {
    read_which(of, &mut fields, limits)
}

/// `objects`, at least one, or `selectionCriteria`.
fn read_which(of: &BoxName, fields: &mut Fields, limits: &Limits) -> Result<Which> {
    match (fields.fields("objects")?, fields.fields("selectionCriteria")?) {
        (Some(mut objects), None) => {
            let objects = read_references(&mut objects, "objectReference")?;
            match objects.len() {
                0 => Err(Error::invalid("objects")),
                number if number > limits.references_max => Err(too_many(limits)),
                _ => Ok(Which::Referenced(objects)),
            }
        }
        (None, Some(criteria)) => {
            let first = criteria.clone().uint("maxEntries")?;
            let search = Box::new(read_selection(of, criteria, limits)?.search);
            if search.of_vanished() {
                return Err(Error::choice("type", "any but VanishedObjects"));
            }
            Ok(Which::Selected { search, first })
        }
        _ => Err(Error::invalid("objects")), // one of them
    }
}

/// More objects than one request may be about.
pub fn too_many(limits: &Limits) -> Error {
    Error::Policy { rule: format!("at most {} objects at once", limits.references_max) }
}
