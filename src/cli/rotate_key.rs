//! `tocsin rotate-key`.

use std::time::Duration;

use super::beside::on;

use crate::channel::keyring::BEGINS_IN;
use crate::channel::rows;
use crate::config::DatabaseArgs;
use crate::log::event::token;

/// `tocsin rotate-key`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    database: DatabaseArgs,
    /// How long URLs and signatures of older keys are good: 36h, 7d
    #[arg(long, value_name = "DURATION", default_value = "7d", value_parser = humantime::parse_duration)]
    keep: Duration,
    /// Older ones are good for nothing from now on: one has leaked. Sockets that are open stay open
    #[arg(long, conflicts_with = "keep")]
    now: bool,
}

pub(super) async fn run(args: Args) -> anyhow::Result<()> {
    let (keep, begins_in) = if args.now { Default::default() } else { (args.keep, BEGINS_IN) };
    let rotate = async |database: &_| Ok(rows::rotate_url_key(database, keep, begins_in).await?);
    let (from, until) = on(args.database, rotate).await?;
    match args.now {
        true => println!("a new key is in use; URLs and signatures of older ones are good for nothing"),
        false => println!(
            "a new key is in use from {} on; URLs and signatures of older ones are good until {}",
            token(from),
            token(until)
        ),
    }
    Ok(())
}
