//! Objects (spec/nms 3.1).

use serde_json::{Value, json};

use super::attributes::write_attributes;
use super::flags::flags_of;
use crate::store::Object;
use crate::wire::urls::Urls;

/// Writes an `object` (3.1).
pub fn object(object: &Object, urls: &Urls) -> Value {
    let url = urls.object(&object.of, object.id);
    let mut fields = json!({
        "parentFolder": urls.folder(&object.of, object.state.folder),
        "attributes": write_attributes(&object.state.attributes),
        "flags": flags_of(&object.state.flags, &urls.flags(&object.of, object.id)),
        "resourceURL": url,
        "path": format!("{}/{}", object.state.path, object.id),
        "lastModSeq": object.seq,
    });
    add_correlation(&mut fields, object.state.correlation_id.as_deref(), object.state.correlation_tag.as_deref());
    json!({ "object": fields })
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
