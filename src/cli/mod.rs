//! The command line: one file per command.

mod beside;
mod client;
mod doctor;
mod explain;
mod grants;
mod listen;
mod migrate;
mod rebuild;
mod replay;
mod rotate_key;
mod serve;
mod table;
mod token;
mod url;
mod watch;

use clap::{Parser, Subcommand};

use crate::config::{DatabaseArgs, ServeArgs};

/// An event-sourced notification server on Postgres LISTEN/NOTIFY.
#[derive(Debug, Parser)]
#[command(name = "tocsin", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server (also without a command)
    Serve(Box<ServeArgs>),
    /// Bring the database's schema up to date, and exit
    Migrate(DatabaseArgs),
    /// Make the projections (objects, channels, subscriptions) anew from the log, and exit
    ///
    /// The log is replayed beside the projections; then, in one transaction, the rows that differ are put right. So
    /// readers see nothing of it, writers wait only for that last part, and one that is interrupted changes nothing.
    ///
    /// It refuses while nodes are serving, unless told --while-serving. It also refuses when old events have left the
    /// log by retention: objects, channels and subscriptions from before that time could not be made again.
    Rebuild(rebuild::Args),
    /// Make URLs of channels, and signatures of webhooks, with a new key; the server need not be restarted
    ///
    /// Every node knows the new key before any uses it. URLs and signatures of older ones are good for a while: until then
    /// clients fetch their channel again, which tells them the new ones.
    RotateKey(rotate_key::Args),
    /// Look for what is wrong with a deployment, and say what to do about it; the exit code is 1 when something fails
    Doctor(doctor::Args),
    /// Print the database URL, for psql "$(tocsin url)"
    Url(DatabaseArgs),
    /// Subscribe to a box over HTTP and print its notificationLists as they come, one line of JSON each
    Listen(listen::Args),
    /// Print everything a box has notified since a restartToken, then exit
    Replay(replay::Args),
    /// Say whether, when and how an event was delivered to a subscription, or why not
    Explain(explain::Args),
    /// Tell of the rows that are inserted, updated and deleted in a table, as events of a box
    ///
    /// To watch a table again replaces what was said before, and takes in its new partitions.
    Watch(watch::Args),
    /// Tell of them no more
    Unwatch(watch::UnwatchArgs),
    /// Let a user, or everybody who has a token, reach what is not theirs
    Grant(grants::Args),
    /// Take that back: what rested on it ends
    Revoke(grants::RevokeArgs),
    /// List what is granted
    Grants(DatabaseArgs),
    /// Make keys, and tokens for development
    #[command(subcommand)]
    Token(token::Command),
}

/// Runs the command given on the command line.
pub async fn run() -> anyhow::Result<()> {
    let cli = Cli::parse();
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
        Some(Command::Token(command)) => token::run(command),
    }
}
