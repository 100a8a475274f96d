//! The TOML file, and what flags and environment put in its place.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use documented::DocumentedFieldsOpt;
use serde::{Deserialize, Serialize};

use super::edge::EdgeArgs;
use super::telemetry::{LogFormat, TelemetryArgs};
use super::{DatabaseChoice, EventTypeSetting, Limits, ServeArgs, keys};
use crate::auth::config::{Auth, Jwt};
use crate::outbound::config::Push;

/// Long enough for other nodes to take a thousand clients each second, short enough for those who wait for the stop.
const DRAIN_SECONDS: u64 = 5;

/// All settings, as the file has them. Those without a comment are explained by the help of their flags.
#[derive(Debug, Clone, Serialize, Deserialize, DocumentedFieldsOpt)]
#[serde(deny_unknown_fields, default)]
pub(super) struct File {
    pub listen: SocketAddr,
    pub database_url: Option<String>,
    pub data_dir: PathBuf,
    pub public_url: Option<String>,
    pub auth: Auth,
    pub allow_private_targets: bool,
    pub drain_seconds: u64,
    pub tls_cert: Option<PathBuf>,
    pub tls_key: Option<PathBuf>,
    pub trusted_proxies: Vec<String>,
    pub cors_origins: Vec<String>,
    pub log_format: LogFormat,
    pub log: Option<String>,
    pub otlp_endpoint: Option<String>,
    pub secret_key_file: Option<PathBuf>,
    /// How access tokens are verified, with --auth jwt.
    pub jwt: Jwt,
    /// Policy: defaults and caps.
    pub limits: Limits,
    /// What notifications are pushed with; a service without its section is off.
    pub push: Push,
    /// Types of events that are declared at start.
    pub event_types: Vec<EventTypeSetting>,
    /// Groups of users that are declared at start, with their members.
    pub groups: BTreeMap<String, Vec<String>>,
}

impl Default for File {
    fn default() -> Self {
        File {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            database_url: None,
            data_dir: PathBuf::from("./tocsin-data"),
            public_url: None,
            auth: Auth::default(),
            allow_private_targets: false,
            drain_seconds: DRAIN_SECONDS,
            tls_cert: None,
            tls_key: None,
            trusted_proxies: Vec::new(),
            cors_origins: Vec::new(),
            log_format: LogFormat::default(),
            log: None,
            otlp_endpoint: None,
            secret_key_file: None,
            jwt: Jwt::default(),
            limits: Limits::default(),
            push: Push::default(),
            event_types: Vec::new(),
            groups: BTreeMap::new(),
        }
    }
}

impl File {
    /// Reads the file, if there is one. Keys that are unknown, or whose values do not fit, are added to `faults` and left
    /// out.
    pub fn read(path: Option<&Path>, faults: &mut Vec<String>) -> anyhow::Result<File> {
        let Some(path) = path else { return Ok(File::default()) };
        let table = read_table(path)?;
        let mut found = Vec::new();
        let file = File::from_table(table, &mut found);
        faults.extend(found.into_iter().map(|fault| format!("in {}: {fault}", path.display())));
        Ok(file)
    }

    fn from_table(mut table: toml::Table, faults: &mut Vec<String>) -> File {
        keys::drop_unknown(&mut table, faults);
        drop_unfit(&mut table, faults);
        table.try_into().unwrap_or_else(|fault: toml::de::Error| {
            faults.push(fault.message().to_owned());
            File::default()
        })
    }

    /// What flags and environment say goes before the file.
    pub fn with(mut self, args: ServeArgs) -> File {
        let ServeArgs {
            listen,
            database,
            public_url,
            auth,
            allow_private_targets,
            drain_seconds,
            edge,
            telemetry,
            secret_key_file,
        } = args;
        let telemetry = telemetry.or(TelemetryArgs::of_common_variables());
        // A data directory named closer by wins over a URL named further away.
        if database.data_dir.is_some() {
            self.database_url = None;
        }
        File {
            listen: listen.unwrap_or(self.listen),
            database_url: database.database_url.or(self.database_url),
            data_dir: database.data_dir.unwrap_or(self.data_dir),
            public_url: public_url.or(self.public_url),
            auth: auth.auth.unwrap_or(self.auth),
            allow_private_targets: allow_private_targets.unwrap_or(self.allow_private_targets),
            drain_seconds: drain_seconds.unwrap_or(self.drain_seconds),
            tls_cert: edge.tls_cert.or(self.tls_cert),
            tls_key: edge.tls_key.or(self.tls_key),
            trusted_proxies: edge.trusted_proxies.unwrap_or(self.trusted_proxies),
            cors_origins: edge.cors_origins.unwrap_or(self.cors_origins),
            log_format: telemetry.log_format.unwrap_or(self.log_format),
            log: telemetry.log.or(self.log),
            otlp_endpoint: telemetry.otlp_endpoint.or(self.otlp_endpoint),
            secret_key_file: secret_key_file.or(self.secret_key_file),
            jwt: self.jwt.with(auth),
            ..self
        }
    }

    /// Which database is meant.
    pub fn database(&self) -> DatabaseChoice {
        match &self.database_url {
            Some(url) => DatabaseChoice::Url(url.clone()),
            None => DatabaseChoice::Embedded(self.data_dir.clone()),
        }
    }

    /// What is said of the edge.
    pub fn edge(&self) -> EdgeArgs {
        EdgeArgs {
            tls_cert: self.tls_cert.clone(),
            tls_key: self.tls_key.clone(),
            trusted_proxies: Some(self.trusted_proxies.clone()),
            cors_origins: Some(self.cors_origins.clone()),
        }
    }

    /// What is said of log and spans.
    pub fn telemetry(&self) -> TelemetryArgs {
        TelemetryArgs {
            log_format: Some(self.log_format),
            log: self.log.clone(),
            otlp_endpoint: self.otlp_endpoint.clone(),
        }
    }

    /// As a table of TOML, without what is not set.
    pub fn to_table(&self) -> anyhow::Result<toml::Table> {
        Ok(toml::Table::try_from(self)?)
    }
}

/// The file as it is written.
pub(super) fn read_table(path: &Path) -> anyhow::Result<toml::Table> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read {} (--config says which file)", path.display()))?;
    toml::from_str(&text).with_context(|| format!("in {}", path.display()))
}

/// Removes each key, of the file or of one of its sections, whose value does not fit, so that all are told.
fn drop_unfit(table: &mut toml::Table, faults: &mut Vec<String>) {
    table.retain(|key, value| match value {
        toml::Value::Table(section) => {
            section.retain(|name, value| {
                let alone = toml::Table::from_iter([(name.to_owned(), value.clone())]);
                fits(key, toml::Value::Table(alone), &format!("{key}.{name}"), faults)
            });
            true
        }
        value => fits(key, value.clone(), key, faults),
    });
}

fn fits(key: &str, value: toml::Value, path: &str, faults: &mut Vec<String>) -> bool {
    let outcome: Result<File, toml::de::Error> = toml::Table::from_iter([(key.to_owned(), value)]).try_into();
    if let Err(fault) = &outcome {
        faults.push(format!("{path}: {}", fault.message()));
    }
    outcome.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> Vec<String> {
        let mut faults = Vec::new();
        File::from_table(toml::from_str(text).unwrap(), &mut faults);
        faults
    }

    #[test]
    fn all_that_is_wrong_in_a_file_is_told_by_its_key() {
        let text = "listen = 8080\nauht = 'jwt'\n[limits]\npoll_seconds = 'long'\nqueue_event_max = 3\n\
                    [push.fcm]\nendpoint = 'https://x'\n[push.email]\nserver = 's'\nform = 'a'\nfrom = 'a'\n";
        let faults = faults(text);
        let said = |words: &[&str]| faults.iter().any(|fault| words.iter().all(|word| fault.contains(word)));
        assert!(said(&["`auht`", "did you mean `auth`?"]), "{faults:?}");
        assert!(said(&["`limits.queue_event_max`", "did you mean `limits.queue_events_max`?"]), "{faults:?}");
        assert!(said(&["`push.email.form`", "did you mean `push.email.from`?"]), "{faults:?}");
        assert!(said(&["listen: ", "8080"]) && said(&["limits.poll_seconds: "]), "{faults:?}");
        assert!(said(&["push.fcm: ", "key_file"]), "{faults:?}");
        assert_eq!(faults.len(), 6, "{faults:?}");
    }

    #[test]
    fn a_key_of_another_section_is_told_where_it_belongs() {
        assert_eq!(
            faults("queue_events_max = 3"),
            ["unknown key `queue_events_max` (did you mean `limits.queue_events_max`?)"]
        );
        assert_eq!(faults("xyzzy = 3\n[groups]\neditors = ['alice']"), ["unknown key `xyzzy`"]);
        let of_a_list = "[[event_types]]\nname = 'a'\ntitle = 'b'\ntitel = 'b'\n";
        assert!(faults(of_a_list)[0].contains("`event_types.title`"), "{:?}", faults(of_a_list));
    }

    #[test]
    fn a_directory_named_closer_by_wins_over_a_url_of_the_file() {
        let file = File { database_url: Some("postgres://x".to_owned()), ..File::default() };
        assert!(matches!(file.database(), DatabaseChoice::Url(_)));
        let mut args = ServeArgs::default();
        args.database.data_dir = Some("here".into());
        assert!(matches!(file.with(args).database(), DatabaseChoice::Embedded(dir) if dir == Path::new("here")));
    }
}
