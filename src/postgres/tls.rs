//! TLS to Postgres, by the parameters of libpq: `sslmode`, `sslrootcert`, `sslcert` and `sslkey`, in URLs and in
//! `key=value` strings. tokio-postgres knows only some of their values, so they are taken out of what it reads.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use percent_encoding::percent_decode_str;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_cert_signed_by_trust_anchor};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_postgres::config::SslMode;
use tokio_postgres_rustls::MakeRustlsConnect;

/// The database URL without what is said of TLS, and that.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Parameters {
    /// For tokio-postgres.
    pub rest: String,
    mode: Option<String>,
    root_cert: Option<String>,
    cert: Option<String>,
    key: Option<String>,
}

impl Parameters {
    /// Takes them out of a URL, or out of a `key=value` string.
    ///
    /// # Errors
    /// It is neither.
    pub fn of(url: &str) -> anyhow::Result<Parameters> {
        let mut found = Parameters::default();
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            found.take_from_url(url);
        } else {
            found.take_from_pairs(url)?;
        }
        Ok(found)
    }

    /// Where a parameter of ours belongs.
    fn place(&mut self, name: &str) -> Option<&mut Option<String>> {
        match name {
            "sslmode" => Some(&mut self.mode),
            "sslrootcert" => Some(&mut self.root_cert),
            "sslcert" => Some(&mut self.cert),
            "sslkey" => Some(&mut self.key),
            _ => None,
        }
    }

    fn take_from_url(&mut self, url: &str) {
        // What stands before an @ is a name and a password, whatever is in it.
        let host = url.find('@').unwrap_or(0);
        let Some(query) = url[host..].find('?').map(|at| host + at) else {
            url.clone_into(&mut self.rest);
            return;
        };
        let mut others = Vec::new();
        for pair in url[query + 1..].split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match self.place(&percent_decode_str(name).decode_utf8_lossy()) {
                Some(place) => *place = Some(percent_decode_str(value).decode_utf8_lossy().into_owned()),
                None => others.push(pair),
            }
        }
        let separator = if others.is_empty() { "" } else { "?" };
        self.rest = format!("{}{separator}{}", &url[..query], others.join("&"));
    }

    fn take_from_pairs(&mut self, text: &str) -> anyhow::Result<()> {
        let mut left = text.trim_start();
        while !left.is_empty() {
            let (pair, after) = left.split_at(pair_length(left)?);
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match self.place(name.trim()) {
                Some(place) => *place = Some(unquoted(value.trim())),
                None => self.rest = format!("{} {}", self.rest, pair.trim_end()).trim_start().to_owned(),
            }
            left = after.trim_start();
        }
        Ok(())
    }

    /// How connections are made.
    ///
    /// # Errors
    /// A parameter has a value that cannot be, or a file that cannot be used.
    pub fn resolve(&self) -> anyhow::Result<(SslMode, MakeRustlsConnect)> {
        let from_system = self.root_cert.as_deref() == Some("system");
        let fallback = if from_system { "verify-full" } else { "prefer" };
        let mode = self.mode.as_deref().unwrap_or(fallback);
        if from_system && mode != "verify-full" {
            bail!("sslrootcert=system trusts so many that it goes with sslmode=verify-full only");
        }
        let trust = match (mode, self.root_cert.as_deref()) {
            ("disable" | "prefer", _) | ("require", None) => Trust::Anybody,
            // As libpq has it.
            ("require" | "verify-ca", Some(file)) => Trust::Issuer(Arc::new(roots(file)?)),
            ("verify-full", Some(file)) if file != "system" => Trust::Name(Arc::new(roots(file)?)),
            ("verify-full", _) => Trust::Name(Arc::new(system_roots()?)),
            ("verify-ca", None) => bail!("sslmode=verify-ca needs sslrootcert, the file of the CA's certificate"),
            _ => bail!("sslmode={mode} is none of disable, prefer, require, verify-ca, verify-full"),
        };
        let ssl_mode = match mode {
            "disable" => SslMode::Disable,
            "prefer" => SslMode::Prefer,
            _ => SslMode::Require,
        };
        Ok((ssl_mode, MakeRustlsConnect::new(self.client(trust)?)))
    }

    fn client(&self, trust: Trust) -> anyhow::Result<ClientConfig> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = trust.verifier(provider.clone())?;
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous() // what is verified is said by sslmode
            .with_custom_certificate_verifier(verifier);
        match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => {
                let chain = certificates("sslcert", cert)?;
                let secret = PrivateKeyDer::from_pem_file(key);
                let secret = secret.with_context(|| format!("sslkey={key} cannot be read"))?;
                config
                    .with_client_auth_cert(chain, secret)
                    .with_context(|| format!("sslcert={cert} and sslkey={key} cannot be used"))
            }
            (None, None) => Ok(config.with_no_client_auth()),
            _ => bail!("sslcert and sslkey go together"),
        }
    }
}

/// The length of the first pair, `key = value`, or `key = 'a value'`, with backslashes before what is meant as it stands.
fn pair_length(text: &str) -> anyhow::Result<usize> {
    let equals = text.find('=').context("the database URL is neither postgres://... nor key=value ...")?;
    let value = text[equals + 1..].len() - text[equals + 1..].trim_start().len() + equals + 1;
    let (mut quoted, mut escaped) = (false, false);
    for (at, character) in text[value..].char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '\'' => quoted = !quoted,
            _ if character.is_whitespace() && !quoted => return Ok(value + at),
            _ => {}
        }
    }
    if quoted {
        bail!("the database URL has a quote that does not end");
    }
    Ok(text.len())
}

/// A value as it is meant.
fn unquoted(value: &str) -> String {
    let (mut text, mut escaped) = (String::new(), false);
    for character in value.chars() {
        match character {
            '\\' | '\'' if !escaped => escaped = character == '\\',
            _ => {
                text.push(character);
                escaped = false;
            }
        }
    }
    text
}

fn certificates(parameter: &str, file: &str) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let read = CertificateDer::pem_file_iter(Path::new(file)).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let read = read.with_context(|| format!("{parameter}={file} cannot be read"))?;
    Some(read)
        .filter(|read| !read.is_empty())
        .with_context(|| format!("{parameter}={file} holds no certificates in PEM"))
}

fn roots(file: &str) -> anyhow::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates("sslrootcert", file)? {
        roots.add(certificate).with_context(|| format!("sslrootcert={file} cannot be used"))?;
    }
    Ok(roots)
}

fn system_roots() -> anyhow::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        bail!("sslmode=verify-full: the system has no certificates of CAs; name a file with sslrootcert");
    }
    Ok(roots)
}

/// Who may be the database's server.
#[derive(Debug)]
enum Trust {
    /// Whoever answers: what goes over the connection is encrypted, that is all.
    Anybody,
    /// Whoever has a certificate of one of these.
    Issuer(Arc<RootCertStore>),
    /// Whoever has a certificate of one of these for the name that was asked for.
    Name(Arc<RootCertStore>),
}

impl Trust {
    fn verifier(self, provider: Arc<CryptoProvider>) -> anyhow::Result<Arc<dyn ServerCertVerifier>> {
        Ok(match self {
            Trust::Anybody => Arc::new(Nameless { issuers: None, provider }),
            Trust::Issuer(roots) => Arc::new(Nameless { issuers: Some(roots), provider }),
            Trust::Name(roots) => WebPkiServerVerifier::builder_with_provider(roots, provider).build()?,
        })
    }
}

/// Does not look at the server's name. It has the private key of its certificate in any case.
#[derive(Debug)]
struct Nameless {
    issuers: Option<Arc<RootCertStore>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Nameless {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Some(issuers) = &self.issuers {
            let certificate = ParsedCertificate::try_from(certificate)?;
            let algorithms = self.provider.signature_verification_algorithms.all;
            verify_server_cert_signed_by_trust_anchor(&certificate, issuers, intermediates, now, algorithms)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_tls_is_taken_out_of_urls() {
        let all = "postgres://u:p@db.example/x?sslmode=verify-full&application_name=a&sslrootcert=%2Fetc%2Fca.pem";
        let found = Parameters::of(all).unwrap();
        assert_eq!(found.rest, "postgres://u:p@db.example/x?application_name=a");
        assert_eq!(found.mode.as_deref(), Some("verify-full"));
        assert_eq!(found.root_cert.as_deref(), Some("/etc/ca.pem"));
        for (url, rest) in [
            ("postgres://h/x", "postgres://h/x"),
            ("postgresql://h/x?sslmode=require", "postgresql://h/x"),
            ("postgres://u:p?sslmode=x@h/x", "postgres://u:p?sslmode=x@h/x"),
            ("postgres://u:p?a@h?sslcert=c&sslkey=k", "postgres://u:p?a@h"),
            ("postgresql:///x?host=/run/a&sslmode=prefer&user=u", "postgresql:///x?host=/run/a&user=u"),
        ] {
            assert_eq!(Parameters::of(url).unwrap().rest, rest);
        }
    }

    #[test]
    fn what_is_said_of_tls_is_taken_out_of_pairs() {
        let text = r"host=a password = 'it\'s sslmode=x' sslmode = verify-ca  sslrootcert='/a b/ca.pem' user=u\ v";
        let found = Parameters::of(text).unwrap();
        assert_eq!(found.rest, r"host=a password = 'it\'s sslmode=x' user=u\ v");
        assert_eq!((found.mode.as_deref(), found.root_cert.as_deref()), (Some("verify-ca"), Some("/a b/ca.pem")));
        assert!(found.rest.parse::<tokio_postgres::Config>().is_ok());
        assert_eq!(Parameters::of("").unwrap(), Parameters::default());
        for wrong in ["nothing", "host=a password='x", "mysql://h/x"] {
            assert!(Parameters::of(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_cannot_be_is_told() {
        let fault = |url: &str| match Parameters::of(url).unwrap().resolve() {
            Ok((mode, _)) => format!("{mode:?}"),
            Err(fault) => format!("{fault:#}"),
        };
        assert!(fault("sslmode=verify-ca").contains("needs sslrootcert"));
        assert!(fault("sslmode=allow").contains("verify-full"));
        assert!(fault("sslmode=require sslrootcert=system").contains("verify-full only"));
        assert!(fault("sslmode=verify-full sslrootcert=/none").starts_with("sslrootcert=/none cannot be read"));
        assert!(fault("sslcert=/none").contains("sslkey"));
        for (url, mode) in [("host=a", "Prefer"), ("sslmode=disable", "Disable"), ("sslmode=require", "Require")] {
            assert_eq!(fault(url), mode);
        }
    }
}
