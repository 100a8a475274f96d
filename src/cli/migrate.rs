//! `tocsin migrate`.

use crate::app::Home;
use crate::config::{DatabaseArgs, DatabaseChoice, Limits};
use crate::postgres::{Database, embedded, migrate};
use crate::telemetry;

pub(super) async fn run(args: DatabaseArgs) -> anyhow::Result<()> {
    telemetry::start();
    let choice = args.resolve()?;
    // A server that runs there has migrated already, and may be asked to again.
    if let DatabaseChoice::Embedded(dir) = &choice
        && let Ok(url) = embedded::running_url(dir)
    {
        return up_to_date(&url).await;
    }
    let home = Home::open(&choice).await?;
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
