//! Whether an answer is the one of the example: equal in every element, number and text, up to what the server chooses.
//! The examples name such values: `o-1001` is the id of an object, `f-42` of a folder, `s-3` of a subscription, `c-77`
//! and `cc-9` are cursors, `t.e1.5000` is a restartToken. Whatever stands for a name the first time must stand for it
//! from then on, and for no other. Of lastModSeq only the order is that of the example, and a date is some date.

use std::collections::{BTreeMap, HashMap};

use chrono::DateTime;
use serde_json::Value;

/// What stands for the names of the examples.
#[derive(Debug, Default)]
pub struct Names {
    texts: HashMap<String, String>,
    seqs: BTreeMap<u64, u64>,
}

impl Names {
    /// Says what stands for a text of the examples.
    pub fn bind(&mut self, example: &str, actual: &str) {
        self.texts.insert(example.to_owned(), actual.to_owned());
    }

    /// A text of the examples with what stands for the names in it. Names that nothing stands for yet stay.
    pub fn filled(&self, text: &str) -> String {
        let mut names: Vec<_> = self.texts.iter().collect();
        names.sort_by_key(|(name, _)| std::cmp::Reverse(name.len())); // one may begin with another
        names.iter().fold(text.to_owned(), |text, (name, actual)| text.replace(*name, actual))
    }

    /// Asserts that a document in JSON is that of the example.
    pub fn json_alike(&mut self, actual: &Value, example: &Value) {
        if let Some(difference) = self.json("", actual, example) {
            panic!("{difference}\n   answer: {actual}\n  example: {example}");
        }
    }

    /// The same of XML, where also the order of elements is that of the example.
    pub fn xml_alike(&mut self, actual: &str, example: &str) {
        let (found, expected) = (pieces(actual), pieces(example));
        let mut field = "";
        let difference = found.iter().zip(&expected).find_map(|(found, expected)| {
            let difference = self.text(field, found, expected);
            field = if expected.starts_with('/') { "" } else { expected };
            difference
        });
        if difference.is_some() || found.len() != expected.len() {
            panic!("{difference:?}\n   answer: {actual}\n  example: {example}");
        }
    }

    /// Asserts that a text is that of the example.
    pub fn text_alike(&mut self, actual: &str, example: &str) {
        assert_eq!(self.text("", actual, example), None);
    }

    /// The first difference, and where it is.
    fn json(&mut self, at: &str, actual: &Value, example: &Value) -> Option<String> {
        match (actual, example) {
            (Value::Object(a), Value::Object(e)) => {
                let superfluous =
                    a.keys().find(|name| !e.contains_key(*name)).map(|name| format!("{at}/{name}: too much"));
                superfluous.or_else(|| {
                    e.iter().find_map(|(name, e)| match a.get(name) {
                        Some(a) => self.json(&format!("{at}/{name}"), a, e),
                        None => Some(format!("{at}/{name}: missing")),
                    })
                })
            }
            (Value::Array(a), Value::Array(e)) if a.len() == e.len() => {
                a.iter().zip(e).enumerate().find_map(|(n, (a, e))| self.json(&format!("{at}/{n}"), a, e))
            }
            (Value::String(a), Value::String(e)) => self.text(at, a, e),
            (Value::Number(a), Value::Number(e)) => self.text(at, &a.to_string(), &e.to_string()),
            _ => (actual != example).then(|| format!("{at}: {actual} instead of {example}")),
        }
    }

    fn text(&mut self, field: &str, actual: &str, example: &str) -> Option<String> {
        let alike = if field.ends_with("lastModSeq") {
            self.seq(actual, example)
        } else if self.texts.contains_key(example) || is_name(example) {
            self.stands_for(actual, example)
        } else if is_date(example) {
            is_date(actual)
        } else {
            let (a, e): (Vec<_>, Vec<_>) = (actual.split('/').collect(), example.split('/').collect());
            a.len() == e.len() && a.iter().zip(e).all(|(a, e)| if is_name(e) { self.stands_for(a, e) } else { *a == e })
        };
        (!alike).then(|| format!("{field}: {actual} instead of {example}"))
    }

    fn stands_for(&mut self, actual: &str, name: &str) -> bool {
        if let Some(known) = self.texts.get(name) {
            return known == actual;
        }
        let is_id = ["o-", "f-", "s-"].iter().any(|kind| name.starts_with(kind));
        let could_be = actual.bytes().all(|b| !is_id || b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
        let kind = |name: &str| name.split(['-', '.']).next().map(str::to_owned);
        let taken = self.texts.iter().any(|(other, known)| kind(other) == kind(name) && known == actual);
        self.bind(name, actual);
        !actual.is_empty() && could_be && !taken
    }

    /// Whether a lastModSeq is above those that the example has it above.
    fn seq(&mut self, actual: &str, example: &str) -> bool {
        let (Ok(actual), Ok(example)) = (actual.parse::<u64>(), example.parse::<u64>()) else { return false };
        let below = self.seqs.range(..example).all(|(_, known)| *known < actual);
        let above = self.seqs.range(example + 1..).all(|(_, known)| *known > actual);
        below && above && actual > 0 && *self.seqs.entry(example).or_insert(actual) == actual
    }
}

fn is_name(text: &str) -> bool {
    ["o-", "f-", "s-", "c-", "cc-", "t.e"].iter().any(|kind| text.starts_with(kind))
}

fn is_date(text: &str) -> bool {
    DateTime::parse_from_rfc3339(text).is_ok()
}

/// A document's tags, their attributes, and texts, in order. An empty element is a tag and its end.
pub fn pieces(document: &str) -> Vec<String> {
    let mut pieces = Vec::new();
    for piece in document.split('<').skip(1) {
        let (tag, text) = piece.split_once('>').unwrap();
        if tag.starts_with('?') {
            continue;
        }
        let (tag, is_empty) = tag.strip_suffix('/').map_or((tag, false), |tag| (tag, true));
        pieces.extend(tag.split('"').map(|part| part.trim().to_owned()));
        if is_empty {
            pieces.push(format!("/{}", tag.split_whitespace().next().unwrap()));
        }
        pieces.extend(Some(text.trim().to_owned()).filter(|text| !text.is_empty()));
    }
    pieces
}

#[test]
fn differences_are_seen() {
    let alike = |actual: &str, example: &str| {
        let read = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        let mut names = Names::default();
        names.bind("o-1", "17");
        names.json("", &read(actual), &read(example)).is_none()
    };
    for (actual, example) in [
        (r#"{"a":1,"b":[null,true]}"#, r#"{"b":[null,true],"a":1}"#),
        (r#"["h/b/17","h/b/18","18"]"#, r#"["h/b/o-1","h/b/o-2","o-2"]"#),
        (r#"["h/17","h/17"]"#, r#"["h/o-1","h/f-1"]"#),
        (r#""2026-01-31T12:00:00Z""#, r#""2020-03-19T01:02:03Z""#),
        (r#"[{"lastModSeq":7},{"lastModSeq":3}]"#, r#"[{"lastModSeq":5012},{"lastModSeq":5000}]"#),
    ] {
        assert!(alike(actual, example), "{actual} {example}");
    }
    for (actual, example) in [
        (r#"{"a":1,"b":1}"#, r#"{"a":1}"#),
        (r#"{"a":1}"#, r#"{"a":1,"b":null}"#),
        (r#"{"a":1}"#, r#"{"a":"1"}"#),
        (r#"{"a":"x"}"#, r#"{"a":["x"]}"#),
        (r#"[1,2]"#, r#"[2,1]"#),
        (r#"["h/18"]"#, r#"["h/o-1"]"#),
        (r#"["h/17"]"#, r#"["h/o-2"]"#),
        (r#"["h/a b"]"#, r#"["h/o-2"]"#),
        (r#"["x"]"#, r#"["2020-03-19T01:02:03Z"]"#),
        (r#"[{"lastModSeq":7},{"lastModSeq":8}]"#, r#"[{"lastModSeq":5012},{"lastModSeq":5000}]"#),
        (r#"[{"lastModSeq":7},{"lastModSeq":7}]"#, r#"[{"lastModSeq":1},{"lastModSeq":2}]"#),
    ] {
        assert!(!alike(actual, example), "{actual} {example}");
    }
    assert_eq!(
        pieces("<?xml?> <n:a x=\"1\">\n <b/><c> d </c></n:a>"),
        ["n:a x=", "1", "", "b", "/b", "c", "d", "/c", "/n:a"]
    );
}
