//! Something between a client and Postgres that swallows notifications, as a transaction pooler does.

use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use super::postgres::Database;

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

/// Starts one, for as long as the test runs: how to reach the database through it. Its socket is in `dir`.
pub async fn deaf(database: &Database, dir: &TempDir) -> String {
    let names = "select current_setting('unix_socket_directories'), current_user::text, current_database()::text";
    let row = database.connect().await.query_one(names, &[]).await.unwrap();
    let (real, user, name): (String, String, String) = (row.get(0), row.get(1), row.get(2));
    let listener = UnixListener::bind(dir.path().join(".s.PGSQL.5432")).unwrap();
    tokio::spawn(pooler(listener, Path::new(real.trim_matches('"')).join(".s.PGSQL.5432")));
    format!("host={} user={user} dbname={name}", dir.path().display())
}
