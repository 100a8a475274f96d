//! `tocsin replay`: prints what a box has notified since a restartToken, and ends when it has caught up.

use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::json;
use tokio::time::timeout;

use super::client::{Channel, Client, ServerArgs, Socket, Subscription, close, flush, next_text, positions};
use crate::auth::token::ACR_AUTH;
use crate::wire::nms::parse_token;

/// When nothing has come for this long, the server is asked whether that was all.
const QUIET: Duration = Duration::from_millis(100);
/// A server that neither sends nor confirms for this long has a problem.
const PATIENCE: Duration = Duration::from_secs(30);

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

/// Before everything.
const FIRST: &str = "1970-01-01T00:00:00Z";

pub(super) async fn run(args: Args) -> anyhow::Result<()> {
    let token = args.restart_token.as_deref().unwrap_or(FIRST);
    if parse_token(token).is_err() {
        bail!("{token:?} is not a restartToken (such as 2026-01-31T12:00:00.123456Z)");
    }
    let client = Client::new(args.server)?;
    let user = args.user.as_deref().unwrap_or(if client.has_token() { ACR_AUTH } else { "tocsin-replay" });
    let channel = client.create_channel(user).await?;
    let outcome = replay(&client, &channel, &args.box_id, token).await;
    // The subscriptions end with the channel.
    client.delete(&channel.resource_url).await?;
    outcome
}

async fn replay(client: &Client, channel: &Channel, box_id: &str, token: &str) -> anyhow::Result<()> {
    // Where the box stands now: a subscription without a token starts there.
    let now = client.subscribe(box_id, channel, json!({})).await?;
    client.delete(&now.resource_url).await?;
    let subscription = client.subscribe(box_id, channel, json!({ "restartToken": token })).await?;
    let mut socket = client.open(channel).await?;
    let mut next_index = subscription.index;
    let mut last_heard = tokio::time::Instant::now();
    loop {
        match timeout(QUIET, next_text(&mut socket)).await {
            Ok(Ok(Some(list))) => {
                last_heard = tokio::time::Instant::now();
                println!("{list}");
                if let Some((index, _)) = positions(&list).last() {
                    next_index = index + 1;
                }
            }
            Ok(Ok(None)) => bail!("the server closed the connection"),
            Ok(Err(fault)) => return Err(fault),
            Err(_) => {
                if caught_up(client, &mut socket, &subscription, &now.restart_token, next_index).await? {
                    close(socket).await;
                    return Ok(());
                }
                if last_heard.elapsed() > PATIENCE {
                    bail!("nothing came for {PATIENCE:?}, and yet the server has not confirmed that this was all");
                }
            }
        }
    }
}

/// Whether the server knows that we have everything up to `until`: its position is past it, and its next index is ours.
async fn caught_up(
    client: &Client,
    socket: &mut Socket,
    of: &Subscription,
    until: &str,
    next_index: i64,
) -> anyhow::Result<bool> {
    flush(socket).await?;
    let confirmed = client.subscription(&of.resource_url).await?.context("the subscription has ended")?;
    let reached = parse_token(&confirmed.restart_token)? >= parse_token(until)?;
    Ok(reached && confirmed.index == next_index)
}
