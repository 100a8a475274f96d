//! Commands that work on the database, beside a server as well as without one.

use anyhow::bail;

use crate::app::Home;
use crate::config::{DatabaseArgs, DatabaseChoice};
use crate::postgres::Database;

/// Works on the database, beside a server as well as without one.
pub(super) async fn on<T>(
    database: DatabaseArgs,
    work: impl AsyncFnOnce(&Database) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let choice = database.resolve()?;
    if let DatabaseChoice::Embedded(dir) = &choice
        && !dir.exists()
    {
        bail!("there is nothing in {} (--data-dir or --database-url says where the database is)", dir.display());
    }
    let home = Home::find(&choice).await?;
    let outcome = match Database::new(&home.url) {
        Ok(database) => {
            let outcome = work(&database).await;
            database.close();
            outcome
        }
        Err(fault) => Err(fault),
    };
    home.close().await;
    outcome
}
