//! How callers are told apart: flags, environment, and section `[jwt]` of the file.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::builder::BoolishValueParser;
use clap::{Args, ValueEnum};
use documented::DocumentedFieldsOpt;
use serde::{Deserialize, Serialize};
use url::{Host, Url};

use super::jwks::{Jwks, Times};
use super::keys::KeySet;
use super::scope::Scopes;
use super::token::Rules;
use super::{Gate, Keys};

/// How callers are told apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Auth {
    /// Not at all: whoever reaches the socket may do everything. Loopback only.
    #[default]
    None,
    /// By a JSON Web Token in each request.
    Jwt,
}

/// The flags that say who may use the server.
#[derive(Default, Args)]
pub struct AuthArgs {
    /// Who may use the server; `none` (everybody) only on a loopback address [default: none]
    #[arg(long, env = "TOCSIN_AUTH", value_name = "HOW")]
    pub auth: Option<Auth>,
    /// Where the issuer of tokens publishes its keys
    #[arg(long, env = "TOCSIN_JWT_JWKS_URL", value_name = "URL")]
    jwt_jwks_url: Option<Url>,
    /// File with public keys in PEM, instead or beside
    #[arg(long, env = "TOCSIN_JWT_KEY_FILE", value_name = "FILE")]
    jwt_key_file: Option<PathBuf>,
    /// Secret of at least 32 bytes that tokens are signed with by HS256, instead or beside
    #[arg(long, env = "TOCSIN_JWT_SECRET", value_name = "SECRET", hide_env_values = true)]
    jwt_secret: Option<String>,
    /// What tokens must say in iss; several are separated by commas
    #[arg(long, env = "TOCSIN_JWT_ISSUER", value_name = "ISSUER", value_delimiter = ',')]
    jwt_issuer: Option<Vec<String>>,
    /// What tokens must say in aud; several are separated by commas
    #[arg(long, env = "TOCSIN_JWT_AUDIENCE", value_name = "AUDIENCE", value_delimiter = ',')]
    jwt_audience: Option<Vec<String>>,
    /// The claim that names the user [default: sub]
    #[arg(long, env = "TOCSIN_JWT_USER_CLAIM", value_name = "CLAIM")]
    jwt_user_claim: Option<String>,
    /// Let channelURLs be used only together with a token, not by whoever knows them [default: false]
    #[arg(
        long,
        env = "TOCSIN_CHANNEL_URLS_NEED_TOKEN",
        value_name = "BOOL",
        num_args = 0..=1,
        default_missing_value = "true",
        value_parser = BoolishValueParser::new()
    )]
    channel_urls_need_token: Option<bool>,
}

impl std::fmt::Debug for AuthArgs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuthArgs").field("auth", &self.auth).finish_non_exhaustive()
    }
}

/// Section `[jwt]`.
#[derive(Clone, Serialize, Deserialize, DocumentedFieldsOpt)]
#[serde(deny_unknown_fields, default)]
pub struct Jwt {
    /// Where the issuer of tokens publishes its keys: https, or http on this machine.
    pub jwks_url: Option<Url>,
    /// File with public keys in PEM.
    pub key_file: Option<PathBuf>,
    /// Secret of at least 32 bytes, for HS256.
    pub secret: Option<String>,
    /// What tokens must say in `iss`: one of these.
    pub issuer: Vec<String>,
    /// What tokens must say in `aud`: one of these.
    pub audience: Vec<String>,
    /// The claim that names the user.
    pub user_claim: String,
    /// The scopes of tokens that say nothing of scopes: none, unless named here.
    pub default_scopes: Vec<String>,
    /// By how much clocks may differ, in seconds.
    pub leeway_seconds: u32,
    /// The keys at the URL are fetched again after so many seconds.
    pub jwks_refresh_seconds: u64,
    /// For a token of an unknown key they are fetched at once, but at most once in so many seconds.
    pub jwks_pause_seconds: u64,
    /// Keys serve on for so many seconds while the issuer cannot be reached.
    pub jwks_keep_seconds: u64,
    /// Whether channelURLs can be used only together with a token.
    pub channel_urls_need_token: bool,
}

impl Default for Jwt {
    fn default() -> Self {
        Jwt {
            jwks_url: None,
            key_file: None,
            secret: None,
            issuer: Vec::new(),
            audience: Vec::new(),
            user_claim: "sub".to_owned(),
            default_scopes: Vec::new(),
            leeway_seconds: 30,
            jwks_refresh_seconds: 300,
            jwks_pause_seconds: 10,
            jwks_keep_seconds: 86400,
            channel_urls_need_token: false,
        }
    }
}

impl std::fmt::Debug for Jwt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Jwt").field("jwks_url", &self.jwks_url.as_ref().map(Url::as_str)).finish_non_exhaustive()
    }
}

impl Jwt {
    /// What the flags say goes before the file.
    pub fn with(mut self, args: AuthArgs) -> Self {
        self.jwks_url = args.jwt_jwks_url.or(self.jwks_url);
        self.key_file = args.jwt_key_file.or(self.key_file);
        self.secret = args.jwt_secret.or(self.secret);
        self.issuer = args.jwt_issuer.unwrap_or(self.issuer);
        self.audience = args.jwt_audience.unwrap_or(self.audience);
        self.user_claim = args.jwt_user_claim.unwrap_or(self.user_claim);
        self.channel_urls_need_token = args.channel_urls_need_token.unwrap_or(self.channel_urls_need_token);
        self
    }

    /// The gate that these settings make. Errors name the setting.
    pub fn gate(&self) -> anyhow::Result<Gate> {
        let mut fixed = KeySet::default();
        if let Some(secret) = &self.secret {
            fixed = fixed.and(&KeySet::from_secret(secret.as_bytes()).context("--jwt-secret")?);
        }
        if let Some(file) = &self.key_file {
            let text = std::fs::read_to_string(file).with_context(|| format!("--jwt-key-file {}", file.display()))?;
            let keys = KeySet::from_pem(&text).with_context(|| format!("--jwt-key-file {}", file.display()))?;
            fixed = fixed.and(&keys);
        }
        let jwks = self.jwks_url.as_ref().map(|url| self.jwks(url)).transpose()?;
        if fixed.is_empty() && jwks.is_none() {
            bail!(
                "--auth jwt needs a key to verify tokens with: --jwt-jwks-url, --jwt-key-file or --jwt-secret \
                 (`tocsin token key` makes one)"
            );
        }
        let rules = Rules {
            issuers: self.issuer.clone(),
            audiences: self.audience.clone(),
            user_claim: self.user_claim.clone(),
            default_scopes: Scopes::named(self.default_scopes.iter().map(String::as_str)),
            leeway_seconds: self.leeway_seconds,
        };
        Ok(Gate { keys: Keys { fixed, jwks }, rules, channel_urls_need_token: self.channel_urls_need_token })
    }

    fn jwks(&self, url: &Url) -> anyhow::Result<Arc<Jwks>> {
        let is_here = match url.host() {
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            Some(Host::Domain(name)) => name == "localhost",
            None => false,
        };
        if url.scheme() != "https" && !(url.scheme() == "http" && is_here) {
            bail!("--jwt-jwks-url {url}: it must be https://, so that nobody on the way can put in a key");
        }
        if self.issuer.is_empty() || self.audience.is_empty() {
            bail!("--jwt-jwks-url needs --jwt-issuer and --jwt-audience: its keys sign tokens for others too");
        }
        let seconds = |seconds: u64| Duration::from_secs(seconds.max(1));
        let times = Times {
            refresh: seconds(self.jwks_refresh_seconds),
            pause: seconds(self.jwks_pause_seconds),
            keep: seconds(self.jwks_keep_seconds),
        };
        Ok(Arc::new(Jwks::new(url.clone(), times)?))
    }
}
