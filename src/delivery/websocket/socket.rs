//! A WebSocket as a session uses it: reading and its protocol are the library's; what is sent goes into one buffer of
//! our own, and from there to the kernel in one write. So a Ping costs no system call beside the lists that it follows,
//! and an idle socket holds no memory for what it once sent.

use std::io;

use bytes::BufMut;
use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::Error as SocketError;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message, Role, WebSocketConfig};

/// What a client may send, in bytes: connCheck and connAck are small.
const MESSAGE_BYTES_MAX: usize = 16 * 1024;
/// Read at once. Small, since there is such a buffer for each of many idle sockets.
const READ_BYTES: usize = 128;
/// First byte of a whole text message, and of a Ping (RFC 6455, 5.2).
const TEXT: u8 = 0x81;
const PING: u8 = 0x89;

/// One WebSocket, the server's end of it.
pub struct Socket {
    stream: WebSocketStream<TokioIo<Upgraded>>,
    /// Frames on their way to the kernel.
    out: Vec<u8>,
    /// How much of them it has.
    written: usize,
}

impl Socket {
    /// On a connection that has become a WebSocket.
    pub async fn new(upgraded: Upgraded) -> Self {
        let config = WebSocketConfig::default()
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .max_frame_size(Some(MESSAGE_BYTES_MAX))
            .read_buffer_size(READ_BYTES)
            .write_buffer_size(0); // for Pongs and the Close, which are the library's
        let stream = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await;
        Socket { stream, out: Vec::new(), written: 0 }
    }

    /// The next message of the client; `None` when there will be no other. Pings are answered on the way.
    pub async fn next(&mut self) -> Option<Result<Message, SocketError>> {
        self.stream.next().await
    }

    /// Adds a text message to what is to be sent.
    pub fn add_text(&mut self, text: &str) {
        self.add(TEXT, text.as_bytes());
    }

    /// Adds a Ping; its payload has at most 125 bytes.
    pub fn add_ping(&mut self, payload: &[u8]) {
        self.add(PING, payload);
    }

    fn add(&mut self, first: u8, payload: &[u8]) {
        self.out.reserve(payload.len() + 10);
        self.out.put_u8(first);
        match payload.len() {
            len @ 0..126 => self.out.put_u8(len as u8),
            len @ 126..=0xffff => {
                self.out.put_u8(126);
                self.out.put_u16(len as u16);
            }
            len => {
                self.out.put_u8(127);
                self.out.put_u64(len as u64);
            }
        }
        self.out.put_slice(payload);
    }

    /// Bytes that wait to be sent.
    pub fn waiting(&self) -> usize {
        self.out.len() - self.written
    }

    /// Sends what was added. When it is given up, what was not sent yet still waits.
    pub async fn flush(&mut self) -> io::Result<()> {
        if self.waiting() == 0 {
            return Ok(());
        }
        if self.written == 0 {
            // What the library has begun to write comes first: frames must not lie within each other.
            self.stream.flush().await.map_err(io::Error::other)?;
        }
        let connection = self.stream.get_mut();
        while self.written < self.out.len() {
            match connection.write(&self.out[self.written..]).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                more => self.written += more,
            }
        }
        connection.flush().await?;
        (self.out, self.written) = (Vec::new(), 0);
        Ok(())
    }

    /// Sends what waits, and that we close.
    pub async fn close(&mut self, frame: CloseFrame) -> Result<(), SocketError> {
        self.flush().await?;
        self.stream.send(Message::Close(Some(frame))).await
    }
}
