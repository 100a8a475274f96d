//! What stands between the Internet and the handlers: TLS, bounds, slow clients, browsers.

mod limits;
mod origins;
mod postgres;
mod slow;
mod tls;

use std::net::SocketAddr;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::PATIENCE;
use crate::support::client::Api;

/// A connection to the server.
async fn connect(api: &Api) -> TcpStream {
    let (_, host) = api.url.split_once("://").unwrap();
    TcpStream::connect(host.parse::<SocketAddr>().unwrap()).await.unwrap()
}

/// What comes until the server ends the connection.
async fn rest(stream: &mut TcpStream) -> String {
    let mut rest = Vec::new();
    // A reset is an end, too.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("the connection is not ended");
    String::from_utf8(rest).unwrap()
}

/// The value of a metric, written as in /metrics; 0 when it is not there.
async fn metric(api: &Api, name: &str) -> u64 {
    let text = api.get("/metrics").await.text;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map_or(0, |value| value.parse().unwrap())
}
