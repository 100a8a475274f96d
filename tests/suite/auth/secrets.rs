//! What is secret is written down nowhere: neither in logs nor in metrics nor in what clients are told.

use reqwest::Method;
use tempfile::TempDir;

use super::*;
use crate::cli::{run, stdout};
use crate::support::client::Socket;
use crate::support::server::Program;
use crate::support::stand_in::{StandIn, reply};

#[tokio::test]
async fn logs_and_metrics_hold_no_token_and_no_secret_url() {
    let (dir, database) = (TempDir::new().unwrap(), Database::new().await);
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let secret = stdout(&run(&["token", "secret"]).await).trim().to_owned();
    std::fs::write(path("secret"), &secret).unwrap();
    let issue = |user: &'static str, scope: &'static str| {
        let file = path("secret");
        async move {
            let token = run(&["token", "issue", "--secret-file", &file, "--user", user, "--scope", scope]).await;
            stdout(&token).trim().to_owned()
        }
    };
    let everyday: &'static str = Box::leak(EVERYDAY.replace(' ', ",").into_boxed_str());
    let (token, admin) = (issue("alice", everyday).await, issue("root", "tocsin.admin").await);
    let webhook = StandIn::start(|_, _| reply(500, &[], "no")).await;
    let log = dir.path().join("log");
    // With everything that our own code would ever write.
    let config = format!(
        "listen = '127.0.0.1:0'\nauth = 'jwt'\nallow_private_targets = true\ndatabase_url = '{}'\n[jwt]\nsecret = '{secret}'\n",
        database.url()
    );
    std::fs::write(path("tocsin.toml"), config).unwrap();
    let program = Program::start_tracing(&["--config", &path("tocsin.toml")], &log).await;
    let alice = program.api.with_token(&token);

    let channel = alice.channel("alice").await;
    let polled = alice.channel_with("alice", json!({ "channelType": "LongPolling", "channelData": {} })).await;
    let hook = format!("{}/hook?key=url-of-a-webhook", webhook.url);
    let hooked = alice
        .channel_with("alice", json!({ "channelType": "webhooks", "channelData": { "x-webhookURL": hook } }))
        .await;
    for channel in [&channel, &hooked] {
        alice.subscribe("alice", channel).await;
    }
    let secrets_of = |url: &Value| url.as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    let mut secret_texts = vec![secret.clone(), token.clone(), admin.clone(), "url-of-a-webhook".to_owned()];
    for url in [&channel["channelData"]["channelURL"], &polled["channelData"]["channelURL"]] {
        secret_texts.push(secrets_of(url));
    }
    for channel in [&channel, &polled, &hooked] {
        secret_texts.push(secrets_of(&channel["callbackURL"]));
    }
    if let Some(secret) = hooked["channelData"]["x-webhookSecret"].as_str() {
        secret_texts.push(secret.to_owned());
    }

    // All that goes well, and all that goes wrong.
    let url = channel["channelData"]["channelURL"].as_str().unwrap();
    let mut socket = Socket::try_open(&format!("{url}?access_token={token}")).await.unwrap();
    let insert = "insert into tocsin.messages (box_id, body) values ('alice', 'hello')";
    database.connect().await.batch_execute(insert).await.unwrap();
    socket.list().await;
    let bad = format!("{token}x");
    secret_texts.push(bad.clone());
    assert!(Socket::try_open(&format!("{url}?access_token={bad}")).await.is_err());
    assert!(Socket::try_open(&format!("{url}x")).await.is_err());
    socket
        .say(tokio_tungstenite::tungstenite::Message::text(
            json!({ "tokenRefresh": { "accessToken": bad } }).to_string(),
        ))
        .await;
    let told = socket.frame().await;
    program.api.with_token(&bad).get("/notificationchannel/v1/alice/channels").await;
    alice.post(polled["channelData"]["channelURL"].as_str().unwrap(), json!("no request")).await;
    alice.post(channel["callbackURL"].as_str().unwrap(), json!([])).await;
    program.api.post(&format!("{}x", channel["callbackURL"].as_str().unwrap()), json!({ "x": {} })).await;
    let wrong = json!({ "nmsSubscription": { "callbackReference": { "notifyURL": format!("{}x", channel["callbackURL"].as_str().unwrap()) } } });
    let answer = alice.post("/nms/v1/default/alice/subscriptions", wrong).await;
    crate::support::eventually("the webhook was tried", async || (!webhook.received().is_empty()).then_some(())).await;
    socket.say(tokio_tungstenite::tungstenite::Message::binary(vec![1u8])).await;
    socket.closed().await;
    let metrics = program.api.with_token(&admin).get("/metrics").await;
    assert_eq!(metrics.status, StatusCode::OK);
    let fault = alice.send(Method::POST, "/nms/v1/default/alice/objects", &[], Some("{".to_owned())).await;
    let ready = program.api.get("/readyz").await;
    assert_eq!(program.terminate().await, Some(0));

    let log = std::fs::read_to_string(&log).unwrap();
    assert!(log.lines().count() > 5, "there is a log: {log}");
    for (what, text) in [
        ("log", &log),
        ("metrics", &metrics.text),
        ("what the socket is told", &told),
        ("a fault", &fault.text),
        ("another fault", &answer.text),
        ("readyz", &ready.text),
    ] {
        for secret in &secret_texts {
            assert!(!text.contains(secret.as_str()), "{what} holds {secret}: {text}");
        }
    }
}

#[tokio::test]
async fn secrets_are_not_in_the_process_table() {
    // (They can be, if an operator writes them on the command line; so there are files and the environment for them.)
    let help = run(&["serve", "--help"]).await;
    let help = stdout(&help);
    for variable in ["TOCSIN_JWT_SECRET", "TOCSIN_JWT_KEY_FILE", "TOCSIN_JWT_JWKS_URL", "DATABASE_URL"] {
        assert!(help.contains(variable), "{variable}");
    }
}
