//! Logs, to stderr: stdout belongs to the READY line and to what a command prints. And spans, to a collector, when one is
//! named; otherwise nothing of that is there.

use std::io::{IsTerminal, stderr};
use std::time::Duration;

use anyhow::Context;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::{Level, Metadata, Subscriber, warn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, filter, fmt, registry};

use crate::config::telemetry::{Collector, LogFormat, Telemetry};

/// How long the last spans may take to the collector.
const FLUSH_PATIENCE: Duration = Duration::from_secs(5);

/// What is started; to be ended last.
#[derive(Debug)]
pub struct Started {
    spans: Option<SdkTracerProvider>,
}

/// Starts logging, and sending spans.
///
/// # Errors
/// A filter that cannot be read, or a collector that nothing can be sent to.
pub fn start(settings: &Telemetry) -> anyhow::Result<Started> {
    let spans = settings.collector.as_ref().map(provider).transpose()?;
    let exported = spans.as_ref().map(|spans| {
        let layer = tracing_opentelemetry::layer().with_tracer(spans.tracer("tocsin"));
        layer.with_location(false).with_threads(false).with_filter(filter::filter_fn(is_exported))
    });
    registry().with(exported).with(log(settings)?).init();
    Ok(Started { spans })
}

impl Started {
    /// Sends what is left.
    pub fn end(self) {
        let Some(spans) = self.spans else { return };
        if let Err(fault) = spans.shutdown_with_timeout(FLUSH_PATIENCE) {
            warn!("the last spans could not be sent: {fault}");
        }
    }
}

fn log<S: Subscriber + for<'a> LookupSpan<'a>>(settings: &Telemetry) -> anyhow::Result<impl Layer<S> + use<S>> {
    let filter = EnvFilter::try_new(&settings.log).context("--log")?;
    let lines = fmt::layer().with_writer(stderr).with_target(false).with_ansi(stderr().is_terminal());
    Ok(match settings.log_format {
        LogFormat::Human => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).boxed(),
    }
    .with_filter(filter))
}

/// Requests, and what is done for them; not the tasks, whose spans are as long as the server's life, and nothing of other
/// crates.
fn is_exported(of: &Metadata<'_>) -> bool {
    of.is_span() && of.target().starts_with("tocsin") && of.name() != "task" && *of.level() <= Level::INFO
}

fn provider(collector: &Collector) -> anyhow::Result<SdkTracerProvider> {
    let exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(collector.url.as_str())
        .build()
        .context("--otlp-endpoint")?;
    let resource = Resource::builder().with_service_name(collector.service_name.clone()).build();
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
}
