//! Reading documents liberally: a number may be a string and a string a number, a list of one may stand bare, the root
//! member may be missing in JSON, what is not known is ignored. Every refusal names the part. JSON, XML and forms are
//! read by the same words. (What is written is a [`Value`], but for texts put straight into what is large.)

use chrono::{DateTime, Datelike, Utc};
use serde_json::{Map, Value};

use super::xml;
use crate::base::{Error, Result};

/// Longest text a client may store with us. It is repeated to it: callbackData in every list.
const TEXT_CHARS_MAX: usize = 4096;

/// In which of the formats a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Media {
    /// `application/json`.
    Json,
    /// `application/xml`.
    Xml,
    /// `application/x-www-form-urlencoded`: no root, and the hierarchy flattened to the names of its leaves.
    Form,
}

/// The members of one structure.
#[derive(Debug, Clone, Default)]
pub struct Fields {
    members: Map<String, Value>,
    /// Of a form: the members of every structure stand side by side.
    flat: bool,
}

impl Fields {
    /// Reads a body whose root is `name`. In JSON the root may be missing.
    pub fn read(media: Media, body: &[u8], name: &str) -> Result<Self> {
        match media {
            Media::Json => Self::of_json(body, name),
            Media::Xml => match xml::read(body)? {
                (root, value) if root == name => Self::of(value, name),
                _ => Err(Error::invalid("Request-Body")),
            },
            Media::Form => Ok(Self::of_form(body)),
        }
    }

    /// Reads a body whose root is `name` and holds nothing but a text. In JSON the root may be missing.
    pub fn read_text(media: Media, body: &[u8], name: &str) -> Result<String> {
        let mut fields = match media {
            Media::Json => {
                let root: Value = serde_json::from_slice(body).map_err(|_| Error::invalid("Request-Body"))?;
                match root {
                    Value::Object(members) => Fields { members, flat: false },
                    text => Fields { members: Map::from_iter([(name.to_owned(), text)]), flat: false },
                }
            }
            Media::Xml => match xml::read(body)? {
                (root, text) if root == name => Fields { members: Map::from_iter([(root, text)]), flat: false },
                _ => return Err(Error::invalid("Request-Body")),
            },
            Media::Form => Self::of_form(body),
        };
        fields.required(name)
    }

    fn of_json(body: &[u8], name: &str) -> Result<Self> {
        let body: Value = serde_json::from_slice(body).map_err(|_| Error::invalid("Request-Body"))?;
        let Value::Object(mut members) = body else { return Err(Error::invalid("Request-Body")) };
        match members.remove(name) {
            Some(root) => Self::of(root, name),
            None => Ok(Fields { members, flat: false }),
        }
    }

    /// Of a name that occurs twice the last one counts.
    fn of_form(body: &[u8]) -> Self {
        let pairs = url::form_urlencoded::parse(body);
        let members = pairs.map(|(name, value)| (name.into_owned(), Value::String(value.into_owned()))).collect();
        Fields { members, flat: true }
    }

    fn of(value: Value, part: &str) -> Result<Self> {
        match value {
            Value::Object(members) => Ok(Fields { members, flat: false }),
            Value::Null => Ok(Fields::default()),
            _ => Err(Error::invalid(part)),
        }
    }

    fn take(&mut self, name: &str) -> Option<Value> {
        self.members.remove(name).filter(|value| !value.is_null())
    }

    /// A member of whatever form, as it stands.
    pub fn value(&mut self, name: &str) -> Option<Value> {
        self.take(name)
    }

    /// Whether there is such a member, and it is not `null`.
    pub fn has(&self, name: &str) -> bool {
        self.members.get(name).is_some_and(|value| !value.is_null())
    }

    /// Whether there is such a member, and it is `null`.
    pub fn is_null(&self, name: &str) -> bool {
        self.members.get(name).is_some_and(Value::is_null)
    }

    /// A member that is a structure.
    pub fn fields(&mut self, name: &str) -> Result<Option<Fields>> {
        if self.flat {
            return Ok(Some(self.clone()));
        }
        self.take(name).map(|value| Self::of(value, name)).transpose()
    }

    /// A member that is a list of structures.
    pub fn list(&mut self, name: &str) -> Result<Vec<Fields>> {
        match self.take(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(values)) => values.into_iter().map(|value| Self::of(value, name)).collect(),
            Some(value) => Ok(vec![Self::of(value, name)?]),
        }
    }

    /// A member that is a structure, also an empty one, which is `null`.
    pub fn fields_or_empty(&mut self, name: &str) -> Result<Option<Fields>> {
        self.members.remove(name).map(|value| Self::of(value, name)).transpose()
    }

    /// A member that is a list of texts of at most so many characters, without NUL; an empty one is `null`.
    pub fn texts(&mut self, name: &str, chars_max: usize) -> Result<Vec<String>> {
        let text = |value| match value {
            Value::Null => Ok(String::new()),
            value => checked_text(value, name, chars_max),
        };
        match self.members.remove(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(values)) => values.into_iter().map(text).collect(),
            Some(value) => Ok(vec![text(value)?]),
        }
    }

    /// As [`Fields::texts`], where `null` stands for no text at all.
    pub fn texts_or_none(&mut self, name: &str, chars_max: usize) -> Result<Vec<String>> {
        match self.members.get(name) {
            Some(Value::Null) => Ok(Vec::new()),
            _ => self.texts(name, chars_max),
        }
    }

    /// A text, also an empty one, which is `null`.
    pub fn text_or_empty(&mut self, name: &str) -> Result<Option<String>> {
        if self.members.get(name).is_some_and(Value::is_null) {
            self.members.remove(name);
            return Ok(Some(String::new()));
        }
        self.text(name)
    }

    /// A text. A NUL, which no text in Postgres can hold, is refused, and so is what is longer than anybody needs.
    pub fn text(&mut self, name: &str) -> Result<Option<String>> {
        match self.take(name) {
            None => Ok(None),
            Some(value) => checked_text(value, name, TEXT_CHARS_MAX).map(Some),
        }
    }

    /// A text, where the empty one means none.
    pub fn text_not_empty(&mut self, name: &str) -> Result<Option<String>> {
        Ok(self.text(name)?.filter(|text| !text.is_empty()))
    }

    /// A text that must be there.
    pub fn required(&mut self, name: &str) -> Result<String> {
        self.text_not_empty(name)?.ok_or_else(|| Error::invalid(name))
    }

    /// A boolean, as `true`, `"true"` or `1`.
    pub fn boolean(&mut self, name: &str) -> Result<Option<bool>> {
        match self.text_not_empty(name)?.as_deref().map(str::trim) {
            None => Ok(None),
            Some("true" | "1") => Ok(Some(true)),
            Some("false" | "0") => Ok(Some(false)),
            Some(_) => Err(Error::choice(name, "true, false")),
        }
    }

    /// A non-negative integer; one beyond 32 bits is as good as the largest.
    pub fn uint(&mut self, name: &str) -> Result<Option<u32>> {
        let Some(text) = self.text_not_empty(name)? else { return Ok(None) };
        let number: u64 = text.trim().parse().map_err(|_| Error::invalid(name))?;
        Ok(Some(u32::try_from(number).unwrap_or(u32::MAX)))
    }
}

fn checked_text(value: Value, name: &str, chars_max: usize) -> Result<String> {
    match value {
        Value::String(text) if !text.contains('\0') && text.chars().count() <= chars_max => Ok(text),
        value @ (Value::Number(_) | Value::Bool(_)) => Ok(value.to_string()),
        _ => Err(Error::invalid(name)),
    }
}

/// A moment, as RFC 3339 writes it, of a year that Postgres and our own format can say.
pub fn moment(part: &str, text: &str) -> Result<DateTime<Utc>> {
    let at = DateTime::parse_from_rfc3339(text).map_err(|_| Error::invalid(part))?.to_utc();
    if (1..=9999).contains(&at.year()) { Ok(at) } else { Err(Error::invalid(part)) }
}

/// Writes a text as JSON has it.
pub fn write_text(out: &mut String, text: &str) {
    if text.bytes().any(|byte| byte < b' ' || byte == b'"' || byte == b'\\') {
        out.push_str(&Value::from(text).to_string());
        return;
    }
    out.push('"');
    out.push_str(text);
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(body: &str) -> Fields {
        Fields::read(Media::Json, body.as_bytes(), "root").unwrap()
    }

    #[test]
    fn numbers_and_strings_stand_for_each_other() {
        assert_eq!(fields(r#"{"root":{"n":"12"}}"#).uint("n").unwrap(), Some(12));
        assert_eq!(fields(r#"{"root":{"n":12}}"#).uint("n").unwrap(), Some(12));
        assert_eq!(fields(r#"{"root":{"n":99999999999}}"#).uint("n").unwrap(), Some(u32::MAX));
        assert_eq!(fields(r#"{"root":{"n":12}}"#).text("n").unwrap(), Some("12".into()));
        assert_eq!(fields(r#"{"root":{"n":""}}"#).uint("n").unwrap(), None);
        for bad in [r#"{"n":-1}"#, r#"{"n":"x"}"#, r#"{"n":1.5}"#, r#"{"n":[1]}"#, r#"{"n":{}}"#] {
            assert!(fields(bad).uint("n").is_err(), "{bad}");
        }
    }

    #[test]
    fn xml_and_forms_are_read_by_the_same_words() {
        let xml = b"<x:root xmlns:x='y'><n> 12 </n><l><a>b</a></l></x:root>";
        let mut read = Fields::read(Media::Xml, xml, "root").unwrap();
        assert_eq!(read.uint("n").unwrap(), Some(12));
        assert_eq!(read.list("l").unwrap()[0].text("a").unwrap(), Some("b".into()));
        assert!(Fields::read(Media::Xml, xml, "other").is_err());
        assert!(Fields::read(Media::Xml, b"<root/>", "root").unwrap().fields("x").unwrap().is_none());
        let mut read = Fields::read(Media::Form, b"n=12&m=tel%3A%2B1+2&m=x%26", "root").unwrap();
        assert_eq!(read.fields("any").unwrap().unwrap().text("m").unwrap(), Some("x&".into()));
        assert_eq!(read.uint("n").unwrap(), Some(12));
    }

    #[test]
    fn a_root_may_be_a_text() {
        let read =
            |media, body: &str| Fields::read_text(media, body.as_bytes(), "name").map_err(|fault| fault.to_string());
        for body in [r#"{"name":"x y"}"#, r#""x y""#] {
            assert_eq!(read(Media::Json, body), Ok("x y".to_owned()), "{body}");
        }
        assert_eq!(read(Media::Xml, "<n:name xmlns:n='u'>x y</n:name>"), Ok("x y".to_owned()));
        for (media, body) in [
            (Media::Json, r#"{"name":""}"#),
            (Media::Json, r#"{"name":null}"#),
            (Media::Json, "{}"),
            (Media::Json, "[]"),
            (Media::Json, "x"),
            (Media::Json, r#"{"name":"x\u0000"}"#),
            (Media::Xml, "<name/>"),
            (Media::Xml, "<other>x</other>"),
            (Media::Xml, "<name><x/></name>"),
        ] {
            assert!(read(media, body).is_err(), "{body}");
        }
    }

    #[test]
    fn what_is_empty_is_null() {
        let read = || fields(r#"{"root":{"e":null,"s":"","l":[null,"a",1],"o":{"x":"y"}}}"#);
        assert_eq!(read().text_or_empty("e").unwrap(), Some(String::new()));
        assert_eq!(read().text_or_empty("s").unwrap(), Some(String::new()));
        assert_eq!(read().text_or_empty("absent").unwrap(), None);
        assert!(read().fields_or_empty("e").unwrap().is_some());
        assert!(read().fields_or_empty("absent").unwrap().is_none());
        assert!(read().fields_or_empty("s").is_err());
        assert_eq!(read().texts("l", 1).unwrap(), ["", "a", "1"]);
        assert_eq!(read().texts("e", 1).unwrap(), [""]);
        assert_eq!(read().texts("absent", 1).unwrap(), Vec::<String>::new());
        assert!(read().texts("o", 1).is_err());
        assert!(fields(r#"{"l":["ab"]}"#).texts("l", 1).is_err());
    }

    #[test]
    fn the_root_may_be_missing_or_null_and_a_list_of_one_bare() {
        assert_eq!(fields(r#"{"a":"b"}"#).text("a").unwrap(), Some("b".into()));
        assert_eq!(fields(r#"{"root":null}"#).text("a").unwrap(), None);
        assert_eq!(fields(r#"{"root":{"l":{}}}"#).list("l").unwrap().len(), 1);
        assert_eq!(fields(r#"{"root":{"l":[{},{}]}}"#).list("l").unwrap().len(), 2);
        for bad in ["", "[]", "1", "{", r#"{"root":1}"#] {
            assert!(Fields::read(Media::Json, bad.as_bytes(), "root").is_err(), "{bad}");
        }
        assert!(fields(r#"{"a":"x\u0000y"}"#).text("a").is_err());
    }
}
