//! The keys that tokens are verified with, each with the algorithms it may be used with. That is what an attacker must
//! not choose: a public key is never a secret for HMAC, and `none` is no algorithm.

use anyhow::{Context, bail};
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};

/// Keys of one set that are looked at; a set with more is not one of signing keys.
const KEYS_MAX: usize = 100;
/// Shortest secret, in bytes: as long as the code that it makes (RFC 7518, 3.2).
const SECRET_BYTES_MIN: usize = 32;

const RSA: &[Algorithm] =
    &[Algorithm::RS256, Algorithm::RS384, Algorithm::RS512, Algorithm::PS256, Algorithm::PS384, Algorithm::PS512];
const P256: &[Algorithm] = &[Algorithm::ES256];
const P384: &[Algorithm] = &[Algorithm::ES384];
const ED25519: &[Algorithm] = &[Algorithm::EdDSA];
const HMAC: &[Algorithm] = &[Algorithm::HS256];

/// Length of a public key on P-256 and on P-384, uncompressed, in bytes.
const POINT_BYTES: [usize; 2] = [65, 97];

/// A key, and what it verifies.
#[derive(Debug, Clone)]
pub struct Key {
    id: Option<String>,
    algorithms: Vec<Algorithm>,
    /// The key itself; its Debug shows nothing.
    pub key: DecodingKey,
}

/// Keys from one place.
#[derive(Debug, Clone, Default)]
pub struct KeySet(Vec<Key>);

impl KeySet {
    /// A shared secret, for HS256.
    pub fn from_secret(secret: &[u8]) -> anyhow::Result<Self> {
        if secret.len() < SECRET_BYTES_MIN {
            bail!("a secret of less than {SECRET_BYTES_MIN} bytes can be guessed");
        }
        Ok(KeySet(vec![Key { id: None, algorithms: HMAC.to_vec(), key: DecodingKey::from_secret(secret) }]))
    }

    /// The public keys of a PEM file, one or more, RSA, P-256, P-384 or Ed25519.
    pub fn from_pem(text: &str) -> anyhow::Result<Self> {
        const BEGIN: &str = "-----BEGIN ";
        let blocks =
            text.split_inclusive(BEGIN).skip(1).map(|block| format!("{BEGIN}{}", block.trim_end_matches(BEGIN)));
        let keys: Vec<Key> = blocks.map(|block| from_pem_block(&block)).collect::<anyhow::Result<_>>()?;
        if keys.is_empty() {
            bail!("there is no key in PEM");
        }
        Ok(KeySet(keys))
    }

    /// A JSON Web Key Set (RFC 7517). Keys that are not for verifying signatures of ours are passed over.
    pub fn from_jwks(json: &[u8]) -> anyhow::Result<Self> {
        // One key that cannot be read must not make the others useless.
        let set: serde_json::Value = serde_json::from_slice(json).context("not JSON")?;
        let keys = set["keys"].as_array().context("no member keys")?;
        let usable = keys.iter().take(KEYS_MAX).filter_map(|key| from_jwk(&serde_json::from_value(key.clone()).ok()?));
        Ok(KeySet(usable.collect()))
    }

    /// Those of both.
    pub fn and(&self, other: &KeySet) -> KeySet {
        KeySet(self.0.iter().chain(&other.0).cloned().collect())
    }

    /// Nothing can be verified.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The keys that may have signed a token whose header says this. A key without an id may have signed any.
    pub fn candidates<'a>(&'a self, id: Option<&'a str>, algorithm: Algorithm) -> impl Iterator<Item = &'a Key> {
        let is_named = move |key: &&Key| id.is_none() || key.id.is_none() || key.id.as_deref() == id;
        self.0.iter().filter(is_named).filter(move |key| key.algorithms.contains(&algorithm))
    }
}

fn from_pem_block(block: &str) -> anyhow::Result<Key> {
    let bytes = block.as_bytes();
    if block.contains("PRIVATE KEY") {
        bail!("a private key: tokens are verified with its public key");
    }
    let found = None
        .or_else(|| DecodingKey::from_ed_pem(bytes).ok().map(|key| (ED25519, key)))
        .or_else(|| DecodingKey::from_ec_pem(bytes).ok().and_then(|key| Some((curve(&key)?, key))))
        .or_else(|| DecodingKey::from_rsa_pem(bytes).ok().map(|key| (RSA, key)));
    let (algorithms, key) = found.context("not a public key that is RSA, P-256, P-384 or Ed25519")?;
    Ok(Key { id: None, algorithms: algorithms.to_vec(), key })
}

fn curve(key: &DecodingKey) -> Option<&'static [Algorithm]> {
    let length = key.try_get_as_bytes().ok()?.len();
    let of = POINT_BYTES.iter().position(|of| *of == length)?;
    Some([P256, P384][of])
}

fn from_jwk(jwk: &Jwk) -> Option<Key> {
    let common = &jwk.common;
    let verifies = common.public_key_use.as_ref().is_none_or(|usage| *usage == PublicKeyUse::Signature)
        && common.key_operations.as_ref().is_none_or(|operations| operations.contains(&KeyOperations::Verify));
    let fit = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => RSA,
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => P256,
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P384 => P384,
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => ED25519,
        // A secret has no place in a public set, and what we do not know verifies nothing.
        _ => return None,
    };
    let said = common.key_algorithm.map(|algorithm| algorithm.to_string());
    let algorithms: Vec<Algorithm> =
        fit.iter().copied().filter(|one| said.as_ref().is_none_or(|said| *said == format!("{one:?}"))).collect();
    if !verifies || algorithms.is_empty() {
        return None;
    }
    Some(Key { id: common.key_id.clone(), algorithms, key: DecodingKey::from_jwk(jwk).ok()? })
}
