use serde_json::json;

use super::*;
use crate::support::client::Api;

/// It prints what comes; while it is dead, and while the server is, things happen; it has all of them once, in order.
async fn nothing_is_lost(program: &str) {
    let database = Database::new().await;
    let server = Server::start_as(&database, |config| config.allow_private_targets = true).await;
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("place");
    let mut arguments = vec!["tel:+1", "--place", place.to_str().unwrap()];
    if program.contains("webhook") {
        arguments.extend(["--port", "0"]);
    }
    let mut first = Running::start(program, &server, &database, &arguments).await;
    write(&database, &["one", "two"]).await;
    assert_eq!(first.texts(2).await, ["one", "two"]);
    let token = "select max(edited_at) = $1::text::timestamptz from tocsin.messages";
    let sql = database.connect().await;
    eventually("the place is kept", async || {
        let kept = std::fs::read_to_string(&place).ok()?;
        sql.query_one(token, &[&kept]).await.unwrap().get::<_, bool>(0).then_some(())
    })
    .await;
    assert_eq!(first.end(Signal::SIGKILL).await.0, [""; 0]);

    write(&database, &["three"]).await;
    let mut second = Running::start(program, &server, &database, &arguments).await;
    assert_eq!(second.texts(1).await, ["three"]);
    let address = server.api.url.trim_start_matches("http://").parse().unwrap();
    server.stop().await;
    write(&database, &["four", "five"]).await;
    let again = |config: &mut tocsin::config::Config| {
        config.listen = address;
        config.allow_private_targets = true;
    };
    let server = Server::start_as(&database, again).await;
    write(&database, &["six"]).await;
    assert_eq!(second.texts(3).await, ["four", "five", "six"]);
    assert_eq!(second.end(Signal::SIGTERM).await.0, [""; 0]);
    server.stop().await;
}

#[tokio::test]
async fn polling_loses_nothing() {
    nothing_is_lost("python/long_poll.py").await;
}

#[tokio::test]
async fn a_webhook_loses_nothing() {
    nothing_is_lost("python/webhook.py").await;
}

#[tokio::test]
#[ignore = "it takes the package websockets: scripts/test-clients.sh has it, and runs this"]
async fn a_websocket_loses_nothing() {
    nothing_is_lost("python/websocket.py").await;
}

#[tokio::test]
async fn a_webhook_takes_no_post_that_is_not_signed() {
    let database = Database::new().await;
    let server = Server::start_as(&database, |config| config.allow_private_targets = true).await;
    let mut hook = Running::start("python/webhook.py", &server, &database, &["tel:+1", "--port", "0"]).await;
    let said = BufReader::new(hook.child.stderr.take().unwrap()).lines().next_line().await.unwrap().unwrap();
    let url = said.strip_prefix("posted to ").unwrap();
    let forged =
        json!({ "notificationList": [{ "nmsEventList": { "nmsEvent": [], "index": 1, "restartToken": "" } }] });
    assert_eq!(Api::new(url.trim_end_matches('/')).post("/", forged).await.status, 401);
    write(&database, &["one"]).await;
    assert_eq!(hook.texts(1).await, ["one"]);
    server.stop().await;
}

#[tokio::test]
async fn what_is_refused_for_good_is_told_and_not_tried_again() {
    let database = Database::new().await;
    let server = Server::start(&database).await; // it calls nobody on this machine
    let output = command("python/webhook.py", &server, &["tel:+1", "--port", "0"]).output();
    let output = timeout(PATIENCE, output).await.expect("it does not end").unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("is not public"), "{said}");
    server.stop().await;
}
