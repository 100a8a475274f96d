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

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep};

use self::chaos::{Chaos, Holder};
use self::clients::{Client, Shared, Subscriber, Tokens};
use self::evidence::{Evidence, Outcome, Seen};
use self::plan::{Plan, WRITERS};
use self::world::{Phase, World};
use self::writers::{Journal, Writer};

/// How long the last notification may take after the last write.
const SETTLED_WITHIN: Duration = Duration::from_secs(60);
/// Then nothing more may come.
const SILENCE: Duration = Duration::from_secs(1);

/// Its seed is printed; TOCSIN_SOAK_SEED makes the same choices again, TOCSIN_SOAK_SECONDS sets the length.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_subscription_is_told_of_exactly_what_was_committed() {
    let plan = Plan::from_environment();
    println!("exactness: seed {}, {} s", plan.seed, plan.length.as_secs());
    let seed = plan.seed;
    let dir = tempfile::Builder::new().prefix("tocsin-exactness-").tempdir().unwrap();
    let (faults, summary) = run(plan, dir.path()).await;
    println!("exactness: seed {seed}: {summary}");
    if !faults.is_empty() {
        let log = dir.keep().join(chaos::LOG);
        let (count, all) = (faults.len(), faults.join("\n- "));
        panic!("exactness: seed {seed}: {count} faults (the server's log: {})\n- {all}", log.display());
    }
}

/// A whole run: what is wrong, and what it did.
async fn run(plan: Plan, dir: &Path) -> (Vec<String>, String) {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let arguments = chaos::arguments(&dir.join("data"), port);
    let program = chaos::start(&arguments).await;
    let world = Arc::new(World::new(plan, &dir.join("data"), &program.url));

    let channels = clients::channels(&program.api).await;
    let mut subscriber = Subscriber::new(world.clone(), &channels);
    let early = subscriber.count() / 2;
    subscriber.make(0..early, Tokens::None, Duration::ZERO).await;
    let clients = Clients::start(&world, &channels);
    let _ = world.steady.set(clients.notes[0].clone());
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
    let (program, disturbed, canaries) = Chaos::new(world.clone(), program, arguments).run().await;

    world.enter(Phase::Settling);
    let ended = Instant::now();
    let journals = writers.join_all().await;
    let mut faults = subscribing.await.unwrap();
    let held = holder.await.unwrap();
    let sql = world.connect("truth").await;
    let mut evidence = Evidence { log: truth::log(&sql).await, ..Evidence::default() };
    faults.extend(truth::wrong_heads(&sql).await);
    faults.extend(truth::wrong_objects(&sql).await);
    let subscriptions = truth::subscriptions(&evidence.log, &world.root);
    let due: Vec<_> =
        subscriptions.iter().map(|of| (of.url.clone(), of.expected(&evidence.log).len() as i64)).collect();
    clients.settle(&due).await;
    let settled = ended.elapsed();
    sleep(SILENCE).await;
    world.enter(Phase::Over);
    let noted = clients.end().await;
    program.terminate().await;

    let mut work = Journal::default();
    for journal in journals {
        work.add(journal);
    }
    work.transactions.extend(held);
    work.transactions.extend(canaries.written);
    faults.extend(canaries.faults);
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
    let due_lists: i64 = due.iter().map(|(_, due)| due).sum();
    let summary = format!(
        "{} events; transactions: {} committed, {} rolled back, {} unknown, {} in two phases, {} refused 40001, \
         {} refused 40P01; {} subscriptions: {due_lists} lists due, {lists} seen; clients left {:?}, lost the \
         server {} times; {disturbed:?}; settled after {settled:.1?}",
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
    );
    (faults, summary)
}

/// The clients of a run.
struct Clients {
    running: Vec<JoinHandle<()>>,
    notes: Vec<Shared>,
}

impl Clients {
    fn start(world: &Arc<World>, channels: &[Value]) -> Clients {
        let clients = channels.iter().enumerate().map(|(number, channel)| Client::new(world.clone(), number, channel));
        let (notes, running) = clients.map(|client| (client.notes(), tokio::spawn(client.run()))).unzip();
        Clients { running, notes }
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
        }
        all
    }
}
