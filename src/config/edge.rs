//! Settings of what stands between the Internet and the handlers: TLS, proxies, origins of browsers, and how long and
//! how large a client may be before it is cut off.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;
use ipnet::IpNet;
use url::Url;

use super::Limits;

/// The flags; each is also an environment variable and a key of the file.
#[derive(Debug, Default, Args)]
pub struct EdgeArgs {
    /// Serve https with this PEM file's chain of certificates; when it changes, new connections get the new one
    #[arg(long, env = "TOCSIN_TLS_CERT", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// The PEM file of the certificate's private key
    #[arg(long, env = "TOCSIN_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// Proxies in front of the server, whose Forwarded and X-Forwarded-For headers are believed [default: none]
    #[arg(long, env = "TOCSIN_TRUSTED_PROXIES", value_name = "CIDR,...", value_delimiter = ',')]
    pub trusted_proxies: Option<Vec<String>>,
    /// Origins whose pages may use the server from a browser, or * for all [default: only its own]
    #[arg(long, env = "TOCSIN_CORS_ORIGINS", value_name = "ORIGIN,...", value_delimiter = ',')]
    pub cors_origins: Option<Vec<String>>,
}

/// What of it holds.
#[derive(Debug, Clone, Default)]
pub struct Edge {
    /// With what https is served; `None`: http.
    pub tls: Option<TlsFiles>,
    /// The networks of the proxies that are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Whose pages may use the server from a browser.
    pub cors: CorsOrigins,
}

/// A certificate and its key, PEM files both.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The chain, the server's own certificate first.
    pub cert: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// The origins whose pages may use the server from a browser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CorsOrigins {
    /// `*`.
    Any,
    /// These, as browsers write them in `Origin`.
    These(Vec<String>),
}

impl Default for CorsOrigins {
    fn default() -> Self {
        CorsOrigins::These(Vec::new())
    }
}

impl EdgeArgs {
    /// Reads it; what is wrong is added to `faults`.
    pub(super) fn resolve(self, faults: &mut Vec<String>) -> Edge {
        let tls = match (self.tls_cert, self.tls_key) {
            (Some(cert), Some(key)) => Some(TlsFiles { cert, key }),
            (None, None) => None,
            _ => {
                faults.push("--tls-cert and --tls-key go together".to_owned());
                None
            }
        };
        let mut trusted_proxies = Vec::new();
        for text in self.trusted_proxies.unwrap_or_default() {
            match network(text.trim()) {
                Some(network) => trusted_proxies.push(network),
                None => {
                    faults.push(format!("--trusted-proxies {text}: neither an address nor a network as 10.0.0.0/8"))
                }
            }
        }
        Edge { tls, trusted_proxies, cors: origins(&self.cors_origins.unwrap_or_default(), faults) }
    }
}

/// A network, or an address as a network of one.
fn network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

fn origins(texts: &[String], faults: &mut Vec<String>) -> CorsOrigins {
    let mut origins = Vec::new();
    for text in texts.iter().map(|text| text.trim()) {
        if text == "*" {
            return CorsOrigins::Any;
        }
        match origin(text) {
            Some(origin) => origins.push(origin),
            None => faults.push(format!("--cors-origins {text}: not an origin as https://example.com, nor *")),
        }
    }
    CorsOrigins::These(origins)
}

/// The origin of a URL that says nothing else, as browsers write it: without a default port, in lower case.
fn origin(text: &str) -> Option<String> {
    let url = Url::parse(text).ok()?;
    let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    (matches!(url.scheme(), "http" | "https") && bare && url.password().is_none())
        .then(|| url.origin().ascii_serialization())
}

/// What cannot be among the limits of connections and requests.
pub(super) fn faults(limits: &Limits) -> Vec<String> {
    let at_least_one = [
        ("header_seconds", limits.header_seconds),
        ("body_stall_seconds", limits.body_stall_seconds),
        ("idle_seconds", limits.idle_seconds),
        ("header_bytes_max", limits.header_bytes_max as u64),
        ("url_bytes_max", limits.url_bytes_max as u64),
        ("connections_max", limits.connections_max as u64),
        ("connections_per_address_max", limits.connections_per_address_max as u64),
    ];
    at_least_one.iter().filter(|(_, value)| *value == 0).map(|(name, _)| format!("{name}: at least 1")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(args: EdgeArgs) -> Result<Edge, String> {
        let mut faults = Vec::new();
        let edge = args.resolve(&mut faults);
        if faults.is_empty() { Ok(edge) } else { Err(faults.join("\n")) }
    }

    fn texts(texts: &[&str]) -> Option<Vec<String>> {
        Some(texts.iter().map(|text| (*text).to_owned()).collect())
    }

    #[test]
    fn a_certificate_needs_its_key() {
        let args = EdgeArgs { tls_cert: Some("a.pem".into()), ..Default::default() };
        assert!(resolve(args).unwrap_err().contains("--tls-key"));
    }

    #[test]
    fn proxies_are_addresses_or_networks() {
        let args = EdgeArgs { trusted_proxies: texts(&["10.0.0.0/8", " ::1", "192.0.2.7"]), ..Default::default() };
        let proxies = resolve(args).unwrap().trusted_proxies;
        assert_eq!(proxies, ["10.0.0.0/8", "::1/128", "192.0.2.7/32"].map(|net| net.parse().unwrap()));
        for wrong in ["", "10.0.0.0/33", "proxy.example", "10.0.0", "10.0.0.1:80"] {
            let args = EdgeArgs { trusted_proxies: texts(&[wrong]), ..Default::default() };
            assert!(resolve(args).unwrap_err().contains("--trusted-proxies"), "{wrong}");
        }
    }

    #[test]
    fn origins_are_kept_as_browsers_write_them() {
        let args =
            EdgeArgs { cors_origins: texts(&["HTTPS://App.Example:443/", "http://b:8080"]), ..Default::default() };
        let expected = CorsOrigins::These(vec!["https://app.example".to_owned(), "http://b:8080".to_owned()]);
        assert_eq!(resolve(args).unwrap().cors, expected);
        let any = EdgeArgs { cors_origins: texts(&["https://a.example", "*"]), ..Default::default() };
        assert_eq!(resolve(any).unwrap().cors, CorsOrigins::Any);
        for wrong in
            ["", "null", "a.example", "https://a.example/path", "https://*.example?x", "ftp://a", "https://u@a"]
        {
            let args = EdgeArgs { cors_origins: texts(&[wrong]), ..Default::default() };
            assert!(resolve(args).unwrap_err().contains("--cors-origins"), "{wrong}");
        }
    }

    #[test]
    fn a_limit_of_nothing_is_refused() {
        let limits = Limits { connections_max: 0, idle_seconds: 0, ..Default::default() };
        assert_eq!(faults(&limits), ["idle_seconds: at least 1", "connections_max: at least 1"]);
    }
}
