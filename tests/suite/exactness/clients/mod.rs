//! Clients: each has a channel, and a socket that it opens again whenever it is closed. Some read slowly, some leave
//! without need: properly, by vanishing, by no longer reading, or by opening another socket first.

mod socket;
mod subscriber;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::Value;
use tokio::time::{Instant, sleep};

pub use self::subscriber::{Subscriber, Tokens, channels};

use self::socket::{Closed, Refused, Socket, Until};
use super::evidence::Seen;
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
    /// The server closed the socket: only a killed one may, or one on which another socket of ours took over.
    fn closed(&self, socket: &Socket, closed: &Closed, taken_over: bool) {
        const SUPERSEDED: u16 = 4001;
        if self.world.killed_since(socket.age) {
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
    witness: Arc<Witness>,
    channel_url: String,
    chance: StdRng,
    /// Pause after each message, at most.
    slow_ms: u64,
    /// A restless one leaves after so many milliseconds at most.
    restless_ms: Option<u64>,
}

impl Client {
    pub fn new(world: Arc<World>, number: usize, channel: &Value) -> Client {
        let name = format!("client {number}");
        let mut chance = world.plan.chance(&name);
        let slow_ms = if chance.random_bool(0.25) { chance.random_range(5..60) } else { 0 };
        let restless_ms = chance.random_bool(0.6).then(|| chance.random_range(300..3000));
        // The first one is steady.
        let (slow_ms, restless_ms) = if number == 0 { (0, None) } else { (slow_ms, restless_ms) };
        let channel_url = channel["channelData"]["channelURL"].as_str().unwrap().to_owned();
        let witness = Arc::new(Witness { world, name, notes: Shared::default() });
        Client { witness, channel_url, chance, slow_ms, restless_ms }
    }

    /// What it writes down.
    pub fn notes(&self) -> Shared {
        self.witness.notes.clone()
    }

    /// Receives until all is over.
    pub async fn run(mut self) {
        let mut phase = self.witness.world.phase();
        while *phase.borrow_and_update() != Phase::Over {
            if let Some(socket) = self.open().await {
                self.use_socket(socket).await;
            } else {
                sleep(AGAIN_AFTER).await;
            }
        }
    }

    async fn open(&self) -> Option<Socket> {
        let number = {
            let mut notes = self.witness.notes.lock().unwrap();
            notes.sockets += 1;
            notes.sockets
        };
        let world = &self.witness.world;
        let _committing = world.commits.read().await;
        let age = world.age();
        // A slow reader has little room for what it has not read: its slowness reaches the server.
        match Socket::open(&self.channel_url, number, self.slow_ms > 0, age).await {
            Ok(socket) => Some(socket),
            Err(Refused::ComeAgain) => None,
            Err(Refused::Fault(_)) if world.killed_since(age) => None,
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
