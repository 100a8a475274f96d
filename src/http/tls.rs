//! The certificate that https is served with. Whoever renews it replaces the files: they are looked at again and again,
//! and new connections get what is there.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use anyhow::Context;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::config::edge::TlsFiles;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(3);

/// The certificate and its key, as they were when the files last made sense.
#[derive(Debug)]
pub struct Certificate {
    files: TlsFiles,
    provider: Arc<CryptoProvider>,
    current: RwLock<Arc<CertifiedKey>>,
    /// What the files held when they were last looked at, whether it made sense or not.
    seen: Mutex<Pair>,
}

/// The contents of both files.
#[derive(Debug, PartialEq, Eq)]
struct Pair {
    cert: Vec<u8>,
    key: Vec<u8>,
}

impl Pair {
    async fn read(files: &TlsFiles) -> anyhow::Result<Pair> {
        Ok(Pair { cert: read(&files.cert).await?, key: read(&files.key).await? })
    }

    fn certified(&self, files: &TlsFiles, provider: &CryptoProvider) -> anyhow::Result<CertifiedKey> {
        let (cert, key) = (files.cert.display(), files.key.display());
        let chain = CertificateDer::pem_slice_iter(&self.cert).collect::<Result<Vec<_>, _>>();
        let chain = chain.ok().filter(|chain| !chain.is_empty());
        let chain = chain.with_context(|| format!("{cert} holds no certificates in PEM"))?;
        let secret = PrivateKeyDer::from_pem_slice(&self.key);
        let secret = secret.map_err(|_| anyhow::anyhow!("{key} holds no private key in PEM"))?;
        CertifiedKey::from_der(chain, secret, provider).with_context(|| format!("{cert} and {key} cannot be used"))
    }
}

async fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    tokio::fs::read(path).await.with_context(|| format!("cannot read {}", path.display()))
}

impl Certificate {
    /// Reads the files.
    ///
    /// # Errors
    /// They cannot be read, hold no certificate or key, or do not belong together.
    pub async fn load(files: TlsFiles) -> anyhow::Result<Arc<Certificate>> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let pair = Pair::read(&files).await?;
        let current = RwLock::new(Arc::new(pair.certified(&files, &provider)?));
        Ok(Arc::new(Certificate { files, provider, current, seen: Mutex::new(pair) }))
    }

    /// Does the handshakes: TLS 1.2 and 1.3, and of HTTP version 1.1, which both requests and WebSockets can use.
    ///
    /// # Errors
    /// None that can occur: the provider knows both versions.
    pub fn acceptor(self: &Arc<Self>) -> anyhow::Result<TlsAcceptor> {
        let mut config = ServerConfig::builder_with_provider(self.provider.clone())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(self.clone());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    /// Looks at the files every few seconds until it is stopped.
    ///
    /// # Errors
    /// None: what cannot be read or used is logged, and the old certificate stays.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) -> anyhow::Result<()> {
        while stop.run_until_cancelled(sleep(LOOK_EVERY)).await.is_some() {
            match self.look().await {
                Ok(true) => info!("a new certificate from {}", self.files.cert.display()),
                Ok(false) => {}
                Err(fault) => warn!("the certificate stays as it was: {fault:#}"),
            }
        }
        Ok(())
    }

    /// Takes what is new; answers whether there was something.
    async fn look(&self) -> anyhow::Result<bool> {
        // In between, as one is replaced after the other, they cannot be read or do not fit; the next look is soon.
        let pair = Pair::read(&self.files).await?;
        if *self.seen.lock().unwrap_or_else(PoisonError::into_inner) == pair {
            return Ok(false);
        }
        let certified = pair.certified(&self.files, &self.provider);
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = pair;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(certified?);
        Ok(true)
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}
