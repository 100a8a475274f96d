//! Floods: of one user, of one address, of guesses, of sockets.

use reqwest::Method;

use super::sockets::Listening;
use super::*;
use crate::support::client::{Answer, Socket};
use crate::support::eventually;

async fn statuses(requests: impl IntoIterator<Item = impl Future<Output = Answer>>) -> Vec<StatusCode> {
    futures_util::future::join_all(requests).await.iter().map(|answer| answer.status).collect()
}

fn count(statuses: &[StatusCode], status: StatusCode) -> usize {
    statuses.iter().filter(|one| **one == status).count()
}

#[tokio::test]
async fn a_user_who_asks_too_often_waits_and_nobody_else_does() {
    let guarded = Guarded::start_as(|config| config.limits.requests_per_user_per_second_max = 5).await;
    let (alice, bob, admin) = (guarded.of("alice"), guarded.of("bob"), guarded.admin());
    let path = "/api/notifications/unread-count";
    let flood = statuses((0..40).map(|_| alice.get(path))).await;
    assert!(count(&flood, StatusCode::TOO_MANY_REQUESTS) >= 20, "{flood:?}");
    let refused = loop {
        let answer = alice.get(path).await;
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            break answer;
        }
    };
    assert_eq!((refused.header("retry-after"), refused.fault().0.as_str()), ("1", "POL0001"));
    assert_eq!(bob.get(path).await.status, StatusCode::OK);
    // The application itself is not counted.
    let busy = statuses((0..40).map(|_| admin.get(path))).await;
    assert_eq!(count(&busy, StatusCode::OK), 40);
    eventually("she may ask again", async || (alice.get(path).await.status == StatusCode::OK).then_some(())).await;
    let metrics = admin.get("/metrics").await.text;
    assert!(metrics.contains("tocsin_http_requests_refused_total{by=\"user\"}"), "{metrics}");
    guarded.server.stop().await;
}

#[tokio::test]
async fn guesses_from_one_address_are_limited_and_a_header_makes_no_other_address() {
    let guarded = Guarded::start_as(|config| {
        config.limits.requests_per_address_per_second_max = 5;
        config.edge.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await;
    let api = &guarded.server.api;
    let path = "/notificationchannel/v1/alice/channels";
    let guess = async |forwarded: String| {
        let headers = [("x-forwarded-for", forwarded.as_str()), ("authorization", "Bearer x.y.z")];
        api.send(Method::GET, path, &headers, None).await
    };
    let flood = statuses((0..40).map(|_| guess("203.0.113.7".to_owned()))).await;
    assert!(count(&flood, StatusCode::TOO_MANY_REQUESTS) >= 20, "{flood:?}");
    // What the client has written itself stands before what the proxy saw.
    let flood = statuses((0..40).map(|n| guess(format!("198.51.100.{n}, 203.0.113.8")))).await;
    assert!(count(&flood, StatusCode::TOO_MANY_REQUESTS) >= 20, "{flood:?}");
    assert_eq!(guess("203.0.113.9".to_owned()).await.status, StatusCode::UNAUTHORIZED, "another client");
    guarded.server.stop().await;
}

#[tokio::test]
async fn callbacks_to_guessed_urls_are_limited_too() {
    let guarded = Guarded::start_as(|config| {
        config.limits.requests_per_address_per_second_max = 5;
        config.edge.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await;
    let headers = [("x-forwarded-for", "203.0.113.7"), ("content-type", "application/json")];
    let guess = async |n: usize| {
        let path = format!("/callback/01a21fc905a972b8b667d16ea470a403.AAAAAAAAAAAAAAAAAAAA{n:02}");
        guarded.server.api.send(Method::POST, &path, &headers, Some("{}".to_owned())).await
    };
    let flood = statuses((0..40).map(guess)).await;
    assert!(count(&flood, StatusCode::TOO_MANY_REQUESTS) >= 20, "{flood:?}");
    assert_eq!(count(&flood, StatusCode::NOT_FOUND) + count(&flood, StatusCode::TOO_MANY_REQUESTS), 40);
    guarded.server.stop().await;
}

#[tokio::test]
async fn a_user_has_so_many_sockets_and_a_closed_one_makes_room() {
    let guarded = Guarded::start_as(|config| config.limits.sockets_per_user_max = 2).await;
    let alice = guarded.of("alice");
    let channel = alice.channel("alice").await;
    let socket = Socket::open(&channel).await;
    let _inbox = Listening::open(&guarded, "alice", "/ws/notifications").await.unwrap();
    let refused = async || {
        Listening::open(&guarded, "alice", "/ws/notifications").await.err().map(|fault| match fault {
            tokio_tungstenite::tungstenite::Error::Http(response) => response.status().as_u16(),
            other => panic!("{other}"),
        })
    };
    assert_eq!(refused().await, Some(429));
    Listening::open(&guarded, "bob", "/ws/notifications").await.unwrap();
    socket.close().await;
    eventually("there is room", async || refused().await.is_none().then_some(())).await;
    guarded.server.stop().await;
}

#[tokio::test]
async fn without_authentication_pages_of_other_hosts_can_neither_ask_nor_write() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let path = "/notificationchannel/v1/alice/channels";
    let body = json!({ "notificationChannel": { "channelType": "WebSockets" } }).to_string();
    let ask = async |method: Method, headers: &[(&str, &str)]| {
        let body = (method == Method::POST).then(|| body.clone());
        server.api.send(method, path, headers, body).await.status
    };
    let json = ("content-type", "application/json");
    // A name of somebody else's that leads to this machine.
    for method in [Method::GET, Method::POST] {
        assert_eq!(ask(method.clone(), &[("host", "evil.example:8080"), json]).await, StatusCode::FORBIDDEN);
        assert_ne!(ask(method, &[("host", "localhost:8080"), json]).await, StatusCode::FORBIDDEN);
    }
    // A form on a page of somebody else's.
    let form = [("origin", "https://evil.example"), ("content-type", "application/x-www-form-urlencoded")];
    assert_eq!(ask(Method::POST, &form).await, StatusCode::FORBIDDEN);
    assert_eq!(ask(Method::POST, &[("origin", &server.api.url), json]).await, StatusCode::CREATED);
    server.stop().await;
}
