//! Notifications of any enabler, as they are posted to a callbackURL: any root element. What is posted in JSON is
//! handed on as it stands, so that the order of members and the spelling of numbers survive.

use std::fmt;

use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::{Value, json};

use super::xml;
use crate::base::{Error, Format, Result};
use crate::log::Event;

/// Deeper ones are refused: usual parsers do not read them.
const DEPTH_MAX: usize = 100;

/// Checks a notification in JSON: an object with one member, which the client's parser can read.
pub fn read_json(body: &[u8]) -> Result<&str> {
    let text = std::str::from_utf8(body).ok().filter(|text| is_notification(text) && is_readable(text));
    text.ok_or_else(|| Error::invalid("Request-Body"))
}

/// Checks a notification in XML: answers its root element, without what stands around it.
pub fn read_xml(body: &[u8]) -> Result<&str> {
    xml::root(body)
}

/// What stands in a notificationList for a `channel.notified` event, by the common rules where the enabler wrote in
/// the other format. `None` for what is none: an event that is in the
/// log must never stop delivery.
pub fn notification(event: &Event, format: Format) -> Option<String> {
    let notified = event.notified()?;
    match (Format::parse(&notified.format)?, format) {
        (Format::Json, Format::Json) => is_notification(&notified.body).then_some(notified.body),
        (Format::Json, Format::Xml) => {
            let document: Value = serde_json::from_str(&notified.body).ok()?;
            let mut out = String::new();
            xml::write_fragment(&mut out, &document);
            Some(out)
        }
        (Format::Xml, Format::Xml) => xml::root(notified.body.as_bytes()).ok().map(str::to_owned),
        (Format::Xml, Format::Json) => {
            let (root, value) = xml::read(notified.body.as_bytes()).ok()?;
            Some(json!({ root: value }).to_string())
        }
    }
}

fn is_notification(text: &str) -> bool {
    let mut parser = serde_json::Deserializer::from_str(text);
    parser.deserialize_map(OneMember).is_ok() && parser.end().is_ok()
}

/// Accepts an object with exactly one member.
struct OneMember;

impl<'de> Visitor<'de> for OneMember {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with one member")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        match (members.next_entry::<String, IgnoredAny>()?, members.next_entry::<String, IgnoredAny>()?) {
            (Some(_), None) => Ok(()),
            _ => Err(A::Error::custom("not one member")),
        }
    }
}

/// Whether JSON, known to be well-formed, holds nothing that grammar allows and readers stumble over: a NUL, half a
/// surrogate pair, thousands of levels.
fn is_readable(text: &str) -> bool {
    let (mut depth, mut in_string) = (0_usize, false);
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        match first {
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => depth += 1,
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            b'\\' => match escape(tail) {
                Some(after) => rest = after,
                None => return false,
            },
            _ => {}
        }
        if depth > DEPTH_MAX {
            return false;
        }
    }
    true
}

/// What follows an escape, if that stands for a character other than NUL; `text` begins after its backslash.
fn escape(text: &[u8]) -> Option<&[u8]> {
    match text.strip_prefix(b"u") {
        None => text.get(1..),
        Some(text) => match hex(text)? {
            (0, _) | (0xDC00..0xE000, _) => None,
            (0xD800..0xDC00, after) => match hex(after.strip_prefix(br"\u")?)? {
                (0xDC00..0xE000, after) => Some(after),
                _ => None,
            },
            (_, after) => Some(after),
        },
    }
}

fn hex(text: &[u8]) -> Option<(u16, &[u8])> {
    let (digits, after) = text.split_first_chunk::<4>()?;
    Some((u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_member_of_any_kind_is_kept_to_the_letter() {
        for fine in [
            r#"{"chatNotification":{"z":1.0,"a":[1e400, 12345678901234567890123]}}"#,
            r#" {"x": null}
            "#,
            r#"{"x":"a\\u0000 \" [[ \ud83d\ude00 \u00e9 é"}"#,
        ] {
            assert_eq!(read_json(fine.as_bytes()).unwrap(), fine);
        }
    }

    #[test]
    fn what_is_none_is_refused() {
        let deep = format!("{{\"x\":{}{}}}", "[".repeat(DEPTH_MAX), "]".repeat(DEPTH_MAX));
        for wrong in [
            "",
            " ",
            "{}",
            "[]",
            "1",
            "null",
            r#""x""#,
            r#"{"a":1,"b":2}"#,
            r#"{"a":1,"a":1}"#,
            r#"{"a":1"#,
            r#"{"a":1}}"#,
            r#"{"a":1} {"b":2}"#,
            r#"{a:1}"#,
            r#"{"a":01}"#,
            r#"{"a":"\u0000"}"#,
            r#"{"\u0000":1}"#,
            r#"{"a":"\\\u0000"}"#,
            "{\"a\":\"\0\"}",
            "{\"a\":1}\0",
            r#"{"a":"\ud83d"}"#,
            r#"{"a":"\ude00\ud83d"}"#,
            r#"{"a":"\ud83dx"}"#,
            "\u{feff}{\"a\":1}",
            deep.as_str(),
        ] {
            assert!(read_json(wrong.as_bytes()).is_err(), "{wrong:?}");
        }
        assert!(read_json(b"{\"a\":\"\xff\"}").is_err());
    }
}
