//! The data types of the NMS API (spec/nms 3), in JSON.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::json::Fields;
use super::urls::Urls;
use super::xml;
use crate::base::ids::BoxName;
use crate::base::{Error, Format, Result};
use crate::filter::{Criterion, Filter, Operator};
use crate::log::event::{Event, Kind, token};
use crate::store::Object;
use crate::subscription::Subscription;

/// A request to create a subscription (3.10).
#[derive(Debug)]
pub struct NewSubscription {
    /// `callbackReference.notifyURL`.
    pub notify_url: String,
    /// `callbackReference.callbackData`.
    pub callback_data: Option<String>,
    /// `callbackReference.notificationFormat`.
    pub format: Option<Format>,
    /// Wish in seconds; 0 means its absence.
    pub duration_seconds: Option<u32>,
    /// What is wanted.
    pub filter: Option<Filter>,
    /// Echoed; `""` means absent, as phones send it.
    pub client_correlator: Option<String>,
    /// `""` means absent, as phones send it.
    pub restart_token: Option<DateTime<Utc>>,
}

/// Reads an `nmsSubscription`.
pub fn read_subscription(mut fields: Fields) -> Result<NewSubscription> {
    let mut callback = fields.fields("callbackReference")?.ok_or_else(|| Error::invalid("callbackReference"))?;
    let notify_url = callback.required("notifyURL")?;
    if url::Url::parse(&notify_url).is_err() {
        return Err(Error::invalid("notifyURL"));
    }
    let format = match callback.text_not_empty("notificationFormat")? {
        None => None,
        Some(name) => Some(Format::parse(&name).ok_or_else(|| Error::choice("notificationFormat", "XML, JSON"))?),
    };
    Ok(NewSubscription {
        notify_url,
        callback_data: callback.text("callbackData")?,
        format,
        duration_seconds: fields.uint("duration")?.filter(|seconds| *seconds > 0),
        filter: read_filter(&mut fields)?,
        client_correlator: fields.text_not_empty("clientCorrelator")?,
        restart_token: read_token(&mut fields)?,
    })
}

/// An update of a subscription (NmsSubscriptionUpdate).
#[derive(Debug)]
pub struct SubscriptionUpdate {
    /// New duration from now: `Some(0)` leaves the choice to us, `None` leaves it as it is.
    pub duration_seconds: Option<u32>,
    /// Start again from here.
    pub restart_token: Option<DateTime<Utc>>,
}

/// Reads an `nmsSubscriptionUpdate`.
pub fn read_subscription_update(mut fields: Fields) -> Result<SubscriptionUpdate> {
    Ok(SubscriptionUpdate { duration_seconds: fields.uint("duration")?, restart_token: read_token(&mut fields)? })
}

/// A restartToken. It is opaque to clients; to us it is a moment.
pub fn parse_token(text: &str) -> Result<DateTime<Utc>> {
    let at = DateTime::parse_from_rfc3339(text).map_err(|_| Error::invalid("restartToken"))?.to_utc();
    // Beyond what Postgres and our own format can say.
    let year = chrono::Datelike::year(&at);
    if (1..=9999).contains(&year) { Ok(at) } else { Err(Error::invalid("restartToken")) }
}

fn read_token(fields: &mut Fields) -> Result<Option<DateTime<Utc>>> {
    fields.text_not_empty("restartToken")?.as_deref().map(parse_token).transpose()
}

/// Criteria of one filter: each costs every event of the box.
const CRITERIA_MAX: usize = 100;

/// Filters are refused with SVC0003: a phone that gets SVC0002 here drops its restartToken instead of its filter.
fn read_filter(fields: &mut Fields) -> Result<Option<Filter>> {
    let Some(mut filter) = fields.fields("filter")? else { return Ok(None) };
    let operator = match filter.text_not_empty("operator")?.as_deref() {
        None | Some("And") => Operator::And,
        Some("Or") => Operator::Or,
        Some("Not") => Operator::Not,
        Some(_) => return Err(Error::choice("operator", "And, Or, Not")),
    };
    let criteria = filter.list("criterion")?;
    if criteria.len() > CRITERIA_MAX {
        return Err(Error::choice("filter", &format!("at most {CRITERIA_MAX} criteria")));
    }
    let criteria = criteria.into_iter().map(read_criterion).collect::<Result<Vec<_>>>()?;
    if criteria.is_empty() {
        return Err(Error::choice("filter", "at least one criterion"));
    }
    Ok(Some(Filter { criteria, operator }))
}

fn read_criterion(mut criterion: Fields) -> Result<Criterion> {
    const TYPES: &str = "Attribute, Flag, Conversation";
    let name =
        |criterion: &mut Fields| criterion.text_not_empty("name")?.ok_or_else(|| Error::choice("name", "a name"));
    let kind = criterion.text_not_empty("type")?.ok_or_else(|| Error::choice("type", TYPES))?;
    match kind.as_str() {
        "Attribute" => Ok(Criterion::Attribute {
            name: name(&mut criterion)?,
            value: criterion.text("value")?.unwrap_or_default(),
        }),
        "Conversation" => Ok(Criterion::Attribute {
            name: "Conversation-ID".to_owned(),
            value: criterion.text("value")?.unwrap_or_default(),
        }),
        "Flag" => Ok(Criterion::Flag {
            name: name(&mut criterion)?,
            set: match criterion.text_not_empty("value")?.as_deref() {
                None | Some("true" | "1") => true,
                Some("false" | "0") => false,
                Some(_) => return Err(Error::choice("value", "true, false, 1, 0")),
            },
        }),
        _ => Err(Error::choice("type", TYPES)),
    }
}

/// Writes an `nmsSubscription`.
pub fn subscription(subscription: &Subscription, urls: &Urls) -> Value {
    json!({ "nmsSubscription": subscription_fields(subscription, urls) })
}

/// Writes an `nmsSubscriptionList`.
pub fn subscription_list(of: &BoxName, subscriptions: &[Subscription], urls: &Urls) -> Value {
    let list: Vec<Value> = subscriptions.iter().map(|one| subscription_fields(one, urls)).collect();
    json!({ "nmsSubscriptionList": { "subscription": list, "resourceURL": urls.subscriptions(of) } })
}

fn subscription_fields(subscription: &Subscription, urls: &Urls) -> Value {
    let notify_url = subscription.notify_url.clone().unwrap_or_else(|| urls.callback(&subscription.channel));
    let mut callback = json!({ "notifyURL": notify_url });
    if let Some(data) = &subscription.callback_data {
        callback["callbackData"] = json!(data);
    }
    callback["notificationFormat"] = json!(subscription.format.name());
    let mut fields = json!({ "callbackReference": callback, "duration": subscription.remaining_seconds });
    if let Some(filter) = &subscription.filter {
        fields["filter"] = filter_fields(filter);
    }
    if let Some(correlator) = &subscription.client_correlator {
        fields["clientCorrelator"] = json!(correlator);
    }
    fields["resourceURL"] = json!(urls.subscription(&subscription.of, &subscription.id));
    fields["index"] = json!(subscription.cursor.next_index);
    fields["restartToken"] = json!(token(subscription.cursor.next_at));
    fields
}

fn filter_fields(filter: &Filter) -> Value {
    let criteria: Vec<Value> = filter
        .criteria
        .iter()
        .map(|criterion| match criterion {
            Criterion::Attribute { name, value } => json!({ "type": "Attribute", "name": name, "value": value }),
            Criterion::Flag { name, set } => json!({ "type": "Flag", "name": name, "value": set.to_string() }),
        })
        .collect();
    let operator = match filter.operator {
        Operator::And => "And",
        Operator::Or => "Or",
        Operator::Not => "Not",
    };
    json!({ "criterion": criteria, "operator": operator })
}

/// Writes an `object` (3.1).
pub fn object(object: &Object, urls: &Urls) -> Value {
    let url = urls.object(&object.of, object.id);
    let attributes: Vec<Value> =
        object.state.attributes.iter().map(|(name, value)| json!({ "name": name, "value": values(value) })).collect();
    let mut fields = json!({
        "parentFolder": urls.folder(&object.of, object.state.folder.as_deref()),
        "attributes": { "attribute": attributes },
        "flags": { "flag": object.state.flags, "resourceURL": format!("{url}/flags") },
        "resourceURL": url,
        "path": format!("/{}", object.id),
        "lastModSeq": object.seq,
    });
    add_correlation(&mut fields, object.state.correlation_id.as_deref(), object.state.correlation_tag.as_deref());
    json!({ "object": fields })
}

/// An attribute's values as texts, whether it has one or an array of them.
fn values(value: &Value) -> Vec<String> {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match value {
        Value::Array(values) => values.iter().filter(|value| !value.is_null()).map(text).collect(),
        Value::Null => Vec::new(),
        other => vec![text(other)],
    }
}

fn add_correlation(fields: &mut Value, id: Option<&str>, tag: Option<&str>) {
    if let Some(id) = id {
        fields["correlationId"] = json!(id);
    }
    if let Some(tag) = tag {
        fields["correlationTag"] = json!(tag);
    }
}

/// Writes an `nmsEvent` (3.11): `None` for what no subscription is told of. The same bytes serve every client.
pub fn event(event: &Event, urls: &Urls, format: Format) -> Option<String> {
    if event.kind == Kind::BoxReset {
        return Some(reset_box(format));
    }
    let (of, id) = BoxName::of(&event.stream).zip(event.object_id)?;
    let state = event.state();
    let url = urls.object(&of, id);
    let mut fields = json!({});
    let name = match event.kind {
        Kind::ObjectCreated | Kind::ObjectChanged => {
            fields["parentFolder"] = json!(urls.folder(&of, state.folder.as_deref()));
            fields["flags"] = json!({ "flag": state.flags, "resourceURL": format!("{url}/flags") });
            "changedObject"
        }
        Kind::ObjectDeleted => "deletedObject",
        Kind::ObjectExpired => "expiredObject",
        _ => return None,
    };
    fields["resourceURL"] = json!(url);
    fields["lastModSeq"] = json!(event.seq);
    add_correlation(&mut fields, state.correlation_id.as_deref(), state.correlation_tag.as_deref());
    Some(written(&json!({ name: fields }), format))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::json::Media;

    #[test]
    fn tokens_are_moments() {
        let at = parse_token("2026-01-31T12:00:00.123456Z").unwrap();
        assert_eq!(token(at), "2026-01-31T12:00:00.123456Z");
        assert_eq!(parse_token("2026-01-31T13:00:00.123456+01:00").unwrap(), at);
        for bad in ["t.e1.5000", "2026-01-31", "2026-01-31T12:00:00", "99999-01-01T00:00:00Z", "0000-01-01T00:00:00Z"] {
            assert!(parse_token(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_filter_that_cannot_be_used_is_svc0003() {
        let read = |filter: &str| {
            let body = format!(r#"{{"callbackReference":{{"notifyURL":"http://a/b"}},"filter":{filter}}}"#);
            read_subscription(Fields::read(Media::Json, body.as_bytes(), "nmsSubscription").unwrap())
        };
        for bad in [
            r#"{"criterion":[{"type":"PresetSearch","name":"UPOneDotO","value":""}]}"#,
            r#"{"criterion":[]}"#,
            r#"{"criterion":[{"type":"Flag","name":"x","value":"maybe"}]}"#,
            r#"{"criterion":[{"type":"Attribute","value":"x"}]}"#,
            r#"{"criterion":[{"type":"Flag","name":"x"}],"operator":"Xor"}"#,
        ] {
            assert!(matches!(read(bad), Err(Error::InvalidChoice { .. })), "{bad}");
        }
        let filter =
            read(r#"{"criterion":{"type":"Flag","name":"\\Seen","value":"0"},"operator":"Not"}"#).unwrap().filter;
        let expected = Criterion::Flag { name: "\\Seen".into(), set: false };
        assert_eq!(filter, Some(Filter { criteria: vec![expected], operator: Operator::Not }));
    }
}
