//! In which form a command prints what it lists.

use anyhow::Context;
use clap::ValueEnum;
use serde_json::Value;

/// The forms.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// Columns for people.
    #[default]
    Table,
    /// JSON for programs.
    Json,
}

/// Prints JSON that people can read as well.
pub(super) fn print_json(value: &Value) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string_pretty(value).context("the answer is not JSON")?);
    Ok(())
}
