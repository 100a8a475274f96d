//! restartTokens: exactly what came after them, whatever happened in between.

use std::collections::HashMap;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use super::{head, text, write};
use crate::support::client::{EventList, Socket};
use crate::support::postgres::Database;
use crate::support::raw::Raw;
use crate::support::server::Server;

fn seqs(lists: &[EventList]) -> Vec<i64> {
    lists.iter().map(EventList::seq).collect()
}

fn indexes(lists: &[EventList]) -> Vec<i64> {
    lists.iter().map(|list| list.index).collect()
}

#[tokio::test]
async fn a_list_s_token_leads_to_exactly_what_comes_after_it() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let channel = server.api.channel("alice").await;
    server.api.subscribe("b", &channel).await;
    let sql = database.connect().await;
    for _ in 0..3 {
        write(&sql, "b", 40).await;
        write(&sql, "elsewhere", 3).await;
    }
    let mut socket = Socket::open(&channel).await;
    let all = socket.lists(120).await;
    socket.close().await;
    for k in [1, 2, 39, 40, 41, 60, 119] {
        let channel = server.api.channel("bob").await;
        let token = &all[k - 1].token;
        let subscription = server.api.subscribe_with("b", &channel, json!({ "restartToken": token })).await;
        assert_eq!((subscription["index"].as_i64(), text(&subscription, "restartToken")), (Some(1), token.as_str()));
        let mut socket = Socket::open(&channel).await;
        let lists = socket.lists(120 - k).await;
        assert_eq!(seqs(&lists), seqs(&all[k..]), "after list {k}");
        assert_eq!(indexes(&lists), (1..=120 - k as i64).collect::<Vec<_>>());
        assert_eq!(lists[0].events, all[k].events);
        socket.nothing_more(&server.api, &subscription, &head(&sql, "b").await).await;
        socket.close().await;
    }
    server.stop().await;
}

#[tokio::test]
async fn the_head_s_token_leads_to_nothing_and_an_early_one_to_everything() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let sql = database.connect().await;
    write(&sql, "b", 5).await;
    let channel = server.api.channel("alice").await;
    let mut socket = Socket::open(&channel).await;
    let present = server.api.subscribe_with("b", &channel, json!({ "restartToken": head(&sql, "b").await })).await;
    let now = socket.nothing_more(&server.api, &present, &head(&sql, "b").await).await;
    assert_eq!(now["index"], 1);
    for early in ["1970-01-01T00:00:00Z", "2020-02-29T23:59:59.999999+14:00"] {
        let everything = server.api.subscribe_with("b", &channel, json!({ "restartToken": early })).await;
        assert_eq!(everything["index"], 1);
        let lists = socket.lists(5).await;
        assert_eq!((seqs(&lists), indexes(&lists)), (vec![1, 2, 3, 4, 5], vec![1, 2, 3, 4, 5]));
        assert!(lists.iter().all(|list| list.subscription == everything["resourceURL"]));
    }
    let none = server.api.subscribe_with("b", &channel, json!({ "restartToken": "" })).await;
    assert_eq!(none["restartToken"], head(&sql, "b").await, "the empty token is none");
    socket.nothing_more(&server.api, &none, text(&none, "restartToken")).await;
    server.stop().await;
}

#[tokio::test]
async fn tokens_that_cannot_be_are_svc0002() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let channel = server.api.channel("alice").await;
    write(&database.connect().await, "b", 1).await;
    let subscription = server.api.subscribe("b", &channel).await;
    let url = text(&subscription, "resourceURL");
    for bad in [
        json!("garbage"),
        json!("2099-01-01T00:00:00Z"),
        json!("2026-01-31"),
        json!("99999-01-01T00:00:00Z"),
        json!("0000-01-01T00:00:00Z"),
        json!("2026-02-30T00:00:00Z"),
        json!(5041),
        json!(["2026-01-31T00:00:00Z"]),
        json!({}),
        json!("2026-01-31T00:00:00Z\u{0}"),
    ] {
        let create = json!({ "callbackReference": { "notifyURL": channel["callbackURL"] }, "restartToken": bad });
        for answer in [
            server.api.post("/nms/v1/default/b/subscriptions", create).await,
            server.api.post(url, json!({ "restartToken": bad })).await,
        ] {
            let fault = ("SVC0002".to_owned(), vec!["restartToken".to_owned()]);
            assert_eq!((answer.status.as_u16(), answer.fault()), (400, fault), "{bad}");
        }
    }
    let now = server.api.get(url).await.json()["nmsSubscription"].clone();
    assert_eq!((&now["index"], &now["restartToken"]), (&json!(1), &subscription["restartToken"]), "untouched");
    server.stop().await;
}

#[tokio::test]
async fn a_token_the_box_never_gave_begins_with_a_reset_box() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let sql = database.connect().await;
    write(&sql, "b", 3).await;
    let later = async || -> String {
        // Between the head and now: as after a restore that lost the newest events.
        let now = sql.query_one("select clock_timestamp()", &[]).await.unwrap();
        tocsin::log::event::token(now.get(0))
    };
    let channel = server.api.channel("alice").await;
    let with_filter = json!({ "criterion": { "type": "Flag", "name": "x", "value": "true" } });
    for filter in [Value::Null, with_filter] {
        let fields = json!({ "restartToken": later().await, "filter": filter });
        let subscription = server.api.subscribe_with("b", &channel, fields).await;
        let mut socket = Socket::open(&channel).await;
        let reset = socket.list().await;
        assert_eq!((reset.index, json!(reset.events)), (1, json!([{ "resetBox": null }])));
        sql.batch_execute("insert into tocsin.messages (box_id, flags) values ('b', '{x}')").await.unwrap();
        let next = socket.list().await;
        assert_eq!((next.index, next.kind()), (2, "changedObject"));
        let again = server.api.post(text(&subscription, "resourceURL"), json!({ "restartToken": later().await })).await;
        assert_eq!(again.json()["nmsSubscription"]["index"], 3);
        let reset = socket.list().await;
        assert_eq!((reset.index, reset.kind()), (3, "resetBox"));
        socket.nothing_more(&server.api, &subscription, &head(&sql, "b").await).await;
        server.api.delete(text(&subscription, "resourceURL")).await;
        socket.close().await;
    }
    server.stop().await;
}

/// A subscription that has received (and confirmed, or not) some lists, updated with the token of list `k`.
#[tokio::test]
async fn an_update_with_a_token_replays_on_the_same_index_sequence() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let sql = database.connect().await;
    let odd = json!({ "criterion": [{ "type": "Attribute", "name": "odd", "value": "yes" }] });
    for (n, (filter, connected, confirmed)) in [
        (Value::Null, true, true),
        (Value::Null, false, true),
        (Value::Null, true, false),
        (Value::Null, false, false),
        (odd.clone(), true, true),
        (odd.clone(), false, true),
        (odd.clone(), true, false),
        (odd, false, false),
    ]
    .into_iter()
    .enumerate()
    {
        let case = format!("filter {filter}, connected {connected}, confirmed {confirmed}");
        let box_id = format!("b{n}");
        let channel = server.api.channel("alice").await;
        let subscription = server.api.subscribe_with(&box_id, &channel, json!({ "filter": filter })).await;
        let url = text(&subscription, "resourceURL");
        let insert = format!(
            "insert into tocsin.messages (box_id, attributes)
             select '{box_id}', jsonb_build_object('odd', case when i % 2 = 1 then 'yes' else 'no' end) from generate_series(1, 20) as i"
        );
        sql.batch_execute(&insert).await.unwrap();
        let count = if filter.is_null() { 20 } else { 10 };
        let mut raw = Raw::open(&channel).await; // never answers a Ping
        let received = raw.lists(count).await;
        let mut socket = None;
        if confirmed {
            drop(raw);
            let mut reading = Socket::open(&channel).await;
            assert_eq!(reading.lists(count).await, received, "{case}");
            reading.nothing_more(&server.api, &subscription, &head(&sql, &box_id).await).await;
            socket = Some(reading);
        } else {
            drop(raw);
            if connected {
                // The Ping after the lists waits to be read, and with it the Pong that would confirm them.
                let mut reading = Socket::open(&channel).await;
                assert_eq!(reading.lists(count).await, received, "{case}");
                socket = Some(reading);
            }
        }
        if !connected && let Some(socket) = socket.take() {
            socket.close().await;
        }
        let token = &received[count - 4].token;
        let answer = server.api.post(url, json!({ "nmsSubscriptionUpdate": { "restartToken": token } })).await;
        assert_eq!(answer.status.as_u16(), 200, "{}", answer.text);
        let updated = answer.json()["nmsSubscription"].clone();
        let next = count as i64 + 1;
        assert_eq!((updated["index"].as_i64(), text(&updated, "restartToken")), (Some(next), token.as_str()), "{case}");
        let mut socket = match socket {
            Some(socket) => socket,
            None => Socket::open(&channel).await,
        };
        let replayed = socket.lists(3).await;
        assert_eq!(indexes(&replayed), [next, next + 1, next + 2], "{case}");
        assert_eq!(seqs(&replayed), seqs(&received[count - 3..]), "{case}");
        sql.batch_execute(&insert.replace("(1, 20)", "(1, 1)")).await.unwrap();
        assert_eq!(socket.list().await.index, next + 3, "{case}");
        socket.close().await;
    }
    server.stop().await;
}

#[tokio::test]
async fn an_update_without_a_token_replays_nothing() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let sql = database.connect().await;
    let channel = server.api.channel("alice").await;
    let subscription = server.api.subscribe("b", &channel).await;
    let mut socket = Socket::open(&channel).await;
    write(&sql, "b", 3).await;
    let last = socket.lists(3).await.pop().unwrap();
    socket.nothing_more(&server.api, &subscription, &last.token).await;
    for update in [json!({ "duration": 100 }), json!({}), json!({ "duration": 100, "restartToken": "" })] {
        let answer = server.api.post(text(&subscription, "resourceURL"), update).await;
        assert_eq!(answer.json()["nmsSubscription"]["index"], 4);
        socket.nothing_more(&server.api, &subscription, &head(&sql, "b").await).await;
    }
    // A renewal with the last token, as phones send it, is as good as none.
    let update = json!({ "duration": 100, "restartToken": head(&sql, "b").await });
    let answer = server.api.post(text(&subscription, "resourceURL"), update).await;
    assert_eq!(answer.json()["nmsSubscription"]["index"], 4);
    socket.nothing_more(&server.api, &subscription, &head(&sql, "b").await).await;
    write(&sql, "b", 1).await;
    assert_eq!(socket.list().await.index, 4);
    server.stop().await;
}

/// Whatever races with whatever: an index stands for one content for ever, and after an update's answer the list with
/// its index is the first one after its token.
#[tokio::test]
async fn updates_that_race_with_writes_and_replays_keep_every_index_unique() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let sql = database.connect().await;
    let channel = server.api.channel("alice").await;
    let subscription = server.api.subscribe("b", &channel).await;
    let url = text(&subscription, "resourceURL").to_owned();
    let mut socket = Socket::open(&channel).await;
    write(&sql, "b", 1500).await;
    let early = socket.lists(1).await[0].token.clone();
    let mut random = StdRng::seed_from_u64(7);
    let writing = async {
        for _ in 0..60 {
            write(&sql, "b", random.random_range(1..8)).await;
        }
    };
    let updating = async {
        let mut starts = Vec::new();
        for _ in 0..15 {
            let answer = server.api.post(&url, json!({ "restartToken": early })).await;
            starts.push(answer.json()["nmsSubscription"]["index"].as_i64().unwrap());
        }
        write(&database.connect().await, "b", 1).await; // the last word
        starts
    };
    let mut seen: HashMap<i64, EventList> = HashMap::new();
    let acting = async {
        let ((), starts) = tokio::join!(writing, updating);
        (starts, head(&sql, "b").await)
    };
    let reading = async {
        let mut acting = std::pin::pin!(acting);
        let (mut done, mut token) = (None, String::new());
        loop {
            if done.as_ref().is_some_and(|(_, head)| *head <= token) {
                return done.unwrap().0;
            }
            let list = tokio::select! {
                biased;
                list = socket.list() => list,
                outcome = &mut acting, if done.is_none() => {
                    done = Some(outcome);
                    continue;
                }
            };
            token.clone_from(&list.token);
            if let Some(before) = seen.insert(list.index, list.clone()) {
                assert_eq!(before, list, "one index, two contents");
            }
        }
    };
    let starts = reading.await;
    for start in starts {
        // (An update may be overtaken by the next before anything was sent.)
        if let Some(first) = seen.get(&start) {
            assert_eq!(first.seq(), 3, "the first after the token, index {start}");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn a_token_from_before_a_reset_begins_with_it() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let sql = database.connect().await;
    let reset = "insert into tocsin.events (stream, kind) values ('b', 'box.reset')";
    write(&sql, "b", 2).await; // 1, 2
    let first = tocsin::log::event::token(
        sql.query_one("select edited_at from tocsin.events where seq = 1", &[]).await.unwrap().get(0),
    );
    sql.batch_execute(reset).await.unwrap(); // 3
    write(&sql, "b", 1).await; // 4
    sql.batch_execute(reset).await.unwrap(); // 5
    let after = head(&sql, "b").await;
    write(&sql, "b", 2).await; // 6, 7
    let channel = server.api.channel("alice").await;
    let subscription = server.api.subscribe_with("b", &channel, json!({ "restartToken": first })).await;
    assert_eq!(text(&subscription, "restartToken"), first);
    let mut socket = Socket::open(&channel).await;
    let begun = socket.lists(3).await;
    assert_eq!((begun[0].kind(), begun[0].token.as_str(), begun[0].index), ("resetBox", after.as_str(), 1));
    assert_eq!(seqs(&begun[1..]), [6, 7]);
    let update = json!({ "nmsSubscriptionUpdate": { "restartToken": first } });
    assert_eq!(server.api.post(text(&subscription, "resourceURL"), update).await.status, 200);
    let again = socket.lists(3).await;
    assert_eq!((again[0].kind(), again[0].index), ("resetBox", 4));
    assert_eq!(seqs(&again[1..]), [6, 7]);
    let update = json!({ "nmsSubscriptionUpdate": { "restartToken": after } });
    assert_eq!(server.api.post(text(&subscription, "resourceURL"), update).await.status, 200);
    assert_eq!(seqs(&socket.lists(2).await), [6, 7], "after the reset, nothing of it");
    server.stop().await;
}
