//! Identifiers, parsed at the edge: inside, a wrong one has no type.

use std::fmt;
use std::sync::Arc;

use super::{Error, Result};

/// Longest accepted id, in characters (the log's own limit, see `tocsin.check_stream_name`).
pub const ID_CHARS_MAX: usize = 255;

/// An id that came in a URL: not empty, no slash, no control character, at most [`ID_CHARS_MAX`] characters.
pub fn check_id(part: &str, id: &str) -> Result<()> {
    let fine = !id.is_empty() && id.chars().count() <= ID_CHARS_MAX && !id.chars().any(|c| c == '/' || c.is_control());
    if fine { Ok(()) } else { Err(Error::invalid(part)) }
}

/// The user of a channel: `{userId}` of the Notification Channel API.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UserId(String);

impl UserId {
    /// Accepts a decoded path segment; [`Error::Invalid`] names `userId`.
    pub fn parse(id: &str) -> Result<Self> {
        check_id("userId", id)?;
        Ok(UserId(id.to_owned()))
    }

    /// One that comes from the log.
    pub fn from_log(id: &str) -> Self {
        UserId(id.to_owned())
    }

    /// The owner of the channels that subscriptions of a box bring with them. The slash in it is in no user's id: so
    /// nobody can list or name such a channel.
    pub fn of_box(of: &BoxName) -> Self {
        UserId(of.stream().as_str().to_owned())
    }

    /// The decoded id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The store of a box that is named without one.
pub const DEFAULT_STORE: &str = "default";

/// `store/boxId` for a box as people name it: without a slash it is in [`DEFAULT_STORE`].
pub fn with_store(name: &str) -> String {
    if name.contains('/') { name.to_owned() } else { format!("{DEFAULT_STORE}/{name}") }
}

/// A box: `{storeName}/{boxId}` of the NMS API. It is a stream of the log.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BoxName {
    stream: Stream,
    slash: usize,
}

impl BoxName {
    /// Accepts decoded path segments; [`Error::Invalid`] names `storeName` or `boxId`.
    pub fn parse(store: &str, box_id: &str) -> Result<Self> {
        check_id("storeName", store)?;
        check_id("boxId", box_id)?;
        if store.starts_with('$') {
            return Err(Error::invalid("storeName")); // such streams are not boxes
        }
        Ok(BoxName { stream: Stream(format!("{store}/{box_id}").into()), slash: store.len() })
    }

    /// The box that a stream is, if it is one.
    pub fn of(stream: &Stream) -> Option<Self> {
        let slash = stream.0.find('/')?;
        (!stream.0.starts_with('$')).then(|| BoxName { stream: stream.clone(), slash })
    }

    /// The stream of the log that the box is.
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// `{storeName}`.
    pub fn store(&self) -> &str {
        &self.stream.0[..self.slash]
    }

    /// `{boxId}`.
    pub fn box_id(&self) -> &str {
        &self.stream.0[self.slash + 1..]
    }
}

/// The name of a stream of the log: `store/boxId`, or `$aggregate/id` for those that are not boxes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Stream(Arc<str>);

impl Stream {
    /// A name that comes from the log.
    pub fn from_log(name: &str) -> Self {
        Stream(name.into())
    }

    /// The stream of a channel's own events.
    pub fn of_channel(channel: &ChannelId) -> Self {
        Stream(format!("$channel/{channel}").into())
    }

    /// The stream of a user's notifications.
    pub fn of_inbox(user: &UserId) -> Self {
        Stream(format!("{INBOX}{}", user.as_str()).into())
    }

    /// Whose notifications they are, if it is such a stream.
    pub fn inbox_of(&self) -> Option<&str> {
        self.0.strip_prefix(INBOX)
    }

    /// The stream of a room's messages.
    pub fn of_room(room: &str) -> Self {
        Stream(format!("$room/{room}").into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What the names of inboxes begin with.
const INBOX: &str = "$inbox/";

macro_rules! opaque_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// A new one: 32 hexadecimal digits that rise with time.
            pub fn random() -> Self {
                $name(uuid::Uuid::now_v7().simple().to_string().into())
            }

            /// One from a URL or from the log. Any text may stand for an id that does not exist.
            pub fn from_text(text: &str) -> Self {
                $name(text.into())
            }

            /// The id as it stands in URLs.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

opaque_id! {
    /// `{channelId}`. Not a secret: the channelURL and the callbackURL carry one beside it.
    ChannelId
}
opaque_id! {
    /// `{subscriptionId}`.
    SubscriptionId
}

/// A node, while it runs: what its leases and its connections to the database are called by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeId(String);

impl NodeId {
    /// A new one: 12 hexadecimal digits by chance.
    pub fn random() -> Self {
        NodeId(uuid::Uuid::new_v4().simple().to_string()[..12].to_owned())
    }

    /// The id as it is stored.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a channel delivers from; each is delivered in the order of its stream, and has a cursor of its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SourceId {
    /// One of the channel's subscriptions.
    Subscription(SubscriptionId),
    /// What enablers post to the channel's own callbackURL.
    Callbacks(ChannelId),
    /// The stream that a socket without a channel listens to. Its cursor is its client's: it is not stored.
    Listener,
}

impl SourceId {
    /// The id under which its cursor is stored.
    pub fn as_str(&self) -> &str {
        match self {
            SourceId::Subscription(id) => id.as_str(),
            SourceId::Callbacks(id) => id.as_str(),
            SourceId::Listener => "",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_is_a_stream_and_back() {
        let name = BoxName::parse("default", "tel:+19585550100").unwrap();
        assert_eq!(name.stream().as_str(), "default/tel:+19585550100");
        let back = BoxName::of(name.stream()).unwrap();
        assert_eq!((back.store(), back.box_id()), ("default", "tel:+19585550100"));
        assert_eq!(BoxName::of(&Stream::of_channel(&ChannelId::random())), None);
    }

    #[test]
    fn ids_that_would_break_urls_or_the_log_are_refused() {
        for bad in ["", "a/b", "a\0b", "a\nb", &"x".repeat(256)] {
            assert!(UserId::parse(bad).is_err(), "{bad:?}");
            assert!(BoxName::parse("default", bad).is_err(), "{bad:?}");
            assert!(BoxName::parse(bad, "box").is_err(), "{bad:?}");
        }
        assert!(BoxName::parse("$channel", "x").is_err());
        assert!(UserId::parse(&"é".repeat(255)).is_ok());
    }
}
