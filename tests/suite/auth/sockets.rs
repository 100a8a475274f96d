//! Sockets and polls: opened by a token in the header, in the query, or by the channelURL alone; ended with their token;
//! refreshed in band.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::*;
use crate::support::PATIENCE;
use crate::support::client::Socket;

/// A socket that is not a channel's.
pub struct Listening(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Listening {
    pub async fn open(guarded: &Guarded, user: &str, path: &str) -> Result<Listening, Error> {
        Listening::open_with(guarded, &guarded.issuer.token(user, EVERYDAY), path).await
    }

    pub async fn open_with(guarded: &Guarded, token: &str, path: &str) -> Result<Listening, Error> {
        let url = format!("{}{path}", guarded.server.api.url).replacen("http", "ws", 1);
        let mut request = url.into_client_request().unwrap();
        request.headers_mut().insert("Authorization", format!("Bearer {token}").parse().unwrap());
        connect_async(request).await.map(|(stream, _)| Listening(stream))
    }

    async fn message(&mut self) -> Message {
        loop {
            let message = timeout(PATIENCE, self.0.next()).await.expect("no message came").expect("closed").unwrap();
            if !matches!(message, Message::Ping(_) | Message::Pong(_)) {
                return message;
            }
        }
    }

    /// The next text.
    pub async fn next(&mut self) -> String {
        match self.message().await {
            Message::Text(text) => text.as_str().to_owned(),
            other => panic!("not a text: {other:?}"),
        }
    }

    /// The code of the close frame that comes next.
    pub async fn closed(&mut self) -> u16 {
        match self.message().await {
            Message::Close(Some(frame)) => frame.code.into(),
            other => panic!("not closed: {other:?}"),
        }
    }

    async fn say(&mut self, message: Value) {
        self.0.send(Message::text(message.to_string())).await.unwrap();
    }
}

fn refresh(token: &str) -> Value {
    json!({ "tokenRefresh": { "accessToken": token } })
}

fn url_of(channel: &Value) -> &str {
    channel["channelData"]["channelURL"].as_str().unwrap()
}

fn status_of(refused: Error) -> u16 {
    match refused {
        Error::Http(response) => response.status().as_u16(),
        other => panic!("not refused in HTTP: {other}"),
    }
}

impl Guarded {
    /// A token of alice's that lasts so many seconds.
    fn brief(&self, seconds: i64) -> String {
        self.issuer.changed(json!({ "exp": Utc::now().timestamp() + seconds }))
    }

    async fn opened(&self, channel: &Value, token: &str) -> Result<Socket, u16> {
        let headers = [("Authorization", format!("Bearer {token}"))];
        let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
        Socket::try_open_with(url_of(channel), &headers).await.map_err(status_of)
    }
}

#[tokio::test]
async fn a_channel_opens_by_header_by_query_and_by_its_url_alone() {
    let guarded = Guarded::start().await;
    let alice = guarded.of("alice");
    let channel = alice.channel("alice").await;
    alice.subscribe("alice", &channel).await;
    let token = guarded.issuer.token("alice", EVERYDAY);
    let by_query = format!("{}?access_token={token}", url_of(&channel));
    for n in 0..3 {
        let mut socket = match n {
            0 => guarded.opened(&channel, &token).await.unwrap(),
            1 => Socket::try_open(&by_query).await.unwrap(),
            _ => Socket::open(&channel).await,
        };
        guarded.write("alice", &format!("hello {n}")).await;
        socket.list().await;
        socket.close().await;
    }
    guarded.server.stop().await;
}

#[tokio::test]
async fn a_token_beside_the_url_is_held_to_what_it_says() {
    let guarded = Guarded::start().await;
    let alice = guarded.of("alice");
    let channel = alice.channel("alice").await;
    for (token, status) in [
        (guarded.issuer.token("bob", EVERYDAY), 404),
        (guarded.issuer.token("alice", "oma_rest_nms.all_v1"), 403),
        (guarded.issuer.token("alice", "oma_rest_notificationchannel.longpoll"), 403),
        (guarded.brief(-5), 401),
        ("x.y.z".to_owned(), 401),
    ] {
        assert_eq!(guarded.opened(&channel, &token).await.err(), Some(status));
        let by_query = format!("{}?access_token={token}", url_of(&channel));
        assert_eq!(Socket::try_open(&by_query).await.map_err(status_of).err(), Some(status));
    }
    // Polls likewise.
    let fields = json!({ "channelType": "LongPolling", "channelData": { "maxNotifications": 1 } });
    let polled = alice.channel_with("alice", fields).await;
    let answer = guarded.of("bob").post(url_of(&polled), json!({})).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    let answer =
        guarded.scoped("alice", "oma_rest_notificationchannel.websockets").post(url_of(&polled), json!({})).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    guarded.server.stop().await;
}

#[tokio::test]
async fn where_channel_urls_need_a_token_they_do_not_open_alone() {
    let guarded = Guarded::start_with(|jwt| jwt.channel_urls_need_token = true).await;
    let alice = guarded.of("alice");
    let channel = alice.channel("alice").await;
    assert_eq!(Socket::try_open(url_of(&channel)).await.map_err(status_of).err(), Some(401));
    guarded.opened(&channel, &guarded.issuer.token("alice", EVERYDAY)).await.unwrap().close().await;
    let fields = json!({ "channelType": "LongPolling", "channelData": { "maxNotifications": 1 } });
    let polled = alice.channel_with("alice", fields).await;
    assert_eq!(guarded.server.api.post(url_of(&polled), json!({})).await.status, StatusCode::UNAUTHORIZED);
    // Enablers have no token: a callbackURL is its own proof.
    let callback = channel["callbackURL"].as_str().unwrap();
    assert_eq!(guarded.server.api.post(callback, json!({ "x": {} })).await.status, StatusCode::NO_CONTENT);
    guarded.server.stop().await;
}

#[tokio::test]
async fn guessed_urls_open_nothing() {
    let guarded = Guarded::start().await;
    let channel = guarded.of("alice").channel("alice").await;
    let url = url_of(&channel);
    let (front, code) = url.rsplit_once('.').unwrap();
    let (root, id) = front.rsplit_once('/').unwrap();
    assert!(URL_SAFE_NO_PAD.decode(code).unwrap().len() >= 16, "128 bits: {code}");
    let callback_code = channel["callbackURL"].as_str().unwrap().rsplit_once('.').unwrap().1;
    let reversed: String = code.chars().rev().collect();
    for guess in [
        front.to_owned(),
        format!("{front}."),
        format!("{front}.{reversed}"),
        format!("{front}.{callback_code}"),
        format!("{front}.{}", URL_SAFE_NO_PAD.encode([0; 16])),
        format!("{front}.{}", &code[..code.len() - 2]),
        format!("{root}/{}.{code}", id.replace(['0', '1', '2'], "3")),
    ] {
        assert_eq!(Socket::try_open(&guess).await.map_err(status_of).err(), Some(404), "{guess}");
    }
    guarded.server.stop().await;
}

#[tokio::test]
async fn a_socket_ends_with_its_token_and_says_so() {
    let guarded = Guarded::start().await;
    let alice = guarded.of("alice");
    let channel = alice.channel("alice").await;
    alice.subscribe("alice", &channel).await;
    let mut socket = guarded.opened(&channel, &guarded.brief(2)).await.unwrap();
    guarded.write("alice", "in time").await;
    let (lists, (code, reason)) = socket.lists_until_closed().await;
    assert_eq!((lists.len(), code), (1, 4006));
    assert!(reason.starts_with("access token expired; restartToken="), "{reason}");
    // Nothing is lost: the next token goes on from there.
    guarded.write("alice", "meanwhile").await;
    guarded.opened(&channel, &guarded.brief(60)).await.unwrap().list().await;
    let mut inbox = Listening::open_with(&guarded, &guarded.brief(2), "/ws/notifications").await.unwrap();
    assert_eq!(inbox.closed().await, 4006);
    guarded.server.stop().await;
}

#[tokio::test]
async fn a_socket_is_refreshed_in_band_and_lives_on() {
    let guarded = Guarded::start().await;
    let alice = guarded.of("alice");
    let channel = alice.channel("alice").await;
    alice.subscribe("alice", &channel).await;
    let opened = Instant::now();
    let mut socket = guarded.opened(&channel, &guarded.brief(3)).await.unwrap();
    let refused = [
        guarded.issuer.token("bob", EVERYDAY),
        guarded.issuer.token("alice", "oma_rest_nms.all_v1"),
        guarded.brief(-5),
        Issuer::new("k1").token("alice", EVERYDAY),
    ];
    for token in &refused {
        socket.say(Message::text(refresh(token).to_string())).await;
        let answer: Value = serde_json::from_str(&socket.frame().await).unwrap();
        assert!(answer["tokenRefused"]["reason"].is_string(), "{answer}");
    }
    socket.say(Message::text(refresh(&guarded.brief(8)).to_string())).await;
    let answer: Value = serde_json::from_str(&socket.frame().await).unwrap();
    assert!((6..=8).contains(&answer["tokenRefreshed"]["expiresIn"].as_u64().unwrap()), "{answer}");
    tokio::time::sleep(Duration::from_secs(4).saturating_sub(opened.elapsed())).await;
    guarded.write("alice", "after the first token").await;
    socket.list().await;
    assert_eq!(socket.closed().await.0, 4006, "with the second");
    guarded.server.stop().await;
}

#[tokio::test]
async fn an_inbox_is_refreshed_in_band_too_and_stays_its_users() {
    let guarded = Guarded::start().await;
    assert_eq!(
        Listening::open(&guarded, "alice", "/ws/notifications?user=bob").await.map(drop).map_err(status_of),
        Err(404)
    );
    assert_eq!(Listening::open(&guarded, "alice", "/ws/rooms/lobby").await.map(drop).map_err(status_of), Err(404));
    let mut inbox = Listening::open_with(&guarded, &guarded.brief(3), "/ws/notifications").await.unwrap();
    inbox.say(json!("what is not understood is ignored")).await;
    inbox.say(refresh("x.y.z")).await;
    assert!(inbox.next().await.contains("tokenRefused"));
    inbox.say(refresh(&guarded.issuer.token("alice", EVERYDAY))).await;
    assert!(inbox.next().await.contains("tokenRefreshed"));
    tokio::time::sleep(Duration::from_secs(4)).await;
    let publish = "select tocsin.declare_event_type('like', '', ''); select tocsin.publish('like', 'still here', users => '{alice}')";
    guarded.database.connect().await.batch_execute(publish).await.unwrap();
    assert!(inbox.next().await.contains("still here"));
    guarded.server.stop().await;
}

#[tokio::test]
async fn a_token_in_the_query_opens_inboxes_and_rooms_for_browsers() {
    let guarded = Guarded::start().await;
    let root = guarded.server.api.url.replacen("http", "ws", 1);
    let token = guarded.issuer.token("alice", EVERYDAY);
    for path in ["/ws/notifications", "/ws/rooms/alice", "/api/notifications/"] {
        let (mut socket, _) = connect_async(format!("{root}{path}?access_token={token}")).await.unwrap();
        socket.close(None).await.unwrap();
        let refused = connect_async(format!("{root}{path}")).await.map(drop).map_err(status_of);
        assert_eq!(refused, Err(401), "{path}");
    }
    guarded.server.stop().await;
}
