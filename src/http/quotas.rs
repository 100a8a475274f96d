//! How much one user, and one address, may ask for. Each node counts for itself.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use super::client_address::ClientAddress;
use crate::auth::token::Principal;
use crate::base::crowd::{Crowd, Seat};
use crate::base::ids::UserId;
use crate::base::metrics::{By, Counter, Metrics};
use crate::base::rate::Rates;
use crate::base::{Error, Result};
use crate::config::Limits;

/// What is counted.
pub struct Quotas {
    addresses: Option<Rates<IpAddr>>,
    users: Option<Rates<UserId>>,
    sockets: Arc<Crowd>,
    refused: By<Counter>,
}

impl Quotas {
    /// By the settings.
    pub fn new(limits: &Limits, metrics: &Metrics) -> Self {
        let per_second = |most: u32| (most > 0).then_some(most);
        Quotas {
            addresses: per_second(limits.requests_per_address_per_second_max).map(Rates::new),
            users: per_second(limits.requests_per_user_per_second_max).map(Rates::new),
            sockets: Arc::new(Crowd::new(limits.sockets_per_user_max)),
            refused: metrics.requests_refused.clone(),
        }
    }

    /// A request comes from an address: looked at before its token, so that guesses are limited too. [`Error::TooMany`]
    /// when there were too many. This machine's own programs are not counted.
    pub fn admit_address(&self, ClientAddress(address): ClientAddress) -> Result<()> {
        let counted = !address.is_loopback();
        match &self.addresses {
            Some(rates) if counted && !rates.admit(&address, Instant::now()) => Err(self.refuse("address")),
            _ => Ok(()),
        }
    }

    /// A request comes from a user. Whose token is good for everything is the application itself, and not counted.
    pub fn admit_user(&self, principal: &Principal) -> Result<()> {
        match &self.users {
            Some(rates) if !principal.scopes.is_admin() && !rates.admit(&principal.user, Instant::now()) => {
                Err(self.refuse("user"))
            }
            _ => Ok(()),
        }
    }

    /// One more socket of a user, until what this answers is dropped.
    pub fn seat(&self, user: &UserId) -> Result<Seat> {
        self.sockets.admit(&user.as_str()).ok_or_else(|| self.refuse("sockets"))
    }

    fn refuse(&self, by: &'static str) -> Error {
        self.refused.get_or_create(&[("by", by)]).inc();
        let rule = match by {
            "sockets" => "this user has as many sockets open on this node as a user may",
            "user" => "this user asks more often than a user may",
            _ => "this address asks more often than an address may",
        };
        Error::TooMany { rule: rule.to_owned() }
    }
}
