//! The keys of the file: what they are called and what they mean, as the structs they are read into say.

use clap::{Arg, Args, Command};
use documented::DocumentedFieldsOpt as Documented;

use super::file::File;
use super::{EventTypeSetting, Limits, ServeArgs};
use crate::auth::config::Jwt;
use crate::outbound::config::{Apns, Email, Fcm, OmaPush, Push, Webhook, Wns};

/// How like a known key an unknown one must be to be taken for a typing error; clap holds flags to the same.
const LIKENESS: f64 = 0.7;

/// A section of the file.
pub(super) struct Section {
    /// As it stands in brackets; empty for the keys before the first section.
    pub name: &'static str,
    /// The names of its keys.
    pub keys: &'static [&'static str],
    docs: &'static [Option<&'static str>],
}

const fn section<T: Documented>(name: &'static str) -> Section {
    Section { name, keys: T::FIELD_NAMES, docs: T::FIELD_DOCS }
}

/// Users name the keys of this section.
const GROUPS: &str = "groups";

/// All sections.
pub(super) const SECTIONS: &[Section] = &[
    section::<File>(""),
    section::<Jwt>("jwt"),
    section::<Limits>("limits"),
    section::<Push>("push"),
    section::<Webhook>("push.webhook"),
    section::<Fcm>("push.fcm"),
    section::<Apns>("push.apns"),
    section::<Wns>("push.wns"),
    section::<OmaPush>("push.oma_push"),
    section::<Email>("push.email"),
    section::<EventTypeSetting>("event_types"),
    Section { name: GROUPS, keys: &[], docs: &[] },
];

/// The name of a key with its section.
pub(super) fn path(section: &str, key: &str) -> String {
    if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") }
}

/// Whether this is the name of a section.
pub(super) fn is_section(path: &str) -> bool {
    SECTIONS.iter().any(|section| section.name == path)
}

impl Section {
    /// What a key means: what its flag's help says, or its field's comment.
    pub fn doc(&self, key: &str) -> Option<String> {
        let documented = self.keys.iter().position(|name| *name == key).and_then(|n| self.docs[n]);
        documented.map(str::to_owned).or_else(|| {
            let help = flag(self.name, key)?.get_help()?.to_string();
            Some(help.split(" [default: ").next().unwrap_or_default().to_owned())
        })
    }
}

/// What is said of a section as a whole.
pub(super) fn doc_of(section: &str) -> Option<String> {
    let (of, key) = section.rsplit_once('.').unwrap_or(("", section));
    SECTIONS.iter().find(|section| section.name == of)?.doc(key)
}

/// The flag that says the same as a key: named as the key, or in section `[jwt]` perhaps with that before it.
pub(super) fn flag(section: &str, key: &str) -> Option<Arg> {
    let ids = match section {
        "" => vec![key.to_owned()],
        "jwt" => vec![format!("jwt_{key}"), key.to_owned()],
        _ => return None,
    };
    let command = ServeArgs::augment_args(Command::new("serve"));
    command.get_arguments().find(|arg| ids.iter().any(|id| arg.get_id() == id.as_str())).cloned()
}

/// Removes the keys that do not exist.
pub(super) fn drop_unknown(table: &mut toml::Table, faults: &mut Vec<String>) {
    drop_unknown_in("", table, faults);
}

fn drop_unknown_in(section: &str, table: &mut toml::Table, faults: &mut Vec<String>) {
    let Some(known) = SECTIONS.iter().find(|known| known.name == section && section != GROUPS) else { return };
    table.retain(|key, value| {
        let path = path(section, key);
        if !known.keys.contains(&key) {
            faults.push(format!("unknown key `{path}`{}", suggestion(known, key)));
            return false;
        }
        match value {
            toml::Value::Table(below) => drop_unknown_in(&path, below, faults),
            toml::Value::Array(several) => {
                for below in several.iter_mut().filter_map(toml::Value::as_table_mut) {
                    drop_unknown_in(&path, below, faults);
                }
            }
            _ => {}
        }
        true
    });
}

/// What was probably meant.
fn suggestion(section: &Section, key: &str) -> String {
    let elsewhere = SECTIONS.iter().find(|other| other.keys.contains(&key)).map(|other| path(other.name, key));
    let alike = || {
        let likeness = |name: &&str| strsim::jaro_winkler(name, key);
        let most = section.keys.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
        (likeness(most) > LIKENESS).then(|| path(section.name, most))
    };
    elsewhere.or_else(alike).map(|meant| format!(" (did you mean `{meant}`?)")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_explained() {
        for section in SECTIONS {
            assert!(section.name.is_empty() || doc_of(section.name).is_some(), "[{}]", section.name);
            for key in section.keys {
                assert!(section.doc(key).is_some(), "{}", path(section.name, key));
            }
        }
    }

    #[test]
    fn every_flag_is_a_key_and_every_section_is_one() {
        let has_key = |id: &str| {
            let key = id.strip_prefix("jwt_").unwrap_or(id);
            SECTIONS.iter().any(|section| flag(section.name, key).is_some_and(|flag| flag.get_id() == id))
        };
        let command = ServeArgs::augment_args(Command::new("serve"));
        for id in command.get_arguments().map(|arg| arg.get_id().as_str()).filter(|id| *id != "config") {
            assert!(has_key(id), "--{id}");
        }
        let all = File::default().to_table().unwrap();
        for key in all.iter().filter(|(_, value)| value.is_table()).map(|(key, _)| key) {
            assert!(is_section(key), "[{key}]");
        }
    }
}
