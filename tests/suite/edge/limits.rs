//! Bounds: of the head of a request, and of how many connections there are.

use std::net::SocketAddr;

use reqwest::Method;
use tocsin::config::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{connect, metric, rest};
use crate::support::client::Api;
use crate::support::eventually;
use crate::support::postgres::Database;
use crate::support::raw::exchange;
use crate::support::server::Server;

#[tokio::test]
async fn a_url_that_is_too_long_is_414() {
    let database = Database::new().await;
    let server = Server::start_with(&database, Limits { url_bytes_max: 1000, ..Limits::default() }).await;
    let path = |bytes: usize| format!("/healthz?{}", "x".repeat(bytes - "/healthz?".len()));
    assert_eq!(server.api.get(&path(1000)).await.status, 200);
    for path in [path(1001), format!("/no/such/{}", "x".repeat(5000))] {
        let answer = server.api.get(&path).await;
        let fault = ("SVC0002".to_owned(), vec!["Request-URI".to_owned()]);
        assert_eq!((answer.status.as_u16(), answer.fault()), (414, fault));
    }
    let xml = server.api.send(Method::GET, &path(1001), &[("accept", "application/xml")], None).await;
    assert!(xml.text.contains("<messageId>SVC0002</messageId>"), "in the client's format: {}", xml.text);
    server.stop().await;
}

#[tokio::test]
async fn heads_that_are_too_large_are_431() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let url = format!("{}/healthz", server.api.url);
    let large = format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "y".repeat(32 << 10));
    let many = format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "X: y\r\n".repeat(200));
    let endless = format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: {}", "y".repeat(64 << 10));
    for head in [large, many, endless] {
        let answer = exchange(&url, head.as_bytes()).await;
        assert!(answer.starts_with("http/1.1 431"), "{answer}");
    }
    let fits = format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "y".repeat(30 << 10));
    assert!(exchange(&url, fits.as_bytes()).await.starts_with("http/1.1 200"));
    server.stop().await;
}

/// Whether the server takes one more connection in.
async fn is_taken_in(api: &Api) -> Option<TcpStream> {
    let mut stream = connect(api).await;
    let _ = stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let mut byte = [0];
    stream.read_exact(&mut byte).await.ok().map(|_| stream)
}

#[tokio::test]
async fn connections_from_one_address_are_bounded() {
    let database = Database::new().await;
    let limits = Limits { connections_per_address_max: 3, ..Limits::default() };
    let server = Server::start_with(&database, limits).await;
    let refused = "tocsin_http_connections_refused_total{reason=\"address\"}";
    assert_eq!(metric(&server.api, refused).await, 0); // over a connection that stays
    let (first, _second) = (is_taken_in(&server.api).await.unwrap(), is_taken_in(&server.api).await.unwrap());
    let mut third = connect(&server.api).await;
    assert_eq!(rest(&mut third).await, "", "ended without a word");
    assert!(is_taken_in(&server.api).await.is_none());
    // Another address of this machine.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let (_, host) = server.api.url.split_once("://").unwrap();
    let mut other = socket.connect(host.parse::<SocketAddr>().unwrap()).await.unwrap();
    other.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
    assert!(rest(&mut other).await.starts_with("HTTP/1.1 200"));
    assert_eq!(metric(&server.api, refused).await, 2);
    assert_eq!(metric(&server.api, "tocsin_http_connections").await, 3);
    drop(first);
    let again = eventually("there is room again", async || is_taken_in(&server.api).await).await;
    drop(again);
    server.stop().await;
}

#[tokio::test]
async fn connections_are_bounded_in_all_even_those_of_proxies() {
    let database = Database::new().await;
    let server = Server::start_as(&database, |config| {
        config.limits = Limits { connections_per_address_max: 1, connections_max: 3, ..Limits::default() };
        config.edge.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await;
    let refused = "tocsin_http_connections_refused_total{reason=\"all\"}";
    assert_eq!(metric(&server.api, refused).await, 0);
    let _open = (is_taken_in(&server.api).await.unwrap(), is_taken_in(&server.api).await.unwrap());
    assert!(is_taken_in(&server.api).await.is_none());
    assert_eq!(metric(&server.api, refused).await, 1);
    server.stop().await;
}
