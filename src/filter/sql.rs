//! Writes a filter as a predicate of SQL. Every condition is true or false, never null, so that `not` means the same as
//! in memory. What comes from outside goes in as parameters: all of them are elements of one array of texts, `$1`.

use chrono::SecondsFormat;

use super::{Criterion, Filter, NOT_TELLING, Operator, value_without_case, words};
use crate::base::fold;

/// What is looked at. The table or view stands in the statement under the name `i`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Items {
    /// Rows of `tocsin.objects`.
    Objects,
    /// Rows of `tocsin.folders`.
    Folders,
    /// Rows of `tocsin.event_items`: events of a box.
    Events,
}

impl Items {
    /// Their attributes, a folder's name among them.
    pub fn attributes(self) -> &'static str {
        match self {
            Items::Folders => "i.attributes || jsonb_build_object('Name', i.name)",
            Items::Objects | Items::Events => "i.attributes",
        }
    }
}

/// A filter in SQL.
#[derive(Debug, Clone)]
pub struct Predicate {
    /// A condition on `i`.
    pub condition: String,
    /// A `tsquery` on the terms of objects that finds each object that the condition can hold for, and some others
    /// (see sql/functions/terms.sql); `None` when the terms cannot tell.
    pub terms: Option<String>,
    /// What `$1` must be.
    pub texts: Vec<String>,
}

impl Filter {
    /// The predicate on items of a stream; `since` as for [`Filter::matches`].
    pub fn predicate(&self, items: Items, stream: &str, since: i64) -> Predicate {
        let mut writer = Writer { items, stream, since, texts: Vec::new() };
        let conditions: Vec<String> = self.criteria.iter().map(|one| writer.condition(one)).collect();
        let terms: Vec<Option<String>> = self.criteria.iter().map(|one| writer.terms(one)).collect();
        let condition = match self.operator {
            Operator::And => format!("({})", conditions.join(" and ")),
            Operator::Or => format!("({})", conditions.join(" or ")),
            Operator::Not => format!("not ({})", conditions.join(" and ")),
        };
        let terms = match self.operator {
            // What one criterion finds will do; all of them find less.
            Operator::And => Some(terms.into_iter().flatten().collect::<Vec<_>>())
                .filter(|terms| !terms.is_empty())
                .map(|terms| terms.join(" && ")),
            Operator::Or => terms.into_iter().collect::<Option<Vec<_>>>().map(|terms| terms.join(" || ")),
            Operator::Not => None,
        };
        Predicate { condition, terms, texts: writer.texts }
    }
}

struct Writer<'a> {
    items: Items,
    stream: &'a str,
    since: i64,
    texts: Vec<String>,
}

impl Writer<'_> {
    /// A parameter.
    fn text(&mut self, text: impl Into<String>) -> String {
        self.texts.push(text.into());
        format!("($1::text[])[{}]", self.texts.len())
    }

    fn stored_at(&self) -> &'static str {
        if self.items == Items::Events { "i.stored_at" } else { "i.created_at" }
    }

    fn condition(&mut self, criterion: &Criterion) -> String {
        let values = format!("tocsin.values_of({})", self.items.attributes());
        match criterion {
            Criterion::Attribute { name, value } if value_without_case(name) => {
                let (name, value) = (self.text(fold(name)), self.text(value.to_ascii_lowercase()));
                format!(
                    "exists (select from {values} v where v.name = {name} and lower(v.value collate \"C\") = {value})"
                )
            }
            Criterion::Attribute { name, value } => {
                let (name, value) = (self.text(fold(name)), self.text(value));
                format!("exists (select from {values} v where v.name = {name} and v.value = {value})")
            }
            Criterion::Flag { name, set } => {
                let set_now =
                    format!("exists (select from unnest(i.flags) f where tocsin.fold(f) = {})", self.text(fold(name)));
                let as_wanted = if *set { set_now } else { format!("not {set_now}") };
                match self.items {
                    Items::Objects => as_wanted,
                    Items::Folders => "false".to_owned(),
                    Items::Events => format!("(i.item = 'object' and {as_wanted})"),
                }
            }
            Criterion::Date { min, max } => {
                let at = self.stored_at();
                let bounds = [min.map(|min| (">=", min)), max.map(|max| ("<", max))];
                let mut conditions = vec!["true".to_owned()];
                for (comparison, bound) in bounds.into_iter().flatten() {
                    let bound = self.text(bound.to_rfc3339_opts(SecondsFormat::Micros, true));
                    conditions.push(format!("{at} {comparison} {bound}::timestamptz"));
                }
                format!("({})", conditions.join(" and "))
            }
            Criterion::AllTextAttributes { text } => {
                let text = self.text(fold(text));
                format!(
                    "exists (select from {values} v \
                     where tocsin.is_text_attribute(v.name) and strpos(tocsin.fold(v.value), {text}) > 0)"
                )
            }
            Criterion::WholeWord { word } => {
                let pattern = self.text(words::pattern(&fold(word)));
                let payload = if self.items == Items::Folders { "null" } else { "i.payload" };
                format!(
                    "(exists (select from {values} v \
                      where tocsin.is_text_attribute(v.name) and tocsin.fold(v.value) ~ {pattern}) \
                      or exists (select from tocsin.payload_texts({payload}) t where tocsin.fold(t) ~ {pattern}))"
                )
            }
            Criterion::VanishedObjects => match self.items {
                Items::Objects => "i.gone is not null".to_owned(),
                Items::Folders => "false".to_owned(),
                Items::Events => "(i.item = 'object' and i.change in ('deleted', 'expired'))".to_owned(),
            },
            Criterion::CreatedObjects => match self.items {
                Items::Objects => format!("i.created_seq > {}", self.since),
                Items::Folders => "false".to_owned(),
                Items::Events => format!("(i.item = 'object' and i.change = 'created' and i.seq > {})", self.since),
            },
            Criterion::Path { path } => self.subtree(path),
            Criterion::Everything => "true".to_owned(),
        }
    }

    /// Of an event by the path at the time, of an item by where it is now.
    fn subtree(&mut self, path: &str) -> String {
        let id = match self.items {
            _ if path.is_empty() => return "true".to_owned(),
            Items::Events => {
                let path = self.text(path);
                return format!("(i.path = {path} or starts_with(i.path, {path} || '/'))");
            }
            Items::Objects => "i.folder_id",
            Items::Folders => "i.id",
        };
        let (stream, path) = (self.text(self.stream), self.text(path));
        let top = format!("tocsin.folder_at({stream}, {path}, false)");
        format!("coalesce({id} = any (array(select folder from tocsin.folder_tree({stream}, {top}))), false)")
    }

    fn terms(&mut self, criterion: &Criterion) -> Option<String> {
        match criterion {
            Criterion::Attribute { name, value } if !NOT_TELLING.contains(&fold(name).as_str()) => {
                let (stream, name, value) = (self.text(self.stream), self.text(fold(name)), self.text(value));
                Some(format!("tocsin.terms_of_value({stream}, {name}, {value})"))
            }
            Criterion::AllTextAttributes { text } | Criterion::WholeWord { word: text } => {
                let (stream, text) = (self.text(self.stream), self.text(fold(text)));
                Some(format!("tocsin.terms_of_text({stream}, {text})"))
            }
            _ => None,
        }
    }
}
