//! Events and their lists (spec/nms 3.11).

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::flags::flags_of;
use super::object::add_correlation;
use crate::base::Format;
use crate::base::ids::BoxName;
use crate::log::event::{Event, Kind, token};
use crate::subscription::Subscription;
use crate::wire::urls::Urls;
use crate::wire::xml;

/// Writes an `nmsEvent` (3.11): `None` for what no subscription is told of. The same bytes serve every client.
pub fn event(event: &Event, urls: &Urls, format: Format) -> Option<String> {
    if event.kind == Kind::BoxReset {
        return Some(reset_box(format));
    }
    let (of, id) = BoxName::of(&event.stream).zip(event.object_id)?;
    let (name, fields) = match event.kind {
        Kind::ObjectCreated | Kind::ObjectChanged => ("changedObject", object_event(event, &of, id, true, urls)),
        Kind::ObjectDeleted => ("deletedObject", object_event(event, &of, id, false, urls)),
        Kind::ObjectExpired => ("expiredObject", object_event(event, &of, id, false, urls)),
        Kind::FolderCreated | Kind::FolderChanged => ("changedFolder", folder_event(event, &of, id, true, urls)),
        Kind::FolderDeleted => ("deletedFolder", folder_event(event, &of, id, false, urls)),
        Kind::FolderExpired => ("expiredFolder", folder_event(event, &of, id, false, urls)),
        _ => return None,
    };
    Some(written(&json!({ name: fields }), format))
}

/// ChangedObject and DeletedObject.
fn object_event(event: &Event, of: &BoxName, id: i64, lives: bool, urls: &Urls) -> Value {
    let (state, url) = (event.state(), urls.object(of, id));
    let mut fields = json!({});
    if lives {
        fields["parentFolder"] = json!(urls.folder(of, state.folder));
        fields["flags"] = flags_of(&state.flags, &urls.flags(of, id));
    }
    fields["resourceURL"] = json!(url);
    fields["lastModSeq"] = json!(event.seq);
    add_correlation(&mut fields, state.correlation_id.as_deref(), state.correlation_tag.as_deref());
    fields
}

/// ChangedFolder and DeletedFolder.
fn folder_event(event: &Event, of: &BoxName, id: i64, lives: bool, urls: &Urls) -> Value {
    let mut fields = json!({});
    if lives {
        fields["parentFolder"] = json!(urls.folder(of, event.state().parent));
    }
    fields["resourceURL"] = json!(urls.folder(of, id));
    if lives {
        fields["name"] = json!(event.state().name);
    }
    fields["lastModSeq"] = json!(event.seq);
    fields
}

/// The `nmsEvent` of a reset box.
pub fn reset_box(format: Format) -> String {
    written(&json!({ "resetBox": null }), format)
}

fn written(event: &Value, format: Format) -> String {
    match format {
        Format::Json => event.to_string(),
        Format::Xml => xml::element("nmsEvent", event),
    }
}

/// What is the same in every `nmsEventList` of a subscription, so that a list is put together from ready pieces.
#[derive(Debug)]
pub struct EventListShape {
    before_event: &'static str,
    before_index: String,
    before_token: &'static str,
    after_token: String,
}

impl EventListShape {
    /// The shape of a subscription's lists.
    pub fn new(subscription: &Subscription, urls: &Urls) -> Self {
        let link = json!([{ "rel": "NmsSubscription", "href": urls.subscription(&subscription.of, &subscription.id) }]);
        let data = subscription.callback_data.as_deref();
        match subscription.format {
            Format::Json => EventListShape {
                before_event: r#"{"nmsEventList":{"nmsEvent":["#,
                before_index: match data {
                    Some(data) => format!(r#"],"callbackData":{},"index":"#, json!(data)),
                    None => r#"],"index":"#.to_owned(),
                },
                before_token: r#","restartToken":""#,
                after_token: format!(r#"","link":{link}}}}}"#),
            },
            Format::Xml => EventListShape {
                before_event: r#"<nms:nmsEventList xmlns:nms="urn:oma:xml:rest:netapi:nms:1">"#,
                before_index: data.map(|data| xml::element("callbackData", &json!(data))).unwrap_or_default()
                    + "<index>",
                before_token: "</index><restartToken>",
                after_token: format!("</restartToken>{}</nms:nmsEventList>", xml::element("link", &link)),
            },
        }
    }

    /// Writes a list of one event.
    pub fn write(&self, out: &mut String, event: &str, index: i64, at: DateTime<Utc>) {
        out.push_str(self.before_event);
        out.push_str(event);
        out.push_str(&self.before_index);
        out.push_str(&index.to_string());
        out.push_str(self.before_token);
        out.push_str(&token(at));
        out.push_str(&self.after_token);
    }
}
