//! Random transactions against a model: what is in each stream, and where its head is, follows from what was not
//! rolled back.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;

const STREAMS: usize = 3;

/// How many events each stream has.
type Model = [i64; STREAMS];

/// One transaction: its SQL, and the model after it.
fn transaction(rng: &mut StdRng, before: Model) -> (String, Model) {
    let (mut script, mut now) = (String::from("begin;"), before);
    let mut savepoints: Vec<Model> = Vec::new();
    for _ in 0..rng.random_range(1..12) {
        match rng.random_range(0..12) {
            0..5 => {
                let (stream, rows) = (rng.random_range(0..STREAMS), rng.random_range(1..4));
                script += &format!(
                    "insert into tocsin.events (stream, kind) select 'b{stream}', 'k' from generate_series(1, {rows});"
                );
                now[stream] += rows;
            }
            5 => {
                script += "insert into tocsin.messages (box_id, body) select 'b' || i % 2, 'm' from generate_series(1, 4) as i;";
                now[0] += 2;
                now[1] += 2;
            }
            6..8 => {
                script += "savepoint s;";
                savepoints.push(now);
            }
            8..10 => {
                if let Some(then) = savepoints.last() {
                    script += "rollback to s;";
                    now = *then;
                }
            }
            10 => {
                if savepoints.pop().is_some() {
                    script += "release s;";
                }
            }
            _ => script += ["set constraints all immediate;", "set constraints all deferred;"][rng.random_range(0..2)],
        }
    }
    match rng.random_bool(0.8) {
        true => (script + "commit", now),
        false => (script + "rollback", before),
    }
}

#[tokio::test]
async fn streams_and_heads_follow_from_what_was_not_rolled_back() {
    let seed = rand::random();
    let mut rng = StdRng::seed_from_u64(seed);
    let database = Database::new().await;
    let sql = database.connect().await;
    let mut model = Model::default();
    for n in 0..200 {
        let (script, after) = transaction(&mut rng, model);
        run(&sql, &script).await;
        model = after;
        let heads = rows(&sql, "select stream, head_seq, open from tocsin.streams").await;
        let mut seen = Model::default();
        for head in heads {
            let stream: usize = head.get::<_, String>(0).trim_start_matches("default/b").parse().unwrap();
            seen[stream] = head.get(1);
            assert!(!head.get::<_, bool>(2), "seed {seed}, transaction {n}: {script}");
        }
        assert_eq!(seen, model, "seed {seed}, transaction {n}: {script}");
    }
    assert_exact(&sql).await;
}
