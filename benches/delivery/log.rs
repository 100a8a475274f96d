//! A long log: what a message costs, how soon it arrives and how soon a replay begins, beside a log of a million events.
//! The events are two years of messages to a hundred thousand boxes, a partition a month.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use futures_util::StreamExt;
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use tokio_postgres::{Client, Config};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::contestant::{Audience, Case, Contestant};
use crate::field::{Field, connect};
use crate::program::Program;
use crate::report::{self, Cell, Line};
use crate::rounds::{Pace, figures_of, rounds};
use crate::writers::Target;
use crate::{Args, writers};

/// The length that others are compared with.
const SHORT: u64 = 1_000_000;
const BOXES: u64 = 100_000;
const MONTHS: u64 = 24;
/// Boxes that were written to only at the beginning, or only just now: so many, and so many messages to each.
const FEW_BOXES: u64 = 100;
const FEW_MESSAGES: u64 = 20;
const WRITERS: u32 = 16;
const RATE: u32 = 200;

/// Where replays begin, by what their boxes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Replay {
    /// Events all over the log; the client lacks the newest.
    Newest,
    /// Events all over the log; the client lacks the newer half.
    Half,
    /// Events in the oldest partition only.
    Old,
    /// Events of today only.
    Fresh,
}

impl Replay {
    const ALL: [Replay; 4] = [Replay::Newest, Replay::Half, Replay::Old, Replay::Fresh];

    fn name(self) -> &'static str {
        match self {
            Replay::Newest => "the newest event",
            Replay::Half => "half of the box",
            Replay::Old => "a box of the oldest month",
            Replay::Fresh => "a box of today",
        }
    }

    /// The box of a sample, and after which of its events the replay begins.
    fn place(self, sample: u64, per_box: u64) -> (String, u64) {
        match self {
            Replay::Newest => (format!("log-{}", 1000 + sample), per_box - 1),
            Replay::Half => (format!("log-{}", 2000 + sample), per_box / 2),
            Replay::Old => (format!("old-{}", 1 + sample), 1),
            Replay::Fresh => (format!("fresh-{}", 1 + sample), 1),
        }
    }
}

/// Figures at one length of the log.
struct Measured {
    rate: f64,
    latency: Duration,
    /// The request that resolves the restartToken, and from opening the socket to its first frame; as [`Replay::ALL`].
    replays: Vec<(Duration, Duration)>,
}

/// What is aimed at.
const AIM: &str = "at most 1.3 times";
const AIM_RATIO: f64 = 1.3;

/// Measures at a million events and at as many as asked for; each on a server and cluster of its own.
pub async fn run(args: &Args) -> anyhow::Result<Vec<Line>> {
    say!("\n## A long log\n");
    say!("Over {} boxes and {MONTHS} months.\n", Cell::Count(BOXES as f64));
    let short = measure(args, SHORT).await?;
    let long = measure(args, args.events).await?;
    let time = |what: String, short: Duration, long: Duration| {
        (what, Cell::Time(short), Cell::Time(long), long.as_secs_f64() / short.as_secs_f64())
    };
    let rate = format!("inserts/s, {WRITERS} writers");
    let mut figures = vec![(rate, Cell::Count(short.rate), Cell::Count(long.rate), short.rate / long.rate)];
    figures.push(time(format!("INSERT to WebSocket at {RATE}/s, p50"), short.latency, long.latency));
    for (replay, (short, long)) in Replay::ALL.iter().zip(short.replays.iter().zip(&long.replays)) {
        figures.push(time(format!("subscribe with a restartToken: {}, p50", replay.name()), short.0, long.0));
        figures.push(time(format!("socket to first frame: {}, p50", replay.name()), short.1, long.1));
    }
    let line = |(what, short, long, ratio): &(String, Cell, Cell, f64)| Line {
        case: format!("{} events, {what}", Cell::Count(args.events as f64)),
        contestant: Contestant::Tocsin.to_string(),
        figures: long.to_string(),
        reference: format!("{} events: {short}", Cell::Count(SHORT as f64)),
        ratio: Some(*ratio),
        aim: AIM,
        met: Some(*ratio <= AIM_RATIO),
    };
    let lines = figures.iter().map(line).collect();
    let row = |(what, short, long, ratio)| vec![Cell::Text(what), short, long, Cell::Ratio(ratio)];
    let rows: Vec<_> = figures.into_iter().map(row).collect();
    let events = |count: u64| format!("{} events", Cell::Count(count as f64));
    report::table(&["", &events(SHORT), &events(args.events), "times as much"], &rows);
    Ok(lines)
}

async fn measure(args: &Args, events: u64) -> anyhow::Result<Measured> {
    let program = Program::start().await?;
    let outcome = measure_on(args, &program, events).await;
    program.stop().await?;
    outcome
}

async fn measure_on(args: &Args, program: &Program, events: u64) -> anyhow::Result<Measured> {
    let field = Field::prepare(program).await?;
    let config: Config = program.database_url().await?.parse()?;
    let sql = connect(&config).await?;
    let began = Instant::now();
    fill(&sql, events).await?;
    let time = began.elapsed();
    note!("{events} events filled in {time:?}, {:.0}/s", events as f64 / time.as_secs_f64());

    let boxes: Vec<String> = (1..=BOXES).map(|n| format!("log-{n}")).collect();
    let mut rates = Vec::new();
    for round in 1..=args.rounds {
        field.settle().await?;
        rates.push(insert_rate(args, &config, &boxes).await?);
        note!("{events} events, round {round}: {:?} inserts/s", rates.last());
    }
    let case = Case { contestant: Contestant::Tocsin, audience: Audience::One { boxes: 1 } };
    let outcomes = rounds(args, &field, &[case], Pace::Rate { per_second: RATE, writers: 1 }).await?;
    let latency = figures_of(&outcomes, Contestant::Tocsin).and_then(|figures| figures.p50).context("a latency")?;
    let client = Replayer { server: program.url.clone(), http: reqwest::Client::builder().no_proxy().build()?, sql };
    let mut replays = Vec::new();
    for replay in Replay::ALL {
        replays.push(client.samples(replay, events / BOXES).await?);
        note!("{events} events, {replay:?}: subscribed, first frame after {:?}", replays.last());
    }
    rates.sort_by(f64::total_cmp);
    Ok(Measured { rate: rates[rates.len() / 2], latency, replays })
}

/// Inserts per second, writers flat out, to random boxes.
async fn insert_rate(args: &Args, config: &Config, boxes: &[String]) -> anyhow::Result<f64> {
    const INSERT: &str =
        "insert into tocsin.messages (box_id, sender, recipient, body) values ($1, $2, $3, $4) returning id";
    let from = Instant::now() + writers::CONNECTING + Duration::from_secs_f64(args.warm_up);
    let until = from + Duration::from_secs_f64(args.seconds);
    let target = Target::Sql { config: Box::new(config.clone()), insert: INSERT };
    let job = writers::Job { target, boxes: boxes.to_vec(), until };
    let inserts = tokio::task::spawn_blocking(move || writers::flat_out(&job, WRITERS)).await??;
    let counted = inserts.iter().filter(|insert| (from..until).contains(&insert.committed)).count();
    Ok(counted as f64 / args.seconds)
}

/// Writes the log and what follows from it past the triggers: as if the messages had been written in all those months.
/// The index of texts is left out, and told that it has everything.
async fn fill(sql: &Client, events: u64) -> anyhow::Result<()> {
    sql.batch_execute(
        "set session_replication_role = replica;
         set synchronous_commit = off;
         create temporary table filled (stream text, box_id text, seq bigint, object_id bigint, at timestamptz, data jsonb)",
    )
    .await?;
    let rounds = events / BOXES;
    ensure!(rounds >= 4, "too few events");
    for month in 0..MONTHS {
        let began = Instant::now();
        let (after, to) = (month * rounds / MONTHS, (month + 1) * rounds / MONTHS);
        write_month(sql, MONTHS - 1 - month, "log", BOXES, after, to, 0).await?;
        note!("month {month}: events {after} to {to} of each box in {:?}", began.elapsed());
    }
    write_month(sql, MONTHS - 1, "old", FEW_BOXES, 0, FEW_MESSAGES, events).await?;
    let few = FEW_BOXES * FEW_MESSAGES;
    sql.batch_execute(&format!(
        "drop table filled;
         select setval('tocsin.object_ids', {0});
         update tocsin.terms_progress set watermark = {0};
         set session_replication_role = origin;
         set synchronous_commit = on;
         insert into tocsin.messages (box_id, sender, recipient, body)
         select 'fresh-' || b, 'tel:+15550001111', 'fresh-' || b, 'Shall we meet at the usual place?'
         from generate_series(1, {FEW_BOXES}) b, generate_series(1, {FEW_MESSAGES}) m",
        events + few
    ))
    .await?;
    while sql.query_one("select tocsin.seal_partition()", &[]).await?.get(0) {}
    sql.batch_execute("vacuum analyze").await?;
    Ok(())
}

/// So many boxes get their messages from one seq to another, in a month so long ago.
async fn write_month(
    sql: &Client,
    ago: u64,
    name: &str,
    boxes: u64,
    after: u64,
    to: u64,
    ids_after: u64,
) -> anyhow::Result<()> {
    sql.batch_execute(&format!(
        "select tocsin.attach_partition(now() at time zone 'UTC' - interval '{ago} months');
         truncate filled;
         insert into filled
         select 'default/{name}-' || b, '{name}-' || b, s, {ids_after} + (s - 1) * {boxes} + b,
                date_trunc('month', now(), 'UTC') - interval '{ago} months' + make_interval(secs => s - {after}),
                jsonb_build_object('attributes', jsonb_build_object(
                    'Date', '2026-01-01T00:00:00Z', 'Direction', 'In', 'Message-Context', 'pager-message',
                    'From', 'tel:+15550001111', 'To', '{name}-' || b,
                    'TextContent', 'Shall we meet at the usual place tomorrow at noon? I''ll bring the drawings.'))
         from generate_series({after} + 1, {to}) s, generate_series(1, {boxes}) b;
         insert into tocsin.events (stream, seq, kind, object_id, data, edited_at, created_at, xid)
         select stream, seq, 'object.created', object_id, data, at, at, '3' from filled;
         insert into tocsin.objects (id, store, box_id, attributes, flags, created_seq, created_at, seq, edited_at)
         select object_id, 'default', box_id, data -> 'attributes', '{{}}', seq, at, seq, at from filled;
         insert into tocsin.streams (stream, head_seq, head_at, last_xid)
         select stream, seq, at, '3' from filled where seq = {to}
         on conflict (stream) do update set head_seq = excluded.head_seq, head_at = excluded.head_at"
    ))
    .await
    .context("the log cannot be filled")
}

/// A client that was away.
struct Replayer {
    server: String,
    http: reqwest::Client,
    sql: Client,
}

impl Replayer {
    /// Half of the replays are as fast as this: the request with the restartToken, and the first frame.
    async fn samples(&self, replay: Replay, per_box: u64) -> anyhow::Result<(Duration, Duration)> {
        let (mut subscribing, mut starting) = (Histogram::<u64>::new(3)?, Histogram::<u64>::new(3)?);
        for sample in 0..FEW_BOXES {
            let (box_id, seq) = replay.place(sample, per_box);
            let (subscribed, started) = self.sample(&box_id, i64::try_from(seq)?).await?;
            subscribing.record(u64::try_from(subscribed.as_nanos())?)?;
            starting.record(u64::try_from(started.as_nanos())?)?;
        }
        let median = |times: Histogram<u64>| Duration::from_nanos(times.value_at_quantile(0.5));
        Ok((median(subscribing), median(starting)))
    }

    async fn sample(&self, box_id: &str, after: i64) -> anyhow::Result<(Duration, Duration)> {
        let token = "select to_char(edited_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')
                     from tocsin.events where stream = 'default/' || $1 and seq = $2";
        let token: String = self.sql.query_one(token, &[&box_id, &after]).await?.get(0);
        let channels = format!("{}/notificationchannel/v1/bench/channels", self.server);
        let made = self.post(&channels, &json!({ "notificationChannel": { "channelType": "WebSockets" } })).await?;
        let channel = &made["notificationChannel"];
        let subscription = json!({ "nmsSubscription": {
            "callbackReference": { "notifyURL": channel["callbackURL"] }, "restartToken": token } });
        let began = Instant::now();
        self.post(&format!("{}/nms/v1/default/{box_id}/subscriptions", self.server), &subscription).await?;
        let subscribed = began.elapsed();

        let url = channel["channelData"]["channelURL"].as_str().context("a channelURL")?;
        let mut request = url.into_client_request()?;
        request.headers_mut().insert("Sec-WebSocket-Protocol", tocsin::wire::nc::SUBPROTOCOL.parse()?);
        let began = Instant::now();
        let (mut socket, _) = connect_async(request).await.context("cannot open the WebSocket")?;
        let frame = loop {
            match socket.next().await.context("the socket was closed")?? {
                Message::Text(text) => break text,
                _ => continue,
            }
        };
        let started = began.elapsed();
        let first: Value = serde_json::from_str(frame.as_str())?;
        let seq = &first["notificationList"][0]["nmsEventList"]["nmsEvent"][0]["changedObject"]["lastModSeq"];
        ensure!(*seq == json!(after + 1), "{box_id}: after {after} comes {first}");
        socket.close(None).await?;
        let channel = channel["resourceURL"].as_str().context("a resourceURL")?;
        self.http.delete(channel).send().await?.error_for_status()?;
        Ok((subscribed, started))
    }

    async fn post(&self, url: &str, body: &Value) -> anyhow::Result<Value> {
        let answer = self.http.post(url).json(body).send().await?;
        ensure!(answer.status().is_success(), "{url}: {}", answer.status());
        Ok(serde_json::from_slice(&answer.bytes().await?)?)
    }
}
