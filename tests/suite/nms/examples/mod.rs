//! Examples of every message of the NMS API, in JSON and in XML: each request as it is given, its answer equal in every
//! element up to what the server chooses. The names of the tests begin with the number of the example.

mod alike;
mod bulk;
mod faults;
mod flags;
mod folders;
mod notifications;
mod objects;
mod search;
mod subscriptions;

use reqwest::Method;
use serde_json::Value;
use tocsin::base::Format;
use tocsin::config::Limits;
use tocsin::wire::xml;
use tokio_postgres::Client;

use self::alike::{Names, pieces};
use crate::support::client::Answer;
use crate::support::postgres::Database;
use crate::support::server::Server;

/// What every URL of the examples begins with.
const ROOT: &str = "https://store.example.org/api";
/// The box of the examples, which they call `{B}`.
const BOX: &str = "https://store.example.org/api/nms/v1/main/tel%3A%2B15550001111";
/// The stream of its events.
const STREAM: &str = "main/tel:+15550001111";

/// One document in both formats.
struct Twin {
    json: String,
    xml: String,
}

/// The twins must say the same: the one in JSON, with its members in the order of the tables, written as XML, is the
/// other one. Namespaces are left out of the XML that is given here.
fn twin(json: &str, xml: &str) -> Twin {
    let [json, mut xml] = [json, xml].map(|text| text.replace("{B}", BOX));
    for (prefix, name) in [("nms", "nms:1"), ("nc", "notificationchannel:1"), ("common", "common:1")] {
        let tag = format!("<{prefix}:");
        if let Some((before, rest)) = xml.clone().split_once(&tag) {
            let end = rest.find(['>', '/']).unwrap();
            let namespace = format!(" xmlns:{prefix}=\"urn:oma:xml:rest:netapi:{name}\"");
            xml = format!("{before}{tag}{}{namespace}{}", &rest[..end], &rest[end..]);
        }
    }
    let of_json = xml::write(&serde_json::from_str(&json).unwrap());
    assert_eq!(pieces(&of_json), pieces(&xml), "the twins differ");
    Twin { json, xml }
}

/// The server of an example, who asks it in which format, and what stands for the names of the example.
struct Stage {
    format: Format,
    server: Server,
    sql: Client,
    names: Names,
    _database: Database,
}

impl Stage {
    async fn new(format: Format) -> Stage {
        let database = Database::new().await;
        let server = Server::start_as(&database, |config| {
            config.public_url = Some(ROOT.to_owned());
            config.allow_private_targets = true;
            config.limits = Limits { poll_seconds: 1, ..Limits::default() };
        })
        .await;
        let sql = database.connect().await;
        let mut names = Names::default();
        names.bind("f-root", "root");
        Stage { format, server, sql, names, _database: database }
    }

    fn media(&self) -> &'static str {
        if self.format == Format::Json { "application/json" } else { "application/xml" }
    }

    /// The twin of the example's format, with what stands for its names.
    fn written(&self, twin: &Twin) -> String {
        self.names.filled(if self.format == Format::Json { &twin.json } else { &twin.xml })
    }

    /// What the server's URL is outside of the examples.
    fn url(&self, url: &str) -> String {
        self.names.filled(&url.replace("{B}", BOX)).replace(ROOT, &self.server.api.url)
    }

    /// A request without a body.
    async fn ask(&self, method: Method, url: &str) -> Answer {
        self.server.api.send(method, &self.url(url), &[("accept", self.media())], None).await
    }

    /// A request in the format of the example by a client that reads it.
    async fn say(&self, method: Method, url: &str, body: &Twin) -> Answer {
        let headers = [("content-type", self.media()), ("accept", self.media())];
        self.server.api.send(method, &self.url(url), &headers, Some(self.written(body))).await
    }

    /// Asserts that an answer has this status and the example's body.
    fn is(&mut self, answer: &Answer, status: u16, example: &Twin) {
        assert_eq!(answer.status.as_u16(), status, "{}", answer.text);
        assert_eq!(answer.header("content-type"), self.media());
        self.is_document(&answer.text, example);
    }

    /// The same of a document without a status.
    fn is_document(&mut self, actual: &str, example: &Twin) {
        if self.format == Format::Xml {
            assert!(actual.starts_with(xml::DECLARATION), "{actual}");
            self.names.xml_alike(actual, &example.xml);
        } else {
            self.names
                .json_alike(&serde_json::from_str(actual).unwrap(), &serde_json::from_str(&example.json).unwrap());
        }
    }

    /// Asserts that what was made is at this URL of the example.
    fn is_at(&mut self, answer: &Answer, url: &str) {
        self.names.text_alike(answer.header("location"), &url.replace("{B}", BOX));
    }

    /// Asserts that an answer is this status and nothing else.
    fn is_bare(&self, answer: &Answer, status: u16) {
        assert_eq!((answer.status.as_u16(), answer.text.as_str()), (status, ""));
    }

    /// An object that the example takes for granted, in the folder at a path; `more` are further fields, each after a
    /// comma.
    async fn has_object(&mut self, name: &str, folder: &str, more: &str) {
        let body = format!(r#"{{"object":{{"parentFolderPath":"{folder}"{more}}}}}"#);
        self.has("/objects", name, body).await;
    }

    /// A folder that the example takes for granted, in one that it has named before.
    async fn has_folder(&mut self, parent: &str, name: &str, called: &str) {
        let body = format!(r#"{{"folder":{{"parentFolder":"{BOX}/folders/{parent}","name":"{called}"}}}}"#);
        self.has("/folders", name, self.names.filled(&body)).await;
    }

    async fn has(&mut self, collection: &str, name: &str, body: String) {
        let headers = [("content-type", "application/json")];
        let url = self.url(&format!("{{B}}{collection}"));
        let answer = self.server.api.send(Method::POST, &url, &headers, Some(body)).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        self.names.bind(name, answer.header("location").rsplit('/').next().unwrap());
    }

    /// A channel that is polled for one list after another, in the format it is made in: its channelURL. Its callbackURL
    /// is the one of the examples.
    async fn has_channel(&mut self, media: &str) -> String {
        let body = if media == "application/json" {
            r#"{"notificationChannel":{"channelType":"LongPolling","channelData":{"maxNotifications":1}}}"#
        } else {
            "<nc:notificationChannel xmlns:nc=\"urn:oma:xml:rest:netapi:notificationchannel:1\"><channelType>LongPolling\
             </channelType><channelData><maxNotifications>1</maxNotifications></channelData></nc:notificationChannel>"
        };
        let headers = [("content-type", media), ("accept", "application/json")];
        let path = "/notificationchannel/v1/tel%3A%2B15550001111/channels";
        let answer = self.server.api.send(Method::POST, path, &headers, Some(body.to_owned())).await;
        let channel = answer.json()["notificationChannel"].clone();
        let url = |url: &Value| url.as_str().unwrap().to_owned();
        self.names.bind("https://store.example.org/api/nc-callback/ch-5", &url(&channel["callbackURL"]));
        self.url(&url(&channel["channelData"]["channelURL"]))
    }

    async fn end(self) {
        self.server.stop().await;
    }
}
