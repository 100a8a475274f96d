//! Between the node and Postgres stands something that swallows notifications, as a transaction pooler does.

use tempfile::TempDir;
use tocsin::config::DatabaseChoice;
use tocsin::log::tailer::Mode;

use super::*;
use crate::support::pooler::deaf;

#[tokio::test]
async fn a_node_that_cannot_hear_its_own_bell_polls_and_says_so() {
    let database = Database::new().await;
    let sql = database.connect().await;
    let dir = TempDir::new().unwrap();
    let through = deaf(&database, &dir).await;
    let server = Server::start_as(&database, |config| config.database = DatabaseChoice::Url(through)).await;
    let api = &server.api;
    eventually("it gives up listening", async || (server.tail().mode() == Mode::Polling).then_some(())).await;
    let channel = api.channel("alice").await;
    let subscription = api.subscribe("b", &channel).await;
    let socket = Socket::open(&channel).await;
    let mut follower = Follower { channel, subscription, socket };
    for n in 0..10 {
        run(&sql, &message("b", n)).await;
        follower.takes(n + 2, n + 2).await;
    }
    let ready = api.get("/readyz").await;
    assert_eq!(ready.status, 200);
    assert!(ready.json()["doorbell"].as_str().unwrap().starts_with("polling"), "{}", ready.text);
}
