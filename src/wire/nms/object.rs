//! Objects (spec/nms 3.1) and their payloads (3.5).

use serde_json::{Value, json};

use super::attributes::{read_attributes, write_attributes};
use super::flags::{flags_of, read_flags};
use super::reference::folder_id;
use crate::base::ids::BoxName;
use crate::base::{Error, Result};
use crate::mime::Part;
use crate::store::{NewObject, Object, Place};
use crate::wire::json::Fields;
use crate::wire::urls::Urls;

/// Longest correlationId and correlationTag, in characters.
const NAME_CHARS_MAX: usize = 255;
/// Folders in folders that a path may lead through.
const PATH_DEPTH_MAX: usize = 64;

/// Reads an `object` to be created. What only answers have is ignored.
pub fn read_object(mut fields: Fields, of: &BoxName) -> Result<NewObject> {
    Ok(NewObject {
        place: read_place(&mut fields, of)?,
        attributes: read_attributes(&mut fields)?,
        flags: fields.fields("flags")?.map(read_flags).transpose()?.unwrap_or_default(),
        correlation_id: read_name(&mut fields, "correlationId")?,
        correlation_tag: read_name(&mut fields, "correlationTag")?,
    })
}

/// Reads an `objectList` to be created: each object by itself, since one that cannot be used does not spoil the others.
pub fn read_object_list(mut fields: Fields, of: &BoxName) -> Result<Vec<Result<NewObject>>> {
    Ok(fields.list("object")?.into_iter().map(|object| read_object(object, of)).collect())
}

fn read_place(fields: &mut Fields, of: &BoxName) -> Result<Place> {
    let (url, path) = (fields.text_not_empty("parentFolder")?, fields.text_not_empty("parentFolderPath")?);
    match (url, path) {
        (None, None) => Ok(Place::Anywhere),
        (Some(url), None) => folder_id(of, &url).map(Place::Folder).map_err(|_| Error::invalid("parentFolder")),
        (None, Some(path)) if path == "/" => Ok(Place::Folder(0)),
        (None, Some(path)) if is_path(&path) => Ok(Place::Path(path)),
        (_, Some(_)) => Err(Error::invalid("parentFolderPath")),
    }
}

fn is_path(path: &str) -> bool {
    let Some(names) = path.strip_prefix('/') else { return false };
    names.split('/').all(|name| !name.is_empty()) && names.split('/').count() <= PATH_DEPTH_MAX
}

fn read_name(fields: &mut Fields, name: &str) -> Result<Option<String>> {
    match fields.text_not_empty(name)? {
        Some(text) if text.chars().count() > NAME_CHARS_MAX => Err(Error::invalid(name)),
        text => Ok(text),
    }
}

/// Writes an `object` (3.1).
pub fn object(object: &Object, urls: &Urls) -> Value {
    let url = urls.object(&object.of, object.id);
    let mut fields = json!({
        "parentFolder": urls.folder(&object.of, object.state.folder),
        "attributes": write_attributes(&object.state.attributes),
        "flags": flags_of(&object.state.flags, &urls.flags(&object.of, object.id)),
        "resourceURL": url,
        "path": format!("{}/{}", object.state.path, object.id),
    });
    if let Some(payload) = &object.payload {
        fields["payloadURL"] = json!(urls.payload(&object.of, object.id));
        let part = |(n, part)| payload_part(part, urls.payload_part(&object.of, object.id, n + 1));
        let parts: Vec<Value> = payload.parts.iter().enumerate().map(part).collect();
        if !parts.is_empty() {
            fields["payloadPart"] = json!(parts);
        }
    }
    fields["lastModSeq"] = json!(object.seq);
    add_correlation(&mut fields, object.state.correlation_id.as_deref(), object.state.correlation_tag.as_deref());
    json!({ "object": fields })
}

/// Writes what is in a PayloadPartInfo (3.5).
fn payload_part(part: &Part, url: String) -> Value {
    let mut fields = json!({ "contentType": part.content_type });
    if let Some(id) = &part.id {
        fields["contentId"] = json!(id);
    }
    if let Some(location) = &part.location {
        fields["contentLocation"] = json!(location);
    }
    fields["size"] = json!(part.size);
    fields["href"] = json!(url);
    if let Some(disposition) = &part.disposition {
        fields["contentDisposition"] = json!(disposition);
    }
    fields
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::json::Media;

    fn read(media: Media, body: &str) -> Result<NewObject> {
        let of = BoxName::parse("default", "b").unwrap();
        read_object(Fields::read(media, body.as_bytes(), "object").unwrap(), &of)
    }

    #[test]
    fn names_that_differ_by_case_only_are_one_attribute() {
        let json = r#"{"attributes":{"attribute":[{"name":"To","value":["a"]},{"name":"X","value":"1"},
            {"name":"tO","value":["b",7]},{"name":"None"}]},"flags":{"flag":"\\Seen"},"correlationId":""}"#;
        let xml = "<object><attributes><attribute><name>To</name><value>a</value></attribute>
            <attribute><name>X</name><value>1</value></attribute><attribute><name>tO</name><value>b</value><value>7</value>
            </attribute><attribute><name>None</name></attribute></attributes><flags><flag>\\Seen</flag></flags></object>";
        for (media, body) in [(Media::Json, json), (Media::Xml, xml)] {
            let object = read(media, body).unwrap();
            assert_eq!(Value::Object(object.attributes), json!({ "To": ["a", "b", "7"], "X": "1", "None": [] }));
            assert_eq!((object.flags, object.correlation_id), (vec!["\\Seen".to_owned()], None));
        }
    }

    #[test]
    fn a_place_is_a_url_of_the_box_or_a_path() {
        let place = |fields: Value| read(Media::Json, &fields.to_string()).map(|object| object.place);
        assert_eq!(place(json!({})).unwrap(), Place::Anywhere);
        assert_eq!(place(json!({ "parentFolderPath": "/a/b c" })).unwrap(), Place::Path("/a/b c".into()));
        assert_eq!(place(json!({ "parentFolderPath": "/" })).unwrap(), Place::Folder(0));
        let url = |url: &str| json!({ "parentFolder": format!("http://h/nms/v1/default/b/folders/{url}") });
        assert_eq!(place(url("root")).unwrap(), Place::Folder(0));
        assert_eq!(place(url("7")).unwrap(), Place::Folder(7));
        for (fields, part) in [
            (url("x"), "parentFolder"),
            (json!({ "parentFolder": "http://h/nms/v1/default/other/folders/7" }), "parentFolder"),
            (json!({ "parentFolderPath": "a" }), "parentFolderPath"),
            (json!({ "parentFolderPath": "/a//b" }), "parentFolderPath"),
            (json!({ "parentFolderPath": "/a/" }), "parentFolderPath"),
            (json!({ "parentFolderPath": "/a".repeat(65) }), "parentFolderPath"),
            (json!({ "parentFolderPath": "/a", "parentFolder": "x" }), "parentFolderPath"),
        ] {
            assert!(matches!(place(fields.clone()), Err(Error::Invalid { part: p }) if p == part), "{fields}");
        }
    }

    #[test]
    fn what_is_too_much_or_no_text_is_refused() {
        let attribute =
            |name: Value, value: Value| json!({ "attributes": { "attribute": [{ "name": name, "value": value }] } });
        let many: Vec<Value> = (0..201).map(|n| json!({ "name": n.to_string() })).collect();
        for (bad, part) in [
            (json!({ "attributes": { "attribute": many } }), "attributes"),
            (attribute(json!("X"), json!(vec!["x"; 1001])), "attributes"),
            (attribute(json!("X"), json!(["x".repeat((1 << 18) + 1)])), "attributes"),
            (attribute(json!("X"), json!([{}])), "attributes"),
            (attribute(json!("X"), json!("a\0b")), "attributes"),
            (attribute(json!("x".repeat(256)), json!("a")), "attributes"),
            (attribute(json!("a\0"), json!("a")), "attributes"),
            (attribute(json!(""), json!("a")), "attributes"),
            (json!({ "flags": { "flag": [""] } }), "flag"),
            (json!({ "correlationId": "x".repeat(256) }), "correlationId"),
        ] {
            let outcome = read(Media::Json, &bad.to_string());
            assert!(matches!(&outcome, Err(Error::Invalid { part: p }) if p == part), "{part}: {:?}", outcome.err());
        }
    }
}
