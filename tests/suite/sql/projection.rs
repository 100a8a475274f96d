//! Events of the log, and what they make of the boxes.

use serde_json::json;

use super::*;

async fn database() -> (Database, Client) {
    let database = Database::new().await;
    let sql = database.connect().await;
    (database, sql)
}

#[tokio::test]
async fn an_application_s_event_is_an_object_with_its_members_as_attributes() {
    let (_database, sql) = database().await;
    run(
        &sql,
        r#"insert into tocsin.events (stream, kind, data) values
            ('orders/7', 'order.placed', '{"total": 9, "note": null, "lines": ["a", "b"]}'),
            ('orders/7', 'ping', '[1, 2]'), ('orders/7', 'Objects.seen', '"text"'), ('b', 'none', default)"#,
    )
    .await;
    let found: Vec<Value> = column(&sql, "select attributes from tocsin.objects order by id").await;
    let expected = [
        json!({"total": 9, "lines": ["a", "b"], "Event-Kind": "order.placed"}),
        json!({"data": [1, 2], "Event-Kind": "ping"}),
        json!({"data": "text", "Event-Kind": "Objects.seen"}),
        json!({"Event-Kind": "none"}),
    ];
    assert_eq!(found, expected);
    let places: Vec<String> =
        column(&sql, "select store || '/' || box_id || '/' || created_seq from tocsin.objects order by id").await;
    assert_eq!(places, ["orders/7/1", "orders/7/2", "orders/7/3", "default/b/1"]);
    let logged: Vec<Value> = column(&sql, "select data -> 'attributes' from tocsin.events order by object_id").await;
    assert_eq!(logged, expected, "the event says what the object is");
}

#[tokio::test]
async fn several_events_of_one_object_in_one_statement_build_on_each_other() {
    let (_database, sql) = database().await;
    run(&sql, "insert into tocsin.messages (box_id, sender, body) values ('b', 'x', 'm')").await;
    let folder: i64 = value(&sql, "select tocsin.folder_at('default/b', 'f', true)").await;
    run(
        &sql,
        &r#"insert into tocsin.events (stream, kind, object_id, data)
           select 'default/b', 'object.changed', id, change::jsonb from tocsin.messages, (values
               (1, '{"addFlags": ["one"], "attributes": {"A": "1", "from": "y"}}'),
               (2, '{"addFlags": ["two", "ONE"], "attributes": {"B": "2"}}'),
               (3, '{"removeFlags": ["One"], "folder": FOLDER, "attributes": {"A": null}}'),
               (4, '{"addFlags": ["three"]}')) as changes (n, change) order by n"#
            .replace("FOLDER", &folder.to_string()),
    )
    .await;
    let states =
        rows(&sql, "select data -> 'flags', data -> 'attributes', data ->> 'path' from tocsin.events where kind like 'object.%' order by seq")
            .await;
    let flags: Vec<Option<Value>> = states.iter().map(|row| row.get(0)).collect();
    let expected = [json!(["one"]), json!(["one", "two"]), json!(["two"]), json!(["two", "three"])];
    assert_eq!(flags[1..], expected.map(Some));
    let last = &rows(&sql, "select flags, attributes, folder, seq from tocsin.messages").await[0];
    assert_eq!(last.get::<_, Vec<String>>(0), ["two", "three"]);
    let attributes: Value = last.get(1);
    assert_eq!((&attributes["B"], &attributes["A"], &attributes["from"]), (&json!("2"), &Value::Null, &json!("y")));
    assert!(attributes.get("From").is_none(), "names are compared without case");
    assert_eq!((last.get::<_, String>(2), last.get::<_, i64>(3)), ("/f".to_owned(), 6));
    assert_exact(&sql).await;
}

#[tokio::test]
async fn one_statement_may_change_and_delete_and_then_finds_nothing() {
    let (_database, sql) = database().await;
    run(&sql, &message("b", "m")).await;
    let id: i64 = value(&sql, "select id from tocsin.messages").await;
    let events = |kinds: &str| {
        format!(
            "insert into tocsin.events (stream, kind, object_id, data)
             select 'b', kind, {id}, '{{\"addFlags\": [\"f\"]}}' from unnest('{{{kinds}}}'::text[]) as kind"
        )
    };
    assert_eq!(refusal(&sql, &events("object.deleted,object.changed")).await, "P0002");
    assert_eq!(refusal(&sql, &events("object.deleted,object.deleted")).await, "P0002");
    run(&sql, &events("object.changed,object.expired")).await;
    assert_eq!(value::<String>(&sql, "select gone || flags[1] from tocsin.objects").await, "expiredf");
    assert_eq!(refusal(&sql, &events("object.changed")).await, "P0002");
    let elsewhere = events("object.changed").replace("'b'", "'c'");
    assert_eq!(refusal(&sql, &elsewhere).await, "P0002", "an object of another box");
    assert_eq!(seqs(&sql, "b").await, [1, 2, 3]);
    assert_exact(&sql).await;
}

#[tokio::test]
async fn a_reset_empties_its_box_and_no_other() {
    let (_database, sql) = database().await;
    run(&sql, &[message("b", 1), message("b", 2), message("c", 3)].concat()).await;
    run(&sql, "insert into tocsin.messages (store, box_id, body) values ('other', 'b', 'm')").await;
    let id: i64 = value(&sql, "select min(id) from tocsin.messages").await;
    run(&sql, "insert into tocsin.events (stream, kind) values ('b', 'box.reset')").await;
    let left: Vec<String> = column(&sql, "select store || '/' || box_id from tocsin.objects order by id").await;
    assert_eq!(left, ["default/c", "other/b"]);
    let change = format!("insert into tocsin.events (stream, kind, object_id) values ('b', 'object.changed', {id})");
    assert_eq!(refusal(&sql, &change).await, "P0002");
    run(&sql, &message("b", 4)).await;
    assert!(
        value::<bool>(
            &sql,
            "select seq = 4 and created_seq = 4 and id > 4 from tocsin.objects where store = 'default' and box_id = 'b'"
        )
        .await
    );
}

#[tokio::test]
async fn flags_given_with_an_event_are_a_set_too() {
    let (_database, sql) = database().await;
    run(
        &sql,
        r#"insert into tocsin.events (stream, kind, data)
           values ('b', 'object.created', '{"attributes": {}, "flags": ["\\Seen", "\\seen", "x"]}')"#,
    )
    .await;
    assert_eq!(value::<Vec<String>>(&sql, "select flags from tocsin.messages").await, ["\\Seen", "x"]);
    assert_eq!(value::<Value>(&sql, "select data -> 'flags' from tocsin.events").await, json!(["\\Seen", "x"]));
}
