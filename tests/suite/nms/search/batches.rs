//! Batches, orders and cursors, while the box changes.

use serde_json::{Value, json};

use super::{ask, attribute, bodies, criteria, criterion, insert, list, served};
use crate::support::client::Api;

/// Runs a search to its end, batch by batch; between two of them something happens.
async fn batches(api: &Api, selection: Value, mut between: impl AsyncFnMut(usize)) -> Vec<Vec<String>> {
    let (mut selection, mut batches, mut before) = (selection, Vec::new(), Value::Null);
    loop {
        let found = list(api, selection.clone()).await;
        batches.push(bodies(&found));
        let Some(cursor) = found.get("cursor") else { return batches };
        assert_ne!(*cursor, before);
        before = cursor.clone();
        selection["fromCursor"] = cursor.clone();
        between(batches.len()).await;
    }
}

fn date(order: &str) -> Value {
    json!({ "criterion": [{ "type": "Date", "order": order }] })
}

#[tokio::test]
async fn batches_go_on_exactly_in_every_order() {
    let (_database, server, sql) = served().await;
    for (body, colour) in
        [("a", json!("Red")), ("b", json!(["blue", "x"])), ("c", Value::Null), ("d", json!("Red")), ("e", json!("äh"))]
    {
        let attributes = if colour.is_null() { json!({}) } else { json!({ "Colour": colour }) };
        insert(&sql, body, attributes, &[], "/").await;
    }
    let by_colour = |order: &str, more: Value| json!({ "criterion": [{ "type": "Attribute", "name": "COLOUR", "order": order }, more] });
    for (sort, expected) in [
        (Value::Null, "abcde"),
        (date("Ascending"), "abcde"),
        (date("Descending"), "edcba"),
        (json!({ "criterion": { "type": "Date" } }), "edcba"),
        (by_colour("Ascending", json!({ "type": "Date", "order": "Ascending" })), "cadbe"),
        (by_colour("Ascending", json!({ "type": "Date" })), "cdabe"),
        (
            by_colour("Descending", json!({ "type": "Attribute", "name": "TextContent", "order": "Descending" })),
            "ebdac",
        ),
        (by_colour("Descending", json!({ "type": "Attribute", "name": "TextContent", "order": "Ascending" })), "ebadc"),
    ] {
        for size in 1..=6 {
            let selection = json!({ "maxEntries": size, "sortCriteria": sort });
            let found = batches(&server.api, selection, async |_| {}).await;
            assert_eq!(found.concat().concat(), expected, "{sort} by {size}");
            assert!(found.iter().rev().skip(1).all(|batch| batch.len() == size), "{found:?}");
        }
    }
    let older = json!({ "maxEntries": 2, "sortCriterion": { "type": "Date", "order": "Ascending" } });
    assert_eq!(bodies(&list(&server.api, older).await), ["a", "b"], "the older spelling");
    server.stop().await;
}

#[tokio::test]
async fn what_comes_and_goes_between_batches_neither_repeats_nor_hides_anything() {
    let (_database, server, sql) = served().await;
    for n in 0..10 {
        insert(&sql, &n.to_string(), json!({ "Subject": format!("s{n}") }), &[], "/").await;
    }
    for sort in [Value::Null, date("Descending"), json!({ "criterion": { "type": "Attribute", "name": "Subject" } })] {
        let found = batches(&server.api, json!({ "maxEntries": 3, "sortCriteria": sort }), async |n| {
            insert(&sql, "new", json!({ "Subject": "zz" }), &[], "/").await;
            insert(&sql, "new", json!({ "Subject": "a" }), &[], "/").await;
            // One that was seen, and one that was not but changes.
            sql.batch_execute(
                "delete from tocsin.messages where id in (select id from tocsin.messages where body = 'new' limit 1)",
            )
            .await
            .unwrap();
            sql.execute(&format!("update tocsin.messages set flags = array['f{n}'] where body <> 'new'"), &[])
                .await
                .unwrap();
        })
        .await
        .concat();
        let mut old: Vec<&String> = found.iter().filter(|body| *body != "new").collect();
        old.sort();
        assert_eq!(old, ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"], "{sort}: each once");
        sql.batch_execute("delete from tocsin.messages where body = 'new'").await.unwrap();
    }
    server.stop().await;
}

#[tokio::test]
async fn a_cursor_is_good_for_its_own_search_only() {
    let (_database, server, sql) = served().await;
    for n in 0..4 {
        insert(&sql, &n.to_string(), json!({}), &["x"], "/main").await;
    }
    let own = json!({ "maxEntries": 1, "searchCriteria": { "criterion": [criterion("Flag", "x", "true")] } });
    let cursor = list(&server.api, own.clone()).await["cursor"].clone();
    let with = |name: &str, value: Value| {
        let mut other = own.clone();
        other["fromCursor"] = cursor.clone();
        other[name] = value;
        other
    };
    assert_eq!(bodies(&list(&server.api, with("maxEntries", json!(3))).await), ["1", "2", "3"]);
    for other in [
        with("searchCriteria", criteria("And", &[criterion("Flag", "y", "false")])["searchCriteria"].clone()),
        with("sortCriteria", date("Ascending")),
        with("searchScope", json!({ "path": "/main" })),
        with("nonRecursiveScope", json!(true)),
        with("fromCursor", json!(format!("{}x", cursor.as_str().unwrap()))),
    ] {
        let answer = ask(&server.api, other.clone()).await;
        assert_eq!(
            (answer.status.as_u16(), answer.fault()),
            (400, ("SVC0002".into(), vec!["fromCursor".into()])),
            "{other}"
        );
    }
    let elsewhere = "/nms/v1/default/c/objects/operations/search";
    let answer = server.api.post(elsewhere, json!({ "selectionCriteria": with("maxEntries", json!(1)) })).await;
    assert_eq!(answer.status, 400);
    server.stop().await;
}

#[tokio::test]
async fn vanished_objects_are_told_as_they_went() {
    let (_database, server, sql) = served().await;
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.push(insert(&sql, &n.to_string(), json!({}), &[], "/").await);
    }
    for n in [3, 0] {
        sql.execute("delete from tocsin.messages where id = $1", &[&ids[n]]).await.unwrap();
    }
    sql.execute("insert into tocsin.events (stream, kind, object_id) values ('b', 'object.expired', $1)", &[&ids[1]])
        .await
        .unwrap();
    let mut selection = json!({ "maxEntries": 2, "searchCriteria": { "criterion": { "type": "VanishedObjects" } } });
    let (mut urls, mut answers) = (Vec::new(), 0);
    loop {
        let answer = ask(&server.api, selection.clone()).await;
        let list = answer.json()["objectReferenceList"].clone();
        urls.extend(list["objectReference"].as_array().unwrap().clone());
        answers += 1;
        let Some(cursor) = list.get("cursor") else { break };
        selection["fromCursor"] = cursor.clone();
    }
    let url = |n: usize| json!({ "resourceURL": format!("{}/nms/v1/default/b/objects/{}", server.api.url, ids[n]) });
    assert_eq!((urls, answers), (vec![url(3), url(0), url(1)], 2));
    server.stop().await;
}

#[tokio::test]
async fn created_objects_come_once_each_through_the_creation_cursor() {
    let (_database, server, sql) = served().await;
    let since = |cursor: &Value, max: u32| {
        let created = json!({ "type": "CreatedObjects", "value": cursor });
        json!({ "maxEntries": max, "searchCriteria": { "criterion": [created] } })
    };
    let nothing = list(&server.api, since(&json!(""), 9)).await;
    assert_eq!(bodies(&nothing), Vec::<String>::new());
    let start = nothing["creationCursor"].clone();
    for body in ["1", "2", "3"] {
        insert(&sql, body, json!({}), &[], "/f").await;
    }
    let some = list(&server.api, since(&start, 2)).await;
    assert_eq!(bodies(&some), ["1", "2"]);
    let rest = list(&server.api, since(&some["creationCursor"], 9)).await;
    assert_eq!(bodies(&rest), ["3"], "also without the cursor of the batch");
    let mut next = since(&start, 2);
    next["fromCursor"] = some["cursor"].clone();
    insert(&sql, "4", json!({}), &[], "/f").await;
    let rest = list(&server.api, next).await;
    assert_eq!(bodies(&rest)[0], "3");
    let last = list(&server.api, since(&rest["creationCursor"], 9)).await;
    assert!(bodies(&last).is_empty() || bodies(&last) == ["4"]);
    assert!([bodies(&rest), bodies(&last)].concat().contains(&"4".to_owned()), "nothing is lost");

    // The newest first: what comes between two batches is left for the next search.
    let mut newest = since(&start, 3);
    newest["sortCriteria"] = date("Descending");
    let one = list(&server.api, newest.clone()).await;
    assert_eq!(bodies(&one), ["4", "3", "2"]);
    insert(&sql, "5", json!({}), &[], "/f").await;
    newest["fromCursor"] = one["cursor"].clone();
    let two = list(&server.api, newest).await;
    assert_eq!(bodies(&two), ["1"]);
    assert_eq!(bodies(&list(&server.api, since(&two["creationCursor"], 9)).await), ["5"]);
    let among = json!({ "searchCriteria": { "operator": "And", "criterion": [
        { "type": "CreatedObjects", "value": start }, criterion("WholeWord", "", "3")] } });
    let found = list(&server.api, among).await;
    assert_eq!((bodies(&found), attribute(&found["object"][0], "Direction")), (vec!["3".to_owned()], "In"));
    server.stop().await;
}

/// Objects whose transactions commit in another order than they began are neither lost nor doubled.
#[tokio::test]
async fn a_creation_cursor_is_exact_while_writers_overlap() {
    let (database, server, _sql) = served().await;
    let writers = (0..4).map(|writer| {
        let database = database.url().to_owned();
        tokio::spawn(async move {
            let sql = crate::support::postgres::connect(&database).await;
            for n in 0..25 {
                let body = format!("{writer}-{n}");
                sql.batch_execute(&format!(
                    "begin; insert into tocsin.messages (box_id, body) values ('b', '{body}');
                     insert into tocsin.messages (box_id, body) values ('b{writer}', 'x'); select pg_sleep(0.002); commit"
                ))
                .await
                .unwrap();
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    let (mut cursor, mut seen) = (json!(""), Vec::new());
    loop {
        let over = writers.iter().all(|writer| writer.is_finished());
        let selection = json!({ "maxEntries": 7, "searchCriteria": { "criterion": [{ "type": "CreatedObjects", "value": cursor }] } });
        let found = list(&server.api, selection).await;
        cursor = found["creationCursor"].clone();
        let batch = bodies(&found);
        if over && batch.is_empty() {
            break;
        }
        seen.extend(batch);
    }
    assert_eq!(seen.len(), 100);
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 100);
    server.stop().await;
}
