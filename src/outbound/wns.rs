//! Windows Notification Services: raw notifications, the native sub-type WNS.

use std::time::Duration;

use anyhow::{Context, bail};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, StatusCode};
use url::Url;

use super::call::{Answer, check_url};
use super::guard::Guard;
use super::oauth::Tokens;
use super::secret::{Secret, read_secret};
use super::{Message, Outcome, config};

/// The largest raw notification, in bytes.
pub(super) const BYTES_MAX: usize = 5000;

pub(super) struct Wns {
    http: Client,
    timeout: Duration,
    guard: Guard,
    host_suffix: String,
    tokens: Tokens,
}

impl Wns {
    /// Reads the secret; errors name the setting. `guarded` calls what `guard` allows, `http` the token endpoint.
    pub fn new(
        settings: &config::Wns,
        guarded: Client,
        guard: Guard,
        http: Client,
        timeout: Duration,
    ) -> anyhow::Result<Self> {
        check_url("push.wns.token_url", &settings.token_url)?;
        let endpoint = settings.token_url.clone();
        let secret = read_secret("push.wns.client_secret_file", &settings.client_secret_file)?;
        if settings.host_suffix.trim_start_matches('.').is_empty() {
            bail!("push.wns.host_suffix: it must not be empty");
        }
        let (id, scope) = (settings.client_id.clone(), settings.scope.clone());
        let tokens = Tokens::new(http, endpoint, timeout, Box::new(move || Ok(grant(&id, &secret, &scope))))
            .context("push.wns")?;
        Ok(Wns { http: guarded, timeout, guard, host_suffix: settings.host_suffix.to_ascii_lowercase(), tokens })
    }

    /// The notification as it is, posted to the channel URI that the device got.
    pub async fn send(&self, channel_uri: &str, message: &Message<'_>) -> Outcome {
        if message.body.len() > BYTES_MAX {
            return Outcome::TooLarge;
        }
        let Some(url) = self.target(channel_uri) else {
            return Outcome::refused("the registrationToken is not a channel URI of WNS");
        };
        let ttl = message.seconds_left();
        let request = |token: &str| {
            self.http
                .post(url.clone())
                .timeout(self.timeout)
                .bearer_auth(token)
                .header(CONTENT_TYPE, "application/octet-stream")
                .header("X-WNS-Type", "wns/raw")
                .header("X-WNS-Cache-Policy", "cache") // kept for a device that is away
                .header("X-WNS-TTL", ttl)
                .body(message.body.to_owned())
        };
        self.tokens.call(request).await.map_or_else(|outcome| outcome, |answer| judge(&answer))
    }

    /// The URI, if it leads to WNS: the token that goes with the request is for nobody else. Plain http and ports of
    /// one's own are for private targets, as in tests.
    fn target(&self, channel_uri: &str) -> Option<Url> {
        let url = Url::parse(channel_uri).ok()?;
        let host = url.host_str()?;
        let known = match self.host_suffix.strip_prefix('.') {
            Some(_) => host.ends_with(&self.host_suffix),
            None => host.strip_suffix(&self.host_suffix).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')),
        };
        let safe = url.scheme() == "https" && url.port().is_none();
        (known && (safe || self.guard.allows_private()) && self.guard.check(&url).is_ok()).then_some(url)
    }
}

/// The form that asks for a token: client credentials (RFC 6749 section 4.4).
fn grant(client_id: &str, secret: &Secret, scope: &str) -> String {
    url::form_urlencoded::Serializer::new(String::new())
        .append_pair("grant_type", "client_credentials")
        .append_pair("client_id", client_id)
        .append_pair("client_secret", secret.reveal())
        .append_pair("scope", scope)
        .finish()
}

fn judge(answer: &Answer) -> Outcome {
    let header = |name: &str| answer.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match answer.status {
        StatusCode::OK => match header("X-WNS-NotificationStatus") {
            status @ ("dropped" | "channelthrottled") => answer.retry(format!("WNS: {status}")),
            _ => Outcome::Delivered,
        },
        StatusCode::NOT_FOUND => Outcome::Gone { why: "WNS does not know the channel URI".to_owned() },
        StatusCode::NOT_ACCEPTABLE => answer.retry("WNS: too many notifications".to_owned()),
        _ => answer.outcome(header("X-WNS-Error-Description")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wns(host_suffix: &str, allow_private: bool) -> Wns {
        let tokens =
            Tokens::new(Client::new(), "http://t/".parse().unwrap(), Duration::ZERO, Box::new(|| Ok(String::new())));
        Wns {
            http: Client::new(),
            timeout: Duration::ZERO,
            guard: Guard::new(allow_private),
            host_suffix: host_suffix.to_owned(),
            tokens: tokens.unwrap(),
        }
    }

    #[test]
    fn only_uris_of_wns_are_targets() {
        let wns = wns(".notify.windows.com", false);
        for good in ["https://db5.notify.windows.com/?token=a%2fb", "https://x.y.Notify.Windows.COM:443/"] {
            assert!(wns.target(good).is_some(), "{good}");
        }
        for bad in [
            "",
            "x",
            "http://db5.notify.windows.com/",
            "https://notify.windows.com/",
            "https://evilnotify.windows.com/",
            "https://db5.notify.windows.com.example.com/",
            "https://example.com/?.notify.windows.com",
            "https://db5.notify.windows.com@example.com/",
            "https://db5.notify.windows.com:8443/",
            "https://127.0.0.1/",
            "https://example.com#.notify.windows.com",
            r"https://example.com\.notify.windows.com",
        ] {
            assert!(wns.target(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_suffix_without_a_dot_is_a_name_and_those_below_it() {
        let wns = wns("push.test", true);
        assert!(wns.target("http://push.test:8080/x").is_some());
        assert!(wns.target("https://a.push.test/").is_some());
        assert!(wns.target("https://badpush.test/").is_none());
    }
}
