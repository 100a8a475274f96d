//! Notifications as lines for people.

use std::fmt::Write;

use anstyle::{AnsiColor, Style};
use chrono::{DateTime, Local};
use percent_encoding::percent_decode_str;

use crate::client::{Event, EventList, Item, Notification, NotificationList};

/// The most characters of an attribute's value that are shown.
const VALUE_CHARS_MAX: usize = 60;

const DIM: Style = Style::new().dimmed();
const BOLD: Style = Style::new().bold();

/// The lines of a notificationList: one an event.
pub(super) fn lines(list: &NotificationList) -> Vec<String> {
    list.notifications.iter().flat_map(of_notification).collect()
}

fn of_notification(notification: &Notification) -> Vec<String> {
    match &notification.events {
        Some(list) => of_list(list),
        // What an enabler has posted.
        None => vec![format!("{}  notification  {}", time(None), clean(notification.raw.get()))],
    }
}

fn of_list(list: &EventList) -> Vec<String> {
    list.events.iter().map(|event| of_event(event, &list.restart_token)).collect()
}

/// Time, kind, object, attributes, flags.
fn of_event(event: &Event, token: &str) -> String {
    let style = style(event);
    let mut line = format!("{}  {style}{:<15}{style:#}  ", time(Some(token)), event.words());
    match event {
        Event::ResetBox => line += "read the box anew: what came meanwhile is not told",
        Event::Other(event) => line += &clean(&event.to_string()),
        event => line += &event.item().map(of_item).unwrap_or_default(),
    }
    line
}

fn of_item(item: &Item) -> String {
    let id = item.resource_url.rsplit('/').next().unwrap_or_default();
    let id = percent_decode_str(id).decode_utf8_lossy();
    let mut text = format!("{BOLD}{}{BOLD:#}", clean(&id));
    if let Some(name) = &item.name {
        let _ = write!(text, "  {}", clean(name));
    }
    for attribute in &item.attributes {
        let _ = write!(text, "  {DIM}{}={DIM:#}{}", clean(&attribute.name), clean(&attribute.value.join(",")));
    }
    if !item.flags.is_empty() {
        let _ = write!(text, "  {DIM}[{}]{DIM:#}", clean(&item.flags.join(" ")));
    }
    text
}

fn style(event: &Event) -> Style {
    let colour = match event {
        Event::ChangedObject(_) | Event::ChangedFolder(_) => AnsiColor::Green,
        Event::ResetBox => AnsiColor::Red,
        _ => AnsiColor::Yellow,
    };
    colour.on_default()
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
    use serde_json::{Value, json};

    use super::*;

    fn plain(list: &Value) -> Vec<String> {
        let list =
            NotificationList { notifications: serde_json::from_value(list["notificationList"].clone()).unwrap() };
        lines(&list).iter().map(|line| anstream::adapter::strip_str(line).to_string()).collect()
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
