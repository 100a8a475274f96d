//! A client of the server's HTTP API and WebSockets, for Rust programs; `tocsin listen` and `tocsin replay` are made of it.
//! It knows what anybody outside can know: nothing here reaches the database.
//!
//! ```no_run
//! use futures_util::StreamExt;
//! use tocsin::client::{Client, Listen, Wish};
//!
//! # async fn example() -> Result<(), tocsin::client::Error> {
//! let client = Client::new("http://127.0.0.1:8080")?;
//! let mut listener = client.listen(Listen::new("alice", [Wish::of_box("alice").with_attributes()])).await?;
//! while let Some(list) = listener.next().await {
//!     for notification in list?.notifications {
//!         let Some(of_box) = notification.events else { continue };
//!         for event in &of_box.events {
//!             println!("{}: {:?}", event.words(), event.item());
//!         }
//!         // Store of_box.restart_token together with what you made of the events: `Wish::after` goes on from there.
//!     }
//! }
//! listener.close().await
//! # }
//! ```
//!
//! What is promised is what the JavaScript client promises. Lists come once and in order, whatever happens to the socket,
//! the server or the channel: see [`Listener`].

mod channel;
mod error;
mod event;
mod listen;
mod socket;
mod store_box;
mod subscription;
mod token;

use std::time::Duration;

use reqwest::Method;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub use channel::Channel;
pub use error::{Error, Result};
pub use event::{Attribute, Event, EventList, Item, Notification, NotificationList};
pub use listen::{Happening, Listen, Listener};
pub use socket::{Frame, Socket};
pub use store_box::{Found, NewObject, Object, Search, StoreBox};
pub use subscription::{Criterion, Filter, Operator, Subscription, Wish};
pub use token::Token;

/// How long the server may take to answer a request.
const REQUEST_PATIENCE: Duration = Duration::from_secs(30);
/// With these begin the paths that the server tells.
const PATHS: [&str; 3] = ["/notificationchannel/v1/", "/nms/v1/", "/ws/"];

/// A server, as one user sees it. Clones share their connections.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    server: String,
    token: Token,
}

impl Client {
    /// A client of the server with this URL; nothing is connected yet.
    ///
    /// # Errors
    /// [`Error::Protocol`] when it is no http or https URL, or when the system trusts nobody for https.
    pub fn new(server: &str) -> Result<Self> {
        let is_web = |url: &url::Url| matches!(url.scheme(), "http" | "https") && url.has_host();
        if !url::Url::parse(server).is_ok_and(|url| is_web(&url)) {
            return Err(Error::Protocol(format!("{server:?} is not an http or https URL")));
        }
        let builder = reqwest::Client::builder().timeout(REQUEST_PATIENCE).no_proxy();
        // By http it needs no certificates to start with. By https it trusts whom the system trusts.
        let builder = if server.starts_with("https:") { builder } else { builder.tls_certs_only([]) };
        let http = builder.build().map_err(|fault| Error::Protocol(error::cause(&fault)))?;
        Ok(Client { http, server: server.trim_end_matches('/').to_owned(), token: Token::None })
    }

    /// The same server, for who has this token.
    pub fn with_token(self, token: Token) -> Self {
        Client { token, ..self }
    }

    /// Where the server is, without a slash at the end.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Whether the server can know from a token who asks.
    pub fn has_token(&self) -> bool {
        !matches!(self.token, Token::None)
    }

    /// Asks the server, with the token; `target` is a path, or a URL that it has told. The body of the answer; null for none.
    ///
    /// # Errors
    /// [`Error::Transport`] without an answer within 30 seconds, [`Error::Refused`] for one that is not a success,
    /// [`Error::Protocol`] for one that is not JSON.
    pub async fn ask(&self, method: Method, target: &str, body: Option<Value>) -> Result<Value> {
        let mut request = self.http.request(method, self.here(target));
        if let Some(body) = body {
            request = request.json(&body);
        }
        if let Some(token) = self.token.now().await? {
            request = request.bearer_auth(token);
        }
        let response = request.send().await.map_err(|fault| self.unreachable(&fault))?;
        let status = response.status();
        let body = response.bytes().await.map_err(|fault| self.unreachable(&fault))?;
        if !status.is_success() {
            return Err(Error::refused(status.as_u16(), &body));
        }
        if body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&body).map_err(|fault| Error::Protocol(format!("its answer is not JSON: {fault}")))
    }

    /// What is there, with GET; `None` for 404.
    ///
    /// # Errors
    /// Those of [`Client::ask`].
    pub async fn find(&self, target: &str) -> Result<Option<Value>> {
        unless_gone(self.ask(Method::GET, target, None).await)
    }

    /// Deletes what is there: whether anything was.
    ///
    /// # Errors
    /// Those of [`Client::ask`].
    pub async fn delete(&self, target: &str) -> Result<bool> {
        Ok(unless_gone(self.ask(Method::DELETE, target, None).await)?.is_some())
    }

    /// A URL at the address by which we reach the server: behind a tunnel or a proxy, it may call itself otherwise.
    pub fn here(&self, target: &str) -> String {
        let path = PATHS.iter().filter_map(|path| target.find(path)).min().unwrap_or(0);
        format!("{}{}", self.server, &target[path..])
    }

    fn unreachable(&self, fault: &(dyn std::error::Error + 'static)) -> Error {
        Error::Transport { server: self.server.clone(), why: error::cause(fault) }
    }
}

/// `None` for what is not there.
fn unless_gone<T>(asked: Result<T>) -> Result<Option<T>> {
    match asked {
        Ok(answer) => Ok(Some(answer)),
        Err(fault) if fault.status() == Some(404) => Ok(None),
        Err(fault) => Err(fault),
    }
}

/// What a member of an answer says.
fn member<T: DeserializeOwned>(mut answer: Value, name: &str) -> Result<T> {
    let member = answer.get_mut(name).map(Value::take).unwrap_or_default();
    serde_json::from_value(member).map_err(|fault| Error::Protocol(format!("{name}: {fault}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_lead_to_where_the_server_is_reached() {
        let client = Client::new("http://tunnel:9/base/").unwrap();
        for told in ["https://inside/nms/v1/default/b/objects/1", "/nms/v1/default/b/objects/1"] {
            assert_eq!(client.here(told), "http://tunnel:9/base/nms/v1/default/b/objects/1");
        }
        assert_eq!(client.here("wss://inside/x/ws/token"), "http://tunnel:9/base/ws/token");
        assert_eq!(client.here("/healthz"), "http://tunnel:9/base/healthz");
    }

    #[test]
    fn what_is_no_web_address_is_refused() {
        for bad in ["", "localhost:8080", "ftp://h", "http://", "127.0.0.1"] {
            assert!(matches!(Client::new(bad), Err(Error::Protocol(_))), "{bad}");
        }
    }
}
