//! Folders are a tree in each box, whoever writes.

use super::*;

const INVALID: &str = "22023";
const TAKEN: &str = "42710";
const NOT_FOUND: &str = "P0002";
const NOT_EMPTY: &str = "2BP01";

async fn database() -> (Database, Client) {
    let database = Database::new().await;
    let sql = database.connect().await;
    (database, sql)
}

async fn folder_at(sql: &Client, path: &str) -> i64 {
    value(sql, &format!("select tocsin.folder_at('default/b', '{path}', true)")).await
}

/// Kinds and paths of the box's events, in order.
async fn told(sql: &Client) -> Vec<(String, Option<String>)> {
    let query = "select kind, data ->> 'path' from tocsin.events where stream = 'default/b' order by seq";
    rows(sql, query).await.iter().map(|row| (row.get(0), row.get(1))).collect()
}

#[tokio::test]
async fn a_message_makes_the_folders_of_its_path_once() {
    let (_database, sql) = database().await;
    for _ in 0..2 {
        run(&sql, "insert into tocsin.messages (box_id, folder, body) values ('b', '/main/chat', 'x')").await;
    }
    let expected = [
        ("folder.created", "/main"),
        ("folder.created", "/main/chat"),
        ("object.created", "/main/chat"),
        ("object.created", "/main/chat"),
    ];
    assert_eq!(told(&sql).await, expected.map(|(kind, path)| (kind.to_owned(), Some(path.to_owned()))));
    assert_eq!(column::<String>(&sql, "select folder from tocsin.messages").await, ["/main/chat"; 2]);
    assert_exact(&sql).await;
}

#[tokio::test]
async fn two_who_make_the_first_folder_of_a_box_at_once_make_one() {
    let (database, one) = database().await;
    let other = database.connect().await;
    run(&one, "begin; insert into tocsin.messages (box_id, folder, body) values ('b', 'f', '1')").await;
    let pid = backend_pid(&other).await;
    let writing = tokio::spawn(async move {
        run(&other, "insert into tocsin.messages (box_id, folder, body) values ('b', 'f', '2')").await;
    });
    blocked(&one, pid).await;
    run(&one, "commit").await;
    writing.await.unwrap();
    assert_eq!(value::<i64>(&one, "select count(*) from tocsin.folders").await, 1);
    assert_eq!(value::<i64>(&one, "select count(*) from tocsin.messages where folder = '/f'").await, 2);
    assert_exact(&one).await;
}

#[tokio::test]
async fn a_folder_ends_with_everything_in_it_and_one_event_each() {
    let (_database, sql) = database().await;
    for path in ["a", "a/b", "a/b/c", "other"] {
        run(&sql, &format!("insert into tocsin.messages (box_id, folder, body) values ('b', '{path}', 'x')")).await;
    }
    let top = folder_at(&sql, "a").await;
    let before = told(&sql).await.len();
    assert!(value::<bool>(&sql, &format!("select tocsin.end_folder('default/b', {top}, 'deleted')")).await);
    let expected = [
        ("object.deleted", "/a/b/c"),
        ("folder.deleted", "/a/b/c"),
        ("object.deleted", "/a/b"),
        ("folder.deleted", "/a/b"),
        ("object.deleted", "/a"),
        ("folder.deleted", "/a"),
    ];
    assert_eq!(told(&sql).await[before..], expected.map(|(kind, path)| (kind.to_owned(), Some(path.to_owned()))));
    assert_eq!(column::<String>(&sql, "select folder from tocsin.messages").await, ["/other"]);
    assert!(!value::<bool>(&sql, &format!("select tocsin.end_folder('default/b', {top}, 'deleted')")).await);
    assert!(!value::<bool>(&sql, "select tocsin.end_folder('default/other', 3, 'deleted')").await);
    assert_ne!(folder_at(&sql, "a").await, top, "ids are never used again");
    assert_exact(&sql).await;
}

#[tokio::test]
async fn a_folder_that_could_not_be_is_refused() {
    let (_database, sql) = database().await;
    let (a, below) = (folder_at(&sql, "a").await, folder_at(&sql, "a/b").await);
    let change = |id: i64, kind: &str, data: &str| {
        let insert = "insert into tocsin.events (stream, kind, object_id, data)";
        format!("{insert} values ('b', 'folder.{kind}', {id}, '{data}')")
    };
    let create =
        |data: &str| format!("insert into tocsin.events (stream, kind, data) values ('b', 'folder.created', '{data}')");
    for (statement, code) in [
        (create("{}"), INVALID),
        (create(r#"{"name": ""}"#), INVALID),
        (create(r#"{"name": "a/b"}"#), INVALID),
        (create(r#"{"name": "x", "attributes": [1]}"#), INVALID),
        (create(r#"{"name": "a"}"#), TAKEN),
        (create(r#"{"name": "x", "parent": 99}"#), NOT_FOUND),
        (change(below, "changed", r#"{"name": "b\n"}"#), INVALID),
        (change(a, "changed", &format!(r#"{{"parent": {below}}}"#)), INVALID),
        (change(a, "changed", &format!(r#"{{"parent": {a}}}"#)), INVALID),
        (change(below, "changed", r#"{"name": "a", "parent": 0}"#), TAKEN),
        (change(99, "changed", "{}"), NOT_FOUND),
        (change(a, "deleted", "{}"), NOT_EMPTY),
        ("insert into tocsin.messages (box_id, folder) values ('b', 'a//b')".to_owned(), INVALID),
        (
            "insert into tocsin.events (stream, kind, data) values ('c', 'object.created', '{\"folder\": 1}')"
                .to_owned(),
            NOT_FOUND,
        ),
    ] {
        assert_eq!(refusal(&sql, &statement).await, code, "{statement}");
    }
    assert_eq!(told(&sql).await.len(), 2);
    run(&sql, &change(below, "changed", r#"{"name": "c", "parent": 0}"#)).await;
    run(&sql, &change(a, "deleted", "{}")).await;
    assert_eq!(
        told(&sql).await[2..],
        [("folder.changed".to_owned(), Some("/c".to_owned())), ("folder.deleted".to_owned(), Some("/a".to_owned()))]
    );
}

#[tokio::test]
async fn texts_are_folded_as_the_server_folds_them() {
    let (_database, sql) = database().await;
    let sure = (1..0x1c80).chain(0x1e00..0x2c2f); // beyond them lie letters that Unicode got lately
    let letters: String = sure.filter_map(char::from_u32).collect();
    let folded: String = sql.query_one("select tocsin.fold($1)", &[&letters]).await.unwrap().get(0);
    let differ: Vec<(char, char)> =
        folded.chars().zip(tocsin::base::fold(&letters).chars()).filter(|(a, b)| a != b).collect();
    assert!(differ.is_empty(), "{differ:?}");
}
