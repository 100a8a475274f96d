//! Commands that work on the database, beside a server as well as without one.

use anyhow::{Context, bail};

use crate::app::Home;
use crate::config::{DatabaseArgs, DatabaseChoice};
use crate::postgres::Database;
use crate::postgres::migrate::Schema;

/// Works on a database whose schema is this program's, beside a server as well as without one.
pub(super) async fn on<T>(
    database: DatabaseArgs,
    work: impl AsyncFnOnce(&Database) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    on_any(database, async |database| {
        look(database).await?;
        work(database).await
    })
    .await
}

/// The same, whatever is there, if anything.
pub(super) async fn on_any<T>(
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

/// Whether it can be reached, and is of use: why not is said here better than by whatever would fail first.
async fn look(database: &Database) -> anyhow::Result<()> {
    let connection = database.connect("look").await?;
    match Schema::of(&connection.client).await {
        Ok(schema) => schema.fault().map_or(Ok(()), |fault| bail!(fault)),
        Err(fault) => {
            Err(fault).context("the schema tocsin is not there, or not ours to read (`tocsin migrate` makes it)")
        }
    }
}
