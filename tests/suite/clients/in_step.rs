//! A phone that syncs a full box by searching it, subscribes, goes away, comes back with its restartToken, and is exactly
//! in step, while others go on writing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio_postgres::Client;

use crate::support::client::{Api, EventList, Socket};
use crate::support::postgres::Database;
use crate::support::server::Server;

/// Objects in the box before the phone comes.
const OBJECTS: i64 = 5000;
/// Objects in one answer to its searches.
const PAGE: u32 = 100;
/// How long the phone is away.
const AWAY: Duration = Duration::from_secs(2);

/// What the phone knows: of each object its flags, its folder, and when it changed last.
#[derive(Debug, Default)]
struct Phone {
    objects: BTreeMap<String, Known>,
    token: String,
    index: i64,
}

#[derive(Debug, Clone, PartialEq)]
struct Known {
    flags: Value,
    folder: Value,
    last_mod_seq: i64,
}

impl Known {
    fn of(fields: &Value) -> (String, Known) {
        let known = Known {
            flags: fields["flags"]["flag"].clone(),
            folder: fields["parentFolder"].clone(),
            last_mod_seq: fields["lastModSeq"].as_i64().unwrap(),
        };
        (fields["resourceURL"].as_str().unwrap().to_owned(), known)
    }
}

impl Phone {
    /// Reads the whole box, page by page.
    async fn search(&mut self, api: &Api) {
        let mut cursor = Value::Null;
        loop {
            let criteria = json!({ "selectionCriteria": { "maxEntries": PAGE, "fromCursor": cursor } });
            let answer = api.post("/nms/v1/default/b/objects/operations/search", criteria).await;
            assert_eq!(answer.status, 200, "{}", answer.text);
            let list = answer.json()["objectList"].clone();
            self.objects.extend(list["object"].as_array().unwrap().iter().map(Known::of));
            cursor = list["cursor"].clone();
            if cursor.is_null() {
                break;
            }
        }
    }

    /// A list must be the next one; what it tells may be older than what a search has shown.
    fn learn(&mut self, list: &EventList) {
        assert_eq!(list.index, self.index + 1, "no list is lost");
        (self.index, self.token) = (list.index, list.token.clone());
        for event in &list.events {
            let (kind, fields) = event.as_object().unwrap().iter().next().unwrap();
            let seq = fields["lastModSeq"].as_i64().unwrap();
            let url = fields["resourceURL"].as_str().unwrap();
            if self.objects.get(url).is_some_and(|known| known.last_mod_seq >= seq) {
                continue;
            }
            match kind.as_str() {
                "changedObject" => self.objects.extend([Known::of(fields)]),
                "deletedObject" => drop(self.objects.remove(url)),
                "changedFolder" => {}
                other => panic!("{other}"),
            }
        }
    }

    /// A new channel and a new subscription, from its token if it has one; and its socket.
    async fn connect(&mut self, api: &Api) -> Socket {
        let channel = api.channel("alice").await;
        let subscription = api.subscribe_with("b", &channel, json!({ "restartToken": self.token })).await;
        (self.index, self.token) = (0, subscription["restartToken"].as_str().unwrap().to_owned());
        Socket::open(&channel).await
    }
}

/// Writes until it is told to stop: new messages, flags, folders, deletions.
async fn keep_writing(sql: Client, stop: Arc<AtomicBool>) {
    const SOME: &str = "id in (select id from tocsin.messages where box_id = 'b' order by random() limit 1)";
    let mut turn = 0;
    while !stop.load(Ordering::Relaxed) {
        turn += 1;
        let statement = match turn % 5 {
            0 => format!("delete from tocsin.messages where {SOME}"),
            1 => format!("update tocsin.messages set flags = flags || array['f{turn}'] where {SOME}"),
            2 => format!("update tocsin.messages set folder = 'f{}' where {SOME}", turn % 7),
            _ => "insert into tocsin.messages (box_id, body) values ('b', 'new')".to_owned(),
        };
        sql.batch_execute(&statement).await.unwrap();
    }
}

#[tokio::test]
async fn a_phone_that_was_away_is_exactly_in_step_while_others_write() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let sql = database.connect().await;
    let fill = format!(
        "insert into tocsin.messages (box_id, body) select 'b', i::text from generate_series(1, {OBJECTS}) as i"
    );
    sql.batch_execute(&fill).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let mut writers = tokio::task::JoinSet::new();
    for _ in 0..2 {
        writers.spawn(keep_writing(database.connect().await, stop.clone()));
    }

    let mut phone = Phone::default();
    let mut socket = phone.connect(&server.api).await;
    phone.search(&server.api).await;
    for _ in 0..100 {
        phone.learn(&socket.list().await);
    }
    drop(socket);
    tokio::time::sleep(AWAY).await;
    let mut socket = phone.connect(&server.api).await;
    for _ in 0..100 {
        phone.learn(&socket.list().await);
    }
    stop.store(true, Ordering::Relaxed);
    while let Some(ended) = writers.join_next().await {
        ended.unwrap();
    }
    let newest =
        "select max(edited_at) from tocsin.events where stream = 'default/b' and kind not like 'subscription.%'";
    let newest = tocsin::log::event::token(sql.query_one(newest, &[]).await.unwrap().get(0));
    while phone.token != newest {
        phone.learn(&socket.list().await);
    }
    let mut present = Phone::default();
    present.search(&server.api).await;
    assert_eq!(phone.objects, present.objects);
    server.stop().await;
}
