//! The promise itself: whatever happens, each subscription is told of every committed event, in order, and of nothing
//! else. Many writers, clients and accidents at once against the real program; in the end, what clients saw is held
//! against what the log has, and that against what writers know. `scripts/soak.sh` does it for longer.

mod chaos;
mod clients;
mod evidence;
mod plan;
mod truth;
mod verdict;
mod world;
mod writers;

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep};

use self::chaos::{Chaos, Holder, Nodes};
use self::clients::{Client, Shared, Subscriber, Tokens};
use self::evidence::{Evidence, Outcome, Seen, Transaction, write_key};
use self::plan::{Plan, WRITERS};
use self::world::{PUBLIC_URL, Phase, World};
use self::writers::{Journal, Writer};

/// How long the last notification may take after the last write.
const SETTLED_WITHIN: Duration = Duration::from_secs(60);
/// Then nothing more may come.
const SILENCE: Duration = Duration::from_secs(1);

/// Its seed is printed; TOCSIN_SOAK_SEED makes the same choices again, TOCSIN_SOAK_SECONDS sets the length, and
/// TOCSIN_SOAK_NODES how many servers there are.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_subscription_is_told_of_exactly_what_was_committed() {
    keeps_every_promise(Plan::from_environment()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nodes_that_come_and_go_keep_every_promise_together() {
    keeps_every_promise(Plan::of_nodes(4)).await;
}

async fn keeps_every_promise(plan: Plan) {
    println!("exactness: seed {}, {} s, {} nodes", plan.seed, plan.length.as_secs(), plan.nodes);
    let seed = plan.seed;
    let dir = tempfile::Builder::new().prefix("tocsin-exactness-").tempdir().unwrap();
    let (faults, summary) = run(plan, dir.path()).await;
    println!("exactness: seed {seed}: {summary}");
    if !faults.is_empty() {
        let log = dir.keep().join(chaos::LOG);
        let (count, all) = (faults.len(), faults.join("\n- "));
        panic!("exactness: seed {seed}: {count} faults (the servers' log: {})\n- {all}", log.display());
    }
}

/// A whole run: what is wrong, and what it did.
async fn run(plan: Plan, dir: &Path) -> (Vec<String>, String) {
    let world = Arc::new(World::new(plan, &dir.join("data")));
    let nodes = Nodes::start(world.clone(), &dir.join("data")).await;

    let notes = clients::notes();
    let channels = clients::channels(&world, &clients::receive_posts(&world, &notes).await).await;
    let mut subscriber = Subscriber::new(world.clone(), &channels);
    let early = subscriber.count() / 2;
    subscriber.make(0..early, Tokens::None, Duration::ZERO).await;
    let _ = world.steady.set(notes[0].clone());
    let clients = Clients::start(&world, &channels, notes);
    let mut writers = JoinSet::new();
    for number in 0..WRITERS {
        writers.spawn(Writer::new(world.clone(), number).run());
    }
    let holder = tokio::spawn(Holder::new(world.clone()).run());
    let (late, time) = (early..subscriber.count(), world.plan.length * 3 / 4);
    let subscribing = tokio::spawn(async move {
        subscriber.make(late, Tokens::Some, time).await;
        subscriber.faults
    });
    let after = Chaos::new(world.clone(), nodes).run().await;

    world.enter(Phase::Settling);
    let ended = Instant::now();
    let journals = writers.join_all().await;
    let mut faults = subscribing.await.unwrap();
    let held = holder.await.unwrap();
    let sql = world.connect("truth").await;
    sleep(SILENCE).await;
    let last = write_the_last(&sql).await;
    let mut evidence = Evidence { log: truth::log(&sql).await, ..Evidence::default() };
    faults.extend(truth::wrong_heads(&sql).await);
    faults.extend(truth::wrong_objects(&sql).await);
    let subscriptions = truth::subscriptions(&evidence.log, PUBLIC_URL);
    let due: Vec<_> =
        subscriptions.iter().map(|of| (of.url.clone(), of.expected(&evidence.log).len() as i64)).collect();
    clients.settle(&due).await;
    let settled = ended.elapsed();
    sleep(SILENCE).await;
    world.enter(Phase::Over);
    let noted = clients.end().await;
    faults.extend(after.nodes.stop().await);

    let mut work = Journal::default();
    for journal in journals {
        work.add(journal);
    }
    work.transactions.extend(held);
    work.transactions.extend(after.canaries);
    work.transactions.push(last);
    faults.extend(after.faults);
    faults.append(&mut work.faults);
    faults.extend(noted.faults);
    let mut seen = noted.seen;
    evidence.transactions = std::mem::take(&mut work.transactions);
    evidence.subscriptions = subscriptions
        .into_iter()
        .map(|of| (seen.remove(&of.url), of))
        .map(|(seen, of)| (of, seen.unwrap_or_default()))
        .collect();
    faults.extend(seen.keys().map(|url| format!("lists came for {url}, which the log does not know")));
    faults.extend(verdict::judge(&evidence));

    let ended_as = |outcome| evidence.transactions.iter().filter(|t| t.outcome == outcome).count();
    let lists: usize = evidence.subscriptions.iter().map(|(_, seen)| seen.len()).sum();
    let came = evidence.subscriptions.iter().flat_map(|(of, seen)| seen.iter().map(|list| (&of.url, list.index)));
    let came = came.collect::<HashSet<_>>().len();
    let due_lists: i64 = due.iter().map(|(_, due)| due).sum();
    let summary = format!(
        "{} events; transactions: {} committed, {} rolled back, {} unknown, {} in two phases, {} refused 40001, \
         {} refused 40P01; {} subscriptions: {due_lists} lists due, {lists} seen, {came} of them new; clients left {:?}, lost their \
         server {} times, and {} answers; {:?}; settled after {settled:.1?}",
        evidence.log.values().map(Vec::len).sum::<usize>(),
        ended_as(Outcome::Committed),
        ended_as(Outcome::RolledBack),
        ended_as(Outcome::Unknown),
        work.prepared,
        work.refused.0,
        work.refused.1,
        due.len(),
        noted.left,
        noted.lost,
        noted.answers_lost,
        after.figures,
    );
    (faults, summary)
}

/// One message to each box, when nothing is disturbed any more: what was lost before, something comes after it.
async fn write_the_last(sql: &tokio_postgres::Client) -> Transaction {
    let boxes: Vec<String> = plan::boxes().collect();
    let write = "insert into tocsin.messages (box_id, sender, recipient, body)
        select of, 'tel:+1', of, 'the last' from unnest($1::text[]) as of";
    sql.execute(write, &[&boxes]).await.unwrap();
    let writes = boxes.iter().map(|of| write_key(&plan::stream_of(of), "the last")).collect();
    Transaction { name: "the last".to_owned(), outcome: Outcome::Committed, writes, undone: Vec::new() }
}

/// The clients of a run.
struct Clients {
    running: Vec<JoinHandle<()>>,
    notes: Vec<Shared>,
}

impl Clients {
    fn start(world: &Arc<World>, channels: &[Value], notes: Vec<Shared>) -> Clients {
        let clients = channels.iter().zip(&notes).enumerate();
        let clients = clients.map(|(number, (channel, notes))| Client::new(world.clone(), number, channel, notes));
        Clients { running: clients.map(|client| tokio::spawn(client.run())).collect(), notes }
    }

    /// Waits until every subscription has seen as many lists as are due to it; not for ever.
    async fn settle(&self, due: &[(String, i64)]) {
        let deadline = Instant::now() + SETTLED_WITHIN;
        let seen_all = |(url, due): &(String, i64)| {
            let upto = |notes: &Shared| {
                let notes = notes.lock().unwrap();
                notes.seen.get(url).and_then(|seen| seen.iter().map(|list| list.index).max()).unwrap_or(0)
            };
            self.notes.iter().map(upto).max() >= Some(*due)
        };
        while Instant::now() < deadline && !due.iter().all(seen_all) {
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// What all of them wrote down; to be called when all is over.
    async fn end(self) -> clients::Notes {
        for client in self.running {
            client.await.unwrap();
        }
        let mut all = clients::Notes::default();
        for notes in &self.notes {
            let notes = std::mem::take(&mut *notes.lock().unwrap());
            for (url, seen) in notes.seen {
                // Lists of one subscription come on one channel only.
                let of: &mut Vec<Seen> = all.seen.entry(url).or_default();
                of.extend(seen);
            }
            all.faults.extend(notes.faults);
            (0..4).for_each(|how| all.left[how] += notes.left[how]);
            all.lost += notes.lost;
            all.answers_lost += notes.answers_lost;
        }
        all
    }
}
