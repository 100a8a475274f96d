//! A client that polls, request by request over one connection, and can go away in any way.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::MaybeTlsStream;

use super::PATIENCE;
use super::client::EventList;

/// A connection to the host of a channelURL.
pub struct Poller {
    stream: MaybeTlsStream<TcpStream>,
    path: String,
}

async fn connect(url: &str, scheme: &str) -> (TcpStream, String) {
    let (host, path) = url.strip_prefix(scheme).unwrap().split_once('/').unwrap();
    let address: SocketAddr = host.parse().unwrap();
    (TcpStream::connect(address).await.unwrap(), format!("/{path}"))
}

/// What a poll was answered.
#[derive(Debug)]
pub struct Polled {
    pub status: u16,
    pub body: Value,
}

impl Polled {
    /// The notifications of a 200.
    pub fn notifications(&self) -> &Vec<Value> {
        assert_eq!(self.status, 200, "{}", self.body);
        self.body["notificationList"].as_array().expect("always an array")
    }

    /// Its nmsEventLists.
    pub fn lists(&self) -> Vec<EventList> {
        self.notifications().iter().map(EventList::of).collect()
    }

    /// Their indexes.
    pub fn indexes(&self) -> Vec<i64> {
        self.lists().iter().map(|list| list.index).collect()
    }

    /// messageId of a requestError.
    pub fn fault(&self) -> (u16, &str) {
        (self.status, self.body["requestError"]["serviceException"]["messageId"].as_str().unwrap())
    }
}

impl Poller {
    /// Connects to where this URL leads.
    pub async fn connect(url: &str) -> Poller {
        let (stream, path) = connect(url, "http://").await;
        Poller { stream: MaybeTlsStream::Plain(stream), path }
    }

    /// The same by https.
    pub async fn connect_by_tls(url: &str, tls: Arc<rustls::ClientConfig>) -> Poller {
        let (stream, path) = connect(url, "https://").await;
        let name = stream.peer_addr().unwrap().ip().into();
        let stream = TlsConnector::from(tls).connect(name, stream).await.unwrap();
        Poller { stream: MaybeTlsStream::Rustls(stream), path }
    }

    fn tcp(&self) -> &TcpStream {
        match &self.stream {
            MaybeTlsStream::Plain(stream) => stream,
            MaybeTlsStream::Rustls(stream) => stream.get_ref().0,
            _ => panic!("another kind of connection"),
        }
    }

    /// Asks, and does not wait for the answer.
    pub async fn ask(&mut self) {
        self.ask_with("").await;
    }

    /// As [`Poller::ask`], with `Connection: close`.
    pub async fn ask_for_the_last_time(&mut self) {
        self.ask_with("Connection: close\r\n").await;
    }

    /// Makes another request over the same connection.
    pub async fn asks_for_something_else(&mut self) {
        self.stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\nok\n") {
            answer.push(timeout(PATIENCE, self.stream.read_u8()).await.expect("no answer came").unwrap());
        }
    }

    async fn ask_with(&mut self, headers: &str) {
        let body = r#"{"longPollingRequestParameters":null}"#;
        let request = format!(
            "POST {} HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.path,
            body.len()
        );
        self.stream.write_all(request.as_bytes()).await.unwrap();
    }

    /// Waits for the answer.
    pub async fn answer(&mut self) -> Polled {
        timeout(PATIENCE, self.read_answer()).await.expect("no answer came")
    }

    async fn read_answer(&mut self) -> Polled {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.stream.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap().to_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let (_, length) = head.split_once("content-length: ").unwrap();
        let mut body = vec![0; length.split_once('\r').unwrap().0.parse().unwrap()];
        self.stream.read_exact(&mut body).await.unwrap();
        Polled { status, body: if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() } }
    }

    /// Asks and waits.
    pub async fn poll(&mut self) -> Polled {
        self.ask().await;
        self.answer().await
    }

    /// Asserts that there is no answer for a while.
    pub async fn silent(&mut self, for_a_while: Duration) {
        let byte = timeout(for_a_while, self.stream.read_u8()).await;
        assert!(byte.is_err(), "an answer came");
    }

    /// Waits until an answer has arrived in our kernel, and leaves it there.
    pub async fn has_answer(&self) {
        timeout(PATIENCE, self.tcp().peek(&mut [0])).await.expect("no answer came").unwrap();
    }

    /// Goes away in good order.
    pub fn close(self) {
        drop(self);
    }

    /// Goes away as a process does that is killed: what is unread is thrown away, the peer is told by a reset.
    pub fn die(self) {
        socket2::SockRef::from(self.tcp()).set_linger(Some(Duration::ZERO)).unwrap();
        drop(self);
    }
}
