//! An annotated file with all settings, made of the structs, their comments and their defaults.

use std::fmt::Write;

use anyhow::Context;
use toml::{Table, Value};

use super::file::File;
use super::keys::{SECTIONS, Section, doc_of, flag, is_section, path};

/// How wide the comments are.
const WIDTH: usize = 100;

/// Values of what has no default, to show what they look like.
const EXAMPLES: &str = r#"
database_url = "postgres://tocsin@localhost/tocsin"
public_url = "https://tocsin.example"
tls_cert = "/etc/tocsin/tls.pem"
tls_key = "/etc/tocsin/tls.key"
log = "warn,tocsin=debug"
otlp_endpoint = "http://127.0.0.1:4318"
secret_key_file = "/etc/tocsin/secret"
event_types = [{ name = "invoice.paid", title = "An invoice was paid", description = "By whichever means" }]
groups = { editors = ["alice", "bob"] }

[jwt]
jwks_url = "https://issuer.example/jwks.json"
key_file = "/etc/tocsin/jwt.pub.pem"
secret = "a secret of 32 bytes or more: see tocsin token secret"

[push]
fcm = { key_file = "/etc/tocsin/fcm.json" }
apns = { key_file = "/etc/tocsin/apns.p8", key_id = "ABC123DEFG", team_id = "DEF123GHIJ", topic = "com.example.app" }
wns = { client_id = "ms-app://s-1-15-2-1", client_secret_file = "/etc/tocsin/wns" }

[push.oma_push]
ppg_url = "https://ppg.example/pap"
address_domain = "ppg.example"
user_file = "/etc/tocsin/ppg.user"
password_file = "/etc/tocsin/ppg.password"
application_id_default = "x-wap-application:wml.ua"

[push.email]
server = "smtp.example"
port = 465
from = "tocsin <tocsin@example.com>"
user = "tocsin"
password_file = "/etc/tocsin/smtp.password"
"#;

const HEAD: &str = "\
# Settings of tocsin: `tocsin serve --config FILE`.
#
# A flag wins over its environment variable, which wins over this file, which wins over the default. What is commented
# out is not set: it stands there with its default, or with an example where there is none.
";

/// The file. As it is, it says nothing but the defaults.
pub fn text() -> anyhow::Result<String> {
    let defaults = File::default().to_table()?;
    let examples: File = toml::from_str(EXAMPLES).context("the examples")?;
    let examples = examples.to_table()?;
    let mut text = HEAD.to_owned();
    for section in SECTIONS {
        let name = section.name;
        if !name.is_empty() {
            text.push('\n');
            comment(&mut text, &doc_of(name).unwrap_or_default());
            writeln!(text, "{}", header(name, &defaults))?;
        }
        if section.keys.is_empty() {
            for (key, value) in below(&examples, name).into_iter().flatten() {
                writeln!(text, "#{key} = {value}")?;
            }
        }
        for key in section.keys.iter().filter(|key| !is_section(&path(name, key))) {
            let (default, example) = (below(&defaults, name), below(&examples, name));
            let default = default.and_then(|table| table.get(*key));
            let value = default.or(example.and_then(|table| table.get(*key)));
            let value = value.with_context(|| format!("{} has neither a default nor an example", path(name, key)))?;
            text.push('\n');
            comment(&mut text, &explained(section, key, default.is_none() && below(&defaults, name).is_some()));
            writeln!(text, "#{key} = {value}")?;
        }
    }
    Ok(text)
}

/// The line that begins a section: commented out when the section itself would be a setting.
fn header(name: &str, defaults: &Table) -> String {
    match defaults.get(name) {
        Some(Value::Array(_)) => format!("#[[{name}]]"),
        _ if below(defaults, name).is_some() => format!("[{name}]"),
        _ => format!("#[{name}]"),
    }
}

/// What a section has; of a list, what its first entry has.
fn below<'a>(table: &'a Table, section: &str) -> Option<&'a Table> {
    if section.is_empty() {
        return Some(table);
    }
    section.split('.').try_fold(table, |table, part| match table.get(part)? {
        Value::Table(table) => Some(table),
        Value::Array(several) => several.first()?.as_table(),
        _ => None,
    })
}

fn explained(section: &Section, key: &str, is_example: bool) -> String {
    let mut text = section.doc(key).unwrap_or_default().trim_end_matches('.').to_owned() + ".";
    if let Some(flag) = flag(section.name, key) {
        let variable = flag.get_env().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        text += &format!(" (--{}, {variable})", flag.get_long().unwrap_or_default());
    }
    if is_example {
        text += " No default; for example:";
    }
    text
}

/// Words in lines of a comment.
fn comment(text: &mut String, words: &str) {
    let mut line = String::from("#");
    for word in words.split_whitespace() {
        if line.len() + 1 + word.len() > WIDTH {
            text.push_str(&line);
            text.push('\n');
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    text.push_str(&line);
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The file with everything that is commented out; comments have a blank behind their `#`.
    fn uncommented() -> String {
        let set = |line: &str| match line.strip_prefix('#') {
            Some(rest) if !rest.is_empty() && !rest.starts_with(' ') => rest.to_owned(),
            _ => line.to_owned(),
        };
        text().unwrap().lines().map(|line| set(line) + "\n").collect()
    }

    #[test]
    fn as_it_is_it_yields_the_defaults() {
        let file: File = toml::from_str(&text().unwrap()).unwrap();
        assert_eq!(file.to_table().unwrap(), File::default().to_table().unwrap());
    }

    #[test]
    fn it_has_every_key_and_what_has_a_default_has_it() {
        let written: Table = toml::from_str(&uncommented()).unwrap();
        let file: File = toml::from_str(&uncommented()).unwrap();
        let (read, defaults) = (file.to_table().unwrap(), File::default().to_table().unwrap());
        assert_eq!(read, written);
        for section in SECTIONS {
            for key in section.keys {
                let find = |table| below(table, section.name).and_then(|table| table.get(*key)).cloned();
                let (found, default) = (find(&written), find(&defaults));
                assert!(found.is_some(), "{}", path(section.name, key));
                if !is_section(&path(section.name, key)) {
                    assert!(default.is_none() || default == found, "{}", path(section.name, key));
                }
            }
        }
    }
}
