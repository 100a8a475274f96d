//! A client of the server's HTTP API and WebSockets, as anybody could write one: nothing here knows the database.

use std::borrow::Cow;
use std::time::Duration;

use anyhow::{Context, bail};
use futures_util::{SinkExt, StreamExt};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::wire::nc::SUBPROTOCOL;
use crate::wire::urls::segment;

/// Where the server is, and for whom we ask.
#[derive(Debug, clap::Args)]
pub(super) struct ServerArgs {
    /// The server
    #[arg(long, env = "TOCSIN_URL", value_name = "URL", default_value = "http://127.0.0.1:8080")]
    server: String,
    /// The store of the box
    #[arg(long, value_name = "STORE", default_value = "default")]
    store: String,
    /// Access token, when the server asks for one
    #[arg(long, env = "TOCSIN_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    token: Option<String>,
}

/// A channel we made.
#[derive(Debug, Clone)]
pub(super) struct Channel {
    pub resource_url: String,
    pub channel_url: String,
    pub callback_url: String,
    pub lifetime: Duration,
}

/// A subscription as the server tells of it.
#[derive(Debug, Clone)]
pub(super) struct Subscription {
    pub resource_url: String,
    pub index: i64,
    pub restart_token: String,
}

pub(super) struct Client {
    http: reqwest::Client,
    server: String,
    store: String,
    token: Option<String>,
}

pub(super) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

impl Client {
    pub fn new(args: ServerArgs) -> anyhow::Result<Self> {
        let builder = reqwest::Client::builder().timeout(Duration::from_secs(30)).no_proxy();
        // By http it needs no certificates to start with. By https it trusts whom the system trusts.
        let builder = if args.server.starts_with("https:") { builder } else { builder.tls_certs_only([]) };
        let http = builder.build()?;
        Ok(Client { http, server: args.server.trim_end_matches('/').to_owned(), store: args.store, token: args.token })
    }

    /// Whether the server can know from a token who asks.
    pub fn has_token(&self) -> bool {
        self.token.is_some()
    }

    pub async fn create_channel(&self, user: &str) -> anyhow::Result<Channel> {
        let url = format!("{}/notificationchannel/v1/{}/channels", self.server, segment(user));
        let body = json!({ "notificationChannel": { "channelType": "WebSockets" } });
        let answer = self.ask(Method::POST, &url, Some(body)).await?.context("the channel is not there")?;
        let channel = &answer["notificationChannel"];
        Ok(Channel {
            resource_url: text(&channel["resourceURL"])?,
            channel_url: text(&channel["channelData"]["channelURL"])?,
            callback_url: text(&channel["callbackURL"])?,
            lifetime: Duration::from_secs(
                channel["channelLifetime"].as_u64().context("the channel has no channelLifetime")?,
            ),
        })
    }

    /// A subscription with these fields, besides the callbackReference.
    pub async fn subscribe(&self, box_id: &str, channel: &Channel, mut fields: Value) -> anyhow::Result<Subscription> {
        let url = format!("{}/nms/v1/{}/{}/subscriptions", self.server, segment(&self.store), segment(box_id));
        fields["callbackReference"] = json!({ "notifyURL": channel.callback_url, "notificationFormat": "JSON" });
        let body = json!({ "nmsSubscription": fields });
        let answer = self.ask(Method::POST, &url, Some(body)).await?.context("the subscription is not there")?;
        subscription(&answer)
    }

    /// A subscription as it is now; `None` when it has ended.
    pub async fn subscription(&self, url: &str) -> anyhow::Result<Option<Subscription>> {
        self.ask(Method::GET, url, None).await?.as_ref().map(subscription).transpose()
    }

    /// Whether the resource is (still) there.
    pub async fn exists(&self, url: &str) -> anyhow::Result<bool> {
        Ok(self.ask(Method::GET, url, None).await?.is_some())
    }

    /// Deletes a resource; one that is gone already is fine.
    pub async fn delete(&self, url: &str) -> anyhow::Result<()> {
        self.ask(Method::DELETE, url, None).await.map(drop)
    }

    pub async fn open(&self, channel: &Channel) -> anyhow::Result<Socket> {
        let mut request = channel.channel_url.as_str().into_client_request()?;
        request.headers_mut().insert("Sec-WebSocket-Protocol", SUBPROTOCOL.parse()?);
        if let Some(token) = &self.token {
            let value = format!("Bearer {token}").parse().context("the token cannot be sent in a header")?;
            request.headers_mut().insert("Authorization", value);
        }
        let (socket, _) = connect_async(request).await.context("cannot open the WebSocket")?;
        Ok(socket)
    }

    /// The answer's body; `None` for 404.
    async fn ask(&self, method: Method, url: &str, body: Option<Value>) -> anyhow::Result<Option<Value>> {
        let mut request = self.http.request(method, url);
        if let Some(body) = body {
            request = request.json(&body);
        }
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let response = request.send().await.with_context(|| {
            format!("the server at {} cannot be reached (does it run? --server says where)", self.server)
        })?;
        let status = response.status();
        if status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let body = response.bytes().await?;
        if !status.is_success() {
            bail!("the server answered {status}: {}{}", String::from_utf8_lossy(&body), remedy(status));
        }
        if body.is_empty() {
            return Ok(Some(Value::Null));
        }
        Ok(Some(serde_json::from_slice(&body).context("the server's answer is not JSON")?))
    }
}

/// What the person can do about it.
fn remedy(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => "\nsay a token with --token or TOCSIN_TOKEN (`tocsin token issue` makes one)",
        StatusCode::FORBIDDEN => "\nthe token lacks a scope (see `tocsin token issue --scope`)",
        StatusCode::SERVICE_UNAVAILABLE => "\ntry again later (the server's /readyz says what it waits for)",
        _ => "",
    }
}

fn subscription(answer: &Value) -> anyhow::Result<Subscription> {
    let subscription = &answer["nmsSubscription"];
    Ok(Subscription {
        resource_url: text(&subscription["resourceURL"])?,
        index: subscription["index"].as_i64().context("the subscription has no index")?,
        restart_token: text(&subscription["restartToken"])?,
    })
}

fn text(value: &Value) -> anyhow::Result<String> {
    Ok(value.as_str().context("the server's answer lacks a field")?.to_owned())
}

/// The next text message; `None` when the server closed.
pub(super) async fn next_text(socket: &mut Socket) -> anyhow::Result<Option<String>> {
    while let Some(message) = socket.next().await {
        match message? {
            Message::Text(text) => return Ok(Some(text.as_str().to_owned())),
            Message::Close(_) => return Ok(None),
            _ => {} // Pings are answered by the library
        }
    }
    Ok(None)
}

/// Asks for the channel's lifetime to begin again.
pub(super) async fn check_connection(socket: &mut Socket) -> anyhow::Result<()> {
    Ok(socket.send(Message::text(r#"{"connCheck":null}"#)).await?)
}

/// A connAck, or a connCheck of the server, which wants no answer here: our own checks prolong the channel.
pub(super) fn is_check(text: &str) -> bool {
    text.starts_with(r#"{"connAck""#) || text.starts_with(r#"{"connCheck""#)
}

/// Closes from our side.
pub(super) async fn close(mut socket: Socket) {
    let _ = tokio::time::timeout(Duration::from_secs(1), async {
        socket.close(None).await.ok()?;
        while socket.next().await?.is_ok() {}
        Some(())
    })
    .await;
}

/// Makes sure that a Pong the library has queued is on its way.
pub(super) async fn flush(socket: &mut Socket) -> anyhow::Result<()> {
    Ok(socket.flush().await?)
}

/// What the nmsEventLists of a notificationList say: index and restartToken of each.
pub(super) fn positions(list: &str) -> Vec<(i64, String)> {
    let Ok(list) = serde_json::from_str::<Value>(list) else { return Vec::new() };
    list["notificationList"].as_array().into_iter().flatten().filter_map(position).collect()
}

/// What the nmsEventList of a notification says.
pub(super) fn position(notification: &Value) -> Option<(i64, String)> {
    let list = &notification["nmsEventList"];
    Some((list["index"].as_i64()?, list["restartToken"].as_str()?.to_owned()))
}

/// A notificationList without the nmsEventLists whose index is below `next_index`; `None` when nothing is left.
pub(super) fn without_seen(list: &str, next_index: i64) -> Option<Cow<'_, str>> {
    let Ok(mut parsed) = serde_json::from_str::<Value>(list) else { return Some(list.into()) };
    let Some(lists) = parsed["notificationList"].as_array_mut() else { return Some(list.into()) };
    let all = lists.len();
    lists.retain(|list| list["nmsEventList"]["index"].as_i64().is_none_or(|index| index >= next_index));
    match lists.len() {
        left if left == all => Some(list.into()),
        0 => None,
        _ => Some(parsed.to_string().into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_seen_is_left_out() {
        let list = r#"{"notificationList":[{"nmsEventList":{"index":4}},{"nmsEventList":{"index":5}}]}"#;
        assert_eq!(without_seen(list, 4).unwrap(), list);
        assert_eq!(without_seen(list, 5).unwrap(), r#"{"notificationList":[{"nmsEventList":{"index":5}}]}"#);
        assert_eq!(without_seen(list, 6), None);
        let other = r#"{"notificationList":[]}"#;
        assert_eq!(without_seen(other, 6).unwrap(), other);
    }
}
