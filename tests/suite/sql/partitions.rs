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

/// Partitions of months that are over, which begin so many months ago.
async fn attach_old(sql: &Client, months: &[i32]) {
    for ago in months {
        run(sql, &format!("select tocsin.attach_partition(now() at time zone 'UTC' - interval '{ago} months')")).await;
    }
}

/// Seals all that can be.
async fn seal(sql: &Client) -> Vec<String> {
    while value::<bool>(sql, "select tocsin.seal_partition()").await {}
    column(sql, "select partition from tocsin.sealed order by upto").await
}

/// An event that a transaction wrote which had begun so many months ago, and what it would say now.
fn late(stream: &str, seq: i64, ago: i32) -> String {
    format!(
        "set local session_replication_role = replica;
         insert into tocsin.events (stream, seq, kind, object_id, edited_at, created_at, xid, data)
         values ('{stream}', {seq}, 'object.created', 1000 + {seq}, clock_timestamp(),
                 date_trunc('month', now(), 'UTC') - interval '{ago} months', pg_current_xact_id(),
                 '{{\"attributes\": {{}}}}');
         insert into tocsin.streams (stream, head_seq, head_at, last_xid)
         select stream, seq, edited_at, xid from tocsin.events where stream = '{stream}' and seq = {seq}
         on conflict (stream) do update set head_seq = excluded.head_seq, head_at = excluded.head_at;
         set local session_replication_role = origin;"
    )
}

#[tokio::test]
async fn months_that_are_over_are_sealed_in_their_order_and_once() {
    let (_database, sql) = database().await;
    attach_old(&sql, &[3, 5]).await;
    run(&sql, &format!("begin; {} commit", late("default/b", 1, 5))).await;
    let over = "select relname::text from pg_class where relkind = 'r' and relname ~ '^events_[0-9]'
                    and to_date(substr(relname, 8), 'YYYY_MM') + interval '1 month 1 day' < now() at time zone 'UTC'
                order by relname";
    assert_eq!(seal(&sql).await, column::<String>(&sql, over).await);
    let newest = "select count(*) from tocsin.sealed where newest = (select edited_at from tocsin.events)";
    assert!(value::<i64>(&sql, newest).await >= 2, "of each, or of one before it");
    assert!(!value::<bool>(&sql, "select tocsin.seal_partition()").await);
    run(&sql, &message("b", 1)).await; // in this month
    for (ago, refused) in [(5, "40001"), (0, "22023")] {
        let insert = format!(
            "insert into tocsin.events (stream, kind, created_at)
             values ('default/b', 'x', date_trunc('month', now(), 'UTC') - interval '{ago} months')"
        );
        assert_eq!(refusal(&sql, &insert).await, refused);
    }
}

#[tokio::test]
async fn a_partition_is_sealed_when_its_last_writer_has_ended_and_nobody_else_waits() {
    let (database, sql) = database().await;
    let (long, other) = (database.connect().await, database.connect().await);
    attach_old(&sql, &[3]).await;
    run(&long, &format!("begin; {}", late("default/b", 1, 3))).await;
    run(&other, "set lock_timeout = '2s'").await;
    let messages = message("c", 1).repeat(20);
    let ((), refused) = tokio::join!(run(&other, &messages), refusal(&sql, "select tocsin.seal_partition()"));
    assert_eq!(refused, "55P03");
    assert_eq!(value::<i64>(&sql, "select count(*) from tocsin.sealed").await, 0);
    run(&long, "commit").await;
    seal(&sql).await;
    let known = "select newest = (select edited_at from tocsin.events where stream = 'default/b') from tocsin.sealed
                 order by upto limit 1";
    assert!(value::<bool>(&sql, known).await);
}

#[tokio::test]
async fn what_is_committed_just_before_its_partition_is_sealed_is_delivered() {
    let database = Database::new().await;
    let sql = database.connect().await;
    attach_old(&sql, &[3]).await;
    // Whoever seals takes this lock: so the server does not, before it is done here.
    run(&sql, "select pg_advisory_lock(1953456496)").await;
    let server = Server::start(&database).await;
    let mut follower = Follower::start(&server).await;
    tail_goes_on(&sql).await;
    run(&sql, &format!("begin; {} commit", late("default/b", 2, 3))).await;
    seal(&sql).await;
    follower.takes(2, 2).await;
    run(&sql, &message("b", 3)).await;
    follower.takes(3, 3).await;
}

#[tokio::test]
async fn who_reads_after_a_moment_looks_only_where_later_events_can_be() {
    let (_database, sql) = database().await;
    attach_old(&sql, &[2, 3, 4, 5]).await;
    run(&sql, &format!("begin; {} commit", late("default/c", 1, 5))).await;
    for (seq, ago) in [(1, 5), (2, 3), (3, 0)] {
        run(&sql, &format!("begin; {} commit", late("default/b", seq, ago))).await;
    }
    seal(&sql).await;
    let read = include_str!("../../../sql/queries/read_stream.sql");
    run(&sql, &format!("prepare read (text, bigint, bigint, bigint, timestamptz) as {read}")).await;
    let looked = async |after: &str| {
        let at = format!("(select edited_at from tocsin.events where stream = 'default/b' and seq = {after})");
        let at: String = value(&sql, &format!("select coalesce({at}, '-infinity')::text")).await;
        let read = format!("execute read ('default/b', {after} + 1, 100, 1000000, '{at}')");
        let found: Vec<i64> = rows(&sql, &read).await.iter().map(|row| row.get("seq")).collect();
        let plan: Vec<String> = column(&sql, &format!("explain (analyze, costs off, timing off) {read}")).await;
        let scans = plan.iter().filter(|line| line.contains(" on events_20") && !line.contains("never executed"));
        (found, scans.count())
    };
    let (all, everywhere) = looked("0").await;
    let (newest, little) = looked("2").await;
    assert_eq!((all, newest), (vec![1, 2, 3], vec![3]));
    assert!(everywhere >= 6 && little <= 2, "{everywhere}, {little}: this month, and at its beginning the last one");
}
