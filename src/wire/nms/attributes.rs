//! Attributes of objects and folders (spec/nms 3.4).

use serde_json::{Map, Value, json};

use crate::base::{Error, Result, fold};
use crate::wire::json::Fields;

/// Attributes of one item.
const ATTRIBUTES_MAX: usize = 200;
/// Characters of a name.
const NAME_CHARS_MAX: usize = 255;
/// Values of one attribute, as of `To` in a large group.
const VALUES_MAX: usize = 1000;
/// Characters of a value, as of `TextContent`.
const VALUE_CHARS_MAX: usize = 1 << 18;

/// Reads the member `attributes`: each name once, as it was spelled first, with its values in their order. One value
/// is a text, several are an array.
pub fn read_attributes(fields: &mut Fields) -> Result<Map<String, Value>> {
    let refused = || Error::invalid("attributes");
    let Some(mut list) = fields.fields("attributes")? else { return Ok(Map::new()) };
    let mut merged: Vec<(String, String, Vec<String>)> = Vec::new(); // folded name, name, values
    for mut attribute in list.list("attribute")? {
        let name = attribute.required("name").map_err(|_| refused())?;
        let values = attribute.texts_or_none("value", VALUE_CHARS_MAX).map_err(|_| refused())?;
        let folded = fold(&name);
        match merged.iter_mut().find(|(known, ..)| *known == folded) {
            Some((.., known)) => known.extend(values),
            None => merged.push((folded, name, values)),
        }
        let fits = merged.len() <= ATTRIBUTES_MAX
            && merged
                .iter()
                .all(|(_, name, values)| name.chars().count() <= NAME_CHARS_MAX && values.len() <= VALUES_MAX);
        if !fits {
            return Err(refused());
        }
    }
    Ok(merged.into_iter().map(|(_, name, values)| (name, stored(values))).collect())
}

fn stored(mut values: Vec<String>) -> Value {
    match values.len() {
        1 => Value::String(values.remove(0)),
        _ => json!(values),
    }
}

/// Writes an AttributeList.
pub fn write_attributes(attributes: &Map<String, Value>) -> Value {
    let list: Vec<Value> =
        attributes.iter().map(|(name, value)| json!({ "name": name, "value": values(value) })).collect();
    json!({ "attribute": list })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::json::Media;

    fn read(attributes: Value) -> Result<Value> {
        let body = json!({ "attributes": attributes }).to_string();
        read_attributes(&mut Fields::read(Media::Json, body.as_bytes(), "object")?).map(Value::Object)
    }

    #[test]
    fn one_value_is_a_text_and_several_an_array() {
        let given = json!({ "attribute": [
            { "name": "One", "value": ["a"] }, { "name": "Bare", "value": 7 }, { "name": "Two", "value": ["a", "b"] },
            { "name": "None" }, { "name": "two", "value": ["c", "a"] }, { "name": "Empty", "value": [""] }] });
        let expected = json!({ "One": "a", "Bare": "7", "Two": ["a", "b", "c", "a"], "None": [], "Empty": "" });
        assert_eq!(read(given).unwrap(), expected);
        assert_eq!(read(json!({ "attribute": [] })).unwrap(), json!({}));
        assert_eq!(read(Value::Null).unwrap(), json!({}));
        let written = write_attributes(expected.as_object().unwrap());
        assert_eq!(read(written).unwrap(), expected, "what is written is read as it was");
    }

    #[test]
    fn what_cannot_be_attributes_is_refused() {
        let many = |count: usize| (0..count).map(|n| json!({ "name": format!("a{n}") })).collect::<Vec<_>>();
        assert!(read(json!({ "attribute": many(ATTRIBUTES_MAX) })).is_ok());
        for bad in [
            json!("x"),
            json!({ "attribute": ["x"] }),
            json!({ "attribute": [{ "value": ["x"] }] }),
            json!({ "attribute": [{ "name": "" }] }),
            json!({ "attribute": [{ "name": "a\u{0}" }] }),
            json!({ "attribute": [{ "name": "a", "value": ["\u{0}"] }] }),
            json!({ "attribute": [{ "name": "a", "value": [{}] }] }),
            json!({ "attribute": [{ "name": "a".repeat(NAME_CHARS_MAX + 1) }] }),
            json!({ "attribute": [{ "name": "a", "value": ["x".repeat(VALUE_CHARS_MAX + 1)] }] }),
            json!({ "attribute": [{ "name": "a", "value": vec!["x"; VALUES_MAX + 1] }] }),
            json!({ "attribute": many(ATTRIBUTES_MAX + 1) }),
        ] {
            let begin: String = bad.to_string().chars().take(60).collect();
            assert!(matches!(read(bad), Err(Error::Invalid { .. })), "{begin}");
        }
    }
}
