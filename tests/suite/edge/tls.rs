//! https and wss.

use std::time::Duration;

use rustls::version::{TLS12, TLS13};
use serde_json::{Value, json};
use tempfile::TempDir;
use tocsin::config::Limits;
use tocsin::config::edge::TlsFiles;
use tokio::io::AsyncWriteExt;

use super::{connect, metric, rest};
use crate::support::certificates::{Ca, Pair};
use crate::support::client::{Api, Socket};
use crate::support::eventually;
use crate::support::poll::Poller;
use crate::support::postgres::Database;
use crate::support::server::Server;

/// The name of the server in its certificates.
const HERE: [&str; 1] = ["127.0.0.1"];

/// A server with https, and how to ask it.
struct Secured {
    server: Server,
    api: Api,
    ca: Ca,
    dir: TempDir,
}

impl Secured {
    async fn start(database: &Database, limits: Limits) -> Secured {
        let (ca, dir) = (Ca::new(), tempfile::tempdir().unwrap());
        let (cert, key) = ca.issue(&HERE).write(dir.path());
        let server = Server::start_as(database, |config| {
            config.limits = limits;
            config.edge.tls = Some(TlsFiles { cert, key });
        })
        .await;
        let api = Api::trusting(&server.api.url.replace("http:", "https:"), &ca.pem());
        Secured { server, api, ca, dir }
    }
}

async fn write(database: &Database) {
    let insert = "insert into tocsin.messages (box_id, body) values ('b', 'x')";
    database.connect().await.batch_execute(insert).await.unwrap();
}

#[tokio::test]
async fn a_notification_list_goes_over_wss() {
    let database = Database::new().await;
    let Secured { server, api, ca, .. } = Secured::start(&database, Limits::default()).await;
    for version in [&TLS12, &TLS13] {
        let channel = api.channel("alice").await;
        assert!(channel["resourceURL"].as_str().unwrap().starts_with(&api.url), "{channel}");
        assert!(channel["channelData"]["channelURL"].as_str().unwrap().starts_with("wss://"), "{channel}");
        api.subscribe("b", &channel).await;
        let mut socket = Socket::open_by_tls(&channel, ca.client(&[version])).await;
        write(&database).await;
        assert_eq!(socket.list().await.index, 1);
        socket.close().await;
    }
    assert_eq!(api.get("/healthz").await.header("strict-transport-security"), "max-age=31536000");
    assert!(!Api::trusting(&api.url, &Ca::new().pem()).is_reached().await, "by who trusts another CA");
    assert!(!Api::new(&server.api.url).is_reached().await, "by http");
    server.stop().await;
}

async fn polled(api: &Api) -> Value {
    let data = json!({ "channelType": "LongPolling" });
    let channel = api.channel_with("alice", data).await;
    api.subscribe("b", &channel).await;
    channel
}

/// The same as on plain connections: what was not read is lost, what was read is not.
#[tokio::test]
async fn a_polls_answer_that_was_not_read_comes_again() {
    let database = Database::new().await;
    let Secured { server, api, ca, .. } = Secured::start(&database, Limits::default()).await;
    let channel = polled(&api).await;
    let url = channel["channelData"]["channelURL"].as_str().unwrap();
    let sql = database.connect().await;
    let lost = async || {
        let row = sql.query_one("select lost from tocsin.polls", &[]).await.unwrap();
        row.get::<_, bool>(0).then_some(())
    };
    for orderly in [false, true] {
        write(&database).await;
        let mut dying = Poller::connect_by_tls(url, ca.client(&[&TLS13])).await;
        dying.asks_for_something_else().await; // so the tickets that came with the handshake are read
        dying.ask().await;
        dying.has_answer().await;
        if orderly {
            dying.close(); // of what is unread the kernel makes a reset
        } else {
            dying.die();
        }
        eventually("the answer is known to be lost", lost).await;
    }
    let mut poller = Poller::connect_by_tls(url, ca.client(&[&TLS13])).await;
    assert_eq!(poller.poll().await.indexes(), [1, 2]);
    write(&database).await;
    assert_eq!(poller.poll().await.indexes(), [3]);
    poller.close();
    // It was read before its client went, without a word of TLS.
    write(&database).await;
    let mut next = Poller::connect_by_tls(url, ca.client(&[&TLS12])).await;
    assert_eq!(next.poll().await.indexes(), [4]);
    server.stop().await;
}

#[tokio::test]
async fn certificates_are_replaced_while_a_socket_stays_open() {
    let database = Database::new().await;
    let Secured { server, api, ca, dir } = Secured::start(&database, Limits::default()).await;
    let channel = api.channel("alice").await;
    api.subscribe("b", &channel).await;
    let mut socket = Socket::open_by_tls(&channel, ca.client(&[&TLS13])).await;
    let new = Ca::new();
    let new_api = Api::trusting(&api.url, &new.pem());
    // One after the other, as it happens: in between the old one is kept.
    let pair = new.issue(&HERE);
    std::fs::write(dir.path().join("cert.pem"), &pair.cert).unwrap();
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(Api::trusting(&api.url, &ca.pem()).is_reached().await, "the old one is kept");
    std::fs::write(dir.path().join("key.pem"), &pair.key).unwrap();
    eventually("the new one is served", async || new_api.is_reached().await.then_some(())).await;
    assert!(!Api::trusting(&api.url, &ca.pem()).is_reached().await, "the old one is not");
    write(&database).await;
    assert_eq!(socket.list().await.index, 1, "who is connected stays");
    std::fs::remove_file(dir.path().join("cert.pem")).unwrap();
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(Api::trusting(&api.url, &new.pem()).is_reached().await, "files may be gone");
    server.stop().await;
}

#[tokio::test]
async fn what_is_no_handshake_costs_nobody_else_anything() {
    let database = Database::new().await;
    let limits = Limits { header_seconds: 1, ..Limits::default() };
    let Secured { server, api, .. } = Secured::start(&database, limits).await;
    for garbage in [&b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"[..], b"\x16\x03\x01\x00\x05hello", &[0xff; 5000]] {
        let mut stream = connect(&server.api).await;
        let _ = stream.write_all(garbage).await;
        let mut answer = Vec::new();
        let _ = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut answer).await;
        assert!(answer.len() < 20, "an alert at most");
        assert!(api.is_reached().await);
    }
    assert_eq!(metric(&api, "tocsin_tls_handshakes_failed_total").await, 3);
    let mut silent = connect(&server.api).await;
    silent.write_all(b"\x16\x03\x01\x02\x00").await.unwrap(); // and no more
    assert_eq!(rest(&mut silent).await, "");
    assert_eq!(metric(&api, "tocsin_http_connections_cut_total{reason=\"handshake\"}").await, 1);
    server.stop().await;
}

#[tokio::test]
async fn certificates_that_cannot_be_used_are_told_at_the_start() {
    let database = Database::new().await;
    let dir = tempfile::tempdir().unwrap();
    let (one, other) = (Pair::self_signed(&HERE), Pair::self_signed(&HERE));
    for (pair, because) in [
        (Pair { cert: String::new(), key: one.key.clone() }, "cert.pem holds no certificates in PEM"),
        (Pair { cert: one.cert.clone(), key: "nothing".to_owned() }, "key.pem holds no private key in PEM"),
        (Pair { cert: one.cert.clone(), key: other.key.clone() }, "cannot be used"),
    ] {
        let (cert, key) = pair.write(dir.path());
        let arguments = ["--tls-cert", cert.to_str().unwrap(), "--tls-key", key.to_str().unwrap()];
        let serve = [&["serve", "--listen", "127.0.0.1:0", "--database-url", database.url()][..], &arguments].concat();
        crate::cli::refused(&crate::cli::run(&serve).await, because);
    }
    let absent = ["--tls-cert", "/none", "--tls-key", "/none"];
    let serve = [&["serve", "--listen", "127.0.0.1:0", "--database-url", database.url()][..], &absent].concat();
    crate::cli::refused(&crate::cli::run(&serve).await, "cannot read /none");
}

/// `tocsin listen` is an ordinary client, which trusts whom the system trusts.
#[tokio::test]
async fn our_own_client_speaks_https_and_wss() {
    let database = Database::new().await;
    let Secured { server, api, ca, dir } = Secured::start(&database, Limits::default()).await;
    let trusted = dir.path().join("ca.pem");
    std::fs::write(&trusted, ca.pem()).unwrap();
    let mut listening = tokio::process::Command::new(env!("CARGO_BIN_EXE_tocsin"))
        .args(["listen", "--server", &api.url, "--user", "alice", "--box", "b"])
        .env("SSL_CERT_FILE", &trusted)
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let connected = async || (api.get("/readyz").await.json()["connections"] == 1).then_some(());
    eventually("it is connected", connected).await;
    write(&database).await;
    use tokio::io::AsyncBufReadExt;
    let mut lines = tokio::io::BufReader::new(listening.stdout.take().unwrap()).lines();
    let line = tokio::time::timeout(crate::support::PATIENCE, lines.next_line()).await.unwrap().unwrap().unwrap();
    assert!(line.starts_with(r#"{"notificationList""#) && line.contains("https://127.0.0.1"), "{line}");
    server.stop().await;
}
