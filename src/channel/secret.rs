//! The unguessable part of channelURLs and callbackURLs: 128 bits made from the channel's id with a key of the
//! database, so that every node knows it and none stores it. Keys follow one another ([`Keys`]): the newest makes URLs,
//! older ones are accepted until they expire.

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use anyhow::{Context, ensure};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::base::ids::ChannelId;

/// What a token is good for. A token for one use is none for another.
#[derive(Debug, Clone, Copy)]
pub enum Use {
    /// The client opens a socket: channelURL of a `WebSockets` channel.
    Channel,
    /// The client polls: channelURL of a `LongPolling` channel.
    Poll,
    /// The client fetches what was too much for a push: a temporary channelURL.
    Large,
    /// An enabler posts notifications: callbackURL.
    Callback,
    /// Webhooks are signed: no URL.
    Webhook,
}

/// The key the tokens are made with.
#[derive(Clone)]
pub struct UrlKey(Vec<u8>);

/// Bytes of the code in a token.
const CODE_BYTES: usize = 16;
/// A secret outside the database has so many bytes at least.
const OUTSIDE_BYTES_MIN: usize = 32;

/// A secret that is not in the database: without it the keys there make no URLs.
#[derive(Clone)]
pub struct OutsideSecret(Vec<u8>);

impl OutsideSecret {
    /// What is in a file, without white space at its end: at least 32 bytes.
    pub fn read(file: &Path) -> anyhow::Result<Self> {
        let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        let secret = bytes.trim_ascii_end();
        ensure!(
            secret.len() >= OUTSIDE_BYTES_MIN,
            "{}: a secret has {OUTSIDE_BYTES_MIN} bytes at least",
            file.display()
        );
        Ok(OutsideSecret(secret.to_owned()))
    }

    /// Tells one from another, and nothing else of it.
    pub fn fingerprint(&self) -> String {
        URL_SAFE_NO_PAD.encode(&self.mixed(b"fingerprint")[..CODE_BYTES])
    }

    /// The key that a key of the database stands for.
    pub fn key(&self, of_database: &[u8]) -> UrlKey {
        UrlKey(self.mixed(&[b"key\0", of_database].concat()).into())
    }

    fn mixed(&self, text: &[u8]) -> [u8; 32] {
        let mut mac = hmac(&self.0);
        mac.update(text);
        mac.finalize().into_bytes().into()
    }
}

/// A key and its time on this node's clock.
#[derive(Clone)]
pub struct Key {
    /// What it makes.
    pub key: UrlKey,
    /// Makes URLs from then on, unless there is a newer one that does.
    pub signs_from: Instant,
    /// Is not accepted from then on.
    pub expires: Option<Instant>,
}

/// All keys that are accepted. Clones share them.
#[derive(Clone)]
pub struct Keys(Arc<RwLock<Arc<Ring>>>);

struct Ring {
    newest: Key,
    /// The newer ones first.
    older: Vec<Key>,
}

impl Ring {
    fn all(&self) -> impl Iterator<Item = &Key> {
        std::iter::once(&self.newest).chain(&self.older)
    }

    fn accepted(&self) -> impl Iterator<Item = &UrlKey> {
        let now = Instant::now();
        self.all().filter(move |key| key.expires.is_none_or(|expires| expires > now)).map(|key| &key.key)
    }

    fn signing(&self) -> &UrlKey {
        let now = Instant::now();
        &self.all().find(|key| key.signs_from <= now).unwrap_or(&self.newest).key
    }
}

impl Keys {
    /// The newest key, and older ones, the newer ones first.
    pub fn new(newest: Key, older: Vec<Key>) -> Self {
        Keys(Arc::new(RwLock::new(Arc::new(Ring { newest, older }))))
    }

    /// From now on these.
    pub fn replace(&self, newest: Key, older: Vec<Key>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(Ring { newest, older });
    }

    fn ring(&self) -> Arc<Ring> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// By the key in use: see [`UrlKey::token`].
    pub fn token(&self, purpose: Use, channel: &ChannelId) -> String {
        self.ring().signing().token(purpose, channel)
    }

    /// By any that is accepted: see [`UrlKey::open`].
    pub fn open(&self, purpose: Use, token: &str) -> Option<ChannelId> {
        self.ring().accepted().find_map(|key| key.open(purpose, token))
    }

    /// By the key in use: see [`UrlKey::serial_token`].
    pub fn serial_token(&self, purpose: Use, channel: &ChannelId, serial: &str) -> String {
        self.ring().signing().serial_token(purpose, channel, serial)
    }

    /// By any that is accepted: see [`UrlKey::open_serial`].
    pub fn open_serial<'a>(&self, purpose: Use, token: &'a str) -> Option<(ChannelId, &'a str)> {
        self.ring().accepted().find_map(|key| key.open_serial(purpose, token))
    }

    /// What webhooks of a channel are signed with by the key in use: 256 bits.
    pub fn secret(&self, channel: &ChannelId) -> [u8; 32] {
        self.ring().signing().secret(channel)
    }

    /// The same by all that are accepted, the newest first.
    pub fn secrets(&self, channel: &ChannelId) -> Vec<[u8; 32]> {
        self.ring().accepted().map(|key| key.secret(channel)).collect()
    }
}

/// One key for ever.
impl From<UrlKey> for Keys {
    fn from(key: UrlKey) -> Self {
        Keys::new(Key { key, signs_from: Instant::now(), expires: None }, Vec::new())
    }
}

impl UrlKey {
    /// A key from the database.
    pub fn new(key: Vec<u8>) -> Self {
        UrlKey(key)
    }

    /// `{channelId}.{code}`.
    pub fn token(&self, purpose: Use, channel: &ChannelId) -> String {
        self.signed(purpose, channel.as_str())
    }

    /// The channel a token is for, if it is genuine. Compared in constant time.
    pub fn open(&self, purpose: Use, token: &str) -> Option<ChannelId> {
        self.verified(purpose, token).map(ChannelId::from_text)
    }

    /// `{channelId}.{serial}.{code}`: of several URLs of a channel, one after the other.
    pub fn serial_token(&self, purpose: Use, channel: &ChannelId, serial: &str) -> String {
        self.signed(purpose, &format!("{channel}.{serial}"))
    }

    /// The channel and the serial a token is for, if it is genuine.
    pub fn open_serial<'a>(&self, purpose: Use, token: &'a str) -> Option<(ChannelId, &'a str)> {
        let (channel, serial) = self.verified(purpose, token)?.split_once('.')?;
        Some((ChannelId::from_text(channel), serial))
    }

    fn signed(&self, purpose: Use, subject: &str) -> String {
        let code = self.mac(purpose, subject).finalize().into_bytes();
        format!("{subject}.{}", URL_SAFE_NO_PAD.encode(&code[..CODE_BYTES]))
    }

    fn verified<'a>(&self, purpose: Use, token: &'a str) -> Option<&'a str> {
        let (subject, code) = token.rsplit_once('.')?;
        let code = URL_SAFE_NO_PAD.decode(code).ok().filter(|code| code.len() == CODE_BYTES)?;
        self.mac(purpose, subject).verify_truncated_left(&code).ok()?;
        Some(subject)
    }

    /// What webhooks of a channel are signed with: 256 bits.
    pub fn secret(&self, channel: &ChannelId) -> [u8; 32] {
        self.mac(Use::Webhook, channel.as_str()).finalize().into_bytes().into()
    }

    fn mac(&self, purpose: Use, subject: &str) -> Hmac<Sha256> {
        let mut mac = hmac(&self.0);
        mac.update(match purpose {
            Use::Channel => b"channelURL\0".as_slice(),
            Use::Poll => b"pollURL\0",
            Use::Large => b"largeURL\0",
            Use::Callback => b"callbackURL\0",
            Use::Webhook => b"webhook\0",
        });
        mac.update(subject.as_bytes());
        mac
    }
}

#[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
fn hmac(key: &[u8]) -> Hmac<Sha256> {
    Hmac::<Sha256>::new_from_slice(key).expect("any key will do")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn key(byte: u8, signs_in: u64, expires_in: Option<u64>) -> Key {
        let after = |seconds| Instant::now() + Duration::from_secs(seconds);
        Key { key: UrlKey::new(vec![byte; 48]), signs_from: after(signs_in), expires: expires_in.map(after) }
    }

    #[test]
    fn a_new_key_is_accepted_before_it_makes_urls_and_an_old_one_until_it_expires() {
        let channel = ChannelId::random();
        let [old, new] = [7, 8].map(|byte| UrlKey::new(vec![byte; 48]).token(Use::Channel, &channel));
        let keys = Keys::new(key(7, 0, None), Vec::new());
        assert_eq!((keys.token(Use::Channel, &channel), keys.open(Use::Channel, &new)), (old.clone(), None));
        keys.replace(key(8, 60, None), vec![key(7, 0, Some(120))]);
        assert_eq!(keys.token(Use::Channel, &channel), old);
        keys.clone().replace(key(8, 0, None), vec![key(7, 0, Some(120))]);
        assert_eq!(keys.token(Use::Channel, &channel), new);
        for token in [&old, &new] {
            assert_eq!(keys.open(Use::Channel, token), Some(channel.clone()));
        }
        assert_eq!(keys.secrets(&channel).len(), 2);
        assert_eq!(keys.secrets(&channel)[0], keys.secret(&channel));
        keys.replace(key(8, 0, None), vec![key(7, 0, Some(0))]);
        assert_eq!((keys.open(Use::Channel, &old), keys.secrets(&channel).len()), (None, 1));
    }

    #[test]
    fn a_secret_outside_makes_another_key_and_does_not_show_itself() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let written = |text: &str| {
            std::fs::write(file.path(), text).unwrap();
            OutsideSecret::read(file.path())
        };
        assert!(written(&"x".repeat(31)).is_err() && written(&format!("{}\n  \n", "x".repeat(31))).is_err());
        let (a, b) = (written(&"a".repeat(32)).unwrap(), written(&format!("{}\n", "a".repeat(32))).unwrap());
        let other = written(&"b".repeat(32)).unwrap();
        let (channel, key) = (ChannelId::random(), vec![7; 48]);
        let token = |key: UrlKey| key.token(Use::Channel, &channel);
        assert_eq!((a.fingerprint(), token(a.key(&key))), (b.fingerprint(), token(b.key(&key))));
        assert_ne!(a.fingerprint(), other.fingerprint());
        assert_ne!(token(a.key(&key)), token(other.key(&key)));
        assert_ne!(token(a.key(&key)), token(UrlKey::new(key)));
    }

    #[test]
    fn a_token_opens_for_its_use_its_channel_and_its_key_only() {
        let key = UrlKey::new(vec![7; 48]);
        let channel = ChannelId::random();
        let token = key.token(Use::Channel, &channel);
        assert_eq!(key.open(Use::Channel, &token), Some(channel.clone()));
        assert_eq!(key.open(Use::Callback, &token), None);
        assert_eq!(key.open(Use::Poll, &token), None);
        assert_eq!(UrlKey::new(vec![8; 48]).open(Use::Channel, &token), None);
        let (_, code) = token.rsplit_once('.').unwrap();
        assert_eq!(key.open(Use::Channel, &format!("{}.{code}", ChannelId::random())), None);
        for bad in ["", ".", "x", &token[..token.len() - 1], &format!("{channel}.")] {
            assert_eq!(key.open(Use::Channel, bad), None, "{bad}");
        }
    }
}
