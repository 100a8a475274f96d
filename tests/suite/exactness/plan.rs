//! What a run is made of. Whatever is chosen at random is chosen by generators made from the seed, one for each actor:
//! the same seed makes the same choices, though not the same timing.

use std::ops::Range;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

pub const WRITERS: usize = 16;
pub const CHANNELS: usize = 20;
/// Subscriptions of one channel.
pub const SUBSCRIPTIONS: Range<usize> = 1..6;
/// Boxes written to; the first few get half of what is written.
const BOXES: usize = 50;
const BUSY_BOXES: usize = 8;

/// What the suite does when nobody asks for more.
const BRIEF: Duration = Duration::from_secs(6);
/// With several nodes: long enough for each of them to be killed.
const BRIEF_FOR_NODES: Duration = Duration::from_secs(12);

/// One run.
#[derive(Debug, Clone)]
pub struct Plan {
    pub seed: u64,
    /// How long is written and disturbed, without the time that crashes take.
    pub length: Duration,
    /// How many servers share the database.
    pub nodes: usize,
}

/// How a channel's notifications reach its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Socket,
    Poll,
    Webhook,
}

impl Plan {
    /// As TOCSIN_SOAK_SECONDS, TOCSIN_SOAK_SEED and TOCSIN_SOAK_NODES say; without them, short, never twice the same, and
    /// with one node.
    pub fn from_environment() -> Plan {
        let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect(name));
        Plan {
            seed: number("TOCSIN_SOAK_SEED").unwrap_or_else(|| rand::rng().random_range(0..1_000_000)),
            length: number("TOCSIN_SOAK_SECONDS").map_or(BRIEF, Duration::from_secs),
            nodes: number("TOCSIN_SOAK_NODES").map_or(1, |nodes| usize::try_from(nodes).unwrap()),
        }
    }

    /// Short, never twice the same, and with so many nodes.
    pub fn of_nodes(nodes: usize) -> Plan {
        Plan { seed: rand::rng().random_range(0..1_000_000), length: BRIEF_FOR_NODES, nodes }
    }

    /// The way of a channel; the first one has a socket.
    pub fn way(&self, channel: usize) -> Way {
        match channel % 5 {
            3 => Way::Poll,
            // One node is also to be stopped so that ids of transactions come back, while nobody commits. Leases are
            // renewed all the time.
            4 if self.nodes > 1 => Way::Webhook,
            _ => Way::Socket,
        }
    }

    /// Lists in one frame, answer or post of a channel at most: from one by one to many.
    pub fn lists_most(&self, channel: usize) -> i64 {
        let most = [1, 2, 10, 100][channel % 4];
        // Whoever polls for one after the other does not keep up with the writers.
        if self.way(channel) == Way::Poll { most.max(10) } else { most }
    }

    /// The generator of one actor.
    pub fn chance(&self, actor: &str) -> StdRng {
        // FNV-1a: a hash that stays the same from build to build.
        let hash = actor
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        StdRng::seed_from_u64(self.seed ^ hash)
    }
}

/// The box that only the session with the long transaction writes to.
pub const HELD_BOX: &str = "tel:+19585559999";

/// The box that gets one message after each stop of Postgres, and nothing else.
pub const CANARY_BOX: &str = "tel:+19585558888";

/// All boxes that are written to.
pub fn boxes() -> impl Iterator<Item = String> {
    (0..BOXES).map(box_id)
}

fn box_id(number: usize) -> String {
    format!("tel:+1958555{number:04}")
}

/// Any box that is written to.
pub fn any_box(chance: &mut StdRng) -> String {
    let among = if chance.random_bool(0.5) { BUSY_BOXES } else { BOXES };
    box_id(chance.random_range(0..among))
}

/// The stream of a box.
pub fn stream_of(box_id: &str) -> String {
    format!("default/{box_id}")
}

/// A pause: mostly short, now and then long.
pub fn pause(chance: &mut StdRng) -> Duration {
    let most = if chance.random_bool(0.05) { 400 } else { 25 };
    Duration::from_millis(chance.random_range(0..most))
}
