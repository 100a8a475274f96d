//! Objects (spec/nms 3.1).

use serde_json::{Value, json};

use crate::store::Object;
use crate::wire::urls::Urls;

/// Writes an `object` (3.1).
pub fn object(object: &Object, urls: &Urls) -> Value {
    let url = urls.object(&object.of, object.id);
    let attributes: Vec<Value> =
        object.state.attributes.iter().map(|(name, value)| json!({ "name": name, "value": values(value) })).collect();
    let mut fields = json!({
        "parentFolder": urls.folder(&object.of, object.state.folder),
        "attributes": { "attribute": attributes },
        "flags": { "flag": object.state.flags, "resourceURL": format!("{url}/flags") },
        "resourceURL": url,
        "path": format!("{}/{}", object.state.path, object.id),
        "lastModSeq": object.seq,
    });
    add_correlation(&mut fields, object.state.correlation_id.as_deref(), object.state.correlation_tag.as_deref());
    json!({ "object": fields })
}

/// An attribute's values as texts, whether it has one or an array of them.
pub(super) fn values(value: &Value) -> Vec<String> {
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

/// Adds correlationId and correlationTag, if there are such.
pub(super) fn add_correlation(fields: &mut Value, id: Option<&str>, tag: Option<&str>) {
    if let Some(id) = id {
        fields["correlationId"] = json!(id);
    }
    if let Some(tag) = tag {
        fields["correlationTag"] = json!(tag);
    }
}
