//! The examples of the Notification Channel specification: each request as it is given there, its answer equal up to
//! ids, dates and hosts. The names of the tests begin with the section: `s6_1_5` for 6.1.5, `d_14` for D.14. Where an
//! example of the main text is in XML, Appendix D has its twin in JSON.

mod alike;
mod create;
mod forms;
mod lifetimes;
mod lists;
mod polls;
mod sockets;
mod verbs;

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tocsin::config::Limits;

use super::push::{fcm, gateway_at, with_fcm};
use crate::support::client::Answer;
use crate::support::postgres::Database;
use crate::support::server::Server;
use crate::support::stand_in::{StandIn, reply};

const XML: &str = "application/xml";
const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";
/// The channels of the examples' user.
const CHANNELS: &str = "/notificationchannel/v1/tel%3A%2B19585550100/channels";
/// What every notificationChannel of an answer ends with.
const URLS: &str = "<callbackURL>https://nc.example.net/cb/77ab</callbackURL><resourceURL>\
    https://nc.example.net/api/notificationchannel/v1/tel%3A%2B19585550100/channels/k7</resourceURL>";

/// The server of an example, and what it runs on.
struct Scene {
    server: Server,
    database: Database,
    _services: Vec<StandIn>,
    _folder: TempDir,
}

impl Scene {
    /// A server that offers every channel type, grants lifetimes of up to 3600 s, and answers polls after a second.
    async fn new() -> Scene {
        let (database, folder) = (Database::new().await, TempDir::new().unwrap());
        let (device, gateway) = (fcm(|_, _| reply(200, &[], "{}")).await, StandIn::start(|_, _| None).await);
        let server = Server::start_as(&database, |config| {
            config.limits = Limits { channel_lifetime_seconds_max: 3600, poll_seconds: 1, ..Limits::default() };
            with_fcm(config, &device, &folder);
            config.push.oma_push = Some(gateway_at(&gateway));
        })
        .await;
        Scene { server, database, _services: vec![device, gateway], _folder: folder }
    }

    /// One that has no push service, and whose polls are open for long.
    async fn without_push() -> Scene {
        let database = Database::new().await;
        let limits = Limits { poll_seconds: 25, ..Limits::default() };
        let server = Server::start_with(&database, limits).await;
        Scene { server, database, _services: Vec::new(), _folder: TempDir::new().unwrap() }
    }

    /// One that sends connChecks every two seconds, to those who want them.
    async fn with_checks() -> Scene {
        let database = Database::new().await;
        let limits = Limits { conn_check_seconds: 2, ..Limits::default() };
        let server = Server::start_with(&database, limits).await;
        Scene { server, database, _services: Vec::new(), _folder: TempDir::new().unwrap() }
    }

    /// A request in this format by a client that reads it.
    async fn ask(&self, method: Method, path: &str, media: &str, body: Option<String>) -> Answer {
        self.server.api.send(method, path, &[("content-type", media), ("accept", media)], body).await
    }

    /// A channel created in JSON.
    async fn channel(&self, fields: Value) -> Value {
        self.server.api.channel_with("tel%3A%2B19585550100", fields).await
    }

    async fn end(self) {
        self.server.stop().await;
    }
}

/// A document of the specification's namespace.
fn nc(root: &str, content: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <nc:{root} xmlns:nc=\"urn:oma:xml:rest:netapi:notificationchannel:1\" \
         xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\">{content}</nc:{root}>"
    )
}

/// A requestError in XML.
fn fault(content: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<common:requestError \
         xmlns:common=\"urn:oma:xml:rest:netapi:common:1\">{content}</common:requestError>"
    )
}

/// A `notificationChannel` with the URLs of every answer.
fn answered(mut fields: Value) -> Value {
    fields["callbackURL"] = json!("https://nc.example.net/cb/77ab");
    fields["resourceURL"] = json!("https://nc.example.net/api/notificationchannel/v1/tel%3A%2B19585550100/channels/k7");
    json!({ "notificationChannel": fields })
}

/// A field of an answer in XML, which has no elements within.
fn field<'a>(answer: &'a Answer, name: &str) -> &'a str {
    let (_, rest) = answer.text.split_once(&format!("<{name}>")).unwrap();
    rest.split_once('<').unwrap().0
}
