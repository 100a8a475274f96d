//! The keys that URLs and signatures are made with: they follow one another, and nothing secret is stored.

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tocsin::base::ids::ChannelId;
use tocsin::channel::secret::{UrlKey, Use};
use tocsin::config::Limits;
use tokio_postgres::Client;
use tokio_tungstenite::tungstenite::Error;

use super::webhooks::{is_signed_by, webhook};
use super::{JSON, text};
use crate::cli;
use crate::support::client::{Api, Socket};
use crate::support::eventually;
use crate::support::postgres::Database;
use crate::support::server::{Program, Server};
use crate::support::stand_in::{StandIn, reply};

/// A new key that is in use soon: in time for nodes to have seen it.
const ROTATE: &str = "select tocsin.rotate_key('7 days', '5 s')";

/// A node whose polls end soon.
async fn node(database: &Database) -> Server {
    let limits = Limits { poll_seconds: 1, ..Limits::default() };
    Server::start_as(database, |config| (config.limits, config.allow_private_targets) = (limits, true)).await
}

/// The paths of a channel's URLs, of all three kinds.
#[derive(Debug, Clone, PartialEq)]
struct Urls {
    socket: String,
    poll: String,
    callback: String,
}

/// The path of a URL.
fn path(url: &str) -> String {
    let (_, rest) = url.split_once("://").unwrap();
    format!("/{}", rest.split_once('/').unwrap().1)
}

/// A user's channels, one with a socket and one that is polled, as a node shows them now.
async fn urls(node: &Api, sockets: &Value, polled: &Value) -> Urls {
    let [sockets, polled] = [sockets, polled].map(|channel| path(text(channel, "resourceURL")));
    let [sockets, polled] = [node.get(&sockets).await.json(), node.get(&polled).await.json()];
    let channel_url = |shown: &Value| path(text(&shown["notificationChannel"]["channelData"], "channelURL"));
    Urls {
        socket: channel_url(&sockets),
        poll: channel_url(&polled),
        callback: path(text(&sockets["notificationChannel"], "callbackURL")),
    }
}

/// What a node says to each of the URLs.
async fn answers(node: &Api, urls: &Urls) -> [u16; 3] {
    let socket = match Socket::try_open(&format!("{}{}", node.url.replacen("http", "ws", 1), urls.socket)).await {
        Ok(socket) => {
            socket.vanish();
            101
        }
        Err(Error::Http(answer)) => answer.status().as_u16(),
        Err(fault) => panic!("{fault}"),
    };
    let poll = node.post(&urls.poll, json!({})).await.status.as_u16();
    let notification = json!({ "notificationList": [{ "x": 1 }] });
    [socket, poll, node.post(&urls.callback, notification).await.status.as_u16()]
}

fn good(answers: [u16; 3]) -> bool {
    answers[0] == 101 && [200, 204].contains(&answers[1]) && answers[2] == 204
}

const GONE: [u16; 3] = [404; 3];

async fn channels(api: &Api) -> (Value, Value) {
    (api.channel("alice").await, api.channel_with("alice", json!({ "channelType": "LongPolling" })).await)
}

async fn run(sql: &Client, statements: &str) {
    sql.batch_execute(statements).await.unwrap();
}

#[tokio::test]
async fn urls_of_an_old_and_a_new_key_are_good_on_every_node_until_the_old_one_expires() {
    let database = Database::new().await;
    let (a, b, sql) = (node(&database).await, node(&database).await, database.connect().await);
    let (sockets, polled) = channels(&a.api).await;
    let old = urls(&a.api, &sockets, &polled).await;
    run(&sql, ROTATE).await;
    // At no moment does a node refuse what another one shows.
    let new = eventually("the new key is in use", async || {
        let (of_a, of_b) = (urls(&a.api, &sockets, &polled).await, urls(&b.api, &sockets, &polled).await);
        for urls in [&of_a, &of_b, &old] {
            for node in [&a.api, &b.api] {
                let answers = answers(node, urls).await;
                assert!(good(answers), "{answers:?}");
            }
        }
        (of_a != old && of_a == of_b).then_some(of_a)
    })
    .await;
    assert!(new.socket != old.socket && new.poll != old.poll && new.callback != old.callback);
    run(&sql, "update tocsin.url_keys set expires_at = now() + interval '1 s' where expires_at is not null").await;
    for node in [&a.api, &b.api] {
        eventually("the old key has expired", async || (answers(node, &old).await == GONE).then_some(())).await;
        assert!(good(answers(node, &new).await));
    }
    let left = "select count(*) from tocsin.url_keys";
    eventually("it is removed", async || (sql.query_one(left, &[]).await.unwrap().get::<_, i64>(0) == 1).then_some(()))
        .await;
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn a_subscription_can_be_made_with_a_callback_url_of_an_old_key() {
    let database = Database::new().await;
    let (server, sql) = (node(&database).await, database.connect().await);
    let (sockets, polled) = channels(&server.api).await;
    let old = urls(&server.api, &sockets, &polled).await;
    run(&sql, "select tocsin.rotate_key('7 days', '0')").await;
    eventually("the new key is in use", async || (urls(&server.api, &sockets, &polled).await != old).then_some(()))
        .await;
    let subscription = server.api.subscribe("b", &sockets).await;
    let shown = text(&subscription["callbackReference"], "notifyURL").to_owned();
    assert_eq!(path(&shown), urls(&server.api, &sockets, &polled).await.callback, "shown as it is made now");
    server.stop().await;
}

#[tokio::test]
async fn a_webhook_is_signed_by_every_key_that_is_accepted_the_newest_first() {
    let database = Database::new().await;
    let (server, sql) = (node(&database).await, database.connect().await);
    let client = StandIn::start(|_, _| reply(204, &[], "")).await;
    let channel = server.api.channel_with("alice", webhook(&format!("{}/hook", client.url))).await;
    server.api.subscribe("b", &channel).await;
    let secret = async || {
        let shown = server.api.get(text(&channel, "resourceURL")).await.json();
        text(&shown["notificationChannel"]["channelData"], "x-webhookSecret").to_owned()
    };
    let old = secret().await;
    run(&sql, ROTATE).await;
    let new =
        eventually("the new secret is shown", async || Some(secret().await).filter(|secret| *secret != old)).await;
    run(&sql, "insert into tocsin.messages (box_id, body) values ('b', 'x')").await;
    let post = eventually("it is posted", async || client.received().first().cloned()).await;
    let signatures: Vec<&str> = post.headers["webhook-signature"].to_str().unwrap().split(' ').collect();
    assert_eq!(signatures.len(), 2);
    assert!(is_signed_by(&post, &new, signatures[0]) && is_signed_by(&post, &old, signatures[1]));
    server.stop().await;
}

#[tokio::test]
async fn the_command_makes_a_key_and_ends_the_old_ones_at_once_when_told() {
    let database = Database::new().await;
    let (server, sql) = (node(&database).await, database.connect().await);
    let (sockets, polled) = channels(&server.api).await;
    let old = urls(&server.api, &sockets, &polled).await;
    let rotate = async |more: &[&str]| {
        let ran = cli::run(&[&["rotate-key", "--database-url", database.url()], more].concat()).await;
        (ran.status.success(), String::from_utf8(ran.stdout).unwrap(), String::from_utf8(ran.stderr).unwrap())
    };
    let (done, said, _) = rotate(&["--keep", "36h"]).await;
    assert!(done && said.starts_with("a new key is in use from 20") && said.contains("are good until 20"), "{said}");
    let kept = "select extract(epoch from max(expires_at) - max(signs_from))::int8, extract(epoch from max(signs_from) - now())::int8
        from tocsin.url_keys";
    let row = sql.query_one(kept, &[]).await.unwrap();
    let (kept, begins_in): (i64, i64) = (row.get(0), row.get(1));
    assert!(kept == 36 * 3600 && (3..=15).contains(&begins_in), "{kept} {begins_in}");
    assert!(good(answers(&server.api, &old).await));
    assert!(!rotate(&["--keep", "36h", "--now"]).await.0);
    assert!(rotate(&["--now"]).await.0);
    eventually("old URLs are good for nothing", async || (answers(&server.api, &old).await == GONE).then_some(()))
        .await;
    assert!(good(answers(&server.api, &urls(&server.api, &sockets, &polled).await).await));
    for _ in 0..7 {
        run(&sql, "select tocsin.rotate_key('7 days', '5 s')").await;
    }
    let (done, _, said) = rotate(&[]).await;
    assert!(!done && said.contains("eight keys are in use"), "{said}");
    server.stop().await;
}

#[tokio::test]
async fn an_open_socket_stays_open_when_all_keys_end_at_once() {
    let database = Database::new().await;
    let (server, sql) = (node(&database).await, database.connect().await);
    let channel = server.api.channel("alice").await;
    server.api.subscribe("b", &channel).await;
    let mut socket = Socket::open(&channel).await;
    run(&sql, "select tocsin.rotate_key('0', '0')").await;
    let url = text(&channel["channelData"], "channelURL").replacen("ws", "http", 1);
    eventually("its URL is good for nothing", async || {
        (server.api.get(&url).await.status == StatusCode::NOT_FOUND).then_some(())
    })
    .await;
    run(&sql, "insert into tocsin.messages (box_id, body) values ('b', 'x')").await;
    assert_eq!(socket.list().await.seq(), 2);
    server.stop().await;
}

fn secret_file(secret: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(secret).unwrap();
    file
}

#[tokio::test]
async fn with_a_secret_outside_the_database_alone_makes_no_url_and_every_node_needs_it() {
    let database = Database::new().await;
    let sql = database.connect().await;
    let (ours, other) = (secret_file(&[7; 32]), secret_file(&[8; 40]));
    let start = async |file: Option<&tempfile::NamedTempFile>| {
        let path = file.map(|file| file.path().to_owned());
        let limits = Limits { poll_seconds: 1, ..Limits::default() };
        Server::try_start_as(&database, |config| (config.limits, config.secret_key_file) = (limits, path)).await
    };
    let bare = Program::start_with(&["--database-url", database.url(), "--listen", "127.0.0.1:0"]).await;
    let first = start(Some(&ours)).await.unwrap();
    assert_eq!(bare.ended().await, Some(1), "a node without it stops when another one brings it");
    for (file, because) in [(None, "give this node the same one"), (Some(&other), "another secret key file")] {
        let fault = start(file).await.err().expect("refused").to_string();
        assert!(fault.contains(because) && !fault.contains('\n'), "{fault}");
    }
    let second = start(Some(&ours)).await.unwrap();
    let (sockets, polled) = channels(&first.api).await;
    let genuine = urls(&first.api, &sockets, &polled).await;
    assert!(good(answers(&second.api, &genuine).await));
    // What a thief of the database can make.
    let key = UrlKey::new(sql.query_one("select key from tocsin.url_keys", &[]).await.unwrap().get(0));
    let id = |channel: &Value| ChannelId::from_text(text(channel, "resourceURL").rsplit_once('/').unwrap().1);
    let made = Urls {
        socket: format!("/ws/{}", key.token(Use::Channel, &id(&sockets))),
        poll: format!("/poll/{}", key.token(Use::Poll, &id(&polled))),
        callback: format!("/callback/{}", key.token(Use::Callback, &id(&sockets))),
    };
    assert_eq!(answers(&first.api, &made).await, GONE);
    first.stop().await;
    second.stop().await;
    let fault = start(Some(&secret_file(&[7; 31]))).await.err().expect("refused").to_string();
    assert!(fault.contains("32 bytes at least"), "{fault}");
}

/// All that any column of any table says of these, as text and as bytes.
async fn stored(sql: &Client, secrets: &[(&str, Vec<u8>)]) -> Vec<String> {
    let tables = "select format('select %L, t::text from %s t', oid::regclass, oid::regclass) from pg_class
        where relnamespace not in ('pg_catalog'::regnamespace, 'information_schema'::regnamespace) and relkind in ('r', 'p', 'm')";
    let mut found = Vec::new();
    for query in sql.query(tables, &[]).await.unwrap() {
        for row in sql.query(query.get::<_, &str>(0), &[]).await.unwrap() {
            let (table, row): (String, String) = (row.get(0), row.get(1));
            for (what, bytes) in secrets {
                let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                let written = [hex, STANDARD.encode(bytes), URL_SAFE_NO_PAD.encode(bytes)];
                // (As text in bytes, too.)
                let hidden =
                    written.clone().map(|text| text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>());
                if written.iter().chain(&hidden).any(|text| row.contains(text.trim_end_matches('='))) {
                    found.push(format!("{what} in {table}: {row}"));
                }
            }
        }
    }
    found
}

#[tokio::test]
async fn nothing_in_the_database_is_a_url_s_code_or_a_webhook_s_secret() {
    let database = Database::new().await;
    let (server, sql) = (node(&database).await, database.connect().await);
    let client = StandIn::start(|_, _| reply(204, &[], "")).await;
    let (sockets, polled) = channels(&server.api).await;
    let hook = server.api.channel_with("alice", webhook(&format!("{}/hook", client.url))).await;
    for channel in [&sockets, &polled, &hook] {
        server.api.subscribe("b", channel).await;
    }
    let target = json!({ "channel": "webhook", "url": format!("{}/inbox", client.url) }).to_string();
    let headers = [JSON, ("x-tocsin-user", "alice")];
    let target = server.api.send(Method::POST, "/api/notifications/targets", &headers, Some(target)).await;
    assert_eq!(target.status, StatusCode::CREATED, "{}", target.text);
    let used = urls(&server.api, &sockets, &polled).await;
    let late = format!("{}?countdown=600", used.callback);
    assert_eq!(server.api.post(&late, json!({ "notificationList": [] })).await.status, StatusCode::ACCEPTED);
    for _ in 0..2 {
        assert!(good(answers(&server.api, &used).await));
    }
    let mut socket = Socket::open(&sockets).await;
    run(&sql, "insert into tocsin.messages (box_id, body) values ('b', 'x')").await;
    run(&sql, "select tocsin.publish('room', 't', users => '{alice}')").await;
    socket.frame().await;
    eventually("both webhooks are posted", async || {
        let paths = client.paths();
        ["/hook", "/inbox"].iter().all(|path| paths.iter().any(|posted| posted == path)).then_some(())
    })
    .await;
    server.stop().await;

    let code = |url: &str| URL_SAFE_NO_PAD.decode(url.rsplit_once('.').unwrap().1).unwrap();
    let secret = |shown: &str| STANDARD.decode(shown.strip_prefix("whsec_").unwrap()).unwrap();
    let secrets = [
        ("channelURL", code(&used.socket)),
        ("pollURL", code(&used.poll)),
        ("callbackURL", code(&used.callback)),
        ("callbackURL of a webhook", code(text(&hook, "callbackURL"))),
        ("secret of a webhook", secret(text(&hook["channelData"], "x-webhookSecret"))),
        ("secret of a target", secret(text(&target.json(), "secret"))),
    ];
    let found = stored(&sql, &secrets).await;
    assert!(found.is_empty(), "{found:#?}");
    // It would be found.
    run(
        &sql,
        &format!(
            "create table leak as select '{}'::text as url, convert_to('{}', 'UTF8') as hidden",
            used.socket, used.poll
        ),
    )
    .await;
    assert_eq!(stored(&sql, &secrets).await.len(), 2);
}
