//! The two who decide by a filter agree on every event, whatever was written and whatever is asked.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use tocsin::base::fold;
use tocsin::base::ids::Stream;
use tocsin::filter::sql::Items;
use tocsin::filter::{self, Criterion, Filter, Operator};
use tocsin::log::Event;
use tocsin::log::rows::read_stream;
use tokio_postgres::Client;

use crate::support::postgres::Database;

const WORDS: [&str; 14] =
    ["see", "SEEN", "Größe", "GRÖSSE", "ΣΟΦΟΣ", "σοφος", "c++", "it's", "a\\b", "日本語", "İx", "50%", "_", "“quoted”"];
const BETWEEN: [&str; 7] = [" ", "", "-", ", ", "  ", "–", "é"];
const NAMES: [&str; 9] =
    ["Subject", "subject", "From", "Message-Id", "Conversation-ID", "Direction", "ÄNDERUNG", "änderung", "Name"];
const FLAGS: [&str; 5] = ["\\Seen", "\\SEEN", "urgent", "ÖL", "öl"];
const FOLDERS: [&str; 6] = ["/main", "/main/sent", "/mainly", "/Main", "/ä/ö", "/"];
const NUMBERS: [&str; 5] = ["1", "1.50", "1e2", "123456789012345678901234567890", "-0.0"];

fn text(rng: &mut StdRng) -> String {
    let count = rng.random_range(1..4);
    (0..count).map(|_| [*WORDS.choose(rng).unwrap(), *BETWEEN.choose(rng).unwrap()].concat()).collect()
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A value of JSON, most often a text.
fn json(rng: &mut StdRng) -> String {
    match rng.random_range(0..10) {
        0 => NUMBERS.choose(rng).unwrap().to_string(),
        1 => ["true", "null", "{\"a\": \"see\"}", "[[\"see\"], \"see\"]", "[]"].choose(rng).unwrap().to_string(),
        2 => format!("[{}, 7, {}]", serde_json::json!(text(rng)), serde_json::json!(text(rng))),
        _ => serde_json::json!(text(rng)).to_string(),
    }
}

fn attributes(rng: &mut StdRng) -> String {
    let count = rng.random_range(0..4);
    let members: Vec<String> =
        (0..count).map(|_| format!("\"{}\": {}", NAMES.choose(rng).unwrap(), json(rng))).collect();
    format!("{{{}}}", members.join(", "))
}

fn flags(rng: &mut StdRng) -> String {
    let count = rng.random_range(0..3);
    let flags: Vec<String> = (0..count).map(|_| quoted(FLAGS.choose(rng).unwrap())).collect();
    format!("array[{}]::text[]", flags.join(", "))
}

/// What is written.
fn statement(rng: &mut StdRng) -> String {
    let any = "(select id from tocsin.objects where gone is null order by random() limit 1)";
    match rng.random_range(0..20) {
        0..6 => format!(
            "insert into tocsin.messages (box_id, sender, body, attributes, flags, folder) values ('b', 'tel:+1', {}, {}, {}, {})",
            quoted(&text(rng)), quoted(&attributes(rng)), flags(rng), quoted(FOLDERS.choose(rng).unwrap())
        ),
        6..9 => {
            let payload = format!("{{\"texts\": [{}, 5, {}], \"size\": 7}}", json(rng), json(rng));
            let payload = [payload, "5".to_owned(), "{\"texts\": \"see\"}".to_owned()].choose(rng).unwrap().clone();
            let odd = [
                "\"correlationId\": 5", "\"path\": [1]", "\"storedAt\": \"soon\"", "\"name\": 7", "\"parent\": \"x\"", "\"x\": 1",
            ].choose(rng).unwrap();
            format!(
                "insert into tocsin.events (stream, kind, data) values ('b', 'object.created', {})",
                quoted(&format!("{{\"attributes\": {}, \"payload\": {payload}, {odd}}}", attributes(rng)))
            )
        }
        9 => format!("insert into tocsin.events (stream, kind, data) values ('b', 'own.kind', {})", quoted(&attributes(rng))),
        10..13 => format!("update tocsin.messages set flags = {} where id = {any}", flags(rng)),
        13 => format!("update tocsin.messages set body = {} where id = {any}", quoted(&text(rng))),
        14 => format!("update tocsin.messages set folder = {} where id = {any}", quoted(FOLDERS.choose(rng).unwrap())),
        15 => format!("delete from tocsin.messages where id = {any}"),
        16 => format!("insert into tocsin.events (stream, kind, object_id) select 'b', 'object.expired', {any} where exists {any}"),
        17 => format!(
            "insert into tocsin.events (stream, kind, object_id, data) select 'b', 'folder.changed', id, {} from tocsin.folders
             where gone is null and name like 'main%' order by random() limit 1",
            quoted(&format!("{{\"name\": \"main{}\"}}", rng.random_range(0..99)))
        ),
        18 => format!("select tocsin.create_folder('default/b', 0, 'f{}', {})", rng.random_range(0..99999), quoted(&attributes(rng))),
        _ => match rng.random_range(0..6) {
            0 => "insert into tocsin.events (stream, kind) values ('b', 'box.reset')".to_owned(),
            _ => "select tocsin.end_folder('default/b', id, 'expired') from tocsin.folders where gone is null order by random() limit 1"
                .to_owned(),
        },
    }
}

fn cased(rng: &mut StdRng, text: &str) -> String {
    match rng.random_range(0..3) {
        0 => text.to_uppercase(),
        1 => text.to_lowercase(),
        _ => text.to_owned(),
    }
}

/// Now and then one of those of an event, to the microsecond.
fn date(rng: &mut StdRng, events: &[Arc<Event>]) -> Option<DateTime<Utc>> {
    let at = events.choose(rng).unwrap().edited_at + TimeDelta::microseconds(rng.random_range(-1..2));
    rng.random_bool(0.7).then_some(at)
}

fn criterion(rng: &mut StdRng, events: &[Arc<Event>]) -> Criterion {
    match rng.random_range(0..12) {
        0..3 => {
            let value = match rng.random_range(0..4) {
                0 => NUMBERS.choose(rng).unwrap().to_string(),
                1 => ["true", "in", "IN", "Out", "tel:+1", "see", "100", "0.0"].choose(rng).unwrap().to_string(),
                _ => text(rng),
            };
            let name = NAMES.choose(rng).unwrap();
            Criterion::Attribute { name: cased(rng, name), value }
        }
        3..5 => Criterion::Flag { name: FLAGS.choose(rng).unwrap().to_string(), set: rng.random() },
        5 => Criterion::Date { min: date(rng, events), max: date(rng, events) },
        6 => {
            let given = text(rng);
            let from = rng.random_range(0..given.chars().count());
            let part: String = given.chars().skip(from).take(rng.random_range(1..5)).collect();
            Criterion::AllTextAttributes { text: cased(rng, &part) }
        }
        7 => {
            let word = if rng.random_bool(0.7) { WORDS.choose(rng).unwrap().to_string() } else { text(rng) };
            Criterion::WholeWord { word: cased(rng, &word) }
        }
        8 => Criterion::VanishedObjects,
        9 => Criterion::CreatedObjects,
        10 => Criterion::Path { path: FOLDERS.choose(rng).unwrap().trim_end_matches('/').to_owned() },
        _ => Criterion::Everything,
    }
}

async fn chosen_by_sql(sql: &Client, filter: &Filter, since: i64) -> Vec<i64> {
    let wanted = filter.predicate(Items::Events, "default/b", since);
    let query = format!(
        "select seq from tocsin.event_items i where stream = 'default/b' and item is not null and $1::text[] is not null
         and (item = 'box' or {}) order by seq",
        wanted.condition
    );
    let rows = sql.query(&query, &[&wanted.texts]).await.unwrap_or_else(|fault| panic!("{filter:?}: {fault:?}"));
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn memory_and_sql_agree_on_every_event() {
    let seed = rand::random();
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let database = Database::new().await;
    let sql = database.connect().await;
    for _ in 0..300 {
        let statement = statement(&mut rng);
        match sql.batch_execute(&statement).await {
            Ok(()) => {}
            // A name that is taken.
            Err(fault) => assert_eq!(fault.code().unwrap().code(), "42710", "{statement}: {fault:?}"),
        }
    }
    let pool = tocsin::postgres::Database::new(database.url()).unwrap();
    let read = read_stream(&pool, &Stream::from_log("default/b"), 1, DateTime::UNIX_EPOCH, 10_000, usize::MAX).await;
    let (events, _) = read.unwrap();
    let mut matched = 0;
    for _ in 0..400 {
        let criteria = (0..rng.random_range(1..4)).map(|_| criterion(&mut rng, &events)).collect();
        let operator = [Operator::And, Operator::Or, Operator::Not][rng.random_range(0..3)];
        let filter = Filter { criteria, operator };
        let since = rng.random_range(0..events.len() as i64);
        let in_memory: Vec<i64> = events
            .iter()
            .filter(|event| event.kind.is_notified() && filter.matches(event, since))
            .map(|event| event.seq)
            .collect();
        assert_eq!(in_memory, chosen_by_sql(&sql, &filter, since).await, "seed {seed}: {filter:?} since {since}");
        matched += in_memory.len();
    }
    assert!(matched > 0, "filters that let something through");
}

#[tokio::test]
async fn the_database_and_the_server_know_the_same_attributes() {
    let database = Database::new().await;
    let sql = database.connect().await;
    let names =
        [filter::NOT_TEXT.as_slice(), filter::NOT_TELLING.as_slice(), &["subject", "textcontent", "from"]].concat();
    for name in names {
        assert_eq!(name, fold(name));
        let row = sql
            .query_one("select tocsin.is_text_attribute($1), tocsin.is_telling_attribute($1)", &[&name])
            .await
            .unwrap();
        let known: (bool, bool) = (row.get(0), row.get(1));
        assert_eq!(known, (filter::is_text_attribute(name), !filter::NOT_TELLING.contains(&name)), "{name}");
    }
    for (function, count) in
        [("is_text_attribute", filter::NOT_TEXT.len()), ("is_telling_attribute", filter::NOT_TELLING.len())]
    {
        let query = format!(
            "select array_length(string_to_array(substring(prosrc from '\\{{(.*)\\}}'), ','), 1) from pg_proc where proname = '{function}'"
        );
        let listed: i32 = sql.query_one(&query, &[]).await.unwrap().get(0);
        assert_eq!(usize::try_from(listed).unwrap(), count, "{function}");
    }
}
