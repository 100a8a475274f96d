//! What an event costs the server when many subscribe: to other boxes, and to its own with filters.
//!
//! Each number of subscriptions has a server and a cluster of its own, whose sockets stay open from the first round to the
//! last; the servers take turns. While one has its turn, the others rest.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use chrono::Utc;
use tocsin::base::Format;
use tocsin::base::ids::ChannelId;
use tocsin::channel::secret::UrlKey;
use tocsin::channel::{Settings, Transport};
use tocsin::filter::{Criterion, Filter, Operator};
use tocsin::log::event::token;
use tocsin::wire::urls::Urls;
use tokio_postgres::Client;
use tokio_postgres::types::Json;

use crate::Args;
use crate::contestant::Contestant;
use crate::field::{Field, TOCSIN};
use crate::listener::{Listener, Received};
use crate::program::Program;
use crate::report::{self, Cell, Figures, Line, median};
use crate::rounds::{Pace, wait_for};
use crate::sockets::{self, Dialect};
use crate::writers::{self, Insert, Target};

/// What is aimed at, with the most subscriptions against one.
const AIM: &str = "at most 1.2 times that with 1";
const AIM_RATIO: f64 = 1.2;
/// As many as the server allows on one channel.
const ON_CHANNEL: usize = 1000;
/// As many as subscribe to each box of the crowd.
const ON_BOX: usize = 10;
/// Boxes of the crowd, or filters, that are written to before and after all runs, to see that all are heard.
const CALLED: usize = 100;
const PACES: [Pace; 2] = [Pace::Rate { per_second: 200, writers: 1 }, Pace::FlatOut { writers: 16 }];
/// Servers come to rest when all sockets are open.
const SETTLE: Duration = Duration::from_secs(2);

/// An object as the writers give it: its sender, conversation and flag, separated by spaces.
const PARTICULAR: &str = "
    insert into tocsin.events (stream, kind, data)
    values ('default/tel:+15559999999', 'object.created', jsonb_build_object(
        'attributes', jsonb_build_object(
            'From', split_part($1, ' ', 1), 'Conversation-ID', split_part($1, ' ', 2), 'To', 'tel:+15559999999',
            'Direction', 'In', 'Message-Context', 'pager-message', 'Date', '2026-01-31T12:00:00Z',
            'TextContent', 'Shall we meet at the usual place tomorrow at noon? I''ll bring the drawings.'),
        'flags', jsonb_build_array(split_part($1, ' ', 3))))
    returning object_id";
const PARTICULAR_STREAM: &str = "default/tel:+15559999999";

/// Who subscribes to what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Crowd {
    /// One subscription to the box that is written to, all others to other boxes.
    Boxes,
    /// All to one box, each with a filter that is met by what nobody else wants.
    Filters,
}

impl Crowd {
    fn name(self) -> &'static str {
        match self {
            Crowd::Boxes => "subscriptions to other boxes",
            Crowd::Filters => "filters on one box",
        }
    }

    /// What can be written to, so many subscriptions given, and which of them hear of each.
    fn hearers(self, subscriptions: usize) -> Vec<Vec<usize>> {
        if self == Crowd::Filters {
            return (0..subscriptions).map(|number| vec![number]).collect();
        }
        let boxes = (subscriptions - 1).div_ceil(ON_BOX);
        let mut hearers = vec![vec![0]];
        hearers.extend((0..boxes).map(|first| (first..subscriptions - 1).step_by(boxes).map(|n| n + 1).collect()));
        hearers
    }

    fn insert(self) -> &'static str {
        match self {
            Crowd::Boxes => TOCSIN,
            Crowd::Filters => PARTICULAR,
        }
    }

    /// What the insert takes to write there.
    fn place(self, number: usize) -> String {
        match (self, number % 3) {
            (Crowd::Boxes, _) => format!("tel:+1555{number:07}"),
            (Crowd::Filters, 0) => format!("tel:+{number} nobodys nobodys"),
            (Crowd::Filters, 1) => format!("tel:+nobodys {number} nobodys"),
            (Crowd::Filters, _) => format!("tel:+nobodys nobodys {number}"),
        }
    }

    fn stream(self, place: usize) -> String {
        match self {
            Crowd::Boxes => format!("default/{}", self.place(place)),
            Crowd::Filters => PARTICULAR_STREAM.to_owned(),
        }
    }

    fn filter(self, number: usize) -> Option<Filter> {
        let attribute = |name: &str, value| Criterion::Attribute { name: name.to_owned(), value };
        let criterion = match (self, number % 3) {
            (Crowd::Boxes, _) => return None,
            (Crowd::Filters, 0) => attribute("From", format!("tel:+{number}")),
            (Crowd::Filters, 1) => attribute("Conversation-ID", number.to_string()),
            (Crowd::Filters, _) => Criterion::Flag { name: number.to_string(), set: true },
        };
        Some(Filter { criteria: vec![criterion], operator: Operator::And })
    }

    fn dialect(self) -> Dialect {
        match self {
            Crowd::Boxes => Dialect::Tocsin,
            Crowd::Filters => Dialect::TocsinFiltered,
        }
    }

    /// What the runs write to, at random.
    fn written(self, places: usize) -> Range<usize> {
        match self {
            Crowd::Boxes => 0..1,
            Crowd::Filters => 0..places,
        }
    }
}

/// Runs it.
pub async fn run(args: &Args) -> anyhow::Result<Vec<Line>> {
    let mut lines = Vec::new();
    if args.wants(Contestant::Tocsin) {
        for (crowd, sizes) in [(Crowd::Boxes, &args.subscriptions), (Crowd::Filters, &args.filters)] {
            lines.extend(measure(args, crowd, sizes).await.with_context(|| crowd.name())?);
        }
    }
    Ok(lines)
}

async fn measure(args: &Args, crowd: Crowd, sizes: &[u32]) -> anyhow::Result<Vec<Line>> {
    say!("\n## What an event costs with many {}\n", crowd.name());
    let mut stands = Vec::new();
    for &size in sizes {
        stands.push(Stand::prepare(crowd, size as usize).await.with_context(|| format!("{size} subscriptions"))?);
    }
    for pace in PACES {
        for round in 0..usize::from(args.rounds) {
            for turn in 0..stands.len() {
                let who = (turn + round) % stands.len();
                stands[who].run(args, pace).await?;
            }
        }
    }
    let mut outcomes = Vec::new();
    for stand in stands {
        outcomes.push(stand.finish().await?);
    }
    let mut rows = Vec::new();
    for outcome in &outcomes {
        for (pace, costs) in &outcome.costs {
            rows.push(vec![
                Cell::Count(outcome.subscriptions as f64),
                Cell::Text(pace.to_string()),
                Cell::Count(costs.figures.rate),
                costs.figures.p50.into(),
                costs.figures.p99.into(),
                Cell::Micros(costs.processor),
                Cell::Micros(outcome.resting),
            ]);
        }
    }
    let heads = ["subscriptions", "pace", "inserts/s", "p50", "p99", "processor per event", "per second at rest"];
    report::table(&heads, &rows);
    Ok(lines(crowd, &outcomes))
}

/// The most against the fewest.
fn lines(crowd: Crowd, outcomes: &[Outcome]) -> Vec<Line> {
    let (Some(few), Some(many)) = (outcomes.first(), outcomes.last()) else { return Vec::new() };
    let mut lines = Vec::new();
    for ((pace, few_cost), (_, many_cost)) in few.costs.iter().zip(&many.costs) {
        let mut line = |what: &str, own: Option<Duration>, reference: Option<Duration>, cell: fn(Duration) -> Cell| {
            let tell = |time: Option<Duration>| time.map_or(Cell::None, cell).to_string();
            let ratio = own.zip(reference).map(|(own, reference)| own.as_secs_f64() / reference.as_secs_f64());
            lines.push(Line {
                case: format!("{} {}, {pace}: {what}", Cell::Count(many.subscriptions as f64), crowd.name()),
                contestant: Contestant::Tocsin.to_string(),
                figures: tell(own),
                reference: format!("with {}: {}", Cell::Count(few.subscriptions as f64), tell(reference)),
                ratio,
                aim: AIM,
                met: ratio.map(|ratio| ratio <= AIM_RATIO),
            });
        };
        line("p50", many_cost.figures.p50, few_cost.figures.p50, Cell::Time);
        line("processor per event", Some(many_cost.processor), Some(few_cost.processor), Cell::Micros);
    }
    lines
}

/// A server, with a number of subscriptions.
struct Stand {
    crowd: Crowd,
    program: Program,
    field: Field,
    /// Who hears of what is written to each place.
    hearers: Vec<Vec<usize>>,
    listener: Listener,
    runs: Vec<Run>,
    /// Everything that was written, in the runs and besides.
    inserts: Vec<Insert>,
    expected: usize,
    /// The processor's time used while others had their turn, and how long that was.
    resting: (Duration, Duration),
    rests_since: (Duration, Instant),
}

/// One turn.
struct Run {
    pace: Pace,
    inserts: Vec<Insert>,
    window: Range<Instant>,
    /// The processor's time that the server used, from before the first insert until all had arrived.
    processor: Duration,
}

/// What a number of subscriptions came to.
struct Outcome {
    subscriptions: usize,
    costs: Vec<(Pace, Costs)>,
    /// The processor's time used in each second without events.
    resting: Duration,
}

/// Medians.
struct Costs {
    figures: Figures,
    /// The processor's time of the server, for each event.
    processor: Duration,
}

impl Stand {
    /// Starts a server, makes its channels and opens their sockets.
    async fn prepare(crowd: Crowd, subscriptions: usize) -> anyhow::Result<Self> {
        ensure!(subscriptions > 0, "at least one subscription");
        let program = Program::start().await?;
        let field = Field::prepare(&program).await?;
        let (sql, began) = (field.tocsin().await?, Instant::now());
        let hearers = crowd.hearers(subscriptions);
        let urls = subscribe(&sql, &program, crowd, &hearers).await?;
        sql.batch_execute("vacuum analyze").await?;
        note!("{subscriptions} {} on {} channels: made in {:?}", crowd.name(), urls.len(), began.elapsed());
        let listener = sockets::listen(urls, crowd.dialect())?;
        let rests_since = (program.processor_time()?, Instant::now());
        let (runs, inserts, resting) = (Vec::new(), Vec::new(), Default::default());
        let mut stand =
            Stand { crowd, program, field, hearers, listener, runs, inserts, expected: 0, resting, rests_since };
        stand.call(&sql).await?;
        tokio::time::sleep(SETTLE).await;
        stand.rests_since = (stand.program.processor_time()?, Instant::now());
        Ok(stand)
    }

    /// Writes to some places of the crowd, and waits until all who want it have it: then all sockets are served.
    async fn call(&mut self, sql: &Client) -> anyhow::Result<()> {
        let insert = sql.prepare(self.crowd.insert()).await?;
        for to in (0..self.hearers.len()).rev().step_by(self.hearers.len().div_ceil(CALLED)) {
            let (place, sent) = (self.crowd.place(to), Instant::now());
            let values = [place.as_str(), "tel:+15550001111", &place, "Is anybody there?"];
            let values = values.each_ref().map(|value| value as &(dyn tokio_postgres::types::ToSql + Sync));
            let id = sql.query_one(&insert, &values[..insert.params().len()]).await?.get(0);
            self.note(&[Insert { id, to, sent, committed: Instant::now() }]);
        }
        wait_for(&self.listener, self.expected).await;
        Ok(())
    }

    fn note(&mut self, inserts: &[Insert]) {
        self.expected += inserts.iter().map(|insert| self.hearers[insert.to].len()).sum::<usize>();
        self.inserts.extend(inserts);
    }

    /// One turn.
    async fn run(&mut self, args: &Args, pace: Pace) -> anyhow::Result<()> {
        let (used, since) = self.rests_since;
        self.resting.0 += self.program.processor_time()? - used;
        self.resting.1 += since.elapsed();
        self.field.settle().await?;
        let target = self.field.target(self.crowd.insert());
        let before = self.program.processor_time()?;
        let (inserts, window) = write(args, target, self.places(), pace).await?;
        self.note(&inserts);
        wait_for(&self.listener, self.expected).await;
        let processor = self.program.processor_time()? - before;
        let each = processor / u32::try_from(inserts.len())?;
        note!("{} {}, {pace}: {} events, {each:?} each", self.subscriptions(), self.crowd.name(), inserts.len());
        self.runs.push(Run { pace, inserts, window, processor });
        self.rests_since = (self.program.processor_time()?, Instant::now());
        Ok(())
    }

    fn places(&self) -> Vec<String> {
        self.crowd.written(self.hearers.len()).map(|number| self.crowd.place(number)).collect()
    }

    fn subscriptions(&self) -> usize {
        self.hearers.iter().map(Vec::len).sum()
    }

    /// Looks at what everybody has received.
    async fn finish(mut self) -> anyhow::Result<Outcome> {
        let sql = self.field.tocsin().await?;
        self.call(&sql).await?;
        let subscriptions = self.subscriptions();
        let received = self.listener.stop()?;
        self.program.stop().await?;
        must_be_exact(&self.inserts, &received, &self.hearers)
            .with_context(|| format!("{subscriptions} {}", self.crowd.name()))?;
        let by_id: HashMap<i64, Received> = received.into_iter().map(|one| (one.id, one)).collect();
        let mut costs = Vec::new();
        for pace in PACES {
            let (mut figures, mut processor) = (Vec::new(), Vec::new());
            for run in self.runs.iter().filter(|run| run.pace == pace) {
                let received: Vec<_> = run.inserts.iter().filter_map(|insert| by_id.get(&insert.id)).copied().collect();
                let run_figures = Figures::of(&run.inserts, Some(&received), 1, run.window.clone())?;
                note!("{subscriptions} {}, {pace}: {run_figures}", self.crowd.name());
                figures.push(run_figures);
                processor.push(run.processor / u32::try_from(run.inserts.len())?);
            }
            let processor = median(processor).context("a round")?;
            costs.push((pace, Costs { figures: Figures::medians(&figures), processor }));
        }
        let resting = self.resting.0.div_f64(self.resting.1.as_secs_f64());
        Ok(Outcome { subscriptions, costs, resting })
    }
}

/// Everybody who wants an event has it once, and nobody else.
fn must_be_exact(inserts: &[Insert], received: &[Received], hearers: &[Vec<usize>]) -> anyhow::Result<()> {
    let wanted = |insert: &Insert| hearers[insert.to].iter().map(|by| (insert.id, *by)).collect::<Vec<_>>();
    let mut missing: HashSet<(i64, usize)> = inserts.iter().flat_map(wanted).collect();
    for one in received {
        ensure!(missing.remove(&(one.id, one.by)), "{one:?} came once too often, or to the wrong subscription");
    }
    ensure!(missing.is_empty(), "{} of {} are lost", missing.len(), received.len() + missing.len());
    Ok(())
}

async fn write(
    args: &Args,
    target: Target,
    boxes: Vec<String>,
    pace: Pace,
) -> anyhow::Result<(Vec<Insert>, Range<Instant>)> {
    let from = Instant::now() + writers::CONNECTING + Duration::from_secs_f64(args.warm_up);
    let until = from + Duration::from_secs_f64(args.seconds);
    let job = writers::Job { target, boxes, until };
    let inserts = tokio::task::spawn_blocking(move || pace.write(&job)).await??;
    Ok((inserts, from..until))
}

/// Makes the subscriptions as the server makes them, but many at once; the URLs of their sockets.
async fn subscribe(
    sql: &Client,
    program: &Program,
    crowd: Crowd,
    hearers: &[Vec<usize>],
) -> anyhow::Result<Vec<String>> {
    const CHANNEL: &str = "select outcome from tocsin.create_channel($1, 'crowd', $2, $3, null, null, 86400, 1000)";
    const SUBSCRIPTIONS: &str = "
        insert into tocsin.events (stream, kind, data)
        select stream, 'subscription.created', jsonb_strip_nulls(jsonb_build_object(
            'id', replace(gen_random_uuid()::text, '-', ''), 'channel', $1::text, 'callbackData', number::text,
            'format', $2::text, 'filter', filter, 'expiresAt', $3::text))
        from unnest($4::text[], $5::bigint[], $6::jsonb[]) as s (stream, number, filter)";
    let key = sql.query_one("select key from tocsin.url_keys order by id desc limit 1", &[]).await?.get(0);
    let urls = Urls::new(program.url.clone(), UrlKey::new(key));
    let settings = Settings { max_notifications: 100, transport: Transport::WebSockets { checked_by_server: false } };
    let format = Format::Json.name();
    let expires_at = token(Utc::now() + chrono::Duration::days(1));
    let mut places: Vec<(usize, usize)> = hearers
        .iter()
        .enumerate()
        .flat_map(|(place, numbers)| numbers.iter().map(move |number| (*number, place)))
        .collect();
    places.sort_unstable();
    // The first hears of what is written, on a channel of its own, if the others do not.
    let alone = if crowd == Crowd::Boxes { 1 } else { 0 };
    let (first, others) = places.split_at(alone);
    let mut sockets = Vec::new();
    for of_channel in first.chunks(1).chain(others.chunks(ON_CHANNEL)) {
        let id = ChannelId::random();
        let outcome = sql.query_one(CHANNEL, &[&id.as_str(), &Json(&settings), &format]).await?;
        ensure!(outcome.get::<_, &str>(0) == "created", "no channel: {}", outcome.get::<_, &str>(0));
        let streams: Vec<_> = of_channel.iter().map(|(_, place)| crowd.stream(*place)).collect();
        let numbers: Vec<_> = of_channel.iter().map(|(number, _)| *number as i64).collect();
        let filters: Vec<_> = of_channel.iter().map(|(number, _)| crowd.filter(*number).map(Json)).collect();
        sql.execute(SUBSCRIPTIONS, &[&id.as_str(), &format, &expires_at, &streams, &numbers, &filters]).await?;
        sockets.push(urls.socket(&id));
    }
    Ok(sockets)
}
