//! Typed settings, and the only reader of the environment. A flag wins over its environment variable, which wins
//! over the TOML file, which wins over the default.

pub mod edge;
pub mod example;
mod file;
mod keys;
pub mod show;
pub mod telemetry;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use clap::builder::BoolishValueParser;
use documented::DocumentedFieldsOpt;
use serde::{Deserialize, Serialize};

use self::edge::{Edge, EdgeArgs};
use self::file::File;
use self::telemetry::{Telemetry, TelemetryArgs};
use crate::auth::config::{Auth, AuthArgs, Jwt};
use crate::outbound::config::Push;

/// The flags of `tocsin serve`; each is also an environment variable and a key of the file.
#[derive(Debug, Default, Args)]
pub struct ServeArgs {
    /// Address to listen on; port 0 takes any free port [default: 127.0.0.1:8080]
    #[arg(long, env = "TOCSIN_LISTEN", value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
    #[command(flatten)]
    /// Which database.
    pub database: DatabaseArgs,
    /// What {serverRoot} is in every URL the server emits [default: http://, or https:// with --tls-cert, and the address it listens on]
    #[arg(long, env = "TOCSIN_PUBLIC_URL", value_name = "URL")]
    pub public_url: Option<String>,
    #[command(flatten)]
    /// Who may use the server.
    pub auth: AuthArgs,
    /// Let clients name webhooks and notifyURLs on loopback and private networks [default: false]
    #[arg(
        long,
        env = "TOCSIN_ALLOW_PRIVATE_TARGETS",
        value_name = "BOOL",
        num_args = 0..=1,
        default_missing_value = "true",
        value_parser = BoolishValueParser::new()
    )]
    pub allow_private_targets: Option<bool>,
    /// When asked to stop, spread the closing of sockets over at most this long; 0: all at once [default: 5]
    #[arg(long, env = "TOCSIN_DRAIN_SECONDS", value_name = "SECONDS")]
    pub drain_seconds: Option<u64>,
    #[command(flatten)]
    /// TLS, proxies, browsers.
    pub edge: EdgeArgs,
    #[command(flatten)]
    /// What it tells of itself.
    pub telemetry: TelemetryArgs,
    /// File with a secret of at least 32 bytes, the same for all nodes: without it, the database's keys make no URLs
    #[arg(long, env = "TOCSIN_SECRET_KEY_FILE", value_name = "FILE")]
    pub secret_key_file: Option<PathBuf>,
}

/// The flags that say which database is meant.
#[derive(Debug, Default, Args)]
pub struct DatabaseArgs {
    /// URL of the Postgres database; without it the server runs a private one in --data-dir
    #[arg(long, env = "DATABASE_URL", value_name = "URL", hide_env_values = true)]
    pub database_url: Option<String>,
    /// Directory of the private Postgres [default: ./tocsin-data]
    #[arg(long, env = "TOCSIN_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// TOML file with settings; the keys are the names of the flags, with underscores
    #[arg(long, env = "TOCSIN_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// A type of events that is declared at start: `[[event_types]]` of the file.
#[derive(Debug, Clone, Serialize, Deserialize, DocumentedFieldsOpt)]
#[serde(deny_unknown_fields)]
pub struct EventTypeSetting {
    /// By which events name it.
    pub name: String,
    /// For people.
    pub title: String,
    /// For people.
    #[serde(default)]
    pub description: String,
}

/// Where the log is kept.
#[derive(Debug, Clone)]
pub enum DatabaseChoice {
    /// A database somebody else runs.
    Url(String),
    /// A private cluster in this directory.
    Embedded(PathBuf),
}

/// What `tocsin serve` runs with.
#[derive(Debug, Clone)]
pub struct Config {
    /// Address to listen on.
    pub listen: SocketAddr,
    /// Where the log is.
    pub database: DatabaseChoice,
    /// `{serverRoot}` with its scheme, without a trailing slash; `None`: the address listened on.
    pub public_url: Option<String>,
    /// How callers are told apart; `None`: not at all.
    pub jwt: Option<Jwt>,
    /// Policy.
    pub limits: Limits,
    /// What notifications are pushed with.
    pub push: Push,
    /// Whether clients may name webhooks and notifyURLs on loopback and private networks.
    pub allow_private_targets: bool,
    /// Over how long the closing of sockets is spread at most, when the server is asked to stop.
    pub drain_seconds: u64,
    /// TLS, proxies, browsers.
    pub edge: Edge,
    /// Log and spans.
    pub telemetry: Telemetry,
    /// A secret outside the database that the keys of URLs are used with.
    pub secret_key_file: Option<PathBuf>,
    /// Types of events that are declared at start.
    pub event_types: Vec<EventTypeSetting>,
    /// Groups of users that are declared at start, with their members: section `[groups]` of the file.
    pub groups: BTreeMap<String, Vec<String>>,
}

/// The log's limit of 1 MiB for an event, less what stands around a notification.
const CALLBACK_BYTES_MOST: usize = 1_000_000;

/// A hundred years.
const EVENTS_KEEP_DAYS_MOST: u32 = 36_500;

/// Policy: defaults and caps, each with its unit in its name. Section `[limits]` of the file.
#[derive(Debug, Clone, Serialize, Deserialize, DocumentedFieldsOpt)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Lifetime of a channel whose client asked for none.
    pub channel_lifetime_seconds_default: u32,
    /// Longest lifetime granted.
    pub channel_lifetime_seconds_max: u32,
    /// Lists in one notificationList when the client set no maxNotifications.
    pub notifications_default: u32,
    /// Largest maxNotifications granted.
    pub notifications_max: u32,
    /// Validity of the temporary URL for what is too much for a push; each use starts it again.
    pub large_poll_seconds: u32,
    /// Longest time a pending notification may wait for others before a poll is answered.
    pub poll_wait_seconds_max: u32,
    /// Duration of a subscription whose client asked for none.
    pub subscription_seconds_default: u32,
    /// Longest duration granted.
    pub subscription_seconds_max: u32,
    /// Subscriptions on one channel.
    pub subscriptions_per_channel_max: u32,
    /// Subscriptions of one box.
    pub subscriptions_per_box_max: u32,
    /// Channels of one user.
    pub channels_per_user_max: u32,
    /// Sockets of one user on one node.
    pub sockets_per_user_max: u32,
    /// Requests of one user that one node takes in a second, and as many at once; 0: any number.
    pub requests_per_user_per_second_max: u32,
    /// The same of one address, when callers are told apart.
    pub requests_per_address_per_second_max: u32,
    /// References to items, or paths, in one request.
    pub references_max: usize,
    /// Folders and objects that one request may create by copying. Other writers of the box wait for it, and give up
    /// after five seconds.
    pub copied_items_max: u32,
    /// Entries in one answer that lists a folder.
    pub folder_entries_max: u32,
    /// Results in one answer to a search whose client set no maxEntries.
    pub search_entries_default: u32,
    /// Most results in one answer.
    pub search_entries_max: u32,
    /// Size of a request body.
    pub body_bytes_max: usize,
    /// Largest request that names the users of an event or a group, in bytes.
    pub audience_bytes_max: usize,
    /// Notifications in a page of an inbox, unless the client says otherwise.
    pub notifications_page_default: u32,
    /// Most notifications in a page of an inbox.
    pub notifications_page_max: u32,
    /// Size of an object's payload.
    pub payload_bytes_max: usize,
    /// Parts of a multipart payload.
    pub payload_parts_max: usize,
    /// Objects that are created by one request.
    pub bulk_objects_max: usize,
    /// Size of such a request, in all.
    pub bulk_bytes_max: usize,
    /// Size of a notification that an enabler posts. (The log takes events of up to 1 MiB.)
    pub callback_bytes_max: usize,
    /// Notifications a second that one node takes for one channel, and as many at once.
    pub callbacks_per_second_max: u32,
    /// Notifications posted to one channel that wait for its client.
    pub callbacks_pending_max: u32,
    /// What they have in all, in bytes.
    pub callbacks_pending_bytes_max: usize,
    /// Events waiting for a slow client before they are dropped, to be read from the log again.
    pub queue_events_max: usize,
    /// Events read from the log that are kept for the next one who wants them, in bytes.
    pub pages_bytes_max: usize,
    /// A client that does not take a frame, or answer a Ping, for so long is disconnected.
    pub socket_stall_seconds: u64,
    /// An idle socket is pinged this often.
    pub socket_ping_seconds: u64,
    /// A channel that nothing can be pushed or posted to for so long is disabled.
    pub sender_disable_after_seconds: u64,
    /// A poll is answered after so long at the latest.
    pub poll_seconds: u32,
    /// Clients that answer connChecks of the server get one this often.
    pub conn_check_seconds: u64,
    /// Months of partitions attached ahead of now.
    pub partitions_months_ahead: i32,
    /// Events leave the log in whole months, when all of the month is so old, and neither this month nor the last one;
    /// 0: never.
    pub events_keep_days: u32,
    /// Objects expire when they were stored so long ago; 0: never.
    pub objects_expire_seconds: u64,
    /// For how long a search finds what has vanished.
    pub tombstones_keep_seconds: u64,
    /// The head of a request must have come so long after it began, the first one after the connection.
    pub header_seconds: u64,
    /// Size of the head of a request, its request line included.
    pub header_bytes_max: usize,
    /// Size of the path and query of a request.
    pub url_bytes_max: usize,
    /// A client that sends nothing of a body that is waited for, or takes nothing of an answer, for so long is cut off.
    pub body_stall_seconds: u64,
    /// A connection without a request is closed after so long.
    pub idle_seconds: u64,
    /// Connections at a time, WebSockets included.
    pub connections_max: usize,
    /// Connections at a time from one address (of IPv6: from one network of 64 bits), trusted proxies left out.
    pub connections_per_address_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            channel_lifetime_seconds_default: 3600,
            channel_lifetime_seconds_max: 7 * 86400,
            notifications_default: 100,
            notifications_max: 1000,
            poll_wait_seconds_max: 300,
            subscription_seconds_default: 86400,
            subscription_seconds_max: 30 * 86400,
            subscriptions_per_channel_max: 1000,
            subscriptions_per_box_max: 100_000,
            channels_per_user_max: 1000,
            sockets_per_user_max: 1000,
            requests_per_user_per_second_max: 200,
            requests_per_address_per_second_max: 1000,
            references_max: 1000,
            copied_items_max: 10_000,
            folder_entries_max: 1000,
            search_entries_default: 100,
            search_entries_max: 1000,
            body_bytes_max: 1 << 20,
            audience_bytes_max: 16 << 20,
            notifications_page_default: 20,
            notifications_page_max: 1000,
            payload_bytes_max: 25 << 20,
            payload_parts_max: 1000,
            bulk_objects_max: 100,
            bulk_bytes_max: 100 << 20,
            callback_bytes_max: 256 << 10,
            callbacks_per_second_max: 1000,
            callbacks_pending_max: 100_000,
            callbacks_pending_bytes_max: 64 << 20,
            queue_events_max: 256,
            pages_bytes_max: 32 << 20,
            socket_stall_seconds: 60,
            socket_ping_seconds: 30,
            sender_disable_after_seconds: 5 * 86400,
            conn_check_seconds: 60,
            poll_seconds: 30,
            large_poll_seconds: 600,
            partitions_months_ahead: 3,
            events_keep_days: 0,
            objects_expire_seconds: 0,
            tombstones_keep_seconds: 30 * 86400,
            header_seconds: 10,
            header_bytes_max: 32 << 10,
            url_bytes_max: 8 << 10,
            body_stall_seconds: 30,
            idle_seconds: 75,
            connections_max: 16_000,
            connections_per_address_max: 2000,
        }
    }
}

impl Limits {
    /// What cannot be.
    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if self.callback_bytes_max > CALLBACK_BYTES_MOST {
            faults.push(format!("callback_bytes_max: at most {CALLBACK_BYTES_MOST}, since it becomes one event"));
        }
        if self.callbacks_per_second_max == 0 {
            faults.push("callbacks_per_second_max: at least 1".to_owned());
        }
        if self.events_keep_days > EVENTS_KEEP_DAYS_MOST {
            faults.push(format!("events_keep_days: at most {EVENTS_KEEP_DAYS_MOST}; 0 keeps them for ever"));
        }
        if self.folder_entries_max == 0 {
            faults.push("folder_entries_max: at least 1".to_owned());
        }
        if self.search_entries_default == 0 || self.search_entries_max == 0 {
            faults.push("search_entries_default, search_entries_max: at least 1".to_owned());
        }
        if self.poll_seconds == 0 {
            faults.push("poll_seconds: at least 1".to_owned());
        }
        faults.extend(edge::faults(self));
        faults
    }
}

impl Config {
    /// Puts flags, environment and file together; all that is wrong is told at once.
    pub fn resolve(args: ServeArgs) -> anyhow::Result<Config> {
        let (config, faults) = Config::read(args)?;
        if !faults.is_empty() {
            bail!("{}", faults.join("\n"));
        }
        Ok(config)
    }

    /// The same, with what is wrong beside what the rest says.
    ///
    /// # Errors
    /// The file cannot be read, or is not TOML.
    pub fn read(args: ServeArgs) -> anyhow::Result<(Config, Vec<String>)> {
        let mut faults = Vec::new();
        let settings = File::read(args.database.config.as_deref(), &mut faults)?.with(args);
        let edge = settings.edge().resolve(&mut faults);
        let telemetry = settings.telemetry().resolve(&mut faults);
        let database = settings.database();
        let File { listen, auth, jwt, .. } = settings;
        if auth == Auth::None && !listen.ip().is_loopback() {
            faults.push(format!(
                "refusing to listen on {listen} with --auth none, which lets everybody do everything: \
                 use --auth jwt, or listen on 127.0.0.1 or [::1]"
            ));
        }
        let jwt = (auth == Auth::Jwt).then_some(jwt);
        if let Some(Err(fault)) = jwt.as_ref().map(Jwt::gate) {
            faults.push(format!("{fault:#}"));
        }
        let public_url = settings.public_url.map(|url| url.trim_end_matches('/').to_owned());
        if let Some(url) = &public_url
            && let Err(fault) = check_public_url(url)
        {
            faults.push(format!("--public-url {url}: {fault}"));
        }
        faults.extend(settings.limits.faults());
        let File { limits, push, event_types, groups, allow_private_targets, drain_seconds, secret_key_file, .. } =
            settings;
        let config = Config {
            listen,
            database,
            public_url,
            jwt,
            limits,
            push,
            allow_private_targets,
            drain_seconds,
            edge,
            telemetry,
            secret_key_file,
            event_types,
            groups,
        };
        Ok((config, faults))
    }
}

impl DatabaseArgs {
    /// Which database is meant, for the commands that do not serve.
    pub fn resolve(self) -> anyhow::Result<DatabaseChoice> {
        let mut faults = Vec::new();
        let file = File::read(self.config.as_deref(), &mut faults)?;
        if !faults.is_empty() {
            bail!("{}", faults.join("\n"));
        }
        Ok(file.with(ServeArgs { database: self, ..Default::default() }).database())
    }
}

fn check_public_url(url: &str) -> Result<(), String> {
    let parsed = url::Url::parse(url).map_err(|e| e.to_string())?;
    match parsed.scheme() {
        "http" | "https" if parsed.query().is_none() && parsed.fragment().is_none() => Ok(()),
        _ => Err("it must be http:// or https://, without query or fragment".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_authentication_only_loopback() {
        let args = ServeArgs { listen: Some("0.0.0.0:80".parse().unwrap()), ..Default::default() };
        assert!(Config::resolve(args).unwrap_err().to_string().contains("--auth none"));
        let args = ServeArgs { listen: Some("[::1]:0".parse().unwrap()), ..Default::default() };
        assert!(Config::resolve(args).is_ok());
    }

    #[test]
    fn all_faults_are_told_at_once() {
        let args = ServeArgs {
            listen: Some("0.0.0.0:80".parse().unwrap()),
            public_url: Some("ftp://x".into()),
            ..Default::default()
        };
        let text = Config::resolve(args).unwrap_err().to_string();
        assert!(text.contains("0.0.0.0") && text.contains("ftp://x"), "{text}");
    }

    #[test]
    fn unknown_keys_of_the_file_are_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "listen = '127.0.0.1:1'\nlisten_adress = 'x'\n").unwrap();
        let database = DatabaseArgs { config: Some(file.path().into()), ..Default::default() };
        let fault = Config::resolve(ServeArgs { database, ..Default::default() }).unwrap_err();
        assert!(format!("{fault:#}").contains("listen_adress"), "{fault:#}");
    }
}
