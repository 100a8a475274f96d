//! Posts to a URL of the user, signed as webhooks are.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::{Message, Outcome, Senders, SigningSecret, Unusable, Way, read, text};

pub struct Webhook;

#[derive(Deserialize)]
struct Target {
    url: Url,
}

impl Way for Webhook {
    fn name(&self) -> &'static str {
        "webhook"
    }

    fn check(&self, senders: &Senders, target: &Value) -> Result<(), Unusable> {
        let url = Url::parse(text(target, "url")?).map_err(|_| Unusable::Member("url"))?;
        senders.check_target(&url).map_err(|_| Unusable::Member("url"))
    }

    fn send<'a>(
        &self,
        senders: &'a Senders,
        target: &'a Value,
        secrets: &'a [SigningSecret],
        message: &'a Message<'a>,
    ) -> BoxFuture<'a, Outcome> {
        async move {
            match read::<Target>(target) {
                Ok(Target { url }) => senders.post_webhook(&url, secrets, message).await,
                Err(outcome) => outcome,
            }
        }
        .boxed()
    }
}
