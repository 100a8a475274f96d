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

/// The id of an object of this box that a URL leads to: [`Error::NotFoundAt`] when it leads elsewhere.
pub fn object_id(of: &BoxName, url: &str) -> Result<i64> {
    Urls::id_in(of, "objects", url)
        .and_then(|id| id.parse().ok())
        .ok_or_else(|| Error::NotFoundAt { url: url.to_owned() })
}

/// The id of a folder of this box that a URL leads to, 0 is the root folder: [`Error::NotFoundAt`] when it leads
/// elsewhere.
pub fn folder_id(of: &BoxName, url: &str) -> Result<i64> {
    Urls::id_in(of, "folders", url)
        .and_then(|id| if id == ROOT_FOLDER { Some(0) } else { id.parse().ok().filter(|id| *id != 0) })
        .ok_or_else(|| Error::NotFoundAt { url: url.to_owned() })
}
