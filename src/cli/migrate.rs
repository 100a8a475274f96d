//! `tocsin migrate`.

use crate::config::{DatabaseArgs, DatabaseChoice, Limits};
use crate::lifecycle::Tasks;
use crate::postgres::embedded::{self, Embedded};
use crate::postgres::{Database, migrate};
use crate::telemetry;

pub(super) async fn run(args: DatabaseArgs) -> anyhow::Result<()> {
    telemetry::start();
    match args.resolve()? {
        DatabaseChoice::Url(url) => up_to_date(&url).await,
        // A server that runs there has migrated already, and may be asked to again.
        DatabaseChoice::Embedded(dir) => match embedded::running_url(&dir) {
            Ok(url) => up_to_date(&url).await,
            Err(_) => {
                let cluster = Tasks::new();
                let embedded = Embedded::start(&dir).await?;
                let url = embedded.url().to_owned();
                cluster.spawn("postgres", embedded.supervise(cluster.stopping()));
                let outcome = up_to_date(&url).await;
                cluster.end(std::time::Duration::from_secs(60)).await;
                outcome
            }
        },
    }
}

async fn up_to_date(url: &str) -> anyhow::Result<()> {
    let mut connection = Database::new(url)?.connect("migrate").await?;
    migrate::run(&mut connection.client, Limits::default().partitions_months_ahead).await?;
    println!("the schema is up to date");
    Ok(())
}
