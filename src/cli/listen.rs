//! `tocsin listen`: a real client. It survives the loss of its socket, of the server, and of its channel.

use std::io::IsTerminal;
use std::pin::pin;
use std::time::Duration;

use clap::ValueEnum;
use serde_json::{Value, json};
use tokio::time::{Interval, interval, sleep};

use super::client::{
    Channel, Client, ServerArgs, Socket, Subscription, check_connection, is_check, next_text, position, positions,
    without_seen,
};
use super::{exec, feed};
use crate::base::backoff::Backoff;
use crate::lifecycle;

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
    criteria: Vec<Value>,
    /// Print the attributes of the objects too; a feed always has them
    #[arg(long)]
    with_attributes: bool,
    /// How to print it [default: a feed on a terminal, otherwise json]
    #[arg(long, value_name = "FORM", value_enum)]
    output: Option<Form>,
    /// Instead of printing, run this command in a shell for each notification, one at a time
    ///
    /// The notification's JSON is on its stdin, and TOCSIN_BOX, TOCSIN_INDEX and TOCSIN_RESTART_TOKEN are in its
    /// environment. One that fails is told of on stderr, and the next notification comes all the same.
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
    Exec(String),
}

/// A criterion of the kind Attribute.
fn read_criterion(text: &str) -> Result<Value, String> {
    let (name, value) = text.split_once('=').ok_or("NAME=VALUE is wanted")?;
    Ok(json!({ "type": "Attribute", "name": name, "value": value }))
}

pub(super) async fn run(args: Args) -> anyhow::Result<()> {
    let default = if std::io::stdout().is_terminal() { Form::Feed } else { Form::Json };
    let sink = match args.exec {
        Some(command) => Sink::Exec(command),
        None => Sink::Print(args.output.unwrap_or(default)),
    };
    let mut listener = Listener {
        client: Client::new(args.server)?,
        user: args.user,
        box_id: args.box_id,
        criteria: args.criteria,
        with_attributes: args.with_attributes || sink.is_feed(),
        sink,
        token: args.restart_token,
        next_index: 1,
        made: None,
    };
    // What is wrong with the request itself is told at once; later faults are waited out.
    listener.make().await?;
    let asked = lifecycle::asked_to_stop();
    tokio::select! {
        never = listener.listen() => match never {},
        asked = asked => asked?,
    }
    listener.unmake().await
}

impl Sink {
    fn is_feed(&self) -> bool {
        matches!(self, Sink::Print(Form::Feed))
    }
}

struct Listener {
    client: Client,
    user: String,
    box_id: String,
    criteria: Vec<Value>,
    with_attributes: bool,
    sink: Sink,
    /// Everything up to here was printed.
    token: Option<String>,
    next_index: i64,
    made: Option<(Channel, Subscription)>,
}

impl Listener {
    async fn listen(&mut self) -> std::convert::Infallible {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        loop {
            match self.listen_once(&mut backoff).await {
                Ok(()) => eprintln!("the server closed the connection; connecting again"),
                Err(fault) => eprintln!("{fault:#}; connecting again"),
            }
            sleep(backoff.delay()).await;
        }
    }

    async fn listen_once(&mut self, backoff: &mut Backoff) -> anyhow::Result<()> {
        let channel = self.make().await?;
        let mut socket = self.client.open(&channel).await?;
        let mut checks = interval((channel.lifetime / 3).max(Duration::from_secs(1)));
        loop {
            let list = tokio::select! {
                text = next_text(&mut socket) => text?,
                _ = checks.tick() => {
                    check_connection(&mut socket).await?;
                    continue;
                }
            };
            let Some(list) = list else { return Ok(()) };
            backoff.reset();
            if is_check(&list) {
                continue;
            }
            // What was on its way when the connection broke comes again, with the same indexes, perhaps together with
            // what is new.
            let Some(list) = without_seen(&list, self.next_index) else { continue };
            self.take(&list, &mut socket, &mut checks).await?;
        }
    }

    /// Prints a notificationList, or runs the command for each of its notifications.
    async fn take(&mut self, list: &str, socket: &mut Socket, checks: &mut Interval) -> anyhow::Result<()> {
        match &self.sink {
            Sink::Print(Form::Json) => println!("{list}"),
            Sink::Print(Form::Feed) => {
                let lines = feed::lines(&serde_json::from_str(list)?);
                lines.iter().for_each(|line| anstream::println!("{line}"));
            }
            Sink::Exec(command) => return self.exec(&command.clone(), list, socket, checks).await,
        }
        self.reach(positions(list).last());
        Ok(())
    }

    /// Runs the command for each notification, and goes on to the next one when it has ended.
    async fn exec(
        &mut self,
        command: &str,
        list: &str,
        socket: &mut Socket,
        checks: &mut Interval,
    ) -> anyhow::Result<()> {
        let list: Value = serde_json::from_str(list)?;
        for notification in list["notificationList"].as_array().into_iter().flatten() {
            {
                let mut run = pin!(exec::run(command, &self.box_id, notification));
                loop {
                    tokio::select! {
                        outcome = &mut run => break outcome?,
                        // The channel is to outlive a slow command. A lost connection is noticed afterwards.
                        _ = checks.tick() => { let _ = check_connection(socket).await; }
                    }
                }
            }
            self.reach(position(notification).as_ref());
        }
        Ok(())
    }

    /// Notes what was done, so that it is not done again.
    fn reach(&mut self, position: Option<&(i64, String)>) {
        if let Some((index, token)) = position {
            self.next_index = index + 1;
            self.token = Some(token.clone());
        }
    }

    /// The channel and the subscription: those that are there, or new ones that go on from the last token.
    async fn make(&mut self) -> anyhow::Result<Channel> {
        if let Some((channel, subscription)) = self.made.clone() {
            if self.client.exists(&subscription.resource_url).await?
                && self.client.exists(&channel.resource_url).await?
            {
                return Ok(channel);
            }
            self.unmake().await?;
        }
        let channel = self.client.create_channel(&self.user).await?;
        let subscription = match self.client.subscribe(&self.box_id, &channel, self.wish()).await {
            Ok(subscription) => subscription,
            Err(fault) => {
                self.client.delete(&channel.resource_url).await?;
                return Err(fault);
            }
        };
        self.next_index = subscription.index;
        self.token.get_or_insert_with(|| subscription.restart_token.clone());
        self.made = Some((channel.clone(), subscription));
        Ok(channel)
    }

    /// What the subscription is to be.
    fn wish(&self) -> Value {
        let mut wish = json!({});
        if let Some(token) = &self.token {
            wish["restartToken"] = json!(token);
        }
        if !self.criteria.is_empty() {
            wish["filter"] = json!({ "criterion": self.criteria, "operator": "And" });
        }
        if self.with_attributes {
            wish["x-attributes"] = json!(true);
        }
        wish
    }

    async fn unmake(&mut self) -> anyhow::Result<()> {
        if let Some((channel, subscription)) = self.made.take() {
            self.client.delete(&subscription.resource_url).await?;
            self.client.delete(&channel.resource_url).await?;
        }
        Ok(())
    }
}
