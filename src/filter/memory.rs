//! Decides for one event, in memory.

use serde_json::Value;

use super::words::has_word;
use super::{Criterion, Filter, Operator, is_text_attribute, value_without_case};
use crate::base::fold;
use crate::log::event::{Event, ItemState, Kind};

impl Filter {
    /// Whether a subscription with this filter wants the event. An event about no item (resetBox) is always wanted.
    /// `since` is the seq at which the subscription began to listen, for [`Criterion::CreatedObjects`].
    pub fn matches(&self, event: &Event, since: i64) -> bool {
        if event.kind == Kind::BoxReset {
            return true;
        }
        let holds = |criterion: &Criterion| criterion.holds(event, since);
        match self.operator {
            Operator::And => self.criteria.iter().all(holds),
            Operator::Or => self.criteria.iter().any(holds),
            Operator::Not => !self.criteria.iter().all(holds),
        }
    }
}

impl Criterion {
    /// Whether it holds for the item of an event.
    pub(super) fn holds(&self, event: &Event, since: i64) -> bool {
        let item = event.state();
        match self {
            Criterion::Attribute { name, value } => {
                let (name, without_case) = (fold(name), value_without_case(name));
                let is = |text: &str| if without_case { text.eq_ignore_ascii_case(value) } else { text == value };
                texts(event, item).any(|(attribute, text)| is(text) && fold(attribute) == name)
            }
            Criterion::Flag { name, set } => {
                let name = fold(name);
                event.kind.is_of_object() && item.flags.iter().any(|flag| fold(flag) == name) == *set
            }
            Criterion::Date { min, max } => {
                let at = item.stored_at.unwrap_or(event.edited_at);
                min.is_none_or(|min| at >= min) && max.is_none_or(|max| at < max)
            }
            Criterion::AllTextAttributes { text } => {
                let wanted = fold(text);
                texts(event, item).any(|(name, text)| is_text_attribute(name) && fold(text).contains(&wanted))
            }
            Criterion::WholeWord { word } => {
                let word = fold(word);
                let is_in = |text: &str| has_word(&fold(text), &word);
                texts(event, item).any(|(name, text)| is_text_attribute(name) && is_in(text))
                    || (event.kind.is_of_object() && item.payload.texts().any(is_in))
            }
            Criterion::VanishedObjects => matches!(event.kind, Kind::ObjectDeleted | Kind::ObjectExpired),
            Criterion::CreatedObjects => event.kind == Kind::ObjectCreated && event.seq > since,
            Criterion::Path { path } => {
                item.path.strip_prefix(path.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
            Criterion::Everything => true,
        }
    }
}

/// The values of an item's attributes that are texts, each with the attribute's name.
pub(super) fn texts<'a>(event: &Event, item: &'a ItemState) -> impl Iterator<Item = (&'a str, &'a str)> {
    const NAME: &str = "Name";
    let of_folder = event.kind.is_of_folder();
    let own = item.attributes.iter().filter(move |(name, _)| !(of_folder && *name == NAME));
    let own = own.flat_map(|(name, values)| {
        let values = match values {
            Value::Array(values) => values.as_slice(),
            one => std::slice::from_ref(one),
        };
        values.iter().filter_map(Value::as_str).map(move |text| (name.as_str(), text))
    });
    own.chain(of_folder.then_some((NAME, item.name.as_str())))
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
        Filter { criteria, operator }.matches(&event(data), 0)
    }

    #[test]
    fn names_without_case_values_with_case_but_for_two_attributes() {
        let data = r#"{"attributes":{"From":"tel:+1","Direction":"In","n":[1,"Two",[3],1.50]},"flags":["\\Seen"]}"#;
        let one = |criterion| matches(Operator::And, vec![criterion], data);
        assert!(one(attribute("from", "tel:+1")));
        assert!(!one(attribute("From", "TEL:+1")));
        assert!(one(attribute("direction", "IN")));
        assert!(one(attribute("n", "1")) && one(attribute("N", "Two")) && !one(attribute("n", "two")));
        assert!(one(attribute("n", "1.50")) && !one(attribute("n", "1.5")) && !one(attribute("n", "3")));
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

    #[test]
    fn a_subtree_ends_at_a_slash() {
        let in_folder = |path: &str| format!(r#"{{"attributes":{{}},"folder":3,"path":"{path}"}}"#);
        let under = |top: &str, path: &str| {
            matches(Operator::And, vec![Criterion::Path { path: top.into() }], &in_folder(path))
        };
        assert!(under("/main", "/main") && under("/main", "/main/sent") && under("", "/main"));
        assert!(!under("/main", "/mainly") && !under("/main/sent", "/main") && !under("/main", "/Main"));
    }

    #[test]
    fn a_refusal_says_what_does_not_hold() {
        let filter = Filter { criteria: vec![Criterion::Everything, attribute("a", "2")], operator: Operator::And };
        assert_eq!(filter.refusal(&event(r#"{"attributes":{"a":"2"}}"#), 0), None);
        let why = filter.refusal(&event(r#"{"attributes":{"a":"1"}}"#), 0).unwrap();
        assert!(why.contains("Attribute") && !why.contains("Everything"), "{why}");
    }
}
