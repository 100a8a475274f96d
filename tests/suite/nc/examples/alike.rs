//! Whether an answer is the one of the example: equal up to ids, dates and hosts, and up to what the common rules leave
//! open in JSON (a number or a boolean may be a string, members come in any order, a repeatable element is an array or
//! stands bare, and one that does not occur is absent or an empty array).

use chrono::DateTime;
use serde_json::Value;
use tocsin::wire::xml;

use crate::support::client::Answer;

/// Asserts that an answer in JSON has this status and the example's body.
pub fn is_json(answer: &Answer, status: u16, example: &Value) {
    assert_eq!(answer.status.as_u16(), status, "{}", answer.text);
    assert_eq!(answer.header("content-type"), "application/json");
    assert_alike(&answer.json(), example);
}

/// Asserts that an answer in XML has this status and the example's body: its root in the same namespace, the same
/// concrete types, and alike in the JSON that both stand for.
pub fn is_xml(answer: &Answer, status: u16, example: &str) {
    assert_eq!(answer.status.as_u16(), status, "{}", answer.text);
    assert_eq!(answer.header("content-type"), "application/xml");
    assert!(answer.text.starts_with(r#"<?xml version="1.0" encoding="UTF-8"?>"#), "{}", answer.text);
    is_xml_document(&answer.text, example);
}

/// The same of a document without a status.
pub fn is_xml_document(actual: &str, example: &str) {
    assert_eq!(namespace(actual), namespace(example), "{actual}");
    assert_eq!(types(actual), types(example), "{actual}");
    let read = |text: &str| {
        let (root, value) = xml::read(text.as_bytes()).unwrap();
        Value::Object([(root, value)].into_iter().collect())
    };
    assert_alike(&read(actual), &read(example));
}

pub fn assert_alike(actual: &Value, example: &Value) {
    if let Some(difference) = difference("", actual, example) {
        panic!("{difference}\n   answer: {actual}\n  example: {example}");
    }
}

/// The namespace of the root element.
fn namespace(document: &str) -> Option<String> {
    let root = xml::root(document.as_bytes()).unwrap();
    let (tag, _) = root.split_once('>')?;
    let (prefix, _) = tag.strip_prefix('<')?.split_once(':')?;
    let (_, rest) = tag.split_once(&format!(r#"xmlns:{prefix}=""#))?;
    Some(rest.split_once('"')?.0.to_owned())
}

/// The values of `xsi:type`, in order.
fn types(document: &str) -> Vec<&str> {
    document.split(r#"xsi:type=""#).skip(1).filter_map(|rest| Some(rest.split_once('"')?.0)).collect()
}

/// The first difference, and where it is.
fn difference(at: &str, actual: &Value, example: &Value) -> Option<String> {
    match (actual, example) {
        (Value::Object(a), Value::Object(e)) => {
            let null = &Value::Null;
            a.keys().chain(e.keys()).find_map(|name| {
                difference(&format!("{at}/{name}"), a.get(name).unwrap_or(null), e.get(name).unwrap_or(null))
            })
        }
        (Value::Array(_), _) | (_, Value::Array(_)) => {
            let (a, e) = (items(actual), items(example));
            if a.len() != e.len() {
                return Some(format!("{at}: {} instead of {} items", a.len(), e.len()));
            }
            a.iter().zip(&e).enumerate().find_map(|(n, (a, e))| difference(&format!("{at}[{n}]"), a, e))
        }
        _ => match (scalar(actual), scalar(example)) {
            (Some(a), Some(e)) if same_text(&a, &e) => None,
            _ if actual == example => None,
            _ => Some(format!("{at}: {actual} instead of {example}")),
        },
    }
}

fn items(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(values) => values.iter().collect(),
        Value::Null => Vec::new(),
        one => vec![one],
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.trim().to_owned()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    }
}

fn same_text(actual: &str, example: &str) -> bool {
    let both_dates = || DateTime::parse_from_rfc3339(actual).is_ok() && DateTime::parse_from_rfc3339(example).is_ok();
    match (place(actual), place(example)) {
        (Some(actual), Some(example)) => actual == example,
        _ => actual == example || both_dates(),
    }
}

/// What of a URL the specification decides: its scheme, up to TLS; and where it names a resource of the API, its path
/// up to the channel's id. The other URLs are the server's choice.
fn place(url: &str) -> Option<(&'static str, String)> {
    let (scheme, rest) = url.split_once("://")?;
    let scheme = match scheme {
        "http" | "https" => "http",
        "ws" | "wss" => "ws",
        _ => return None,
    };
    let Some((_, path)) = rest.split_once("/notificationchannel/v1/") else { return Some((scheme, String::new())) };
    let mut segments: Vec<&str> = path.split('/').collect();
    if let Some(id) = segments.get_mut(2) {
        *id = "{channelId}";
    }
    Some((scheme, segments.join("/")))
}

#[test]
fn differences_are_seen() {
    let alike = |actual: &str, example: &str| {
        let read = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        difference("", &read(actual), &read(example)).is_none()
    };
    for (actual, example) in [
        (r#"{"a":1,"b":true,"c":[]}"#, r#"{"b":"true","a":"1"}"#),
        (r#"{"a":["x"]}"#, r#"{"a":"x"}"#),
        (r#""2026-01-31T12:00:00Z""#, r#""2020-03-19T01:02:03Z""#),
        (
            r#""http://127.0.0.1:7/notificationchannel/v1/a/channels/x1/channelLifetime""#,
            r#""https://nc.example.net/api/notificationchannel/v1/a/channels/k7/channelLifetime""#,
        ),
        (r#""ws://127.0.0.1:7/ws/x.y""#, r#""wss://nc.example.net/s/k8""#),
    ] {
        assert!(alike(actual, example), "{actual} {example}");
    }
    for (actual, example) in [
        (r#"{"a":1,"b":1}"#, r#"{"a":1}"#),
        (r#"{"a":1}"#, r#"{"a":1,"b":1}"#),
        (r#"{"a":1}"#, r#"{"a":2}"#),
        (r#"{"a":[1,2]}"#, r#"{"a":[2,1]}"#),
        (r#"{"a":["x","x"]}"#, r#"{"a":"x"}"#),
        (r#""http://h/ws/x.y""#, r#""ws://nc.example.net/s/k8""#),
        (r#""http://h/notificationchannel/v1/b/channels/x""#, r#""http://h/notificationchannel/v1/a/channels/x""#),
        (r#""http://h/notificationchannel/v1/a/channels/x""#, r#""http://h/notificationchannel/v1/a/channels""#),
        (r#"{"a":{}}"#, r#"{"a":"x"}"#),
    ] {
        assert!(!alike(actual, example), "{actual} {example}");
    }
    assert_eq!(namespace(r#"<?xml version="1.0"?><n:a xmlns:m="u" xmlns:n="v"><b/></n:a>"#).as_deref(), Some("v"));
    assert_eq!(namespace("<a/>"), None);
    assert_eq!(types(r#"<a xsi:type="n:B"><c xsi:type="n:D"/></a>"#), ["n:B", "n:D"]);
}
