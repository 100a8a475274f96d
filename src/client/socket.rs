//! One open WebSocket of a channel.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::error::{self, Error, Result};
use super::{Channel, Client, Notification, NotificationList, token};
use crate::wire::nc::SUBPROTOCOL;

/// How long opening may take.
const OPEN_PATIENCE: Duration = Duration::from_secs(10);
/// How long the server may take to close its half.
const CLOSE_PATIENCE: Duration = Duration::from_secs(1);

/// An open WebSocket. Pings of the server are answered while [`Socket::next`] is waited for: to the server, what came
/// before a Ping that is answered has arrived.
#[derive(Debug)]
pub struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    server: String,
    token_lasts: Option<Duration>,
}

/// What the server says.
#[derive(Debug)]
pub enum Frame {
    /// Notifications.
    List(NotificationList),
    /// Our check is answered.
    Answered,
    /// It checks us: [`Socket::answer`].
    Check,
    /// The newer token is taken, and lasts that long.
    TokenRefreshed(Duration),
    /// The newer token is refused, and why: the socket goes on with the one that it has.
    TokenRefused(String),
    /// The server closes: the code and the reason; 1006 without a word.
    Closed(u16, String),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Read {
    notification_list: Option<Vec<Notification>>,
    token_refreshed: Option<Refreshed>,
    token_refused: Option<Refused>,
    #[serde(default, deserialize_with = "present")]
    conn_ack: bool,
    #[serde(default, deserialize_with = "present")]
    conn_check: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Refreshed {
    expires_in: u64,
}

#[derive(Deserialize)]
struct Refused {
    reason: String,
}

/// Whatever its value is.
fn present<'de, D: serde::Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    serde::de::IgnoredAny::deserialize(from).map(|_| true)
}

impl Frame {
    /// `None` for what this client does not know: it may be of a newer server.
    fn read(text: &str) -> Result<Option<Frame>> {
        let read: Read = serde_json::from_str(text).map_err(|fault| Error::Protocol(format!("a frame: {fault}")))?;
        Ok(match read {
            Read { notification_list: Some(notifications), .. } => {
                Some(Frame::List(NotificationList { notifications }))
            }
            Read { token_refreshed: Some(it), .. } => Some(Frame::TokenRefreshed(Duration::from_secs(it.expires_in))),
            Read { token_refused: Some(it), .. } => Some(Frame::TokenRefused(it.reason)),
            Read { conn_ack: true, .. } => Some(Frame::Answered),
            Read { conn_check: true, .. } => Some(Frame::Check),
            _ => None,
        })
    }
}

impl Socket {
    pub(super) async fn open(client: &Client, channel: &Channel) -> Result<Self> {
        let token = client.token.now().await?;
        let url = client.here(channel.channel_url());
        let url = url.strip_prefix("http").map(|rest| format!("ws{rest}")).unwrap_or_default();
        let broken = |fault: tungstenite::Error| client.broken(fault);
        let mut request = url.into_client_request().map_err(broken)?;
        request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static(SUBPROTOCOL));
        if let Some(token) = &token {
            let value = HeaderValue::from_str(&format!("Bearer {token}"));
            let value = value.map_err(|_| Error::Protocol("the token cannot be sent in a header".to_owned()))?;
            request.headers_mut().insert("Authorization", value);
        }
        match timeout(OPEN_PATIENCE, connect_async(request)).await {
            Ok(Ok((stream, _))) => {
                let token_lasts = token.as_deref().and_then(token::lasts);
                Ok(Socket { stream, server: client.server.clone(), token_lasts })
            }
            Ok(Err(fault)) => Err(broken(fault)),
            Err(_) => Err(client.lost(format!("no WebSocket within {OPEN_PATIENCE:?}"))),
        }
    }

    /// How long the token that it was opened with lasted then, if that can be known.
    pub fn token_lasts(&self) -> Option<Duration> {
        self.token_lasts
    }

    /// The next thing that the server says. It may be given up, and loses nothing.
    ///
    /// # Errors
    /// [`Error::Transport`] when the connection breaks, [`Error::Protocol`] for what is not JSON.
    pub async fn next(&mut self) -> Result<Frame> {
        while let Some(message) = self.stream.next().await {
            match message.map_err(|fault| self.broken(&fault))? {
                Message::Text(text) => {
                    if let Some(frame) = Frame::read(&text)? {
                        return Ok(frame);
                    }
                }
                Message::Close(Some(frame)) => return Ok(Frame::Closed(frame.code.into(), frame.reason.to_string())),
                Message::Close(None) => break,
                _ => {} // Pings are answered by the library
            }
        }
        Ok(Frame::Closed(1006, String::new()))
    }

    /// Checks the connection, and has the channel's lifetime begin again: [`Frame::Answered`] is the answer.
    ///
    /// # Errors
    /// [`Error::Transport`] when the connection is broken.
    pub async fn check(&mut self) -> Result<()> {
        self.say(&json!({ "connCheck": null })).await
    }

    /// Answers a check of the server.
    ///
    /// # Errors
    /// [`Error::Transport`] when the connection is broken.
    pub async fn answer(&mut self) -> Result<()> {
        self.say(&json!({ "connAck": {} })).await
    }

    /// Brings a newer token: [`Frame::TokenRefreshed`] or [`Frame::TokenRefused`] is the answer.
    ///
    /// # Errors
    /// [`Error::Transport`] when the connection is broken.
    pub async fn refresh(&mut self, token: &str) -> Result<()> {
        self.say(&json!({ "tokenRefresh": { "accessToken": token } })).await
    }

    /// Closes it properly. What still comes is not read.
    pub async fn close(mut self) {
        let _ = timeout(CLOSE_PATIENCE, async {
            self.stream.close(None).await.ok()?;
            while self.stream.next().await?.is_ok() {}
            Some(())
        })
        .await;
    }

    async fn say(&mut self, message: &Value) -> Result<()> {
        let sent = self.stream.send(Message::text(message.to_string())).await;
        sent.map_err(|fault| self.broken(&fault))
    }

    fn broken(&self, fault: &tungstenite::Error) -> Error {
        Error::Transport { server: self.server.clone(), why: error::cause(fault) }
    }
}

impl Client {
    /// A socket that was not opened.
    fn broken(&self, fault: tungstenite::Error) -> Error {
        match fault {
            tungstenite::Error::Http(answer) => {
                Error::refused(answer.status().as_u16(), answer.body().as_deref().unwrap_or_default())
            }
            fault => self.unreachable(&fault),
        }
    }

    pub(super) fn lost(&self, why: String) -> Error {
        Error::Transport { server: self.server.clone(), why }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_known_by_their_member() {
        let read = |text| Frame::read(text).unwrap();
        assert!(
            matches!(read(r#"{"notificationList":[{"a":1}]}"#), Some(Frame::List(list)) if list.notifications.len() == 1)
        );
        assert!(matches!(read(r#"{"connAck":{"channelLifetime":9}}"#), Some(Frame::Answered)));
        assert!(matches!(read(r#"{"connAck":null}"#), Some(Frame::Answered)));
        assert!(matches!(read(r#"{"connCheck":null}"#), Some(Frame::Check)));
        let refreshed = read(r#"{"tokenRefreshed":{"expiresIn":7}}"#);
        assert!(matches!(refreshed, Some(Frame::TokenRefreshed(left)) if left.as_secs() == 7));
        assert!(matches!(read(r#"{"tokenRefused":{"reason":"r"}}"#), Some(Frame::TokenRefused(why)) if why == "r"));
        assert!(read(r#"{"news":1}"#).is_none());
        assert!(matches!(Frame::read("news"), Err(Error::Protocol(_))));
    }
}
