//! A session that sits in its transaction and holds a transaction id: nobody may wait for it.

use std::sync::Arc;

use tokio::time::sleep;

use super::super::evidence::{Outcome, Transaction, write_key};
use super::super::plan::{HELD_BOX, stream_of};
use super::super::world::{AGAIN_AFTER, World};

pub struct Holder {
    world: Arc<World>,
    transactions: Vec<Transaction>,
}

impl Holder {
    pub fn new(world: Arc<World>) -> Holder {
        Holder { world, transactions: Vec::new() }
    }

    /// Holds on until nobody writes any more, and then commits. Every other one has written, too, at its very
    /// beginning: that keeps a box locked, and may keep the node from its doorbell's key.
    pub async fn run(mut self) -> Vec<Transaction> {
        for number in 0.. {
            let outcome = self.hold(number).await;
            if outcome.is_some_and(|outcome| outcome != Outcome::RolledBack) || !self.world.running() {
                break;
            }
        }
        self.transactions
    }

    async fn hold(&mut self, number: u64) -> Option<Outcome> {
        let sql = self.world.connect("holder").await;
        let mut writes = Vec::new();
        sql.batch_execute("begin; select pg_current_xact_id()").await.ok()?;
        if number % 2 == 1 {
            let text = format!("held-{number}");
            let insert = "insert into tocsin.messages (box_id, sender, recipient, body) values ($1, 'tel:+1', $1, $2)";
            writes.push(write_key(&stream_of(HELD_BOX), &text));
            sql.execute(insert, &[&HELD_BOX, &text]).await.ok()?;
        }
        while self.world.running() && !sql.is_closed() {
            sleep(AGAIN_AFTER).await;
        }
        let outcome = match () {
            () if sql.is_closed() => Outcome::RolledBack,
            () if sql.batch_execute("commit").await.is_ok() => Outcome::Committed,
            () => Outcome::Unknown,
        };
        self.transactions.push(Transaction { name: format!("holder {number}"), outcome, writes, undone: Vec::new() });
        Some(outcome)
    }
}
