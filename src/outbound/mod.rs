//! Delivers ready notifications over one wire protocol each: to the push services of platforms (the channel type
//! NativeChannel), through an operator's push proxy gateway (OMAPush), and to URLs of clients (webhooks).
//!
//! Nothing here knows of channels, or tries twice: each call is one attempt, and its [`Outcome`] says what is to be
//! done next.

mod apns;
mod call;
pub mod config;
mod fcm;
pub mod guard;
mod mail;
mod oauth;
mod pap;
mod secret;
pub mod ways;
mod webhook;
mod wns;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use url::Url;
use uuid::Uuid;

pub use webhook::{NotASecret, SigningSecret};

use config::Push;
use guard::{Forbidden, Guard};

/// Idle connections to APNs are pinged this often, as it wants few and lasting connections.
const APNS_PING: Duration = Duration::from_secs(60);
/// A connection to APNs that leaves a ping unanswered so long is given up.
const APNS_PING_PATIENCE: Duration = Duration::from_secs(10);

/// What became of one attempt. The texts are for the log: they hold no secret and no URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The other side took it.
    Delivered,
    /// It may work later: the other side is too busy, out of order, or did not answer.
    Retry {
        /// How long the other side asked to be left alone.
        after: Option<Duration>,
        /// What happened.
        why: String,
    },
    /// The registration is over: nothing will be delivered to it again.
    Gone {
        /// What happened.
        why: String,
    },
    /// This payload, target or credential will not be taken; trying again soon is of no use.
    Refused {
        /// What happened.
        why: String,
    },
    /// The payload is larger than the bearer takes.
    TooLarge,
}

impl Outcome {
    /// As metrics call it.
    pub fn name(&self) -> &'static str {
        match self {
            Outcome::Delivered => "delivered",
            Outcome::Retry { .. } => "retry",
            Outcome::Gone { .. } => "gone",
            Outcome::Refused { .. } => "refused",
            Outcome::TooLarge => "too_large",
        }
    }

    fn retry(why: impl ToString) -> Self {
        Outcome::Retry { after: None, why: why.to_string() }
    }

    fn refused(why: impl ToString) -> Self {
        Outcome::Refused { why: why.to_string() }
    }
}

/// A notification on its way. At each attempt it must be the same.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// By which the other side can tell that it has this one already.
    pub id: Uuid,
    /// The media type of the body. Native channels carry JSON and do not tell.
    pub content_type: &'a str,
    /// The notification. For native channels a JSON object: `{"notificationList":...}`.
    pub body: &'a str,
    /// When it is of no more use.
    pub expires: DateTime<Utc>,
}

impl<'a> Message<'a> {
    /// The members of the body, a JSON object.
    fn members(&self) -> Result<BTreeMap<Cow<'a, str>, &'a RawValue>, Outcome> {
        serde_json::from_str(self.body).map_err(|_| Outcome::refused("the notification is not a JSON object"))
    }

    fn seconds_left(&self) -> i64 {
        (self.expires - Utc::now()).num_seconds().max(0)
    }

    #[cfg(test)]
    fn example() -> Message<'static> {
        Message {
            id: Uuid::nil(),
            content_type: "application/json",
            body: r#"{"notificationList":[]}"#,
            expires: DateTime::UNIX_EPOCH,
        }
    }
}

/// The sub-types of native channels (NativeChannelSubType).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Native {
    /// Google's, today Firebase Cloud Messaging.
    Gcm,
    /// Apple Push Notification service.
    Apns,
    /// Windows Notification Services.
    Wns,
}

impl fmt::Display for Native {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Native::Gcm => "GCM",
            Native::Apns => "APNS",
            Native::Wns => "WNS",
        })
    }
}

/// All senders that are switched on. Cheap to clone.
#[derive(Clone)]
pub struct Senders {
    guard: Guard,
    fcm: Option<Arc<fcm::Fcm>>,
    apns: Option<Arc<apns::Apns>>,
    wns: Option<Arc<wns::Wns>>,
    pap: Option<Arc<pap::Pap>>,
    webhook: Arc<webhook::Webhook>,
    mail: Option<Arc<mail::Mail>>,
}

impl Senders {
    /// Makes the senders that have settings. With `allow_private_targets`, URLs named by clients may lead anywhere.
    ///
    /// # Errors
    /// If a key file cannot be read or used, or a URL is none: the text names the setting.
    pub fn new(push: &Push, allow_private_targets: bool) -> anyhow::Result<Senders> {
        let guard = Guard::new(allow_private_targets);
        let guarded = call::client(|builder| builder.dns_resolver(Arc::new(guard)))?;
        let http = || call::client(|builder| builder);
        let timeout = Duration::from_secs(push.timeout_seconds);
        let fcm = push.fcm.as_ref().map(|fcm| fcm::Fcm::new(fcm, http()?, timeout));
        let apns = push.apns.as_ref().map(|apns| apns::Apns::new(apns, apns_client()?, timeout));
        let wns = push.wns.as_ref().map(|wns| wns::Wns::new(wns, guarded.clone(), guard, http()?, timeout));
        let pap = push.oma_push.as_ref().map(|oma_push| pap::Pap::new(oma_push, http()?, timeout));
        let mail = push.email.as_ref().map(|email| mail::Mail::new(email, timeout));
        let for_webhooks = Duration::from_secs(push.webhook.timeout_seconds);
        Ok(Senders {
            guard,
            fcm: fcm.transpose()?.map(Arc::new),
            apns: apns.transpose()?.map(Arc::new),
            wns: wns.transpose()?.map(Arc::new),
            pap: pap.transpose()?.map(Arc::new),
            webhook: Arc::new(webhook::Webhook::new(guarded, guard, for_webhooks)),
            mail: mail.transpose()?.map(Arc::new),
        })
    }

    /// The largest notification a native channel of this sub-type takes, in bytes; `None` if it is not offered.
    pub fn native_bytes_max(&self, subtype: Native) -> Option<usize> {
        match subtype {
            Native::Gcm => self.fcm.as_ref().map(|_| fcm::BYTES_MAX),
            Native::Apns => self.apns.as_ref().map(|_| apns::BYTES_MAX),
            Native::Wns => self.wns.as_ref().map(|_| wns::BYTES_MAX),
        }
    }

    /// The sub-types of native channels that are offered.
    pub fn native_offered(&self) -> Vec<Native> {
        let mut offered = vec![Native::Gcm, Native::Apns, Native::Wns];
        offered.retain(|subtype| self.native_bytes_max(*subtype).is_some());
        offered
    }

    /// The largest notification OMAPush takes, in bytes; `None` if it is not offered.
    pub fn oma_push_bytes_max(&self) -> Option<usize> {
        self.pap.as_ref().map(|pap| pap.bytes_max())
    }

    /// The server that takes our mail, if there is one.
    fn mail(&self) -> Option<&mail::Mail> {
        self.mail.as_deref()
    }

    /// Whether a webhook or a notifyURL may lead there, as far as can be told without resolving its name.
    ///
    /// # Errors
    /// [`Forbidden`] if it is not http or https, or an address that is not public.
    pub fn check_target(&self, target: &Url) -> Result<(), Forbidden> {
        self.guard.check(target)
    }

    /// One attempt on a native channel, to the device or app instance of a registrationToken.
    pub async fn push_native(&self, subtype: Native, registration: &str, message: &Message<'_>) -> Outcome {
        match (subtype, &self.fcm, &self.apns, &self.wns) {
            (Native::Gcm, Some(fcm), _, _) => fcm.send(registration, message).await,
            (Native::Apns, _, Some(apns), _) => apns.send(registration, message).await,
            (Native::Wns, _, _, Some(wns)) => wns.send(registration, message).await,
            _ => Outcome::refused(format!("{subtype} is not configured")),
        }
    }

    /// One attempt over OMAPush: to the handset of `phone` (`+...` or `tel:+...`), for the application of an appId.
    pub async fn push_oma(&self, phone: &str, app_id: Option<&str>, message: &Message<'_>) -> Outcome {
        match &self.pap {
            Some(pap) => pap.send(phone, app_id, message).await,
            None => Outcome::refused("OMAPush is not configured"),
        }
    }

    /// One attempt at a client's URL. There is one signature for each secret, so that a new one can take over from an
    /// old one; without a secret there is none.
    pub async fn post_webhook(&self, target: &Url, secrets: &[SigningSecret], message: &Message<'_>) -> Outcome {
        self.webhook.send(target, secrets, message).await
    }

    /// One attempt at a subscription's notifyURL.
    pub async fn post_notification(&self, target: &Url, message: &Message<'_>) -> Outcome {
        self.webhook.notify(target, message).await
    }
}

fn apns_client() -> anyhow::Result<reqwest::Client> {
    call::client(|builder| {
        builder
            .http2_prior_knowledge() // over TLS too: nothing but HTTP/2 is offered
            .http2_keep_alive_interval(APNS_PING)
            .http2_keep_alive_timeout(APNS_PING_PATIENCE)
            .http2_keep_alive_while_idle(true)
    })
}
