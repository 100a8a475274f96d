//! A ring carries a copy of the event when that is small, and never fails the writer.

use tocsin::log::rows::ring_copy;

use super::ring::Bell;
use super::*;

/// Postgres refuses payloads of this many bytes.
const TOO_LONG: usize = 8000;

async fn bell() -> Bell {
    let bell = Bell::new().await;
    run(&bell.sql, "set tocsin.ring = 'always'").await;
    bell
}

#[tokio::test]
async fn a_small_event_that_is_alone_is_carried_whole() {
    let mut bell = bell().await;
    let heard = bell.rings(&message("b", "ü \"quoted\" \\ ''")).await;
    assert_eq!(heard.len(), 1);
    let copy = ring_copy(&heard[0]).expect("a copy");
    let row =
        &rows(&bell.sql, "select seq, object_id, edited_at, data #>> '{attributes,TextContent}' from tocsin.events")
            .await[0];
    assert_eq!((copy.stream.as_str(), copy.seq), ("default/b", row.get(0)));
    assert_eq!(copy.object_id, row.get(1));
    assert_eq!(copy.edited_at, row.get::<_, chrono::DateTime<chrono::Utc>>(2));
    assert_eq!(copy.state().attributes["TextContent"], row.get::<_, String>(3));
}

#[tokio::test]
async fn the_copy_is_right_whatever_the_session_s_formats() {
    let mut bell = bell().await;
    run(&bell.sql, "set timezone = 'Asia/Kathmandu'; set datestyle = 'German'; set intervalstyle = 'sql_standard'")
        .await;
    let heard = bell.rings(&message("b", 1)).await;
    let copy = ring_copy(&heard[0]).expect("a copy");
    let at: chrono::DateTime<chrono::Utc> = value(&bell.sql, "select edited_at from tocsin.events").await;
    assert_eq!(copy.edited_at, at);
}

#[tokio::test]
async fn of_several_events_each_is_carried_on_request_and_else_the_first() {
    let mut bell = bell().await;
    let two = "insert into tocsin.events (stream, kind) values ('b', 'k'), ('c', 'k');";
    let writes = format!("begin; {two} {} {} commit", message("b", 1), message("d", 2));
    let places = |heard: &[String]| -> Vec<(String, i64)> {
        heard.iter().map(|ring| ring_copy(ring).unwrap()).map(|it| (it.stream.as_str().to_owned(), it.seq)).collect()
    };
    let place = |stream: &str, seq| (format!("default/{stream}"), seq);
    assert_eq!(places(&bell.rings(&writes).await), [place("b", 1), place("c", 1), place("b", 2), place("d", 1)]);
    let node = bell.database.connect().await;
    run(&node, "select pg_advisory_lock(1953456499, 1)").await;
    run(&bell.sql, "set tocsin.ring = 'auto'").await;
    assert_eq!(places(&bell.rings(&writes).await), [place("b", 3)]);
    assert_eq!(places(&bell.rings(two).await), [place("b", 5)], "a statement is a transaction of its own");
}

#[tokio::test]
async fn a_payload_never_comes_near_what_would_fail_the_writer() {
    let mut bell = bell().await;
    let (mut with, mut without) = (0, 0);
    // Plain, of several bytes each, and such that JSON must escape: around the limit, and far beyond it.
    for (letter, bytes) in [("x", 1), ("ü", 2), ("日", 3), ("\u{1}", 6), ("\"", 2), ("\\", 2), ("/", 1)] {
        for size in [100, 6500, 6900, 7100, 7300, 7500, 7600, 7800, 7900, 7990, 8000, 8010, 8200, 100_000, 1_000_000] {
            let body = letter.repeat(size / bytes);
            if bytes == 6 && size == 1_000_000 {
                continue; // as jsonb it is small, the copy is not: 100,000 covers it
            }
            let insert =
                "insert into tocsin.events (stream, kind, data) values ('b', 'k', jsonb_build_object('d', $1::text))";
            bell.sql.execute(insert, &[&body]).await.unwrap_or_else(|fault| panic!("{letter:?} {size}: {fault:?}"));
            let heard = bell.rings("").await;
            assert_eq!(heard.len(), 1);
            assert!(heard[0].len() < TOO_LONG, "{}", heard[0].len());
            match ring_copy(&heard[0]) {
                Some(copy) => {
                    assert_eq!(copy.state().attributes["d"], body);
                    with += 1;
                }
                None => {
                    assert!(heard[0].is_empty() && size > 6500, "{letter:?} {size}");
                    without += 1;
                }
            }
        }
    }
    assert!(with > 20 && without > 40, "{with} {without}");
}

#[tokio::test]
async fn an_event_with_a_long_name_rings_too() {
    let mut bell = bell().await;
    let stream = format!("{}/{}", "日".repeat(255), "本".repeat(255));
    let kind = "k".repeat(7000);
    let insert = format!("insert into tocsin.events (stream, kind) values ('{stream}', '{kind}')");
    assert_eq!(bell.rings(&insert).await, [""]);
}
