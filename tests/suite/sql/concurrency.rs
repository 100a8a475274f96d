//! seq and edited_at follow the order of commits, whoever writes at once.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;

/// What every moment must look like to a reader: each stream is 1 to n whole, and no head is open.
const UNTRUE: &str = "select format('%s: %s events up to %s', stream, count(*), max(seq)) from tocsin.events
        group by stream having count(*) <> max(seq)
    union all select stream || ' is open' from tocsin.streams where open
    union all select format('%s: head %s, newest %s', s.stream, s.head_seq, max(e.seq)) from tocsin.streams s
        left join tocsin.events e using (stream) group by s.stream, s.head_seq having s.head_seq is distinct from max(e.seq)";

/// A transaction of some shape; answers how many events it leaves.
async fn transaction(sql: &Client, rng: &mut StdRng) -> i64 {
    let first = rng.random_range(0..3);
    let mut script = String::from("begin;");
    let mut left = 0;
    for stream in first..3 {
        let rows = rng.random_range(1..4);
        let insert = format!(
            "insert into tocsin.events (stream, kind) select 'b{stream}', 'k' from generate_series(1, {rows});"
        );
        match rng.random_range(0..5) {
            0 => script += &format!("savepoint s; {insert} rollback to s;"),
            1 => {
                script += &format!("savepoint s; {insert} release s; {insert}");
                left += 2 * rows;
            }
            2 => {
                script += &format!("{insert} set constraints all immediate; {insert}");
                left += 2 * rows;
            }
            _ => {
                script += &insert;
                left += rows;
            }
        }
    }
    let commits = rng.random_bool(0.7);
    script += if commits { "commit" } else { "rollback" };
    run(sql, &script).await;
    if commits { left } else { 0 }
}

#[tokio::test]
async fn at_every_moment_each_stream_is_whole_while_many_write() {
    let database = Database::new().await;
    let (mut writers, reader) = (Vec::new(), database.connect().await);
    for seed in 0..6 {
        let sql = database.connect().await;
        writers.push(tokio::spawn(async move {
            let mut rng = StdRng::seed_from_u64(seed);
            let mut left = 0;
            for _ in 0..60 {
                left += transaction(&sql, &mut rng).await;
            }
            left
        }));
    }
    while !writers.iter().all(|writer| writer.is_finished()) {
        let untrue: Vec<String> = column(&reader, UNTRUE).await;
        assert!(untrue.is_empty(), "{untrue:?}");
    }
    let mut left = 0;
    for writer in writers {
        left += writer.await.unwrap();
    }
    assert_eq!(value::<i64>(&reader, "select count(*) from tocsin.events").await, left);
    assert!(left > 300, "{left}");
    assert_exact(&reader).await;
}

struct Two {
    _database: Database,
    first: Client,
    second: Client,
    pid: i32,
}

async fn two() -> Two {
    let database = Database::new().await;
    let (first, second) = (database.connect().await, database.connect().await);
    let pid = backend_pid(&second).await;
    Two { _database: database, first, second, pid }
}

#[tokio::test]
async fn under_read_committed_the_late_writer_waits_and_gets_the_next_seq() {
    for (known, end, expected) in
        [(false, "commit", 3), (false, "rollback", 1), (true, "commit", 4), (true, "rollback", 2)]
    {
        let Two { _database, first, second, pid } = two().await;
        if known {
            run(&first, &message("b", 0)).await;
        }
        run(&first, &format!("begin; {}", message("b", 1).repeat(2))).await;
        let insert = "insert into tocsin.messages (box_id, body) values ('b', 'late') returning seq";
        let (seq, ()) = tokio::join!(value::<i64>(&second, insert), async {
            blocked(&first, pid).await;
            run(&first, end).await;
        });
        assert_eq!(seq, expected, "known: {known}, {end}");
        assert_exact(&first).await;
    }
}

#[tokio::test]
async fn under_stricter_isolation_the_late_writer_is_refused() {
    for level in ["repeatable read", "serializable"] {
        for known in [false, true] {
            let Two { _database, first, second, pid } = two().await;
            if known {
                run(&first, &message("b", 0)).await;
            }
            // Whoever's snapshot is older than the other's commit,
            run(&second, &format!("begin isolation level {level}; select 1")).await;
            run(&first, &message("b", 1)).await;
            assert_eq!(refusal(&second, &message("b", "late")).await, "40001", "{level}");
            run(&second, "rollback").await;
            // and whoever waits for it.
            run(&first, &format!("begin; {}", message("b", 2))).await;
            let late = format!("begin isolation level {level}; {}", message("b", "late"));
            let (code, ()) = tokio::join!(refusal(&second, &late), async {
                blocked(&first, pid).await;
                run(&first, "commit").await;
            });
            assert_eq!(code, "40001", "{level}");
            run(&second, &format!("rollback; begin isolation level {level}; {} commit", message("b", 3).repeat(2)))
                .await;
            assert_eq!(seqs(&first, "b").await.len(), 4 + usize::from(known));
            assert_exact(&first).await;
        }
    }
}

#[tokio::test]
async fn the_open_mark_of_a_stream_is_seen_by_nobody_else() {
    let Two { _database, first, second, .. } = two().await;
    run(&first, &message("b", 0)).await;
    run(&first, &format!("begin; {}", message("b", 1).repeat(3))).await;
    assert!(value::<bool>(&first, "select open from tocsin.streams").await, "the writer itself sees it");
    let seen = "select head_seq from tocsin.streams where not open";
    assert_eq!(value::<i64>(&second, seen).await, 1);
    run(&first, "commit").await;
    assert_eq!(value::<i64>(&second, seen).await, 4);
}
