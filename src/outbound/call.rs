//! One HTTP request and what its answer, or the lack of one, means.

use std::error::Error;
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail};
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder, RequestBuilder, StatusCode};
use tracing::warn;
use url::Url;

use super::Outcome;
use super::guard::Forbidden;

/// How much of an answer is read; what comes after it is not looked at.
const ANSWER_BYTES_MAX: usize = 16 * 1024;
/// How long a connection may take to be made.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);

/// A client that calls what it is told to call: no proxies, no redirects. `shape` makes it special.
pub(super) fn client(shape: impl Fn(ClientBuilder) -> ClientBuilder) -> anyhow::Result<Client> {
    let builder = || {
        shape(Client::builder().no_proxy().redirect(Policy::none()).connect_timeout(CONNECT_PATIENCE).referer(false))
    };
    builder().build().or_else(|fault| {
        warn!("only http targets can be called: {}", chain(&fault));
        builder().tls_certs_only([]).build().context("cannot make an HTTP client")
    })
}

/// Checks a URL from the settings; the error names the setting.
pub(super) fn check_url(setting: &str, url: &Url) -> anyhow::Result<()> {
    if !matches!(url.scheme(), "http" | "https") {
        bail!("{setting}: it must be http:// or https://");
    }
    if !url.username().is_empty() || url.password().is_some() {
        bail!("{setting}: it must not hold a user or a password");
    }
    Ok(())
}

/// What was answered.
/// What was answered.
pub(super) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// The beginning of the body, as far as it came.
    pub body: Vec<u8>,
}

/// Makes one request. Without an answer's status and headers there is only an outcome.
pub(super) async fn call(request: RequestBuilder) -> Result<Answer, Outcome> {
    let mut response = request.send().await.map_err(without_answer)?;
    let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
    let mut body = Vec::new();
    while body.len() < ANSWER_BYTES_MAX
        && let Ok(Some(chunk)) = response.chunk().await
    {
        body.extend_from_slice(&chunk);
    }
    body.truncate(ANSWER_BYTES_MAX);
    Ok(Answer { status, headers, body })
}

impl Answer {
    /// What the status says; `detail` is what else is known, for the log.
    pub fn outcome(&self, detail: &str) -> Outcome {
        let why = format!("HTTP {} {detail}", self.status.as_u16()).trim_end().to_owned();
        match self.status {
            status if status.is_success() => Outcome::Delivered,
            StatusCode::GONE => Outcome::Gone { why },
            StatusCode::PAYLOAD_TOO_LARGE => Outcome::TooLarge,
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => self.retry(why),
            status if status.is_server_error() => self.retry(why),
            _ => Outcome::Refused { why },
        }
    }

    /// Try again when the answer says, if it does.
    pub fn retry(&self, why: String) -> Outcome {
        Outcome::Retry { after: retry_after(&self.headers), why }
    }

    /// The body as JSON; null if it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// Retry-After: seconds, or a moment.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => {
            let at = httpdate::parse_http_date(text).ok()?;
            Some(at.duration_since(SystemTime::now()).unwrap_or_default())
        }
    }
}

fn without_answer(fault: reqwest::Error) -> Outcome {
    let fault = fault.without_url(); // it may hold a token
    if let Some(forbidden) = causes(&fault).find_map(|cause| cause.downcast_ref::<Forbidden>()) {
        return Outcome::refused(forbidden);
    }
    match chain(&fault) {
        why if fault.is_builder() => Outcome::Refused { why },
        why => Outcome::retry(why),
    }
}

/// An error, its cause, and so on.
fn causes<'a>(fault: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(fault), |cause| (**cause).source())
}

fn chain(fault: &reqwest::Error) -> String {
    causes(fault).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(status: u16, retry_after: Option<&str>) -> Outcome {
        let mut headers = HeaderMap::new();
        if let Some(value) = retry_after {
            headers.insert(RETRY_AFTER, value.parse().unwrap());
        }
        Answer { status: status.try_into().unwrap(), headers, body: Vec::new() }.outcome("x")
    }

    #[test]
    fn statuses_have_their_outcomes() {
        for status in [200, 201, 202, 204] {
            assert_eq!(outcome(status, None), Outcome::Delivered);
        }
        for status in [408, 425, 429, 500, 502, 503, 504] {
            assert!(matches!(outcome(status, None), Outcome::Retry { after: None, .. }), "{status}");
        }
        for status in [301, 302, 307, 400, 401, 403, 404, 405, 415] {
            assert_eq!(outcome(status, None), Outcome::Refused { why: format!("HTTP {status} x") });
        }
        assert!(matches!(outcome(410, None), Outcome::Gone { .. }));
        assert_eq!(outcome(413, None), Outcome::TooLarge);
    }

    #[test]
    fn retry_after_is_seconds_or_a_moment_or_not_understood() {
        let after = |text: &str| match outcome(503, Some(text)) {
            Outcome::Retry { after, .. } => after,
            other => panic!("{other:?}"),
        };
        assert_eq!(after(" 120 "), Some(Duration::from_secs(120)));
        assert_eq!(after("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        let far = after("Fri, 31 Dec 9999 23:59:59 GMT").unwrap();
        assert!(far > Duration::from_secs(86400 * 365 * 1000), "{far:?}");
        for nonsense in ["", "-1", "1.5", "soon"] {
            assert_eq!(after(nonsense), None, "{nonsense}");
        }
    }
}
