//! Nothing that was written changes, for anybody.

use super::*;

const REFUSED: &str = "42501";

async fn partitions(sql: &Client) -> Vec<String> {
    let found =
        column(sql, "select inhrelid::regclass::text from pg_inherits where inhparent = 'tocsin.events'::regclass");
    let found = found.await;
    assert!(found.len() >= 5, "{found:?}");
    found
}

async fn written() -> (Database, Client) {
    let database = Database::new().await;
    let sql = database.connect().await;
    run(&sql, &message("b", "kept")).await;
    // Nobody has more rights than this.
    let rights = "select rolsuper and relowner = pg_roles.oid from pg_roles, pg_class
                  where rolname = current_user and pg_class.oid = 'tocsin.events'::regclass";
    assert!(value::<bool>(&sql, rights).await);
    (database, sql)
}

#[tokio::test]
async fn the_owner_cannot_change_delete_or_truncate_events_in_the_log_or_in_a_partition() {
    let (_database, sql) = written().await;
    let before: Vec<String> = column(&sql, "select e::text from tocsin.events e").await;
    let mut tables = partitions(&sql).await;
    tables.push("tocsin.events".to_owned());
    for table in tables {
        for statement in [
            format!("update {table} set data = '{{}}'"),
            format!("update {table} set kind = kind where false"),
            format!("update only {table} set kind = kind"),
            format!("delete from {table}"),
            format!("delete from only {table}"),
            format!("truncate {table}"),
            format!("truncate only {table}"),
            format!("begin; truncate {table} cascade"),
        ] {
            if statement == "truncate only tocsin.events" {
                assert_eq!(refusal(&sql, &statement).await, "42809"); // Postgres' own: it is partitioned
            } else {
                assert_eq!(refusal(&sql, &statement).await, REFUSED, "{statement}");
            }
            run(&sql, "rollback").await;
        }
    }
    assert_eq!(column::<String>(&sql, "select e::text from tocsin.events e").await, before);
}

#[tokio::test]
async fn merge_and_truncating_several_tables_are_no_way_around() {
    let (_database, sql) = written().await;
    assert_eq!(refusal(&sql, "truncate tocsin.objects, tocsin.events").await, REFUSED);
    if value::<i32>(&sql, "select current_setting('server_version_num')::int").await >= 150_000 {
        for then in ["delete", "update set kind = 'x'"] {
            let merge = format!("merge into tocsin.events using (select 1) as one on true when matched then {then}");
            assert_eq!(refusal(&sql, &merge).await, REFUSED);
        }
    }
    assert_eq!(seqs(&sql, "b").await, [1]);
    assert_eq!(value::<i64>(&sql, "select count(*) from tocsin.objects").await, 1);
}

#[tokio::test]
async fn nothing_is_inserted_into_a_partition_directly() {
    let (database, sql) = written().await;
    for partition in partitions(&sql).await {
        let insert = format!("insert into {partition} (stream, kind, data) values ('default/b', 'k', '{{}}')");
        assert_eq!(refusal(&sql, &insert).await, REFUSED, "{insert}");
        // As pg_restore --data-only does it. (On a connection of its own: a refused COPY leaves the client confused.)
        let restore = database.connect().await;
        let fault = match restore.copy_in::<_, &[u8]>(&format!("copy {partition} (stream, kind) from stdin")).await {
            Err(fault) => fault,
            Ok(sink) => std::pin::pin!(sink).finish().await.unwrap_err(),
        };
        assert_eq!(fault.code().unwrap().code(), REFUSED);
    }
    run(&sql, "insert into tocsin.events (stream, kind) values ('b', 'k')").await;
    assert_eq!(seqs(&sql, "b").await, [1, 2]);
}
