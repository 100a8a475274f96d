//! The cluster, and what each contestant needs to run on it.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use futures_util::{StreamExt, TryStreamExt};
use serde_json::{Value, json};
use tokio_postgres::{Client, Config, NoTls};

use crate::background::Background;
use crate::contestant::{Audience, Case, Contestant};
use crate::listener::Listener;
use crate::program::Program;
use crate::writers::Target;
use crate::{nchan, relay, socketio, sockets};

/// Requests to the server under way at the same time, while a run is prepared or ended.
const PREPARING: usize = 16;
/// Channels of one user: half of what the server allows.
const CHANNELS_PER_USER: usize = 500;

/// The cluster, made ready for all contestants.
pub struct Field {
    server: String,
    tocsin: Config,
    reference: Config,
    admin: Client,
    http: reqwest::Client,
    entries: AtomicU32,
}

/// A contestant that serves.
pub struct Entry {
    /// Where to write.
    pub target: Target,
    /// The boxes to write to.
    pub boxes: Vec<String>,
    /// Boxes to write to as well, of which nobody hears.
    pub unheard: Vec<String>,
    /// The WebSockets of its audience.
    pub urls: Vec<String>,
    /// What was started for it.
    pub process: Option<Background>,
    /// The channels made for it.
    channels: Vec<String>,
    /// Which contestant, before which audience.
    pub case: Case,
}

impl Entry {
    /// Opens the sockets of the audience, or what stands for them.
    pub fn listen(&self) -> anyhow::Result<Option<Listener>> {
        match (self.case.contestant, &self.target) {
            (Contestant::Plain, _) => Ok(None),
            (Contestant::Notify, Target::Sql { config, .. }) => Listener::of_rows(config).map(Some),
            (contestant, _) => sockets::listen(self.urls.clone(), contestant.dialect()).map(Some),
        }
    }
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

const PLAIN: &str = "insert into plain (box_id, sender, recipient, body) values ($1, $2, $3, $4) returning id";
const NOTIFYING: &str = "insert into notifying (box_id, sender, recipient, body) values ($1, $2, $3, $4) returning id";
/// A message, by its box, sender, recipient and body.
pub const TOCSIN: &str =
    "insert into tocsin.messages (box_id, sender, recipient, body) values ($1, $2, $3, $4) returning id";

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

    /// The server's database, written to by a statement.
    pub fn target(&self, insert: &'static str) -> Target {
        Target::Sql { config: Box::new(self.tocsin.clone()), insert }
    }

    /// A connection to the server's database.
    pub async fn tocsin(&self) -> anyhow::Result<Client> {
        connect(&self.tocsin).await
    }

    /// A setting of Postgres.
    pub async fn setting(&self, name: &str) -> anyhow::Result<String> {
        Ok(self.admin.query_one("select current_setting($1)", &[&name]).await?.get(0))
    }

    /// Makes a contestant ready for its audience, in boxes that were never used.
    pub async fn enter(&self, case: Case) -> anyhow::Result<Entry> {
        let number = self.entries.fetch_add(1, Ordering::Relaxed);
        let boxes: Vec<_> = (0..case.audience.boxes()).map(|n| format!("tel:+1555{number:03}{n:05}")).collect();
        let reference = |insert| Target::Sql { config: Box::new(self.reference.clone()), insert };
        let (mut urls, mut channels, mut process) = (Vec::new(), Vec::new(), None);
        let target = match case.contestant {
            Contestant::Plain => reference(PLAIN),
            Contestant::Notify => reference(NOTIFYING),
            Contestant::Relay => {
                urls.push(relay::start(&self.reference)?);
                reference(NOTIFYING)
            }
            Contestant::SocketIo => {
                let (server, url) = socketio::start(&self.reference, case.audience).await?;
                urls = heard_of(case.audience, &boxes, |box_id| socketio::socket(&url, box_id));
                process = Some(server);
                reference(NOTIFYING)
            }
            Contestant::Nchan => {
                let (server, address) = nchan::start().await?;
                urls = heard_of(case.audience, &boxes, |box_id| nchan::socket(address, box_id));
                process = Some(server);
                Target::Nchan { address }
            }
            Contestant::Tocsin => {
                (channels, urls) = self.subscribe(number, case.audience, &boxes).await?;
                self.target(TOCSIN)
            }
        };
        Ok(Entry { target, boxes, unheard: Vec::new(), urls, process, channels, case })
    }

    /// Ends what was made for a run.
    pub async fn leave(&self, entry: Entry) -> anyhow::Result<()> {
        if let Some(process) = entry.process {
            process.stop().await?;
        }
        let ending = entry.channels.iter().map(async |channel| {
            self.http.delete(channel).send().await?.error_for_status()?;
            anyhow::Ok(())
        });
        futures_util::stream::iter(ending).buffer_unordered(PREPARING).try_collect().await
    }

    /// A channel for each socket, with its subscriptions: their resourceURLs and channelURLs.
    async fn subscribe(
        &self,
        entry: u32,
        audience: Audience,
        boxes: &[String],
    ) -> anyhow::Result<(Vec<String>, Vec<String>)> {
        let boxes_of_each: Vec<&[String]> = match audience {
            Audience::One { .. } => vec![boxes],
            Audience::Shared { sockets } => vec![boxes; sockets as usize],
            Audience::Each { .. } => boxes.chunks(1).collect(),
        };
        let making = boxes_of_each.into_iter().enumerate().map(async |(number, boxes)| {
            let user = format!("bench-{entry}-{}", number / CHANNELS_PER_USER);
            self.channel(&user, boxes).await
        });
        futures_util::stream::iter(making).buffered(PREPARING).try_collect().await
    }

    /// A channel with a subscription to each box: its resourceURL and channelURL.
    async fn channel(&self, user: &str, boxes: &[String]) -> anyhow::Result<(String, String)> {
        let channels = format!("{}/notificationchannel/v1/{user}/channels", self.server);
        let made = self.post(&channels, &json!({ "notificationChannel": { "channelType": "WebSockets" } })).await?;
        let channel = &made["notificationChannel"];
        for box_id in boxes {
            let url = format!("{}/nms/v1/default/{box_id}/subscriptions", self.server);
            let callback = json!({ "notifyURL": channel["callbackURL"] });
            self.post(&url, &json!({ "nmsSubscription": { "callbackReference": callback } })).await?;
        }
        let text = |value: &Value| value.as_str().map(str::to_owned).context("a URL");
        Ok((text(&channel["resourceURL"])?, text(&channel["channelData"]["channelURL"])?))
    }

    async fn post(&self, url: &str, body: &Value) -> anyhow::Result<Value> {
        let answer = self.http.post(url).json(body).send().await?;
        let status = answer.status();
        let body = answer.bytes().await?;
        ensure!(status.is_success(), "{url}: {status}: {}", String::from_utf8_lossy(&body));
        Ok(serde_json::from_slice(&body)?)
    }
}

/// The sockets of an audience whose server needs to know no more than a box.
fn heard_of(audience: Audience, boxes: &[String], socket: impl Fn(&str) -> String) -> Vec<String> {
    match audience {
        Audience::One { .. } => vec![socket("")],
        Audience::Shared { sockets } => vec![socket(&boxes[0]); sockets as usize],
        Audience::Each { .. } => boxes.iter().map(|box_id| socket(box_id)).collect(),
    }
}

/// A connection driven by a task of the current runtime.
pub async fn connect(config: &Config) -> anyhow::Result<Client> {
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}
