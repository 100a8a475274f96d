//! Subscriptions (spec/nms 3.10).

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::criteria::{filter_fields, read_filter};
use crate::base::ids::BoxName;
use crate::base::{Error, Format, Result};
use crate::filter::Filter;
use crate::log::event::token;
use crate::subscription::Subscription;
use crate::wire::json::{Fields, moment};
use crate::wire::urls::Urls;

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
    /// `x-attributes`, an extension: its events carry the attributes of their objects.
    pub attributes: bool,
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
        attributes: fields.boolean("x-attributes")?.unwrap_or(false),
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
    moment("restartToken", text)
}

fn read_token(fields: &mut Fields) -> Result<Option<DateTime<Utc>>> {
    fields.text_not_empty("restartToken")?.as_deref().map(parse_token).transpose()
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
    if subscription.attributes {
        fields["x-attributes"] = json!(true);
    }
    if let Some(correlator) = &subscription.client_correlator {
        fields["clientCorrelator"] = json!(correlator);
    }
    fields["resourceURL"] = json!(urls.subscription(&subscription.of, &subscription.id));
    fields["index"] = json!(subscription.cursor.next_index);
    fields["restartToken"] = json!(token(subscription.cursor.next_at));
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::{Criterion, Operator};
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
            r#"{"criterion":[{"type":"PresetSearch","name":"Other","value":""}]}"#,
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
