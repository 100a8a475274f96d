//! Many rows at once cost in proportion to their number. Times are compared within one run, never with a constant.

use std::time::{Duration, Instant};

use super::*;

/// Four times the rows may take this many times as long: in proportion it is 4, squared it would be 16.
const FACTOR_MAX: u32 = 8;
/// A busy machine may spoil a comparison, but not each one.
const TRIES: u32 = 4;

async fn time(sql: &Client, statement: &str) -> Duration {
    let began = Instant::now();
    run(sql, statement).await;
    began.elapsed()
}

/// `statement` writes so many rows.
async fn is_linear(rows: i64, statement: impl Fn(i64) -> String) {
    let mut seen = Vec::new();
    for _ in 0..TRIES {
        let database = Database::new().await;
        let sql = database.connect().await;
        run(&sql, &statement(100)).await;
        let few = time(&sql, &statement(rows / 4)).await;
        let many = time(&sql, &statement(rows)).await;
        assert_eq!(value::<i64>(&sql, "select count(*) from tocsin.objects").await, 100 + rows / 4 + rows);
        assert_exact(&sql).await;
        if many < few * FACTOR_MAX {
            return;
        }
        seen.push((few, many));
    }
    panic!("not in proportion: {seen:?}");
}

#[tokio::test]
async fn messages_into_one_box_are_linear() {
    is_linear(20_000, |n| {
        format!("insert into tocsin.messages (box_id, body) select 'b', i::text from generate_series(1, {n}) as i")
    })
    .await;
}

#[tokio::test]
async fn messages_into_many_boxes_are_linear() {
    is_linear(20_000, |n| {
        format!(
            "insert into tocsin.messages (box_id, body) select 'b' || i % 2000, 'm' from generate_series(1, {n}) as i order by 1"
        )
    })
    .await;
}

#[tokio::test]
async fn events_into_one_box_are_linear() {
    is_linear(20_000, |n| {
        format!("insert into tocsin.events (stream, kind) select 'b', 'k' from generate_series(1, {n})")
    })
    .await;
}

#[tokio::test]
async fn events_into_many_boxes_are_linear() {
    is_linear(20_000, |n| {
        format!(
            "insert into tocsin.events (stream, kind) select 'b' || i % 2000, 'k' from generate_series(1, {n}) as i"
        )
    })
    .await;
}

#[tokio::test]
async fn many_statements_of_one_transaction_are_linear() {
    is_linear(8_000, |n| {
        format!("do $$ begin for i in 1..{n} loop insert into tocsin.events (stream, kind) values ('b', 'k'); end loop; end $$")
    })
    .await;
}
