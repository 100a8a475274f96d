//! Every setting, with its value and where it comes from.

use clap::parser::ValueSource;
use serde_json::Value;
use url::Url;

use super::ServeArgs;
use super::file::{File, read_table};
use super::keys::{SECTIONS, flag, is_section, path};

/// What is shown of a secret.
const MASK: &str = "***";

/// A setting as it holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// Its key with its section.
    pub key: String,
    /// Its value; null: it is not set.
    pub value: Value,
    /// Who says so.
    pub source: Source,
    /// The flag, the variable or the file.
    pub from: Option<String>,
}

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The command line.
    Flag,
    /// The environment.
    Environment,
    /// The file.
    File,
    /// Nobody has said anything else.
    Default,
}

impl Source {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Source::Flag => "flag",
            Source::Environment => "environment",
            Source::File => "file",
            Source::Default => "default",
        }
    }
}

/// All settings that `args` and its file make. `source_of` tells where the value of a flag comes from, by its id. What is
/// wrong in the file is added to `faults`, and left out.
pub fn settings(
    args: ServeArgs,
    source_of: impl Fn(&str) -> Option<ValueSource>,
    faults: &mut Vec<String>,
) -> anyhow::Result<Vec<Setting>> {
    let config = args.database.config.clone();
    let written = config.as_deref().map(read_table).transpose()?.unwrap_or_default();
    let written = serde_json::to_value(written)?;
    let all = serde_json::to_value(File::read(config.as_deref(), faults)?.with(args).to_table()?)?;
    let file = config.map(|path| path.display().to_string());
    let mut settings = Vec::new();
    for section in SECTIONS {
        let Some(values) = below(&all, section.name).filter(|values| values.is_object()) else { continue };
        let written = below(&written, section.name);
        for key in section.keys {
            let path = path(section.name, key);
            if is_section(&path) && !is_whole(&path) {
                continue;
            }
            let value = masked(&path, values.get(*key));
            let (source, from) = match said_by_flag(section.name, key, &source_of) {
                Some(said) => said,
                // A URL of the file that a directory named closer by has replaced is not set.
                None if value.is_null() => (Source::Default, None),
                None if written.is_some_and(|table| table.get(*key).is_some()) => (Source::File, file.clone()),
                None => (Source::Default, None),
            };
            settings.push(Setting { key: path, value, source, from });
        }
    }
    Ok(settings)
}

/// Shown as one value.
fn is_whole(path: &str) -> bool {
    matches!(path, "event_types" | "groups")
}

fn below<'a>(all: &'a Value, section: &str) -> Option<&'a Value> {
    if section.is_empty() { Some(all) } else { section.split('.').try_fold(all, |value, part| value.get(part)) }
}

fn said_by_flag(
    section: &str,
    key: &str,
    source_of: impl Fn(&str) -> Option<ValueSource>,
) -> Option<(Source, Option<String>)> {
    let flag = flag(section, key)?;
    match source_of(flag.get_id().as_str())? {
        ValueSource::CommandLine => Some((Source::Flag, flag.get_long().map(|long| format!("--{long}")))),
        ValueSource::EnvVariable => {
            Some((Source::Environment, flag.get_env().map(|name| name.to_string_lossy().into_owned())))
        }
        _ => None,
    }
}

/// The value, without what must not be seen.
fn masked(path: &str, value: Option<&Value>) -> Value {
    match (path, value) {
        ("jwt.secret", Some(_)) => MASK.into(),
        ("database_url", Some(Value::String(url))) => without_password(url).into(),
        (_, value) => value.cloned().unwrap_or(Value::Null),
    }
}

/// The URL of a database without its password, wherever it stands.
fn without_password(text: &str) -> String {
    let Ok(mut url) = Url::parse(text) else { return MASK.to_owned() };
    if url.query().is_some_and(|query| query.contains("password")) {
        return MASK.to_owned();
    }
    if url.password().is_some() && url.set_password(Some(MASK)).is_err() {
        return MASK.to_owned();
    }
    url.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_shown() {
        for (url, shown) in [
            ("postgres://a:hush@h/d", "postgres://a:***@h/d"),
            ("postgres://a@h/d", "postgres://a@h/d"),
            ("postgres://h/d?password=hush", "***"),
            ("host=h password=hush", "***"),
        ] {
            assert_eq!(without_password(url), shown);
        }
    }
}
