//! One WebSocket of a client.

use std::time::Duration;

use futures_util::StreamExt;
use rand::RngExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::super::world::{Age, Phase, World};
use super::Shared;
use crate::support::PATIENCE;

/// Room for what a slow reader has not read yet.
const LITTLE_ROOM_BYTES: u32 = 4096;

pub struct Socket {
    stream: WebSocketStream<TcpStream>,
    pub number: u32,
    /// The node, and its age when the socket was opened.
    pub to: (usize, Age),
}

/// Why reading ended.
pub enum Until {
    /// The time has come to leave.
    Time,
    Closed(Closed),
    Over,
}

/// Why a socket could not be opened.
pub enum Refused {
    /// Postgres is away, and the server says to come again.
    ComeAgain,
    Fault(String),
}

/// How the server closed.
#[derive(Debug)]
pub struct Closed {
    /// Of its close frame, if there was one.
    pub code: Option<u16>,
    /// For the report of a fault.
    #[expect(dead_code, reason = "printed")]
    how: String,
}

impl Socket {
    pub async fn open(url: &str, number: u32, little_room: bool, to: (usize, Age)) -> Result<Socket, Refused> {
        let mut request = url.into_client_request().unwrap();
        let protocol = HeaderValue::from_static(tocsin::wire::nc::SUBPROTOCOL);
        request.headers_mut().insert("Sec-WebSocket-Protocol", protocol);
        let address = request.uri().authority().unwrap().as_str().parse().unwrap();
        let socket = TcpSocket::new_v4().unwrap();
        if little_room {
            socket.set_recv_buffer_size(LITTLE_ROOM_BYTES).unwrap();
        }
        let open = async {
            let tcp = socket.connect(address).await.map_err(Error::Io)?;
            client_async(request, tcp).await
        };
        match timeout(PATIENCE, open).await {
            Ok(Ok((stream, _))) => Ok(Socket { stream, number, to }),
            Ok(Err(Error::Http(answer))) if answer.status() == 503 => Err(Refused::ComeAgain),
            Ok(Err(fault)) => Err(Refused::Fault(fault.to_string())),
            Err(_) => Err(Refused::Fault("no answer".to_owned())),
        }
    }

    /// Notes what comes. Nobody leaves or dawdles once writing is over.
    pub async fn read(&mut self, world: &World, notes: &Shared, leave_at: Option<Instant>, slow_ms: u64) -> Until {
        let mut phase = world.phase();
        loop {
            let now = *phase.borrow_and_update();
            if now == Phase::Over {
                return Until::Over;
            }
            let running = now == Phase::Running;
            let time = async {
                match leave_at {
                    Some(at) if running => sleep_until(at).await,
                    _ => std::future::pending().await,
                }
            };
            let message = tokio::select! {
                message = self.stream.next() => message,
                () = time => return Until::Time,
                _ = phase.changed() => continue,
            };
            match message {
                Some(Ok(Message::Text(text))) => {
                    notes.lock().unwrap().take(&text, self.number);
                    if slow_ms > 0 && running {
                        let pause = rand::rng().random_range(0..slow_ms);
                        sleep(Duration::from_millis(pause)).await;
                    }
                }
                Some(Ok(Message::Close(frame))) => {
                    let (code, how) = frame.map(|f| (f.code.into(), f.reason.to_string())).unzip();
                    return Until::Closed(Closed { code, how: how.unwrap_or_default() });
                }
                Some(Ok(_)) => {}
                Some(Err(fault)) => return Until::Closed(Closed { code: None, how: fault.to_string() }),
                None => return Until::Closed(Closed { code: None, how: "without a word".to_owned() }),
            }
        }
    }

    /// Properly. What still comes is not read.
    pub async fn close(mut self) {
        let _ = timeout(Duration::from_secs(5), self.stream.close(None)).await;
    }
}
