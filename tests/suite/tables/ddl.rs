//! What becomes of a watched table later breaks no writer.

use tokio::process::Command;

use super::*;

/// Runs a statement with psql: what it was warned of.
async fn warned(database: &Database, statement: &str) -> String {
    let output = Command::new("psql").args([database.url(), "-Xqc", statement]).output().await.unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test]
async fn columns_that_are_added_count_when_all_are_watched() {
    let (_database, sql) = watched("key => 'id', box => 'all'").await;
    run(&sql, "insert into movies values (1, 'a'); alter table movies add rating int default 5").await;
    run(&sql, "update movies set rating = 7").await;
    let last = told(&sql, "all").await.pop().unwrap();
    assert_eq!((&last["rating"], &last["old.rating"]), (&json!(7), &json!(5)));
    run(&sql, "select tocsin.watch('movies', key => 'id', box => 'some', columns => '{title}')").await;
    run(&sql, "alter table movies add more text; update movies set more = 'x'; update movies set title = 'b'").await;
    let told = told(&sql, "some").await;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].get("more"), None);
}

#[tokio::test]
async fn columns_that_are_renamed_are_followed() {
    let (_database, sql) = watched(
        "key => 'id', box => 'column:director', columns => '{premiere}', \"when\" => 'new.premiere is distinct from old.premiere'",
    )
    .await;
    run(
        &sql,
        "alter table movies rename id to number; alter table movies rename director to of;
         alter table movies rename premiere to \"First Night\"; alter table movies add premiere text;
         alter table movies rename to films;
         insert into films (number, title, of, \"First Night\") values (1, 'a', 'ada', '2026-01-01');
         update films set \"First Night\" = '2026-01-02'; update films set premiere = 'another'",
    )
    .await;
    let told = told(&sql, "ada").await;
    assert_eq!(told.len(), 2);
    let expected = json!({ "Event-Kind": "row.updated", "table": "films", "operation": "update", "key": 1,
                           "First Night": "2026-01-02", "old.First Night": "2026-01-01" });
    assert_eq!(told[1], expected);
    let listed =
        "select count(*) from tocsin.watched_tables where name = 'films' and key = '{number}' and box = 'column:of'
                  and columns = '{First Night}' and fault is null";
    assert_eq!(count(&sql, listed).await, 1);
}

#[tokio::test]
async fn a_column_may_change_its_type_and_a_dropped_one_is_left_out() {
    let (_database, sql) = watched("key => 'id', box => 'movies', columns => '{title,premiere}'").await;
    run(&sql, "insert into movies values (1, 'a', null, '2026-01-01')").await;
    run(
        &sql,
        "alter table movies alter premiere type text using '<' || premiere || '>'; update movies set title = 'b'",
    )
    .await;
    assert_eq!(told(&sql, "movies").await[1]["premiere"], "<2026-01-01>");
    run(&sql, "alter table movies drop premiere; update movies set title = 'c'").await;
    let last = told(&sql, "movies").await.pop().unwrap();
    assert_eq!((last.get("premiere"), &last["title"]), (None, &json!("c")));
    run(&sql, "alter table movies drop title; delete from movies").await;
    let bare = json!({ "Event-Kind": "row.deleted", "table": "movies", "operation": "delete", "key": 1 });
    assert_eq!(told(&sql, "movies").await.pop().unwrap(), bare, "of the columns watched none is left");
}

#[tokio::test]
async fn without_its_key_or_the_column_of_its_boxes_a_table_is_not_told_of_and_its_writers_are_warned() {
    let (database, sql) = watched("key => 'id', box => 'movies'").await;
    run(&sql, "insert into movies values (1, 'a'); alter table movies drop id").await;
    let insert = "insert into movies values ('b')";
    assert!(warned(&database, insert).await.contains("rows of movies are not told of: a column of its key is gone"));
    run(&sql, "alter table movies add id int primary key generated always as identity").await;
    run(&sql, &format!("{WATCH}; alter table movies drop constraint movies_pkey")).await;
    assert!(warned(&database, insert).await.contains("its key is not unique and not null any more"));
    let fault: String = sql.query_one("select fault from tocsin.watched_tables", &[]).await.unwrap().get(0);
    assert_eq!(fault, "its key is not unique and not null any more");
    run(&sql, "alter table movies add primary key (id)").await;
    run(&sql, "select tocsin.watch('movies', 'id', 'column:director'); alter table movies drop director").await;
    assert!(warned(&database, insert).await.contains("the column that names the boxes is gone"));
    assert_eq!(told(&sql, "movies").await.len(), 1);
    assert_eq!(count(&sql, "select count(*) from movies").await, 4);
}

#[tokio::test]
async fn a_condition_that_fails_warns_its_writers_and_all_rows_are_told_of() {
    let (database, sql) = watched("key => 'id', box => 'movies', \"when\" => '1 / (new.id - 3) > 0'").await;
    run(&sql, "insert into movies values (1, 'a'), (2, 'b'), (4, 'c')").await;
    assert_eq!(kinds(&sql, "movies").await, ["row.inserted 4"]);
    let said = warned(&database, "insert into movies values (5, 'd'), (3, 'e')").await;
    assert!(said.contains("the condition on rows of movies fails, and all are told of: division by zero"), "{said}");
    assert_eq!(kinds(&sql, "movies").await.split_off(1), ["row.inserted 3", "row.inserted 5"]);
    run(&sql, "select tocsin.watch('movies', 'id', 'movies', \"when\" => 'new.genre is not null'); alter table movies drop genre").await;
    assert!(warned(&database, "insert into movies values (6, 'f')").await.contains("does not exist"));
    assert_eq!(kinds(&sql, "movies").await.len(), 4);
    assert_eq!(
        count(&sql, "select head_seq from tocsin.streams where stream = 'default/movies'").await,
        4,
        "without a gap"
    );
}

#[tokio::test]
async fn a_table_that_is_dropped_is_not_listed_any_more_and_may_come_again() {
    let (_database, sql) = watched("key => 'id', box => 'movies'").await;
    run(&sql, "drop table movies").await;
    assert_eq!(count(&sql, "select count(*) from tocsin.watched_tables").await, 0);
    run(&sql, &format!("{MOVIES}; insert into movies values (1, 'a')")).await;
    assert_eq!(told(&sql, "movies").await.len(), 0);
    run(&sql, &format!("{WATCH}; insert into movies values (2, 'b')")).await;
    assert_eq!(kinds(&sql, "movies").await, ["row.inserted 2"]);
    assert_eq!(count(&sql, "select count(*) from tocsin.watches").await, 1, "the old one is swept away");
}

#[tokio::test]
async fn what_tells_of_a_table_that_changed_is_made_anew_by_maintenance() {
    let (_database, sql) = watched("key => 'id', box => 'movies', columns => '{title}'").await;
    let refresh = "select tocsin.refresh_watches(10)";
    assert_eq!(count(&sql, refresh).await, 0);
    run(&sql, "alter table movies rename title to name; insert into movies (id, name) values (1, 'a')").await;
    assert_eq!(count(&sql, refresh).await, 1);
    assert_eq!(count(&sql, refresh).await, 0);
    run(&sql, "insert into movies (id, name) values (2, 'b')").await;
    let told = told(&sql, "movies").await;
    assert_eq!((&told[0]["name"], &told[1]["name"]), (&json!("a"), &json!("b")), "before and after");
    run(&sql, "drop table movies").await;
    assert_eq!(count(&sql, refresh).await, 1);
    assert_eq!(count(&sql, "select count(*) from tocsin.watches").await, 0);
}

#[tokio::test]
async fn a_restored_dump_finds_its_columns_by_name() {
    let (database, sql) = movies().await;
    run(&sql, "alter table movies drop genre; alter table movies add genre text; alter table movies drop director")
        .await;
    run(&sql, "select tocsin.watch('movies', 'id', 'movies', columns => '{genre}')").await;
    // What pg_dump does: the table is made without the numbers of dropped columns, with another oid.
    run(
        &sql,
        "create table again (like movies including all); alter table movies rename to before; alter table again rename to movies;
         update tocsin.watches set relation = 'movies'; select tocsin.attach_watch('movies', 'r', '{insert}');
         insert into movies (id, title, genre) values (1, 'a', 'War')",
    )
    .await;
    let expected =
        json!({ "Event-Kind": "row.inserted", "table": "movies", "operation": "insert", "key": 1, "genre": "War" });
    assert_eq!(told(&sql, "movies").await, [expected]);
    drop(database);
}
