//! The index of texts and values: it saves reading, and changes no result.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use rand::RngExt;
use rand::seq::IndexedRandom;
use tocsin::base::fold;
use tocsin::base::ids::BoxName;
use tocsin::filter::sql::Items;
use tocsin::filter::{Criterion, Filter, Operator};
use tocsin::store::search::rows::search;
use tocsin::store::search::{Scope, Search, Sort, Top};
use tokio_postgres::Client;

use crate::support::eventually;
use crate::support::postgres::{Database, connect};

fn all_of(criteria: Vec<Criterion>) -> Search {
    Search {
        of: BoxName::parse("default", "b").unwrap(),
        filter: Some(Filter { criteria, operator: Operator::And }),
        created_after: 0,
        scope: None,
        sort: Vec::new(),
        max_entries: 100_000,
        from: None,
    }
}

fn containing(text: &str) -> Criterion {
    Criterion::AllTextAttributes { text: text.into() }
}

/// Ids and lastModSeqs of what the condition alone says, without any index.
async fn exact(sql: &Client, search: &Search) -> BTreeSet<(i64, i64)> {
    let wanted = search.filter.as_ref().unwrap().predicate(Items::Objects, "default/b", 0);
    let query = format!(
        "select id, seq from tocsin.objects i where box_id = 'b' and gone is null and $1::text[] is not null and {}",
        wanted.condition
    );
    sql.query(&query, &[&wanted.texts]).await.unwrap().iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// Writes until the test is over: new messages, other texts, deletions, transactions that last or fail.
async fn write(url: String, over: Arc<AtomicBool>) {
    const TEXTS: [&str; 8] = ["alpha", "ALPHABET", "beta", "äther", "a", "al", "it's 50% \\ 'x", "日本語"];
    let sql = connect(&url).await;
    while !over.load(Relaxed) {
        let text = TEXTS.choose(&mut rand::rng()).unwrap().replace('\'', "''");
        let one = "(select id from tocsin.messages where box_id = 'b' order by random() limit 1)";
        let statement = match rand::rng().random_range(0..10) {
            0..6 => format!(
                "insert into tocsin.messages (box_id, sender, body) values ('b', 'tel:+{}', '{text}')",
                text.len()
            ),
            6..8 => format!("update tocsin.messages set body = '{text}' where id = {one}"),
            8 => format!("delete from tocsin.messages where id = {one}"),
            _ => format!("insert into tocsin.messages (box_id, body) values ('other', '{text}')"),
        };
        let (pause, end) = (rand::rng().random_range(0..8), if rand::random() { "commit" } else { "rollback" });
        sql.batch_execute(&format!("begin; {statement}; {statement}; select pg_sleep(0.00{pause}); {end}")).await.ok();
        sql.batch_execute("rollback").await.unwrap();
    }
}

/// Gives terms as the server does, in small batches.
async fn index(url: String, over: Arc<AtomicBool>) {
    let sql = connect(&url).await;
    while !over.load(Relaxed) {
        let mark = sql.query_one("select reached, at from tocsin.terms_mark()", &[]).await.unwrap();
        let (reached, Some(at)) = (mark.get::<_, i64>(0), mark.get::<_, Option<String>>(1)) else { continue };
        while !sql.query_one("select tocsin.terms_mark_passed($1)", &[&at]).await.unwrap().get::<_, bool>(0) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        sql.query_one("select tocsin.index_terms($1, 5)", &[&reached]).await.unwrap();
    }
}

#[tokio::test]
async fn results_are_the_same_whatever_the_index_has_while_writers_and_the_indexer_go_on() {
    let database = Database::new().await;
    let pool = tocsin::postgres::Database::new(database.url()).unwrap();
    let sql = database.connect().await;
    let (until, over) = (Instant::now() + Duration::from_secs(6), Arc::new(AtomicBool::new(false)));
    let mut tasks: Vec<_> = (0..3).map(|_| tokio::spawn(write(database.url().to_owned(), over.clone()))).collect();
    tasks.push(tokio::spawn(index(database.url().to_owned(), over.clone())));
    let (mut found_any, mut rounds) = (0, 0);
    while Instant::now() < until || rounds < 3 {
        for criterion in [
            containing("alpha"),
            containing("a"),
            containing("LP"),
            containing("ä"),
            containing("50% \\ '"),
            containing("本語"),
            containing("tel:+5"),
            containing("nowhere"),
            Criterion::WholeWord { word: "Al".into() },
            Criterion::Attribute { name: "from".into(), value: "tel:+5".into() },
        ] {
            let wanted = all_of(vec![criterion]);
            let before = exact(&sql, &wanted).await;
            let found = search(&pool, &wanted).await.unwrap().objects;
            let after = exact(&sql, &wanted).await;
            let ids: BTreeSet<(i64, i64)> = found.iter().map(|object| (object.id, object.seq)).collect();
            assert_eq!(ids.len(), found.len(), "none twice");
            for missed in before.intersection(&after) {
                assert!(ids.contains(missed), "{missed:?} was not found: {wanted:?}");
            }
            let limits: BTreeSet<_> = before.union(&after).copied().collect();
            for (object, id) in found.iter().zip(&ids) {
                if limits.contains(id) {
                    continue;
                }
                // Written and changed again between the two looks.
                let Criterion::AllTextAttributes { text } = &wanted.filter.as_ref().unwrap().criteria[0] else {
                    continue;
                };
                let holds =
                    object.state.attributes.values().any(|value| fold(&value.to_string()).contains(&fold(text)));
                assert!(holds || text.contains('\\'), "{object:?} for {wanted:?}");
            }
            found_any += ids.len();
        }
        rounds += 1;
    }
    over.store(true, Relaxed);
    for task in tasks {
        task.await.unwrap();
    }
    assert!(found_any > 0);
    let row = sql.query_one("select watermark from tocsin.terms_progress", &[]).await.unwrap();
    assert!(row.get::<_, i64>(0) > 0, "something was indexed meanwhile");
}

#[tokio::test]
async fn an_id_drawn_by_a_transaction_that_still_runs_holds_the_watermark() {
    let database = Database::new().await;
    let (early, late) = (database.connect().await, database.connect().await);
    early.batch_execute("begin; insert into tocsin.messages (box_id, body) values ('b', 'early')").await.unwrap();
    late.batch_execute("insert into tocsin.messages (box_id, body) values ('c', 'late')").await.unwrap();
    let mark = late.query_one("select reached, at from tocsin.terms_mark()", &[]).await.unwrap();
    let (reached, at): (i64, String) = (mark.get(0), mark.get(1));
    assert_eq!(reached, 2);
    let passed =
        async || late.query_one("select tocsin.terms_mark_passed($1)", &[&at]).await.unwrap().get::<_, bool>(0);
    assert!(!passed().await);
    early.batch_execute("commit").await.unwrap();
    // Others of the same cluster may run on for a while.
    eventually("the mark has passed", async || passed().await.then_some(())).await;
    let mark = database.connect().await;
    assert_eq!(mark.query_one("select tocsin.index_terms(2, 9)", &[]).await.unwrap().get::<_, i64>(0), 0);
    let terms: i64 = late.query_one("select count(*) from tocsin.object_terms", &[]).await.unwrap().get(0);
    assert_eq!(terms, 2);
    let idle = late.query_one("select at from tocsin.terms_mark()", &[]).await.unwrap();
    assert_eq!(idle.get::<_, Option<String>>(0), None, "nothing to do, nothing written");
}

#[tokio::test]
async fn terms_go_with_their_objects_and_begin_again() {
    let database = Database::new().await;
    let sql = database.connect().await;
    let pool = tocsin::postgres::Database::new(database.url()).unwrap();
    let terms = async || sql.query_one("select count(*) from tocsin.object_terms", &[]).await.unwrap().get::<_, i64>(0);
    for _ in 0..2 {
        sql.batch_execute(
            "insert into tocsin.messages (box_id, body) values ('b', 'one'), ('b', 'two'), ('c', 'three')",
        )
        .await
        .unwrap();
    }
    sql.batch_execute("select tocsin.index_terms((select last_value from tocsin.object_ids), 100)").await.unwrap();
    assert_eq!(terms().await, 6);
    sql.batch_execute("insert into tocsin.events (stream, kind) values ('c', 'box.reset')").await.unwrap();
    sql.batch_execute("delete from tocsin.messages where body = 'two' and id > 3").await.unwrap();
    assert_eq!(terms().await, 3);
    // As one does who makes the projection anew.
    let again = "create temp table kept as table tocsin.objects; delete from tocsin.objects;
                 insert into tocsin.objects table kept; select tocsin.forget_terms()";
    sql.batch_execute(again).await.unwrap();
    for round in ["nothing indexed", "all indexed"] {
        assert_eq!(search(&pool, &all_of(vec![containing("one")])).await.unwrap().objects.len(), 2, "{round}");
        sql.batch_execute("select tocsin.index_terms((select last_value from tocsin.object_ids), 100)").await.unwrap();
    }
    assert_eq!(terms().await, 3);
}

/// How often the table of objects was read from end to end, and how many rows were read, in a search on a connection of
/// its own, which leaves its counts when it ends.
async fn cost(database: &Database, sql: &Client, wanted: &Search) -> (usize, i64, i64) {
    let counts = async || {
        sql.batch_execute("select pg_stat_clear_snapshot()").await.unwrap();
        let query = "select seq_scan, seq_tup_read + idx_tup_fetch from pg_stat_user_tables where relname = 'objects'";
        let row = sql.query_one(query, &[]).await.unwrap();
        (row.get::<_, i64>(0), row.get::<_, i64>(1))
    };
    let before = counts().await;
    let pool = tocsin::postgres::Database::new(database.url()).unwrap();
    let found = search(&pool, wanted).await.unwrap().objects.len();
    pool.close();
    eventually("the connection has ended", async || {
        let query = "select count(*) = 0 from pg_stat_activity where application_name = 'tocsin' and datname = current_database()";
        sql.query_one(query, &[]).await.unwrap().get::<_, bool>(0).then_some(())
    })
    .await;
    database.run_and_tell("").await;
    let after = counts().await;
    (found, after.0 - before.0, after.1 - before.1)
}

/// 120,000 objects, lying in any order, 20,000 of them in the box `b`.
const FILL: &str = r"insert into tocsin.objects (id, store, box_id, folder_id, attributes, flags, created_seq, created_at, seq, edited_at, gone)
    select i, 'default', case when i > 100000 then 'b' else 'box' || i % 5 end,
           case when i % 400 = 0 and i > 100000 then 1000000 else 0 end,
           jsonb_build_object('TextContent', case i % 5000 when 1 then 'a needle' else 'message ' || i % 100 end, 'From', 'tel:+' || i % 4000),
           case when i % 10 = 0 then '{}' else array['\Seen'] end,
           i, now() + i * interval '1 second', i, now(), case when i % 2000 = 7 then 'deleted' end
    from generate_series(1, 120000) as i order by random();
    insert into tocsin.folders (id, store, box_id, parent_id, name, attributes, created_seq, created_at, seq, edited_at)
    values (1000000, 'default', 'b', 0, 'main', '{}', 1, now(), 1, now());
    insert into tocsin.streams (stream, head_seq, head_at, last_xid) values ('default/b', 120000, now(), '3');
    select setval('tocsin.object_ids', 120000);
    update tocsin.terms_progress set watermark = 100000;
    analyze tocsin.objects";

#[tokio::test]
async fn no_search_reads_more_than_its_box_and_one_for_rare_texts_hardly_more_than_it_finds() {
    let database = Database::new().await;
    let sql = database.connect().await;
    database.run_and_tell(FILL).await;
    let value = |value: &str| Criterion::Attribute { name: "from".into(), value: value.into() };
    let flag = |name: &str, set| Criterion::Flag { name: name.into(), set };
    let scope = Scope { top: Top::Path("/main".into()), recursive: true };
    let by_value = Sort::Attribute { name: "From".into(), ascending: true };
    let whole_box = 20_000 + 500;
    for (upto, rows) in [(100_000, whole_box + 2001), (110_000, whole_box + 2001), (119_990, 150)] {
        let index = format!("select tocsin.index_terms({upto}, 100000); analyze tocsin.object_terms");
        database.run_and_tell(&index).await;
        let (found, scans, read) = cost(&database, &sql, &all_of(vec![containing("needle")])).await;
        assert_eq!((found, scans), (4, 0), "indexed up to {upto}");
        assert!(read <= rows, "indexed up to {upto}: {read} rows were read");
    }
    for (what, wanted, found, rows) in [
        ("a rare text", all_of(vec![containing("needle")]), 4, 150),
        (
            "a rare word among others",
            all_of(vec![Criterion::WholeWord { word: "needle".into() }, flag("\\Seen", true)]),
            4,
            150,
        ),
        ("a text that is nowhere", all_of(vec![containing("haystack")]), 0, 150),
        ("a rare value", all_of(vec![value("tel:+77")]), 5, 150),
        ("a text that is everywhere", Search { max_entries: 50, ..all_of(vec![containing("mess")]) }, 50, 200),
        ("one letter", Search { max_entries: 50, ..all_of(vec![containing("m")]) }, 50, 200),
        ("a flag that is often set", Search { max_entries: 50, ..all_of(vec![flag("\\seen", true)]) }, 50, 200),
        ("a flag that is never set", all_of(vec![flag("x", true)]), 0, whole_box),
        (
            "an order by the newest",
            Search {
                sort: vec![Sort::Date { ascending: false }],
                max_entries: 9,
                ..all_of(vec![Criterion::Everything])
            },
            9,
            100,
        ),
        (
            "an order by values",
            Search { sort: vec![by_value], max_entries: 9, ..all_of(vec![flag("x", false)]) },
            9,
            whole_box,
        ),
        ("a folder", Search { scope: Some(scope), ..all_of(vec![Criterion::Everything]) }, 50, 2000),
        ("the newest", Search { created_after: 119_990, ..all_of(vec![Criterion::CreatedObjects]) }, 10, 100),
        ("what vanished", all_of(vec![Criterion::VanishedObjects]), 10, 100),
    ] {
        let began = Instant::now();
        let (number, scans, read) = cost(&database, &sql, &wanted).await;
        println!("{what}: {number} found, {read} read, {:?}", began.elapsed());
        assert_eq!((number, scans), (found, 0), "{what}");
        assert!(read <= rows, "{what}: {read} rows were read");
    }
}
