//! Browsers: whose pages are served, and what every answer tells a browser.

use reqwest::Method;
use serde_json::json;
use tocsin::config::edge::CorsOrigins;

use crate::support::client::{Answer, Api};
use crate::support::postgres::Database;
use crate::support::raw::Raw;
use crate::support::server::Server;

const APP: &str = "https://app.example";
const EVIL: &str = "https://evil.example";

async fn with_cors(database: &Database, cors: CorsOrigins) -> Server {
    Server::start_as(database, |config| {
        config.public_url = Some("https://push.example".to_owned());
        config.edge.cors = cors;
    })
    .await
}

fn app_only() -> CorsOrigins {
    CorsOrigins::These(vec![APP.to_owned()])
}

/// The status of a handshake from a page of this origin.
async fn handshake(url: &str, origin: &str) -> String {
    let raw = Raw::shake_hands(url, &format!("Origin: {origin}\r\n")).await;
    raw.head.split(' ').nth(1).unwrap().to_owned()
}

#[tokio::test]
async fn sockets_of_foreign_pages_are_refused_on_every_route() {
    let database = Database::new().await;
    let server = with_cors(&database, app_only()).await;
    let channel = server.api.channel("alice").await;
    let (_, path) = channel["channelData"]["channelURL"].as_str().unwrap().split_once("push.example").unwrap();
    for path in [path, "/ws/notifications?user=alice", "/ws/rooms/lobby?user=alice", "/api/notifications/?user=alice"] {
        let url = format!("{}{path}", server.api.url);
        for foreign in
            [EVIL, "null", "https://app.example.evil.example", "http://push.example", "https://x, https://app.example"]
        {
            assert_eq!(handshake(&url, foreign).await, "403", "{foreign} on {path}");
        }
        for allowed in [APP, "https://push.example", "http://localhost"] {
            assert_eq!(handshake(&url, allowed).await, "101", "{allowed} on {path}");
        }
        let two = Raw::shake_hands(&url, &format!("Origin: {APP}\r\nOrigin: {EVIL}\r\n")).await;
        assert!(two.head.starts_with("http/1.1 403"), "{}", two.head);
        let program = Raw::shake_hands(&url, "").await;
        assert!(program.head.starts_with("http/1.1 101"), "no browser: {}", program.head);
    }
    server.stop().await;
}

#[tokio::test]
async fn with_a_star_sockets_of_all_pages_are_let_in() {
    let database = Database::new().await;
    let server = with_cors(&database, CorsOrigins::Any).await;
    let url = format!("{}/ws/notifications?user=alice", server.api.url);
    assert_eq!(handshake(&url, EVIL).await, "101");
    server.stop().await;
}

/// What a browser is told before a request that a page wants to make.
async fn preflight(api: &Api, origin: &str) -> Answer {
    let headers = [
        ("origin", origin),
        ("access-control-request-method", "PUT"),
        ("access-control-request-headers", "authorization,content-type,idempotency-key"),
    ];
    api.send(Method::OPTIONS, "/notificationchannel/v1/alice/channels", &headers, None).await
}

#[tokio::test]
async fn pages_of_named_origins_may_use_the_api() {
    let database = Database::new().await;
    let server = with_cors(&database, app_only()).await;
    let allowed = preflight(&server.api, APP).await;
    assert_eq!((allowed.status.as_u16(), allowed.header("access-control-allow-origin")), (200, APP));
    for header in
        ["authorization", "content-type", "idempotency-key", "x-tocsin-user", "if-match", "if-none-match", "range"]
    {
        assert!(allowed.header("access-control-allow-headers").split(',').any(|one| one == header), "{header}");
    }
    assert!(allowed.header("access-control-allow-methods").contains("PUT"));
    assert_eq!(allowed.header("access-control-allow-credentials"), "");
    assert_eq!(preflight(&server.api, EVIL).await.header("access-control-allow-origin"), "");
    let answer = server.api.send(Method::GET, "/healthz", &[("origin", APP)], None).await;
    assert_eq!(answer.header("access-control-allow-origin"), APP);
    assert_eq!(answer.header("access-control-expose-headers"), "location,etag,retry-after,traceparent,x-request-id");
    let foreign = server.api.send(Method::GET, "/healthz", &[("origin", EVIL)], None).await;
    assert_eq!(foreign.header("access-control-allow-origin"), "");
    server.stop().await;
}

#[tokio::test]
async fn with_a_star_every_page_may_use_the_api_but_never_with_credentials() {
    let database = Database::new().await;
    let server = with_cors(&database, CorsOrigins::Any).await;
    let allowed = preflight(&server.api, EVIL).await;
    assert_eq!(allowed.header("access-control-allow-origin"), "*");
    assert_eq!(allowed.header("access-control-allow-credentials"), "");
    server.stop().await;
}

#[tokio::test]
async fn without_the_setting_no_page_may() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let answer = preflight(&server.api, &server.api.url).await;
    assert_eq!((answer.status.as_u16(), answer.header("access-control-allow-origin")), (405, ""));
    server.stop().await;
}

#[tokio::test]
async fn every_answer_says_how_it_may_be_used() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let api = &server.api;
    let channel = api.channel("alice").await;
    let box_of_ours = "/nms/v1/default/b/objects";
    let object = json!({ "object": { "attributes": { "attribute": [{ "name": "TextContent", "value": ["hi"] }] } } });
    let created = api.post(box_of_ours, object).await;
    for (answer, status) in [
        (api.get("/healthz").await, 200),
        (api.get(channel["resourceURL"].as_str().unwrap()).await, 200),
        (api.delete(channel["resourceURL"].as_str().unwrap()).await, 204),
        (api.post(box_of_ours, json!([])).await, 400),
        (api.get("/no/such/path").await, 404),
        (api.get("/nms/v1/default/b/objects/4711").await, 404),
        (api.delete("/healthz").await, 405),
        (api.get(&format!("/{}", "x".repeat(9000))).await, 414),
        (api.get("/ws/notifications?user=alice").await, 400),
        (created, 201),
    ] {
        assert_eq!(answer.status, status);
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
            ("cache-control", "no-store"),
            ("strict-transport-security", ""),
        ] {
            assert_eq!(answer.header(name), value, "{name} of {status}");
        }
    }
    server.stop().await;
}
