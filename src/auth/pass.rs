//! What a socket was opened with: for how long, and what it rests on. It is looked at again from time to time, since a
//! socket outlives the request that opened it.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::Gate;
use super::grants::{Basis, Resource, Right, basis};
use super::scope::Scopes;
use super::token::Principal;
use crate::base::{Error, Result};
use crate::postgres::Database;

/// Whether a grant is still there is asked this often.
const GRANT_CHECK: Duration = Duration::from_secs(5);

/// What a socket was opened with.
#[derive(Debug)]
pub struct Pass {
    gate: Arc<Gate>,
    holder: Principal,
    /// Any of these is needed.
    scopes: Scopes,
    resource: Resource,
    basis: Basis,
}

impl Pass {
    /// For a reader of a resource. [`Error::Scope`] when the token is not for that; `missing` when the resource is none
    /// of the holder's.
    pub async fn new(
        gate: &Arc<Gate>,
        database: &Database,
        holder: Principal,
        scopes: Scopes,
        resource: Resource,
        missing: Error,
    ) -> Result<Pass> {
        if !holder.scopes.has_any(scopes) {
            return Err(Error::Scope { scopes: scopes.names() });
        }
        let basis = basis(database, &holder, &resource, Right::Read).await?.ok_or(missing)?;
        Ok(Pass { gate: gate.clone(), holder, scopes, resource, basis })
    }

    /// How long it still lasts; zero when it is over.
    pub fn remaining(&self) -> Duration {
        let now: DateTime<Utc> = Utc::now();
        (self.holder.expires_at - now).to_std().unwrap_or(Duration::ZERO)
    }

    /// When to look at it again, from now.
    pub fn look_again(&self) -> Duration {
        let remaining = self.remaining();
        if self.basis == Basis::Grant { remaining.min(GRANT_CHECK) } else { remaining }
    }

    /// Whether what it rests on is still there. (When the database cannot be asked, it is taken to be.)
    pub async fn holds(&self, database: &Database) -> bool {
        if self.basis != Basis::Grant {
            return true;
        }
        !matches!(basis(database, &self.holder, &self.resource, Right::Read).await, Ok(None))
    }

    /// A newer token, of the same user and as good. [`Error::InvalidToken`] or [`Error::Scope`] when it is not: then this
    /// one goes on until it is over.
    pub async fn renew(&mut self, database: &Database, token: &str) -> Result<()> {
        let holder = self.gate.verify(token).await?;
        if holder.user != self.holder.user {
            return Err(Error::InvalidToken { why: "of another user".to_owned() });
        }
        let refused = Error::InvalidToken { why: "it may not do this any more".to_owned() };
        let gate = self.gate.clone();
        *self = Pass::new(&gate, database, holder, self.scopes, self.resource.clone(), refused).await?;
        Ok(())
    }
}
