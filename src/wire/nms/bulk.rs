//! Operations on many objects (spec/nms 3.12).

use super::flags::read_flags;
use super::reference::read_references;
use crate::base::{Error, Result};
use crate::wire::json::Fields;

/// A request to set or remove flags on many objects.
#[derive(Debug)]
pub struct BulkUpdate {
    /// Which objects.
    pub objects: Vec<String>,
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
pub fn read_bulk_update(mut fields: Fields, references_max: usize) -> Result<BulkUpdate> {
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
    Ok(BulkUpdate { objects: read_objects(&mut fields, references_max)?, flags, operation })
}

/// Reads a `bulkDelete`: which objects.
pub fn read_bulk_delete(mut fields: Fields, references_max: usize) -> Result<Vec<String>> {
    read_objects(&mut fields, references_max)
}

/// Which objects are meant: at least one.
fn read_objects(fields: &mut Fields, references_max: usize) -> Result<Vec<String>> {
    let mut objects = fields.fields("objects")?.ok_or_else(|| Error::invalid("objects"))?;
    let objects = read_references(&mut objects, "objectReference")?;
    match objects.len() {
        0 => Err(Error::invalid("objects")),
        number if number > references_max => {
            Err(Error::Policy { rule: format!("at most {references_max} references at once") })
        }
        _ => Ok(objects),
    }
}
