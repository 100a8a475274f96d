//! Prints notifications on the server's standard output, a line each: for development.

use std::io::Write;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::Value;

use super::{Message, Outcome, Senders, SigningSecret, Unusable, Way};

pub struct Console;

impl Way for Console {
    fn name(&self) -> &'static str {
        "console"
    }

    fn check(&self, _: &Senders, _: &Value) -> Result<(), Unusable> {
        Ok(())
    }

    fn send<'a>(
        &self,
        _: &'a Senders,
        _: &'a Value,
        _: &'a [SigningSecret],
        message: &'a Message<'a>,
    ) -> BoxFuture<'a, Outcome> {
        async move {
            match writeln!(std::io::stdout().lock(), "{}", message.body) {
                Ok(()) => Outcome::Delivered,
                Err(fault) => Outcome::retry(fault),
            }
        }
        .boxed()
    }
}
