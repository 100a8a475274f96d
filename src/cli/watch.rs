//! `tocsin watch` and `tocsin unwatch`: any table of the database as a source of events.

use anyhow::{Context, bail};

use crate::app::Home;
use crate::config::{DatabaseArgs, DatabaseChoice};
use crate::postgres::Database;
use crate::tables::{NewWatch, Watched, rows};

/// `tocsin watch`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    database: DatabaseArgs,
    /// List the tables that are watched
    #[arg(long, conflicts_with_all = ["table", "key", "of_box", "columns", "operations", "when"])]
    list: bool,
    /// The table, as SQL names it: movies, sales.orders
    #[arg(value_name = "TABLE", required_unless_present = "list")]
    table: Option<String>,
    /// The columns that tell its rows apart, separated by commas: its primary key, or others with a unique index
    #[arg(long, value_name = "COLUMNS", required_unless_present = "list")]
    key: Option<String>,
    /// The box that its rows are told in: BOX, STORE/BOX, or column:NAME, the column that says so for each row
    #[arg(long = "box", value_name = "BOX", required_unless_present = "list")]
    of_box: Option<String>,
    /// The columns that are told of [default: all, be they added later]
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    columns: Option<Vec<String>>,
    /// The operations that are told of [default: insert,update,delete]
    #[arg(long, value_name = "OPERATIONS", value_delimiter = ',')]
    operations: Option<Vec<String>>,
    /// An SQL condition over the rows new and old: 'new.premiere is distinct from old.premiere'
    #[arg(long, value_name = "CONDITION")]
    when: Option<String>,
}

/// `tocsin unwatch`.
#[derive(Debug, clap::Args)]
pub(super) struct UnwatchArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    /// The table, as SQL names it
    #[arg(value_name = "TABLE")]
    table: String,
}

pub(super) async fn run(args: Args) -> anyhow::Result<()> {
    let Args { database, list: _, table, key, of_box, columns, operations, when } = args;
    let (Some(table), Some(key), Some(of_box)) = (table, key, of_box) else {
        return on(database, async |database| list(database).await).await;
    };
    let new = NewWatch { table, key, of_box, columns, operations, when };
    on(database, async |database| rows::watch(database, &new).await).await?;
    println!("{} is watched: its rows are told in {}", new.table, new.of_box);
    Ok(())
}

pub(super) async fn unwatch(args: UnwatchArgs) -> anyhow::Result<()> {
    let table = args.table;
    if !on(args.database, async |database| rows::unwatch(database, &table).await).await? {
        bail!("{table} is not watched");
    }
    println!("{table} is not watched any more");
    Ok(())
}

/// Works on the database, beside a server as well as without one.
pub(super) async fn on<T>(
    database: DatabaseArgs,
    work: impl AsyncFnOnce(&Database) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let choice = database.resolve()?;
    if let DatabaseChoice::Embedded(dir) = &choice
        && !dir.exists()
    {
        bail!("there is nothing in {}", dir.display());
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

async fn list(database: &Database) -> anyhow::Result<()> {
    let watched = rows::list(database).await;
    let watched = watched.context("the database cannot be asked (is its schema up to date? see tocsin migrate)")?;
    if watched.is_empty() {
        println!("no table is watched");
        return Ok(());
    }
    let head = ["TABLE", "KEY", "BOX", "COLUMNS", "OPERATIONS", "WHEN"].map(str::to_owned);
    let lines: Vec<[String; 6]> = std::iter::once(head).chain(watched.iter().map(columns)).collect();
    let widths: Vec<usize> =
        (0..6).map(|n| lines.iter().map(|line| line[n].chars().count()).max().unwrap_or(0)).collect();
    for line in &lines {
        let cells: Vec<String> = line.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}")).collect();
        println!("{}", cells.join("  ").trim_end());
    }
    for Watched { name, fault, .. } in &watched {
        if let Some(fault) = fault {
            println!("rows of {name} are not told of: {fault}");
        }
    }
    Ok(())
}

fn columns(table: &Watched) -> [String; 6] {
    [
        table.name.clone(),
        table.key.join(","),
        table.of_box.clone().unwrap_or_default(),
        table.columns.as_ref().map_or_else(|| "all".to_owned(), |columns| columns.join(",")),
        table.operations.join(","),
        table.when.clone().unwrap_or_default(),
    ]
}
