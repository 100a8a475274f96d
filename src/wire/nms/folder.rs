//! Folders (spec/nms 3.4 and 3.6).

use chrono::SecondsFormat;
use serde_json::{Map, Value, json};

use super::attributes::{read_attributes, write_attributes};
use super::path::{canonical_path, is_folder_name};
use super::reference::{folder_id, reference};
use crate::base::ids::BoxName;
use crate::base::{Error, Result, fold};
use crate::store::folders::{Contents, Counts, Folder, List, Parent};
use crate::wire::json::{Fields, Media};
use crate::wire::urls::Urls;

/// An attribute that is counted anew whenever it is asked for.
#[derive(Debug)]
pub struct CostlyAttribute {
    name: &'static str,
    /// Whether what is below the folder counts too.
    of_tree: bool,
    value: fn(&Counts) -> i64,
}

/// `Size` is among them, though the specification does not list it: it costs what `MsgCount` costs.
const COSTLY: [CostlyAttribute; 6] = [
    CostlyAttribute { name: "MsgCount", of_tree: false, value: |counts| counts.objects },
    CostlyAttribute { name: "UnreadMsgCount", of_tree: false, value: |counts| counts.unread },
    CostlyAttribute { name: "Size", of_tree: false, value: |counts| counts.bytes },
    CostlyAttribute { name: "SubtreeMsgCount", of_tree: true, value: |counts| counts.objects },
    CostlyAttribute { name: "SubtreeUnreadMsgCount", of_tree: true, value: |counts| counts.unread },
    CostlyAttribute { name: "SubtreeSize", of_tree: true, value: |counts| counts.bytes },
];

/// What a `folder` shows beside what it always does.
#[derive(Debug, Default)]
pub struct Shown {
    /// Its path.
    pub path: bool,
    /// The costly ones of its attributes.
    pub costly: Vec<&'static CostlyAttribute>,
}

impl Shown {
    /// By the values of `attrFilter`, which are names of attributes. The other attributes are shown in any case.
    pub fn new<'a>(path: bool, filter: impl Iterator<Item = &'a str>) -> Self {
        let asked: Vec<String> = filter.map(fold).collect();
        Shown { path, costly: COSTLY.iter().filter(|attribute| asked.contains(&fold(attribute.name))).collect() }
    }

    /// Whether what is in the folder must be counted, or (`of_tree`) what is below it too.
    pub fn counts(&self, of_tree: bool) -> bool {
        self.costly.iter().any(|attribute| attribute.of_tree == of_tree)
    }
}

/// A request to create a folder (3.6).
#[derive(Debug)]
pub struct NewFolder {
    /// Where.
    pub parent: Parent,
    /// `None`: the server chooses one.
    pub name: Option<String>,
    /// Without those that are the server's.
    pub attributes: Map<String, Value>,
}

/// Reads a `folder` of this box.
pub fn read_folder(of: &BoxName, mut fields: Fields) -> Result<NewFolder> {
    let (url, path) = (fields.text_not_empty("parentFolder")?, fields.text_or_empty("parentFolderPath")?);
    let parent = match (url, path) {
        (Some(url), None) => Parent::Id(folder_id(of, &url).map_err(|_| Error::invalid("parentFolder"))?),
        (None, Some(path)) => Parent::Path(canonical_path(&path).ok_or_else(|| Error::invalid("parentFolderPath"))?),
        (Some(_), Some(_)) => return Err(Error::invalid("parentFolderPath")), // one of them
        (None, None) => return Err(Error::invalid("parentFolder")),
    };
    let name = fields.text("name")?;
    if name.as_deref().is_some_and(|name| !is_folder_name(name)) {
        return Err(Error::invalid("name"));
    }
    let mut attributes = read_attributes(&mut fields)?;
    attributes.retain(|name, _| !is_ours(name));
    Ok(NewFolder { parent, name, attributes })
}

/// Whether the server says what the attribute is, whatever a client sends.
fn is_ours(name: &str) -> bool {
    let name = fold(name);
    ["root", "name", "date"].contains(&name.as_str()) || COSTLY.iter().any(|attribute| fold(attribute.name) == name)
}

/// Reads a `name` that a folder is to have.
pub fn read_name(media: Media, body: &[u8]) -> Result<String> {
    let name = Fields::read_text(media, body, "name")?;
    if is_folder_name(&name) { Ok(name) } else { Err(Error::invalid("name")) }
}

/// Writes a `name`. That of the root folder is empty.
pub fn name(name: &str) -> Value {
    json!({ "name": if name.is_empty() { Value::Null } else { json!(name) } })
}

/// Writes a `folder` (3.6).
pub fn folder(folder: &Folder, contents: &Contents, shown: &Shown, urls: &Urls) -> Value {
    json!({ "folder": folder_fields(folder, contents, shown, urls) })
}

/// Writes what is in a Folder.
pub(super) fn folder_fields(folder: &Folder, contents: &Contents, shown: &Shown, urls: &Urls) -> Value {
    let mut fields = json!({});
    if folder.id != 0 {
        fields["parentFolder"] = json!(urls.folder(&folder.of, folder.parent));
    }
    fields["attributes"] = write_attributes(&attributes(folder, contents, shown));
    fields["resourceURL"] = json!(urls.folder(&folder.of, folder.id));
    if shown.path {
        fields["path"] = if folder.path.is_empty() { Value::Null } else { json!(folder.path) };
    }
    if folder.id != 0 {
        fields["name"] = json!(folder.name);
    }
    fields["lastModSeq"] = json!(folder.seq);
    if let Some(list) = &contents.list {
        add_list(&mut fields, folder, list, urls);
    }
    fields
}

/// Ours first, which nobody else can set.
fn attributes(folder: &Folder, contents: &Contents, shown: &Shown) -> Map<String, Value> {
    let mut all = Map::new();
    match folder.created_at {
        None => drop(all.insert("Root".to_owned(), json!("Yes"))),
        Some(at) => {
            all.insert("Name".to_owned(), json!(folder.name));
            all.insert("Date".to_owned(), json!(at.to_rfc3339_opts(SecondsFormat::Secs, true)));
        }
    }
    for (name, value) in folder.attributes.iter().filter(|(name, _)| !is_ours(name)) {
        all.insert(name.clone(), value.clone());
    }
    for attribute in &shown.costly {
        let counts = if attribute.of_tree { &contents.tree_counts } else { &contents.counts };
        if let Some(counts) = counts {
            all.insert(attribute.name.to_owned(), json!((attribute.value)(counts).to_string()));
        }
    }
    all
}

fn add_list(fields: &mut Value, folder: &Folder, list: &List, urls: &Urls) {
    if let Some(next) = list.next {
        fields["cursor"] = json!(next.to_string());
    }
    let entry = |url: String, name: &str| reference(&url, Some(&format!("{}/{name}", folder.path)));
    if let Some(subfolders) = &list.subfolders {
        let references = subfolders.iter().map(|(id, name)| entry(urls.folder(&folder.of, *id), name));
        fields["subFolders"] = json!({ "folderReference": references.collect::<Vec<_>>() });
    }
    if let Some(objects) = &list.objects {
        let references = objects.iter().map(|id| entry(urls.object(&folder.of, *id), &id.to_string()));
        fields["objects"] = json!({ "objectReference": references.collect::<Vec<_>>() });
    }
}
