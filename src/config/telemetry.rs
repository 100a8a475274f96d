//! Settings of what the program tells of itself: its log, and spans for a collector.

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;
use url::Url;

/// Our own information and everybody's warnings.
const LOG: &str = "warn,tocsin=info";
/// Where collectors take spans, below their endpoint.
const TRACES_PATH: [&str; 2] = ["v1", "traces"];
/// As collectors know us.
const SERVICE_NAME: &str = "tocsin";

/// How lines of the log are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people; in colour on a terminal.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

/// The flags; each is also an environment variable and a key of the file.
#[derive(Debug, Default, Args)]
pub struct TelemetryArgs {
    /// How the log is written [default: human]
    #[arg(long, env = "TOCSIN_LOG_FORMAT", value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
    /// What is logged, as in RUST_LOG, which works too: warn,tocsin=debug [default: warn,tocsin=info]
    #[arg(long, env = "TOCSIN_LOG", value_name = "FILTER")]
    pub log: Option<String>,
    /// Send spans of requests to the OpenTelemetry collector at this URL, by OTLP over HTTP; OTEL_EXPORTER_OTLP_ENDPOINT
    /// works too [default: none]
    #[arg(long, env = "TOCSIN_OTLP_ENDPOINT", value_name = "URL")]
    pub otlp_endpoint: Option<String>,
}

/// What of it holds.
#[derive(Debug, Clone)]
pub struct Telemetry {
    /// How the log is written.
    pub log_format: LogFormat,
    /// What is logged.
    pub log: String,
    /// Where spans are sent, and as whose; `None`: nowhere.
    pub collector: Option<Collector>,
}

/// Who takes spans.
#[derive(Debug, Clone)]
pub struct Collector {
    /// Where they are posted.
    pub url: Url,
    /// What we are called there.
    pub service_name: String,
}

impl Default for Telemetry {
    fn default() -> Self {
        Telemetry { log_format: LogFormat::default(), log: LOG.to_owned(), collector: None }
    }
}

impl TelemetryArgs {
    /// What is said here, and else what `further` says.
    pub(super) fn or(self, further: TelemetryArgs) -> TelemetryArgs {
        TelemetryArgs {
            log_format: self.log_format.or(further.log_format),
            log: self.log.or(further.log),
            otlp_endpoint: self.otlp_endpoint.or(further.otlp_endpoint),
        }
    }

    /// What the variables say that other programs know too.
    pub(super) fn of_common_variables() -> TelemetryArgs {
        TelemetryArgs {
            log_format: None,
            log: variable("RUST_LOG"),
            otlp_endpoint: variable("OTEL_EXPORTER_OTLP_ENDPOINT"),
        }
    }

    /// Reads it; what is wrong is added to `faults`.
    pub(super) fn resolve(self, faults: &mut Vec<String>) -> Telemetry {
        let log = self.log.unwrap_or_else(|| LOG.to_owned());
        if let Err(fault) = EnvFilter::try_new(&log) {
            faults.push(format!("--log {log}: {fault}"));
        }
        let endpoint = self.otlp_endpoint.filter(|text| !text.is_empty());
        let collector = endpoint.and_then(|text| {
            let url = traces_url(&text);
            if url.is_none() {
                faults.push(format!("--otlp-endpoint {text}: it must be http:// or https://"));
            }
            let service_name = variable("OTEL_SERVICE_NAME").unwrap_or_else(|| SERVICE_NAME.to_owned());
            url.map(|url| Collector { url, service_name })
        });
        Telemetry { log_format: self.log_format.unwrap_or_default(), log, collector }
    }
}

impl Telemetry {
    /// For commands beside the server: as the environment has it, but for the collector.
    pub fn of_environment() -> Telemetry {
        let log_format = variable("TOCSIN_LOG_FORMAT").and_then(|text| LogFormat::from_str(&text, true).ok());
        let log = variable("TOCSIN_LOG").or_else(|| variable("RUST_LOG"));
        TelemetryArgs { log_format, log, otlp_endpoint: None }.resolve(&mut Vec::new())
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

fn traces_url(text: &str) -> Option<Url> {
    let mut url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())?;
    url.path_segments_mut().ok()?.pop_if_empty().extend(TRACES_PATH);
    Some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_go_where_collectors_take_them() {
        let url = |text| traces_url(text).map(String::from);
        assert_eq!(url("http://c:4318").as_deref(), Some("http://c:4318/v1/traces"));
        assert_eq!(url("https://c/otlp/").as_deref(), Some("https://c/otlp/v1/traces"));
        assert_eq!((url("c:4318"), url("ftp://c"), url("")), (None, None, None));
    }

    #[test]
    fn what_is_wrong_is_told() {
        let mut faults = Vec::new();
        let args = TelemetryArgs { log: Some("tocsin=loud".into()), otlp_endpoint: Some("c".into()), log_format: None };
        args.resolve(&mut faults);
        assert!(faults[0].starts_with("--log tocsin=loud") && faults[1].starts_with("--otlp-endpoint c"), "{faults:?}");
    }
}
