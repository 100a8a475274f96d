//! Several nodes on one database: what they cost the writers, what they deliver together, and what becomes of the clients of
//! one that dies.
//!
//! Each number of nodes has a cluster of its own; they take turns. While one has its turn, the others rest.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::Value;
use tokio::sync::oneshot;
use url::Url;

use crate::Args;
use crate::contestant::{Audience, Case, Contestant};
use crate::field::Field;
use crate::program::Program;
use crate::report::{self, Cell, Figures, Line, median};
use crate::rounds::{Pace, run_entered, wait_for};
use crate::sockets::{Other, Place, listen_at};
use crate::writers::{CONNECTING, Insert, Job};

/// What is aimed at, with the most nodes against one, where all share one machine.
const AIM: &str = "at least 0.9 of one node's";
const AIM_RATIO: f64 = 0.9;
/// Boxes that nobody hears of, for each that somebody does.
const UNHEARD: u32 = 9;
const WRITERS: Pace = Pace::FlatOut { writers: 16 };
/// Of the fan-out.
const FANOUT: Pace = Pace::Rate { per_second: 200, writers: 1 };
/// While a node dies.
const DEATH: Pace = Pace::Rate { per_second: 1000, writers: 4 };

/// Who is written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Load {
    /// Boxes with a socket each.
    Each,
    /// One box that all sockets hear of.
    Shared,
    /// As `Each`, among many more boxes that nobody hears of.
    Tenth,
}

impl Load {
    fn describe(self, sockets: u32) -> String {
        match self {
            Load::Each => format!("{sockets} boxes with a socket each, {WRITERS}"),
            Load::Shared => format!("1 box, {sockets} sockets, {FANOUT}"),
            Load::Tenth => format!("a tenth wanted: {sockets} of {} boxes, {WRITERS}", sockets * (1 + UNHEARD)),
        }
    }

    fn pace(self) -> Pace {
        if self == Load::Shared { FANOUT } else { WRITERS }
    }

    fn case(self, sockets: u32) -> Case {
        let audience = if self == Load::Shared { Audience::Shared { sockets } } else { Audience::Each { sockets } };
        Case { contestant: Contestant::Tocsin, audience }
    }
}

/// Runs it.
pub async fn run(args: &Args) -> anyhow::Result<Vec<Line>> {
    if !args.wants(Contestant::Tocsin) {
        return Ok(Vec::new());
    }
    let mut stands = Vec::new();
    for &nodes in &args.nodes {
        stands.push(Stand::start(nodes).await?);
    }
    let mut lines = Vec::new();
    for load in [Load::Each, Load::Shared, Load::Tenth] {
        lines.extend(measure(args, &stands, load).await.with_context(|| load.describe(args.sockets))?);
    }
    lines.extend(deaths(args, &mut stands).await.context("a node dies")?);
    for stand in stands {
        stand.stop().await?;
    }
    Ok(lines)
}

/// Nodes on one database; the first has the cluster.
struct Stand {
    nodes: Vec<Program>,
    field: Field,
    database_url: String,
}

/// What a run came to.
struct Run {
    figures: Figures,
    /// How much of what was written a node has read, on average.
    read: f64,
}

impl Stand {
    async fn start(nodes: u32) -> anyhow::Result<Self> {
        let first = Program::start().await?;
        let field = Field::prepare(&first).await?;
        let database_url = first.database_url().await?;
        let mut nodes_up = vec![first];
        for _ in 1..nodes {
            nodes_up.push(Program::join(&database_url).await?);
        }
        Ok(Stand { nodes: nodes_up, field, database_url })
    }

    async fn stop(mut self) -> anyhow::Result<()> {
        while let Some(last) = self.nodes.pop() {
            last.stop().await?; // the first one, with the cluster, comes last
        }
        Ok(())
    }

    /// The URL of a socket, at another node.
    fn at(&self, node: usize, url: &str) -> anyhow::Result<String> {
        let (mut url, node) = (Url::parse(url)?, Url::parse(&self.nodes[node].url)?);
        url.set_host(node.host_str())?;
        url.set_port(node.port()).ok().context("a URL with a port")?;
        Ok(url.into())
    }

    /// The URLs of sockets, spread over the nodes.
    fn spread(&self, urls: &[String]) -> anyhow::Result<Vec<String>> {
        urls.iter().enumerate().map(|(number, url)| self.at(number % self.nodes.len(), url)).collect()
    }

    /// How many events there are in the log, and how many each of the nodes has read of it on average.
    async fn read(&self) -> anyhow::Result<(f64, f64)> {
        let heads = "select coalesce(sum(head_seq), 0)::float8 from tocsin.streams";
        let written = self.field.tocsin().await?.query_one(heads, &[]).await?.get(0);
        let mut read = 0;
        for node in &self.nodes {
            let ready: Value = reqwest::get(format!("{}/readyz", node.url)).await?.json().await?;
            read += ready["tail"]["events"].as_u64().context("tail.events")?;
        }
        Ok((written, read as f64 / self.nodes.len() as f64))
    }

    async fn run(&self, args: &Args, load: Load) -> anyhow::Result<Run> {
        let mut entry = self.field.enter(load.case(args.sockets)).await?;
        entry.urls = self.spread(&entry.urls)?;
        if load == Load::Tenth {
            entry.unheard = (0..UNHEARD * args.sockets).map(|number| format!("unheard-{number}")).collect();
        }
        let (written_before, read_before) = self.read().await?;
        let figures = run_entered(args, &self.field, entry, load.pace()).await?;
        let (written, read) = self.read().await?;
        Ok(Run { figures, read: (read - read_before) / (written - written_before) })
    }

    /// The last node is killed in the midst of a run; its clients go to the others at once.
    async fn death(&mut self, args: &Args) -> anyhow::Result<Death> {
        let entry = self.field.enter(Load::Each.case(args.sockets)).await?;
        let last = self.nodes.len() - 1;
        let mut opened_again = HashMap::new();
        let mut places = Vec::new();
        for (number, url) in entry.urls.iter().enumerate() {
            let (node, mut other) = (number % self.nodes.len(), None);
            if node == last {
                let (opened, told) = oneshot::channel();
                opened_again.insert(number, told);
                other = Some(Other { url: self.at(number / self.nodes.len() % last, url)?, opened });
            }
            places.push(Place { url: self.at(node, url)?, other });
        }
        let listener = listen_at(places, Contestant::Tocsin.dialect())?;
        self.field.settle().await?;
        let from = Instant::now() + CONNECTING + Duration::from_secs_f64(args.warm_up);
        let until = from + Duration::from_secs_f64(args.seconds);
        let job = Job { target: entry.target.clone(), boxes: entry.boxes.clone(), until };
        let writing = tokio::task::spawn_blocking(move || DEATH.write(&job));
        tokio::time::sleep_until((from + (until - from) / 2).into()).await;
        let killed = Instant::now();
        self.nodes.remove(last).kill().await?;
        let inserts = writing.await??;
        wait_for(&listener, inserts.len()).await;
        let received = listener.stop()?;
        self.nodes.push(Program::join(&self.database_url).await?);
        self.field.leave(entry).await?;

        let figures = Figures::of(&inserts, Some(&received), 1, from..until)?;
        figures.must_be_exact()?;
        let received: HashMap<i64, Instant> = received.iter().map(|one| (one.id, one.at)).collect();
        let mut backlogs: HashMap<usize, Vec<&Insert>> = HashMap::new();
        for insert in &inserts {
            backlogs.entry(insert.to).or_default().push(insert);
        }
        let mut after = Vec::new();
        for (number, mut told) in opened_again {
            let opened = told.try_recv().context("a client did not return")?;
            let backlog = backlogs.get(&number).into_iter().flatten().filter(|insert| insert.committed < opened);
            let last_of_it = backlog.filter_map(|insert| received.get(&insert.id)).max();
            after.push(last_of_it.map_or(opened, |at| opened.max(*at)) - killed);
        }
        let all = after.iter().max().copied().context("clients of the node that died")?;
        let half = median(after).context("clients of the node that died")?;
        Ok(Death { half, all, slowest: figures.max })
    }
}

/// Lets the numbers of nodes take turns.
async fn measure(args: &Args, stands: &[Stand], load: Load) -> anyhow::Result<Vec<Line>> {
    say!("\n## Nodes on one database: {}\n", load.describe(args.sockets));
    let mut runs: Vec<Vec<Run>> = stands.iter().map(|_| Vec::new()).collect();
    for round in 0..usize::from(args.rounds) {
        for turn in 0..stands.len() {
            let who = (turn + round) % stands.len();
            let nodes = stands[who].nodes.len();
            let run = stands[who].run(args, load).await.with_context(|| format!("{nodes} nodes"))?;
            note!("round {}: {nodes} nodes: {}, each read {:.2} of the log", round + 1, run.figures, run.read);
            runs[who].push(run);
        }
    }
    let outcomes: Vec<(usize, Figures, f64)> =
        stands.iter().zip(&runs).map(|(stand, runs)| (stand.nodes.len(), figures(runs), share_read(runs))).collect();
    let rows: Vec<_> = outcomes
        .iter()
        .map(|(nodes, figures, read)| {
            vec![
                Cell::Count(*nodes as f64),
                Cell::Count(figures.rate),
                Cell::Count(figures.deliveries),
                figures.p50.into(),
                figures.p99.into(),
                figures.behind.into(),
                Cell::Ratio(*read),
            ]
        })
        .collect();
    let heads = ["nodes", "inserts/s", "deliveries/s", "p50", "p99", "all received after", "each read of the log"];
    report::table(&heads, &rows);
    Ok(lines(args, load, &outcomes))
}

fn figures(runs: &[Run]) -> Figures {
    let figures: Vec<_> = runs.iter().map(|run| run.figures.clone()).collect();
    Figures::medians(&figures)
}

fn share_read(runs: &[Run]) -> f64 {
    let mut shares: Vec<f64> = runs.iter().map(|run| run.read).collect();
    shares.sort_by(f64::total_cmp);
    shares[shares.len() / 2]
}

/// The most nodes against the fewest.
fn lines(args: &Args, load: Load, outcomes: &[(usize, Figures, f64)]) -> Vec<Line> {
    let (Some((few, reference, _)), Some((many, own, read))) = (outcomes.first(), outcomes.last()) else {
        return Vec::new();
    };
    let line = |what: &str, of: fn(&Figures) -> f64, more: String| {
        let ratio = of(own) / of(reference);
        Line {
            case: format!("{many} nodes, {}: {what}", load.describe(args.sockets)),
            contestant: Contestant::Tocsin.to_string(),
            figures: format!("{}{more}", Cell::Count(of(own))),
            reference: format!("{few} node: {}", Cell::Count(of(reference))),
            ratio: Some(ratio),
            aim: AIM,
            met: Some(ratio >= AIM_RATIO),
        }
    };
    let read = format!(", each node read {} of the log", Cell::Ratio(*read));
    vec![
        line("inserts/s", |figures| figures.rate, String::new()),
        line("deliveries/s", |figures| figures.deliveries, read),
    ]
}

/// What became of the clients of a node that died. Times are from its SIGKILL until a client was connected again and had
/// everything that was committed before that.
struct Death {
    /// Half of them.
    half: Duration,
    /// All of them.
    all: Duration,
    /// The slowest event of all, INSERT sent to received.
    slowest: Option<Duration>,
}

/// A node dies, wherever there is another one.
async fn deaths(args: &Args, stands: &mut [Stand]) -> anyhow::Result<Vec<Line>> {
    say!("\n## One of several nodes is killed, its clients go to the others at once, {DEATH}\n");
    let (mut rows, mut lines) = (Vec::new(), Vec::new());
    for stand in stands.iter_mut().filter(|stand| stand.nodes.len() > 1) {
        let (mut halves, mut alls, mut slowest, nodes) = (Vec::new(), Vec::new(), None, stand.nodes.len());
        for round in 1..=args.rounds {
            let death = stand.death(args).await.with_context(|| format!("{nodes} nodes"))?;
            note!("round {round}: {nodes} nodes: half after {:?}, all after {:?}", death.half, death.all);
            halves.push(death.half);
            alls.push(death.all);
            slowest = slowest.max(death.slowest);
        }
        let clients = args.sockets as usize / nodes;
        let (half, all) = (median(halves), median(alls));
        rows.push(vec![
            Cell::Count(nodes as f64),
            Cell::Count(clients as f64),
            half.into(),
            all.into(),
            slowest.into(),
        ]);
        lines.push(Line {
            case: format!("1 of {nodes} nodes is killed, {clients} clients return"),
            contestant: Contestant::Tocsin.to_string(),
            figures: format!("all have everything after {}", Cell::from(all)),
            reference: "-".to_owned(),
            ratio: None,
            aim: "-",
            met: None,
        });
    }
    report::table(&["nodes", "its clients", "half have everything after", "all", "slowest event"], &rows);
    Ok(lines)
}
