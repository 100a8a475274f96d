//! The keys of an issuer, by their URL: fetched, kept, and fetched again. When the issuer cannot be reached, the keys
//! that are there serve on, for a while.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use anyhow::{Context, bail};
use reqwest::Client;
use reqwest::redirect::Policy;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use url::Url;

use super::keys::KeySet;
use crate::base::backoff::Backoff;

/// How long the issuer may take to answer.
const FETCH_PATIENCE: Duration = Duration::from_secs(10);
/// How long a request waits for keys that may know its token's.
const REQUEST_PATIENCE: Duration = Duration::from_secs(3);
/// Largest set, in bytes.
const SET_BYTES_MAX: usize = 512 * 1024;
/// Between two tries while the issuer cannot be reached.
const RETRY: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(60)];

/// When keys are fetched.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// Again after so long.
    pub refresh: Duration,
    /// After a token of an unknown key, but not so soon after the last time: tokens can be made up.
    pub pause: Duration,
    /// Keys that could not be fetched again for so long are of no use any more.
    pub keep: Duration,
}

/// The keys of an issuer.
#[derive(Debug)]
pub struct Jwks {
    url: Url,
    times: Times,
    http: Client,
    kept: RwLock<Option<(Arc<KeySet>, Instant)>>,
    /// When they were last asked for; held while they are.
    asked: Mutex<Option<Instant>>,
}

impl Jwks {
    /// Nothing is fetched yet.
    pub fn new(url: Url, times: Times) -> anyhow::Result<Self> {
        let http = Client::builder().redirect(Policy::none()).timeout(FETCH_PATIENCE).build()?;
        Ok(Jwks { url, times, http, kept: RwLock::default(), asked: Mutex::default() })
    }

    /// The keys, unless there are none or they are too old.
    pub fn keys(&self) -> Option<Arc<KeySet>> {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        kept.as_ref().filter(|(_, at)| at.elapsed() < self.times.keep).map(|(keys, _)| keys.clone())
    }

    /// Fetches the keys, unless somebody has lately: whether they may be newer now.
    pub async fn refresh(&self) -> bool {
        let came = Instant::now();
        let fetched = async {
            let mut asked = self.asked.lock().await;
            if asked.is_some_and(|at| at > came) {
                return true; // by the one we waited for
            }
            if asked.is_some_and(|at| at.elapsed() < self.times.pause) {
                return false;
            }
            self.fetch_and_keep(&mut asked).await
        };
        timeout(REQUEST_PATIENCE, fetched).await.unwrap_or(false)
    }

    async fn fetch_and_keep(&self, asked: &mut Option<Instant>) -> bool {
        *asked = Some(Instant::now());
        match self.fetch().await {
            Ok(keys) => {
                *self.kept.write().unwrap_or_else(PoisonError::into_inner) = Some((Arc::new(keys), Instant::now()));
                true
            }
            Err(fault) => {
                warn!("the keys of the issuer cannot be fetched from {}: {fault:#}", self.url);
                false
            }
        }
    }

    async fn fetch(&self) -> anyhow::Result<KeySet> {
        let mut answer = self.http.get(self.url.clone()).send().await.map_err(reqwest::Error::without_url)?;
        if !answer.status().is_success() {
            bail!("it answers {}", answer.status());
        }
        let mut body = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(reqwest::Error::without_url)? {
            body.extend_from_slice(&piece);
            if body.len() > SET_BYTES_MAX {
                bail!("more than {SET_BYTES_MAX} bytes");
            }
        }
        let keys = KeySet::from_jwks(&body).context("not a JSON Web Key Set")?;
        if keys.is_empty() {
            bail!("there is no key in it that tokens could be verified with");
        }
        Ok(keys)
    }

    /// Fetches the keys now, and then again and again.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) -> anyhow::Result<()> {
        let mut backoff = Backoff::new(RETRY[0], RETRY[1]);
        let mut failing = true;
        loop {
            let fetching = async { self.fetch_and_keep(&mut *self.asked.lock().await).await };
            let Some(fetched) = stop.run_until_cancelled(fetching).await else { return Ok(()) };
            if fetched && failing {
                info!("the keys of the issuer are here");
                backoff.reset();
            }
            failing = !fetched;
            let pause = if fetched { self.times.refresh } else { backoff.delay().min(self.times.refresh) };
            if stop.run_until_cancelled(sleep(pause)).await.is_none() {
                return Ok(());
            }
        }
    }
}
