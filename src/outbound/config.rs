//! The settings of the senders: section `[push]` of the configuration file. A bearer without its section is off.

use std::path::PathBuf;

use documented::DocumentedFieldsOpt;
use serde::{Deserialize, Serialize};
use url::Url;

/// Section `[push]`.
#[derive(Debug, Clone, Serialize, Deserialize, DocumentedFieldsOpt)]
#[serde(deny_unknown_fields, default)]
pub struct Push {
    /// Seconds that one request to FCM, APNs, WNS, a token endpoint or a push proxy gateway may take, answer included.
    pub timeout_seconds: u64,
    /// Firebase Cloud Messaging: the native sub-type GCM.
    pub fcm: Option<Fcm>,
    /// Apple Push Notification service: the native sub-type APNS.
    pub apns: Option<Apns>,
    /// Windows Notification Services: the native sub-type WNS.
    pub wns: Option<Wns>,
    /// Push over an operator's gateway: the channel type OMAPush.
    pub oma_push: Option<OmaPush>,
    /// Posts to URLs of clients.
    pub webhook: Webhook,
    /// E-mail, to users who want their notifications so.
    pub email: Option<Email>,
}

impl Default for Push {
    fn default() -> Self {
        Push {
            timeout_seconds: 30,
            fcm: None,
            apns: None,
            wns: None,
            oma_push: None,
            webhook: Webhook::default(),
            email: None,
        }
    }
}

/// Section `[push.email]`.
#[derive(Debug, Clone, Serialize, Deserialize, DocumentedFieldsOpt)]
#[serde(deny_unknown_fields)]
pub struct Email {
    /// Name of the SMTP server that takes our mail.
    pub server: String,
    /// Its port; by default that of the way of encryption.
    pub port: Option<u16>,
    /// How the connection is encrypted.
    #[serde(default)]
    pub tls: MailTls,
    /// The sender, as `Name <address>` or an address.
    pub from: String,
    /// Who we are to the server.
    pub user: Option<String>,
    /// File with the password; white space around it is not part of it.
    pub password_file: Option<PathBuf>,
}

/// How a connection to an SMTP server is encrypted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MailTls {
    /// From the beginning.
    #[default]
    Tls,
    /// After a STARTTLS, which must succeed.
    StartTls,
    /// Not at all: for a server on the same machine.
    None,
}

/// Section `[push.fcm]`.
#[derive(Debug, Clone, Serialize, Deserialize, DocumentedFieldsOpt)]
#[serde(deny_unknown_fields)]
pub struct Fcm {
    /// File with the JSON key of a service account that may send messages.
    pub key_file: PathBuf,
    /// Server of the HTTP v1 API, without path.
    #[serde(default = "fcm_endpoint")]
    pub endpoint: Url,
}

/// Section `[push.apns]`.
#[derive(Debug, Clone, Serialize, Deserialize, DocumentedFieldsOpt)]
#[serde(deny_unknown_fields)]
pub struct Apns {
    /// File with the authentication key in PEM, as Apple hands it out (`.p8`).
    pub key_file: PathBuf,
    /// The key's identifier, 10 characters.
    pub key_id: String,
    /// The team's identifier, 10 characters.
    pub team_id: String,
    /// The app's bundle identifier.
    pub topic: String,
    /// Server, without path; another one for apps in development.
    #[serde(default = "apns_endpoint")]
    pub endpoint: Url,
}

/// Section `[push.wns]`.
#[derive(Debug, Clone, Serialize, Deserialize, DocumentedFieldsOpt)]
#[serde(deny_unknown_fields)]
pub struct Wns {
    /// The app's package SID (`ms-app://...`), or its client id at the token endpoint.
    pub client_id: String,
    /// File with the client's secret; white space around it is not part of it.
    pub client_secret_file: PathBuf,
    /// Where tokens are issued.
    #[serde(default = "wns_token_url")]
    pub token_url: Url,
    /// The scope asked of the token endpoint.
    #[serde(default = "wns_scope")]
    pub scope: String,
    /// What the host of a registrationToken must end in. With a leading dot the host must be below that name.
    #[serde(default = "wns_host_suffix")]
    pub host_suffix: String,
}

/// Section `[push.oma_push]`.
#[derive(Debug, Clone, Serialize, Deserialize, DocumentedFieldsOpt)]
#[serde(deny_unknown_fields)]
pub struct OmaPush {
    /// Where the push proxy gateway takes submissions.
    pub ppg_url: Url,
    /// The domain in addresses: the gateway's, or the operator's.
    pub address_domain: String,
    /// File with the user name of Basic authentication; together with `password_file`, or not at all.
    pub user_file: Option<PathBuf>,
    /// File with the password of Basic authentication.
    pub password_file: Option<PathBuf>,
    /// X-Wap-Application-Id of channels that name no application.
    pub application_id_default: Option<String>,
    /// The largest notification the bearer takes, in bytes.
    #[serde(default = "oma_push_payload_bytes")]
    pub payload_bytes_max: usize,
}

/// Section `[push.webhook]`.
#[derive(Debug, Clone, Serialize, Deserialize, DocumentedFieldsOpt)]
#[serde(deny_unknown_fields, default)]
pub struct Webhook {
    /// Seconds that one post may take, answer included.
    pub timeout_seconds: u64,
}

impl Default for Webhook {
    fn default() -> Self {
        Webhook { timeout_seconds: 20 }
    }
}

#[expect(clippy::expect_used, reason = "the constants below are URLs, as a test shows")]
fn constant(url: &str) -> Url {
    url.parse().expect("a URL")
}

fn fcm_endpoint() -> Url {
    constant("https://fcm.googleapis.com")
}

fn apns_endpoint() -> Url {
    constant("https://api.push.apple.com")
}

fn wns_token_url() -> Url {
    constant("https://login.live.com/accesstoken.srf")
}

fn wns_scope() -> String {
    "notify.windows.com".to_owned()
}

fn wns_host_suffix() -> String {
    ".notify.windows.com".to_owned()
}

fn oma_push_payload_bytes() -> usize {
    2048
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_has_its_default() {
        let push: Push = toml::from_str(
            "fcm.key_file = 'k'\n\
             wns = { client_id = 'c', client_secret_file = 's' }\n\
             [apns]\nkey_file = 'k'\nkey_id = 'i'\nteam_id = 't'\ntopic = 'com.example'\n\
             [oma_push]\nppg_url = 'http://ppg.example/pap'\naddress_domain = 'example.com'\n",
        )
        .unwrap();
        assert_eq!((push.timeout_seconds, push.webhook.timeout_seconds), (30, 20));
        assert_eq!(push.fcm.unwrap().endpoint.as_str(), "https://fcm.googleapis.com/");
        assert_eq!(push.apns.unwrap().endpoint.as_str(), "https://api.push.apple.com/");
        let wns = push.wns.unwrap();
        assert_eq!(wns.token_url.as_str(), "https://login.live.com/accesstoken.srf");
        assert_eq!((wns.scope.as_str(), wns.host_suffix.as_str()), ("notify.windows.com", ".notify.windows.com"));
        assert_eq!(push.oma_push.unwrap().payload_bytes_max, 2048);
    }

    #[test]
    fn unknown_keys_are_refused() {
        for text in ["fmc.key_file = 'k'", "fcm = { key_file = 'k', key = 'x' }", "webhook.timeout = 3"] {
            assert!(toml::from_str::<Push>(text).is_err(), "{text}");
        }
    }
}
