//! `tocsin watch` and `tocsin unwatch`: any table of the database as a source of events.

use anyhow::bail;
use serde_json::{Value, json};

use super::beside::on;
use super::output::{Output, print_json};
use super::table::print_table;
use crate::config::DatabaseArgs;
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
    /// How to print the list
    #[arg(long, value_name = "FORM", value_enum, default_value_t, requires = "list")]
    output: Output,
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
    let Args { database, list: _, output, table, key, of_box, columns, operations, when } = args;
    let (Some(table), Some(key), Some(of_box)) = (table, key, of_box) else {
        return on(database, async |database| list(database, output).await).await;
    };
    let new = NewWatch { table, key, of_box, columns, operations, when };
    on(database, async |database| rows::watch(database, &new).await).await?;
    println!("{} is watched: its rows are told in {}", new.table, new.of_box);
    Ok(())
}

pub(super) async fn unwatch(args: UnwatchArgs) -> anyhow::Result<()> {
    let table = args.table;
    if !on(args.database, async |database| rows::unwatch(database, &table).await).await? {
        bail!("{table} is not watched (`tocsin watch --list` shows what is)");
    }
    println!("{table} is not watched any more");
    Ok(())
}

async fn list(database: &Database, output: Output) -> anyhow::Result<()> {
    let watched = rows::list(database).await?;
    if output == Output::Json {
        return print_json(&watched.iter().map(as_json).collect());
    }
    if watched.is_empty() {
        println!("no table is watched");
        return Ok(());
    }
    let head = ["TABLE", "KEY", "BOX", "COLUMNS", "OPERATIONS", "WHEN"].map(str::to_owned);
    print_table(head, watched.iter().map(columns))?;
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

fn as_json(table: &Watched) -> Value {
    json!({
        "table": table.name, "key": table.key, "box": table.of_box, "columns": table.columns,
        "operations": table.operations, "when": table.when, "fault": table.fault,
    })
}
