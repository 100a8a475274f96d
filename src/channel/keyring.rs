//! The keys that a node makes and accepts URLs with, as they follow one another in the database.
//!
//! **Invariant**: a node accepts a key before any node uses it. A new key comes into use [`BEGINS_IN`] after it was made, and
//! every node looks much more often. (When older keys end at once, since one has leaked, nodes may differ for the moment
//! until all have looked.)

use std::time::Duration;

use anyhow::bail;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::rows;
use super::secret::{Keys, OutsideSecret};
use crate::base::Result;
use crate::postgres::Database;

/// After so long a new key is in use.
pub const BEGINS_IN: Duration = Duration::from_secs(15);
/// How often a node looks for new ones, and for those that were ended.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The keys of a node, and the secret they are used with.
pub struct Keyring {
    keys: Keys,
    secret: Option<OutsideSecret>,
}

impl Keyring {
    /// The keys as they are now. The first node that brings a secret binds the database to it: from then on each node must
    /// bring the same one.
    pub async fn open(database: &Database, secret: Option<OutsideSecret>) -> anyhow::Result<Self> {
        if let Some(secret) = &secret
            && rows::adopt_secret(database, &secret.fingerprint()).await?
        {
            warn!("the secret key file is new here: URLs that were made without it are good for nothing");
        }
        check(secret.as_ref(), rows::secret_fingerprint(database).await?)?;
        let mut found = rows::url_keys(database, secret.as_ref()).await?.into_iter();
        let Some(newest) = found.next() else { bail!("there is no key in tocsin.url_keys") };
        Ok(Keyring { keys: Keys::new(newest, found.collect()), secret })
    }

    /// Always those that were found last.
    pub fn keys(&self) -> Keys {
        self.keys.clone()
    }

    /// Looks again and again. Ends with an error when other nodes use another secret by now.
    pub async fn run(self, database: Database, stop: CancellationToken) -> anyhow::Result<()> {
        let mut ticks = interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                _ = ticks.tick() => {}
            }
            match self.look(&database).await {
                Ok(fingerprint) => check(self.secret.as_ref(), fingerprint)?,
                Err(fault) => warn!("url keys: {fault}"),
            }
        }
    }

    /// Takes the keys as they are now, and answers which secret they are used with.
    async fn look(&self, database: &Database) -> Result<Option<String>> {
        let mut found = rows::url_keys(database, self.secret.as_ref()).await?.into_iter();
        if let Some(newest) = found.next() {
            self.keys.replace(newest, found.collect());
        }
        rows::forget_url_keys(database).await?;
        rows::secret_fingerprint(database).await
    }
}

/// Whether ours is the secret that the keys of the database are used with.
fn check(ours: Option<&OutsideSecret>, of_database: Option<String>) -> anyhow::Result<()> {
    match (ours.map(OutsideSecret::fingerprint), of_database) {
        (None, Some(_)) => bail!("this database is used with a secret key file: give this node the same one"),
        (Some(ours), theirs) if Some(&ours) != theirs.as_ref() => {
            bail!("this database is used with another secret key file than this node's, or with none any more")
        }
        _ => Ok(()),
    }
}
