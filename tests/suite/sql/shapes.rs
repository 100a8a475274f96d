//! seq has no gap and edited_at rises, whatever shape a write has.

use futures_util::SinkExt;

use super::*;

async fn database() -> (Database, Client) {
    let database = Database::new().await;
    let sql = database.connect().await;
    (database, sql)
}

const THREE_BOXES: &str = "insert into tocsin.events (stream, kind)
    select 'b' || i % 3, 'k' from generate_series(1, 12) as i;";

#[tokio::test]
async fn a_statement_with_several_rows_of_several_streams_numbers_each() {
    let (_database, sql) = database().await;
    run(&sql, THREE_BOXES).await;
    run(&sql, THREE_BOXES).await;
    for box_id in ["b0", "b1", "b2"] {
        assert_eq!(seqs(&sql, box_id).await, (1..=8).collect::<Vec<_>>());
    }
    assert_exact(&sql).await;
}

#[tokio::test]
async fn several_statements_of_a_transaction_go_on_and_a_rollback_leaves_no_gap() {
    let (_database, sql) = database().await;
    run(&sql, &format!("begin; {} {THREE_BOXES} {} {THREE_BOXES} commit", message("b1", 1), message("b1", 2))).await;
    assert_exact(&sql).await;
    run(&sql, &format!("begin; {THREE_BOXES} {} rollback", message("b1", 3))).await;
    assert_exact(&sql).await;
    run(&sql, &message("b1", 4)).await;
    assert_eq!(seqs(&sql, "b1").await, (1..=11).collect::<Vec<_>>());
    assert_exact(&sql).await;
}

#[tokio::test]
async fn savepoints_released_and_rolled_back_leave_no_gap() {
    let one = &message("b", "m");
    let keep = |inner: &str| format!("savepoint s; {inner} release s;");
    let lose = |inner: &str| format!("savepoint s; {inner} rollback to s;");
    let two = &format!("{one}{one}");
    // With the number of messages that remain.
    let cases = [
        (lose(one), 0),
        (keep(one), 1),
        (lose(one) + one, 1),
        (lose(two) + one, 1),
        (lose(two) + two, 2),
        (format!("{one}{}{one}", lose(one)), 2),
        (format!("{one}{}{one}", lose(two)), 2),
        (format!("{one}{}", lose(two)), 1),
        (format!("{two}{}{one}", lose(two)), 3),
        (format!("{two}{}", lose(one)), 2),
        (format!("{one}{}{}", keep(two), lose(one)), 3),
        (format!("{}{one}", lose(&keep(two))), 1),
        (format!("{one}{}{two}", lose(&format!("{one}{}", keep(one)))), 3),
        (format!("{}{one}", keep(&format!("{one}{}", lose(two)))), 2),
    ];
    let (_database, sql) = database().await;
    let mut expected = 0;
    for (statements, remain) in cases {
        run(&sql, &format!("begin; {statements} commit")).await;
        expected += remain;
        assert_eq!(seqs(&sql, "b").await, (1..=expected).collect::<Vec<_>>(), "{statements}");
        if expected > 0 {
            assert_exact(&sql).await;
        }
    }
}

#[tokio::test]
async fn an_exception_caught_in_plpgsql_leaves_no_gap() {
    let (_database, sql) = database().await;
    run(
        &sql,
        "do $$ begin
             for i in 1..20 loop
                 begin
                     insert into tocsin.events (stream, kind) values ('b', 'k'), ('b', 'k');
                     if i % 2 = 0 then raise exception 'no'; end if;
                 exception when raise_exception then null;
                 end;
             end loop;
         end $$",
    )
    .await;
    assert_eq!(seqs(&sql, "b").await, (1..=20).collect::<Vec<_>>());
    assert_exact(&sql).await;
}

#[tokio::test]
async fn writable_ctes_share_the_numbering_of_their_statement() {
    let (_database, sql) = database().await;
    let cte = "with one as (insert into tocsin.events (stream, kind) values ('b', 'k'), ('c', 'k') returning seq),
                    two as (insert into tocsin.messages (box_id, body) values ('b', 'm') returning seq)
               insert into tocsin.events (stream, kind) select 'b', 'k' from one, two returning seq";
    for round in 0..3 {
        run(&sql, cte).await;
        assert_eq!(seqs(&sql, "b").await.len(), 4 * (round + 1));
        assert_exact(&sql).await;
    }
}

#[tokio::test]
async fn messages_are_taken_from_copy_too() {
    let (_database, sql) = database().await;
    let sink = sql.copy_in("copy tocsin.messages (box_id, sender, body, flags) from stdin").await.unwrap();
    let mut sink = std::pin::pin!(sink);
    sink.send(bytes("b\tx\t1\t\\N\nc\ty\t2\t{F}\nb\tb\t3\t\\N\n".to_owned())).await.unwrap();
    assert_eq!(sink.finish().await.unwrap(), 3);
    let found = column::<String>(
        &sql,
        "select concat_ws(' ', store, box_id, sender, body, direction, flags, seq) from tocsin.messages order by id",
    )
    .await;
    assert_eq!(found, ["default b x 1 In {} 1", "default c y 2 In {F} 1", "default b b 3 Out {} 2"]);
    assert_exact(&sql).await;
}

#[tokio::test]
async fn copy_is_numbered_like_insert() {
    let (_database, sql) = database().await;
    run(&sql, "begin; insert into tocsin.events (stream, kind) values ('b', 'k')").await;
    let sink = sql.copy_in("copy tocsin.events (stream, kind, data) from stdin").await.unwrap();
    let mut sink = std::pin::pin!(sink);
    let lines: String =
        (0..3000).map(|i| format!("{}\tk\t{{\"n\": {i}}}\n", if i % 3 == 0 { "c" } else { "b" })).collect();
    sink.send(bytes(lines)).await.unwrap();
    assert_eq!(sink.finish().await.unwrap(), 3000);
    run(&sql, "insert into tocsin.events (stream, kind) values ('b', 'k'); commit").await;
    assert_eq!(seqs(&sql, "b").await, (1..=2002).collect::<Vec<_>>());
    assert_exact(&sql).await;
    assert_eq!(value::<i64>(&sql, "select count(*) from tocsin.objects").await, 3002);
}

fn bytes(text: String) -> std::io::Cursor<Vec<u8>> {
    std::io::Cursor::new(text.into_bytes())
}

#[tokio::test]
async fn constraints_set_immediate_at_the_start_or_in_the_middle_change_nothing() {
    let (_database, sql) = database().await;
    let set = "set constraints all immediate;";
    for statements in [
        format!("{set} {THREE_BOXES} {THREE_BOXES}"),
        format!("{THREE_BOXES} {set} {THREE_BOXES}"),
        format!("{THREE_BOXES} {set} set constraints all deferred; {THREE_BOXES}"),
        format!("{set} {THREE_BOXES} savepoint s; {THREE_BOXES} rollback to s; {THREE_BOXES}"),
        format!("{THREE_BOXES} savepoint s; {set} {THREE_BOXES} rollback to s; {THREE_BOXES}"),
    ] {
        run(&sql, &format!("begin; {statements} commit")).await;
        assert_exact(&sql).await;
    }
    assert_eq!(value::<i64>(&sql, "select count(*) from tocsin.events").await, 5 * 24);
}

#[tokio::test]
async fn a_transaction_id_taken_early_does_not_number_early() {
    let (database, early) = database().await;
    let other = database.connect().await;
    run(&early, "begin; select pg_current_xact_id()").await;
    run(&other, &message("b", "overtakes")).await;
    run(&early, &message("b", "comes later")).await;
    run(&early, "commit").await;
    let bodies: Vec<String> = column(&early, "select body from tocsin.messages order by seq").await;
    assert_eq!(bodies, ["overtakes", "comes later"]);
    assert!(
        value::<bool>(
            &early,
            "select (array_agg(xid order by seq desc))[1] = (array_agg(xid order by xid))[1] from tocsin.events"
        )
        .await
    );
    assert_exact(&early).await;
}

#[tokio::test]
async fn a_prepared_transaction_keeps_its_place_until_it_commits_or_not() {
    let (database, sql) = database().await;
    let (waiter, name) = (database.connect().await, value::<String>(&sql, "select current_database()").await);
    let pid = backend_pid(&waiter).await;
    for (round, end) in ["commit", "rollback"].into_iter().enumerate() {
        let three = message("b", "prepared").repeat(3);
        run(&sql, &format!("set tocsin.ring = 'off'; begin; {three} prepare transaction '{name}'")).await;
        assert_eq!(seqs(&sql, "b").await.len(), round * 4, "not visible yet");
        let late_message = message("b", "late");
        let ((), ()) = tokio::join!(run(&waiter, &late_message), async {
            blocked(&sql, pid).await;
            run(&sql, &format!("{end} prepared '{name}'")).await;
        });
        assert_exact(&sql).await;
    }
    assert_eq!(seqs(&sql, "b").await, (1..=5).collect::<Vec<_>>());
}
