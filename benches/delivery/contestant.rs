//! Who takes part, and before which audience.

use std::fmt;

use clap::ValueEnum;

use crate::sockets::Dialect;

/// Who takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Contestant {
    /// A bare table: nobody is told
    Plain,
    /// The same table, a trigger that NOTIFYs the row, and one connection that LISTENs
    Notify,
    /// The same table and trigger, and a relay that sends what it hears to one WebSocket
    Relay,
    /// The same table and trigger, and a Socket.IO server that LISTENs
    #[value(name = "socketio")]
    SocketIo,
    /// nginx with Nchan: no database; what is published is sent by HTTP
    Nchan,
    /// The server
    Tocsin,
}

impl Contestant {
    /// How its messages are read.
    pub fn dialect(self) -> Dialect {
        match self {
            Contestant::Tocsin => Dialect::Tocsin,
            Contestant::Nchan => Dialect::Lists,
            Contestant::SocketIo => Dialect::SocketIo,
            Contestant::Plain | Contestant::Notify | Contestant::Relay => Dialect::Rows,
        }
    }

    /// Whether it may be missing, or lose something, without a fault of ours: then its row says so.
    pub fn is_foreign(self) -> bool {
        matches!(self, Contestant::SocketIo | Contestant::Nchan)
    }
}

impl fmt::Display for Contestant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Contestant::Plain => "bare table",
            Contestant::Notify => "table, NOTIFY, LISTEN",
            Contestant::Relay => "table, NOTIFY, relay",
            Contestant::SocketIo => "table, NOTIFY, Socket.IO",
            Contestant::Nchan => "Nchan",
            Contestant::Tocsin => "tocsin",
        })
    }
}

/// Who hears of what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// One listener hears of all boxes.
    One {
        /// How many there are, written to at random.
        boxes: u32,
    },
    /// All sockets hear of one box.
    Shared {
        /// How many there are.
        sockets: u32,
    },
    /// Each socket hears of a box of its own; they are written to at random.
    Each {
        /// How many there are.
        sockets: u32,
    },
}

impl Audience {
    /// How many boxes are written to.
    pub fn boxes(self) -> u32 {
        match self {
            Audience::One { boxes } => boxes,
            Audience::Shared { .. } => 1,
            Audience::Each { sockets } => sockets,
        }
    }

    /// How many hear of each message.
    pub fn copies(self) -> u32 {
        match self {
            Audience::One { .. } | Audience::Each { .. } => 1,
            Audience::Shared { sockets } => sockets,
        }
    }
}

/// A contestant before an audience.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Case {
    /// Who.
    pub contestant: Contestant,
    /// Before whom.
    pub audience: Audience,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.contestant, self.audience) {
            (Contestant::Tocsin, Audience::One { boxes: 1 }) => write!(f, "tocsin, 1 box"),
            (Contestant::Tocsin, Audience::One { boxes }) => write!(f, "tocsin, {boxes} boxes"),
            (contestant, _) => write!(f, "{contestant}"),
        }
    }
}
