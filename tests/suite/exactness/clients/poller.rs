//! A client that polls, of whichever node.

use std::time::Duration;

use rand::RngExt;
use serde_json::json;
use tokio::time::sleep;

use super::super::world::{AGAIN_AFTER, Age, Node, Phase, World};
use super::{Client, Witness};
use crate::support::PATIENCE;

/// Polls over one connection at most.
const STAYS_FOR: u32 = 8;
/// How often a restless client does not wait for its answer.
const GIVES_UP: f64 = 0.2;

/// What came of a poll.
enum Polled {
    /// A notificationList.
    Answer(String),
    /// Nothing, and nothing was consumed: the server says to come again.
    ComeAgain,
    /// There may have been an answer, but it did not arrive.
    Lost,
    Over,
}

impl Client {
    /// Polls until all is over. As long as answers arrive, the lists in them are as those of one socket.
    pub(super) async fn poll(mut self) {
        let witness = self.witness.clone();
        let most = witness.world.plan.lists_most(self.number);
        let mut as_socket = witness.next_socket();
        loop {
            let node = witness.world.any_node(&mut self.chance);
            let http = reqwest::Client::builder().timeout(PATIENCE).no_proxy().build().unwrap();
            for _ in 0..self.chance.random_range(1..=STAYS_FOR) {
                let gives_up = self.restless_ms.filter(|_| self.chance.random_bool(GIVES_UP));
                let gives_up = gives_up.map(|most| Duration::from_millis(self.chance.random_range(0..most)));
                match self.poll_once(node, &http, gives_up).await {
                    Polled::Answer(list) => {
                        witness.notes.lock().unwrap().take(&list, as_socket);
                        if witness.world.running() {
                            sleep(Duration::from_millis(self.chance.random_range(0..=self.slow_ms))).await;
                        }
                        continue;
                    }
                    Polled::Lost => witness.notes.lock().unwrap().answer_lost(most),
                    Polled::ComeAgain => {}
                    Polled::Over => return,
                }
                as_socket = witness.next_socket();
                sleep(AGAIN_AFTER).await;
                break;
            }
        }
    }

    async fn poll_once(&self, node: &Node, http: &reqwest::Client, gives_up: Option<Duration>) -> Polled {
        let Witness { world, name, .. } = &*self.witness;
        drop(world.commits.read().await); // it begins well before those who have that alone go on
        let age = node.age();
        let request = http.post(node.url(&self.channel_url)).json(&json!({ "longPollingRequestParameters": null }));
        let answer = async {
            let answer = request.send().await?;
            Ok::<_, reqwest::Error>((answer.status().as_u16(), answer.text().await?))
        };
        let given_up = async {
            match gives_up {
                Some(after) if world.running() => sleep(after).await,
                _ => std::future::pending().await,
            }
        };
        let answer = tokio::select! {
            answer = answer => answer,
            () = given_up => return Polled::Lost,
            () = over(world) => return Polled::Over,
        };
        match answer {
            Ok((200, list)) => Polled::Answer(list),
            Ok((503, _)) => Polled::ComeAgain,
            Ok((status, text)) => {
                self.witness.fault(format!("{name}: its poll was answered {status} {text}"));
                Polled::Lost
            }
            Err(fault) => {
                self.witness.poll_failed(node, age, &fault);
                Polled::Lost
            }
        }
    }
}

impl Witness {
    /// Only a node that ends may leave a poll without an answer.
    fn poll_failed(&self, node: &Node, age: Age, fault: &reqwest::Error) {
        if node.ended_since(age) {
            self.notes.lock().unwrap().lost += 1;
        } else {
            self.fault(format!("{}: its poll had no answer: {fault:?}", self.name));
        }
    }
}

async fn over(world: &World) {
    let _ = world.phase().wait_for(|phase| *phase == Phase::Over).await;
}
