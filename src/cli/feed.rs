//! Notifications as lines for people.

use std::fmt::Write;

use anstyle::{AnsiColor, Style};
use chrono::{DateTime, Local};
use percent_encoding::percent_decode_str;
use serde_json::Value;

/// The most characters of an attribute's value that are shown.
const VALUE_CHARS_MAX: usize = 60;

const DIM: Style = Style::new().dimmed();
const BOLD: Style = Style::new().bold();

/// The lines of a notificationList: one an event.
pub(super) fn lines(list: &Value) -> Vec<String> {
    list["notificationList"].as_array().into_iter().flatten().flat_map(of_notification).collect()
}

fn of_notification(notification: &Value) -> Vec<String> {
    let list = &notification["nmsEventList"];
    let Some(events) = list["nmsEvent"].as_array() else {
        // What an enabler has posted.
        return vec![format!("{}  notification  {}", time(None), clean(&notification.to_string()))];
    };
    events.iter().filter_map(|event| of_event(event, list["restartToken"].as_str())).collect()
}

/// Time, kind, object, attributes, flags.
fn of_event(event: &Value, token: Option<&str>) -> Option<String> {
    let (name, item) = event.as_object()?.iter().next()?;
    let style = style(name);
    let mut line = format!("{}  {style}{:<15}{style:#}", time(token), words(name));
    if name == "resetBox" {
        line += "  read the box anew: what came meanwhile is not told";
        return Some(line);
    }
    let id = item["resourceURL"].as_str().and_then(|url| url.rsplit('/').next()).unwrap_or_default();
    let id = percent_decode_str(id).decode_utf8_lossy().into_owned();
    write!(line, "  {BOLD}{}{BOLD:#}", clean(&id)).ok()?;
    if let Some(name) = item["name"].as_str() {
        write!(line, "  {}", clean(name)).ok()?;
    }
    for attribute in item["attributes"]["attribute"].as_array().into_iter().flatten() {
        let values: Vec<&str> = attribute["value"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let name = clean(attribute["name"].as_str().unwrap_or_default());
        write!(line, "  {DIM}{name}={DIM:#}{}", clean(&values.join(","))).ok()?;
    }
    let flags: Vec<&str> = item["flags"]["flag"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if !flags.is_empty() {
        write!(line, "  {DIM}[{}]{DIM:#}", clean(&flags.join(" "))).ok()?;
    }
    Some(line)
}

fn style(name: &str) -> Style {
    let colour = match name {
        "changedObject" | "changedFolder" => AnsiColor::Green,
        "resetBox" => AnsiColor::Red,
        _ => AnsiColor::Yellow,
    };
    colour.on_default()
}

/// `changedObject` as `changed object`.
fn words(name: &str) -> String {
    let mut words = String::new();
    for char in name.chars() {
        if char.is_ascii_uppercase() {
            words.push(' ');
        }
        words.push(char.to_ascii_lowercase());
    }
    words
}

/// The moment of a restartToken, or now, as clocks here show it.
fn time(token: Option<&str>) -> String {
    let moment = token.and_then(|token| DateTime::parse_from_rfc3339(token).ok());
    let moment = moment.map_or_else(Local::now, |moment| moment.with_timezone(&Local));
    format!("{DIM}{}{DIM:#}", moment.format("%H:%M:%S%.3f"))
}

/// Without what could command a terminal, and not too long.
fn clean(text: &str) -> String {
    let mut chars = text.chars().map(|char| if char.is_control() { ' ' } else { char });
    let mut clean: String = chars.by_ref().take(VALUE_CHARS_MAX).collect();
    if chars.next().is_some() {
        clean.push('…');
    }
    clean
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn plain(list: &Value) -> Vec<String> {
        lines(list).iter().map(|line| anstream::adapter::strip_str(line).to_string()).collect()
    }

    #[test]
    fn each_event_is_a_line() {
        let event = json!({ "changedObject": {
            "resourceURL": "http://h/nms/v1/default/b/objects/7",
            "flags": { "flag": ["\\Seen", "\\Flagged"] },
            "attributes": { "attribute": [{ "name": "Subject", "value": ["a\u{1b}[31m\nb"] }] },
        } });
        let gone = json!({ "deletedFolder": { "resourceURL": "http://h/nms/v1/default/b/folders/9" } });
        let events = json!([event, gone, { "resetBox": null }]);
        let list = json!({ "nmsEvent": events, "restartToken": "2026-01-31T12:00:00.123456Z", "index": 1 });
        let lines = plain(&json!({ "notificationList": [{ "nmsEventList": list }, { "other": 1 }] }));
        let rest: Vec<&str> = lines.iter().map(|line| line.split_once("  ").unwrap().1.trim()).collect();
        assert_eq!(rest[0], "changed object   7  Subject=a [31m b  [\\Seen \\Flagged]");
        assert_eq!(rest[1], "deleted folder   9");
        assert!(rest[2].starts_with("reset box"), "{rest:?}");
        assert_eq!(rest[3], "notification  {\"other\":1}");
        assert!(lines[0].contains(".123  "), "{lines:?}");
    }

    #[test]
    fn long_values_are_cut() {
        assert_eq!(clean(&"x".repeat(100)).chars().count(), VALUE_CHARS_MAX + 1);
    }
}
