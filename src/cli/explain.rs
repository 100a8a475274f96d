//! `tocsin explain`: what became of an event on its way to a subscription, told from the database.

use anyhow::{Context, bail};
use percent_encoding::percent_decode_str;

use super::beside::on;
use super::output::{Output, print_json};
use crate::base::ids::{BoxName, Stream, SubscriptionId};
use crate::config::DatabaseArgs;
use crate::subscription::explain::{self, Explanation};
use crate::wire::nms;

/// `tocsin explain`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    database: DatabaseArgs,
    /// The subscription: its id or its resourceURL
    #[arg(value_name = "SUBSCRIPTION")]
    subscription: String,
    /// The event: its lastModSeq in the subscription's box, or STORE/BOX/lastModSeq
    #[arg(value_name = "EVENT")]
    event: String,
    /// How to print it
    #[arg(long, value_name = "FORM", value_enum, default_value_t)]
    output: Output,
}

pub(super) async fn run(args: Args) -> anyhow::Result<()> {
    let (named, id) = read_subscription(&args.subscription)?;
    let (asked, seq) = read_event(&args.event)?;
    let stream = asked.or(named);
    let explain = async |database: &_| Ok(explain::explain(database, &id, stream.as_ref(), seq).await?);
    let explanation = on(args.database, explain).await?;
    match args.output {
        Output::Json => print_json(&nms::explanation(&explanation))?,
        Output::Table => print(&explanation),
    }
    Ok(())
}

/// An id, or a resourceURL, which names the box too.
fn read_subscription(text: &str) -> anyhow::Result<(Option<Stream>, SubscriptionId)> {
    let Some((front, id)) = text.trim_end_matches('/').rsplit_once('/') else {
        return Ok((None, SubscriptionId::from_text(text)));
    };
    let of = front.strip_suffix("/subscriptions").and_then(|front| {
        let (front, box_id) = front.rsplit_once('/')?;
        let (_, store) = front.rsplit_once('/')?;
        let decoded = |text: &str| percent_decode_str(text).decode_utf8().ok().map(String::from);
        BoxName::parse(&decoded(store)?, &decoded(box_id)?).ok()
    });
    let Some(of) = of else { bail!("{text:?} is neither a subscription's id nor its resourceURL") };
    Ok((Some(of.stream().clone()), SubscriptionId::from_text(id)))
}

fn read_event(text: &str) -> anyhow::Result<(Option<Stream>, i64)> {
    let (stream, seq) = match text.rsplit_once('/') {
        None => (None, text),
        Some((stream, seq)) => (Some(stream), seq),
    };
    let fault = || format!("{text:?} is neither a lastModSeq nor STORE/BOX/lastModSeq");
    let seq: i64 = seq.parse().ok().filter(|seq| *seq > 0).with_context(fault)?;
    let of = stream.map(|stream| {
        let (store, box_id) = stream.split_once('/').with_context(fault)?;
        BoxName::parse(store, box_id).with_context(fault)
    });
    Ok((of.transpose()?.map(|of| of.stream().clone()), seq))
}

fn print(explanation: &Explanation) {
    println!("{}: {}", explanation.verdict.name(), explanation.why);
    for (name, text) in &explanation.facts {
        println!("  {name:<13} {text}");
    }
}
