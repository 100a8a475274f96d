//! Makes the channels and their subscriptions: some before anything is written, some in the midst of it; some from now
//! on, some from a restartToken. What became of each is read from the log: an answer may have been lost.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use tocsin::log::event::token;
use tocsin::wire::urls::segment;
use tokio::time::sleep;

use super::super::plan::{CANARY_BOX, CHANNELS, HELD_BOX, SUBSCRIPTIONS, Way, any_box, stream_of};
use super::super::world::{AGAIN_AFTER, PUBLIC_URL, World};

/// The channels of all clients; `receiver` takes what is posted, each client's at a path of its own.
pub async fn channels(world: &World, receiver: &str) -> Vec<Value> {
    let mut chance = world.plan.chance("channels");
    let mut channels = Vec::new();
    for number in 0..CHANNELS {
        let mut fields = json!({
            "channelLifetime": 86400,
            "channelData": { "maxNotifications": world.plan.lists_most(number) },
        });
        fields["channelType"] = json!(match world.plan.way(number) {
            Way::Socket => "WebSockets",
            Way::Poll => "LongPolling",
            Way::Webhook => {
                fields["channelData"]["x-webhookURL"] = json!(format!("{receiver}/{number}"));
                "Webhooks"
            }
        });
        let api = world.any_node(&mut chance).api();
        channels.push(api.channel_with(&format!("user{number}"), fields).await);
    }
    channels
}

/// Which subscriptions ask for a restartToken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tokens {
    /// None: nothing is written yet.
    None,
    /// Some.
    Some,
}

pub struct Subscriber {
    world: Arc<World>,
    http: reqwest::Client,
    chance: StdRng,
    /// Notify URL and box of each subscription to make.
    wanted: Vec<(String, String)>,
    pub faults: Vec<String>,
}

impl Subscriber {
    pub fn new(world: Arc<World>, channels: &[Value]) -> Subscriber {
        let mut chance = world.plan.chance("subscriber");
        let mut wanted = Vec::new();
        for (number, channel) in channels.iter().enumerate() {
            let notify_url = channel["callbackURL"].as_str().unwrap();
            if number == 0 {
                wanted.push((notify_url.to_owned(), CANARY_BOX.to_owned()));
            }
            for _ in 0..chance.random_range(SUBSCRIPTIONS) {
                let of = if number == 0 { HELD_BOX.to_owned() } else { any_box(&mut chance) };
                wanted.push((notify_url.to_owned(), of));
            }
        }
        let http = reqwest::Client::builder().timeout(Duration::from_secs(10)).no_proxy().build().unwrap();
        Subscriber { world, http, chance, wanted, faults: Vec::new() }
    }

    pub fn count(&self) -> usize {
        self.wanted.len()
    }

    /// Makes some of the subscriptions, within `time`; fewer if writing ends before.
    pub async fn make(&mut self, which: Range<usize>, tokens: Tokens, time: Duration) {
        for n in which.clone() {
            let (notify_url, of) = self.wanted[n].clone();
            let most = 2 * u64::try_from(time.as_millis()).unwrap() / which.len() as u64;
            sleep(Duration::from_millis(self.chance.random_range(0..=most))).await;
            let from =
                if tokens == Tokens::Some && self.chance.random_bool(0.5) { self.token(&of).await } else { None };
            if !self.world.running() {
                return;
            }
            self.subscribe(&notify_url, &of, from).await;
        }
    }

    async fn subscribe(&mut self, notify_url: &str, of: &str, from: Option<DateTime<Utc>>) {
        let mut fields = json!({ "callbackReference": { "notifyURL": notify_url }, "duration": 86400 });
        if let Some(from) = from {
            // What was asked for is found again in the log, whatever the server made of it.
            fields["clientCorrelator"] = json!(token(from));
            fields["restartToken"] = json!(token(from));
        }
        let url = format!("{PUBLIC_URL}/nms/v1/default/{}/subscriptions", segment(of));
        let body = json!({ "nmsSubscription": fields });
        let world = self.world.clone();
        loop {
            let _committing = world.commits.read().await;
            let url = world.any_node(&mut self.chance).url(&url);
            match self.http.post(&url).json(&body).send().await {
                Ok(answer) if answer.status() == 201 => return,
                Ok(answer) if answer.status() == 503 => {}
                Ok(answer) => {
                    let (status, text) = (answer.status(), answer.text().await.unwrap_or_default());
                    self.faults.push(format!("a subscription was refused: {status} {text}"));
                    return;
                }
                Err(_) => {} // the server is away
            }
            sleep(AGAIN_AFTER).await;
        }
    }

    /// A moment of the box: that of one of its events, or just before one.
    async fn token(&mut self, of: &str) -> Option<DateTime<Utc>> {
        let sql = self.world.connect("subscriber").await;
        let at = "select edited_at from tocsin.events where stream = $1 and seq = 1 + floor($2::float8 *
            (select head_seq from tocsin.streams where stream = $1))::bigint";
        let row = sql.query_opt(at, &[&stream_of(of), &self.chance.random_range(0.0..1.0)]).await.ok()??;
        let before = TimeDelta::microseconds(self.chance.random_range(0..2));
        Some(row.get::<_, DateTime<Utc>>(0) - before)
    }
}
