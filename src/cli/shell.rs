//! `tocsin completions` and `tocsin man`: what shells and `man` know of the command line.

use std::path::PathBuf;

use anyhow::Context;
use clap_complete::Shell;

/// `tocsin man`.
#[derive(Debug, clap::Args)]
pub(super) struct Man {
    /// Write a page for each command into this directory, instead of printing that of tocsin
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(super) fn completions(shell: Shell, mut command: clap::Command) {
    clap_complete::generate(shell, &mut command, "tocsin", &mut std::io::stdout());
}

pub(super) fn man(args: Man, command: clap::Command) -> anyhow::Result<()> {
    let Some(dir) = args.dir else {
        return Ok(clap_mangen::Man::new(command).render(&mut std::io::stdout())?);
    };
    std::fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    clap_mangen::generate_to(command, &dir).with_context(|| format!("cannot write into {}", dir.display()))
}
