//! Sends notifications by e-mail, through the SMTP server of the configuration; off without one.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use lettre::message::Mailbox;
use serde::Deserialize;
use serde_json::Value;

use super::{Message, Outcome, Senders, SigningSecret, Unusable, Way, read, text};

pub struct Email;

#[derive(Deserialize)]
struct Target {
    address: String,
}

/// What a mail tells of a notification.
#[derive(Deserialize)]
struct Body {
    notification: Notification,
}

#[derive(Deserialize)]
struct Notification {
    event: Event,
}

#[derive(Deserialize)]
struct Event {
    title: String,
    message: String,
}

impl Way for Email {
    fn name(&self) -> &'static str {
        "email"
    }

    fn check(&self, senders: &Senders, target: &Value) -> Result<(), Unusable> {
        text(target, "address")?.parse::<Mailbox>().map_err(|_| Unusable::Member("address"))?;
        senders.mail().map(|_| ()).ok_or(Unusable::NotOffered)
    }

    fn send<'a>(
        &self,
        senders: &'a Senders,
        target: &'a Value,
        _: &'a [SigningSecret],
        message: &'a Message<'a>,
    ) -> BoxFuture<'a, Outcome> {
        async move {
            let Some(mail) = senders.mail() else { return Outcome::refused("e-mail is not configured") };
            let address = match read::<Target>(target) {
                Ok(Target { address }) => address,
                Err(outcome) => return outcome,
            };
            let Ok(to) = address.parse() else { return Outcome::Gone { why: "not an address".to_owned() } };
            match serde_json::from_str(message.body) {
                Ok(Body { notification: Notification { event } }) => {
                    mail.send(to, &event.title, event.message, message.id).await
                }
                Err(_) => Outcome::Delivered, // a reset: nothing to write a mail about
            }
        }
        .boxed()
    }
}
