//! `tocsin url`.

use crate::config::{DatabaseArgs, DatabaseChoice};
use crate::postgres::embedded;

pub(super) fn run(args: DatabaseArgs) -> anyhow::Result<()> {
    let url = match args.resolve()? {
        DatabaseChoice::Url(url) => url,
        DatabaseChoice::Embedded(dir) => embedded::running_url(&dir)?,
    };
    println!("{url}");
    Ok(())
}
