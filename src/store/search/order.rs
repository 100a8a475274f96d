//! The order of results in SQL, and going on from a place in it.

use super::{Place, SORT_ATTRIBUTES_MAX, Search, Sort};
use crate::base::{Error, Result, fold};
use crate::filter::sql::Items;

/// The order of a search on `tocsin.objects i` or `tocsin.folders i`. What comes from outside is in `texts`, elements of the array `$1`.
#[derive(Debug)]
pub(super) struct Order {
    /// Values of attributes, then a seq that tells the rest apart: each with whether it rises.
    keys: Vec<(String, bool)>,
    seq: (&'static str, bool),
}

impl Order {
    /// That of a search. In a box the time of storing rises strictly with created_seq, so that is the date.
    pub fn new(search: &Search, items: Items, texts: &mut Vec<String>) -> Order {
        let attributes = items.attributes();
        let mut keys = Vec::new();
        for sort in &search.sort {
            match sort {
                Sort::Date { ascending } => return Order { keys, seq: ("i.created_seq", *ascending) },
                Sort::Attribute { name, ascending } if keys.len() < SORT_ATTRIBUTES_MAX => {
                    let name = text(texts, fold(name));
                    let first =
                        format!("select v.value from tocsin.values_of({attributes}) v where v.name = {name} limit 1");
                    keys.push((format!("left(coalesce(({first}), ''), 100) collate \"C\""), *ascending));
                }
                Sort::Attribute { .. } => {}
            }
        }
        let as_they_went = search.of_vanished() && keys.is_empty();
        Order { keys, seq: (if as_they_went { "i.seq" } else { "i.created_seq" }, true) }
    }

    /// What follows `order by`.
    pub fn columns(&self) -> String {
        let seq = std::iter::once((self.seq.0, self.seq.1));
        let keys = self.keys.iter().map(|(key, rises)| (key.as_str(), *rises)).chain(seq);
        keys.map(|(key, rises)| format!("{key}{}", if rises { "" } else { " desc" })).collect::<Vec<_>>().join(", ")
    }

    /// Columns `keys` and `place_seq`, of which a [`Place`] is made.
    pub fn place_columns(&self) -> String {
        let keys: Vec<&str> = self.keys.iter().map(|(key, _)| key.as_str()).collect();
        format!("array[{}]::text[] as keys, {} as place_seq", keys.join(", "), self.seq.0)
    }

    /// What comes after a place. [`Error::Invalid`] when the place is one of another order.
    pub fn after(&self, place: &Place, texts: &mut Vec<String>) -> Result<String> {
        if place.keys.len() != self.keys.len() {
            return Err(Error::invalid("fromCursor"));
        }
        let beyond = |rises: bool| if rises { ">" } else { "<" };
        let mut condition = format!("{} {} {}", self.seq.0, beyond(self.seq.1), place.seq);
        for ((key, rises), value) in self.keys.iter().zip(&place.keys).rev() {
            let value = text(texts, value.clone());
            condition = format!("({key} {} {value} or ({key} = {value} and {condition}))", beyond(*rises));
        }
        Ok(condition)
    }

    /// Whether results come as they were created.
    pub fn is_creation(&self) -> bool {
        self.keys.is_empty() && self.seq == ("i.created_seq", true)
    }
}

fn text(texts: &mut Vec<String>, text: String) -> String {
    texts.push(text);
    format!("($1::text[])[{}]", texts.len())
}
