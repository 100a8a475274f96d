//! `tocsin config`: what the server would run with.

use anyhow::bail;
use clap::{ArgMatches, Subcommand};
use serde_json::{Value, json};

use super::help;
use super::output::{Output, print_json};
use super::table::print_table;
use crate::app;
use crate::config::show::{Setting, settings};
use crate::config::{Config, ServeArgs, example};

/// `tocsin config`.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// See whether the server could run with flags, environment and file; tell all that is wrong at once
    ///
    /// Keys, certificates and secrets that the settings name are read too. The database is not asked.
    #[command(after_help = help::CHECK)]
    Check(Box<ServeArgs>),
    /// List every setting with its value, and whether flag, environment, file or default says so
    ///
    /// A flag wins over its environment variable, which wins over the file, which wins over the default. Secrets are
    /// shown as ***.
    #[command(after_help = help::SHOW)]
    Show(Box<Show>),
    /// Print an annotated TOML file with all settings and their defaults
    #[command(after_help = help::EXAMPLE)]
    Example,
}

/// `tocsin config show`.
#[derive(Debug, clap::Args)]
pub(super) struct Show {
    #[command(flatten)]
    serve: ServeArgs,
    /// How to print it
    #[arg(long, value_name = "FORM", value_enum, default_value_t)]
    output: Output,
}

/// `matches` are those of the innermost command: they know where the value of a flag comes from.
pub(super) async fn run(command: Command, matches: &ArgMatches) -> anyhow::Result<()> {
    match command {
        Command::Check(args) => check(*args).await,
        Command::Show(args) => show(*args, matches),
        Command::Example => {
            print!("{}", example::text()?);
            Ok(())
        }
    }
}

async fn check(args: ServeArgs) -> anyhow::Result<()> {
    let (config, mut faults) = Config::read(args)?;
    faults.extend(app::faults(&config).await);
    if !faults.is_empty() {
        bail!("{}", faults.join("\n"));
    }
    println!("the configuration is good");
    Ok(())
}

fn show(args: Show, matches: &ArgMatches) -> anyhow::Result<()> {
    let mut faults = Vec::new();
    let settings = settings(args.serve, |id| matches.value_source(id), &mut faults)?;
    match args.output {
        Output::Json => print_json(&settings.iter().map(as_json).collect::<Value>())?,
        Output::Table => {
            let head = ["SETTING", "VALUE", "SOURCE", "FROM"].map(str::to_owned);
            print_table(head, settings.iter().map(columns))?;
        }
    }
    if !faults.is_empty() {
        bail!("{}", faults.join("\n"));
    }
    Ok(())
}

fn as_json(setting: &Setting) -> Value {
    json!({ "key": setting.key, "value": setting.value, "source": setting.source.name(), "from": setting.from })
}

fn columns(setting: &Setting) -> [String; 4] {
    let value = match &setting.value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        value => value.to_string(),
    };
    [setting.key.clone(), value, setting.source.name().to_owned(), setting.from.clone().unwrap_or_default()]
}
