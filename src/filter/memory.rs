//! Decides for one event, in memory.

use serde_json::Value;

use super::{Criterion, Filter, Operator, value_without_case};
use crate::base::fold;
use crate::log::event::{Event, Kind};

impl Filter {
    /// Whether a subscription with this filter wants the event. An event about no object (resetBox) is always wanted.
    pub fn matches(&self, event: &Event) -> bool {
        if event.kind == Kind::BoxReset {
            return true;
        }
        let holds = |criterion: &Criterion| criterion.holds(event);
        match self.operator {
            Operator::And => self.criteria.iter().all(holds),
            Operator::Or => self.criteria.iter().any(holds),
            Operator::Not => !self.criteria.iter().all(holds),
        }
    }
}

impl Criterion {
    fn holds(&self, event: &Event) -> bool {
        let item = event.state();
        match self {
            Criterion::Attribute { name, value } => item
                .attributes
                .iter()
                .filter(|(attribute, _)| fold(attribute) == fold(name))
                .any(|(_, values)| has_value(values, value, value_without_case(name))),
            Criterion::Flag { name, set } => {
                let name = fold(name);
                event.kind.is_of_object() && item.flags.iter().any(|flag| fold(flag) == name) == *set
            }
        }
    }
}

fn has_value(values: &Value, wanted: &str, without_case: bool) -> bool {
    let is = |text: &str| if without_case { text.eq_ignore_ascii_case(wanted) } else { text == wanted };
    match values {
        Value::String(text) => is(text),
        Value::Array(values) => values.iter().any(|value| has_value(value, wanted, without_case)),
        Value::Null => false,
        other => is(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::Stream;

    fn event(data: &str) -> Event {
        let data = serde_json::value::RawValue::from_string(data.to_owned()).unwrap();
        Event::new(Stream::from_log("default/b"), 1, Kind::ObjectChanged, Some(1), chrono::DateTime::UNIX_EPOCH, data)
    }

    fn attribute(name: &str, value: &str) -> Criterion {
        Criterion::Attribute { name: name.into(), value: value.into() }
    }

    fn flag(name: &str, set: bool) -> Criterion {
        Criterion::Flag { name: name.into(), set }
    }

    fn matches(operator: Operator, criteria: Vec<Criterion>, data: &str) -> bool {
        Filter { criteria, operator }.matches(&event(data))
    }

    #[test]
    fn names_without_case_values_with_case_but_for_two_attributes() {
        let data = r#"{"attributes":{"From":"tel:+1","Direction":"In","n":[1,"Two"]},"flags":["\\Seen"]}"#;
        let one = |criterion| matches(Operator::And, vec![criterion], data);
        assert!(one(attribute("from", "tel:+1")));
        assert!(!one(attribute("From", "TEL:+1")));
        assert!(one(attribute("direction", "IN")));
        assert!(one(attribute("n", "1")) && one(attribute("N", "Two")) && !one(attribute("n", "two")));
        assert!(one(flag("\\seen", true)) && !one(flag("\\SEEN", false)) && one(flag("\\Flagged", false)));
        assert!(!one(attribute("absent", "")));
    }

    #[test]
    fn operators() {
        let data = r#"{"attributes":{"a":"1"}}"#;
        let (yes, no) = (attribute("a", "1"), attribute("a", "2"));
        assert!(!matches(Operator::And, vec![yes.clone(), no.clone()], data));
        assert!(matches(Operator::Or, vec![yes.clone(), no.clone()], data));
        assert!(matches(Operator::Not, vec![yes.clone(), no.clone()], data));
        assert!(!matches(Operator::Not, vec![yes.clone(), yes], data));
        assert!(!matches(Operator::Or, vec![no], data));
    }
}
