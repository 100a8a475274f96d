//! Two phases: what was prepared survives every crash, until it is ended.

use tokio::time::sleep;
use tokio_postgres::{Client, Error};

use super::super::evidence::Outcome;
use super::super::plan::pause;
use super::work::Work;
use super::{Lost, Writer};

/// A transaction of two phases.
pub struct Prepared {
    id: String,
    work: Work,
    commit: bool,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// PREPARE TRANSACTION was sent.
    Asked,
    /// And was answered: it must be there until it is ended.
    There,
    /// Its end was sent.
    Ending,
}

impl Writer {
    /// The first phase, a pause, and the second.
    pub(super) async fn prepare(
        &mut self,
        client: &Client,
        work: Work,
        commit: bool,
    ) -> Result<(), (Error, Work, Outcome)> {
        self.journal.prepared += 1;
        let id = format!("{}-{}", self.name, self.journal.prepared);
        let world = self.world.clone();
        let asked = {
            let _committing = world.commits.read().await;
            client.batch_execute(&format!("prepare transaction '{id}'")).await
        };
        if let Err(fault) = asked {
            if super::is_lost(client, &fault) {
                // The next connection finds out. There is nothing to remember before that.
                self.prepared = Some(Prepared { id, work, commit, stage: Stage::Asked });
                return Err((fault, Work::new(String::new()), Outcome::RolledBack));
            }
            return Err((fault, work, Outcome::RolledBack));
        }
        self.prepared = Some(Prepared { id, work, commit, stage: Stage::There });
        sleep(pause(&mut self.chance)).await;
        // If the connection is lost, whoever goes on with it finds out.
        let _ = self.end_prepared(client).await;
        Ok(())
    }

    /// Ends what was prepared before, if anything was, and learns what became of it.
    pub(super) async fn end_prepared(&mut self, client: &Client) -> Result<(), Lost> {
        let Some(mut prepared) = self.prepared.take() else { return Ok(()) };
        let look = "select count(*) from pg_prepared_xacts where gid = $1";
        let there = match client.query_one(look, &[&prepared.id]).await {
            Ok(row) => row.get::<_, i64>(0) == 1,
            Err(_) => {
                self.prepared = Some(prepared);
                return Err(Lost);
            }
        };
        if there {
            let world = self.world.clone();
            let _committing = world.commits.read().await;
            let end = if prepared.commit { "commit" } else { "rollback" };
            prepared.stage = Stage::Ending;
            if client.batch_execute(&format!("{end} prepared '{}'", prepared.id)).await.is_err() {
                self.prepared = Some(prepared);
                return Err(Lost);
            }
        }
        if !there && prepared.stage == Stage::There {
            self.journal.faults.push(format!("the prepared transaction {} has vanished", prepared.id));
        }
        let committed = prepared.commit && prepared.stage == Stage::Ending;
        self.remember(prepared.work, if committed { Outcome::Committed } else { Outcome::RolledBack });
        Ok(())
    }
}
