//! The unguessable part of channelURLs and callbackURLs: 128 bits made from the channel's id with a key of the
//! database, so that every node knows it and none stores it.

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
        #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("any key will do");
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

#[cfg(test)]
mod tests {
    use super::*;

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
