//! Clients that return: one that has missed very much, and very many at once that have missed a little.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use futures_util::StreamExt;
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use tokio_postgres::Client;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::Args;
use crate::field::Field;
use crate::listener::Listener;
use crate::program::Program;
use crate::report::{self, Cell, Line};
use crate::sockets::{self, Dialect};

/// What each client of a storm has missed.
const MISSED: u32 = 100;
/// Events written by one statement.
const BATCH: u32 = 20_000;
/// Inserts a second to the channel that is live meanwhile.
const LIVE_RATE: f64 = 200.0;
/// Requests at the same time, while channels are made.
const MAKERS: usize = 16;

/// How long one client may take.
const READ_PATIENCE: Duration = Duration::from_secs(300);

/// Measures both.
pub async fn run(args: &Args, program: &Program, field: &Field) -> anyhow::Result<Vec<Line>> {
    let returns = Returns::new(program, field.tocsin().await?)?;
    say!("\n## One client reads {} events from the log\n", Cell::Count(f64::from(args.missed)));
    let run = returns.one(args.missed, Duration::from_secs_f64(args.seconds)).await?;
    let size = |kilobytes: u64| Cell::Size(kilobytes as f64 * 1024.0);
    report::table(
        &["", "events/s", "memory before", "at most", "after", "a live channel's p50", "p99", "alone p50", "p99"],
        &[vec![
            Cell::Text("replay".to_owned()),
            Cell::Count(run.rate),
            size(run.memory.before),
            size(run.memory.most),
            size(run.memory.after),
            Cell::Time(run.live.0),
            Cell::Time(run.live.1),
            Cell::Time(run.alone.0),
            Cell::Time(run.alone.1),
        ]],
    );
    say!("\n## {} clients return at once, {MISSED} events each\n", args.storm);
    let mut rows = Vec::new();
    for (name, own_boxes) in [("to one box", false), ("each to its own", true)] {
        let run = returns.storm(args.storm, own_boxes).await?;
        rows.push(vec![
            Cell::Text(name.to_owned()),
            Cell::Time(run.time),
            Cell::Count(f64::from(args.storm * MISSED) / run.time.as_secs_f64()),
            Cell::Count(run.statements as f64),
            Cell::Count(f64::from(run.refused)),
            size(run.memory.before),
            size(run.memory.most),
        ]);
    }
    report::table(
        &["", "all have all after", "events/s", "statements", "refused once", "memory before", "at most"],
        &rows,
    );
    Ok(vec![Line {
        case: "replay to one client".to_owned(),
        contestant: "tocsin".to_owned(),
        figures: format!("{}/s", Cell::Count(run.rate)),
        reference: "-".to_owned(),
        ratio: None,
        aim: "100,000/s",
        met: Some(run.rate >= 100_000.0),
    }])
}

/// Where clients return to.
struct Returns {
    sql: Client,
    http: reqwest::Client,
    url: String,
    pid: u32,
}

/// The server's resident memory, in kB.
struct Memory {
    before: u64,
    most: u64,
    after: u64,
}

/// One client has read everything.
struct Replay {
    /// Events a second.
    rate: f64,
    memory: Memory,
    /// Median and 99th percentile of the live channel's latency meanwhile.
    live: (Duration, Duration),
    /// And without.
    alone: (Duration, Duration),
}

/// All clients have everything.
struct Storm {
    time: Duration,
    /// What the database was asked.
    statements: i64,
    /// Sockets that had to be opened again.
    refused: u32,
    memory: Memory,
}

impl Returns {
    /// To this server.
    fn new(program: &Program, sql: Client) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().no_proxy().build()?;
        Ok(Returns { sql, http, url: program.url.clone(), pid: program.pid().context("the server has ended")? })
    }

    /// One client reads so many events, while another one is live.
    async fn one(&self, events: u32, alone_for: Duration) -> anyhow::Result<Replay> {
        self.fill("select 'replayed' from generate_series(1, $1::int)", 1).await?;
        let token: String = self
            .sql
            .query_one(
                "select to_char(head_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')
                 from tocsin.streams where stream = 'default/replayed'",
                &[],
            )
            .await?
            .get(0);
        for n in 0..events.div_ceil(BATCH) {
            let batch = (events - n * BATCH).min(BATCH);
            self.fill("select 'replayed' from generate_series(1, $1::int)", batch).await?;
        }
        self.sql.batch_execute("vacuum analyze tocsin.events").await?;
        self.sql.batch_execute("checkpoint").await?;
        let live_url = self.channel("live", "live", None).await?;
        let live = sockets::listen(vec![live_url], Dialect::Tocsin)?;
        let until = Instant::now() + alone_for;
        let mut sent = self.write_live(|| Instant::now() < until).await?;
        let alone = sent.len();

        let url = self.channel("returning", "replayed", Some(&token)).await?;
        let before = self.memory_now()?;
        let done = Arc::new(AtomicBool::new(false));
        let begun = Instant::now();
        let (url, reading) = (vec![url], done.clone());
        let reader = std::thread::spawn(move || {
            let outcome = read_all(url, events as usize).map(|()| begun.elapsed());
            reading.store(true, Ordering::Relaxed);
            outcome
        });
        sent.extend(self.write_live(|| !done.load(Ordering::Relaxed)).await?);
        let time = reader.join().map_err(|_| anyhow::anyhow!("the reader panicked"))??;
        let most = self.memory("VmHWM")?;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let latencies = latencies(&sent, live)?;
        Ok(Replay {
            rate: f64::from(events) / time.as_secs_f64(),
            memory: Memory { before, most, after: self.memory("VmRSS")? },
            live: quantiles(&latencies[alone..])?,
            alone: quantiles(&latencies[..alone])?,
        })
    }

    /// So many clients return at once.
    async fn storm(&self, clients: u32, own_boxes: bool) -> anyhow::Result<Storm> {
        let name = |n: u32| if own_boxes { format!("own-{n}") } else { "shared".to_owned() };
        let making =
            (0..clients).map(|n| async move { self.channel(&format!("storm-{own_boxes}-{n}"), &name(n), None).await });
        let urls: Vec<_> = futures_util::stream::iter(making).buffered(MAKERS).collect().await;
        let urls = urls.into_iter().collect::<anyhow::Result<Vec<String>>>()?;
        let boxes = if own_boxes { clients } else { 1 };
        for _ in 0..MISSED {
            let rows =
                "select case when $1 > 1 then 'own-' || n else 'shared' end from generate_series(0, $1::int - 1) as n";
            self.fill(rows, boxes).await?;
        }
        let (before, statements) = (self.memory_now()?, self.statements().await?);
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || {
            let (refused, begun) = (AtomicU32::new(0), Instant::now());
            let outcome = in_runtime(async {
                let returning = urls.iter().map(|url| return_to(url, &refused));
                futures_util::future::try_join_all(returning).await.map(drop)
            });
            let _ = tell.send(outcome.map(|()| (begun.elapsed(), refused.into_inner())));
        });
        let (time, refused) = tokio::task::spawn_blocking(move || told.recv()).await???;
        let memory = Memory { before, most: self.memory("VmHWM")?, after: self.memory("VmRSS")? };
        Ok(Storm { time, statements: self.statements().await? - statements, refused, memory })
    }

    /// Writes events to the boxes that `rows` selects.
    async fn fill(&self, rows: &str, parameter: u32) -> anyhow::Result<()> {
        let insert = format!(
            "insert into tocsin.messages (box_id, sender, recipient, body)
             select box_id, 'tel:+15550001111', box_id, 'Shall we meet at the usual place tomorrow at noon?'
             from ({rows}) as rows (box_id)"
        );
        self.sql.execute(&insert, &[&i32::try_from(parameter)?]).await?;
        Ok(())
    }

    /// Inserts at a steady rate; when each was sent.
    async fn write_live(&self, go_on: impl Fn() -> bool) -> anyhow::Result<Vec<Instant>> {
        let insert = self.sql.prepare("insert into tocsin.messages (box_id, body) values ('live', 'x')").await?;
        let (begun, mut sent) = (Instant::now(), Vec::new());
        while go_on() {
            let due = begun + Duration::from_secs_f64(f64::from(u32::try_from(sent.len())?) / LIVE_RATE);
            tokio::time::sleep_until(due.into()).await;
            sent.push(Instant::now());
            self.sql.execute(&insert, &[]).await?;
        }
        Ok(sent)
    }

    /// A channel with one subscription; where its socket is.
    async fn channel(&self, user: &str, box_id: &str, token: Option<&str>) -> anyhow::Result<String> {
        let data = json!({ "maxNotifications": 1000 });
        let asked = json!({ "notificationChannel": { "channelType": "WebSockets", "channelData": data } });
        let made = self.post(&format!("notificationchannel/v1/{user}/channels"), asked).await?;
        let channel = &made["notificationChannel"];
        let mut asked = json!({ "callbackReference": { "notifyURL": channel["callbackURL"] } });
        if let Some(token) = token {
            asked["restartToken"] = json!(token);
        }
        let subscriptions = format!("nms/v1/default/{box_id}/subscriptions");
        self.post(&subscriptions, json!({ "nmsSubscription": asked })).await?;
        Ok(channel["channelData"]["channelURL"].as_str().context("a channelURL")?.to_owned())
    }

    async fn post(&self, path: &str, body: Value) -> anyhow::Result<Value> {
        let answer = self.http.post(format!("{}/{path}", self.url)).json(&body).send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        ensure!(status.is_success(), "{path}: {status}: {text}");
        Ok(serde_json::from_str(&text)?)
    }

    /// Statements of the database so far: each is a transaction. Backends tell with a delay of a second.
    async fn statements(&self) -> anyhow::Result<i64> {
        tokio::time::sleep(Duration::from_millis(2500)).await;
        let count = "select xact_commit + xact_rollback from pg_stat_database where datname = current_database()";
        Ok(self.sql.query_one(count, &[]).await?.get(0))
    }

    /// What the server has now; from now on the most is counted anew.
    fn memory_now(&self) -> anyhow::Result<u64> {
        std::fs::write(format!("/proc/{}/clear_refs", self.pid), "5")?;
        self.memory("VmRSS")
    }

    fn memory(&self, name: &str) -> anyhow::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let line = status.lines().find_map(|line| line.strip_prefix(name)).context("the server's memory")?;
        Ok(line.trim_matches(|c: char| !c.is_ascii_digit()).parse()?)
    }
}

/// Reads so many events; the listener sees to it that none is missing and none comes twice.
fn read_all(url: Vec<String>, events: usize) -> anyhow::Result<()> {
    let (listener, deadline) = (sockets::listen(url, Dialect::Tocsin)?, Instant::now() + READ_PATIENCE);
    while listener.count() < events && !listener.has_ended() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(1));
    }
    let received = listener.stop()?.len();
    ensure!(received == events, "{received} of {events} events arrived");
    Ok(())
}

fn in_runtime<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

/// Returns, again if it must.
async fn return_to(url: &str, refused: &AtomicU32) -> anyhow::Result<()> {
    while let Err(fault) = read_socket(url, MISSED).await {
        ensure!(refused.fetch_add(1, Ordering::Relaxed) < 10_000, "{fault:#}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

/// Reads so many events, which must be the first ones, with every index and seq once and in order.
async fn read_socket(url: &str, events: u32) -> anyhow::Result<()> {
    let mut request = url.into_client_request()?;
    request.headers_mut().insert("Sec-WebSocket-Protocol", tocsin::wire::nc::SUBPROTOCOL.parse()?);
    let (mut socket, _) = connect_async(request).await?;
    let (mut index, mut seq) = (0, None);
    while index < u64::from(events) {
        match socket.next().await.context("the server closed the socket")?? {
            Message::Text(text) => {
                for list in text.split(r#"{"nmsEventList""#).skip(1) {
                    let number = |name| number_after(list, name).with_context(|| format!("{name} in {list}"));
                    let (its_index, its_seq) = (number(r#""index":"#)?, number(r#""lastModSeq":"#)?);
                    ensure!(its_index == index + 1, "index {its_index} after {index}");
                    // (Subscriptions of others are events of a shared box too.)
                    ensure!(seq.is_none_or(|seq| its_seq == seq + 1), "seq {its_seq} after {seq:?}");
                    (index, seq) = (its_index, Some(its_seq));
                }
            }
            Message::Close(frame) => anyhow::bail!("closed: {frame:?}"),
            _ => {}
        }
    }
    Ok(())
}

fn number_after(text: &str, name: &str) -> Option<u64> {
    let rest = &text[text.find(name)? + name.len()..];
    rest[..rest.find(|c: char| !c.is_ascii_digit())?].parse().ok()
}

/// From sent to received, in the order of the one box.
fn latencies(sent: &[Instant], listener: Listener) -> anyhow::Result<Vec<Duration>> {
    let received = listener.stop()?;
    let latencies: Vec<_> = sent.iter().zip(&received).map(|(sent, received)| received.at - *sent).collect();
    ensure!(latencies.len() == sent.len(), "{} of {} live events arrived", latencies.len(), sent.len());
    Ok(latencies)
}

fn quantiles(latencies: &[Duration]) -> anyhow::Result<(Duration, Duration)> {
    let mut histogram = Histogram::<u64>::new(3)?;
    for latency in latencies {
        histogram.record(u64::try_from(latency.as_nanos())?)?;
    }
    let quantile = |q| Duration::from_nanos(histogram.value_at_quantile(q));
    Ok((quantile(0.5), quantile(0.99)))
}
