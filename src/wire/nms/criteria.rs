//! Search criteria: what is looked for, and which events a subscription wants (spec/nms 3.9).

use chrono::{DateTime, SecondsFormat, Utc};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use crate::base::{Error, Result};
use crate::filter::{Criterion, Filter, Operator};
use crate::wire::json::Fields;

/// Criteria of one filter: each costs every event of the box.
const CRITERIA_MAX: usize = 100;
const TYPES: &str = "Date, Attribute, AllTextAttributes, Flag, WholeWord, VanishedObjects, CreatedObjects, PresetSearch, \
                     Conversation";
/// The presets: everything, and the subtree of a path.
const PRESETS: &str = "UPOneDotO, path";

/// Reads the `filter` of a subscription. Filters are refused with SVC0003: a phone that gets SVC0002 here drops its
/// restartToken instead of its filter.
pub fn read_filter(fields: &mut Fields) -> Result<Option<Filter>> {
    let unknown_preset = |_: String| Error::choice("name", PRESETS);
    let Some(criteria) = read_criteria(fields, "filter", unknown_preset)? else { return Ok(None) };
    if criteria.created_after.is_some() {
        return Err(Error::choice("value", "the empty text"));
    }
    Ok(Some(criteria.filter))
}

/// A SearchCriteria.
#[derive(Debug, Clone)]
pub struct SearchCriteria {
    /// What it says.
    pub filter: Filter,
    /// The value of its CreatedObjects, if it is not empty.
    pub created_after: Option<String>,
}

/// Reads the SearchCriteria in a member. `unknown_preset` makes the error for a preset of that name.
pub fn read_criteria(
    fields: &mut Fields,
    member: &str,
    unknown_preset: impl Fn(String) -> Error,
) -> Result<Option<SearchCriteria>> {
    let Some(mut read) = fields.fields(member)? else { return Ok(None) };
    let operator = match read.text_not_empty("operator")?.as_deref() {
        None | Some("And") => Operator::And,
        Some("Or") => Operator::Or,
        Some("Not") => Operator::Not,
        Some(_) => return Err(Error::choice("operator", "And, Or, Not")),
    };
    let given = read.list("criterion")?;
    if given.len() > CRITERIA_MAX {
        return Err(Error::choice(member, &format!("at most {CRITERIA_MAX} criteria")));
    }
    let (mut criteria, mut created_after) = (Vec::new(), None);
    for mut one in given {
        let value = one.text("value")?.unwrap_or_default();
        let criterion = read_criterion(one, &value, &unknown_preset)?;
        if criterion == Criterion::CreatedObjects && !value.is_empty() {
            created_after = Some(value);
        }
        criteria.push(criterion);
    }
    if criteria.is_empty() {
        return Err(Error::choice(member, "at least one criterion"));
    }
    Ok(Some(SearchCriteria { filter: Filter { criteria, operator }, created_after }))
}

fn read_criterion(mut criterion: Fields, value: &str, unknown_preset: &impl Fn(String) -> Error) -> Result<Criterion> {
    let name =
        |criterion: &mut Fields| criterion.text_not_empty("name")?.ok_or_else(|| Error::choice("name", "a name"));
    let some_text = || if value.is_empty() { Err(Error::choice("value", "a text")) } else { Ok(value.to_owned()) };
    let kind = criterion.text_not_empty("type")?.ok_or_else(|| Error::choice("type", TYPES))?;
    Ok(match kind.as_str() {
        "Attribute" => Criterion::Attribute { name: name(&mut criterion)?, value: value.to_owned() },
        "Conversation" => Criterion::Attribute { name: "Conversation-ID".to_owned(), value: value.to_owned() },
        "Flag" => Criterion::Flag {
            name: name(&mut criterion)?,
            set: match value.trim() {
                "" | "true" | "1" => true,
                "false" | "0" => false,
                _ => return Err(Error::choice("value", "true, false, 1, 0")),
            },
        },
        "Date" => read_dates(value)?,
        "AllTextAttributes" => Criterion::AllTextAttributes { text: some_text()? },
        "WholeWord" => Criterion::WholeWord { word: some_text()? },
        "VanishedObjects" => Criterion::VanishedObjects,
        "CreatedObjects" => Criterion::CreatedObjects,
        "PresetSearch" => match name(&mut criterion)? {
            preset if preset.eq_ignore_ascii_case("UPOneDotO") => Criterion::Everything,
            preset if preset.eq_ignore_ascii_case("path") => Criterion::Path { path: folder_path(value) },
            preset => return Err(unknown_preset(preset)),
        },
        _ => return Err(Error::choice("type", TYPES)),
    })
}

/// A path of a folder as we keep it: `/main/sent`, empty for the root folder.
pub(super) fn folder_path(given: &str) -> String {
    match given.trim_matches('/') {
        "" => String::new(),
        path => format!("/{path}"),
    }
}

/// `minDate=X&maxDate=Y`, in any order, either one alone.
fn read_dates(value: &str) -> Result<Criterion> {
    let refused = || Error::choice("value", "minDate=dateTimeStamp&maxDate=dateTimeStamp");
    let (mut min, mut max) = (None, None);
    for part in value.split('&') {
        let (name, date) = part.split_once('=').ok_or_else(refused)?;
        let bound = match name.trim() {
            name if name.eq_ignore_ascii_case("minDate") => &mut min,
            name if name.eq_ignore_ascii_case("maxDate") => &mut max,
            _ => return Err(refused()),
        };
        *bound = Some(parse_date(date).ok_or_else(refused)?);
    }
    Ok(Criterion::Date { min, max })
}

/// An xsd:dateTimeStamp, to the microsecond. The seconds may be missing, and a `+` may have become a blank on its way, as
/// it does in forms.
fn parse_date(text: &str) -> Option<DateTime<Utc>> {
    let decoded = percent_decode_str(text.trim()).decode_utf8().ok()?.replace(' ', "+");
    let (date, time) = decoded.split_once('T')?;
    let zone = time.find(['Z', '+', '-'])?;
    let (clock, zone) = time.split_at(zone);
    let seconds = if clock.matches(':').count() == 1 { ":00" } else { "" };
    let at = DateTime::parse_from_rfc3339(&format!("{date}T{clock}{seconds}{zone}")).ok()?.to_utc();
    let year = chrono::Datelike::year(&at);
    if !(1..=9999).contains(&year) {
        return None;
    }
    DateTime::from_timestamp_micros(at.timestamp_micros())
}

/// Writes a SearchCriteria.
pub fn filter_fields(filter: &Filter) -> Value {
    let criteria: Vec<Value> = filter.criteria.iter().map(criterion_fields).collect();
    let operator = match filter.operator {
        Operator::And => "And",
        Operator::Or => "Or",
        Operator::Not => "Not",
    };
    json!({ "criterion": criteria, "operator": operator })
}

fn criterion_fields(criterion: &Criterion) -> Value {
    match criterion {
        Criterion::Attribute { name, value } => json!({ "type": "Attribute", "name": name, "value": value }),
        Criterion::Flag { name, set } => json!({ "type": "Flag", "name": name, "value": set.to_string() }),
        Criterion::Date { min, max } => {
            let bounds = [("minDate", min), ("maxDate", max)].into_iter().filter_map(|(name, bound)| {
                bound.map(|at| format!("{name}={}", at.to_rfc3339_opts(SecondsFormat::AutoSi, true)))
            });
            json!({ "type": "Date", "value": bounds.collect::<Vec<_>>().join("&") })
        }
        Criterion::AllTextAttributes { text } => json!({ "type": "AllTextAttributes", "value": text }),
        Criterion::WholeWord { word } => json!({ "type": "WholeWord", "value": word }),
        Criterion::VanishedObjects => json!({ "type": "VanishedObjects", "value": "" }),
        Criterion::CreatedObjects => json!({ "type": "CreatedObjects", "value": "" }),
        Criterion::Path { path } => {
            let path = if path.is_empty() { "/" } else { path };
            json!({ "type": "PresetSearch", "name": "path", "value": path })
        }
        Criterion::Everything => json!({ "type": "PresetSearch", "name": "UPOneDotO", "value": "" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_as_clients_write_them() {
        let min = |value: &str| match read_dates(value) {
            Ok(Criterion::Date { min, .. }) => min.map(|at| at.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
            other => panic!("{value}: {other:?}"),
        };
        for (value, expected) in [
            ("minDate=2024-05-01T00:00:00Z", "2024-05-01T00:00:00Z"),
            ("minDate=2024-05-01T12:00Z", "2024-05-01T12:00:00Z"),
            ("minDate=2024-05-01T12:00 02:00", "2024-05-01T10:00:00Z"),
            ("minDate=2024-05-01T12:00:00%2B02:00&maxDate=2024-05-02T00:00Z", "2024-05-01T10:00:00Z"),
            ("maxDate=2024-05-02T00:00Z&minDate=2024-05-01T12:00:00.1234567-02:00", "2024-05-01T14:00:00.123456Z"),
        ] {
            assert_eq!(min(value).as_deref(), Some(expected), "{value}");
        }
        assert_eq!(min("maxDate=2024-05-02T00:00:00Z"), None);
        for bad in [
            "",
            "minDate",
            "minDate=",
            "minDate=2024-05-01",
            "minDate=2024-05-01T12:00:00",
            "date=2024-05-01T12:00Z",
            "minDate=2024-05-01T12Z",
            "minDate=2024-13-01T12:00:00Z",
            "minDate=0000-01-01T00:00:00Z&",
            "minDate=x",
        ] {
            assert!(read_dates(bad).is_err(), "{bad}");
        }
    }
}
