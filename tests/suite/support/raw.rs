//! A client that does only what it is told: any bytes, no Pongs, and no reading unless it is asked for.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use super::PATIENCE;
use super::client::EventList;

/// Kinds of WebSocket frames (RFC 6455, 5.2).
pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;

/// An open WebSocket, frame by frame.
pub struct Raw {
    stream: TcpStream,
    /// The head of the answer to the handshake, in lower case.
    pub head: String,
}

/// A connection to the host of this URL, with a receive buffer so small that not reading is noticed soon; and the
/// URL's path.
async fn connect(url: &str) -> (TcpStream, String) {
    let (_, rest) = url.split_once("://").unwrap();
    let (host, path) = rest.split_once('/').unwrap();
    let address: SocketAddr = host.parse().unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    (socket.connect(address).await.unwrap(), format!("/{path}"))
}

async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match timeout(PATIENCE, stream.read_u8()).await.expect("no answer came") {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(head).unwrap().to_lowercase()
}

/// Sends these bytes to the host of the URL as they are; answers the head of the answer, in lower case, "" if the
/// server closed without one.
pub async fn exchange(url: &str, request: &[u8]) -> String {
    let (mut stream, _) = connect(url).await;
    // The server may refuse and close before it has read everything.
    let _ = stream.write_all(request).await;
    read_head(&mut stream).await
}

impl Raw {
    /// Shakes hands without a sub-protocol.
    pub async fn open(channel: &Value) -> Raw {
        let raw = Raw::shake_hands(channel["channelData"]["channelURL"].as_str().unwrap(), "").await;
        assert!(raw.head.starts_with("http/1.1 101"), "{}", raw.head);
        raw
    }

    /// Shakes hands with these further header lines, whatever the answer.
    pub async fn shake_hands(url: &str, headers: &str) -> Raw {
        let (mut stream, path) = connect(url).await;
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let head = read_head(&mut stream).await;
        Raw { stream, head }
    }

    /// Waits until the server can write no more, because nothing is read here.
    pub async fn stalls(&self) {
        let (here, there) = (self.stream.local_addr().unwrap().port(), self.stream.peer_addr().unwrap().port());
        let mut looks = Vec::new();
        super::eventually("the server can write no more", async || {
            let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
            let server = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).find(|fields| {
                fields[1].ends_with(&format!(":{there:04X}")) && fields[2].ends_with(&format!(":{here:04X}"))
            });
            let (unsent, _) = server.expect("the server's side of the connection")[4].split_once(':').unwrap();
            looks.push(u64::from_str_radix(unsent, 16).unwrap());
            let last = looks.iter().rev().take(10).collect::<Vec<_>>();
            (last.len() == 10 && *last[0] > 0 && last.iter().all(|look| *look == last[0])).then_some(())
        })
        .await;
    }

    /// Sends a whole, masked frame.
    pub async fn send(&mut self, opcode: u8, payload: &[u8]) {
        self.send_as(0x80 | opcode, payload).await;
    }

    /// Sends a masked frame with this first byte: FIN, reserved bits, opcode.
    pub async fn send_as(&mut self, first: u8, payload: &[u8]) {
        let mut frame = vec![first];
        match payload.len() {
            small @ ..126 => frame.push(0x80 | small as u8),
            middle @ ..65536 => {
                frame.push(0x80 | 126);
                frame.extend((middle as u16).to_be_bytes());
            }
            large => {
                frame.push(0x80 | 127);
                frame.extend((large as u64).to_be_bytes());
            }
        }
        frame.extend([0; 4]); // the mask, which thus changes nothing
        frame.extend(payload);
        // The server may close as soon as it has seen the frame's head.
        let _ = self.stream.write_all(&frame).await;
    }

    /// Sends these bytes as they are.
    pub async fn bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// The next frame's opcode and payload; `None` when the server has closed the connection.
    pub async fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        timeout(PATIENCE, self.read_frame()).await.expect("no frame came")
    }

    async fn read_frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut head = [0; 2];
        self.stream.read_exact(&mut head).await.ok()?;
        let length = match head[1] {
            126 => self.stream.read_u16().await.ok()?.into(),
            127 => self.stream.read_u64().await.ok()?,
            small => small.into(),
        };
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        self.stream.read_exact(&mut payload).await.ok()?;
        Some((head[0] & 0x0f, payload))
    }

    /// Reads this many nmsEventLists, and answers no Ping.
    pub async fn lists(&mut self, count: usize) -> Vec<EventList> {
        let mut lists = Vec::new();
        while lists.len() < count {
            lists.extend(lists_of(&self.frame().await.expect("closed")));
        }
        lists
    }

    /// Reads to the end: the lists that come, and then the close frame's code and reason, if there is one.
    pub async fn rest(&mut self) -> (Vec<EventList>, Option<(u16, String)>) {
        let mut lists = Vec::new();
        while let Some(frame) = self.frame().await {
            if frame.0 == CLOSE {
                let (code, reason) = frame.1.split_first_chunk::<2>().expect("a code");
                return (lists, Some((u16::from_be_bytes(*code), String::from_utf8(reason.to_vec()).unwrap())));
            }
            lists.extend(lists_of(&frame));
        }
        (lists, None)
    }
}

fn lists_of(frame: &(u8, Vec<u8>)) -> Vec<EventList> {
    if frame.0 != TEXT {
        return Vec::new();
    }
    let frame: Value = serde_json::from_slice(&frame.1).unwrap();
    frame["notificationList"].as_array().unwrap().iter().map(EventList::of).collect()
}
