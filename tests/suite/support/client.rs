//! Clients: plain HTTP, and a WebSocket that understands notificationLists.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, connect_async, connect_async_tls_with_config};

use super::PATIENCE;

/// The HTTP API of a server.
#[derive(Clone)]
pub struct Api {
    pub url: String,
    http: reqwest::Client,
    token: Option<String>,
}

/// An answer.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub bytes: Vec<u8>,
    /// The same, as far as it is text.
    pub text: String,
}

impl Answer {
    /// The body as JSON; null when it is empty.
    pub fn json(&self) -> Value {
        if self.text.is_empty() { Value::Null } else { serde_json::from_str(&self.text).unwrap() }
    }

    /// Header value, "" when absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// `messageId` and variables of a requestError.
    pub fn fault(&self) -> (String, Vec<String>) {
        let body = self.json();
        let error = &body["requestError"];
        let exception = error.get("serviceException").or(error.get("policyException")).expect("a requestError");
        let variables = exception["variables"].as_array().unwrap().iter().map(|v| v.as_str().unwrap().to_owned());
        (exception["messageId"].as_str().unwrap().to_owned(), variables.collect())
    }
}

impl Api {
    pub fn new(url: &str) -> Api {
        let http = reqwest::Client::builder().timeout(PATIENCE).no_proxy().build().unwrap();
        Api { url: url.to_owned(), http, token: None }
    }

    /// The same server, for one who brings this access token.
    pub fn with_token(&self, token: &str) -> Api {
        Api { token: Some(token.to_owned()), ..self.clone() }
    }

    /// Of a server by https, whose certificate this CA must have issued.
    pub fn trusting(url: &str, ca: &str) -> Api {
        let ca = reqwest::Certificate::from_pem(ca.as_bytes()).unwrap();
        let http = reqwest::Client::builder().timeout(PATIENCE).no_proxy().tls_certs_only([ca]).build().unwrap();
        Api { url: url.to_owned(), http, token: None }
    }

    /// Whether the server is there, and trusted.
    pub async fn is_reached(&self) -> bool {
        self.http.get(format!("{}/healthz", self.url)).send().await.is_ok()
    }

    /// Any request; `path` is below the server's URL, or a whole URL. A body is sent as it is.
    pub async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Option<String>) -> Answer {
        self.send_bytes(method, path, headers, body.map(String::into_bytes)).await
    }

    /// As [`Api::send`], with a body that need not be text.
    pub async fn send_bytes(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Vec<u8>>,
    ) -> Answer {
        let url = if path.starts_with("http") { path.to_owned() } else { format!("{}{path}", self.url) };
        let mut request = self.http.request(method, url);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        for (name, value) in headers {
            request = request.header(*name, HeaderValue::from_str(value).unwrap());
        }
        if let Some(body) = body {
            request = request.body(body);
        }
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = response.bytes().await.unwrap().to_vec();
        Answer { status, headers, text: String::from_utf8_lossy(&bytes).into_owned(), bytes }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[], None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(Method::POST, path, &[("content-type", "application/json")], Some(body.to_string())).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Answer {
        self.send(Method::PUT, path, &[("content-type", "application/json")], Some(body.to_string())).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, &[], None).await
    }

    /// A WebSockets channel: its representation.
    pub async fn channel(&self, user: &str) -> Value {
        self.channel_with(user, json!({ "channelType": "WebSockets" })).await
    }

    /// A channel with these fields.
    pub async fn channel_with(&self, user: &str, fields: Value) -> Value {
        let answer = self
            .post(&format!("/notificationchannel/v1/{user}/channels"), json!({ "notificationChannel": fields }))
            .await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
        answer.json()["notificationChannel"].clone()
    }

    /// A subscription of a channel to a box (in store `default`, its id percent-encoded): its representation.
    pub async fn subscribe(&self, box_id: &str, channel: &Value) -> Value {
        self.subscribe_with(box_id, channel, json!({})).await
    }

    /// A subscription with more fields than the callbackReference.
    pub async fn subscribe_with(&self, box_id: &str, channel: &Value, mut fields: Value) -> Value {
        fields["callbackReference"]["notifyURL"] = channel["callbackURL"].clone();
        let answer =
            self.post(&format!("/nms/v1/default/{box_id}/subscriptions"), json!({ "nmsSubscription": fields })).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
        answer.json()["nmsSubscription"].clone()
    }
}

/// One nmsEventList as a client sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct EventList {
    pub index: i64,
    pub token: String,
    pub subscription: String,
    /// Its nmsEvents.
    pub events: Vec<Value>,
    /// All of it.
    pub whole: Value,
}

impl EventList {
    pub fn of(notification: &Value) -> EventList {
        let list = &notification["nmsEventList"];
        EventList {
            index: list["index"].as_i64().unwrap(),
            token: list["restartToken"].as_str().unwrap().to_owned(),
            subscription: list["link"][0]["href"].as_str().unwrap().to_owned(),
            events: list["nmsEvent"].as_array().unwrap().clone(),
            whole: list.clone(),
        }
    }

    /// The member that names the kind of its (first) event.
    pub fn kind(&self) -> &str {
        self.events[0].as_object().unwrap().keys().next().unwrap()
    }

    /// lastModSeq of its (first) event.
    pub fn seq(&self) -> i64 {
        self.events[0][self.kind()]["lastModSeq"].as_i64().unwrap()
    }
}

/// An open WebSocket of a channel.
pub struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    waiting: std::collections::VecDeque<EventList>,
}

impl Socket {
    /// Opens the channel's channelURL, offering the registered sub-protocol.
    pub async fn open(channel: &Value) -> Socket {
        Socket::try_open(channel["channelData"]["channelURL"].as_str().unwrap()).await.unwrap()
    }

    pub async fn try_open(url: &str) -> Result<Socket, Error> {
        Socket::try_open_with(url, &[]).await
    }

    /// With headers of the test's own.
    pub async fn try_open_with(url: &str, headers: &[(&'static str, &str)]) -> Result<Socket, Error> {
        let mut request = url.into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, HeaderValue::from_str(value).unwrap());
        }
        let protocol = HeaderValue::from_static(tocsin::wire::nc::SUBPROTOCOL);
        request.headers_mut().insert("Sec-WebSocket-Protocol", protocol);
        let (stream, _) = connect_async(request).await?;
        Ok(Socket { stream, waiting: Default::default() })
    }

    /// By wss, to a server that must have a certificate which `tls` trusts.
    pub async fn open_by_tls(channel: &Value, tls: Arc<rustls::ClientConfig>) -> Socket {
        let request = channel["channelData"]["channelURL"].as_str().unwrap().into_client_request().unwrap();
        let connecting = connect_async_tls_with_config(request, None, false, Some(Connector::Rustls(tls)));
        Socket { stream: connecting.await.unwrap().0, waiting: Default::default() }
    }

    /// The next text frame, as it came.
    pub async fn frame(&mut self) -> String {
        match self.message().await {
            Message::Text(text) => text.as_str().to_owned(),
            other => panic!("not a text frame: {other:?}"),
        }
    }

    /// The next message that is neither Ping nor Pong.
    pub async fn message(&mut self) -> Message {
        loop {
            let message =
                timeout(PATIENCE, self.stream.next()).await.expect("no message came").expect("closed").unwrap();
            if !matches!(message, Message::Ping(_) | Message::Pong(_)) {
                return message;
            }
        }
    }

    /// The next nmsEventList.
    pub async fn list(&mut self) -> EventList {
        while self.waiting.is_empty() {
            let frame: Value = serde_json::from_str(&self.frame().await).unwrap();
            self.waiting.extend(frame["notificationList"].as_array().unwrap().iter().map(EventList::of));
        }
        self.waiting.pop_front().unwrap()
    }

    /// The next `count` nmsEventLists.
    pub async fn lists(&mut self, count: usize) -> Vec<EventList> {
        let mut lists = Vec::new();
        while lists.len() < count {
            lists.push(self.list().await);
        }
        lists
    }

    /// How many nmsEventLists the next frame holds; they stay to be read.
    pub async fn frame_of_lists(&mut self) -> usize {
        assert!(self.waiting.is_empty(), "{:?}", self.waiting);
        let frame: Value = serde_json::from_str(&self.frame().await).unwrap();
        self.waiting.extend(frame["notificationList"].as_array().unwrap().iter().map(EventList::of));
        self.waiting.len()
    }

    /// Looks again and again, as [`super::eventually`] does, and meanwhile reads, so that Pings are answered. Lists that
    /// come stay to be read.
    pub async fn until<T>(&mut self, what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            if let Some(seen) = look().await {
                return seen;
            }
            assert!(std::time::Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
            match timeout(Duration::from_millis(20), self.stream.next()).await {
                Ok(Some(Ok(Message::Text(text)))) => {
                    let frame: Value = serde_json::from_str(&text).unwrap();
                    self.waiting.extend(frame["notificationList"].as_array().unwrap().iter().map(EventList::of));
                }
                Ok(Some(Ok(Message::Ping(_) | Message::Pong(_)))) | Err(_) => {}
                Ok(other) => panic!("unexpected: {other:?}"),
            }
        }
    }

    /// Reads until the server knows that the client has everything of the subscription up to `token`; asserts that no
    /// list came but those read already. Answers the subscription.
    pub async fn nothing_more(&mut self, api: &Api, subscription: &Value, token: &str) -> Value {
        let url = subscription["resourceURL"].as_str().unwrap();
        let seen = self
            .until("the subscription is confirmed", async || {
                let now = api.get(url).await.json()["nmsSubscription"].clone();
                (now["restartToken"].as_str().unwrap() >= token).then_some(now)
            })
            .await;
        assert!(self.waiting.is_empty(), "{:?}", self.waiting);
        seen
    }

    /// Asserts that nothing comes for a while.
    pub async fn silent(&mut self, for_a_while: Duration) {
        assert!(self.waiting.is_empty(), "{:?}", self.waiting);
        if let Ok(message) = timeout(for_a_while, self.message()).await {
            panic!("unexpected: {message:?}");
        }
    }

    /// Waits for the server's close frame: its code and reason.
    pub async fn closed(&mut self) -> (u16, String) {
        loop {
            match self.message().await {
                Message::Close(Some(frame)) => return (frame.code.into(), frame.reason.as_str().to_owned()),
                Message::Close(None) => return (1005, String::new()),
                _ => {}
            }
        }
    }

    /// Reads to the server's close frame: the nmsEventLists that come before it, and its code and reason.
    pub async fn lists_until_closed(&mut self) -> (Vec<EventList>, (u16, String)) {
        loop {
            match self.message().await {
                Message::Text(text) => {
                    let frame: Value = serde_json::from_str(&text).unwrap();
                    self.waiting.extend(frame["notificationList"].as_array().unwrap().iter().map(EventList::of));
                }
                Message::Close(frame) => {
                    let frame = frame.expect("a code");
                    let said = (frame.code.into(), frame.reason.as_str().to_owned());
                    let _ = self.stream.next().await; // our half of the closing
                    return (self.waiting.drain(..).collect(), said);
                }
                other => panic!("unexpected: {other:?}"),
            }
        }
    }

    pub async fn say(&mut self, message: Message) {
        self.stream.send(message).await.unwrap();
    }

    /// Goes away without a word, as a phone that loses its network: nothing more is read, no Pong is sent.
    pub fn vanish(self) {
        drop(self);
    }

    /// Closes properly.
    pub async fn close(mut self) {
        let _ = self.stream.close(None).await;
        while let Ok(Some(Ok(_))) = timeout(PATIENCE, self.stream.next()).await {}
    }
}
