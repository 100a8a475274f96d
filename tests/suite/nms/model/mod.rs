//! A box is what its operations made it, whoever did them and however: after each of a random sequence of operations over
//! REST and SQL, what REST shows equals a model; and the events after any earlier restartToken turn what a client knew
//! then into what the box is now.

mod client;
mod operations;
mod tree;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use tokio_postgres::Client;

use crate::support::client::Api;
use crate::support::postgres::Database;
use crate::support::server::Server;
use client::Copy;
use tree::Tree;

/// The box under test.
const BOX: &str = "/nms/v1/default/b";
/// Operations in one run.
const OPERATIONS: usize = 60;
/// Tokens from which the present is reached again, at the end.
const REPLAYS: usize = 6;

/// What a test of the box holds in its hands.
struct World {
    api: Api,
    sql: Client,
    rng: StdRng,
    tree: Tree,
}

impl World {
    /// A number below `below`.
    fn dice(&mut self, below: usize) -> usize {
        self.rng.random_range(0..below)
    }

    /// One of these.
    fn one_of<T: Clone>(&mut self, of: &[T]) -> Option<T> {
        of.choose(&mut self.rng).cloned()
    }

    /// The newest restartToken of the box that a client may have got in a list.
    async fn token(&self) -> Option<String> {
        let newest = "select max(edited_at) from tocsin.events where stream = 'default/b'
                      and (kind like 'object.%' or kind like 'folder.%' or kind = 'box.reset')";
        let at: Option<_> = self.sql.query_one(newest, &[]).await.unwrap().get(0);
        at.map(tocsin::log::event::token)
    }
}

#[tokio::test]
async fn rest_shows_what_a_model_says_and_events_lead_there_from_any_token() {
    let seed = rand::random();
    println!("seed {seed}");
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let sql = database.connect().await;
    let rng = StdRng::seed_from_u64(seed);
    let mut world = World { api: server.api.clone(), sql, rng, tree: Tree::default() };
    let mut known: Vec<(String, Copy)> = Vec::new();
    for step in 0..OPERATIONS {
        let done = world.operate(step).await;
        let shown = tree::shown(&world.api).await;
        world.tree.reconcile(&shown).unwrap_or_else(|fault| panic!("step {step}, {done}: {fault}"));
        if let Some(token) = world.token().await {
            known.push((token, Copy::of(&shown)));
        }
    }
    let present = known.last().expect("something was done").clone();
    for _ in 0..REPLAYS {
        let (token, mut copy) = world.one_of(&known).expect("something was done");
        copy.catch_up(&world.api, &token, &present.0).await;
        assert_eq!(copy, present.1, "from {token}");
    }
    server.stop().await;
}
