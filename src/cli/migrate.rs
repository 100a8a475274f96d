//! `tocsin migrate`.

use crate::app::Home;
use crate::config::telemetry::Telemetry;
use crate::config::{DatabaseArgs, Limits};
use crate::postgres::{Database, migrate};
use crate::telemetry;

pub(super) async fn run(args: DatabaseArgs) -> anyhow::Result<()> {
    telemetry::start(&Telemetry::of_environment())?;
    // A server that runs there has migrated already, and may be asked to again.
    let home = Home::find(&args.resolve()?).await?;
    let outcome = up_to_date(&home.url).await;
    home.close().await;
    outcome
}

async fn up_to_date(url: &str) -> anyhow::Result<()> {
    let mut connection = Database::new(url)?.connect("migrate").await?;
    migrate::run(&mut connection.client, Limits::default().partitions_months_ahead).await?;
    println!("the schema is up to date");
    Ok(())
}
