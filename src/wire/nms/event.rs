//! Events and their lists (spec/nms 3.11). They are written straight into their bytes, since they are most of what is
//! delivered: a document of [`serde_json::Value`] in between takes several times as long.

use std::borrow::Cow;
use std::fmt::Write;

use chrono::{DateTime, Utc};
use serde_json::json;

use crate::base::Format;
use crate::log::event::{Event, Kind, Told, write_token};
use crate::subscription::Subscription;
use crate::wire::nms::attributes::values;
use crate::wire::urls::{ROOT_FOLDER, Urls};
use crate::wire::{json, xml};

/// Bytes that most bodies fit into.
const BODY_BYTES: usize = 512;

/// Writes an `nmsEvent` (3.11): `None` for what no subscription is told of. `box_url` is the URL of the event's box. The
/// same bytes serve every client, or every one that asks for `attributes`, which those of objects have then too.
pub fn event(event: &Event, box_url: &str, format: Format, attributes: bool) -> Option<String> {
    if event.kind == Kind::BoxReset {
        return Some(reset_box(format));
    }
    let item = Item { event, id: event.object_id?, box_url, attributes };
    let (name, lives) = match event.kind {
        Kind::ObjectCreated | Kind::ObjectChanged => ("changedObject", true),
        Kind::ObjectDeleted => ("deletedObject", false),
        Kind::ObjectExpired => ("expiredObject", false),
        Kind::FolderCreated | Kind::FolderChanged => ("changedFolder", true),
        Kind::FolderDeleted => ("deletedFolder", false),
        Kind::FolderExpired => ("expiredFolder", false),
        _ => return None,
    };
    Some(Body::of_event(format, |body| {
        body.member(name, |body| match (event.kind.is_of_object(), lives) {
            (true, true) => item.changed_object(body),
            (true, false) => item.vanished_object(body),
            (false, true) => item.changed_folder(body),
            (false, false) => item.vanished_folder(body),
        })
    }))
}

/// The `nmsEvent` of a reset box.
pub fn reset_box(format: Format) -> String {
    Body::of_event(format, |body| body.nothing("resetBox"))
}

/// What an event tells of.
struct Item<'a> {
    event: &'a Event,
    id: i64,
    box_url: &'a str,
    attributes: bool,
}

impl Item<'_> {
    fn changed_object(&self, body: &mut Body) {
        let told = self.event.told();
        self.folder_url(body, "parentFolder", told.folder);
        body.member("flags", |body| {
            body.texts("flag", &told.flags);
            body.url("resourceURL", self.box_url, format_args!("/objects/{}/flags", self.id));
        });
        self.object(body, &told);
    }

    fn vanished_object(&self, body: &mut Body) {
        self.object(body, &self.event.told());
    }

    fn object(&self, body: &mut Body, told: &Told) {
        body.url("resourceURL", self.box_url, format_args!("/objects/{}", self.id));
        body.number("lastModSeq", self.event.seq);
        for (name, id) in [("correlationId", &told.correlation_id), ("correlationTag", &told.correlation_tag)] {
            if let Some(id) = id {
                body.text(name, id);
            }
        }
        if self.attributes {
            body.member("attributes", |body| {
                body.members("attribute", &self.event.state().attributes, |body, (name, value)| {
                    body.text("name", name);
                    body.texts("value", &values(value));
                });
            });
        }
    }

    fn changed_folder(&self, body: &mut Body) {
        let told = self.event.told();
        self.folder_url(body, "parentFolder", told.parent);
        self.folder_url(body, "resourceURL", self.id);
        body.text("name", &told.name);
        body.number("lastModSeq", self.event.seq);
    }

    fn vanished_folder(&self, body: &mut Body) {
        self.folder_url(body, "resourceURL", self.id);
        body.number("lastModSeq", self.event.seq);
    }

    fn folder_url(&self, body: &mut Body, name: &'static str, id: i64) {
        match id {
            0 => body.url(name, self.box_url, format_args!("/folders/{ROOT_FOLDER}")),
            id => body.url(name, self.box_url, format_args!("/folders/{id}")),
        }
    }
}

/// An `nmsEvent` as it is written, in either format. Names are our own, and need no escaping in either.
struct Body {
    out: String,
    format: Format,
}

impl Body {
    /// An object in JSON, an element in XML.
    fn of_event(format: Format, write: impl FnOnce(&mut Body)) -> String {
        let mut body = Body { out: String::with_capacity(BODY_BYTES), format };
        match format {
            Format::Json => body.json_object(write),
            Format::Xml => body.xml_element("nmsEvent", write),
        }
        body.out
    }

    /// A member with members.
    fn member(&mut self, name: &'static str, write: impl FnOnce(&mut Body)) {
        match self.format {
            Format::Json => {
                self.json_name(name);
                self.json_object(write);
            }
            Format::Xml => self.xml_element(name, write),
        }
    }

    /// A member without value.
    fn nothing(&mut self, name: &'static str) {
        match self.format {
            Format::Json => {
                self.json_name(name);
                self.out.push_str("null");
            }
            Format::Xml => self.xml_empty(name),
        }
    }

    fn text(&mut self, name: &'static str, text: &str) {
        match self.format {
            Format::Json => {
                self.json_name(name);
                json::write_text(&mut self.out, text);
            }
            Format::Xml if text.is_empty() => self.xml_empty(name),
            Format::Xml => self.xml_element(name, |body| xml::write_text(&mut body.out, text)),
        }
    }

    /// A member that may occur several times: an array in JSON.
    fn texts(&mut self, name: &'static str, texts: &[String]) {
        match self.format {
            Format::Json => {
                self.json_name(name);
                self.out.push('[');
                for (n, text) in texts.iter().enumerate() {
                    if n > 0 {
                        self.out.push(',');
                    }
                    json::write_text(&mut self.out, text);
                }
                self.out.push(']');
            }
            Format::Xml => texts.iter().for_each(|text| self.text(name, text)),
        }
    }

    /// The same for one with members.
    fn members<T>(&mut self, name: &'static str, of: impl IntoIterator<Item = T>, write: impl Fn(&mut Body, T)) {
        match self.format {
            Format::Json => {
                self.json_name(name);
                self.out.push('[');
                for (n, one) in of.into_iter().enumerate() {
                    if n > 0 {
                        self.out.push(',');
                    }
                    self.json_object(|body| write(body, one));
                }
                self.out.push(']');
            }
            Format::Xml => of.into_iter().for_each(|one| self.xml_element(name, |body| write(body, one))),
        }
    }

    fn number(&mut self, name: &'static str, number: i64) {
        match self.format {
            Format::Json => {
                self.json_name(name);
                self.formatted(format_args!("{number}"));
            }
            Format::Xml => self.xml_element(name, |body| body.formatted(format_args!("{number}"))),
        }
    }

    /// A URL below another one; what follows that needs no escaping.
    fn url(&mut self, name: &'static str, above: &str, rest: std::fmt::Arguments) {
        match self.format {
            Format::Json => {
                self.json_name(name);
                json::write_text(&mut self.out, above);
                self.out.pop(); // the quotation mark
                self.formatted(rest);
                self.out.push('"');
            }
            Format::Xml => self.xml_element(name, |body| {
                xml::write_text(&mut body.out, above);
                body.formatted(rest);
            }),
        }
    }

    fn formatted(&mut self, what: std::fmt::Arguments) {
        let _ = self.out.write_fmt(what); // into a text, which takes everything
    }

    fn json_object(&mut self, write: impl FnOnce(&mut Body)) {
        self.out.push('{');
        write(self);
        self.out.push('}');
    }

    fn json_name(&mut self, name: &'static str) {
        if !self.out.ends_with('{') {
            self.out.push(','); // a value ends with another character
        }
        self.out.push('"');
        self.out.push_str(name);
        self.out.push_str("\":");
    }

    fn xml_element(&mut self, name: &'static str, write: impl FnOnce(&mut Body)) {
        self.out.push('<');
        self.out.push_str(name);
        self.out.push('>');
        write(self);
        self.out.push_str("</");
        self.out.push_str(name);
        self.out.push('>');
    }

    fn xml_empty(&mut self, name: &'static str) {
        self.out.push('<');
        self.out.push_str(name);
        self.out.push_str("/>");
    }
}

/// What is the same in every `nmsEventList` of a subscription, so that a list is put together from ready pieces.
#[derive(Debug)]
pub struct EventListShape {
    format: Format,
    attributes: bool,
    box_url: Box<str>,
    before_event: &'static str,
    before_index: Cow<'static, str>,
    before_token: &'static str,
    after_token: Box<str>,
}

impl EventListShape {
    /// The format of the lists.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The shape of a subscription's lists.
    pub fn new(subscription: &Subscription, urls: &Urls) -> Self {
        let link = json!([{ "rel": "NmsSubscription", "href": urls.subscription(&subscription.of, &subscription.id) }]);
        let data = subscription.callback_data.as_deref();
        let (format, attributes) = (subscription.format, subscription.attributes);
        let box_url = urls.store_box(&subscription.of).into();
        match format {
            Format::Json => EventListShape {
                format,
                attributes,
                box_url,
                before_event: r#"{"nmsEventList":{"nmsEvent":["#,
                before_index: match data {
                    Some(data) => format!(r#"],"callbackData":{},"index":"#, json!(data)).into(),
                    None => r#"],"index":"#.into(),
                },
                before_token: r#","restartToken":""#,
                after_token: format!(r#"","link":{link}}}}}"#).into(),
            },
            Format::Xml => EventListShape {
                format,
                attributes,
                box_url,
                before_event: r#"<nms:nmsEventList xmlns:nms="urn:oma:xml:rest:netapi:nms:1">"#,
                before_index: match data {
                    Some(data) => (xml::element("callbackData", &json!(data)) + "<index>").into(),
                    None => "<index>".into(),
                },
                before_token: "</index><restartToken>",
                after_token: format!("</restartToken>{}</nms:nmsEventList>", xml::element("link", &link)).into(),
            },
        }
    }

    /// The event's `nmsEvent`, made by the first subscription that asks for it and shared by all of the box that want it
    /// so.
    pub fn body<'a>(&self, of: &'a Event) -> Option<&'a str> {
        of.body(self.format, self.attributes, |of| event(of, &self.box_url, self.format, self.attributes))
    }

    /// Writes a list of one event.
    pub fn write(&self, out: &mut String, event: &str, index: i64, at: DateTime<Utc>) {
        out.push_str(self.before_event);
        out.push_str(event);
        out.push_str(&self.before_index);
        let _ = write!(out, "{index}"); // into a text, which takes everything
        out.push_str(self.before_token);
        write_token(out, at);
        out.push_str(&self.after_token);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::{BoxName, Stream};
    use crate::channel::secret::UrlKey;
    use crate::wire::nms::{flags_of, write_attributes};
    use proptest::prelude::*;
    use serde_json::Value;

    fn text() -> impl Strategy<Value = String> {
        prop_oneof![3 => "[a-z]{0,8}", 1 => ".{0,8}", 1 => "[\\\\\"<&>\u{0}-\u{20}\u{fffe}ä€]{0,6}"]
    }

    /// What an attribute may have in the log.
    fn values() -> impl Strategy<Value = Value> {
        prop_oneof![
            text().prop_map(Value::from),
            Just(Value::Null),
            any::<i64>().prop_map(Value::from),
            prop::collection::vec(text(), 0..3).prop_map(Value::from),
        ]
    }

    /// The fields of the specification, in its order.
    fn fields(kind: &Kind, state: &Value, of: &BoxName, id: i64, seq: i64, urls: &Urls) -> Value {
        let mut fields = json!({});
        let above = |member: &str| json!(urls.folder(of, state[member].as_i64().unwrap_or(0)));
        match kind {
            Kind::ObjectChanged => {
                fields["parentFolder"] = above("folder");
                let flags: Vec<String> = serde_json::from_value(state["flags"].clone()).unwrap_or_default();
                fields["flags"] = flags_of(&flags, &urls.flags(of, id));
            }
            Kind::FolderChanged => fields["parentFolder"] = above("parent"),
            _ => {}
        }
        let of_object = kind.is_of_object();
        fields["resourceURL"] = json!(if of_object { urls.object(of, id) } else { urls.folder(of, id) });
        if *kind == Kind::FolderChanged {
            fields["name"] = json!(state["name"].as_str().unwrap_or_default());
        }
        fields["lastModSeq"] = json!(seq);
        for name in ["correlationId", "correlationTag"] {
            if of_object && state[name].is_string() {
                fields[name] = state[name].clone();
            }
        }
        fields
    }

    proptest! {
        /// What is written by hand is what the common rules write of the same document, in both formats.
        #[test]
        fn an_event_is_written_as_any_document_is(
            kind in prop_oneof![
                Just((Kind::ObjectChanged, "changedObject")), Just((Kind::ObjectDeleted, "deletedObject")),
                Just((Kind::ObjectExpired, "expiredObject")), Just((Kind::FolderChanged, "changedFolder")),
                Just((Kind::FolderDeleted, "deletedFolder")), Just((Kind::FolderExpired, "expiredFolder")),
            ],
            store in "[a-z+ ]{1,4}", id in 1_i64..i64::MAX, seq in 1_i64..i64::MAX, above in 0_i64..3,
            flags in prop::option::of(prop::collection::vec(text(), 0..3)),
            (name, correlation_id, correlation_tag) in (text(), prop::option::of(text()), prop::option::of(text())),
            attributes in prop::collection::btree_map(text(), values(), 0..4), with_attributes: bool,
        ) {
            let (kind, element) = kind;
            let urls = Urls::new("https://a.example/b&c".to_owned(), UrlKey::new(vec![1; 32]));
            let of = BoxName::parse(&store, "tel:+1").unwrap();
            let mut state = json!({ "folder": above, "parent": above, "name": name, "attributes": attributes });
            for (member, value) in [("correlationId", &correlation_id), ("correlationTag", &correlation_tag)] {
                if let Some(value) = value {
                    state[member] = json!(value);
                }
            }
            if let Some(flags) = flags {
                state["flags"] = json!(flags);
            }
            let at = DateTime::UNIX_EPOCH;
            let logged = Event::new(of.stream().clone(), seq, kind.clone(), Some(id), at, state.to_string());
            let mut fields = fields(&kind, &state, &of, id, seq, &urls);
            if with_attributes && kind.is_of_object() {
                fields["attributes"] = write_attributes(&logged.state().attributes);
            }
            let document = json!({ element: fields });
            let written = |format| event(&logged, &urls.store_box(&of), format, with_attributes).unwrap();
            prop_assert_eq!(written(Format::Json), document.to_string());
            prop_assert_eq!(written(Format::Xml), xml::element("nmsEvent", &document));
        }
    }

    #[test]
    fn what_cannot_be_understood_is_told_all_the_same() {
        let logged = |kind, data: &str| {
            let stream = Stream::from_log("default/b");
            event(&Event::new(stream, 3, kind, Some(7), DateTime::UNIX_EPOCH, data), "u", Format::Json, false)
        };
        let bare = r#"{"changedObject":{"parentFolder":"u/folders/root","flags":{"flag":[],"resourceURL":"u/objects/7/flags"},"resourceURL":"u/objects/7","lastModSeq":3}}"#;
        assert_eq!(logged(Kind::ObjectCreated, "[]").as_deref(), Some(bare));
        assert_eq!(logged(Kind::ObjectCreated, r#"{"flags":7}"#).as_deref(), Some(bare));
        assert_eq!(logged(Kind::ObjectCreated, r#"{"correlationId":{},"parent":""}"#).as_deref(), Some(bare));
        assert_eq!(logged(Kind::BoxReset, "{}").as_deref(), Some(r#"{"resetBox":null}"#));
        assert_eq!(logged(Kind::SubscriptionCreated, "{}"), None);
        assert_eq!(reset_box(Format::Xml), "<nmsEvent><resetBox/></nmsEvent>");
    }
}
