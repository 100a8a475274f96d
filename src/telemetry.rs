//! Logs, to stderr: stdout belongs to the READY line and to what a command prints.

use tracing_subscriber::EnvFilter;

/// Starts logging. `RUST_LOG` chooses what; by default our own information and everybody's warnings.
pub fn start() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn,tocsin=info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false).init();
}
