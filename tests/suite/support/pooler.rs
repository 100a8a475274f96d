//! What may stand between a client and Postgres: something that swallows notifications, and a transaction pooler.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use super::postgres::Database;

/// The type of a NotificationResponse.
const NOTIFICATION: u8 = b'A';

/// Ends what a client asks for at once, and then it waits for the answer: a Sync, and a simple Query.
const ASKED: [u8; 2] = [b'S', b'Q'];
/// A ReadyForQuery, which says last whether a transaction is open.
const READY: u8 = b'Z';

/// The next message: its type, and all of it.
async fn message(from: &mut (impl AsyncReadExt + Unpin)) -> io::Result<(u8, Vec<u8>)> {
    let (kind, length) = (from.read_u8().await?, from.read_u32().await?);
    let mut whole = [&[kind][..], &length.to_be_bytes()].concat();
    whole.resize(1 + length as usize, 0);
    from.read_exact(&mut whole[5..]).await?;
    Ok((kind, whole))
}

/// Hands on what Postgres says, message by message, but for notifications.
async fn swallow(mut from: impl AsyncReadExt + Unpin, mut to: impl AsyncWriteExt + Unpin) -> io::Result<()> {
    loop {
        let (kind, whole) = message(&mut from).await?;
        if kind != NOTIFICATION {
            to.write_all(&whole).await?;
        }
    }
}

/// Stands in for the Postgres whose socket is at `postgres`.
async fn swallower(listener: UnixListener, postgres: PathBuf) {
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

/// All that Postgres says until it is ready, and whether no transaction is open then.
async fn answer(postgres: &mut UnixStream) -> io::Result<(Vec<u8>, bool)> {
    let mut said = Vec::new();
    loop {
        let (kind, whole) = message(postgres).await?;
        said.extend(&whole);
        if kind == READY {
            return Ok((said, whole.last() == Some(&b'I')));
        }
    }
}

/// Sessions that no transaction needs now; the one that was used last is taken first, as PgBouncer does.
#[derive(Clone)]
struct Sessions {
    postgres: PathBuf,
    idle: Arc<Mutex<Vec<UnixStream>>>,
}

impl Sessions {
    /// A new one, and how it greets.
    async fn open(&self, startup: &[u8]) -> io::Result<(UnixStream, Vec<u8>)> {
        let mut session = UnixStream::connect(&self.postgres).await?;
        session.write_all(startup).await?;
        let (greeting, _) = answer(&mut session).await?;
        Ok((session, greeting))
    }

    async fn take(&self, startup: &[u8]) -> io::Result<UnixStream> {
        let idle = self.idle.lock().unwrap().pop();
        match idle {
            Some(session) => Ok(session),
            None => Ok(self.open(startup).await?.0),
        }
    }

    fn give_back(&self, session: UnixStream) {
        self.idle.lock().unwrap().push(session);
    }

    /// One client, until it goes.
    async fn serve(self, mut client: UnixStream) -> io::Result<()> {
        let length = client.read_u32().await?;
        let mut startup = length.to_be_bytes().to_vec();
        startup.resize(length as usize, 0);
        client.read_exact(&mut startup[4..]).await?;
        let (_, greeting) = self.open(&startup).await?; // it is not kept: transactions share those that transactions opened
        client.write_all(&greeting).await?;
        loop {
            self.serve_transaction(&mut client, &startup).await?;
        }
    }

    async fn serve_transaction(&self, client: &mut UnixStream, startup: &[u8]) -> io::Result<()> {
        let (mut kind, mut whole) = message(client).await?;
        let mut session = self.take(startup).await?;
        loop {
            session.write_all(&whole).await?;
            if ASKED.contains(&kind) {
                let (said, over) = answer(&mut session).await?;
                client.write_all(&said).await?;
                if over {
                    self.give_back(session);
                    return Ok(());
                }
            }
            (kind, whole) = message(client).await?;
        }
    }
}

/// How to reach the database through a socket in `dir`; the listener there, and the socket of Postgres itself.
async fn way(database: &Database, dir: &TempDir) -> (String, UnixListener, PathBuf) {
    let names = "select current_setting('unix_socket_directories'), current_user::text, current_database()::text";
    let row = database.connect().await.query_one(names, &[]).await.unwrap();
    let (real, user, name): (String, String, String) = (row.get(0), row.get(1), row.get(2));
    let listener = UnixListener::bind(dir.path().join(".s.PGSQL.5432")).unwrap();
    let url = format!("host={} user={user} dbname={name}", dir.path().display());
    (url, listener, Path::new(real.trim_matches('"')).join(".s.PGSQL.5432"))
}

/// Something that swallows notifications, for as long as the test runs: how to reach the database through it. Its socket is in `dir`.
pub async fn deaf(database: &Database, dir: &TempDir) -> String {
    let (url, listener, postgres) = way(database, dir).await;
    tokio::spawn(swallower(listener, postgres));
    url
}

/// A transaction pooler, likewise. (It takes clients of one role.)
pub async fn of_transactions(database: &Database, dir: &TempDir) -> String {
    let (url, listener, postgres) = way(database, dir).await;
    let sessions = Sessions { postgres, idle: Arc::default() };
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(sessions.clone().serve(client));
        }
    });
    url
}
