//! What a token may be used for: the scopes of the OMA specifications (spec/notification-channel 10.1, spec/nms 2.6), and
//! those of tocsin's own resources. None is for one-time tokens.

/// A set of scopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scopes(u16);

/// Every scope by its name; those that stand for several last.
const NAMES: &[(&str, Scopes)] = &[
    ("oma_rest_notificationchannel.longpoll", Scopes::LONG_POLL),
    ("oma_rest_notificationchannel.omapush", Scopes::OMA_PUSH),
    ("oma_rest_notificationchannel.websockets", Scopes::WEB_SOCKETS),
    ("oma_rest_notificationchannel.all_v1", Scopes::CHANNELS),
    ("oma_rest_nms.create", Scopes::NMS_CREATE),
    ("oma_rest_nms.read", Scopes::NMS_READ),
    ("oma_rest_nms.modify", Scopes::NMS_MODIFY),
    ("oma_rest_nms.subscription", Scopes::NMS_SUBSCRIPTION),
    ("oma_rest_nms.all_v1", Scopes::NMS),
    ("tocsin.inbox", Scopes::INBOX),
    ("tocsin.rooms", Scopes::ROOMS),
    ("tocsin.publish", Scopes::PUBLISH),
    ("tocsin.tables", Scopes::TABLES),
    ("tocsin.grant", Scopes::GRANT),
    ("tocsin.metrics", Scopes::METRICS),
    ("tocsin.operator", Scopes::OPERATOR),
    ("tocsin.admin", Scopes::ADMIN),
];

impl Scopes {
    /// Nothing.
    pub const NONE: Scopes = Scopes(0);
    /// Channels of the type `LongPolling`, and their notification lists.
    pub const LONG_POLL: Scopes = Scopes(1);
    /// Channels of the type `OMAPush`.
    pub const OMA_PUSH: Scopes = Scopes(1 << 1);
    /// Channels of the type `WebSockets`.
    pub const WEB_SOCKETS: Scopes = Scopes(1 << 2);
    /// What only `all_v1` of the Notification Channel API allows: types that have no scope of their own.
    pub const CHANNELS_ALL: Scopes = Scopes(1 << 3);
    /// Everything of the Notification Channel API.
    pub const CHANNELS: Scopes = Scopes(0b1111);
    /// Creating objects.
    pub const NMS_CREATE: Scopes = Scopes(1 << 4);
    /// Reading and searching.
    pub const NMS_READ: Scopes = Scopes(1 << 5);
    /// Changing and deleting objects and folders.
    pub const NMS_MODIFY: Scopes = Scopes(1 << 6);
    /// Subscriptions.
    pub const NMS_SUBSCRIPTION: Scopes = Scopes(1 << 7);
    /// Everything of the NMS API.
    pub const NMS: Scopes = Scopes(0b1111 << 4);
    /// The user's own notifications, and how they are delivered.
    pub const INBOX: Scopes = Scopes(1 << 8);
    /// Listening to rooms, and publishing there.
    pub const ROOMS: Scopes = Scopes(1 << 9);
    /// Telling any user of an event; types of events and groups. For the application itself.
    pub const PUBLISH: Scopes = Scopes(1 << 10);
    /// Rows of watched tables.
    pub const TABLES: Scopes = Scopes(1 << 11);
    /// Letting others reach what is the user's own.
    pub const GRANT: Scopes = Scopes(1 << 12);
    /// What is measured.
    pub const METRICS: Scopes = Scopes(1 << 13);
    /// Seeing what boxes, channels, subscriptions and nodes there are, and having what failed sent again.
    pub const OPERATOR: Scopes = Scopes(1 << 14);
    /// Everything, of everybody.
    pub const ADMIN: Scopes = Scopes(0xffff);

    /// Both.
    pub const fn or(self, other: Scopes) -> Scopes {
        Scopes(self.0 | other.0)
    }

    /// Those of these names; names that mean nothing here are for others.
    pub fn named<'a>(names: impl IntoIterator<Item = &'a str>) -> Scopes {
        let of =
            |name: &str| NAMES.iter().find(|(known, _)| *known == name).map_or(Scopes::NONE, |(_, scopes)| *scopes);
        names.into_iter().map(of).fold(Scopes::NONE, Scopes::or)
    }

    /// Whether one of them is among these.
    pub fn has_any(self, of: Scopes) -> bool {
        self.0 & of.0 != 0
    }

    /// Everything, of everybody.
    pub fn is_admin(self) -> bool {
        self == Scopes::ADMIN
    }

    /// The names of those that are one each, separated by blanks, as RFC 6750 writes them.
    pub fn names(self) -> String {
        let single = NAMES.iter().filter(|(_, scopes)| scopes.0.count_ones() == 1 && self.has_any(*scopes));
        single.map(|(name, _)| *name).collect::<Vec<_>>().join(" ")
    }

    /// All names there are, for help texts.
    pub fn known() -> impl Iterator<Item = &'static str> {
        NAMES.iter().map(|(name, _)| *name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_v1_is_the_union_and_admin_is_everything() {
        let channels = Scopes::named(["oma_rest_notificationchannel.all_v1", "something.else"]);
        for one in [Scopes::LONG_POLL, Scopes::OMA_PUSH, Scopes::WEB_SOCKETS, Scopes::CHANNELS_ALL] {
            assert!(channels.has_any(one));
        }
        assert!(!channels.has_any(Scopes::NMS) && !channels.is_admin());
        assert!(!Scopes::named(["oma_rest_notificationchannel.longpoll"]).has_any(Scopes::CHANNELS_ALL));
        assert!(!Scopes::named(Scopes::known().filter(|name| *name != "tocsin.admin")).is_admin());
        assert!(Scopes::named(["tocsin.admin"]).has_any(Scopes::NMS_READ));
        assert_eq!(Scopes::named(["", "openid", "OMA_REST_NMS.ALL_V1"]), Scopes::NONE);
    }
}
