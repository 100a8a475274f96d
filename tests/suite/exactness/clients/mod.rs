//! Clients: each has a channel. Most have a socket that they open again whenever it is closed. Some read slowly, some
//! leave without need: properly, by vanishing, by no longer reading, or by opening another socket first. Others poll, or
//! are posted to. Each time they choose any of the nodes.

mod poller;
mod receiver;
mod socket;
mod subscriber;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::Value;
use tokio::time::{Instant, sleep};

pub use self::receiver::receive_posts;
pub use self::subscriber::{Subscriber, Tokens, channels};

use self::socket::{Closed, Refused, Socket, Until};
use super::evidence::Seen;
use super::plan::{CHANNELS, Way};
use super::world::{AGAIN_AFTER, Phase, World};

/// What a client wrote down.
#[derive(Debug, Default)]
pub struct Notes {
    sockets: u32,
    /// Of each subscription, in the order of arrival.
    pub seen: HashMap<String, Vec<Seen>>,
    /// What should not have happened to a client.
    pub faults: Vec<String>,
    /// How often it left: see [`Leave`].
    pub left: [u64; 4],
    /// How often the server went away under it.
    pub lost: u64,
    /// Polls of which it does not know whether they were answered.
    pub answers_lost: u64,
    /// How many lists of one subscription those may have held, in all.
    may_miss: i64,
}

impl Notes {
    /// A notificationList arrived.
    fn take(&mut self, text: &str, socket: u32) {
        let frame: Value = serde_json::from_str(text).unwrap_or_default();
        let Some(lists) = frame["notificationList"].as_array() else {
            self.faults.push(format!("not a notificationList: {text}"));
            return;
        };
        for notification in lists {
            let list = &notification["nmsEventList"];
            match list["index"].as_i64().zip(list["link"][0]["href"].as_str()) {
                Some((index, subscription)) => {
                    let seen = Seen { socket, index, list: list.to_string(), may_miss: self.may_miss };
                    self.seen.entry(subscription.to_owned()).or_default().push(seen);
                }
                None => self.faults.push(format!("not an nmsEventList with index and link: {notification}")),
            }
        }
    }

    /// A poll was given up by the client, or by the end of its node, and may just have been answered, with so many
    /// lists at most. The next poll confirms what was answered, unless the node knows the answer as lost: one that was
    /// killed knows nothing any more, and one whose client goes to another node at once learns it too late. HTTP has no
    /// better promise; that no more than this answer is lost, and nothing in any other way, is what is held against it.
    fn answer_lost(&mut self, most: i64) {
        self.answers_lost += 1;
        self.may_miss += most;
    }
}

/// Of all clients, still empty.
pub fn notes() -> Vec<Shared> {
    (0..CHANNELS).map(|_| Shared::default()).collect()
}

/// How a client leaves.
#[derive(Debug, Clone, Copy)]
enum Leave {
    Properly,
    Vanish,
    /// Stops reading first, for a while.
    Hang,
    /// Opens another socket and reads the old one to its end.
    TakeOver,
}

const LEAVES: [Leave; 4] = [Leave::Properly, Leave::Vanish, Leave::Hang, Leave::TakeOver];

/// Shared with the sockets that are read to their end.
pub type Shared = Arc<Mutex<Notes>>;

/// What a client and its sockets share.
struct Witness {
    world: Arc<World>,
    name: String,
    notes: Shared,
}

impl Witness {
    fn next_socket(&self) -> u32 {
        let mut notes = self.notes.lock().unwrap();
        notes.sockets += 1;
        notes.sockets
    }

    /// The server closed the socket: only one that ends may, or one on which another socket of ours took over.
    fn closed(&self, socket: &Socket, closed: &Closed, taken_over: bool) {
        const SUPERSEDED: u16 = 4001;
        let (node, age) = socket.to;
        if self.world.nodes[node].ended_since(age) {
            self.notes.lock().unwrap().lost += 1;
        } else if !(taken_over && closed.code == Some(SUPERSEDED)) {
            self.fault(format!("{}: socket {} was closed: {closed:?}", self.name, socket.number));
        }
    }

    fn fault(&self, fault: String) {
        self.notes.lock().unwrap().faults.push(fault);
    }
}

pub struct Client {
    number: usize,
    witness: Arc<Witness>,
    /// Empty for one that is posted to.
    channel_url: String,
    chance: StdRng,
    /// Pause after each message, at most.
    slow_ms: u64,
    /// A restless one leaves after so many milliseconds at most.
    restless_ms: Option<u64>,
}

impl Client {
    pub fn new(world: Arc<World>, number: usize, channel: &Value, notes: &Shared) -> Client {
        let name = format!("client {number}");
        let mut chance = world.plan.chance(&name);
        let slow_ms = if chance.random_bool(0.25) { chance.random_range(5..60) } else { 0 };
        let restless_ms = chance.random_bool(0.6).then(|| chance.random_range(300..3000));
        // The first one is steady.
        let (slow_ms, restless_ms) = if number == 0 { (0, None) } else { (slow_ms, restless_ms) };
        let channel_url = channel["channelData"]["channelURL"].as_str().unwrap_or_default().to_owned();
        let witness = Arc::new(Witness { world, name, notes: notes.clone() });
        Client { number, witness, channel_url, chance, slow_ms, restless_ms }
    }

    /// Receives until all is over.
    pub async fn run(self) {
        match self.witness.world.plan.way(self.number) {
            Way::Socket => self.use_sockets().await,
            Way::Poll => self.poll().await,
            Way::Webhook => {} // the receiver does it all
        }
    }

    async fn use_sockets(mut self) {
        let mut phase = self.witness.world.phase();
        while *phase.borrow_and_update() != Phase::Over {
            if let Some(socket) = self.open().await {
                self.use_socket(socket).await;
            } else {
                sleep(AGAIN_AFTER).await;
            }
        }
    }

    async fn open(&mut self) -> Option<Socket> {
        let number = self.witness.next_socket();
        let world = &self.witness.world;
        let _committing = world.commits.read().await;
        let place = self.chance.random_range(0..world.nodes.len());
        let node = &world.nodes[place];
        let age = node.age();
        // A slow reader has little room for what it has not read: its slowness reaches the server.
        match Socket::open(&node.url(&self.channel_url), number, self.slow_ms > 0, (place, age)).await {
            Ok(socket) => Some(socket),
            Err(Refused::ComeAgain) => None,
            Err(Refused::Fault(_)) if node.ended_since(age) => None,
            Err(Refused::Fault(fault)) => {
                self.witness.fault(format!("{}: cannot open its socket: {fault}", self.witness.name));
                None
            }
        }
    }

    async fn use_socket(&mut self, mut socket: Socket) {
        let leave = self.restless_ms.map(|most| {
            let after = Duration::from_millis(self.chance.random_range(0..most));
            (Instant::now() + after, LEAVES[self.chance.random_range(0..LEAVES.len())])
        });
        let Witness { world, notes, .. } = &*self.witness;
        match socket.read(world, notes, leave.map(|(at, _)| at), self.slow_ms).await {
            Until::Closed(closed) => self.witness.closed(&socket, &closed, false),
            Until::Over => socket.close().await,
            Until::Time => {
                let (_, leave) = leave.unwrap();
                notes.lock().unwrap().left[leave as usize] += 1;
                self.leave(socket, leave).await;
            }
        }
    }

    async fn leave(&mut self, mut socket: Socket, leave: Leave) {
        match leave {
            Leave::Properly => socket.close().await,
            Leave::Vanish => drop(socket),
            Leave::Hang => {
                sleep(Duration::from_millis(self.chance.random_range(0..1500))).await;
                drop(socket);
            }
            Leave::TakeOver => {
                let witness = self.witness.clone();
                tokio::spawn(async move {
                    match socket.read(&witness.world, &witness.notes, None, 0).await {
                        Until::Closed(closed) => witness.closed(&socket, &closed, true),
                        _ => socket.close().await,
                    }
                });
                return; // another one is opened at once
            }
        }
        sleep(Duration::from_millis(self.chance.random_range(0..400))).await;
    }
}
