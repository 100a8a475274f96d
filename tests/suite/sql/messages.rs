//! The view tocsin.messages, written to as a table is.

use serde_json::json;

use super::*;

async fn with_message() -> (Database, Client) {
    let database = Database::new().await;
    let sql = database.connect().await;
    run(
        &sql,
        "insert into tocsin.messages (box_id, sender, recipient, body, flags, attributes)
         values ('b', 'x', 'b', 'hello', array['\\Seen'], '{\"Subject\": \"s\"}')",
    )
    .await;
    (database, sql)
}

async fn events(sql: &Client) -> i64 {
    value(sql, "select count(*) from tocsin.events").await
}

#[tokio::test]
async fn what_an_insert_leaves_out_has_defaults() {
    let database = Database::new().await;
    let sql = database.connect().await;
    run(&sql, "insert into tocsin.messages (box_id, sender, recipient, body) values ('me', 'you', 'me', 'in')").await;
    run(&sql, "insert into tocsin.messages (box_id, sender, body) values ('me', 'me', 'out')").await;
    run(&sql, "insert into tocsin.messages (store, box_id) values ('other', 'me')").await;
    let found = rows(
        &sql,
        "select store, folder, direction, flags, attributes, created_at = edited_at, seq, sender, recipient, body
         from tocsin.messages order by id",
    )
    .await;
    let direction: Vec<String> = found.iter().map(|row| row.get(2)).collect();
    assert_eq!(direction, ["In", "Out", "In"]);
    let place: Vec<(String, String, i64)> = found.iter().map(|row| (row.get(0), row.get(1), row.get(6))).collect();
    let expected = [("default", 1), ("default", 2), ("other", 1)];
    assert_eq!(place, expected.map(|(store, seq)| (store.to_owned(), "/".to_owned(), seq)));
    for row in &found {
        let attributes: Value = row.get(4);
        assert_eq!(attributes["Message-Context"], "pager-message");
        chrono::DateTime::parse_from_rfc3339(attributes["Date"].as_str().unwrap()).unwrap();
        assert!(row.get::<_, Vec<String>>(3).is_empty() && row.get::<_, bool>(5));
    }
    let last: (Option<String>, Option<String>, Option<String>) = (found[2].get(7), found[2].get(8), found[2].get(9));
    assert_eq!(last, (None, None, None));
    assert!(!found[2].get::<_, Value>(4).as_object().unwrap().contains_key("From"), "what is null is left out");
}

#[tokio::test]
async fn insert_returning_tells_what_the_log_chose_and_own_attributes_win() {
    let (_database, sql) = with_message().await;
    let row = &rows(
        &sql,
        "insert into tocsin.messages (box_id, body, attributes, flags, folder, correlation_id, correlation_tag)
         values ('b', 'm', '{\"TextContent\": \"mine\", \"X\": [\"1\", \"2\"]}', array['a', 'A', '\\Seen', '\\SEEN'], 'f/g', 'ci', 'ct')
         returning id, seq, edited_at",
    )
    .await[0];
    let stored = &rows(&sql, "select id, seq, edited_at, body, flags, folder, correlation_id, correlation_tag, attributes from tocsin.messages where correlation_id is not null").await[0];
    type Chosen = (i64, i64, chrono::DateTime<chrono::Utc>);
    let chosen: Chosen = (row.get(0), row.get(1), row.get(2));
    assert_eq!(chosen, (stored.get(0), stored.get(1), stored.get(2)));
    let texts: Vec<String> = [3, 5, 6, 7].map(|n| stored.get(n)).to_vec();
    assert_eq!(texts, ["mine", "/f/g", "ci", "ct"]);
    assert_eq!(stored.get::<_, Vec<String>>(4), ["a", "\\Seen"], "a set, compared without case");
    assert_eq!(stored.get::<_, Value>(8)["X"], json!(["1", "2"]));
}

#[tokio::test]
async fn what_an_insert_gives_is_evaluated_once() {
    let database = Database::new().await;
    let sql = database.connect().await;
    run(&sql, "create sequence s").await;
    let one = "'b' || nextval('s'), 'x' || nextval('s'), 'y' || nextval('s'), nextval('s')::text";
    for rows in [format!("values ({one})"), format!("values ({one}), ({one})"), format!("select {one}")] {
        run(&sql, &format!("insert into tocsin.messages (box_id, sender, recipient, body) {rows}")).await;
        run(&sql, &format!("insert into tocsin.messages (box_id, sender, recipient, folder) {rows}")).await;
    }
    assert_eq!(value::<i64>(&sql, "select last_value from s").await, 32);
    let streams = "select split_part(stream, '/', 2) from tocsin.streams order by length(stream), stream";
    let drawn: Vec<String> = (0..8).map(|n| format!("b{}", 4 * n + 1)).collect();
    assert_eq!(column::<String>(&sql, streams).await, drawn);
}

#[tokio::test]
async fn insert_returning_gives_the_row_as_it_is_then_read() {
    let (_database, sql) = with_message().await;
    let row =
        "to_jsonb(r) from (select store, box_id, id, sender, recipient, body, direction, flags, attributes, folder,
                    correlation_id, correlation_tag, created_at, edited_at, seq from";
    for (columns, values) in [
        ("box_id, sender, recipient, body", "'b', 'x', 'b', 'm'"),
        ("box_id, sender", "'b', 'b'"),
        (
            "store, box_id, body, flags, folder, attributes, correlation_id, correlation_tag",
            "'s', 'b', 'm', '{F}', 'f/g', '{\"To\": [\"1\", \"2\"]}', 'ci', 'ct'",
        ),
    ] {
        let insert = format!("insert into tocsin.messages ({columns}) values ({values}) returning *");
        let returned: Value = value(&sql, &format!("with i as ({insert}) select {row} i) as r")).await;
        let stored: Value =
            value(&sql, &format!("select {row} tocsin.messages where id = {}) as r", returned["id"])).await;
        assert_eq!(returned, stored);
    }
}

#[tokio::test]
async fn an_update_without_effect_makes_no_event() {
    let (_database, sql) = with_message().await;
    for change in [
        "body = 'hello'",
        "body = body, sender = sender",
        "flags = flags || array['\\SEEN']",
        "flags = array['\\seen']",
        "attributes = attributes",
        "folder = '/'",
        "folder = ''",
    ] {
        let count = sql.execute(&format!("update tocsin.messages set {change}"), &[]).await.unwrap();
        assert_eq!(count, 1, "as for any table: {change}");
        assert_eq!(events(&sql).await, 1, "{change}");
    }
    assert_eq!(value::<Vec<String>>(&sql, "select flags from tocsin.messages").await, ["\\Seen"]);
}

#[tokio::test]
async fn an_update_changes_what_it_says_and_returns_what_became_of_it() {
    let (_database, sql) = with_message().await;
    let row = &rows(
        &sql,
        "update tocsin.messages set body = 'new', flags = array['\\Flagged'], folder = 'archive',
             attributes = attributes - 'Subject' || '{\"X\": \"y\"}' returning seq, edited_at, attributes, flags",
    )
    .await[0];
    assert_eq!(row.get::<_, i64>(0), 3, "after the folder's own event");
    let stored = &rows(&sql, "select attributes, flags, folder, edited_at, seq, body from tocsin.messages").await[0];
    let attributes: Value = stored.get(0);
    assert_eq!(
        (&attributes["X"], &attributes["Subject"], &attributes["From"]),
        (&json!("y"), &Value::Null, &json!("x"))
    );
    assert_eq!((stored.get::<_, String>(2), stored.get::<_, String>(5)), ("/archive".to_owned(), "new".to_owned()));
    assert_eq!(stored.get::<_, Vec<String>>(1), ["\\Flagged"]);
    assert_eq!(row.get::<_, Value>(2), attributes);
    assert_eq!(row.get::<_, Vec<String>>(3), ["\\Flagged"]);
    assert_eq!(row.get::<_, chrono::DateTime<chrono::Utc>>(1), stored.get::<_, chrono::DateTime<chrono::Utc>>(3));
    run(&sql, "update tocsin.messages set recipient = null").await;
    assert!(value::<bool>(&sql, "select recipient is null and not attributes ? 'To' from tocsin.messages").await);
}

#[tokio::test]
async fn columns_that_are_the_log_s_cannot_be_changed() {
    let (_database, sql) = with_message().await;
    for column in [
        "id = id + 1",
        "store = 'other'",
        "box_id = 'other'",
        "correlation_id = 'c'",
        "correlation_tag = 'c'",
        "seq = 9",
        "edited_at = now()",
        "created_at = created_at - interval '1 day'",
    ] {
        assert_eq!(refusal(&sql, &format!("update tocsin.messages set {column}")).await, "0A000", "{column}");
    }
    assert_eq!(events(&sql).await, 1);
}

/// `first` has done `one` and not committed; `second` does the other and waits: how many rows it says it did.
async fn raced(database: &Database, one: &str, other: &str) -> u64 {
    let (first, second) = (database.connect().await, database.connect().await);
    let pid = backend_pid(&second).await;
    run(&first, &format!("begin; {one}")).await;
    let (count, ()) = tokio::join!(second.execute(other, &[]), async {
        blocked(&first, pid).await;
        run(&first, "commit").await;
    });
    count.unwrap()
}

#[tokio::test]
async fn two_who_change_different_columns_both_succeed() {
    let (database, sql) = with_message().await;
    let other =
        "update tocsin.messages set flags = flags || array['\\Flagged'], attributes = attributes || '{\"X\": \"y\"}'";
    assert_eq!(raced(&database, "update tocsin.messages set body = 'new', flags = '{}'", other).await, 1);
    let row = &rows(&sql, "select body, flags, attributes ->> 'X', attributes ->> 'Subject', seq from tocsin.messages")
        .await[0];
    let texts: Vec<String> = [0, 2, 3].map(|n| row.get(n)).to_vec();
    assert_eq!(texts, ["new", "y", "s"]);
    assert_eq!(row.get::<_, Vec<String>>(1), ["\\Flagged"]);
    assert_exact(&sql).await;
}

#[tokio::test]
async fn of_two_who_delete_one_does() {
    let (database, sql) = with_message().await;
    assert_eq!(raced(&database, "delete from tocsin.messages", "delete from tocsin.messages").await, 0);
    assert_eq!(
        column::<String>(&sql, "select kind from tocsin.events order by seq").await,
        ["object.created", "object.deleted"]
    );
}

#[tokio::test]
async fn an_update_of_what_was_just_deleted_finds_nothing() {
    let (database, sql) = with_message().await;
    assert_eq!(raced(&database, "delete from tocsin.messages", "update tocsin.messages set body = 'late'").await, 0);
    assert_eq!(events(&sql).await, 2);
}

#[tokio::test]
async fn a_deleted_message_is_a_tombstone_whose_event_tells_its_last_state() {
    let (_database, sql) = with_message().await;
    assert_eq!(sql.execute("delete from tocsin.messages where body = 'hello'", &[]).await.unwrap(), 1);
    assert_eq!(value::<i64>(&sql, "select count(*) from tocsin.messages").await, 0);
    assert_eq!(value::<String>(&sql, "select gone from tocsin.objects where seq = 2").await, "deleted");
    let data: Value = value(&sql, "select data from tocsin.events where kind = 'object.deleted'").await;
    assert_eq!((&data["attributes"]["TextContent"], &data["flags"]), (&json!("hello"), &json!(["\\Seen"])));
    assert!(data["storedAt"].is_string());
    assert_eq!(sql.execute("delete from tocsin.messages", &[]).await.unwrap(), 0);
}
