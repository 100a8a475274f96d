//! Partitioned tables: written through the parent, and directly.

use super::*;

const PARTITIONED: &str = "
    create table films (id int, year int, title text, primary key (id, year)) partition by range (year);
    create table films_old partition of films for values from (1900) to (2000);
    create table films_new (title text, extra int, year int not null, id int not null);
    alter table films_new drop extra;
    alter table films attach partition films_new for values from (2000) to (2100);
    create table films_far partition of films for values from (2100) to (2300) partition by range (year);
    create table films_22 partition of films_far for values from (2100) to (2200);
    select tocsin.watch('films', key => 'id, year', box => 'films');";

async fn films() -> (Database, Client) {
    let database = Database::new().await;
    let sql = database.connect().await;
    run(&sql, PARTITIONED).await;
    (database, sql)
}

#[tokio::test]
async fn rows_are_told_of_once_through_the_parent_and_directly() {
    let (_database, sql) = films().await;
    run(&sql, "insert into films values (1, 1990, 'a'), (2, 2010, 'b'), (3, 2150, 'c')").await;
    assert_eq!(kinds(&sql, "films").await, ["row.inserted [1,1990]", "row.inserted [2,2010]", "row.inserted [3,2150]"]);
    for (statement, expected) in [
        ("insert into films_new (id, year, title) values (4, 2020, 'd')", "row.inserted [4,2020]"),
        ("update films_new set title = 'B' where id = 2", "row.updated [2,2010]"),
        ("update films_22 set title = 'C'", "row.updated [3,2150]"),
        ("update films_far set title = 'CC'", "row.updated [3,2150]"),
        ("update films set title = 'A' where id = 1", "row.updated [1,1990]"),
        ("delete from films_old", "row.deleted [1,1990]"),
        ("delete from films where id = 4", "row.deleted [4,2020]"),
    ] {
        let before = told(&sql, "films").await.len();
        run(&sql, statement).await;
        assert_eq!(kinds(&sql, "films").await.split_off(before), [expected], "{statement}");
    }
    let updated = &told(&sql, "films").await[4];
    assert_eq!(
        (&updated["table"], &updated["title"], &updated["old.title"]),
        (&json!("films"), &json!("B"), &json!("b"))
    );
}

#[tokio::test]
async fn a_row_that_moves_to_another_partition_is_told_of_by_its_key() {
    let (_database, sql) = films().await;
    run(&sql, "insert into films values (1, 1990, 'a'); update films set year = 2010").await;
    assert_eq!(kinds(&sql, "films").await.split_off(1), ["row.deleted [1,1990]", "row.inserted [1,2010]"]);
}

#[tokio::test]
async fn partitions_attached_later_are_taken_in_by_watching_again() {
    let (_database, sql) = films().await;
    run(&sql, "create table films_23 partition of films_far for values from (2200) to (2300)").await;
    run(&sql, "insert into films values (1, 2250, 'a')").await;
    assert_eq!(kinds(&sql, "films").await.len(), 1, "through the parent at once");
    run(&sql, "update films_23 set title = 'b'").await;
    assert_eq!(kinds(&sql, "films").await.len(), 1);
    run(&sql, "select tocsin.watch('films', key => 'id, year', box => 'films'); update films_23 set title = 'c'").await;
    assert_eq!(kinds(&sql, "films").await.split_off(1), ["row.updated [1,2250]"]);
}

#[tokio::test]
async fn a_detached_partition_is_not_told_of_and_can_be_cleaned() {
    let (_database, sql) = films().await;
    run(&sql, "alter table films detach partition films_old; insert into films_old values (1, 1990, 'a')").await;
    assert_eq!(told(&sql, "films").await.len(), 0);
    run(&sql, "select tocsin.unwatch('films')").await;
    let left = "select count(*) from pg_trigger where tgfoid = 'tocsin.watched'::regproc";
    assert_eq!(count(&sql, left).await, 4, "those of what was detached");
    assert!(sql.query_one("select tocsin.unwatch('films_old')", &[]).await.unwrap().get::<_, bool>(0));
    assert_eq!(count(&sql, left).await, 0);
}

#[tokio::test]
async fn a_partition_that_comes_back_brings_no_operations_with_it() {
    let (_database, sql) = films().await;
    run(&sql, "insert into films values (1, 1990, 'a'); alter table films detach partition films_old").await;
    run(&sql, "select tocsin.watch('films', 'id, year', 'films', operations => '{insert}')").await;
    run(&sql, "alter table films attach partition films_old for values from (1900) to (2000)").await;
    run(&sql, "update films_old set title = 'b'; insert into films_old values (2, 1990, 'c'); delete from films_old")
        .await;
    assert_eq!(kinds(&sql, "films").await, ["row.inserted [1,1990]", "row.inserted [2,1990]"]);
}

#[tokio::test]
async fn truncating_tells_which_partitions_are_empty_now() {
    let (_database, sql) = films().await;
    run(&sql, "truncate films_new; truncate films_far").await;
    let told = told(&sql, "films").await;
    let partitions: Vec<_> =
        told.iter().map(|told| (&told["Event-Kind"], &told["table"], &told["partition"])).collect();
    let truncated = json!("table.truncated");
    let expected =
        [(&truncated, &json!("films"), &json!("films_new")), (&truncated, &json!("films"), &json!("films_22"))];
    assert_eq!(partitions, expected);
}

#[tokio::test]
async fn a_partition_is_watched_with_its_table_only() {
    let (_database, sql) = films().await;
    let (state, said) = refusal(&sql, "select tocsin.watch('films_new', 'id, year', 'b')").await;
    assert!(state == "55006" && said.contains("films, which is watched"), "{state} {said}");
    let (state, said) = refusal(&sql, "select tocsin.unwatch('films_new')").await;
    assert!(state == "55006" && said.contains("Unwatch films."), "{state} {said}");
    run(&sql, "select tocsin.unwatch('films'); select tocsin.watch('films_far', 'id, year', 'b')").await;
    let (state, said) = refusal(&sql, "select tocsin.watch('films', 'id, year', 'b')").await;
    assert!(state == "55006" && said.contains("films_far, which is watched"), "{state} {said}");
}
