//! Something between a client and the server that cuts connections, and loses or repeats frames.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::raw::TEXT;

/// How often a frame is handed on: its text, and how many lists came before it, over all sockets.
type Times = Arc<dyn Fn(&str, usize) -> usize + Send + Sync>;

/// At an address of its own, for as long as the test runs.
pub struct Relay {
    /// Its URL, in place of the server's.
    pub url: String,
    cut: Arc<watch::Sender<()>>,
    sockets: Arc<AtomicUsize>,
}

impl Relay {
    /// Hands everything on.
    pub async fn start(server: &str) -> Relay {
        Relay::start_with(server, |_, _| 1).await
    }

    /// Hands each frame with a notificationList on as often as is said.
    pub async fn start_with(server: &str, times: impl Fn(&str, usize) -> usize + Send + Sync + 'static) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = server.strip_prefix("http://").unwrap().to_owned();
        let cut = Arc::new(watch::Sender::new(()));
        let sockets = Arc::new(AtomicUsize::new(0));
        let (cuts, counted) = (cut.clone(), sockets.clone());
        let (lists, times) = (Arc::new(AtomicUsize::new(0)), Arc::new(times) as Times);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (counted, lists, times, mut cuts) =
                    (counted.clone(), lists.clone(), times.clone(), cuts.subscribe());
                let Ok(server) = TcpStream::connect(&server).await else { continue };
                tokio::spawn(async move {
                    tokio::select! {
                        _ = hand_on(client, server, &counted, &lists, &times) => {}
                        _ = cuts.changed() => {}
                    }
                });
            }
        });
        Relay { url, cut, sockets }
    }

    /// Breaks every connection that is open.
    pub fn cut(&self) {
        self.cut.send_replace(());
    }

    /// How many sockets were opened so far.
    pub fn sockets(&self) -> usize {
        self.sockets.load(Ordering::SeqCst)
    }
}

async fn hand_on(
    client: TcpStream,
    server: TcpStream,
    sockets: &AtomicUsize,
    lists: &AtomicUsize,
    times: &Times,
) -> std::io::Result<()> {
    let (mut from_client, to_client) = client.into_split();
    let (from_server, mut to_server) = server.into_split();
    let mut head = [0; 4096];
    let count = from_client.read(&mut head).await?;
    to_server.write_all(&head[..count]).await?;
    let is_socket = String::from_utf8_lossy(&head[..count]).to_lowercase().contains("upgrade: websocket");
    let back = async {
        match is_socket {
            true => {
                sockets.fetch_add(1, Ordering::SeqCst);
                hand_frames_on(from_server, to_client, lists, times).await
            }
            false => hand_bytes_on(from_server, to_client).await,
        }
    };
    tokio::select! {
        copied = copy(&mut from_client, &mut to_server) => copied.map(drop),
        copied = back => copied,
    }
}

async fn hand_bytes_on(mut from: OwnedReadHalf, mut to: OwnedWriteHalf) -> std::io::Result<()> {
    copy(&mut from, &mut to).await.map(drop)
}

/// The head of the answer as it is, then frame by frame.
async fn hand_frames_on(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    lists: &AtomicUsize,
    times: &Times,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(from.read_u8().await?);
    }
    to.write_all(&head).await?;
    loop {
        let frame = read_frame(&mut from).await?;
        let text = String::from_utf8_lossy(&frame.1);
        let is_list = frame.0[0] & 0x0f == TEXT && text.contains("notificationList");
        let count = if is_list { times(&text, lists.fetch_add(1, Ordering::SeqCst)) } else { 1 };
        for _ in 0..count {
            to.write_all(&frame.0).await?;
            to.write_all(&frame.1).await?;
        }
    }
}

/// Head and payload of a frame that is not masked.
async fn read_frame(from: &mut OwnedReadHalf) -> std::io::Result<(Vec<u8>, Vec<u8>)> {
    let mut head = vec![0; 2];
    from.read_exact(&mut head).await?;
    let more = match head[1] {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let mut length = vec![0; more];
    from.read_exact(&mut length).await?;
    let size = match more {
        0 => head[1].into(),
        _ => length.iter().fold(0, |size: usize, byte| size << 8 | usize::from(*byte)),
    };
    head.extend(length);
    let mut payload = vec![0; size];
    from.read_exact(&mut payload).await?;
    Ok((head, payload))
}
