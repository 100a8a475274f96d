//! The ways in which notifications of an inbox reach their user beside sockets. Each is a file of its own, and a line of
//! [`WAYS`].

mod console;
mod email;
mod push;
mod webhook;

use futures_util::future::BoxFuture;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Message, Outcome, Senders, SigningSecret};

/// A way of delivery.
pub trait Way: Sync {
    /// As senders, users and metrics call it.
    fn name(&self) -> &'static str;

    /// Checks where a user wants to be reached. Refused with the name of the member that cannot be used, or with why this
    /// way is not offered.
    fn check(&self, senders: &Senders, target: &Value) -> Result<(), Unusable>;

    /// One attempt to deliver a notification there. `secrets`: what it may be signed with, each of which
    /// its user may know.
    fn send<'a>(
        &self,
        senders: &'a Senders,
        target: &'a Value,
        secrets: &'a [SigningSecret],
        message: &'a Message<'a>,
    ) -> BoxFuture<'a, Outcome>;
}

/// All of them.
pub const WAYS: [&dyn Way; 4] = [&webhook::Webhook, &push::Push, &email::Email, &console::Console];

/// The one of a name.
pub fn way(name: &str) -> Option<&'static dyn Way> {
    WAYS.into_iter().find(|way| way.name() == name)
}

/// Why a target is of no use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unusable {
    /// This member of it.
    Member(&'static str),
    /// The way is not configured here.
    NotOffered,
}

/// Reads a target that was checked when it was stored.
fn read<T: DeserializeOwned>(target: &Value) -> Result<T, Outcome> {
    T::deserialize(target).map_err(|_| Outcome::Gone { why: "the target cannot be understood".to_owned() })
}

/// A member that is a text.
fn text<'a>(target: &'a Value, member: &'static str) -> Result<&'a str, Unusable> {
    target[member].as_str().filter(|text| !text.is_empty()).ok_or(Unusable::Member(member))
}
