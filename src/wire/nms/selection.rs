//! Selection criteria: a search, read (spec/nms 3.8), and the cursors it goes on from.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::criteria::{folder_path, read_criteria};
use super::folder::{Shown, folder_fields};
use super::object::object;
use super::reference::{folder_id, reference};
use crate::base::ids::BoxName;
use crate::base::{Error, Result};
use crate::config::Limits;
use crate::filter::{Criterion, Operator};
use crate::store::folders::Contents;
use crate::store::search::folders::FoundFolders;
use crate::store::search::{Found, Place, SORT_ATTRIBUTES_MAX, Scope, Search, Sort, Top};
use crate::wire::json::Fields;
use crate::wire::urls::Urls;

/// Bytes of a search's fingerprint.
const FINGERPRINT_BYTES: usize = 9;

/// A search as it was asked for.
#[derive(Debug)]
pub struct Selection {
    /// What to look for.
    pub search: Search,
    fingerprint: String,
}

/// Reads a `selectionCriteria` of a search in a box.
pub fn read_selection(of: &BoxName, mut fields: Fields, limits: &Limits) -> Result<Selection> {
    let max_entries = match fields.uint("maxEntries")? {
        Some(0) => return Err(Error::invalid("maxEntries")),
        wish => wish.unwrap_or(limits.search_entries_default).min(limits.search_entries_max),
    };
    let unknown_preset = |name| Error::UnknownPreset { name };
    let criteria = read_criteria(&mut fields, "searchCriteria", unknown_preset)?;
    let mut search = Search {
        of: of.clone(),
        created_after: match criteria.as_ref().and_then(|criteria| criteria.created_after.as_deref()) {
            Some(cursor) => read_creation_cursor(cursor)?,
            None => 0,
        },
        filter: criteria.map(|criteria| criteria.filter),
        scope: read_scope(of, &mut fields)?,
        sort: read_sort(&mut fields)?,
        max_entries,
        from: None,
    };
    check_combination(&search)?;
    let fingerprint = fingerprint(&search);
    search.from = match fields.text_not_empty("fromCursor")? {
        Some(cursor) => Some(read_cursor(&cursor, &fingerprint).ok_or_else(|| Error::invalid("fromCursor"))?),
        None => None,
    };
    Ok(Selection { search, fingerprint })
}

/// Vanished objects are looked for alone; those created since, among others that must hold too.
fn check_combination(search: &Search) -> Result<()> {
    let Some(filter) = &search.filter else { return Ok(()) };
    if search.of_vanished() {
        if filter.criteria.len() > 1 {
            return Err(Error::choice("criterion", "VanishedObjects alone"));
        }
        if filter.operator == Operator::Not {
            return Err(Error::choice("operator", "none with VanishedObjects"));
        }
    }
    let created = filter.criteria.iter().filter(|criterion| **criterion == Criterion::CreatedObjects).count();
    if created > 1 {
        return Err(Error::choice("criterion", "CreatedObjects once"));
    }
    let alone = filter.criteria.len() == 1 && filter.operator != Operator::Not;
    if created == 1 && filter.operator != Operator::And && !alone {
        return Err(Error::choice("operator", "And with CreatedObjects"));
    }
    Ok(())
}

/// Where to look. Without a scope `nonRecursiveScope` is about the root folder.
fn read_scope(of: &BoxName, fields: &mut Fields) -> Result<Option<Scope>> {
    let recursive = !fields.boolean("nonRecursiveScope")?.unwrap_or(false);
    let top = match fields.fields("searchScope")? {
        None if recursive => return Ok(None),
        None => Top::Path(String::new()),
        Some(mut scope) => match (scope.text_not_empty("resourceURL")?, scope.text("path")?) {
            (Some(url), _) => Top::Id(folder_id(of, &url)?, url),
            (None, Some(path)) => Top::Path(folder_path(&path)),
            (None, None) => return Err(Error::invalid("searchScope")),
        },
    };
    Ok(Some(Scope { top, recursive }))
}

/// `sortCriteria` with a list of criteria, or the one `sortCriterion` of older editions.
fn read_sort(fields: &mut Fields) -> Result<Vec<Sort>> {
    let mut criteria = match fields.fields("sortCriteria")? {
        Some(mut sort) => sort.list("criterion")?,
        None => Vec::new(),
    };
    criteria.extend(fields.list("sortCriterion")?);
    let sorts = criteria.into_iter().map(read_sort_criterion).collect::<Result<Vec<_>>>()?;
    Ok(sorts.into_iter().take(SORT_ATTRIBUTES_MAX + 1).collect())
}

fn read_sort_criterion(mut criterion: Fields) -> Result<Sort> {
    let ascending = match criterion.text_not_empty("order")?.as_deref() {
        None | Some("Descending") => false,
        Some("Ascending") => true,
        Some(_) => return Err(Error::choice("order", "Ascending, Descending")),
    };
    match criterion.text_not_empty("type")?.as_deref() {
        Some("Date") => Ok(Sort::Date { ascending }),
        Some("Attribute") => {
            let name = criterion.text_not_empty("name")?.ok_or_else(|| Error::choice("name", "a name"))?;
            Ok(Sort::Attribute { name, ascending })
        }
        _ => Err(Error::choice("type", "Date, Attribute")),
    }
}

/// A cursor on its way to the client and back.
#[derive(Serialize, Deserialize)]
struct Cursor {
    #[serde(rename = "f")]
    fingerprint: String,
    #[serde(flatten)]
    place: Place,
}

/// What a cursor belongs to: the box, what is looked for, where, and in which order.
fn fingerprint(search: &Search) -> String {
    let Search { of, filter, created_after, scope, sort, .. } = search;
    let whole = json!([of.stream().as_str(), filter, created_after, scope, sort]).to_string();
    URL_SAFE_NO_PAD.encode(&Sha256::digest(whole)[..FINGERPRINT_BYTES])
}

fn read_cursor(text: &str, fingerprint: &str) -> Option<Place> {
    let cursor: Cursor = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
    let fine = cursor.fingerprint == fingerprint && !cursor.place.keys.iter().any(|key| key.contains('\0'));
    fine.then_some(cursor.place)
}

fn cursor(fingerprint: &str, place: &Place) -> String {
    let cursor = Cursor { fingerprint: fingerprint.to_owned(), place: place.clone() };
    URL_SAFE_NO_PAD.encode(json!(cursor).to_string())
}

/// A creationCursor is a seq of the box; it says so, lest a client takes it for a number of its own.
fn creation_cursor(seq: i64) -> String {
    URL_SAFE_NO_PAD.encode(format!("created {seq}"))
}

fn read_creation_cursor(text: &str) -> Result<i64> {
    let seq = |text: &str| {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        text.strip_prefix("created ")?.parse::<i64>().ok().filter(|seq| *seq >= 0)
    };
    seq(text).ok_or_else(|| Error::invalid("value"))
}

/// Writes the answer to a search: an `objectList`, of vanished objects an `objectReferenceList`.
pub fn found_objects(asked: &Selection, found: &Found, urls: &Urls) -> Value {
    let next = found.next.as_ref().map(|place| cursor(&asked.fingerprint, place));
    let (root, name) = match asked.search.of_vanished() {
        true => ("objectReferenceList", "objectReference"),
        false => ("objectList", "object"),
    };
    let items: Vec<Value> = found
        .objects
        .iter()
        .map(|one| match asked.search.of_vanished() {
            true => reference(&urls.object(&one.of, one.id), None),
            false => object(one, urls)["object"].take(),
        })
        .collect();
    let mut list = json!({ name: items });
    if let Some(cursor) = next {
        list["cursor"] = json!(cursor);
    }
    if let Some(seq) = found.created_upto {
        list["creationCursor"] = json!(creation_cursor(seq));
    }
    json!({ root: list })
}

/// Refuses a search for folders that asks what only objects can be asked.
pub fn check_for_folders(asked: &Selection) -> Result<()> {
    const TYPES: &str = "Date, Attribute, AllTextAttributes, Flag, WholeWord, PresetSearch, Conversation";
    if asked.search.of_vanished() || asked.search.of_created() {
        return Err(Error::choice("type", TYPES));
    }
    Ok(())
}

/// Writes the answer to a search for folders: a `folderList`.
pub fn found_folders(asked: &Selection, found: FoundFolders, urls: &Urls) -> Value {
    let shown = Shown { path: true, ..Shown::default() };
    let root = found.root.into_iter().map(|(root, list)| (root, Contents { list: Some(list), ..Contents::default() }));
    let others = found.folders.into_iter().map(|folder| (folder, Contents::default()));
    let folders: Vec<Value> =
        root.chain(others).map(|(folder, contents)| folder_fields(&folder, &contents, &shown, urls)).collect();
    let mut list = json!({ "folder": folders });
    if let Some(place) = &found.next {
        list["cursor"] = json!(cursor(&asked.fingerprint, place));
    }
    json!({ "folderList": list })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_to_its_own_search_only() {
        let place = Place { keys: vec!["ä\"".into(), String::new()], seq: 7, head: Some(9) };
        let text = cursor("f", &place);
        assert_eq!(read_cursor(&text, "f"), Some(place));
        assert_eq!(read_cursor(&text, "g"), None);
        let forged = URL_SAFE_NO_PAD.encode(r#"{"f":"f","s":1,"k":["\u0000"]}"#);
        for bad in ["", "x", "c-77", "YQ", &text[1..], &forged] {
            assert_eq!(read_cursor(bad, "f"), None, "{bad}");
        }
        let longest =
            Place { keys: vec!["\u{1}".repeat(100); SORT_ATTRIBUTES_MAX], seq: i64::MAX, head: Some(i64::MAX) };
        assert!(cursor("fingerprint!", &longest).len() < 4096, "a text we read again");
    }

    #[test]
    fn a_creation_cursor_is_told_from_anything_else() {
        assert_eq!(read_creation_cursor(&creation_cursor(70)).unwrap(), 70);
        for bad in ["70", "", "cc-9", &URL_SAFE_NO_PAD.encode("created -1"), &URL_SAFE_NO_PAD.encode("70")] {
            assert!(read_creation_cursor(bad).is_err(), "{bad}");
        }
    }
}
