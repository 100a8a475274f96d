//! Who may reach what is not theirs: a grant lets a user, or everybody who has a token, read or write a resource.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};

use super::rows;
use super::token::Principal;
use crate::base::Result;
use crate::base::ids::{BoxName, with_store};
use crate::postgres::Database;

/// In place of a grantee or of a resource's name: all of them.
pub const EVERY: &str = "*";

/// Kinds of resources, each with an owner by its name but for tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The channels of a user.
    User,
    /// A box, by `store/boxId`: objects, folders, and subscriptions to it.
    Box,
    /// The notifications of a user.
    Inbox,
    /// A room: listening (read), publishing (write).
    Room,
    /// The rows of a watched table, by its name.
    Table,
}

impl Kind {
    const NAMES: [(&str, Kind); 5] = [
        ("user", Kind::User),
        ("box", Kind::Box),
        ("inbox", Kind::Inbox),
        ("room", Kind::Room),
        ("table", Kind::Table),
    ];

    /// As grants are written.
    pub fn name(self) -> &'static str {
        Kind::NAMES.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }
}

/// Something that can be reached: `kind/name`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Resource {
    /// What it is.
    pub kind: Kind,
    /// Which one, or [`EVERY`] one.
    pub name: String,
}

impl Resource {
    /// The one of this name.
    pub fn new(kind: Kind, name: &str) -> Self {
        Resource { kind, name: name.to_owned() }
    }

    /// A box.
    pub fn of_box(of: &BoxName) -> Self {
        Resource::new(Kind::Box, of.stream().as_str())
    }

    /// The user whose own it is.
    pub fn owner(&self) -> Option<&str> {
        match self.kind {
            Kind::User | Kind::Inbox | Kind::Room => Some(self.name.as_str()),
            Kind::Box => self.name.split_once('/').map(|(_, id)| id),
            Kind::Table => None,
        }
        .filter(|_| self.name != EVERY)
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind.name(), self.name)
    }
}

impl FromStr for Resource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const HOW: &str = "user/USER, box/BOX, box/STORE/BOX, inbox/USER, room/ROOM or table/TABLE; * is every one";
        let (kind, name) = text.split_once('/').ok_or(HOW)?;
        let (_, kind) = *Kind::NAMES.iter().find(|(known, _)| *known == kind).ok_or(HOW)?;
        if name.is_empty() || name.contains(char::is_control) {
            return Err(HOW.to_owned());
        }
        let is_box = kind == Kind::Box && name != EVERY;
        Ok(Resource { kind, name: if is_box { with_store(name) } else { name.to_owned() } })
    }
}

/// What may be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, clap::ValueEnum)]
pub enum Right {
    /// Reading, searching, subscribing, listening.
    Read,
    /// Creating, changing, deleting, publishing.
    Write,
}

impl Right {
    /// As grants are written.
    pub fn name(self) -> &'static str {
        match self {
            Right::Read => "read",
            Right::Write => "write",
        }
    }

    /// One of these names.
    pub fn parse(name: &str) -> Option<Self> {
        [Right::Read, Right::Write].into_iter().find(|right| right.name() == name)
    }
}

/// A grant as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// By which it is revoked.
    pub id: i64,
    /// Who may, or [`EVERY`] one.
    pub grantee: String,
    /// What.
    pub resource: Resource,
    /// In which way.
    pub rights: Vec<Right>,
    /// Who said so; nobody in particular, on the command line.
    pub granted_by: Option<String>,
    /// When.
    pub granted_at: DateTime<Utc>,
}

/// Why somebody may reach something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// It is theirs.
    Own,
    /// Their token is for everything.
    Admin,
    /// A grant says so, as long as it is there.
    Grant,
}

/// Why the one who asks may do this, if at all.
pub async fn basis(database: &Database, who: &Principal, resource: &Resource, right: Right) -> Result<Option<Basis>> {
    if resource.owner() == Some(who.user.as_str()) {
        return Ok(Some(Basis::Own));
    }
    if who.scopes.is_admin() {
        return Ok(Some(Basis::Admin));
    }
    let granted = rows::is_granted(database, who.user.as_str(), resource, right).await?;
    Ok(granted.then_some(Basis::Grant))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_is_written_and_read() {
        for (text, owner) in [
            ("user/tel:+1", Some("tel:+1")),
            ("box/default/tel:+1", Some("tel:+1")),
            ("box/archive/tel:+1", Some("tel:+1")),
            ("inbox/ann", Some("ann")),
            ("room/lobby", Some("lobby")),
            ("table/public.movies", None),
            ("box/*", None),
            ("room/*", None),
        ] {
            let resource: Resource = text.parse().unwrap();
            assert_eq!((resource.to_string().as_str(), resource.owner()), (text, owner));
        }
        assert_eq!("box/tel:+1".parse::<Resource>().unwrap().to_string(), "box/default/tel:+1");
        for bad in ["", "box", "box/", "house/x", "room/a\nb"] {
            assert!(bad.parse::<Resource>().is_err(), "{bad}");
        }
    }
}
