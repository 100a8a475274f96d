//! `tocsin serve`.

use std::io::Write;

use crate::app::Server;
use crate::config::{Config, ServeArgs};
use crate::lifecycle::Signals;
use crate::telemetry;

pub(super) async fn run(args: ServeArgs) -> anyhow::Result<()> {
    let config = Config::resolve(args)?;
    let telemetry = telemetry::start(&config.telemetry)?;
    let outcome = serve(config).await;
    telemetry.end();
    outcome
}

async fn serve(config: Config) -> anyhow::Result<()> {
    let mut signals = Signals::listen()?;
    let server = tokio::select! {
        server = Server::start(config) => server?,
        () = signals.next() => return Ok(()),
    };
    let mut stdout = std::io::stdout();
    writeln!(stdout, "READY {}", server.url)?;
    stdout.flush()?;
    server.run_until(signals).await
}
