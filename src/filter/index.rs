//! Which of many filters may want an event, found without asking each: pure.
//!
//! A filter is filed under a few keys, of which every event that it wants has one; an event is looked up by the keys it
//! has. So an event costs what its matches cost, however many filters there are. The filter itself still decides: the
//! index may name one that does not want the event, but never leaves one out that does.

use std::collections::HashMap;

use super::memory::texts;
use super::{Criterion, Filter, Operator, value_without_case};
use crate::base::{fold, room};
use crate::log::event::{Event, Kind};

/// What an event must have for a filter to want it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// Nothing that could be looked up.
    Any,
    /// An attribute's value, each as it is compared.
    Attribute {
        /// Without case.
        name: String,
        /// As it is, or in small letters where case does not count.
        value: String,
    },
    /// A flag that is set, without case.
    Flag(String),
    /// A flag that is not set, without case.
    NoFlag(String),
    /// A place in this folder or below.
    Under(String),
    /// It tells of an object that is gone.
    Vanished,
    /// It tells of a new object.
    Created,
}

impl Key {
    fn of(criterion: &Criterion) -> Key {
        match criterion {
            Criterion::Attribute { name, value } => Key::Attribute { name: fold(name), value: comparable(name, value) },
            Criterion::Flag { name, set: true } => Key::Flag(fold(name)),
            Criterion::Flag { name, set: false } => Key::NoFlag(fold(name)),
            Criterion::Path { path } => Key::Under(path.clone()),
            Criterion::VanishedObjects => Key::Vanished,
            Criterion::CreatedObjects => Key::Created,
            Criterion::Date { .. }
            | Criterion::AllTextAttributes { .. }
            | Criterion::WholeWord { .. }
            | Criterion::Everything => Key::Any,
        }
    }

    /// How few events have it, by experience: the lower, the fewer.
    fn commonness(&self) -> u8 {
        match self {
            Key::Attribute { .. } => 0,
            Key::Vanished => 1,
            Key::Flag(_) => 2,
            Key::Under(_) => 3,
            Key::Created => 4,
            Key::NoFlag(_) => 5,
            Key::Any => 6,
        }
    }
}

/// An attribute's value as it is compared.
fn comparable(name: &str, value: &str) -> String {
    if value_without_case(name) { value.to_ascii_lowercase() } else { value.to_owned() }
}

impl Filter {
    /// Keys of which every event that the filter wants has at least one.
    pub fn keys(&self) -> Vec<Key> {
        let mut keys: Vec<Key> = self.criteria.iter().map(Key::of).collect();
        match self.operator {
            Operator::And => keys.sort_by_key(Key::commonness),
            Operator::Or => keys.sort_by_key(|key| std::cmp::Reverse(key.commonness())),
            Operator::Not => keys.clear(),
        }
        match (self.operator, keys.first()) {
            (_, None) | (Operator::Or, Some(Key::Any)) => vec![Key::Any],
            (Operator::Or, _) => keys,
            _ => keys.drain(..1).collect(),
        }
    }
}

/// Who is filed under what.
#[derive(Debug)]
pub struct Index<T> {
    any: Vec<T>,
    /// Most boxes have nobody who is particular.
    keyed: Option<Box<Keyed<T>>>,
}

#[derive(Debug)]
struct Keyed<T> {
    attributes: HashMap<String, HashMap<String, Vec<T>>>,
    flags: HashMap<String, Vec<T>>,
    no_flags: HashMap<String, Vec<T>>,
    paths: HashMap<String, Vec<T>>,
    vanished: Vec<T>,
    created: Vec<T>,
}

impl<T> Default for Index<T> {
    fn default() -> Self {
        Index { any: Vec::new(), keyed: None }
    }
}

impl<T> Default for Keyed<T> {
    fn default() -> Self {
        Keyed {
            attributes: HashMap::new(),
            flags: HashMap::new(),
            no_flags: HashMap::new(),
            paths: HashMap::new(),
            vanished: Vec::new(),
            created: Vec::new(),
        }
    }
}

impl<T: Clone + PartialEq> Index<T> {
    /// Files somebody under each of the keys.
    pub fn insert(&mut self, keys: &[Key], who: &T) {
        for key in keys {
            match key {
                Key::Any => {
                    room::for_one(&mut self.any);
                    self.any.push(who.clone());
                }
                key => self.keyed.get_or_insert_default().insert(key, who.clone()),
            }
        }
    }

    /// Takes somebody out from under the keys that they were filed under.
    pub fn remove(&mut self, keys: &[Key], who: &T) {
        for key in keys {
            match (key, &mut self.keyed) {
                (Key::Any, _) => take_out(&mut self.any, who),
                (key, Some(keyed)) => keyed.remove(key, who),
                (_, None) => {}
            }
        }
        self.keyed.take_if(|keyed| keyed.is_empty());
    }

    /// Whether nobody is in it.
    pub fn is_empty(&self) -> bool {
        self.any.is_empty() && self.keyed.is_none()
    }

    /// Tells everybody; those with several keys perhaps more than once.
    pub fn everybody(&self, mut tell: impl FnMut(&T)) {
        self.any.iter().for_each(&mut tell);
        if let Some(keyed) = &self.keyed {
            keyed.everybody(&mut tell);
        }
    }

    /// Tells everybody who may want the event; those with several keys perhaps more than once.
    pub fn candidates(&self, event: &Event, mut tell: impl FnMut(&T)) {
        self.any.iter().for_each(&mut tell);
        if let Some(keyed) = &self.keyed {
            keyed.candidates(event, &mut tell);
        }
    }
}

impl<T: PartialEq> Keyed<T> {
    fn insert(&mut self, key: &Key, who: T) {
        match key {
            Key::Any => {}
            Key::Attribute { name, value } => {
                self.attributes.entry(name.clone()).or_default().entry(value.clone()).or_default().push(who);
            }
            Key::Flag(name) => self.flags.entry(name.clone()).or_default().push(who),
            Key::NoFlag(name) => self.no_flags.entry(name.clone()).or_default().push(who),
            Key::Under(path) => self.paths.entry(path.clone()).or_default().push(who),
            Key::Vanished => self.vanished.push(who),
            Key::Created => self.created.push(who),
        }
    }

    fn remove(&mut self, key: &Key, who: &T) {
        match key {
            Key::Any => {}
            Key::Attribute { name, value } => {
                if let Some(values) = self.attributes.get_mut(name) {
                    take_from(values, value, who);
                    if values.is_empty() {
                        self.attributes.remove(name);
                    }
                }
            }
            Key::Flag(name) => take_from(&mut self.flags, name, who),
            Key::NoFlag(name) => take_from(&mut self.no_flags, name, who),
            Key::Under(path) => take_from(&mut self.paths, path, who),
            Key::Vanished => take_out(&mut self.vanished, who),
            Key::Created => take_out(&mut self.created, who),
        }
    }

    fn is_empty(&self) -> bool {
        self.attributes.is_empty()
            && self.flags.is_empty()
            && self.no_flags.is_empty()
            && self.paths.is_empty()
            && self.vanished.is_empty()
            && self.created.is_empty()
    }

    fn candidates(&self, event: &Event, tell: &mut impl FnMut(&T)) {
        if event.kind == Kind::BoxReset {
            return self.everybody(tell);
        }
        match event.kind {
            Kind::ObjectCreated => self.created.iter().for_each(&mut *tell),
            Kind::ObjectDeleted | Kind::ObjectExpired => self.vanished.iter().for_each(&mut *tell),
            _ => {}
        }
        let item = event.state();
        if !self.attributes.is_empty() {
            for (name, text) in texts(event, item) {
                let named = self.attributes.get(&fold(name)).and_then(|values| values.get(&comparable(name, text)));
                named.into_iter().flatten().for_each(&mut *tell);
            }
        }
        if event.kind.is_of_object() && !(self.flags.is_empty() && self.no_flags.is_empty()) {
            let set: Vec<String> = item.flags.iter().map(|flag| fold(flag)).collect();
            let with = set.iter().filter_map(|flag| self.flags.get(flag));
            let without = self.no_flags.iter().filter(|(flag, _)| !set.contains(flag)).map(|(_, who)| who);
            with.chain(without).flatten().for_each(&mut *tell);
        }
        if !self.paths.is_empty() {
            self.above(&item.path).flatten().for_each(&mut *tell);
        }
    }

    /// Who looks at a folder that lies above a path, or at it.
    fn above<'a>(&'a self, path: &'a str) -> impl Iterator<Item = &'a Vec<T>> {
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        // The slash that a path begins with ends the root folder's, which is empty; so an empty path is there once.
        ends.filter_map(|end| self.paths.get(&path[..end]))
    }

    fn everybody(&self, tell: impl FnMut(&T)) {
        let maps = [&self.flags, &self.no_flags, &self.paths];
        let mapped = self.attributes.values().chain(maps).flat_map(HashMap::values);
        mapped.chain([&self.vanished, &self.created]).flatten().for_each(tell);
    }
}

fn take_from<T: PartialEq>(map: &mut HashMap<String, Vec<T>>, key: &str, who: &T) {
    if let Some(all) = map.get_mut(key) {
        take_out(all, who);
        if all.is_empty() {
            map.remove(key);
        }
    }
}

fn take_out<T: PartialEq>(all: &mut Vec<T>, who: &T) {
    if let Some(at) = all.iter().position(|other| other == who) {
        all.swap_remove(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::Stream;
    use proptest::prelude::*;

    fn criterion() -> impl Strategy<Value = Criterion> {
        let text = || prop::sample::select(vec!["a", "A", "b", "In", "in"]).prop_map(str::to_owned);
        prop_oneof![
            (prop::sample::select(vec!["x", "X", "Direction", "Name"]), text())
                .prop_map(|(name, value)| Criterion::Attribute { name: name.to_owned(), value }),
            (text(), any::<bool>()).prop_map(|(name, set)| Criterion::Flag { name, set }),
            prop::sample::select(vec!["", "/a", "/a/b", "/ab"]).prop_map(|path| Criterion::Path { path: path.into() }),
            text().prop_map(|text| Criterion::AllTextAttributes { text }),
            Just(Criterion::VanishedObjects),
            Just(Criterion::CreatedObjects),
            Just(Criterion::Everything),
        ]
    }

    fn filter() -> impl Strategy<Value = Filter> {
        let operator = prop::sample::select(vec![Operator::And, Operator::Or, Operator::Not]);
        (prop::collection::vec(criterion(), 1..4), operator)
            .prop_map(|(criteria, operator)| Filter { criteria, operator })
    }

    fn event() -> impl Strategy<Value = Event> {
        let kinds = vec![
            "object.created",
            "object.changed",
            "object.deleted",
            "object.expired",
            "folder.created",
            "folder.deleted",
            "box.reset",
        ];
        let text = || prop::sample::select(vec!["a", "A", "b", "In", "in"]);
        let path = prop::sample::select(vec!["", "/a", "/a/b", "/ab"]);
        (prop::sample::select(kinds), text(), text(), prop::collection::vec(text(), 0..3), path).prop_map(
            |(kind, x, direction, flags, path)| {
                let data = serde_json::json!({
                    "attributes": { "x": [x, direction], "DIRECTION": direction }, "flags": flags, "path": path,
                    "name": x,
                });
                let data = serde_json::value::RawValue::from_string(data.to_string()).unwrap();
                let stream = Stream::from_log("default/b");
                Event::new(stream, 9, Kind::parse(kind), Some(1), chrono::DateTime::UNIX_EPOCH, data)
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        /// Nobody who wants the event is left out; after everybody has gone, nothing is left.
        #[test]
        fn finds_everybody_who_wants_it(filters in prop::collection::vec(filter(), 1..8), event in event()) {
            let mut index = Index::default();
            for (who, filter) in filters.iter().enumerate() {
                index.insert(&filter.keys(), &who);
            }
            let mut found = Vec::new();
            index.candidates(&event, |who| found.push(*who));
            for (who, filter) in filters.iter().enumerate() {
                prop_assert!(!filter.matches(&event, 1) || found.contains(&who), "{filter:?}");
            }
            for (who, filter) in filters.iter().enumerate() {
                index.remove(&filter.keys(), &who);
            }
            prop_assert!(index.is_empty());
        }
    }

    #[test]
    fn those_who_look_for_something_else_are_not_asked() {
        let mut index = Index::default();
        for who in 0..1000 {
            let wanted = Criterion::Attribute { name: "From".into(), value: format!("tel:+{who}") };
            let filter = Filter { criteria: vec![Criterion::CreatedObjects, wanted], operator: Operator::And };
            index.insert(&filter.keys(), &who);
        }
        let data = serde_json::value::RawValue::from_string(r#"{"attributes":{"from":"tel:+7"}}"#.into()).unwrap();
        let stream = Stream::from_log("default/b");
        let event = Event::new(stream, 9, Kind::ObjectCreated, Some(1), chrono::DateTime::UNIX_EPOCH, data);
        let mut found = Vec::new();
        index.candidates(&event, |who| found.push(*who));
        assert_eq!(found, [7]);
    }
}
