//! Who takes part: the server, and what plain Postgres offers instead.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};
use tokio_postgres::{Client, Config, NoTls};

use crate::listener::{Frame, Listener};
use crate::program::Program;
use crate::relay;

/// Who takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contestant {
    /// A bare table: nobody is told.
    Plain,
    /// The same table, a trigger that NOTIFYs the row, and one connection that LISTENs.
    Notify,
    /// As [`Contestant::Notify`], and a relay that sends what it hears to one WebSocket.
    Relay,
    /// The server, with one WebSocket that subscribes to all the boxes written to.
    Tocsin {
        /// How many boxes, written to at random.
        boxes: u32,
    },
}

impl fmt::Display for Contestant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Contestant::Plain => write!(f, "bare table"),
            Contestant::Notify => write!(f, "table, NOTIFY, LISTEN"),
            Contestant::Relay => write!(f, "table, NOTIFY, relay"),
            Contestant::Tocsin { boxes: 1 } => write!(f, "tocsin, 1 box"),
            Contestant::Tocsin { boxes } => write!(f, "tocsin, {boxes} boxes"),
        }
    }
}

/// An event as a listener got it.
#[derive(Debug, Clone, Copy)]
pub struct Received {
    /// What the INSERT returned, too.
    pub id: i64,
    /// When the frame was there.
    pub at: std::time::Instant,
}

impl Contestant {
    /// The events in what a listener heard. The server's must be in order, without gap or repetition.
    pub fn read(self, frames: &[Frame]) -> anyhow::Result<Vec<Received>> {
        match self {
            Contestant::Tocsin { .. } => read_lists(frames),
            _ => frames.iter().map(read_row).collect(),
        }
    }
}

fn read_row(frame: &Frame) -> anyhow::Result<Received> {
    let row: Value = serde_json::from_str(&frame.text)?;
    Ok(Received { id: row["id"].as_i64().context("a row has an id")?, at: frame.at })
}

/// Every box was fresh: seq 1 is its `subscription.created`, from seq 2 on come the messages, with index 1, 2, 3...
fn read_lists(frames: &[Frame]) -> anyhow::Result<Vec<Received>> {
    let mut received = Vec::new();
    let mut last: std::collections::HashMap<String, i64> = std::collections::HashMap::new();
    for frame in frames {
        let message: Value = serde_json::from_str(&frame.text)?;
        for notification in message["notificationList"].as_array().context("a notificationList")? {
            let list = &notification["nmsEventList"];
            let subscription = list["link"][0]["href"].as_str().context("a link to the subscription")?;
            let index = list["index"].as_i64().context("an index")?;
            let before = last.insert(subscription.to_owned(), index).unwrap_or(0);
            ensure!(index == before + 1, "{subscription}: index {index} came after {before}");
            let [event] = list["nmsEvent"].as_array().context("events")?.as_slice() else {
                bail!("not one event in a list: {list}")
            };
            let object = &event["changedObject"];
            ensure!(object["lastModSeq"] == json!(index + 1), "{subscription}: index {index} is {object}");
            let url = object["resourceURL"].as_str().context("a link to the object")?;
            let id = url.rsplit('/').next().and_then(|id| id.parse().ok()).context("an id in the object's URL")?;
            received.push(Received { id, at: frame.at });
        }
    }
    Ok(received)
}

/// The cluster, made ready for all contestants.
pub struct Field {
    server: String,
    tocsin: Config,
    reference: Config,
    admin: Client,
    http: reqwest::Client,
    entries: AtomicU32,
}

/// A contestant ready to run.
pub struct Entry {
    /// The database to write to.
    pub config: Config,
    /// The statement: box, sender, recipient, body; returns the id.
    pub insert: &'static str,
    /// The boxes to write to.
    pub boxes: Vec<String>,
    /// Who listens.
    pub listener: Option<Listener>,
    /// The channel made for it.
    pub channel: Option<String>,
}

/// The tables of the references: what is in a message, without a log. They are in a database of their own, in which
/// nobody else LISTENs.
const REFERENCES: &str = "
    create table plain (
        id        bigint generated always as identity primary key,
        box_id    text not null,
        sender    text not null,
        recipient text not null,
        body      text not null,
        at        timestamptz not null default now()
    );
    create table notifying (like plain including all);
    create function tell() returns trigger language plpgsql as $$
    begin
        perform pg_notify('rows', row_to_json(i)::text) from inserted i;
        return null;
    end
    $$;
    create trigger tell after insert on notifying referencing new table as inserted
        for each statement execute function tell();
";

impl Field {
    /// Creates the references' database.
    pub async fn prepare(program: &Program) -> anyhow::Result<Self> {
        let tocsin: Config = program.database_url().await?.parse()?;
        let mut reference = tocsin.clone();
        reference.dbname("reference");
        let admin = connect(&tocsin).await?;
        admin.batch_execute("create database reference").await?;
        connect(&reference).await?.batch_execute(REFERENCES).await?;
        let http = reqwest::Client::builder().timeout(Duration::from_secs(30)).no_proxy().build()?;
        Ok(Field { server: program.url.clone(), tocsin, reference, admin, http, entries: AtomicU32::new(0) })
    }

    /// Brings the cluster to rest: what one run has written is not to be flushed during the next.
    pub async fn settle(&self) -> anyhow::Result<()> {
        self.admin.batch_execute("checkpoint").await?;
        tokio::time::sleep(Duration::from_millis(300)).await;
        Ok(())
    }

    /// A connection to the server's database.
    pub async fn tocsin(&self) -> anyhow::Result<Client> {
        connect(&self.tocsin).await
    }

    /// A setting of Postgres.
    pub async fn setting(&self, name: &str) -> anyhow::Result<String> {
        Ok(self.admin.query_one("select current_setting($1)", &[&name]).await?.get(0))
    }

    /// Makes a contestant ready.
    pub async fn enter(&self, contestant: Contestant) -> anyhow::Result<Entry> {
        const PLAIN: &str = "insert into plain (box_id, sender, recipient, body) values ($1, $2, $3, $4) returning id";
        const NOTIFYING: &str =
            "insert into notifying (box_id, sender, recipient, body) values ($1, $2, $3, $4) returning id";
        const TOCSIN: &str =
            "insert into tocsin.messages (box_id, sender, recipient, body) values ($1, $2, $3, $4) returning id";
        let number = self.entries.fetch_add(1, Ordering::Relaxed);
        let box_ids = |count: u32| (0..count).map(|n| format!("tel:+1555{number:04}{n:04}")).collect::<Vec<_>>();
        let reference = |insert, listener| Entry {
            config: self.reference.clone(),
            insert,
            boxes: box_ids(100),
            listener,
            channel: None,
        };
        Ok(match contestant {
            Contestant::Plain => reference(PLAIN, None),
            Contestant::Notify => reference(NOTIFYING, Some(Listener::of_rows(&self.reference)?)),
            Contestant::Relay => {
                reference(NOTIFYING, Some(Listener::of_socket(&relay::start(&self.reference)?, None, "\"id\":")?))
            }
            Contestant::Tocsin { boxes } => {
                let boxes = box_ids(boxes);
                let (channel, listener) = self.subscribe(&boxes).await?;
                Entry {
                    config: self.tocsin.clone(),
                    insert: TOCSIN,
                    boxes,
                    listener: Some(listener),
                    channel: Some(channel),
                }
            }
        })
    }

    /// Ends what was made for a run.
    pub async fn leave(&self, channel: Option<String>) -> anyhow::Result<()> {
        if let Some(channel) = channel {
            self.http.delete(channel).send().await?.error_for_status()?;
        }
        Ok(())
    }

    /// A channel with a subscription to each box, and its socket.
    async fn subscribe(&self, boxes: &[String]) -> anyhow::Result<(String, Listener)> {
        let channels = format!("{}/notificationchannel/v1/bench/channels", self.server);
        let made = self.post(&channels, &json!({ "notificationChannel": { "channelType": "WebSockets" } })).await?;
        let channel = &made["notificationChannel"];
        for box_id in boxes {
            let url = format!("{}/nms/v1/default/{box_id}/subscriptions", self.server);
            let callback = json!({ "notifyURL": channel["callbackURL"] });
            self.post(&url, &json!({ "nmsSubscription": { "callbackReference": callback } })).await?;
        }
        let url = channel["channelData"]["channelURL"].as_str().context("a channelURL")?;
        let listener = Listener::of_socket(url, Some(tocsin::wire::nc::SUBPROTOCOL), "\"lastModSeq\":")?;
        Ok((channel["resourceURL"].as_str().context("a resourceURL")?.to_owned(), listener))
    }

    async fn post(&self, url: &str, body: &Value) -> anyhow::Result<Value> {
        let answer = self.http.post(url).json(body).send().await?;
        let status = answer.status();
        let body = answer.bytes().await?;
        ensure!(status.is_success(), "{url}: {status}: {}", String::from_utf8_lossy(&body));
        Ok(serde_json::from_slice(&body)?)
    }
}

/// A connection driven by a task of the current runtime.
pub async fn connect(config: &Config) -> anyhow::Result<Client> {
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}
