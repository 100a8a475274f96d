//! `tocsin watch` and `tocsin unwatch`.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

use super::*;
use crate::cli::{refused, run as tocsin, stdout};
use crate::support::server::{Program, Server};
use crate::support::{PATIENCE, eventually};

async fn watch(database: &Database, arguments: &[&str]) -> std::process::Output {
    tocsin(&[&["watch", "--database-url", database.url()], arguments].concat()).await
}

#[tokio::test]
async fn a_table_is_watched_listed_and_unwatched_from_the_command_line() {
    let (database, sql) = movies().await;
    assert_eq!(stdout(&watch(&database, &["--list"]).await), "no table is watched\n");
    let all = [
        "movies",
        "--key",
        "id",
        "--box",
        "films",
        "--columns",
        "title,premiere",
        "--operations",
        "insert,update",
        "--when",
        "new.id > 1",
    ];
    assert_eq!(stdout(&watch(&database, &all).await), "movies is watched: its rows are told in films\n");
    run(&sql, "insert into movies values (1, 'a'), (2, 'b'); delete from movies").await;
    assert_eq!(kinds(&sql, "films").await, ["row.inserted 2"]);
    let listed = "TABLE   KEY  BOX    COLUMNS         OPERATIONS     WHEN\n\
                  movies  id   films  title,premiere  insert,update  new.id > 1\n";
    assert_eq!(stdout(&watch(&database, &["--list"]).await), listed);
    run(&sql, "alter table movies drop constraint movies_pkey").await;
    let said = stdout(&watch(&database, &["--list"]).await);
    assert!(
        said.ends_with("\nrows of movies are not told of: its key is not unique and not null any more\n"),
        "{said}"
    );
    let unwatch = ["unwatch", "--database-url", database.url(), "movies"];
    assert_eq!(stdout(&tocsin(&unwatch).await), "movies is not watched any more\n");
    refused(&tocsin(&unwatch).await, "movies is not watched");
}

#[tokio::test]
async fn what_is_wrong_is_said_in_words() {
    let (database, _sql) = movies().await;
    let asked = async |arguments: &[&str], because| refused(&watch(&database, arguments).await, because);
    asked(&["nothing", "--key", "id", "--box", "b"], "relation \"nothing\" does not exist").await;
    asked(&["movies", "--key", "title", "--box", "b"], "(ALTER TABLE public.movies ADD PRIMARY KEY (title))").await;
    asked(&["movies", "--key", "id", "--box", "b", "--operations", "truncate"], "operations must be some of").await;
    asked(&["movies", "--key", "id", "--box", "b", "--when", "new.x"], "the condition cannot be used: column new.x")
        .await;
    asked(&["movies", "--key", "id"], "--box").await;
    asked(&["movies", "--list"], "cannot be used with").await;
    let dir = tempfile::tempdir().unwrap().path().join("none");
    let nowhere = ["watch", "--data-dir", dir.to_str().unwrap(), "--list"];
    refused(&tocsin(&nowhere).await, "there is nothing in");
}

#[tokio::test]
async fn listen_follows_one_row_and_prints_its_values() {
    let (database, sql) = watched("key => 'id', box => 'movies'").await;
    let server = Server::start(&database).await;
    let url = server.api.url.as_str();
    let arguments = ["listen", "--server", url, "--user", "alice", "--box", "movies", "--with-attributes"];
    let mut listener = Command::new(env!("CARGO_BIN_EXE_tocsin"))
        .args([&arguments[..], &["--attribute", "key=2", "--attribute", "operation=update"]].concat())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(listener.stdout.take().unwrap()).lines();
    let connected = async || (server.api.get("/readyz").await.json()["connections"] == 1).then_some(());
    eventually("it is connected", connected).await;
    run(&sql, "insert into movies values (1, 'a'), (2, 'b'); update movies set title = title || '!'").await;
    let line = timeout(PATIENCE, lines.next_line()).await.expect("it prints nothing").unwrap().unwrap();
    let line: Value = serde_json::from_str(&line).unwrap();
    let list = EventList::of(&line["notificationList"][0]);
    assert_eq!((carried(&list, "old.title"), carried(&list, "title")), (json!(["b"]), json!(["b!"])));
    refused(&tocsin(&[&arguments[..], &["--attribute", "key"]].concat()).await, "NAME=VALUE is wanted");
    server.stop().await;
}

#[tokio::test]
async fn it_works_beside_a_server_on_its_private_cluster() {
    let dir = tempfile::tempdir().unwrap();
    let program = Program::start(dir.path()).await;
    let here = ["--data-dir", dir.path().to_str().unwrap()];
    let url = stdout(&tocsin(&[&["url"], &here[..]].concat()).await);
    let sql = crate::support::postgres::connect(url.trim()).await;
    run(&sql, MOVIES).await;
    let watch = [&["watch", "movies", "--key", "id", "--box", "movies"], &here[..]].concat();
    stdout(&tocsin(&watch).await);
    run(&sql, "insert into movies values (1, 'a')").await;
    assert_eq!(program.api.get("/api/tables/movies/1").await.json()["title"], "a");
    drop(sql);
    assert_eq!(program.terminate().await, Some(0));
}
