//! Paths of folders and objects, and names in them (spec/nms 1.1).

use crate::base::ids::ID_CHARS_MAX;
use crate::base::{Error, Result};
use crate::wire::json::Fields;

/// Characters of a path.
const PATH_CHARS_MAX: usize = 1 << 18;

/// A path as we write it: empty for the root folder, otherwise with a slash before each name. `None` for what no item
/// can have.
pub fn canonical_path(path: &str) -> Option<String> {
    let names = path.strip_prefix('/').unwrap_or(path);
    if names.is_empty() {
        return Some(String::new());
    }
    names.split('/').all(is_folder_name).then(|| format!("/{names}"))
}

/// The path of the folder and the id that the path of an object consists of. An id that no object has is 0.
pub fn object_at(path: &str) -> Option<(String, i64)> {
    let path = canonical_path(path)?;
    let (folder, id) = path.rsplit_once('/')?;
    let id = id.parse().ok().filter(|parsed: &i64| parsed.to_string() == id).unwrap_or(0);
    Some((folder.to_owned(), id))
}

/// Whether a folder can have the name: the log has the same rule (`tocsin.check_place`).
pub fn is_folder_name(name: &str) -> bool {
    let chars = name.chars().count();
    (1..=ID_CHARS_MAX).contains(&chars) && !name.contains(|character: char| character == '/' || character.is_control())
}

/// Reads a `pathList`: at least one path, and no more than `most`.
pub fn read_paths(mut fields: Fields, most: usize) -> Result<Vec<String>> {
    let paths = fields.texts("path", PATH_CHARS_MAX)?;
    match paths.len() {
        0 => Err(Error::invalid("path")),
        count if count > most => Err(Error::Policy { rule: format!("a request may have {most} paths") }),
        _ => Ok(paths),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_one_form() {
        for (given, canonical) in
            [("", ""), ("/", ""), ("/main", "/main"), ("main", "/main"), ("/a/ b c/ü", "/a/ b c/ü"), ("..", "/..")]
        {
            assert_eq!(canonical_path(given).as_deref(), Some(canonical), "{given}");
        }
        for bad in ["//", "/main//x", "//main", "/main/", "/a\n", "/a\0/b", &"x".repeat(256)] {
            assert_eq!(canonical_path(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn an_object_is_the_last_part_of_its_path() {
        assert_eq!(object_at("/7"), Some((String::new(), 7)));
        assert_eq!(object_at("main/chat/12"), Some(("/main/chat".to_owned(), 12)));
        for unknown in ["/main/x", "/main/+7", "/main/07", "/9223372036854775808"] {
            assert_eq!(object_at(unknown).map(|(_, id)| id), Some(0), "{unknown}");
        }
        for bad in ["", "/", "/main/", "/main//7"] {
            assert_eq!(object_at(bad), None, "{bad}");
        }
    }
}
