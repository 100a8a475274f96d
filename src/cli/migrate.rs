//! `tocsin migrate`.

use super::progress::Progress;
use crate::app::Home;
use crate::config::telemetry::Telemetry;
use crate::config::{DatabaseArgs, Limits};
use crate::postgres::Database;
use crate::postgres::migrate::{self, Step};
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
    let progress = Progress::new("{wide_bar} {pos} of {len} migrations: {msg}");
    let tell = |step: Step<'_>| match step.next {
        Some(name) => {
            progress.say(name);
            progress.show(step.done as u64, step.of as u64);
            progress.line(&format!("migration {name} ({} of {})", step.done + 1, step.of));
        }
        None => progress.end(),
    };
    migrate::run_telling(&mut connection.client, Limits::default().partitions_months_ahead, tell).await?;
    println!("the schema is up to date");
    Ok(())
}
