//! What the log does not take.

use futures_util::SinkExt;

use super::*;

const INVALID: &str = "22023";

async fn database() -> (Database, Client) {
    let database = Database::new().await;
    let sql = database.connect().await;
    (database, sql)
}

async fn nothing_was_written(sql: &Client) {
    let tables = ["events", "streams", "objects", "channels", "subscriptions"];
    for table in tables {
        assert_eq!(value::<i64>(sql, &format!("select count(*) from tocsin.{table}")).await, 0, "{table}");
    }
}

#[tokio::test]
async fn a_writer_cannot_choose_what_the_log_chooses() {
    let (_database, sql) = database().await;
    for (name, value) in [
        ("seq", "1"),
        ("seq", "7"),
        ("xid", "pg_current_xact_id()"),
        ("xid", "'3'"),
        ("edited_at", "clock_timestamp()"),
        ("created_at", "now() - interval '1 microsecond'"),
        ("created_at", "now() + interval '35 days'"),
    ] {
        let insert = format!("insert into tocsin.events (stream, kind, {name}) values ('b', 'k', {value})");
        assert_eq!(refusal(&sql, &insert).await, INVALID, "{insert}");
    }
    let with_id = "insert into tocsin.events (stream, kind, object_id) values ('b', 'object.created', 5)";
    assert_eq!(refusal(&sql, with_id).await, INVALID);
    assert_eq!(refusal(&sql, "insert into tocsin.messages (box_id, id) values ('b', 5)").await, INVALID);
    nothing_was_written(&sql).await;
}

#[tokio::test]
async fn a_restore_of_data_alone_fails_loudly() {
    let (database, from) = database().await;
    run(&from, &message("b", 1).repeat(3)).await;
    let columns = "stream, seq, kind, object_id, data, edited_at, created_at, xid";
    let dump = from.copy_out(&format!("copy (select {columns} from tocsin.events) to stdout")).await.unwrap();
    let dump: Vec<_> = futures_util::TryStreamExt::try_collect(dump).await.unwrap();
    assert_eq!(dump.len(), 3);

    let (other, sql) = self::database().await;
    let sink = sql.copy_in(&format!("copy tocsin.events ({columns}) from stdin")).await.unwrap();
    let mut sink = std::pin::pin!(sink);
    for line in dump {
        sink.send(line).await.unwrap();
    }
    let fault = sink.finish().await.unwrap_err();
    assert_eq!(fault.code().unwrap().code(), INVALID, "{fault}");
    nothing_was_written(&sql).await;
    drop((database, other));
}

#[tokio::test]
async fn a_name_that_could_not_stand_in_a_url_is_no_stream() {
    let (_database, sql) = database().await;
    let insert = "insert into tocsin.events (stream, kind) values ($1, 'k')";
    let (long, store) = ("x".repeat(256), format!("{}/b", "x".repeat(256)));
    for name in ["", "/", "/b", "s/", "s/b/c", "s//b", "a\nb", "s/a\tb", "s/\u{7f}", "\u{1}/b", &long, &store] {
        let fault = sql.execute(insert, &[&name]).await.unwrap_err();
        assert_eq!(fault.code().unwrap().code(), INVALID, "{name:?}");
    }
    let fault = sql.execute(insert, &[&None::<&str>]).await.unwrap_err();
    assert_eq!(fault.code().unwrap().code(), "23502");
    assert_eq!(refusal(&sql, "insert into tocsin.messages (body) values ('no box')").await, "23502");
    assert_eq!(refusal(&sql, "insert into tocsin.messages (box_id, body) values ('a/b', '')").await, INVALID);
    nothing_was_written(&sql).await;

    let (box_id, full) = ("ü".repeat(255), format!("{}/{}", "s".repeat(255), "é".repeat(255)));
    for name in ["b", "s/b", "tel:+1 555", "ü/日本", "alice@example.org", "%2F", "a'b\"c\\d", &box_id, &full] {
        sql.execute(insert, &[&name]).await.unwrap_or_else(|fault| panic!("{name}: {fault}"));
    }
    assert_exact(&sql).await;
}

/// JSON of about this many bytes that does not compress.
fn noise(bytes: usize) -> String {
    format!(
        "(select jsonb_build_object('data', string_agg(md5(i::text), '')) from generate_series(1, {}) as i)",
        bytes / 32
    )
}

#[tokio::test]
async fn an_event_has_at_most_a_mebibyte() {
    let (_database, sql) = database().await;
    let insert = |data: &str| format!("insert into tocsin.events (stream, kind, data) values ('b', 'k', {data})");
    assert_eq!(refusal(&sql, &insert(&noise((1 << 20) + 64))).await, "54000");
    let body = "insert into tocsin.messages (box_id, body) values ('b', repeat('x', 1 << 20))";
    assert_eq!(refusal(&sql, body).await, "54000");
    // Not even when it comes out of a table, compressed or stored apart.
    run(&sql, "create table big (data jsonb)").await;
    run(&sql, "insert into big values (jsonb_build_object('data', repeat('x', 3 << 20)))").await;
    assert!(value::<i32>(&sql, "select pg_column_size(data) from big").await < 1 << 20);
    assert_eq!(
        refusal(&sql, "insert into tocsin.events (stream, kind, data) select 'b', 'k', data from big").await,
        "54000"
    );
    run(&sql, &format!("truncate big; insert into big select {}", noise(3 << 20))).await;
    assert_eq!(
        refusal(&sql, "insert into tocsin.events (stream, kind, data) select 'b', 'k', data from big").await,
        "54000"
    );
    nothing_was_written(&sql).await;
    run(&sql, &insert(&noise((1 << 20) - 64))).await;
    run(&sql, "truncate big; insert into big values (jsonb_build_object('data', repeat('x', 1000000)))").await;
    run(&sql, "insert into tocsin.events (stream, kind, data) select 'b', 'k', data from big").await;
    assert_exact(&sql).await;
}

#[tokio::test]
async fn a_reserved_kind_that_is_not_known_or_in_the_wrong_stream_is_refused() {
    let (_database, sql) = database().await;
    for (stream, kind) in [
        ("b", "object.renamed"),
        ("b", "object."),
        ("b", "object"),
        ("b", "box.created"),
        ("b", "folder.created"),
        ("b", "folder.renamed"),
        ("b", "subscription.paused"),
        ("b", "channel.created"),
        ("b", "channel.opened"),
        ("$channel/c", "channel.paused"),
        ("$channel/c", "order.placed"),
    ] {
        let insert = format!(
            "insert into tocsin.events (stream, kind, data) values ('{stream}', '{kind}', '{{\"id\": \"c\"}}')"
        );
        assert_eq!(refusal(&sql, &insert).await, INVALID, "{stream} {kind}");
    }
    for data in ["'[]'", "'5'", "'{\"attributes\": 5}'", "'{\"attributes\": [1]}'", "'null'", "null"] {
        let insert = format!("insert into tocsin.events (stream, kind, data) values ('b', 'object.created', {data})");
        let code = refusal(&sql, &insert).await;
        assert!(code == INVALID || code == "23502", "{data}: {code}");
    }
    assert_eq!(refusal(&sql, "insert into tocsin.events (stream, kind) values ('b', null)").await, "23502");
    nothing_was_written(&sql).await;
}
