//! The command line: one file per command.

mod beside;
mod client;
mod config;
mod doctor;
mod exec;
mod explain;
mod feed;
mod grants;
mod help;
mod listen;
mod migrate;
mod output;
mod progress;
mod rebuild;
mod replay;
mod rotate_key;
mod serve;
mod shell;
mod table;
mod token;
mod url;
mod watch;

use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;

use crate::config::{DatabaseArgs, ServeArgs};

/// An event-sourced notification server on Postgres LISTEN/NOTIFY.
#[derive(Debug, Parser)]
#[command(name = "tocsin", version, after_help = help::TOCSIN, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server (also without a command)
    #[command(after_help = help::SERVE)]
    Serve(Box<ServeArgs>),
    /// Bring the database's schema up to date, and exit
    #[command(after_help = help::MIGRATE)]
    Migrate(DatabaseArgs),
    /// Make the projections (objects, channels, subscriptions) anew from the log, and exit
    ///
    /// The log is replayed beside the projections; then, in one transaction, the rows that differ are put right. So
    /// readers see nothing of it, writers wait only for that last part, and one that is interrupted changes nothing.
    ///
    /// It refuses while nodes are serving, unless told --while-serving. It also refuses when old events have left the
    /// log by retention: objects, channels and subscriptions from before that time could not be made again.
    #[command(after_help = help::REBUILD)]
    Rebuild(rebuild::Args),
    /// Make URLs of channels, and signatures of webhooks, with a new key; the server need not be restarted
    ///
    /// Every node knows the new key before any uses it. URLs and signatures of older ones are good for a while: until then
    /// clients fetch their channel again, which tells them the new ones.
    #[command(after_help = help::ROTATE_KEY)]
    RotateKey(rotate_key::Args),
    /// Look for what is wrong with a deployment, and say what to do about it; the exit code is 1 when something fails
    #[command(after_help = help::DOCTOR)]
    Doctor(doctor::Args),
    /// Print the database URL, for psql "$(tocsin url)"
    #[command(after_help = help::URL)]
    Url(DatabaseArgs),
    /// Subscribe to a box over HTTP and print what it notifies: a feed for people, or a line of JSON for each notificationList
    #[command(after_help = help::LISTEN)]
    Listen(listen::Args),
    /// Print everything a box has notified since a restartToken, then exit
    #[command(after_help = help::REPLAY)]
    Replay(replay::Args),
    /// Say whether, when and how an event was delivered to a subscription, or why not
    #[command(after_help = help::EXPLAIN)]
    Explain(explain::Args),
    /// Tell of the rows that are inserted, updated and deleted in a table, as events of a box
    ///
    /// To watch a table again replaces what was said before, and takes in its new partitions.
    #[command(after_help = help::WATCH)]
    Watch(watch::Args),
    /// Tell of them no more
    #[command(after_help = help::UNWATCH)]
    Unwatch(watch::UnwatchArgs),
    /// Let a user, or everybody who has a token, reach what is not theirs
    #[command(after_help = help::GRANT)]
    Grant(grants::Args),
    /// Take that back: what rested on it ends
    #[command(after_help = help::REVOKE)]
    Revoke(grants::RevokeArgs),
    /// List what is granted
    #[command(after_help = help::GRANTS)]
    Grants(grants::ListArgs),
    /// See what the server would run with
    #[command(subcommand)]
    Config(config::Command),
    /// Make keys, and tokens for development
    #[command(subcommand)]
    Token(token::Command),
    /// Print what a shell needs to complete commands and flags
    #[command(after_help = help::COMPLETIONS)]
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: Shell,
    },
    /// Print the page for man
    #[command(after_help = help::MAN)]
    Man(shell::Man),
}

/// Runs the command given on the command line.
///
/// # Errors
/// What a person is to be told, in one line or several.
pub async fn run() -> anyhow::Result<()> {
    match run_command().await {
        Err(fault) if output::is_unread(&fault) => Ok(()),
        outcome => outcome,
    }
}

async fn run_command() -> anyhow::Result<()> {
    let matches = Cli::command().get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|fault| fault.exit());
    match cli.command {
        None => serve::run(cli.serve).await,
        Some(Command::Serve(args)) => serve::run(*args).await,
        Some(Command::Migrate(args)) => migrate::run(args).await,
        Some(Command::Rebuild(args)) => rebuild::run(args).await,
        Some(Command::RotateKey(args)) => rotate_key::run(args).await,
        Some(Command::Doctor(args)) => doctor::run(args).await,
        Some(Command::Url(args)) => url::run(args),
        Some(Command::Listen(args)) => listen::run(args).await,
        Some(Command::Replay(args)) => replay::run(args).await,
        Some(Command::Explain(args)) => explain::run(args).await,
        Some(Command::Watch(args)) => watch::run(args).await,
        Some(Command::Unwatch(args)) => watch::unwatch(args).await,
        Some(Command::Grant(args)) => grants::grant(args).await,
        Some(Command::Revoke(args)) => grants::revoke(args).await,
        Some(Command::Grants(args)) => grants::list(args).await,
        Some(Command::Config(command)) => config::run(command, innermost(&matches)).await,
        Some(Command::Token(command)) => token::run(command),
        Some(Command::Completions { shell }) => {
            shell::completions(shell, Cli::command());
            Ok(())
        }
        Some(Command::Man(args)) => shell::man(args, Cli::command()),
    }
}

/// What was said to the innermost command.
fn innermost(matches: &ArgMatches) -> &ArgMatches {
    matches.subcommand().map_or(matches, |(_, matches)| innermost(matches))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words of an example, up to where the shell does something with the output.
    fn words(example: &str) -> Vec<String> {
        let mut words = Vec::new();
        for (n, part) in example.split('\'').enumerate() {
            match n % 2 {
                0 => words.extend(part.split_whitespace().map(str::to_owned)),
                _ => words.push(part.to_owned()),
            }
        }
        words.into_iter().take_while(|word| !matches!(word.as_str(), "|" | ">")).collect()
    }

    fn check_examples(command: &clap::Command) {
        if command.has_subcommands() && command.get_name() != "tocsin" {
            return command.get_subcommands().for_each(check_examples);
        }
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let examples: Vec<_> = help.lines().filter_map(|line| line.strip_prefix("  tocsin")).collect();
        assert!(!examples.is_empty(), "{} has no examples", command.get_name());
        for example in examples {
            let outcome = Cli::command().try_get_matches_from(words(&format!("tocsin{example}")));
            assert!(outcome.is_ok(), "tocsin{example}: {}", outcome.unwrap_err());
        }
        command.get_subcommands().for_each(check_examples);
    }

    #[test]
    fn every_command_has_examples_that_can_be_typed() {
        check_examples(&Cli::command());
    }
}
