//! The URLs we emit, all absolute, and the one kind we recognise.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::auth::token::ACR_AUTH;
use crate::base::ids::{BoxName, ChannelId, SubscriptionId, UserId};
use crate::channel::secret::{Keys, Use};

/// Everything but the unreserved characters of RFC 3986.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The id of the root folder in URLs. In the log it is 0.
pub const ROOT_FOLDER: &str = "root";

/// One path segment, percent-encoded.
pub fn segment(text: &str) -> impl std::fmt::Display + '_ {
    utf8_percent_encode(text, SEGMENT)
}

/// Makes URLs below the public URL.
#[derive(Clone)]
pub struct Urls {
    root: String,
    keys: Keys,
    /// The user for whom `acr:auth` stands.
    acr_auth: Option<UserId>,
}

impl Urls {
    /// `root`: scheme, host and base path, without a trailing slash.
    pub fn new(root: String, keys: impl Into<Keys>) -> Self {
        Urls { root, keys: keys.into(), acr_auth: None }
    }

    /// The same, with `acr:auth` in place of this user (spec/common 12): for answers to one who asked so.
    pub fn with_acr_auth(&self, user: &UserId) -> Self {
        Urls { acr_auth: Some(user.clone()), ..self.clone() }
    }

    /// The id of a user or a box as a path segment.
    fn owner<'a>(&self, id: &'a str) -> impl std::fmt::Display + 'a {
        let meant = self.acr_auth.as_ref().is_some_and(|user| user.as_str() == id);
        segment(if meant { ACR_AUTH } else { id })
    }

    /// A path below the root, as it stood in a request.
    pub fn absolute(&self, path: &str) -> String {
        format!("{}{path}", self.root)
    }

    /// The path of a room.
    pub fn room_path(&self, room: &str) -> String {
        format!("/api/rooms/{}", segment(room))
    }

    /// The channels of a user.
    pub fn channels(&self, user: &UserId) -> String {
        format!("{}/notificationchannel/v1/{}/channels", self.root, self.owner(user.as_str()))
    }

    /// One channel.
    pub fn channel(&self, user: &UserId, id: &ChannelId) -> String {
        format!("{}/{}", self.channels(user), segment(id.as_str()))
    }

    /// Where the client opens its WebSocket: `ws:` or `wss:` as the root is `http:` or `https:`.
    pub fn socket(&self, id: &ChannelId) -> String {
        let root = self.root.strip_prefix("http").unwrap_or(&self.root);
        format!("ws{root}/ws/{}", self.keys.token(Use::Channel, id))
    }

    /// Where the client polls.
    pub fn poll(&self, id: &ChannelId) -> String {
        format!("{}/poll/{}", self.root, self.keys.token(Use::Poll, id))
    }

    /// What a client checks webhooks of a channel with, as Standard Webhooks write it.
    pub fn webhook_secret(&self, id: &ChannelId) -> String {
        as_secret(self.keys.secret(id))
    }

    /// What they are signed with: the client may not have fetched the newest yet, which comes first.
    pub fn webhook_secrets(&self, id: &ChannelId) -> Vec<String> {
        self.keys.secrets(id).into_iter().map(as_secret).collect()
    }

    /// Where the client fetches what was too much for a push, for a while.
    pub fn large_poll(&self, id: &ChannelId, serial: &str) -> String {
        format!("{}/large/{}", self.root, self.keys.serial_token(Use::Large, id, serial))
    }

    /// The channel and the serial of such a URL.
    pub fn channel_of_large_poll<'a>(&self, token: &'a str) -> Option<(ChannelId, &'a str)> {
        self.keys.open_serial(Use::Large, token)
    }

    /// Where enablers post notifications for the channel.
    pub fn callback(&self, id: &ChannelId) -> String {
        format!("{}/callback/{}", self.root, self.keys.token(Use::Callback, id))
    }

    /// The channel whose socket this token opens.
    pub fn channel_of_socket(&self, token: &str) -> Option<ChannelId> {
        self.keys.open(Use::Channel, token)
    }

    /// The channel that this token polls.
    pub fn channel_of_poll(&self, token: &str) -> Option<ChannelId> {
        self.keys.open(Use::Poll, token)
    }

    /// The channel a notifyURL leads to, if it is one of our callbackURLs: whatever host name it was made with, its
    /// token proves it.
    pub fn channel_of_callback(&self, notify_url: &str) -> Option<ChannelId> {
        let url = url::Url::parse(notify_url).ok()?;
        let (_, token) = url.path().rsplit_once("/callback/")?;
        self.channel_of_callback_token(token)
    }

    /// Whether a URL leads to this server itself.
    pub fn is_own(&self, url: &str) -> bool {
        url.strip_prefix(&self.root).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?', '#']))
    }

    /// The channel that this token posts to.
    pub fn channel_of_callback_token(&self, token: &str) -> Option<ChannelId> {
        self.keys.open(Use::Callback, token)
    }

    /// A box.
    pub fn store_box(&self, of: &BoxName) -> String {
        format!("{}/nms/v1/{}/{}", self.root, segment(of.store()), self.owner(of.box_id()))
    }

    /// The subscriptions of a box.
    pub fn subscriptions(&self, of: &BoxName) -> String {
        format!("{}/subscriptions", self.store_box(of))
    }

    /// One subscription.
    pub fn subscription(&self, of: &BoxName, id: &SubscriptionId) -> String {
        format!("{}/{}", self.subscriptions(of), segment(id.as_str()))
    }

    /// An object.
    pub fn object(&self, of: &BoxName, id: i64) -> String {
        format!("{}/objects/{id}", self.store_box(of))
    }

    /// The flags of an object.
    pub fn flags(&self, of: &BoxName, object: i64) -> String {
        format!("{}/flags", self.object(of, object))
    }

    /// One flag of an object.
    pub fn flag(&self, of: &BoxName, object: &str, flag: &str) -> String {
        format!("{}/objects/{}/flags/{}", self.store_box(of), segment(object), segment(flag))
    }

    /// The payload of an object.
    pub fn payload(&self, of: &BoxName, id: i64) -> String {
        format!("{}/payload", self.object(of, id))
    }

    /// A part of it; `p1` is the first.
    pub fn payload_part(&self, of: &BoxName, id: i64, number: usize) -> String {
        format!("{}/payloadParts/p{number}", self.object(of, id))
    }

    /// A folder; 0 is the root.
    pub fn folder(&self, of: &BoxName, id: i64) -> String {
        match id {
            0 => format!("{}/folders/{ROOT_FOLDER}", self.store_box(of)),
            id => format!("{}/folders/{id}", self.store_box(of)),
        }
    }

    /// The rows of a watched table.
    pub fn table(&self, name: &str) -> String {
        format!("{}/api/tables/{}", self.root, segment(name))
    }

    /// The next rows, after the one of this key.
    pub fn table_after(&self, name: &str, limit: usize, key: &str) -> String {
        format!("{}?limit={limit}&after={}", self.table(name), segment(key))
    }
}

fn as_secret(bytes: [u8; 32]) -> String {
    format!("whsec_{}", STANDARD.encode(bytes))
}

impl Urls {
    /// What follows `{box}/{collection}/` in the path of a URL, whatever its scheme, host and base path, and however it
    /// encodes the box or says `acr:auth`: clients keep URLs while the public URL changes, and write what need not be encoded plainly.
    pub fn id_in<'a>(of: &BoxName, collection: &str, url: &'a str) -> Option<&'a str> {
        let path = url.split(['?', '#']).next()?;
        let mut segments = path.rsplit('/');
        let id = segments.next()?;
        let decoded = |segment: &str| percent_decode_str(segment).decode_utf8().ok().map(|text| text.into_owned());
        (segments.next()? == collection
            && [of.box_id(), ACR_AUTH].contains(&decoded(segments.next()?)?.as_str())
            && decoded(segments.next()?)? == of.store()
            && segments.next()? == "v1"
            && segments.next()? == "nms")
            .then_some(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::secret::UrlKey;

    #[test]
    fn urls_are_encoded_and_callbacks_recognised_under_any_host() {
        let urls = Urls::new("https://a.example/base".into(), UrlKey::new(vec![1; 32]));
        let of = BoxName::parse("default", "tel:+1 ü").unwrap();
        assert_eq!(urls.object(&of, 7), "https://a.example/base/nms/v1/default/tel%3A%2B1%20%C3%BC/objects/7");
        let id = ChannelId::random();
        assert!(urls.socket(&id).starts_with("wss://a.example/base/ws/"));
        let callback = urls.callback(&id).replace("https://a.example/base", "http://10.0.0.1:99");
        assert_eq!(urls.channel_of_callback(&callback), Some(id));
        assert_eq!(urls.channel_of_callback("https://elsewhere.example/callback/x.y"), None);
    }

    #[test]
    fn an_id_is_found_in_the_urls_of_its_box_only() {
        let of = BoxName::parse("default", "tel:+1").unwrap();
        let id = |url| Urls::id_in(&of, "objects", url);
        for url in [
            "https://a.example/base/nms/v1/default/tel%3A%2B1/objects/7",
            "http://b.example/nms/v1/default/tel:+1/objects/7?x=/y",
            "/nms/v1/default/tel%3a+1/objects/7",
        ] {
            assert_eq!(id(url), Some("7"), "{url}");
        }
        for url in [
            "",
            "7",
            "/nms/v1/default/tel:+2/objects/7",
            "/nms/v1/other/tel:+1/objects/7",
            "/nms/v1/default/tel:+1/folders/7",
            "/nms/v1/default/tel:+1/objects/7/flags",
            "/nms/v2/default/tel:+1/objects/7",
        ] {
            assert_eq!(id(url), None, "{url}");
        }
    }
}
