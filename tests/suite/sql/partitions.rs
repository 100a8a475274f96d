//! The log's partitions: there before they are needed, each as guarded as the log.

use super::*;

async fn database() -> (Database, Client) {
    let database = Database::new().await;
    let sql = database.connect().await;
    (database, sql)
}

async fn attach(sql: &Client, ahead: i32) -> i64 {
    value(sql, &format!("select tocsin.attach_partitions({ahead})")).await
}

#[tokio::test]
async fn attaching_is_idempotent_and_adds_the_months_that_lack() {
    let (_database, sql) = database().await;
    assert_eq!(attach(&sql, 3).await, 0, "the migration did it");
    assert_eq!(attach(&sql, 8).await, 5);
    assert_eq!(attach(&sql, 8).await, 0);
    let count = "select count(*) from pg_inherits where inhparent = 'tocsin.events'::regclass";
    assert_eq!(value::<i64>(&sql, count).await, 10, "last month, this one and eight ahead");
    let default = "select partdefid = 0 from pg_partitioned_table where partrelid = 'tocsin.events'::regclass";
    assert!(value::<bool>(&sql, default).await, "there is no default partition");
}

#[tokio::test]
async fn attaching_neither_waits_for_a_writer_nor_keeps_one_waiting() {
    let (database, writer) = database().await;
    let (attacher, other) = (database.connect().await, database.connect().await);
    run(&writer, &format!("begin; {}", message("b", 1))).await;
    run(&attacher, "begin; set local lock_timeout = '2s'").await;
    assert_eq!(attach(&attacher, 6).await, 3);
    // Not committed yet: whoever writes now must not queue behind it.
    run(&other, &format!("set lock_timeout = '2s'; {}", message("c", 1))).await;
    run(&writer, &format!("{} commit", message("b", 2))).await;
    run(&attacher, "commit").await;
    run(&writer, &message("b", 3)).await;
    assert_exact(&writer).await;
}

#[tokio::test]
async fn two_who_attach_at_once_both_succeed() {
    let (database, first) = database().await;
    let second = database.connect().await;
    let ((), ()) = tokio::join!(
        run(&first, "select tocsin.attach_partitions(9)"),
        run(&second, "select tocsin.attach_partitions(9)")
    );
    assert_eq!(attach(&first, 9).await, 0);
}

#[tokio::test]
async fn every_partition_has_the_triggers_and_indexes_that_make_it_part_of_the_log() {
    let (_database, sql) = database().await;
    attach(&sql, 6).await;
    let partitions = rows(
        &sql,
        "select c.oid::regclass::text,
             (select array_agg(tgname::text order by tgname) from pg_trigger
              where tgrelid = c.oid and tgenabled = 'O' and tgname like 'events%'),
             (select array_agg(pg_get_indexdef(indexrelid) order by indexrelid) from pg_index
              where indrelid = c.oid and indisvalid),
             pg_get_triggerdef((select oid from pg_trigger where tgrelid = c.oid and tgname = 'events_guard'))
         from pg_inherits join pg_class c on c.oid = inhrelid where inhparent = 'tocsin.events'::regclass",
    )
    .await;
    assert_eq!(partitions.len(), 8);
    for partition in partitions {
        let (name, triggers): (String, Vec<String>) = (partition.get(0), partition.get(1));
        assert_eq!(triggers, ["events_guard", "events_stamp"], "{name}");
        let indexes: Vec<String> = partition.get(2);
        assert!(
            indexes.iter().any(|i| i.starts_with("CREATE UNIQUE INDEX") && i.ends_with("(stream, seq)")),
            "{indexes:?}"
        );
        assert!(indexes.iter().any(|i| i.ends_with("(xid)")), "{indexes:?}");
        let guard: String = partition.get(3);
        assert!(
            guard.contains("BEFORE INSERT OR DELETE OR UPDATE OR TRUNCATE") && guard.contains("FOR EACH STATEMENT"),
            "{guard}"
        );
    }
}

#[tokio::test]
async fn months_are_those_of_utc_wherever_the_session_is() {
    let (_database, sql) = database().await;
    run(&sql, "set timezone = 'Pacific/Auckland'").await;
    attach(&sql, 5).await;
    run(&sql, "set timezone = 'America/Los_Angeles'").await;
    attach(&sql, 7).await;
    run(&sql, &format!("{} set timezone = 'UTC'", message("b", 1))).await;
    let bounds: Vec<String> = column(
        &sql,
        "select pg_get_expr(relpartbound, c.oid) from pg_inherits join pg_class c on c.oid = inhrelid
         where inhparent = 'tocsin.events'::regclass order by relname",
    )
    .await;
    assert_eq!(bounds.len(), 9);
    assert!(bounds.iter().all(|bound| bound.matches("-01 00:00:00+00'").count() == 2), "{bounds:?}");
    let place = "select tableoid = to_regclass('tocsin.events_' || to_char(created_at at time zone 'UTC', 'YYYY_MM')) from tocsin.events";
    assert!(value::<bool>(&sql, place).await);
}

#[tokio::test]
async fn two_events_of_one_seq_are_caught_by_the_net_below_the_stamp() {
    let (_database, sql) = database().await;
    run(&sql, &message("b", 1).repeat(2)).await;
    run(&sql, "update tocsin.streams set head_seq = 1").await; // somebody tampers
    assert_eq!(refusal(&sql, &message("b", 3)).await, "23505");
}
