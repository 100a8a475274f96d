//! What the program is to people: feeds, commands of theirs, lists as JSON, shells, man.

use std::os::unix::fs::PermissionsExt;

use super::*;

async fn write_text(database: &Database) {
    let insert = "insert into tocsin.messages (box_id, body, flags, attributes) \
                  values ('b', 'hello', '{\"\\\\Seen\"}', '{\"Subject\": \"Lunch\"}')";
    database.connect().await.batch_execute(insert).await.unwrap();
}

#[tokio::test]
async fn a_feed_has_a_line_for_each_event_and_no_colours_outside_a_terminal() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let mut listener = Listener::start(&server.api.url, &["--output", "feed"]).await;
    write_text(&database).await;
    let line = listener.line().await;
    for part in ["changed object ", "Subject=Lunch", "[\\Seen]"] {
        assert!(line.contains(part), "{line}");
    }
    assert!(!line.contains('\u{1b}'), "{line:?}");
    listener.interrupt().await;
    server.stop().await;
}

#[tokio::test]
async fn a_command_runs_for_each_notification_and_one_that_fails_does_not_lose_the_place() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("take");
    let text = "#!/bin/sh\necho \"$TOCSIN_BOX $TOCSIN_INDEX $TOCSIN_RESTART_TOKEN $(cat)\"\n[ $TOCSIN_INDEX != 2 ]\n";
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut listener = Listener::start(&server.api.url, &["--exec", script.to_str().unwrap()]).await;
    write(&database, 3).await;
    for n in 1..=3 {
        let line = listener.line().await;
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        let notification: Value = serde_json::from_str(words[3]).unwrap();
        let list = &notification["nmsEventList"];
        assert_eq!((words[0], words[1]), ("b", n.to_string().as_str()), "{line}");
        assert_eq!((list["index"].as_i64(), list["restartToken"].as_str()), (Some(n), Some(words[2])), "{line}");
    }
    assert_eq!(listener.interrupt().await, (Some(0), vec![]));
    server.stop().await;
}

#[tokio::test]
async fn what_is_listed_can_be_had_as_json() {
    let database = Database::new().await;
    database.connect().await.batch_execute("create table movies (id int primary key, title text)").await.unwrap();
    let of = ["--database-url", database.url()];
    let json = async |command: &[&str]| {
        let output = run(&[command, &["--output", "json"], &of].concat()).await;
        serde_json::from_str::<Value>(&stdout(&output)).unwrap()
    };
    assert_eq!(json(&["watch", "--list"]).await, json!([]));
    assert_eq!(json(&["grants"]).await, json!([]));
    stdout(&run(&[&["watch", "movies", "--key", "id", "--box", "movies"], &of[..]].concat()).await);
    stdout(&run(&[&["grant", "ann", "box/bob", "read,write"], &of[..]].concat()).await);
    let watched = json(&["watch", "--list"]).await;
    assert_eq!((&watched[0]["table"], &watched[0]["key"]), (&json!("movies"), &json!(["id"])), "{watched}");
    let granted = json(&["grants"]).await;
    assert_eq!(granted[0]["grantee"], "ann");
    assert_eq!(
        (&granted[0]["resource"], &granted[0]["rights"]),
        (&json!("box/default/bob"), &json!(["read", "write"]))
    );
}

#[tokio::test]
async fn shells_and_man_know_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let script = stdout(&run(&["completions", shell]).await);
        assert!(script.contains("rotate-key") && script.contains("trusted-proxies"), "{shell}");
    }
    let page = stdout(&run(&["man"]).await);
    assert!(page.contains("rotate\\-key") && page.contains("Exit status:"), "{page}");
    let dir = tempfile::tempdir().unwrap();
    stdout(&run(&["man", "--dir", dir.path().to_str().unwrap()]).await);
    for page in ["tocsin.1", "tocsin-listen.1", "tocsin-config-show.1"] {
        assert!(dir.path().join(page).exists(), "{page}");
    }
}

#[tokio::test]
async fn the_exit_status_says_whether_it_failed_or_was_not_understood() {
    assert_eq!(run(&["--version"]).await.status.code(), Some(0));
    assert_eq!(run(&["sing"]).await.status.code(), Some(2));
    assert_eq!(run(&["listen"]).await.status.code(), Some(2));
    let nowhere = run(&["replay", "--server", "http://127.0.0.1:1", "b"]).await;
    assert_eq!(nowhere.status.code(), Some(1));
    refused(&nowhere, "--server");
    let help = stdout(&run(&["--help"]).await);
    assert!(help.contains("Exit status:") && help.contains("Examples:"), "{help}");
}
