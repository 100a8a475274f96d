//! Clients that take their time: they are cut off, and those who wait for us are not.

use std::time::{Duration, Instant};

use serde_json::json;
use tocsin::config::Limits;
use tokio::io::AsyncWriteExt;
use tokio::time::sleep;

use super::{connect, metric, rest};
use crate::support::client::Socket;
use crate::support::eventually;
use crate::support::poll::Poller;
use crate::support::postgres::Database;
use crate::support::raw::exchange;
use crate::support::server::Server;

/// Nobody is given more than a second.
fn impatient() -> Limits {
    Limits { header_seconds: 1, body_stall_seconds: 1, idle_seconds: 1, ..Limits::default() }
}

const BEGIN: &[u8] =
    b"POST /notificationchannel/v1/alice/channels HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";

#[tokio::test]
async fn a_head_that_trickles_is_cut() {
    let database = Database::new().await;
    let server = Server::start_with(&database, impatient()).await;
    let (mut slow, mut silent) = (connect(&server.api).await, connect(&server.api).await);
    let began = Instant::now();
    slow.write_all(b"GET /healthz HTTP/1.1\r\n").await.unwrap();
    let trickling = async {
        // (When the connection is gone, nothing can be written.)
        while slow.write_all(b"X: y\r\n").await.is_ok() {
            sleep(Duration::from_millis(50)).await;
            assert!(began.elapsed() < Duration::from_secs(20), "it goes on for ever");
        }
    };
    let (silence, ()) = tokio::join!(rest(&mut silent), trickling);
    assert_eq!(silence, "", "a connection that says nothing is cut, too");
    assert_eq!(metric(&server.api, "tocsin_http_connections_cut_total{reason=\"head\"}").await, 2);
    server.stop().await;
}

#[tokio::test]
async fn a_second_head_has_no_more_time_than_the_first() {
    let database = Database::new().await;
    let server = Server::start_with(&database, Limits { idle_seconds: 60, ..impatient() }).await;
    let mut slow = connect(&server.api).await;
    slow.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    eventually("it is answered", async || {
        (metric(&server.api, "tocsin_http_requests_total{route=\"/healthz\",method=\"GET\",status=\"200\"}").await == 1)
            .then_some(())
    })
    .await;
    slow.write_all(b"GET /healthz HTTP").await.unwrap();
    assert_eq!(rest(&mut slow).await.matches("HTTP/1.1 200").count(), 1);
    assert_eq!(metric(&server.api, "tocsin_http_connections_cut_total{reason=\"head\"}").await, 1);
    server.stop().await;
}

#[tokio::test]
async fn a_body_that_stalls_is_408() {
    let database = Database::new().await;
    let server = Server::start_with(&database, impatient()).await;
    for framing in [&b"Content-Length: 100\r\n\r\n{\"notif"[..], b"Transfer-Encoding: chunked\r\n\r\n5\r\n{\"not\r\n"] {
        let mut slow = connect(&server.api).await;
        slow.write_all(&[BEGIN, framing].concat()).await.unwrap();
        let answer = rest(&mut slow).await;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        assert!(answer.contains("connection: close"), "{answer}");
        assert!(answer.contains(r#"{"requestError":{"serviceException":{"messageId":"SVC0002""#), "{answer}");
    }
    assert_eq!(metric(&server.api, "tocsin_http_bodies_stalled_total").await, 2);
    server.stop().await;
}

#[tokio::test]
async fn a_body_that_trickles_is_408() {
    let database = Database::new().await;
    let server = Server::start_with(&database, impatient()).await;
    let mut slow = connect(&server.api).await;
    slow.write_all(&[BEGIN, b"Content-Length: 1000\r\n\r\n"].concat()).await.unwrap();
    let began = Instant::now();
    while slow.write_all(b" ").await.is_ok() {
        sleep(Duration::from_millis(100)).await;
        assert!(began.elapsed() < Duration::from_secs(20), "it goes on for ever");
    }
    assert_eq!(metric(&server.api, "tocsin_http_bodies_stalled_total").await, 1);
    server.stop().await;
}

#[tokio::test]
async fn a_payload_that_stalls_is_408_and_leaves_nothing() {
    let database = Database::new().await;
    let server = Server::start_with(&database, impatient()).await;
    let form = "--x\r\nContent-Disposition: form-data; name=\"root-fields\"\r\nContent-Type: application/json\r\n\r\n\
                {\"object\":{}}\r\n--x\r\nContent-Disposition: form-data; name=\"attachments\"; filename=\"a\"\r\n\r\n";
    let mut slow = connect(&server.api).await;
    let head = "POST /nms/v1/default/b/objects HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900000\r\n\
                Content-Type: multipart/form-data; boundary=x\r\n\r\n";
    slow.write_all(format!("{head}{form}").as_bytes()).await.unwrap();
    slow.write_all(&[b'x'; 400_000]).await.unwrap();
    let answer = rest(&mut slow).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    let sql = database.connect().await;
    eventually("what came of it is removed", async || {
        let left = sql.query_one("select count(*) from tocsin.payload_chunks", &[]).await.unwrap();
        (left.get::<_, i64>(0) == 0).then_some(())
    })
    .await;
    server.stop().await;
}

#[tokio::test]
async fn an_idle_connection_ends_but_neither_a_poll_nor_a_socket() {
    let database = Database::new().await;
    let server = Server::start_with(&database, Limits { poll_seconds: 4, ..impatient() }).await;
    let polled = server.api.channel_with("alice", json!({ "channelType": "LongPolling" })).await;
    let mut poller = Poller::connect(polled["channelData"]["channelURL"].as_str().unwrap()).await;
    poller.ask().await;
    let channel = server.api.channel("alice").await;
    server.api.subscribe("b", &channel).await;
    let mut socket = Socket::open(&channel).await;
    let mut idle = connect(&server.api).await;
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    assert!(rest(&mut idle).await.starts_with("HTTP/1.1 200"), "answered, and ended");
    assert!(metric(&server.api, "tocsin_http_connections_cut_total{reason=\"idle\"}").await >= 1);
    assert_eq!(poller.answer().await.status, 200, "after four seconds");
    let insert = "insert into tocsin.messages (box_id, body) values ('b', 'x')";
    database.connect().await.batch_execute(insert).await.unwrap();
    assert_eq!(socket.list().await.index, 1);
    server.stop().await;
}

/// It holds an answer in the server's memory for no longer than it takes to see that it does not read.
#[tokio::test]
async fn who_does_not_take_an_answer_is_cut() {
    let database = Database::new().await;
    let server = Server::start_with(&database, impatient()).await;
    let form = "--x\r\nContent-Disposition: form-data; name=\"root-fields\"\r\nContent-Type: application/json\r\n\r\n\
                {\"object\":{}}\r\n--x\r\nContent-Disposition: form-data; name=\"attachments\"; filename=\"a\"\r\n\r\n";
    let payload = "x".repeat(16 << 20);
    let headers = [("content-type", "multipart/form-data; boundary=x")];
    let path = "/nms/v1/default/b/objects";
    let body = format!("{form}{payload}\r\n--x--\r\n");
    let answer = server.api.send(reqwest::Method::POST, path, &headers, Some(body)).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    let url = format!("{}/payload", answer.header("location"));
    let path = url.strip_prefix(&server.api.url).unwrap();
    let mut deaf = connect(&server.api).await;
    deaf.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).await.unwrap();
    eventually("it is cut", async || {
        (metric(&server.api, "tocsin_http_connections_cut_total{reason=\"stalled\"}").await == 1).then_some(())
    })
    .await;
    drop(deaf);
    server.stop().await;
}

#[tokio::test]
async fn who_keeps_a_request_waiting_does_not_keep_the_server_from_ending() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let (_silent, mut begun) = (connect(&server.api).await, connect(&server.api).await);
    begun.write_all(b"GET /healthz HTTP/1.1\r\n").await.unwrap();
    assert!(
        exchange(&format!("{}/", server.api.url), b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .await
            .contains("200")
    );
    let began = Instant::now();
    server.stop().await;
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
}
