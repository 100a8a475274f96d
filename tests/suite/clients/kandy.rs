//! The SDKs of the Kandy (Ribbon) CPaaS: the one for browsers, which opens a socket, and those for servers, which are
//! posted to.

use futures_util::{SinkExt, StreamExt};
use reqwest::Method;
use serde_json::{Value, json};
use tocsin::config::Limits;
use tocsin::config::edge::CorsOrigins;
use tokio::time::timeout;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::support::client::{Answer, Api};
use crate::support::postgres::Database;
use crate::support::server::Server;
use crate::support::stand_in::{StandIn, reply};
use crate::support::{PATIENCE, eventually};

/// The user stands in the path as it is.
const USER: &str = "alice@example.com";

type Stream = tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

async fn send(api: &Api, method: Method, path: &str, body: Option<Value>) -> Answer {
    let headers = [("authorization", "Bearer ey.ab.c"), ("content-type", "application/json"), ("accept", "*/*")];
    api.send(method, path, &headers, body.map(|body| body.to_string())).await
}

/// Creates a channel; any 2xx is success.
async fn create(api: &Api, fields: &Value) -> Answer {
    let path = format!("/notificationchannel/v1/{USER}/channels");
    send(api, Method::POST, &path, Some(json!({ "notificationChannel": fields }))).await
}

/// The SDK for browsers. Two of its habits are left out here, since this server does not serve them: it puts a host
/// before every channelURL, as if that were a path, and it would rather have each notification alone than in a list.
struct Browser {
    channel: Value,
    socket: Stream,
}

/// Where the app in the browser comes from.
const PAGE: &str = "https://app.example.com";

/// A server that such pages may use.
async fn served(database: &Database, limits: Limits) -> Server {
    Server::start_as(database, |config| {
        config.limits = limits;
        config.edge.cors = CorsOrigins::These(vec![PAGE.to_owned()]);
    })
    .await
}

impl Browser {
    /// Its own spelling of the type, no channelData, and a field that says who sends connChecks.
    async fn creates_its_channel(api: &Api, role: &str) -> Value {
        let wish = json!({ "channelType": "Websockets", "channelLifetime": 600, "x-connCheckRole": role });
        let answer = create(api, &wish).await;
        assert!(answer.status.is_success(), "{}", answer.text);
        answer.json()["notificationChannel"].clone()
    }

    /// A browser cannot set headers, so its token goes into the URL; it offers no sub-protocol.
    async fn opens(channel: &Value) -> Stream {
        let url = channel["channelData"]["channelURL"].as_str().unwrap();
        let mut request = format!("{url}?access_token=ey.ab.c").into_client_request().unwrap();
        request.headers_mut().insert("origin", PAGE.parse().unwrap());
        let (socket, answer) = connect_async(request).await.unwrap();
        assert_eq!(answer.headers().get("sec-websocket-protocol"), None, "a browser fails on one it did not offer");
        socket
    }

    async fn starts(api: &Api) -> Browser {
        let channel = Browser::creates_its_channel(api, "client").await;
        let socket = Browser::opens(&channel).await;
        Browser { channel, socket }
    }

    /// The next message.
    async fn hears(&mut self) -> Value {
        loop {
            match timeout(PATIENCE, self.socket.next()).await.expect("nothing came").unwrap().unwrap() {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("unexpected: {other:?}"),
            }
        }
    }

    /// Its only way to keep the channel alive. `interval` is its own name for `checkInterval`; the answer must be an
    /// object, for it looks into it.
    async fn checks(&mut self) {
        self.socket.send(Message::text(r#"{"connCheck":{"interval":60}}"#)).await.unwrap();
        let answer = self.hears().await;
        assert!(answer["connAck"].is_object(), "{answer}");
    }

    async fn subscribes(&self, api: &Api) {
        let reference = json!({ "notifyURL": self.channel["callbackURL"] });
        let wish = json!({ "nmsSubscription": { "callbackReference": reference } });
        let answer = send(api, Method::POST, "/nms/v1/default/b/subscriptions", Some(wish)).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
    }
}

async fn arrive(database: &Database, count: usize) {
    let insert =
        format!("insert into tocsin.messages (box_id, body) select 'b', i::text from generate_series(1, {count}) as i");
    database.connect().await.batch_execute(&insert).await.unwrap();
}

#[tokio::test]
async fn a_browser_listens() {
    let database = Database::new().await;
    let server = served(&database, Limits::default()).await;
    let mut browser = Browser::starts(&server.api).await;
    browser.subscribes(&server.api).await;
    browser.checks().await;
    arrive(&database, 3).await;
    let mut indexes = Vec::new();
    while indexes.len() < 3 {
        let message = browser.hears().await;
        for notification in message["notificationList"].as_array().expect("null would end its loop") {
            assert!(notification["nmsEventList"]["link"].is_array(), "it takes the first link");
            indexes.push(notification["nmsEventList"]["index"].clone());
        }
    }
    assert_eq!(indexes, [1, 2, 3]);
    browser.checks().await;
    server.stop().await;
}

/// connChecks are its only refresh: it never puts the lifetime.
#[tokio::test]
async fn a_browser_keeps_its_channel_alive_by_checks() {
    let database = Database::new().await;
    let server = served(&database, Limits::default()).await;
    let mut browser = Browser::starts(&server.api).await;
    browser.checks().await;
    let sql = database.connect().await;
    let almost_over = "update tocsin.channel_lifetimes set expires_at = now() + interval '60 s'";
    sql.batch_execute(almost_over).await.unwrap();
    let url = format!("{}/channelLifetime", browser.channel["resourceURL"].as_str().unwrap());
    eventually("a check renews (renewals within one second are one)", async || {
        browser.checks().await;
        let answer = server.api.get(&url).await.json();
        (answer["notificationChannelLifetime"]["channelLifetime"].as_u64().unwrap() > 300).then_some(())
    })
    .await;
    server.stop().await;
}

/// In the role `server` the server sends the checks, and the SDK answers any with an empty object.
#[tokio::test]
async fn a_browser_answers_the_checks_of_the_server() {
    let database = Database::new().await;
    let limits = Limits { conn_check_seconds: 1, ..Limits::default() };
    let server = served(&database, limits).await;
    let channel = Browser::creates_its_channel(&server.api, "server").await;
    let mut browser = Browser { socket: Browser::opens(&channel).await, channel };
    browser.subscribes(&server.api).await;
    arrive(&database, 1).await;
    let (mut checks, mut told) = (0, false);
    while checks < 3 || !told {
        let message = browser.hears().await;
        if message["connCheck"].is_object() {
            browser.socket.send(Message::text(r#"{"connAck":{}}"#)).await.unwrap();
            checks += 1;
        } else {
            assert_eq!(message["notificationList"][0]["nmsEventList"]["index"], 1);
            told = true;
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn a_browser_that_reloads_opens_its_channel_again_and_misses_nothing() {
    let database = Database::new().await;
    let server = served(&database, Limits::default()).await;
    let mut browser = Browser::starts(&server.api).await;
    browser.subscribes(&server.api).await;
    browser.checks().await;
    let Browser { socket, channel } = browser;
    drop(socket);
    arrive(&database, 2).await;
    let mut browser = Browser { socket: Browser::opens(&channel).await, channel };
    let mut count = 0;
    while count < 2 {
        count += browser.hears().await["notificationList"].as_array().unwrap().len();
    }
    let url = browser.channel["resourceURL"].as_str().unwrap();
    assert!(send(&server.api, Method::DELETE, url, None).await.status.is_success());
    server.stop().await;
}

/// The SDKs for servers have the same correlator for every channel of a project.
fn project(target: &str) -> Value {
    json!({ "channelType": "webhooks", "clientCorrelator": "PUB-project",
            "channelData": { "x-webhookURL": target } })
}

/// A server that may post to this machine.
async fn posting_server(database: &Database) -> Server {
    Server::start_as(database, |config| config.allow_private_targets = true).await
}

#[tokio::test]
async fn a_server_is_posted_to() {
    let database = Database::new().await;
    let server = posting_server(&database).await;
    let application = StandIn::start(|_, _| reply(200, &[], "")).await;
    let target = format!("{}/inbound-sms/webhook", application.url);
    let answer = create(&server.api, &project(&target)).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    let channel = answer.json()["notificationChannel"].clone();
    assert_eq!(
        (&channel["channelType"], &channel["channelData"]["x-webhookURL"]),
        (&json!("webhooks"), &json!(target))
    );

    // The callbackURL is the channel's id to it: whatever it subscribes, it subscribes with that.
    let reference = json!({ "notifyURL": channel["callbackURL"] });
    let wish = json!({ "nmsSubscription": { "callbackReference": reference, "clientCorrelator": "PUB-project" } });
    assert_eq!(send(&server.api, Method::POST, "/nms/v1/default/b/subscriptions", Some(wish)).await.status, 201);
    arrive(&database, 1).await;
    let posted = eventually("a post", async || application.received().first().cloned()).await;
    assert_eq!((posted.method.as_str(), posted.path.as_str()), ("POST", "/inbound-sms/webhook"));
    let body: Value = serde_json::from_slice(&posted.body).unwrap();
    assert_eq!(body["notificationList"][0]["nmsEventList"]["index"], 1);
    server.stop().await;
}

/// The correlator is the same each time, so the second create of the same webhook is the first one again, and one of
/// another webhook is refused: with a link to the channel that has the correlator.
#[tokio::test]
async fn a_server_that_starts_again_gets_its_channel_again() {
    let database = Database::new().await;
    let server = posting_server(&database).await;
    let first = create(&server.api, &project("http://127.0.0.1:1/sms")).await;
    let again = create(&server.api, &project("http://127.0.0.1:1/sms")).await;
    assert_eq!(again.status, 201);
    assert_eq!(again.json()["notificationChannel"]["callbackURL"], first.json()["notificationChannel"]["callbackURL"]);
    let other = create(&server.api, &project("http://127.0.0.1:1/chat")).await;
    assert_eq!(other.status, 409);
    assert_eq!(other.fault(), ("SVC0005".to_owned(), vec!["PUB-project".to_owned(), "clientCorrelator".to_owned()]));
    let href = &other.json()["requestError"]["link"][0]["href"];
    assert_eq!(href, &first.json()["notificationChannel"]["resourceURL"]);
    server.stop().await;
}

/// `variables` must be there and must be an array: the SDK for Python goes through a text character by character, the
/// one for Java fails.
#[tokio::test]
async fn errors_have_an_array_of_variables_always() {
    let database = Database::new().await;
    let server = served(&database, Limits::default()).await;
    let nowhere = format!("/notificationchannel/v1/{USER}/channels/none");
    for (answer, status, variables) in [
        (create(&server.api, &project("http://127.0.0.1:1/")).await, 403, 1),
        (create(&server.api, &json!({ "channelType": "webhooks" })).await, 400, 1),
        (create(&server.api, &json!({ "channelType": "OMAPush" })).await, 403, 2),
        (send(&server.api, Method::GET, &nowhere, None).await, 404, 1),
    ] {
        assert_eq!(answer.status.as_u16(), status, "{}", answer.text);
        let error = answer.json()["requestError"].clone();
        let exception = error.get("serviceException").or(error.get("policyException")).unwrap();
        assert_eq!(exception["variables"].as_array().unwrap().len(), variables, "{error}");
        assert!(exception["messageId"].is_string() && exception["text"].is_string());
    }
    server.stop().await;
}
