//! Between the node and Postgres stands something that swallows notifications, as a transaction pooler does.

use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tocsin::app;
use tocsin::config::{Config, DatabaseChoice, Limits};
use tocsin::log::tailer::Mode;
use tocsin::outbound::config::Push;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use super::*;
use crate::support::client::Api;

/// The type of a NotificationResponse.
const NOTIFICATION: u8 = b'A';

/// Hands on what Postgres says, message by message, but for notifications.
async fn swallow(
    mut from: impl tokio::io::AsyncRead + Unpin,
    mut to: impl tokio::io::AsyncWrite + Unpin,
) -> std::io::Result<()> {
    loop {
        let (kind, length) = (from.read_u8().await?, from.read_u32().await?);
        let mut body = vec![0; length as usize - 4];
        from.read_exact(&mut body).await?;
        if kind != NOTIFICATION {
            to.write_u8(kind).await?;
            to.write_u32(length).await?;
            to.write_all(&body).await?;
        }
    }
}

/// Stands in for the Postgres whose socket is at `postgres`.
async fn pooler(listener: UnixListener, postgres: PathBuf) {
    while let Ok((client, _)) = listener.accept().await {
        let (from_client, to_client) = client.into_split();
        let (from_postgres, to_postgres) = UnixStream::connect(&postgres).await.unwrap().into_split();
        tokio::spawn(async move {
            let (mut from, mut to) = (from_client, to_postgres);
            tokio::select! {
                _ = tokio::io::copy(&mut from, &mut to) => {}
                _ = swallow(from_postgres, to_client) => {}
            }
        });
    }
}

#[tokio::test]
async fn a_node_that_cannot_hear_its_own_bell_polls_and_says_so() {
    let database = Database::new().await;
    let sql = database.connect().await;
    let dir = TempDir::new().unwrap();
    let real: String = value(&sql, "select current_setting('unix_socket_directories')").await;
    let real = real.trim_matches('"').to_owned();
    let listener = UnixListener::bind(dir.path().join(".s.PGSQL.5432")).unwrap();
    tokio::spawn(pooler(listener, Path::new(&real).join(".s.PGSQL.5432")));
    let names = rows(&sql, "select current_user::text, current_database()::text").await;
    let (user, name): (String, String) = (names[0].get(0), names[0].get(1));
    let through = format!("host={} user={user} dbname={name}", dir.path().display());
    let config = Config {
        listen: "127.0.0.1:0".parse().unwrap(),
        database: DatabaseChoice::Url(through),
        public_url: None,
        limits: Limits::default(),
        push: Push::default(),
        allow_private_targets: false,
        drain_seconds: 5,
        secret_key_file: None,
        event_types: Vec::new(),
        groups: Default::default(),
    };
    let server = app::Server::start(config).await.unwrap();
    let api = Api::new(&server.url);
    eventually("it gives up listening", async || (server.tail.mode() == Mode::Polling).then_some(())).await;
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
