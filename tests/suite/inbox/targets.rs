//! The ways to users beside sockets.

use std::process::Stdio;

use reqwest::Method;
use serde_json::{Value, json};
use tocsin::outbound::config::{Email, MailTls};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{Inbox, served};
use crate::support::client::Api;
use crate::support::postgres::Database;
use crate::support::server::Server;
use crate::support::stand_in::{StandIn, reply};
use crate::support::{PATIENCE, eventually};

/// Adds a target: its representation.
async fn target(inbox: &Inbox<'_>, fields: Value) -> Value {
    let answer = inbox.send(Method::POST, "/api/notifications/targets", Some(fields)).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    answer.json()
}

/// A server that may post to this machine, with the event type `comment`.
async fn start(database: &Database) -> Server {
    let server = Server::start_as(database, |config| config.allow_private_targets = true).await;
    server.api.post("/api/event-types", json!({ "name": "comment", "title": "c" })).await;
    server
}

/// The titles that were posted.
fn posted(client: &StandIn) -> Vec<String> {
    let bodies = client.received().into_iter().map(|post| serde_json::from_slice::<Value>(&post.body).unwrap());
    bodies.map(|body| body["notification"]["event"]["title"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_webhook_gets_each_notification_signed_until_it_takes_it() {
    let database = Database::new().await;
    let (server, other) = (start(&database).await, start(&database).await);
    let client = StandIn::start(|_, before| reply(if before == 0 { 503 } else { 204 }, &[], "")).await;
    let (ann, bob) = (Inbox::of(&server, "ann"), Inbox::of(&server, "bob"));
    ann.tell("bob", "before").await;
    let hook = target(&bob, json!({ "channel": "webhook", "url": format!("{}/hook", client.url) })).await;
    assert!(hook["secret"].as_str().unwrap().starts_with("whsec_"));
    assert_eq!(bob.get("/api/notifications/targets").await["results"], json!([hook]));
    for title in ["1", "2"] {
        ann.tell("bob", title).await;
    }
    // The first attempt fails, and is made again; what was there before is not posted, and nothing by both nodes.
    eventually("all are posted", async || (posted(&client).len() >= 3).then_some(())).await;
    assert_eq!(posted(&client), ["1", "1", "2"]);
    let posts = client.received();
    assert_eq!(posts[0].headers["webhook-id"], posts[1].headers["webhook-id"]);
    assert!(posts.iter().all(|post| post.headers.contains_key("webhook-signature")));
    // Neither is it a channel of the Notification Channel API, nor anybody else's.
    let channels = server.api.get("/notificationchannel/v1/bob/channels").await.json();
    assert!(!channels.to_string().contains(hook["id"].as_str().unwrap()), "{channels}");
    let path = format!("/api/notifications/targets/{}", hook["id"].as_str().unwrap());
    assert_eq!(ann.send(Method::DELETE, &path, None).await.status, 404);
    assert_eq!(bob.send(Method::DELETE, &path, None).await.status, 204);
    assert_eq!(bob.send(Method::DELETE, &path, None).await.status, 404);
    assert_eq!(bob.get("/api/notifications/targets").await["count"], 0);
    server.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn the_sender_and_the_user_both_choose_the_ways() {
    let database = Database::new().await;
    let server = start(&database).await;
    let client = StandIn::start(|_, _| reply(204, &[], "")).await;
    let (ann, bob) = (Inbox::of(&server, "ann"), Inbox::of(&server, "bob"));
    target(&bob, json!({ "channel": "webhook", "url": client.url })).await;
    let mut socket = bob.socket("latest").await;
    let tell = async |title: &str, fields: Value| {
        let mut event = json!({ "type": "comment", "title": title, "users": ["bob"] });
        event.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        ann.publish(event).await;
    };
    tell("by both", json!({})).await;
    tell("by socket", json!({ "channels": ["websocket"] })).await;
    tell("by webhook", json!({ "channels": ["webhook"] })).await;
    tell("silent", json!({ "silent": true })).await;
    bob.patch("/api/notifications/filter", json!({ "channels": ["websocket"] })).await;
    tell("no webhook", json!({})).await;
    bob.patch("/api/notifications/filter", json!({ "channels": null })).await;
    tell("the end", json!({})).await;
    for title in ["by both", "by socket", "no webhook", "the end"] {
        socket.hears("new", title).await;
    }
    eventually("all are posted", async || (posted(&client).last()? == "the end").then_some(())).await;
    assert_eq!(posted(&client), ["by both", "by webhook", "the end"]);
    assert_eq!(bob.titles("").await, ["the end", "no webhook", "silent", "by webhook", "by socket", "by both"]);
    server.stop().await;
}

#[tokio::test]
async fn a_target_that_is_gone_ends() {
    let database = Database::new().await;
    let server = start(&database).await;
    let client = StandIn::start(|_, _| reply(410, &[], "")).await;
    let bob = Inbox::of(&server, "bob");
    target(&bob, json!({ "channel": "webhook", "url": client.url })).await;
    Inbox::of(&server, "ann").tell("bob", "hello").await;
    eventually("it has ended", async || (bob.get("/api/notifications/targets").await["count"] == 0).then_some(()))
        .await;
    server.stop().await;
}

/// An SMTP server that takes every mail: each as it came, with the envelope before it.
async fn mail_server() -> (u16, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (mails, taken) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mails = mails.clone();
            tokio::spawn(async move {
                let (read, mut write) = stream.into_split();
                let mut lines = BufReader::new(read).lines();
                write.write_all(b"220 ready\r\n").await.unwrap();
                let (mut mail, mut in_data) = (String::new(), false);
                while let Ok(Some(line)) = lines.next_line().await {
                    let reply: &[u8] = match (in_data, line.as_str()) {
                        (true, ".") => {
                            in_data = false;
                            mails.send(std::mem::take(&mut mail)).unwrap();
                            b"250 taken\r\n"
                        }
                        (true, line) => {
                            mail += &format!("{line}\n");
                            continue;
                        }
                        (false, "DATA") => {
                            in_data = true;
                            b"354 go on\r\n"
                        }
                        (false, "QUIT") => b"221 bye\r\n",
                        (false, line) => {
                            mail += &format!("{line}\n");
                            b"250 ok\r\n"
                        }
                    };
                    write.write_all(reply).await.unwrap();
                }
            });
        }
    });
    (port, taken)
}

#[tokio::test]
async fn notifications_go_out_by_email_when_it_is_configured() {
    let database = Database::new().await;
    let (port, mut mails) = mail_server().await;
    let email = Email {
        server: "127.0.0.1".into(),
        port: Some(port),
        tls: MailTls::None,
        from: "tocsin <tocsin@example.org>".into(),
        user: None,
        password_file: None,
    };
    let server = Server::start_as(&database, |config| config.push.email = Some(email)).await;
    server.api.post("/api/event-types", json!({ "name": "comment", "title": "c" })).await;
    let bob = Inbox::of(&server, "bob");
    target(&bob, json!({ "channel": "email", "address": "Bob <bob@example.org>" })).await;
    let event = json!({ "type": "comment", "title": "Grüße", "message": "from ann", "users": ["bob"] });
    Inbox::of(&server, "ann").publish(event).await;
    let mail = timeout(PATIENCE, mails.recv()).await.expect("a mail").unwrap();
    for part in ["MAIL FROM:<tocsin@example.org>", "RCPT TO:<bob@example.org>", "Subject: =?utf-8?", "from ann"] {
        assert!(mail.contains(part), "{part} is not in {mail}");
    }
    server.stop().await;
}

#[tokio::test]
async fn the_console_prints_them() {
    let database = Database::new().await;
    let mut child = Command::new(env!("CARGO_BIN_EXE_tocsin"))
        .args(["serve", "--listen", "127.0.0.1:0", "--database-url", database.url()])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let ready = lines.next_line().await.unwrap().unwrap();
    let api = Api::new(ready.strip_prefix("READY ").unwrap());
    api.post("/api/event-types", json!({ "name": "comment", "title": "c" })).await;
    target(&Inbox { api: &api, user: "bob" }, json!({ "channel": "console" })).await;
    Inbox { api: &api, user: "ann" }.tell("bob", "printed").await;
    let line = timeout(PATIENCE, lines.next_line()).await.expect("a line").unwrap().unwrap();
    let printed: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&printed["action"], &printed["notification"]["event"]["title"]), (&json!("new"), &json!("printed")));
}

#[tokio::test]
async fn what_cannot_be_a_target_is_refused() {
    let (_database, server) = served().await;
    let bob = Inbox::of(&server, "bob");
    let refused = async |fields: Value| {
        let answer = bob.send(Method::POST, "/api/notifications/targets", Some(fields.clone())).await;
        assert!(answer.status.is_client_error(), "{fields}: {}", answer.text);
        (answer.status.as_u16(), answer.fault().1)
    };
    let (status, variables) = refused(json!({ "channel": "pigeon" })).await;
    assert_eq!((status, variables[1].as_str()), (400, "webhook, push, email, console"));
    for (part, fields) in [
        ("url", json!({ "channel": "webhook" })),
        ("url", json!({ "channel": "webhook", "url": "no URL" })),
        ("url", json!({ "channel": "webhook", "url": "http://127.0.0.1/x" })),
        ("url", json!({ "channel": "webhook", "url": "ftp://example.org/" })),
        ("address", json!({ "channel": "email", "address": "nobody" })),
        ("registrationToken", json!({ "channel": "push", "channelSubType": "GCM" })),
        ("channelSubType", json!({ "channel": "push", "channelSubType": "X", "registrationToken": "t" })),
    ] {
        assert_eq!(refused(fields.clone()).await, (400, vec![part.to_owned()]), "{fields}");
    }
    // What is not configured is not offered.
    for fields in [
        json!({ "channel": "email", "address": "bob@example.org" }),
        json!({ "channel": "push", "channelSubType": "GCM", "registrationToken": "t" }),
    ] {
        assert_eq!(refused(fields.clone()).await.0, 403, "{fields}");
    }
    assert_eq!(bob.get("/api/notifications/targets").await["count"], 0);
    server.stop().await;
}
