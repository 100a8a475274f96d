//! What goes wrong, told in one line that says what to do.

use super::*;
use crate::support::client::Api;
use crate::support::postgres::cluster;
use crate::support::stand_in::{StandIn, reply};

/// Refused with exit status 1, in one line that has all these words.
async fn told(arguments: &[&str], words: &[&str]) {
    let output = run(arguments).await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let lines: Vec<&str> = said.lines().filter(|line| line.starts_with("tocsin: ")).collect();
    assert_eq!((output.status.code(), lines.len()), (Some(1), 1), "{arguments:?}: {said}");
    assert!(said.ends_with(&format!("{}\n", lines[0])), "it is one line, the last one: {said}");
    for word in words {
        assert!(lines[0].contains(word), "{word:?} is not said: {said}");
    }
}

const LISTEN: [&str; 5] = ["listen", "--user", "alice", "--box", "alice"];

async fn told_by_both(server: &str, more: &[&str], words: &[&str]) {
    told(&[&LISTEN, more, &["--server", server]].concat(), words).await;
    told(&[&["replay", "alice"], more, &["--server", server]].concat(), words).await;
}

#[tokio::test]
async fn a_server_that_is_not_there_or_is_none() {
    told_by_both("http://127.0.0.1:1", &[], &["http://127.0.0.1:1", "refused", "does it run?", "--server"]).await;
    told_by_both("nonsense", &[], &["--server", "http or https URL"]).await;
    let other = StandIn::start(|_, _| reply(200, &[], "<html>")).await;
    told_by_both(&other.url, &[], &["is it a tocsin?", "--server"]).await;
    let gone = StandIn::start(|_, _| reply(404, &[], "<html>not here</html>")).await;
    told_by_both(&gone.url, &[], &["404", "not here"]).await;
    let busy = StandIn::start(|_, _| reply(503, &[], "")).await;
    told_by_both(&busy.url, &[], &["503", "/readyz"]).await;
}

#[tokio::test]
async fn tokens_that_are_missing_bad_or_not_enough() {
    let (database, dir) = (Database::new().await, tempfile::tempdir().unwrap());
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    stdout(&run(&["token", "key", "--out", &path("jwt")]).await);
    let issue = async |user: &str, scope: &str| {
        let key = path("jwt.pem");
        let token = run(&["token", "issue", "--key", &key, "--user", user, "--scope", scope]).await;
        stdout(&token).trim().to_owned()
    };
    let public = path("jwt.pub.pem");
    let database_url = ["--database-url", database.url(), "--listen", "127.0.0.1:0"];
    let program =
        Program::start_with(&[&database_url[..], &["--auth", "jwt", "--jwt-key-file", &public]].concat()).await;
    let all = "oma_rest_notificationchannel.all_v1,oma_rest_nms.all_v1";
    told_by_both(&program.url, &[], &["401", "TOCSIN_TOKEN", "tocsin token issue"]).await;
    told_by_both(&program.url, &["--token", "x.y.z"], &["401", "TOCSIN_TOKEN"]).await;
    let narrow = issue("alice", "tocsin.rooms").await;
    told_by_both(&program.url, &["--token", &narrow], &["403", "none of the scopes", "tocsin token issue --scope"])
        .await;
    let bob = issue("bob", all).await;
    let of_bob = ["listen", "--user", "bob", "--box", "alice", "--server", &program.url, "--token", &bob];
    told(&of_bob, &["404", "misspelled", "tocsin grant"]).await;
    told_by_both(&program.url, &["--token-file", &path("none")], &["--token-file", "none"]).await;
    std::fs::write(path("token"), issue("alice", all).await + "\n").unwrap();
    stdout(&run(&["replay", "alice", "--server", &program.url, "--token-file", &path("token")]).await);
    assert_eq!(program.terminate().await, Some(0));
}

#[tokio::test]
async fn a_database_that_is_not_there_or_lets_nobody_in() {
    let commands: [&[&str]; 6] =
        [&["migrate"], &["rebuild"], &["grants"], &["rotate-key"], &["watch", "--list"], &["explain", "s", "1"]];
    for command in commands {
        let at = |url: &str| {
            [command, &["--database-url", url]].concat().iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let told = async |url: &str, words: &[&str]| {
            let arguments = at(url);
            told(&arguments.iter().map(String::as_str).collect::<Vec<_>>(), words).await;
        };
        told("postgres://u:hush@127.0.0.1:1/x", &["x at 127.0.0.1:1", "does Postgres run there?", "refused"]).await;
        told(&cluster().url().replace("/tocsin?", "/nowhere?"), &["nowhere", "createdb"]).await;
        told(&cluster().url().replace("://tocsin@", "://nobody_we_know@"), &["pg_hba.conf", "nobody_we_know"]).await;
    }
}

#[tokio::test]
async fn a_schema_that_is_missing_or_newer() {
    let database = Database::new().await;
    let here = ["--database-url", database.url()];
    psql(database.url(), "insert into tocsin.migrations values (999, 'later', '', '0')").await;
    let newer = ["V999", "newer than this program", "run the newer tocsin"];
    for command in [&["migrate"][..], &["rebuild"], &["grants"], &["serve", "--listen", "127.0.0.1:0"]] {
        told(&[command, &here].concat(), &newer).await;
    }
    psql(database.url(), "drop schema tocsin cascade").await;
    told(&[&["grants"][..], &here].concat(), &["tocsin migrate"]).await;
    stdout(&run(&[&["migrate"][..], &here].concat()).await);
    stdout(&run(&[&["grants"][..], &here].concat()).await);
}

#[tokio::test]
async fn a_port_or_a_directory_that_cannot_be_had() {
    let (database, dir) = (Database::new().await, tempfile::tempdir().unwrap());
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().into_std().unwrap();
    let address = taken.local_addr().unwrap().to_string();
    told(
        &["serve", "--database-url", database.url(), "--listen", &address],
        &[&address, "in use", "stop it", "--listen"],
    )
    .await;
    let serve = async |dir: &str, words: &[&str]| {
        told(&["serve", "--listen", "127.0.0.1:0", "--data-dir", dir], words).await;
    };
    serve("/dev/null/data", &["/dev/null/data", "--data-dir", "user "]).await;
    std::fs::write(dir.path().join("diary"), "").unwrap();
    let path = dir.path().to_str().unwrap();
    serve(path, &[path, "holds other files", "--data-dir"]).await;
    told(&["url", "--data-dir", path], &["no server is running", "tocsin serve --data-dir"]).await;
    told(&["grants", "--data-dir", "/nowhere"], &["nothing in /nowhere", "--data-dir or --database-url"]).await;
}

#[tokio::test]
async fn names_of_what_is_not_there() {
    let database = Database::new().await;
    let here = ["--database-url", database.url()];
    told(&[&["revoke", "ann", "box/bob"][..], &here].concat(), &["no grant", "tocsin grants"]).await;
    psql(database.url(), "create table movies (id int primary key)").await;
    told(&[&["unwatch", "movies"][..], &here].concat(), &["not watched", "tocsin watch --list"]).await;
    told(&["token", "issue", "--key", "/nowhere.pem", "--user", "a"], &["/nowhere.pem", "tocsin token key"]).await;
    told(&["config", "check", "--config", "/nowhere.toml"], &["/nowhere.toml", "--config"]).await;
    let server = Server::start(&database).await;
    told_by_both(&server.api.url, &["--store", "a/b"], &["400", "storeName"]).await;
    let full = Limits { channels_per_user_max: 1, ..Limits::default() };
    let full = Server::start_with(&database, full).await;
    Api::new(&full.api.url).channel("alice").await;
    told(&[&LISTEN[..], &["--server", &full.api.url]].concat(), &["the server answered"]).await;
    full.stop().await;
    server.stop().await;
}
