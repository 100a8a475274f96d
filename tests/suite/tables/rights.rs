//! Who may watch, who may write, what is refused, and that nothing is left behind.

use super::*;

/// A role of this test's own, since roles belong to the whole cluster.
async fn role(sql: &Client, name: &str) -> String {
    let database: String = sql.query_one("select current_database()", &[]).await.unwrap().get(0);
    let role = format!("{name}_{database}");
    run(sql, &format!("create role {role}")).await;
    role
}

#[tokio::test]
async fn a_writer_needs_no_right_but_those_on_the_table() {
    let (_database, sql) = watched("key => 'id', box => 'movies', \"when\" => 'new.id < 9 or new.id is null'").await;
    let writer = role(&sql, "writer").await;
    run(&sql, &format!("grant select, insert, update, delete, truncate on movies to {writer}; set role {writer}"))
        .await;
    assert_eq!(refusal(&sql, "select * from tocsin.watches").await.0, "42501");
    run(&sql, "insert into movies values (1, 'a'); update movies set title = 'b'; delete from movies; truncate movies")
        .await;
    run(&sql, "reset role").await;
    let kinds: Vec<Value> = told(&sql, "movies").await.into_iter().map(|told| told["Event-Kind"].clone()).collect();
    assert_eq!(kinds, ["row.inserted", "row.updated", "row.deleted", "table.truncated"]);
}

#[tokio::test]
async fn the_owner_of_a_table_watches_it_when_he_may_write_watches() {
    let (_database, sql) = movies().await;
    let owner = role(&sql, "owner").await;
    run(&sql, &format!("alter table movies owner to {owner}; grant usage on schema tocsin, public to {owner}")).await;
    run(&sql, &format!("set role {owner}")).await;
    assert_eq!(refusal(&sql, WATCH).await.0, "42501", "not everybody");
    let trigger = "create trigger mine after insert on movies for each statement execute function tocsin.watched()";
    assert_eq!(refusal(&sql, trigger).await.0, "42501");
    let grant = format!(
        "reset role; create table others (id int primary key);
        grant select, insert, update, delete on tocsin.watches to {owner};
        grant execute on all functions in schema tocsin to {owner}; set role {owner}"
    );
    run(&sql, &grant).await;
    run(&sql, WATCH).await;
    let (state, said) = refusal(&sql, "select tocsin.watch('others', 'id', 'b')").await;
    assert_eq!((state.as_str(), said.trim()), ("42501", "must be owner of table others"));
    run(&sql, "insert into movies values (1, 'a'); reset role").await;
    assert_eq!(kinds(&sql, "movies").await, ["row.inserted 1"]);
}

#[tokio::test]
async fn unwatch_leaves_no_trace() {
    let (_database, sql) = movies().await;
    run(&sql, "alter table movies add unique (title)").await;
    let traces = "select (select count(*) from pg_trigger) + (select count(*) from pg_depend) + (select count(*) from tocsin.watches)";
    let before = count(&sql, traces).await;
    let unwatch = "select tocsin.unwatch('movies')";
    assert!(!sql.query_one(unwatch, &[]).await.unwrap().get::<_, bool>(0), "it is not watched yet");
    run(&sql, &format!("{WATCH}; insert into movies values (1, 'a')")).await;
    assert!(count(&sql, traces).await > before);
    assert!(sql.query_one(unwatch, &[]).await.unwrap().get::<_, bool>(0));
    assert_eq!(count(&sql, traces).await, before);
    run(&sql, "insert into movies values (2, 'b')").await;
    assert_eq!(kinds(&sql, "movies").await, ["row.inserted 1"], "what was told stays told");
}

#[tokio::test]
async fn what_is_no_table_cannot_be_watched() {
    let (_database, sql) = movies().await;
    run(
        &sql,
        "create view v as select * from movies; create materialized view m as select * from movies;
         create temporary table t (id int primary key); create foreign data wrapper none;
         create server nowhere foreign data wrapper none; create foreign table f (id int) server nowhere;
         create table p (id int) partition by range (id);
         create foreign table pf partition of p for values from (1) to (9) server nowhere",
    )
    .await;
    for (relation, because) in [
        ("v", "v is not a table Views and foreign tables cannot be watched"),
        ("m", "m is not a table"),
        ("f", "f is not a table"),
        ("t", "pg_temp_"),
        ("p", "p has a partition that is a foreign table"),
        ("pg_class", "pg_catalog.pg_class belongs to the system"),
        ("tocsin.streams", "tocsin.streams belongs to the system"),
        ("tocsin.events", "tocsin.events belongs to the system"),
    ] {
        let (state, said) = refusal(&sql, &format!("select tocsin.watch('{relation}', 'id', 'b')")).await;
        assert!(state == "42809" && said.starts_with(because), "{relation}: {state} {said}");
    }
    assert_eq!(refusal(&sql, "select tocsin.watch('nothing', 'id', 'b')").await.0, "42P01");
}

#[tokio::test]
async fn what_cannot_be_asked_of_a_watch_is_refused_and_named() {
    let (_database, sql) = movies().await;
    run(&sql, "create unique index on movies (director); create unique index on movies (title) where id > 5").await;
    let no_key = "the key of movies must be its primary key, or columns that are NOT NULL with a unique index";
    for (arguments, part, because) in [
        ("'no', 'b'", "key", "movies has no column \"no\""),
        ("'', 'b'", "key", no_key),
        ("null, 'b'", "key", no_key),
        ("'title', 'b'", "key", no_key),    // unique for some rows only
        ("'director', 'b'", "key", no_key), // but it may be NULL
        ("'id', ''", "box", "box must be boxId, store/boxId, or column:NAME"),
        ("'id', null", "box", "box must be"),
        ("'id', 'a/b/c'", "box", "box must be"),
        ("'id', '$channel/x'", "box", "box must be"),
        ("'id', 'column:no'", "box", "movies has no column \"no\""),
        ("'id', 'b', '{title,no}'", "columns", "movies has no column \"no\""),
        ("'id', 'b', '{}'", "columns", "columns must name one at least"),
        ("'id', 'b', null, '{}'", "operations", "operations must be some of insert, update, delete"),
        ("'id', 'b', null, null", "operations", "operations must be"),
        ("'id', 'b', null, '{insert,truncate}'", "operations", "operations must be"),
        ("'id', 'b', \"when\" => 'true; drop table movies'", "when", "the condition must be one expression"),
        ("'id', 'b', \"when\" => 'true) or (true'", "when", "the condition cannot be used: syntax error"),
        ("'id', 'b', \"when\" => 'true then 1 when false'", "when", "the condition cannot be used: syntax error"),
        ("'id', 'b', \"when\" => 'true /*'", "when", "the condition cannot be used: unterminated"),
        ("'id', 'b', \"when\" => ''", "when", "the condition cannot be used: syntax error"),
        ("'id', 'b', \"when\" => 'new.no = 1'", "when", "the condition cannot be used: column new.no does not exist"),
        (
            "'id', 'b', \"when\" => 'new.id'",
            "when",
            "the condition cannot be used: argument of CASE/WHEN must be type boolean",
        ),
        ("'id', 'b', \"when\" => 'count(*) > 0'", "when", "the condition cannot be used: aggregate functions"),
        ("'id', 'b', \"when\" => 'new.id = ''x'''", "when", "the condition cannot be used: invalid input syntax"),
    ] {
        let statement = format!("select tocsin.watch('movies', {arguments})");
        let fault = sql.batch_execute(&statement).await.expect_err(&statement);
        let said = fault.as_db_error().unwrap();
        assert_eq!((said.code().code(), said.column()), ("22023", Some(part)), "{arguments}: {said}");
        assert!(said.message().starts_with(because), "{arguments}: {said}");
    }
    assert_eq!(count(&sql, "select count(*) from tocsin.watches").await, 0);
    // A comment behind a condition is none of our business.
    run(
        &sql,
        "select tocsin.watch('movies', 'id', 'b', \"when\" => 'true -- always'); insert into movies values (1, 'a')",
    )
    .await;
    assert_eq!(kinds(&sql, "b").await, ["row.inserted 1"]);
}
