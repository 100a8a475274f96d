//! A subscription: which events of a box a client wants, and where it stands in them.

pub mod explain;
pub mod history;
pub mod rows;

use chrono::{DateTime, Utc};

use crate::base::Format;
use crate::base::ids::{BoxName, ChannelId, SubscriptionId, UserId};
use crate::channel::cursor::Cursor;
use crate::filter::Filter;

/// Where a client wants its notifications.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// On a channel of this server.
    Channel(ChannelId),
    /// At a URL of its own.
    NotifyUrl(String),
}

/// Who makes a subscription.
#[derive(Debug, Clone)]
pub struct Subscriber {
    /// Who.
    pub user: UserId,
    /// By the right to everything: it ends with no grant.
    pub privileged: bool,
}

/// A subscription as it is stored.
#[derive(Debug, Clone)]
pub struct Subscription {
    /// Its id.
    pub id: SubscriptionId,
    /// Which box.
    pub of: BoxName,
    /// The channel it delivers to.
    pub channel: ChannelId,
    /// The URL of its client, when it delivers there and the channel is its own.
    pub notify_url: Option<String>,
    /// Echoed in every list.
    pub callback_data: Option<String>,
    /// Format of the lists.
    pub format: Format,
    /// What is wanted; `None`: everything.
    pub filter: Option<Filter>,
    /// Its events carry the attributes of their objects.
    pub attributes: bool,
    /// Echoed to the client.
    pub client_correlator: Option<String>,
    /// Who made it; `None` when callers were not told apart: then it is the box's owner's.
    pub subscriber: Option<UserId>,
    /// When it ends, by the database's clock.
    pub expires_at: DateTime<Utc>,
    /// Seconds until then.
    pub remaining_seconds: u32,
    /// Confirmed delivery.
    pub cursor: Cursor,
}

impl Subscription {
    /// Whether it is this user's. Its notifyURL is a secret of who made it: to others it is not there.
    pub fn is_of(&self, user: &UserId) -> bool {
        self.subscriber.as_ref().map_or(self.of.box_id(), UserId::as_str) == user.as_str()
    }
}

/// Where a restartToken leads: the answer to "everything after this moment in this box".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    /// Deliver what comes after this seq.
    pub after_seq: i64,
    /// Its moment.
    pub at: DateTime<Utc>,
    /// Begin with a resetBox: what the token asks for is not to be had exactly.
    pub reset: bool,
}

/// What the box looks like when a token comes in.
#[derive(Debug, Clone, Copy)]
pub struct BoxHead {
    /// Seq of the newest event; 0 when there is none.
    pub seq: i64,
    /// Its moment.
    pub at: Option<DateTime<Utc>>,
    /// The moment up to which events are no longer kept.
    pub base_at: Option<DateTime<Utc>>,
    /// The database's clock.
    pub now: DateTime<Utc>,
}

/// What to do about a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenRule {
    /// Look up the seq at its moment and start there.
    Seek,
    /// Begin with a resetBox and go on from the head: the token is older than what is kept, or newer than the box's
    /// newest event, so the client has seen something that this log no longer knows (or never knew).
    Reset,
    /// A moment that has not come: as unparseable (SVC0002).
    Refuse,
}

impl BoxHead {
    /// The rule for a token.
    pub fn rule(&self, token: DateTime<Utc>) -> TokenRule {
        if self.base_at.is_some_and(|base| token < base) {
            return TokenRule::Reset;
        }
        match self.at {
            Some(head) if token <= head => TokenRule::Seek,
            _ if token <= self.now => TokenRule::Reset,
            _ => TokenRule::Refuse,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    #[test]
    fn what_a_token_leads_to() {
        let at = |s| DateTime::UNIX_EPOCH + TimeDelta::seconds(s);
        let kept = BoxHead { seq: 9, at: Some(at(50)), base_at: Some(at(10)), now: at(60) };
        assert_eq!(kept.rule(at(9)), TokenRule::Reset, "older than what is kept");
        assert_eq!(kept.rule(at(10)), TokenRule::Seek);
        assert_eq!(kept.rule(at(50)), TokenRule::Seek, "the head itself: nothing follows");
        assert_eq!(kept.rule(at(51)), TokenRule::Reset, "history was lost");
        assert_eq!(kept.rule(at(61)), TokenRule::Refuse, "not yet");
        let ahead = BoxHead { now: at(40), ..kept };
        assert_eq!(ahead.rule(at(45)), TokenRule::Seek, "the clock stepped back; the box did not");
        let empty = BoxHead { seq: 0, at: None, base_at: None, now: at(60) };
        assert_eq!(empty.rule(at(1)), TokenRule::Reset);
    }
}
