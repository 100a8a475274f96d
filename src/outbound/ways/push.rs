//! Pushes to a device by the push service of its platform.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::Deserialize;
use serde_json::Value;

use super::{Message, Outcome, Senders, SigningSecret, Unusable, Way, read, text};
use crate::outbound::Native;

pub struct Push;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Target {
    channel_sub_type: Native,
    registration_token: String,
}

impl Way for Push {
    fn name(&self) -> &'static str {
        "push"
    }

    fn check(&self, senders: &Senders, target: &Value) -> Result<(), Unusable> {
        text(target, "registrationToken")?;
        let service = Native::deserialize(&target["channelSubType"]).map_err(|_| Unusable::Member("channelSubType"))?;
        senders.native_bytes_max(service).map(|_| ()).ok_or(Unusable::NotOffered)
    }

    fn send<'a>(
        &self,
        senders: &'a Senders,
        target: &'a Value,
        _: &'a [SigningSecret],
        message: &'a Message<'a>,
    ) -> BoxFuture<'a, Outcome> {
        async move {
            match read::<Target>(target) {
                Ok(to) => senders.push_native(to.channel_sub_type, &to.registration_token, message).await,
                Err(outcome) => outcome,
            }
        }
        .boxed()
    }
}
