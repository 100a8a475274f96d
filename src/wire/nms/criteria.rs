//! Search criteria: what is looked for, and which events a subscription wants (spec/nms 3.9).

use serde_json::{Value, json};

use crate::base::{Error, Result};
use crate::filter::{Criterion, Filter, Operator};
use crate::wire::json::Fields;

/// Criteria of one filter: each costs every event of the box.
const CRITERIA_MAX: usize = 100;

/// Reads the `filter` of a subscription. Filters are refused with SVC0003: a phone that gets SVC0002 here drops its restartToken instead of its filter.
pub fn read_filter(fields: &mut Fields) -> Result<Option<Filter>> {
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

/// Writes a SearchCriteria.
pub fn filter_fields(filter: &Filter) -> Value {
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
