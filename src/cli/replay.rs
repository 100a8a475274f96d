//! `tocsin replay`: prints what a box has notified since a restartToken, and ends when it has caught up.

use std::time::Duration;

use anyhow::{Context, bail};
use chrono::{DateTime, Utc};
use tokio::time::{Instant, timeout};

use super::client::{ServerArgs, told};
use super::output::print_line;
use super::progress::Progress;
use crate::auth::token::ACR_AUTH;
use crate::client::{Channel, Client, Frame, NotificationList, Result, Socket, Subscription, Wish};
use crate::wire::nms::parse_token;

/// When nothing has come for this long, the server is asked whether that was all.
const QUIET: Duration = Duration::from_millis(100);
/// A server that neither sends nor confirms for this long has a problem.
const PATIENCE: Duration = Duration::from_secs(30);
/// Before everything.
const FIRST: &str = "1970-01-01T00:00:00Z";

/// `tocsin replay`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    server: ServerArgs,
    /// The box
    #[arg(value_name = "BOX")]
    box_id: String,
    /// Where to begin; without it, at the box's first event
    #[arg(value_name = "RESTART_TOKEN")]
    restart_token: Option<String>,
    /// Whose channel it is [default: the token's user, or tocsin-replay]
    #[arg(long, value_name = "USER")]
    user: Option<String>,
}

pub(super) async fn run(args: Args) -> anyhow::Result<()> {
    let since = args.restart_token.as_deref().unwrap_or(FIRST);
    if parse_token(since).is_err() {
        bail!("{since:?} is not a restartToken (such as 2026-01-31T12:00:00.123456Z)");
    }
    let wish = Wish { store: args.server.store.clone(), ..Wish::of_box(&args.box_id) };
    let client = args.server.client()?;
    let user = args.user.as_deref().unwrap_or(if client.has_token() { ACR_AUTH } else { "tocsin-replay" });
    let channel = client.create_channel(user, None).await.map_err(|fault| told(&fault))?;
    let outcome = replay(&client, &channel, wish, since).await;
    // The subscriptions end with the channel.
    let deleted = client.delete(&channel.resource_url).await.map_err(|fault| told(&fault));
    outcome.and(deleted.map(drop))
}

async fn replay(client: &Client, channel: &Channel, wish: Wish, since: &str) -> anyhow::Result<()> {
    let mut replay = Replay::begin(client, channel, wish, since).await.map_err(|fault| told(&fault))?;
    loop {
        match timeout(QUIET, replay.socket.next()).await {
            Ok(Ok(Frame::List(list))) => replay.print(&list)?,
            Ok(Ok(Frame::Closed(_, reason))) => bail!("the server closed the connection: {reason}: try again later"),
            Ok(Ok(_)) => {}
            Ok(Err(fault)) => return Err(told(&fault)),
            Err(_) if replay.has_caught_up(client).await? => {
                replay.socket.close().await;
                return Ok(());
            }
            Err(_) if replay.heard_at.elapsed() > PATIENCE => {
                bail!(
                    "nothing came for {PATIENCE:?}, and yet the server has not confirmed that this was all: try again later"
                )
            }
            Err(_) => {}
        }
    }
}

/// A replay under way.
struct Replay {
    socket: Socket,
    subscription: Subscription,
    /// Where the box stood when it began.
    until: DateTime<Utc>,
    next_index: i64,
    heard_at: Instant,
    progress: Progress,
    began: Option<DateTime<Utc>>,
}

impl Replay {
    async fn begin(client: &Client, channel: &Channel, wish: Wish, since: &str) -> Result<Self> {
        // Where the box stands now: a subscription without a token starts there.
        let now = client.subscribe(channel, &wish).await?;
        client.delete(&now.resource_url).await?;
        let subscription = client.subscribe(channel, &wish.after(since)).await?;
        Ok(Replay {
            socket: client.open(channel).await?,
            until: moment(&now.restart_token).unwrap_or_default(),
            next_index: subscription.index,
            subscription,
            heard_at: Instant::now(),
            progress: Progress::beside_output("{wide_bar} {percent}% of the time, {msg} lists, {eta} left"),
            began: None,
        })
    }

    fn print(&mut self, list: &NotificationList) -> anyhow::Result<()> {
        self.heard_at = Instant::now();
        print_line(&list.to_string())?;
        if let Some(last) = list.notifications.iter().rev().find_map(|notification| notification.events.as_ref()) {
            self.next_index = last.index + 1;
            self.show(moment(&last.restart_token));
        }
        Ok(())
    }

    /// How far we are on the way from the first event to where the box stood.
    fn show(&mut self, at: Option<DateTime<Utc>>) {
        let Some(at) = at else { return };
        let began = *self.began.get_or_insert(at);
        let ms = |from: DateTime<Utc>, to: DateTime<Utc>| (to - from).num_milliseconds().try_into().unwrap_or(0);
        self.progress.say(&(self.next_index - 1).to_string());
        self.progress.show(ms(began, at), ms(began, self.until));
    }

    /// Whether the server knows that we have everything: its position is past the end, and its next index is ours.
    async fn has_caught_up(&self, client: &Client) -> anyhow::Result<bool> {
        let confirmed = client.subscription(&self.subscription.resource_url).await.map_err(|fault| told(&fault))?;
        let confirmed =
            confirmed.context("the subscription has ended: its grant was revoked, or somebody deleted it")?;
        let reached = moment(&confirmed.restart_token).is_some_and(|at| at >= self.until);
        Ok(reached && confirmed.index == self.next_index)
    }
}

fn moment(token: &str) -> Option<DateTime<Utc>> {
    parse_token(token).ok()
}
