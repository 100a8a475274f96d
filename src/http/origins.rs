//! Browsers: which pages may use the server from there.
//!
//! What a page may read of other servers, the browser asks by CORS. Of WebSockets it asks nothing, it only says which
//! page it is: so a handshake from a page that is not allowed is refused here.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use tower_http::cors::{AllowOrigin, CorsLayer};
use url::{Host, Url};

use super::trace::{REQUEST_ID, TRACEPARENT};
use crate::base::{Error, Result};
use crate::config::edge::CorsOrigins;

/// For how long a browser may remember what it was told.
const MAX_AGE: Duration = Duration::from_secs(3600);

/// The layer that answers browsers' questions: `None` when no page but our own is allowed, which needs none. Credentials
/// that browsers add by themselves are never let in: we have none, tokens stand in `Authorization`.
pub fn cors(origins: &CorsOrigins) -> Option<CorsLayer> {
    let origin = match origins {
        CorsOrigins::Any => AllowOrigin::any(),
        CorsOrigins::These(these) if these.is_empty() => return None,
        CorsOrigins::These(these) => AllowOrigin::list(these.iter().filter_map(|origin| origin.parse().ok())),
    };
    let layer = CorsLayer::new()
        .allow_origin(origin)
        .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::IF_MATCH,
            header::IF_NONE_MATCH,
            header::RANGE,
            HeaderName::from_static("idempotency-key"),
            HeaderName::from_static("x-tocsin-user"),
            TRACEPARENT,
            REQUEST_ID,
        ])
        .expose_headers([header::LOCATION, header::ETAG, header::RETRY_AFTER, TRACEPARENT, REQUEST_ID])
        .max_age(MAX_AGE);
    Some(layer)
}

/// Whose pages may open WebSockets.
#[derive(Debug, Clone)]
pub struct Origins {
    any: bool,
    these: Vec<String>,
    /// The host of the public URL.
    host: Option<String>,
}

impl Origins {
    /// Those that may use the API, and those of the public URL.
    pub fn new(public_url: &str, cors: &CorsOrigins) -> Self {
        let own = Url::parse(public_url).map(|url| url.origin().ascii_serialization());
        let these = match cors {
            CorsOrigins::Any => &[][..],
            CorsOrigins::These(these) => these,
        };
        Origins {
            any: *cors == CorsOrigins::Any,
            these: these.iter().cloned().chain(own).collect(),
            host: Url::parse(public_url).ok().and_then(|url| url.host_str().map(str::to_owned)),
        }
    }

    /// Looks at the host that was asked. A page can have the name of its own host lead to this machine (DNS rebinding):
    /// then its browser takes us for that host, and its origin for ours. So only names that nobody else can have are
    /// answered: addresses, localhost, and the public URL's.
    ///
    /// # Errors
    /// [`Error::Policy`] for another one.
    pub fn check_host(&self, headers: &HeaderMap) -> Result<()> {
        let Some(host) = headers.get(header::HOST) else { return Ok(()) };
        let known =
            host.to_str().ok().and_then(|host| Url::parse(&format!("http://{host}")).ok()).is_some_and(|url| match url
                .host()
            {
                Some(Host::Domain(name)) => name == "localhost" || self.host.as_deref() == Some(name),
                Some(_) => true,
                None => false,
            });
        if known || self.any {
            return Ok(());
        }
        Err(Error::Policy {
            rule: "without authentication, only the public URL's host is answered: see --public-url".into(),
        })
    }

    /// Looks at a handshake. Who does not say where it comes from is no browser; pages may come from the host that was
    /// asked, too.
    ///
    /// # Errors
    /// [`Error::Policy`] when it comes from the page of an origin that is not allowed.
    pub fn check(&self, headers: &HeaderMap) -> Result<()> {
        let host = headers.get(header::HOST).map(HeaderValue::as_bytes);
        let allowed = |origin: &HeaderValue| {
            let origin = origin.as_bytes();
            let of_host = [&b"http://"[..], b"https://"].iter().find_map(|scheme| origin.strip_prefix(*scheme));
            let own = of_host.is_some_and(|of_host| host.is_some_and(|host| host.eq_ignore_ascii_case(of_host)));
            self.any || own || self.these.iter().any(|these| these.as_bytes() == origin)
        };
        if headers.get_all(header::ORIGIN).iter().all(allowed) {
            return Ok(());
        }
        Err(Error::Policy { rule: "pages of this origin may not open WebSockets: see --cors-origins".to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(origins: &Origins, lines: &[(HeaderName, &'static str)]) -> bool {
        let headers = lines.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect();
        origins.check(&headers).is_ok()
    }

    #[test]
    fn pages_of_ours_and_those_that_are_named_are_let_in() {
        let cors = CorsOrigins::These(vec!["https://app.example".to_owned()]);
        let origins = Origins::new("https://push.example/base", &cors);
        let from = |origin| check(&origins, &[(header::HOST, "10.0.0.7:8080"), (header::ORIGIN, origin)]);
        for origin in ["https://push.example", "https://app.example", "http://10.0.0.7:8080", "https://10.0.0.7:8080"] {
            assert!(from(origin), "{origin}");
        }
        for origin in [
            "null",
            "",
            "https://evil.example",
            "http://push.example",
            "https://push.example.evil.example",
            "https://app.example:8443",
            "http://10.0.0.7",
            "ftp://10.0.0.7:8080",
            "10.0.0.7:8080",
        ] {
            assert!(!from(origin), "{origin}");
        }
        assert!(check(&origins, &[]), "not a browser");
        let two = [(header::ORIGIN, "https://app.example"), (header::ORIGIN, "https://evil.example")];
        assert!(!check(&origins, &two));
    }

    #[test]
    fn a_foreign_name_that_leads_here_is_not_answered() {
        let origins = Origins::new("https://push.example/base", &CorsOrigins::These(Vec::new()));
        let asked = |host: &'static str| {
            origins.check_host(&[(header::HOST, HeaderValue::from_static(host))].into_iter().collect()).is_ok()
        };
        for host in ["127.0.0.1:8080", "[::1]:8080", "localhost", "LOCALHOST:1", "push.example", "push.example:8443"] {
            assert!(asked(host), "{host}");
        }
        for host in
            ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "push.example.evil.example", "", "a b"]
        {
            assert!(!asked(host), "{host}");
        }
        assert!(origins.check_host(&HeaderMap::new()).is_ok(), "no browser leaves it out");
    }

    #[test]
    fn with_a_star_any_page_is_let_in() {
        let origins = Origins::new("http://127.0.0.1:1", &CorsOrigins::Any);
        assert!(check(&origins, &[(header::ORIGIN, "https://evil.example")]));
    }
}
