//! Which rows become events, and what these say.

use std::time::Instant;

use futures_util::SinkExt;

use super::*;

#[tokio::test]
async fn each_change_of_a_row_is_an_event_with_its_values() {
    let (_database, sql) = watched("key => 'id', box => 'movies', columns => '{title,premiere}'").await;
    run(&sql, "insert into movies values (1, 'Nine Bells', 'x', null, 'y')").await;
    run(&sql, "update movies set premiere = '2026-04-03', director = 'z'").await;
    run(&sql, "delete from movies").await;
    let expected = [
        json!({ "Event-Kind": "row.inserted", "table": "movies", "operation": "insert", "key": 1,
                "title": "Nine Bells", "premiere": null }),
        json!({ "Event-Kind": "row.updated", "table": "movies", "operation": "update", "key": 1,
                "title": "Nine Bells", "premiere": "2026-04-03", "old.premiere": null }),
        json!({ "Event-Kind": "row.deleted", "table": "movies", "operation": "delete", "key": 1,
                "title": "Nine Bells", "premiere": "2026-04-03" }),
    ];
    assert_eq!(told(&sql, "movies").await, expected);
    let objects =
        "select count(*) from tocsin.objects where box_id = 'movies' and attributes ->> 'title' = 'Nine Bells'";
    assert_eq!(count(&sql, objects).await, 3, "each is an object of the box");
}

#[tokio::test]
async fn only_rows_that_really_changed_are_told_of() {
    let (_database, sql) = watched("key => 'id', box => 'movies', columns => '{title}'").await;
    run(&sql, "insert into movies select i, 't' || i from generate_series(1, 5) i").await;
    for nothing in [
        "update movies set title = title",
        "update movies set director = 'somebody'",
        "update movies set title = 'x' where id > 5",
        "delete from movies where id > 5",
        "insert into movies select 9, 'x' where false",
    ] {
        run(&sql, nothing).await;
        assert_eq!(told(&sql, "movies").await.len(), 5, "{nothing}");
    }
    run(&sql, "update movies set title = case when id = 3 then 'new' else title end").await;
    let told = told_from(&sql, "movies", 6).await;
    assert_eq!(told.len(), 1);
    assert_eq!((&told[0]["key"], &told[0]["title"], &told[0]["old.title"]), (&json!(3), &json!("new"), &json!("t3")));
}

#[tokio::test]
async fn a_changed_key_is_a_row_that_goes_and_one_that_comes() {
    let (_database, sql) = watched("key => 'id', box => 'movies'").await;
    run(&sql, "insert into movies values (2, 'b'), (1, 'a')").await;
    run(&sql, "update movies set id = id + 1").await;
    let changes = kinds(&sql, "movies").await.split_off(2);
    assert_eq!(changes, ["row.deleted 1", "row.updated 2", "row.inserted 3"]);
}

#[tokio::test]
async fn a_key_may_have_several_columns() {
    let (_database, sql) = movies().await;
    run(
        &sql,
        "create table seats (hall int not null, seat text not null, taken bool, unique (seat, hall));
         select tocsin.watch('seats', key => 'hall, seat', box => 'seats');
         insert into seats values (1, 'a', false), (1, 'b', false), (2, 'a', false);
         update seats set taken = true where seat = 'a'",
    )
    .await;
    let changes = kinds(&sql, "seats").await.split_off(3);
    assert_eq!(changes, [r#"row.updated [1,"a"]"#, r#"row.updated [2,"a"]"#]);
}

#[tokio::test]
async fn operations_that_are_not_asked_for_are_not_told_of() {
    let (_database, sql) = watched("key => 'id', box => 'movies', operations => '{update}'").await;
    let story = "insert into movies values (1, 'a'); update movies set title = 'b'; delete from movies";
    run(&sql, story).await;
    assert_eq!(kinds(&sql, "movies").await, ["row.updated 1"]);
    // To watch it again replaces what was said before.
    run(&sql, "select tocsin.watch('movies', key => 'id', box => 'movies', operations => '{insert,delete}')").await;
    run(&sql, story).await;
    assert_eq!(kinds(&sql, "movies").await.split_off(1), ["row.inserted 1", "row.deleted 1"]);
    assert_eq!(count(&sql, "select count(*) from tocsin.watches").await, 1);
}

#[tokio::test]
async fn a_condition_decides_over_the_new_and_the_old_row() {
    let (_database, sql) = watched(
        "key => 'id', box => 'movies', columns => '{title}', \"when\" => 'new.premiere > old.premiere or new.id is null'",
    )
    .await;
    run(&sql, "insert into movies values (1, 'a', null, '2026-01-02'), (2, 'b', null, '2026-01-02')").await;
    run(&sql, "update movies set title = title || '!', premiere = premiere + case id when 1 then 1 else -1 end").await;
    run(&sql, "delete from movies where id = 2").await;
    assert_eq!(kinds(&sql, "movies").await, ["row.updated 1", "row.deleted 2"]);
}

#[tokio::test]
async fn boxes_come_from_a_column_and_rows_move_between_them() {
    let (_database, sql) = watched("key => 'id', box => 'column:director'").await;
    run(&sql, "insert into movies values (1, 'a', 'ada'), (2, 'b', 's/ines'), (3, 'c', null), (4, 'd', 'ada')").await;
    run(&sql, "insert into movies values (5, 'e', ''), (6, 'f', 'a/b/c'), (7, 'g', '$channel/x'), (8, 'h', E'a\\nb')")
        .await;
    assert_eq!(kinds(&sql, "ada").await, ["row.inserted 1", "row.inserted 4"]);
    let others = "select count(*) from tocsin.events where kind = 'row.inserted' and stream <> 'default/ada'";
    assert_eq!(count(&sql, &format!("{others} and stream = 's/ines'")).await, 1);
    assert_eq!(count(&sql, others).await, 1, "what can be no box is told nowhere, and stops nobody");
    run(&sql, "update movies set director = 'eva' where id in (1, 3)").await;
    run(&sql, "update movies set director = null, title = 'x' where id = 4").await;
    assert_eq!(kinds(&sql, "ada").await.split_off(2), ["row.deleted 1", "row.deleted 4"]);
    assert_eq!(kinds(&sql, "eva").await, ["row.inserted 1", "row.inserted 3"]);
}

#[tokio::test]
async fn upserts_copies_and_merges_are_told_of_by_what_they_do() {
    let (_database, sql) = watched("key => 'id', box => 'movies'").await;
    run(&sql, "insert into movies values (1, 'a')").await;
    run(&sql, "insert into movies values (1, 'b'), (2, 'c') on conflict (id) do update set title = excluded.title")
        .await;
    let mut upserted = kinds(&sql, "movies").await.split_off(1);
    upserted.sort();
    assert_eq!(upserted, ["row.inserted 2", "row.updated 1"]);
    let sink = sql.copy_in("copy movies (id, title) from stdin").await.unwrap();
    let mut sink = std::pin::pin!(sink);
    sink.send(std::io::Cursor::new(b"3\td\n4\te\n".to_vec())).await.unwrap();
    sink.finish().await.unwrap();
    assert_eq!(kinds(&sql, "movies").await.split_off(3), ["row.inserted 3", "row.inserted 4"]);
    run(
        &sql,
        "with gone as (delete from movies where id < 3 returning *) insert into movies select id + 10, title from gone",
    )
    .await;
    let mut both = kinds(&sql, "movies").await.split_off(5);
    both.sort();
    assert_eq!(both, ["row.deleted 1", "row.deleted 2", "row.inserted 11", "row.inserted 12"]);
}

#[tokio::test]
async fn what_is_rolled_back_was_never_told() {
    let (_database, sql) = watched("key => 'id', box => 'movies'").await;
    run(&sql, "begin; insert into movies values (1, 'a'); rollback").await;
    run(&sql, "begin; savepoint s; insert into movies values (1, 'a'); rollback to s; insert into movies values (2, 'b'); commit").await;
    assert_eq!(kinds(&sql, "movies").await, ["row.inserted 2"]);
}

#[tokio::test]
async fn truncate_is_one_event_of_the_box() {
    let (_database, sql) = watched("key => 'id', box => 'movies'").await;
    run(&sql, "insert into movies values (1, 'a'), (2, 'b'); truncate movies").await;
    let last = told(&sql, "movies").await.pop().unwrap();
    assert_eq!(last, json!({ "Event-Kind": "table.truncated", "table": "movies", "operation": "truncate" }));
    run(&sql, "select tocsin.watch('movies', key => 'id', box => 'column:title'); insert into movies values (1, 'a')")
        .await;
    run(&sql, "truncate movies").await;
    assert_eq!(
        count(&sql, "select count(*) from tocsin.events where kind = 'table.truncated'").await,
        1,
        "which boxes nobody knows"
    );
}

#[tokio::test]
async fn values_are_written_as_json_has_them_whatever_the_writers_settings_are() {
    let (_database, sql) = movies().await;
    run(
        &sql,
        "create type mood as enum ('fine', 'bad');
         create domain email as text check (value like '%@%');
         create table t (id uuid primary key, n numeric, b bool, at timestamptz, tags text[], m mood, e email, j jsonb,
                         by bytea, r int4range, \"Mixed \"\"Case\" int, \"table\" text);
         select tocsin.watch('t', key => 'id', box => 't');
         set timezone = 'Asia/Tokyo'; set datestyle = 'SQL, DMY'; set bytea_output = 'escape'; set search_path = '';
         insert into public.t values ('00000000-0000-0000-0000-000000000001', 12345678901234567890.50, true,
            '2026-01-02 03:04:05+00', '{red,blue}', 'bad', 'a@b', '{\"a\": 1}', '\\x00ff', '[1,3)', 7, 'of its own')",
    )
    .await;
    let attributes = "select data ->> 'attributes' from tocsin.events where stream = 'default/t'";
    let told: String = sql.query_one(attributes, &[]).await.unwrap().get(0);
    for expected in [
        r#""n": 12345678901234567890.50"#,
        r#""b": true"#,
        r#""at": "2026-01-02T03:04:05+00:00""#,
        r#""tags": ["red", "blue"]"#,
        r#""m": "bad""#,
        r#""e": "a@b""#,
        r#""j": "{\"a\": 1}""#,
        r#""by": "\\x00ff""#,
        r#""r": "[1,3)""#,
        r#""Mixed \"Case": 7"#,
        r#""table": "of its own""#,
    ] {
        assert!(told.contains(expected), "{expected}: {told}");
    }
}

#[tokio::test]
async fn values_too_long_for_an_event_are_told_apart_all_the_same() {
    let (_database, sql) = watched("key => 'id', box => 'movies'").await;
    run(&sql, "insert into movies values (1, repeat('a', 3000000))").await;
    run(&sql, "update movies set title = repeat('b', 3000000)").await;
    run(&sql, "update movies set title = title || ''").await;
    let told = told(&sql, "movies").await;
    assert_eq!(told.len(), 2);
    assert!(told[1]["title"].as_str().unwrap().starts_with("3000000 bytes, SHA-256 "), "{}", told[1]);
    assert_eq!(told[1]["old.title"], told[0]["title"]);
    // And a row of very many long ones says which one it is.
    let columns: Vec<String> = (0..60).map(|n| format!("c{n} text default repeat('x', 90000)")).collect();
    run(
        &sql,
        &format!(
            "create table wide (id int primary key, {}); select tocsin.watch('wide', 'id', 'wide')",
            columns.join(", ")
        ),
    )
    .await;
    run(&sql, "insert into wide values (1)").await;
    let wide =
        json!({ "Event-Kind": "row.inserted", "table": "wide", "operation": "insert", "key": 1, "too-large": true });
    assert_eq!(super::told(&sql, "wide").await, [wide]);
}

#[tokio::test]
async fn a_bulk_update_is_told_row_by_row_in_order() {
    let (_database, sql) = watched("key => 'id', box => 'movies'").await;
    let began = Instant::now();
    run(&sql, "insert into movies select i, 't' || i from generate_series(1, 10000) i").await;
    run(&sql, "update movies set title = title || '!'").await;
    println!("20,000 rows in {:?}", began.elapsed());
    let in_order =
        "select count(*) from (select seq, (data -> 'attributes' ->> 'key')::bigint as key from tocsin.events
                    where stream = 'default/movies' and kind = 'row.updated') as e where seq = 10000 + key";
    assert_eq!(count(&sql, in_order).await, 10_000);
    assert_eq!(count(&sql, "select head_seq from tocsin.streams where stream = 'default/movies'").await, 20_000);
    let transactions = "select count(distinct xid) from tocsin.events where kind = 'row.updated'";
    assert_eq!(count(&sql, transactions).await, 1);
}

#[tokio::test]
async fn rows_that_a_foreign_key_takes_along_are_told_of() {
    let (_database, sql) = movies().await;
    run(
        &sql,
        "create table staff (id int primary key, boss int references staff on update cascade on delete cascade, name text);
         select tocsin.watch('staff', 'id', 'staff');
         insert into staff values (1, null, 'a'), (2, 1, 'b'), (3, 2, 'c');
         update staff set id = 10 where id = 1;
         delete from staff where id = 10",
    )
    .await;
    let mut changes = kinds(&sql, "staff").await.split_off(3);
    assert_eq!(changes.drain(..3).collect::<Vec<_>>(), ["row.deleted 1", "row.updated 2", "row.inserted 10"]);
    changes.sort();
    assert_eq!(changes, ["row.deleted 10", "row.deleted 2", "row.deleted 3"]);
}
