//! Who is rung, as those hear it who LISTEN.

use tocsin::postgres::{Connection, Database as Reached};

use super::*;
use crate::support::postgres::doorbell;

/// Advisory keys that writers try.
const KEY_CLASS: i32 = 1_953_456_499;

/// A writer, and an ear beside it.
pub(super) struct Bell {
    pub(super) sql: Client,
    ears: Connection,
    channel: String,
    pub(super) database: Database,
}

impl Bell {
    pub(super) async fn new() -> Bell {
        Bell::on(Database::new().await).await
    }

    async fn on(database: Database) -> Bell {
        let sql = database.connect().await;
        let ears = Reached::new(database.url()).unwrap().connect("ears").await.unwrap();
        let channel = doorbell(&sql).await;
        ears.client.batch_execute(&format!("listen {channel}")).await.unwrap();
        Bell { sql, ears, channel, database }
    }

    /// What is heard of these statements: the payloads. Notifications come in the order of commits, so the end of them
    /// is known.
    pub(super) async fn rings(&mut self, statements: &str) -> Vec<String> {
        run(&self.sql, statements).await;
        run(&self.sql, &format!("notify {}, 'the end'", self.channel)).await;
        let mut heard = Vec::new();
        loop {
            let next = tokio::time::timeout(crate::support::PATIENCE, self.ears.notifications.recv()).await;
            match next.unwrap().unwrap().payload() {
                "the end" => return heard,
                payload => heard.push(payload.to_owned()),
            }
        }
    }
}

#[tokio::test]
async fn with_no_node_asleep_nobody_is_rung() {
    let mut bell = Bell::new().await;
    let writes =
        format!("{} begin; {} commit; set tocsin.ring = 'auto'; {}", message("b", 1), message("b", 2), message("b", 3));
    assert!(bell.rings(&writes).await.is_empty());
    assert!(bell.rings(&format!("set tocsin.ring = ''; {}", message("b", 4))).await.is_empty());
}

#[tokio::test]
async fn while_a_node_holds_the_key_it_is_rung() {
    let mut bell = Bell::new().await;
    let node = bell.database.connect().await;
    for key in 0..=2 {
        run(&node, &format!("select pg_advisory_lock({KEY_CLASS}, {key})")).await;
        assert_eq!(bell.rings(&message("b", key)).await.len(), usize::from(key == 1), "key {key}");
        run(&node, &format!("select pg_advisory_unlock({KEY_CLASS}, {key})")).await;
        assert!(bell.rings(&message("b", key)).await.is_empty(), "it is awake");
    }
}

#[tokio::test]
async fn a_node_that_only_asks_for_its_key_is_rung_by_new_writers() {
    let mut bell = Bell::new().await;
    let (writer, node) = (bell.database.connect().await, bell.database.connect().await);
    // A writer that rang nobody holds the keys until it commits: the node is not granted its own before that.
    run(&writer, &format!("begin; {}", message("other", 1))).await;
    let pid = backend_pid(&node).await;
    let ask = format!("select pg_advisory_lock({KEY_CLASS}, 1)");
    let ((), ()) = tokio::join!(run(&node, &ask), async {
        blocked(&bell.sql, pid).await;
        assert_eq!(bell.rings(&message("b", 1)).await.len(), 1);
        run(&writer, "commit").await;
    });
}

#[tokio::test]
async fn off_spares_the_ring_and_prepare_transaction_with_it() {
    let mut bell = Bell::new().await;
    let node = bell.database.connect().await;
    run(&node, &format!("select pg_advisory_lock({KEY_CLASS}, 1)")).await;
    let name: String = value(&node, "select current_database()").await;
    let prepared = format!("begin; {} prepare transaction '{name}'; commit prepared '{name}';", message("b", 1));
    assert_eq!(refusal(&bell.sql, &prepared).await, "0A000", "a NOTIFY cannot be prepared");
    run(&bell.sql, "rollback").await;
    assert!(bell.rings("set tocsin.ring = 'off'").await.is_empty());
    assert!(bell.rings(&message("b", 2)).await.is_empty());
    for statement in prepared.split_inclusive(';').filter(|part| !part.trim().is_empty()) {
        run(&bell.sql, statement).await;
    }
    assert!(bell.rings("reset tocsin.ring").await.is_empty());
    assert_eq!(bell.rings(&message("b", 3)).await.len(), 1);
    assert_eq!(seqs(&bell.sql, "b").await, [1, 2, 3]);
}

#[tokio::test]
async fn always_rings_every_time_also_as_a_setting_of_thedatabase() {
    let mut bell = Bell::new().await;
    assert_eq!(bell.rings(&format!("set tocsin.ring = 'always'; {}", message("b", 1))).await.len(), 1);
    let name: String = value(&bell.sql, "select current_database()").await;
    run(&bell.sql, &format!("alter database {name} set tocsin.ring = 'always'")).await;
    bell.sql = bell.database.connect().await;
    assert_eq!(bell.rings(&message("b", 2).repeat(2)).await.len(), 2);
    assert!(bell.rings(&format!("set tocsin.ring = 'off'; {}", message("b", 3))).await.is_empty());
    assert!(bell.rings(&format!("set tocsin.ring = 'auto'; {}", message("b", 4))).await.is_empty());
}

#[tokio::test]
async fn a_transaction_rings_a_node_once() {
    let mut bell = Bell::new().await;
    let node = bell.database.connect().await;
    run(&node, &format!("select pg_advisory_lock({KEY_CLASS}, 1)")).await;
    let two = format!("{} {}", message("b", 1), message("b", 2));
    assert_eq!(bell.rings(&format!("begin; {two} commit")).await.len(), 1);
    assert_eq!(bell.rings(&two).await.len(), 1, "again in the next transaction");
    let undone = format!("begin; savepoint s; {} rollback to s; {} commit", message("b", 3), message("b", 4));
    assert_eq!(bell.rings(&undone).await.len(), 1, "a ring that was rolled back does not count");
}

#[tokio::test]
async fn what_is_rolled_back_is_not_rung() {
    let mut bell = Bell::new().await;
    run(&bell.sql, "set tocsin.ring = 'always'").await;
    assert!(bell.rings(&format!("begin; {} rollback", message("b", 1))).await.is_empty());
    let heard =
        bell.rings(&format!("begin; savepoint s; {} rollback to s; {} commit", message("b", 1), message("c", 2))).await;
    assert_eq!(heard.len(), 1);
    assert!(heard[0].contains("default/c"), "{heard:?}");
}
