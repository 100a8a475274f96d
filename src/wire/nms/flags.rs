//! Flags (spec/nms 3.3).

use serde_json::{Value, json};

use crate::base::ids::BoxName;
use crate::base::{Error, Result};
use crate::wire::json::Fields;
use crate::wire::urls::Urls;

/// Flags in one request, at most.
const FLAGS_MAX: usize = 100;
/// Longest name of a flag, in characters.
const FLAG_CHARS_MAX: usize = 255;

/// Writes a `flagList`: the flags of an object.
pub fn flag_list(flags: &[String], of: &BoxName, object: i64, urls: &Urls) -> Value {
    json!({ "flagList": flags_of(flags, &urls.flags(of, object)) })
}

/// Writes what is in a FlagList.
pub fn flags_of(flags: &[String], url: &str) -> Value {
    json!({ "flag": flags, "resourceURL": url })
}

/// Reads what is in a FlagList.
pub fn read_flags(mut fields: Fields) -> Result<Vec<String>> {
    let flags = fields.texts_or_none("flag", FLAG_CHARS_MAX)?;
    if flags.len() > FLAGS_MAX {
        return Err(Error::Policy { rule: format!("at most {FLAGS_MAX} flags at once") });
    }
    flags.into_iter().map(check_flag).collect()
}

/// A name that a flag can have: 1 to 255 characters without control characters. [`Error::Invalid`] names `flag`.
pub fn check_flag(flag: String) -> Result<String> {
    let fits = !flag.is_empty() && flag.chars().count() <= FLAG_CHARS_MAX && !flag.chars().any(char::is_control);
    if fits { Ok(flag) } else { Err(Error::invalid("flag")) }
}
