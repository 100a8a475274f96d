//! `tocsin serve`.

use std::io::Write;

use crate::app::Server;
use crate::config::{Config, ServeArgs};
use crate::{lifecycle, telemetry};

pub(super) async fn run(args: ServeArgs) -> anyhow::Result<()> {
    let config = Config::resolve(args)?;
    telemetry::start();
    let mut asked = std::pin::pin!(lifecycle::asked_to_stop());
    let server = tokio::select! {
        server = Server::start(config) => server?,
        asked = &mut asked => return asked,
    };
    let mut stdout = std::io::stdout();
    writeln!(stdout, "READY {}", server.url)?;
    stdout.flush()?;
    server.run_until(asked).await
}
