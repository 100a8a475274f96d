//! `tocsin token`: keys, and tokens for development. In production an issuer makes them.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::Utc;
use clap::{Subcommand, ValueEnum};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::json;

use super::help;
use crate::auth::scope::Scopes;

/// Bytes of a secret that is made here.
const SECRET_BYTES: usize = 48;

/// `tocsin token`.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a key: NAME.pem signs tokens, NAME.pub.pem is for --jwt-key-file
    #[command(after_help = help::TOKEN_KEY)]
    Key {
        /// NAME, with or without folders before it
        #[arg(long, value_name = "NAME", default_value = "jwt")]
        out: PathBuf,
        /// What is signed with it
        #[arg(long, value_enum, default_value_t = KeyKind::Es256)]
        algorithm: KeyKind,
    },
    /// Print a secret for --jwt-secret, or for a file that --secret-file names
    #[command(after_help = help::TOKEN_SECRET)]
    Secret,
    /// Print a token
    #[command(after_help = help::TOKEN_ISSUE)]
    Issue(Issue),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum KeyKind {
    Es256,
    #[value(name = "eddsa")]
    EdDsa,
}

/// `tocsin token issue`.
#[derive(Debug, clap::Args)]
pub(super) struct Issue {
    /// The key that `tocsin token key` has made, or another private key in PEM: RSA, P-256 or Ed25519
    #[arg(long, value_name = "FILE", conflicts_with = "secret_file")]
    key: Option<PathBuf>,
    /// File with the secret of --jwt-secret
    #[arg(long, value_name = "FILE", required_unless_present = "key")]
    secret_file: Option<PathBuf>,
    /// Whose token it is
    #[arg(long, value_name = "USER")]
    user: String,
    /// What it is for, separated by commas
    #[arg(long, value_name = "SCOPES", value_delimiter = ',', default_values_t = everyday())]
    scope: Vec<String>,
    /// How long it lasts, as 15m or 2h
    #[arg(long, value_name = "TIME", default_value = "1h")]
    expires: humantime::Duration,
    /// What it says in iss
    #[arg(long, env = "TOCSIN_JWT_ISSUER", value_name = "ISSUER")]
    issuer: Option<String>,
    /// What it says in aud
    #[arg(long, env = "TOCSIN_JWT_AUDIENCE", value_name = "AUDIENCE")]
    audience: Option<String>,
}

/// What a user needs for what is their own.
fn everyday() -> Vec<String> {
    ["oma_rest_notificationchannel.all_v1", "oma_rest_nms.all_v1", "tocsin.inbox", "tocsin.rooms"]
        .map(str::to_owned)
        .into()
}

pub(super) fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Key { out, algorithm } => make_key(&out, algorithm),
        Command::Secret => {
            let secret: [u8; SECRET_BYTES] = rand::random();
            println!("{}", URL_SAFE_NO_PAD.encode(secret));
            Ok(())
        }
        Command::Issue(issue) => {
            println!("{}", issue.token()?);
            Ok(())
        }
    }
}

fn make_key(out: &Path, kind: KeyKind) -> anyhow::Result<()> {
    let chance = SystemRandom::new();
    let (private, public) = match kind {
        KeyKind::Es256 => {
            let private = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &chance)?;
            let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, private.as_ref())?;
            (private.as_ref().to_vec(), AsDer::<PublicKeyX509Der>::as_der(pair.public_key())?.as_ref().to_vec())
        }
        KeyKind::EdDsa => {
            let private = Ed25519KeyPair::generate_pkcs8(&chance)?;
            let pair = Ed25519KeyPair::from_pkcs8(private.as_ref())?;
            (private.as_ref().to_vec(), AsDer::<PublicKeyX509Der>::as_der(pair.public_key())?.as_ref().to_vec())
        }
    };
    let (private_file, public_file) = (with_end(out, ".pem"), with_end(out, ".pub.pem"));
    write_new(&private_file, 0o600, &pem("PRIVATE KEY", private))?;
    write_new(&public_file, 0o644, &pem("PUBLIC KEY", public))?;
    println!("{} signs tokens; {} is for --jwt-key-file", private_file.display(), public_file.display());
    Ok(())
}

fn pem(tag: &str, content: Vec<u8>) -> String {
    pem::encode(&pem::Pem::new(tag, content))
}

fn with_end(name: &Path, end: &str) -> PathBuf {
    let mut name = name.as_os_str().to_owned();
    name.push(end);
    name.into()
}

/// A key that is there is never overwritten.
fn write_new(path: &Path, mode: u32, text: &str) -> anyhow::Result<()> {
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let mut file = file.with_context(|| format!("cannot make {} (--out names another)", path.display()))?;
    file.write_all(text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))
}

impl Issue {
    fn token(&self) -> anyhow::Result<String> {
        if let Some(unknown) = self.scope.iter().find(|name| !Scopes::known().any(|known| known == *name)) {
            bail!("--scope {unknown}: the scopes are {}", Scopes::known().collect::<Vec<_>>().join(", "));
        }
        let (algorithm, key) = self.signer()?;
        let now = Utc::now().timestamp();
        let lasts: Duration = self.expires.into();
        let mut claims = json!({
            "sub": self.user, "scope": self.scope.join(" "), "iat": now,
            "exp": now.saturating_add(i64::try_from(lasts.as_secs())?),
        });
        for (name, value) in [("iss", &self.issuer), ("aud", &self.audience)] {
            if let Some(value) = value {
                claims[name] = json!(value);
            }
        }
        Ok(encode(&Header::new(algorithm), &claims, &key)?)
    }

    fn signer(&self) -> anyhow::Result<(Algorithm, EncodingKey)> {
        let read = |path: &Path| {
            std::fs::read_to_string(path)
                .with_context(|| format!("cannot read {} (`tocsin token key` makes keys)", path.display()))
        };
        if let Some(path) = &self.secret_file {
            return Ok((Algorithm::HS256, EncodingKey::from_secret(read(path)?.trim().as_bytes())));
        }
        let path = self.key.as_deref().context("--key or --secret-file")?;
        let text = read(path)?;
        let bytes = text.as_bytes();
        let found = None
            .or_else(|| EncodingKey::from_ed_pem(bytes).ok().map(|key| (Algorithm::EdDSA, key)))
            .or_else(|| EncodingKey::from_ec_pem(bytes).ok().map(|key| (Algorithm::ES256, key)))
            .or_else(|| EncodingKey::from_rsa_pem(bytes).ok().map(|key| (Algorithm::RS256, key)));
        found.with_context(|| format!("{}: not a private key in PEM: RSA, P-256 or Ed25519", path.display()))
    }
}
