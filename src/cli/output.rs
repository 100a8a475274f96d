//! In which form a command prints what it lists.

use std::io::{ErrorKind, Write, stdout};

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
    print_line(&serde_json::to_string_pretty(value).context("the answer is not JSON")?)
}

/// Prints a line. Unlike `println!`, it fails when nobody reads any more: see [`is_unread`].
pub(super) fn print_line(line: &str) -> anyhow::Result<()> {
    Ok(writeln!(stdout(), "{line}")?)
}

/// Whether who read our output has gone, as `head` does: they have what they wanted, and nothing is to be told.
pub(super) fn is_unread(fault: &anyhow::Error) -> bool {
    fault.downcast_ref::<std::io::Error>().is_some_and(|fault| fault.kind() == ErrorKind::BrokenPipe)
}
