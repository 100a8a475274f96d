//! References to objects and folders (spec/nms 3.7).

use serde_json::{Value, json};

use crate::base::ids::BoxName;
use crate::base::{Error, Result};
use crate::wire::json::Fields;
use crate::wire::urls::{ROOT_FOLDER, Urls};

/// Writes what is in a Reference. The root folder's path is empty: `null`.
pub fn reference(url: &str, path: Option<&str>) -> Value {
    let mut fields = json!({ "resourceURL": url });
    if let Some(path) = path {
        fields["path"] = if path.is_empty() { Value::Null } else { json!(path) };
    }
    fields
}

/// Reads the resourceURLs of a list of references: `name` is `objectReference` or `folderReference`.
pub fn read_references(list: &mut Fields, name: &str) -> Result<Vec<String>> {
    list.list(name)?.iter_mut().map(|one| one.required("resourceURL")).collect()
}

/// A request to copy or move items into a folder (TargetSourceRef), all by their URLs.
#[derive(Debug)]
pub struct TargetSource {
    /// The folder that they shall be in.
    pub target: String,
    /// Folders.
    pub folders: Vec<String>,
    /// Objects.
    pub objects: Vec<String>,
}

/// Reads a `targetSourceRef`. Both lists must be there; together they name at most `most` items.
pub fn read_target_source(mut fields: Fields, most: usize) -> Result<TargetSource> {
    let mut target = fields.fields("targetRef")?.ok_or_else(|| Error::invalid("targetRef"))?;
    let mut sources = fields.fields("sourceRefs")?.ok_or_else(|| Error::invalid("sourceRefs"))?;
    let mut references = |list: &str, name: &str| {
        read_references(&mut sources.fields_or_empty(list)?.ok_or_else(|| Error::invalid(list))?, name)
    };
    let folders = references("folders", "folderReference")?;
    let objects = references("objects", "objectReference")?;
    if folders.len() + objects.len() > most {
        return Err(Error::Policy { rule: format!("a request may name {most} items") });
    }
    Ok(TargetSource { target: target.required("resourceURL")?, folders, objects })
}

/// The id of an object of this box that a URL leads to: [`Error::NotFoundAt`] when it leads elsewhere.
pub fn object_id(of: &BoxName, url: &str) -> Result<i64> {
    Urls::id_in(of, "objects", url)
        .and_then(|id| id.parse().ok())
        .ok_or_else(|| Error::NotFoundAt { url: url.to_owned() })
}

/// The id of a folder of this box that a URL leads to, 0 is the root folder: [`Error::NotFoundAt`] when it leads
/// elsewhere.
pub fn folder_id(of: &BoxName, url: &str) -> Result<i64> {
    Urls::id_in(of, "folders", url).and_then(folder_of).ok_or_else(|| Error::NotFoundAt { url: url.to_owned() })
}

/// The id of the folder that an id in a URL stands for: 0 is the root folder. `None` when no folder can have it.
pub fn folder_of(id: &str) -> Option<i64> {
    if id == ROOT_FOLDER { Some(0) } else { id.parse().ok().filter(|id| *id > 0) }
}
