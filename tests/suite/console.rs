//! The console's files; scripts/test-console.sh looks at the page itself, in a browser.

use reqwest::{Method, StatusCode};

use crate::support::client::Socket;
use crate::support::eventually;
use crate::support::postgres::Database;
use crate::support::server::Server;

const SCRIPTS: [&str; 8] = ["box", "console", "feed", "node", "operator", "page", "session", "tocsin"];
const FILES: [(&str, &str); 2] =
    [("/console", "text/html; charset=utf-8"), ("/console/console.css", "text/css; charset=utf-8")];

#[tokio::test]
async fn its_files_say_what_they_are_and_what_the_page_may_do_and_are_sent_once() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let scripts = SCRIPTS.map(|name| (format!("/console/{name}.js"), "text/javascript; charset=utf-8"));
    let files = FILES.map(|(path, media_type)| (path.to_owned(), media_type));
    for (path, media_type) in files.iter().chain(&scripts) {
        let answer = server.api.get(path).await;
        assert_eq!((answer.status, answer.header("content-type")), (StatusCode::OK, *media_type), "{path}");
        assert_eq!(answer.header("cache-control"), "private, no-cache");
        let policy = answer.header("content-security-policy").to_owned();
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"), "{policy}");
        let known = [("if-none-match", answer.header("etag"))];
        let again = server.api.send(Method::GET, path, &known, None).await;
        assert_eq!((again.status, again.text.as_str()), (StatusCode::NOT_MODIFIED, ""), "{path}");
        assert_eq!(again.header("content-security-policy"), policy, "a browser keeps the newest one");
    }
    assert_eq!(server.api.get("/console/").await.header("content-type"), FILES[0].1, "it leads to the page");
    for missing in ["/console/nothing.js", "/console/..%2FCargo.toml", "/console/test/console.test.js"] {
        assert_eq!(server.api.get(missing).await.status, StatusCode::NOT_FOUND, "{missing}");
    }
    server.stop().await;
}

/// What `tocsin explain` says, to whoever may see the subscription.
#[tokio::test]
async fn a_delivery_is_explained_over_http() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let channel = server.api.channel("b").await;
    let subscription = server.api.subscribe("b", &channel).await;
    let url = format!("{}/explain", subscription["resourceURL"].as_str().unwrap());
    let insert = "insert into tocsin.messages (box_id, body) values ('b', 'x')";
    database.connect().await.batch_execute(insert).await.unwrap();
    let mut socket = Socket::open(&channel).await;
    let seq = socket.list().await.seq();
    let told = socket
        .until("it is confirmed", async || {
            let told = server.api.get(&format!("{url}?seq={seq}")).await.json();
            (told["verdict"] == "confirmed").then_some(told)
        })
        .await;
    assert_eq!(told["index"], 1);
    assert!(told["why"].as_str().unwrap().starts_with("sent as index 1, and confirmed"), "{told}");
    assert!(told["facts"]["channel"].as_str().unwrap().contains("of b, WebSockets"), "{told}");
    assert_eq!(server.api.get(&format!("{url}?seq=999")).await.json()["verdict"], "never");
    for wrong in ["", "?seq=", "?seq=0", "?seq=x"] {
        assert_eq!(server.api.get(&format!("{url}{wrong}")).await.status, StatusCode::BAD_REQUEST, "{wrong}");
    }
    let elsewhere = url.replace("/default/b/", "/default/c/") + "?seq=1";
    assert_eq!(server.api.get(&elsewhere).await.status, StatusCode::NOT_FOUND);
    eventually("it has ended", async || {
        let ended = server.api.delete(subscription["resourceURL"].as_str().unwrap()).await;
        (ended.status == StatusCode::NO_CONTENT).then_some(())
    })
    .await;
    assert_eq!(server.api.get(&format!("{url}?seq={seq}")).await.status, StatusCode::NOT_FOUND);
    server.stop().await;
}
