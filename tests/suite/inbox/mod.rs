//! Inboxes, rooms, what is deferred, and the ways to users.

mod deferred;
mod events;
mod notifications;
mod rooms;
mod sockets;
mod targets;

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::support::PATIENCE;
use crate::support::client::{Answer, Api};
use crate::support::postgres::Database;
use crate::support::server::Server;

/// A server on a database of its own, with the event types `comment` and `like`.
async fn served() -> (Database, Server) {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    for name in ["comment", "like"] {
        let declared = server.api.post("/api/event-types", json!({ "name": name, "title": name })).await;
        assert_eq!(declared.status, StatusCode::CREATED, "{}", declared.text);
    }
    (database, server)
}

/// One user's view of the inbox API.
struct Inbox<'a> {
    api: &'a Api,
    user: &'a str,
}

impl<'a> Inbox<'a> {
    fn of(server: &'a Server, user: &'a str) -> Inbox<'a> {
        Inbox { api: &server.api, user }
    }

    async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        let headers = [("x-tocsin-user", self.user), ("content-type", "application/json")];
        self.api.send(method, path, &headers, body.map(|body| body.to_string())).await
    }

    /// The JSON of a GET that is answered.
    async fn get(&self, path: &str) -> Value {
        let answer = self.send(Method::GET, path, None).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text);
        answer.json()
    }

    async fn patch(&self, path: &str, body: Value) -> Answer {
        self.send(Method::PATCH, path, Some(body)).await
    }

    /// Publishes an event: its id.
    async fn publish(&self, fields: Value) -> i64 {
        let answer = self.send(Method::POST, "/api/events", Some(fields)).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
        answer.json()["id"].as_i64().unwrap()
    }

    /// Says to a user that somebody has commented.
    async fn tell(&self, user: &str, title: &str) -> i64 {
        self.publish(json!({ "type": "comment", "title": title, "users": [user] })).await
    }

    /// The titles of a page, in its order.
    async fn titles(&self, query: &str) -> Vec<String> {
        let page = self.get(&format!("/api/notifications{query}")).await;
        let titles = page["results"].as_array().unwrap().iter();
        titles.map(|one| one["event"]["title"].as_str().unwrap().to_owned()).collect()
    }

    /// The ids of all notifications, the newest first.
    async fn ids(&self) -> Vec<i64> {
        let page = self.get("/api/notifications?limit=1000").await;
        page["results"].as_array().unwrap().iter().map(|one| one["id"].as_i64().unwrap()).collect()
    }

    /// A socket that hears of the user's notifications.
    async fn socket(&self, since: &str) -> Listener {
        Listener::open(&self.api.url, &format!("/ws/notifications?user={}&since={since}", self.user)).await
    }
}

/// A socket without a channel.
struct Listener(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Listener {
    async fn try_open(server: &str, path: &str) -> Result<Listener, Error> {
        let url = format!("{}{path}", server.replacen("http", "ws", 1));
        Ok(Listener(connect_async(url).await?.0))
    }

    async fn open(server: &str, path: &str) -> Listener {
        Listener::try_open(server, path).await.unwrap()
    }

    /// The status with which an opening is refused.
    async fn refused(server: &str, path: &str) -> u16 {
        match Listener::try_open(server, path).await {
            Err(Error::Http(answer)) => answer.status().as_u16(),
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("{path} was opened"),
        }
    }

    /// The next frame.
    async fn next(&mut self) -> Value {
        match self.message().await {
            Message::Text(text) => serde_json::from_str(&text).unwrap(),
            other => panic!("not a text frame: {other:?}"),
        }
    }

    async fn message(&mut self) -> Message {
        loop {
            let message = timeout(PATIENCE, self.0.next()).await.expect("no message came").expect("closed").unwrap();
            if !matches!(message, Message::Ping(_) | Message::Pong(_)) {
                return message;
            }
        }
    }

    /// The action and the title of the next frame.
    async fn heard(&mut self) -> (String, String) {
        let frame = self.next().await;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (text(&frame["action"]), text(&frame["notification"]["event"]["title"]))
    }

    /// Waits for what is new under this title, and asserts that nothing else comes before it.
    async fn hears(&mut self, action: &str, title: &str) {
        assert_eq!(self.heard().await, (action.to_owned(), title.to_owned()));
    }

    /// Asserts that nothing comes for a while.
    async fn silent(&mut self) {
        if let Ok(message) = timeout(Duration::from_millis(300), self.message()).await {
            panic!("unexpected: {message:?}");
        }
    }

    /// Code and reason of the server's close frame.
    async fn closed(&mut self) -> (u16, String) {
        loop {
            if let Message::Close(Some(frame)) = self.message().await {
                return (frame.code.into(), frame.reason.as_str().to_owned());
            }
        }
    }

    async fn close(mut self) {
        let _ = self.0.close(None).await;
        while let Some(Ok(_)) = self.0.next().await {}
    }

    async fn say(&mut self, text: &str) {
        self.0.send(Message::text(text)).await.unwrap();
    }
}
