//! Going to sleep and being rung: the node's half of the doorbell (the writer's half is `sql/functions/ring.sql`).
//!
//! A node owns one of 16 slots. While it may be asleep it holds the slot's key exclusively; writers, who try all keys
//! shared, fail on it and ring. To go to sleep it asks for the key, and writers that wrote without ringing stand in
//! its way until they have committed: once it has the key and has read the log once more, nothing can have escaped
//! it. It must never wait for the key alone, since one idle transaction can withhold it for hours: so the key is asked
//! for on a connection of its own ([`Keys`]), while rings are heard on the other ([`Ears`]).

use std::time::Duration;

use anyhow::bail;
use tokio::sync::mpsc::Receiver;
use tokio_postgres::{Client, Notification};

use super::event::Event;
use super::rows;
use crate::postgres::{Connection, Database};

/// Class of the advisory keys that writers try: 'tocs' in ASCII. The same number stands in sql/functions/ring.sql.
const KEY_CLASS: i32 = 1_953_456_499;
/// Class of the advisory locks by which a node owns a slot.
const SLOT_CLASS: i32 = KEY_CLASS + 1;
/// How many keys writers try, so how many nodes can be rung; further nodes poll.
const SLOTS: i32 = 16;

/// What arrives on the connection that listens.
pub struct Ears(pub Receiver<Notification>);

/// Rings that were heard at once.
#[derive(Debug, Default)]
pub struct Rung {
    /// How many.
    pub rings: u32,
    /// The copies of events that they carry.
    pub copies: Vec<Event>,
}

impl Rung {
    fn add(&mut self, notification: &Notification) {
        self.rings += 1;
        self.copies.extend(rows::ring_copy(notification.payload()));
    }
}

impl Ears {
    /// Waits for a ring, and takes all that have come by then. `None` when the connection is lost.
    pub async fn rung(&mut self) -> Option<Rung> {
        let mut rung = Rung::default();
        rung.add(&self.0.recv().await?);
        while let Ok(more) = self.0.try_recv() {
            rung.add(&more);
        }
        Some(rung)
    }

    /// Rings our own bell and waits for it. `false` when nothing is heard within `patience`: something between us and
    /// Postgres, a transaction pooler for example, swallows notifications.
    pub async fn probe(&mut self, database: &Database, patience: Duration) -> anyhow::Result<bool> {
        let nonce = uuid::Uuid::new_v4().to_string();
        // From the pool: a NOTIFY takes a transaction id, which the listening connection must never hold.
        database.get().await?.execute("select pg_notify('tocsin', $1)", &[&nonce]).await?;
        let heard = async {
            while let Some(notification) = self.0.recv().await {
                if notification.payload() == nonce {
                    return true;
                }
            }
            false
        };
        Ok(tokio::time::timeout(patience, heard).await.unwrap_or(false))
    }
}

/// The connection that asks for the key and holds it. It never writes.
pub struct Keys {
    connection: Connection,
    slot: i32,
}

impl Keys {
    /// Connects and takes a free slot; `None` when all are taken.
    pub async fn take_slot(database: &Database) -> anyhow::Result<Option<Self>> {
        let connection = database.connect("keys").await?;
        // Should we vanish while it waits for the key, let Postgres notice, and free the slot. (Not on every platform.)
        let _ = connection.client.batch_execute("set client_connection_check_interval = '2s'").await;
        for slot in 1..=SLOTS {
            if lock(&connection.client, "select pg_try_advisory_lock($1, $2)", SLOT_CLASS, slot).await? {
                return Ok(Some(Keys { connection, slot }));
            }
        }
        Ok(None)
    }

    /// Resolves when this node may sleep. Asked for but not granted, it already makes new writers ring.
    pub async fn granted(&self) -> anyhow::Result<()> {
        lock(&self.connection.client, "select pg_advisory_lock($1, $2) is not null", KEY_CLASS, self.slot).await?;
        Ok(())
    }

    /// Wakes up: from now on writers need not ring.
    pub async fn give_back(&self) -> anyhow::Result<()> {
        if !lock(&self.connection.client, "select pg_advisory_unlock($1, $2)", KEY_CLASS, self.slot).await? {
            bail!("the key of slot {} was lost", self.slot);
        }
        Ok(())
    }

    /// Resolves when the connection is lost: then nobody rings for us any more.
    pub async fn lost(&mut self) {
        while self.connection.notifications.recv().await.is_some() {}
    }
}

async fn lock(client: &Client, statement: &str, class: i32, key: i32) -> anyhow::Result<bool> {
    Ok(client.query_one(statement, &[&class, &key]).await?.get(0))
}
