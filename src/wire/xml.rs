//! XML and JSON of one document (spec/common 2). JSON is the form everything else here works with: XML is read into it
//! and written from it.
//!
//! The root element is the one member of the outermost object. Attributes are members beside the child elements; text
//! beside either is the member `$t`; an element without anything is `null`. What occurs several times is an array.
//! Namespaces, prefixes and `xsi:type` are not in JSON: roots that the specifications define get theirs back from a
//! table. Elements are told from attributes by name: those of `link` are attributes.

use std::borrow::Cow;

use quick_xml::Reader;
use quick_xml::escape::{escape, resolve_predefined_entity};
use quick_xml::events::{BytesRef, BytesStart, Event};
use serde_json::{Map, Value};

use crate::base::{Error, Result};

/// Elements in elements, at most.
const DEPTH_MAX: usize = 64;
/// The member that holds text beside attributes or elements.
const TEXT: &str = "$t";
/// Its items keep their order and their names: an array of objects with one member each.
const NOTIFICATION_LIST: &str = "notificationList";

/// A namespace of the specifications: its prefix, its name, and the root elements it defines.
struct Namespace {
    prefix: &'static str,
    name: &'static str,
    roots: &'static [&'static str],
}

const NAMESPACES: [Namespace; 3] = [
    Namespace {
        prefix: "nc",
        name: "urn:oma:xml:rest:netapi:notificationchannel:1",
        roots: &[
            "notificationChannel",
            "notificationChannelList",
            "notificationChannelLifetime",
            NOTIFICATION_LIST,
            "largePollingNotification",
            "longPollingRequestParameters",
            "connCheck",
            "connAck",
        ],
    },
    Namespace {
        prefix: "nms",
        name: "urn:oma:xml:rest:netapi:nms:1",
        roots: &[
            "bulkDelete",
            "bulkResponseList",
            "bulkUpdate",
            "empty",
            "flag",
            "flagList",
            "folder",
            "folderList",
            "folderReferenceList",
            "name",
            "nmsEventList",
            "nmsSubscription",
            "nmsSubscriptionList",
            "nmsSubscriptionUpdate",
            "object",
            "objectList",
            "objectReferenceList",
            "pathList",
            "reference",
            "selectionCriteria",
            "targetSourceRef",
        ],
    },
    Namespace {
        prefix: "common",
        name: "urn:oma:xml:rest:netapi:common:1",
        roots: &["requestError", "resourceReference"],
    },
];

/// Reads a document: the root's name without its prefix, and what is in it. Anything but well-formed UTF-8 XML
/// without a document type is refused (no entities of one's own, so nothing expands), and so is deep nesting.
pub fn read(body: &[u8]) -> Result<(String, Value)> {
    Parser::default().parse(body).ok_or_else(|| Error::invalid("Request-Body"))
}

/// The root element of a document as it stands, without the declaration and the comments around it. Refuses what
/// [`read`] refuses.
pub fn root(body: &[u8]) -> Result<&str> {
    read(body)?;
    root_of(body).ok_or_else(|| Error::invalid("Request-Body"))
}

fn root_of(body: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(body).ok()?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = Reader::from_str(text);
    let (mut start, mut depth) = (None, 0_usize);
    loop {
        let before = usize::try_from(reader.buffer_position()).ok()?;
        let (opens, closes) = match reader.read_event().ok()? {
            Event::Start(_) => (1, 0),
            Event::Empty(_) => (1, 1),
            Event::End(_) => (0, 1),
            Event::Eof => return None,
            _ => continue,
        };
        let start = *start.get_or_insert(before);
        depth = (depth + opens).checked_sub(closes)?;
        if depth == 0 {
            return text.get(start..usize::try_from(reader.buffer_position()).ok()?);
        }
    }
}

/// An element whose end has not come yet.
struct Open {
    name: String,
    members: Map<String, Value>,
    /// Of a notificationList.
    items: Vec<Value>,
    text: String,
}

impl Open {
    fn add(&mut self, name: String, value: Value) {
        if self.name == NOTIFICATION_LIST {
            self.items.push(Value::Object(Map::from_iter([(name, value)])));
        } else {
            add_member(&mut self.members, name, value);
        }
    }

    /// What the element is. White space alone says nothing.
    fn value(mut self) -> Value {
        let text = if self.text.trim().is_empty() { Value::Null } else { Value::String(self.text) };
        if self.name == NOTIFICATION_LIST {
            return Value::Array(self.items);
        }
        if self.members.is_empty() {
            return text;
        }
        if !text.is_null() {
            self.members.insert(TEXT.to_owned(), text);
        }
        Value::Object(self.members)
    }
}

#[derive(Default)]
struct Parser {
    open: Vec<Open>,
    root: Option<(String, Value)>,
}

impl Parser {
    fn parse(mut self, body: &[u8]) -> Option<(String, Value)> {
        let text = std::str::from_utf8(body).ok()?;
        let mut reader = Reader::from_str(text.strip_prefix('\u{feff}').unwrap_or(text));
        loop {
            match reader.read_event().ok()? {
                Event::Start(tag) => self.start(&tag)?,
                Event::Empty(tag) => {
                    self.start(&tag)?;
                    self.end()?;
                }
                Event::End(_) => self.end()?, // the reader has seen to it that the names agree
                Event::Text(text) => self.text(&text)?,
                Event::CData(text) => self.text(&text)?,
                Event::GeneralRef(reference) => self.text(&resolve(&reference)?)?,
                Event::Decl(_) | Event::Comment(_) | Event::PI(_) => {}
                Event::DocType(_) => return None,
                Event::Eof => break,
            }
        }
        if self.open.is_empty() { self.root } else { None }
    }

    fn start(&mut self, tag: &BytesStart) -> Option<()> {
        if self.root.is_some() || self.open.len() >= DEPTH_MAX {
            return None;
        }
        let name = well_formed(tag.local_name().as_ref())?;
        let mut members = Map::new();
        for attribute in tag.attributes() {
            let attribute = attribute.ok()?;
            if attribute.key.prefix().is_some() || attribute.key.as_ref() == "xmlns" {
                continue; // namespaces and xsi:type
            }
            let name = well_formed(attribute.key.as_ref())?;
            members.insert(
                name,
                Value::String(allowed(quick_xml::escape::unescape(&attribute.value).ok()?)?.into_owned()),
            );
        }
        self.open.push(Open { name, members, items: Vec::new(), text: String::new() });
        Some(())
    }

    fn text(&mut self, text: &str) -> Option<()> {
        match self.open.last_mut() {
            Some(open) => open.text.push_str(&allowed(Cow::Borrowed(text))?),
            None => return text.trim().is_empty().then_some(()),
        }
        Some(())
    }

    fn end(&mut self) -> Option<()> {
        let element = self.open.pop()?;
        let (name, value) = (element.name.clone(), element.value());
        match self.open.last_mut() {
            None => self.root = Some((name, value)),
            Some(parent) => parent.add(name, value),
        }
        Some(())
    }
}

/// A member that is there already becomes an array.
fn add_member(members: &mut Map<String, Value>, name: String, value: Value) {
    match members.get_mut(&name) {
        None => drop(members.insert(name, value)),
        Some(Value::Array(values)) => values.push(value),
        Some(first) => *first = Value::Array(vec![first.take(), value]),
    }
}

/// The text of `&name;` or `&#number;`: the five names of XML itself, and no other.
fn resolve(reference: &BytesRef) -> Option<String> {
    if let Some(character) = reference.resolve_char_ref().ok()? {
        return Some(character.to_string());
    }
    resolve_predefined_entity(reference).map(str::to_owned)
}

/// A name without its prefix, if it is one: the reader below takes almost anything between angle brackets.
fn well_formed(name: &str) -> Option<String> {
    matches!(element_name(name), Cow::Borrowed(_)).then(|| name.to_owned())
}

/// Whether XML 1.0 has the character.
fn is_allowed(character: char) -> bool {
    !matches!(character, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}')
}

fn allowed(text: Cow<'_, str>) -> Option<Cow<'_, str>> {
    text.chars().all(is_allowed).then_some(text)
}

/// What a document begins with.
pub const DECLARATION: &str = r#"<?xml version="1.0" encoding="UTF-8"?>"#;

/// Writes a document: a JSON object with one member, the root.
pub fn write(document: &Value) -> String {
    let mut out = DECLARATION.to_owned();
    write_fragment(&mut out, document);
    out
}

/// Writes the root element of a document without the XML declaration: as an item of a list.
pub fn write_fragment(out: &mut String, document: &Value) {
    let mut nothing = Map::new();
    let members = document.as_object().unwrap_or(&nothing);
    if members.is_empty() {
        nothing.insert("empty".to_owned(), Value::Null);
        return write_fragment(out, &Value::Object(nothing));
    }
    for (name, value) in members {
        write_root(out, name, value);
    }
}

/// Writes a value as an element of this name, or an array as one for each of its values, without namespaces.
pub fn element(name: &str, value: &Value) -> String {
    let mut out = String::new();
    write_elements(&mut out, name, "", value);
    out
}

fn write_root(out: &mut String, name: &str, value: &Value) {
    match NAMESPACES.iter().find(|namespace| namespace.roots.contains(&name)) {
        Some(Namespace { prefix, name: uri, .. }) => {
            let mut declared = format!(r#" xmlns:{prefix}="{uri}""#);
            if matches!(name, "notificationChannel" | "notificationChannelList") {
                declared.push_str(r#" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance""#);
            }
            write_elements(out, &format!("{prefix}:{name}"), &declared, value);
        }
        None => write_elements(out, &element_name(name), "", value),
    }
}

/// Writes a value as an element; an array as one for each of its values.
fn write_elements(out: &mut String, name: &str, attributes: &str, value: &Value) {
    match value {
        Value::Array(items) if name.ends_with(NOTIFICATION_LIST) => {
            write_around(out, name, attributes, |out| items.iter().for_each(|item| write_fragment(out, item)));
        }
        Value::Array(values) => values.iter().for_each(|value| write_elements(out, name, attributes, value)),
        Value::Null => out.push_str(&format!("<{name}{attributes}/>")),
        Value::String(text) if text.is_empty() => out.push_str(&format!("<{name}{attributes}/>")),
        Value::Object(members) if name == "link" => write_link(out, attributes, members),
        Value::Object(members) => write_around(out, name, attributes, |out| write_members(out, members)),
        Value::String(text) => write_around(out, name, attributes, |out| write_text(out, text)),
        Value::Bool(_) | Value::Number(_) => {
            write_around(out, name, attributes, |out| out.push_str(&value.to_string()))
        }
    }
}

fn write_around(out: &mut String, name: &str, attributes: &str, content: impl FnOnce(&mut String)) {
    out.push_str(&format!("<{name}{attributes}>"));
    content(out);
    out.push_str(&format!("</{name}>"));
}

fn write_members(out: &mut String, members: &Map<String, Value>) {
    for (name, value) in members {
        match name.as_str() {
            TEXT => write_text(out, value.as_str().unwrap_or_default()),
            // Its concrete type depends on the channel's (Notification Channel 5.2.2.5).
            "channelData" => {
                let channel_type = members.get("channelType").and_then(Value::as_str).unwrap_or_default();
                write_elements(out, name, &format!(r#" xsi:type="nc:{}Data""#, element_name(channel_type)), value);
            }
            name => write_elements(out, &element_name(name), "", value),
        }
    }
}

/// `rel` and `href` are attributes (spec/common 10).
fn write_link(out: &mut String, attributes: &str, members: &Map<String, Value>) {
    out.push_str(&format!("<link{attributes}"));
    for (name, value) in members {
        let text = value.as_str().map_or_else(|| Cow::Owned(value.to_string()), Cow::Borrowed);
        out.push_str(&format!(r#" {}=""#, element_name(name)));
        write_text(out, &text);
        out.push('"');
    }
    out.push_str("/>");
}

/// Writes text, with everything escaped that XML does not take as it is.
pub fn write_text(out: &mut String, text: &str) {
    if text.chars().all(is_allowed) {
        out.push_str(&escape(text));
    } else {
        out.push_str(&escape(text.replace(|character| !is_allowed(character), "\u{fffd}")));
    }
}

/// A name as XML can have it: what it cannot becomes an underscore. (Members of an enabler's JSON may have any name.)
fn element_name(name: &str) -> Cow<'_, str> {
    let fits = |character: char| character.is_alphanumeric() || matches!(character, '_' | '-' | '.');
    let begins = |character: char| character.is_alphabetic() || character == '_';
    if name.chars().all(fits) && name.chars().next().is_some_and(begins) {
        return Cow::Borrowed(name);
    }
    let name = name.replace(|character| !fits(character), "_");
    Cow::Owned(if name.starts_with(begins) { name } else { format!("_{name}") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn value(xml: &str) -> Value {
        let (name, value) = read(xml.as_bytes()).unwrap();
        json!({ name: value })
    }

    #[test]
    fn reads_by_the_common_rules() {
        let xml = r#"<?xml version="1.0" encoding="UTF-8"?>
            <nms:nmsEventList xmlns:nms="urn:x" xmlns:xsi="y">
              <!-- no --> <a xsi:type="nms:b">1 &lt; 2 &#65;<![CDATA[<&]]></a>
              <link rel="R" href="h?a=1&amp;b=2"/><e/><r>1</r><r>2</r><r>3</r><t x="1"> text </t><w> </w>
            </nms:nmsEventList>"#;
        assert_eq!(
            value(xml),
            json!({ "nmsEventList": {
                "a": "1 < 2 A<&", "link": { "rel": "R", "href": "h?a=1&b=2" }, "e": null, "r": ["1", "2", "3"],
                "t": { "x": "1", "$t": " text " }, "w": null } })
        );
        let list = r#"<n:notificationList xmlns:n="u"><c:a xmlns:c="v"><x>1</x></c:a><b/><c:a/></n:notificationList>"#;
        assert_eq!(value(list), json!({ "notificationList": [{ "a": { "x": "1" } }, { "b": null }, { "a": null }] }));
        assert_eq!(value("<notificationList/>"), json!({ "notificationList": [] }));
    }

    #[test]
    fn the_root_stands_alone() {
        let inner = r#"<a:b xmlns:a="u"><c>&lt;</c><a:b/></a:b>"#;
        for text in [
            inner.to_owned(),
            format!("<?xml version='1.0'?>\n<!-- <x/> -->{inner}\n<!-- y -->"),
            format!("\u{feff}{inner}"),
        ] {
            assert_eq!(root(text.as_bytes()).unwrap(), inner);
        }
        assert_eq!(root(b" <a/> ").unwrap(), "<a/>");
        assert!(root(b"<a/><b/>").is_err());
    }

    #[test]
    fn what_is_not_plain_xml_is_refused() {
        let deep = format!("{}{}", "<a>".repeat(65), "</a>".repeat(65));
        let bomb = r#"<!DOCTYPE a [<!ENTITY b "c"><!ENTITY d "&b;&b;">]><a>&d;</a>"#;
        for bad in [
            "",
            "x",
            "<a>",
            "<a></b>",
            "<a/><b/>",
            "<a/>x",
            "<a>&x;</a>",
            "<a>&#0;</a>",
            "<a b=\"1\" b=\"2\"/>",
            "<a b=\"&x;\"/>",
            "<a>\u{1}</a>",
            "<a<b/>",
            "<1/>",
            "<a 1='x'/>",
            "{}",
            &deep,
            bomb,
        ] {
            assert!(read(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(read(b"<a>\xff</a>").is_err());
    }

    #[test]
    fn writes_namespaces_links_and_types() {
        let document = json!({ "notificationChannel": {
            "channelType": "LongPolling", "channelData": { "maxNotifications": 1, "s": "a<b" } } });
        assert_eq!(
            write(&document),
            concat!(
                r#"<?xml version="1.0" encoding="UTF-8"?>"#,
                r#"<nc:notificationChannel xmlns:nc="urn:oma:xml:rest:netapi:notificationchannel:1" "#,
                r#"xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><channelType>LongPolling</channelType>"#,
                r#"<channelData xsi:type="nc:LongPollingData"><maxNotifications>1</maxNotifications><s>a&lt;b</s>"#,
                r#"</channelData></nc:notificationChannel>"#
            )
        );
        let mut out = String::new();
        write_fragment(&mut out, &json!({ "connAck": null }));
        assert_eq!(out, r#"<nc:connAck xmlns:nc="urn:oma:xml:rest:netapi:notificationchannel:1"/>"#);
        let mut out = String::new();
        write_fragment(&mut out, &json!({ "own": { "link": [{ "rel": "a", "href": "\"&" }], "1 x": [1, [true]] } }));
        assert_eq!(out, r#"<own><link rel="a" href="&quot;&amp;"/><_1_x>1</_1_x><_1_x>true</_1_x></own>"#);
    }

    /// JSON as it comes out of XML: texts, no array of less than two, no empty object.
    fn from_xml() -> impl Strategy<Value = Value> {
        let text = "[ -~äß€]*[!-~]".prop_map(Value::String);
        let leaf = prop_oneof![Just(Value::Null), text];
        leaf.prop_recursive(5, 40, 4, |inner| {
            let one_or_more = prop_oneof![
                3 => inner.clone(),
                1 => prop::collection::vec(inner, 2..4).prop_map(Value::Array),
            ];
            let flat = one_or_more.prop_filter("arrays do not nest", |value| {
                value.as_array().is_none_or(|values| values.iter().all(|value| !value.is_array()))
            });
            prop::collection::hash_map("[a-z][a-zA-Z0-9]{0,6}", flat, 1..4)
                .prop_map(|members| Value::Object(members.into_iter().collect()))
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(root in "[a-z]{3,9}X", inner in from_xml()) {
            prop_assume!(!inner.is_array());
            let document = json!({ root: inner });
            let written = write(&document);
            prop_assert_eq!(value(&written), document, "{}", written);
        }

        #[test]
        fn no_input_is_too_odd(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes);
        }

        #[test]
        fn any_json_becomes_well_formed_xml(name in ".{0,5}", text in ".*") {
            let document = json!({ "object": { name: [[text.clone()], { "x": text }] } });
            prop_assert!(read(write(&document).as_bytes()).is_ok());
        }
    }
}
