//! Why a filter does not want an event, for a person.

use super::{Criterion, Filter, Operator};
use crate::log::Event;

impl Filter {
    /// Which criteria keep the event away; `None`: it is wanted. `since` as for [`Filter::matches`].
    pub fn refusal(&self, event: &Event, since: i64) -> Option<String> {
        if self.matches(event, since) {
            return None;
        }
        let criteria = |wanted: &dyn Fn(&Criterion) -> bool| {
            let found = self.criteria.iter().filter(|criterion| wanted(criterion));
            found.map(|criterion| serde_json::to_string(criterion).unwrap_or_default()).collect::<Vec<_>>().join(", ")
        };
        Some(match self.operator {
            Operator::And => format!("does not hold: {}", criteria(&|criterion| !criterion.holds(event, since))),
            Operator::Or => format!("none holds of: {}", criteria(&|_| true)),
            Operator::Not => format!("with the operator Not, all hold: {}", criteria(&|_| true)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::Stream;
    use crate::log::Kind;

    #[test]
    fn the_criteria_that_fail_are_named() {
        let data = serde_json::value::RawValue::from_string(r#"{"attributes":{"a":"1"}}"#.to_owned()).unwrap();
        let at = chrono::DateTime::UNIX_EPOCH;
        let event = Event::new(Stream::from_log("default/b"), 1, Kind::ObjectCreated, Some(1), at, data);
        let criterion = |value: &str| Criterion::Attribute { name: "a".into(), value: value.into() };
        let refusal = |operator, values: &[&str]| {
            Filter { criteria: values.iter().map(|v| criterion(v)).collect(), operator }.refusal(&event, 0)
        };
        assert_eq!(refusal(Operator::And, &["1"]), None);
        let told = refusal(Operator::And, &["1", "2"]).unwrap();
        assert!(told.contains(r#""value":"2""#) && !told.contains(r#""value":"1""#), "{told}");
        assert_eq!(refusal(Operator::Or, &["1", "2"]), None);
        assert!(refusal(Operator::Or, &["2", "3"]).unwrap().contains(r#""value":"3""#));
        assert!(refusal(Operator::Not, &["1"]).unwrap().contains("Not"));
    }
}
