//! Servers that answer as a test wants, and keep what they were asked.

use std::future::pending;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode, Version};
use axum::response::Response;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// One request as it came.
#[derive(Debug, Clone)]
pub struct Received {
    pub method: Method,
    /// Path and query.
    pub path: String,
    pub version: Version,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// What is answered; nothing ever with `None`.
pub type Reply = Option<Response>;

/// A status, headers and a body.
pub fn reply(status: impl TryInto<StatusCode>, headers: &[(&str, &str)], body: impl Into<Body>) -> Reply {
    let status = status.try_into().unwrap_or_else(|_| panic!("not a status"));
    let response = headers.iter().fold(Response::builder().status(status), |r, (name, value)| r.header(*name, *value));
    Some(response.body(body.into()).unwrap())
}

/// A server for HTTP/1 and, with prior knowledge, HTTP/2.
pub struct StandIn {
    /// Without path.
    pub url: String,
    received: Arc<Mutex<Vec<Received>>>,
}

impl StandIn {
    /// Answers each request as `answer` says, which also gets the number of requests to this path before.
    pub async fn start(answer: impl Fn(&Received, usize) -> Reply + Send + Sync + 'static) -> StandIn {
        let received: Arc<Mutex<Vec<Received>>> = Arc::default();
        let (keep, answer) = (received.clone(), Arc::new(answer));
        let handler = async move |request: Request| {
            let (head, body) = request.into_parts();
            let body = to_bytes(body, usize::MAX).await.unwrap();
            let path = head.uri.path_and_query().unwrap().to_string();
            let it = Received { method: head.method, path, version: head.version, headers: head.headers, body };
            let before = {
                let mut all = keep.lock().unwrap();
                all.push(it.clone());
                all.iter().filter(|other| other.path == it.path).count() - 1
            };
            match answer(&it, before) {
                Some(response) => response,
                None => pending().await,
            }
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(handler)).await });
        StandIn { url, received }
    }

    /// Answers each request with this status, which may change.
    pub async fn answering(status: u16) -> (StandIn, Arc<AtomicU16>) {
        let status = Arc::new(AtomicU16::new(status));
        let now = status.clone();
        (StandIn::start(move |_, _| reply(now.load(Ordering::Relaxed), &[], "ignored")).await, status)
    }

    /// What was asked so far.
    pub fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// The only request there was.
    pub fn only(&self) -> Received {
        let all = self.received();
        assert_eq!(all.len(), 1, "{all:?}");
        all[0].clone()
    }

    /// The paths asked for, in order.
    pub fn paths(&self) -> Vec<String> {
        self.received().into_iter().map(|request| request.path).collect()
    }
}

/// A server that sends these bytes to whoever has sent a request's head, and then resets the connection.
pub async fn resets_after(bytes: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                match stream.read_u8().await {
                    Ok(byte) => head.push(byte),
                    Err(_) => break,
                }
            }
            let _ = stream.write_all(bytes).await;
            let _ = stream.set_zero_linger();
        }
    });
    url
}
