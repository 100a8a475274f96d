//! `tocsin listen`: what a box notifies, as it happens.

use std::io::{IsTerminal, Write, stdout};

use anyhow::anyhow;
use clap::ValueEnum;
use futures_util::StreamExt;

use super::client::{ServerArgs, told};
use super::exec::Then;
use super::output::print_line;
use super::{exec, feed};
use crate::client::{Criterion, Filter, Happening, Listen, Listener, NotificationList, Wish};
use crate::lifecycle::Signals;

/// `tocsin listen`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    server: ServerArgs,
    /// Whose channel it is
    #[arg(long, value_name = "USER")]
    user: String,
    /// The box to subscribe to
    #[arg(long = "box", value_name = "BOX")]
    box_id: String,
    /// Begin with everything after this restartToken, instead of with what comes from now on
    #[arg(long, value_name = "TOKEN")]
    restart_token: Option<String>,
    /// Only objects that have this value of an attribute, as key=8; several must all hold
    #[arg(long = "attribute", value_name = "NAME=VALUE", value_parser = read_criterion)]
    criteria: Vec<Criterion>,
    /// Print the attributes of the objects too; a feed always has them
    #[arg(long)]
    with_attributes: bool,
    /// How to print it [default: a feed on a terminal, otherwise json]
    #[arg(long, value_name = "FORM", value_enum)]
    output: Option<Form>,
    /// Instead of printing, run this command in a shell for each notification, one at a time
    ///
    /// The notification's JSON is on its stdin, and TOCSIN_BOX, TOCSIN_INDEX and TOCSIN_RESTART_TOKEN are in its
    /// environment. One that fails is told of on stderr, and the next notification comes all the same. While one takes its
    /// time, what comes waits on the server. Ctrl-C and SIGTERM let it end first; the second one kills it.
    #[arg(long, value_name = "COMMAND", conflicts_with = "output")]
    exec: Option<String>,
}

/// In which form notifications are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// A line for people for each event.
    Feed,
    /// The notificationLists as they came, one line each.
    Json,
}

/// What is done with what comes.
enum Sink {
    Print(Form),
    Exec { command: String, box_id: String },
}

/// A criterion of the kind Attribute.
fn read_criterion(text: &str) -> Result<Criterion, String> {
    let (name, value) = text.split_once('=').ok_or("NAME=VALUE is wanted")?;
    Ok(Criterion::attribute(name, value))
}

pub(super) async fn run(args: Args) -> anyhow::Result<()> {
    let default = if stdout().is_terminal() { Form::Feed } else { Form::Json };
    let form = args.output.unwrap_or(default);
    let attributes = args.with_attributes || (args.exec.is_none() && form == Form::Feed);
    let sink = match args.exec {
        Some(command) => Sink::Exec { command, box_id: args.box_id.clone() },
        None => Sink::Print(form),
    };
    let wish = Wish {
        store: args.server.store.clone(),
        filter: (!args.criteria.is_empty()).then(|| Filter::all(args.criteria)),
        attributes,
        restart_token: args.restart_token,
        ..Wish::of_box(&args.box_id)
    };
    let mut signals = Signals::listen()?;
    let listen = Listen::new(&args.user, [wish]).told(tell);
    let client = args.server.client()?;
    // What is wrong with the request itself is told at once; later faults are waited out.
    let mut listener = tokio::select! {
        listener = client.listen(listen) => listener.map_err(|fault| told(&fault))?,
        () = signals.next() => return Ok(()),
    };
    let outcome = follow(&mut listener, &sink, &mut signals).await;
    let closed = listener.close().await.map_err(|fault| told(&fault));
    outcome.and(closed)
}

fn tell(happening: Happening<'_>) {
    match happening {
        Happening::Problem(fault) => eprintln!("{fault}; trying again"),
        Happening::Gap { expected, got } => eprintln!("index {expected} is missing before {got}; asking for it again"),
        _ => {}
    }
}

/// Takes what comes, until we are asked to stop.
async fn follow(listener: &mut Listener, sink: &Sink, signals: &mut Signals) -> anyhow::Result<()> {
    loop {
        let list = tokio::select! {
            list = listener.next() => list,
            () = signals.next() => return Ok(()),
        };
        let list = list.ok_or_else(|| anyhow!("the subscription has ended"))?.map_err(|fault| told(&fault))?;
        if sink.take(&list, signals).await? == Then::Stop {
            return Ok(());
        }
    }
}

impl Sink {
    /// Prints a list, or runs the command for each of its notifications.
    async fn take(&self, list: &NotificationList, signals: &mut Signals) -> anyhow::Result<Then> {
        match self {
            Sink::Print(Form::Json) => print_line(&list.to_string())?,
            Sink::Print(Form::Feed) => {
                for line in feed::lines(list) {
                    writeln!(anstream::stdout(), "{line}")?;
                }
            }
            Sink::Exec { command, box_id } => {
                for notification in &list.notifications {
                    if exec::run(command, box_id, notification, signals).await? == Then::Stop {
                        return Ok(Then::Stop);
                    }
                }
            }
        }
        Ok(Then::GoOn)
    }
}
