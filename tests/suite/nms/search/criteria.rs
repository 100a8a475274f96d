//! Every criterion, operator, scope and refusal.

use serde_json::{Value, json};

use super::{SEARCH, ask, bodies, criteria, criterion, insert, list, served};
use crate::support::eventually;

#[tokio::test]
async fn every_criterion_finds_what_it_says_with_the_index_and_without() {
    let (_database, server, sql) = served().await;
    insert(&sql, "see you at six", json!({ "Subject": "Größe", "Conversation-ID": "C1" }), &["\\Seen"], "/").await;
    insert(&sql, "oversee it", json!({ "Colour": ["Red", "Blue"], "From": "tel:+3" }), &[], "/main").await;
    insert(&sql, "C++ (draft)", json!({ "Message-Context": "chat-message" }), &["urgent"], "/main/sent").await;
    insert(&sql, "gone", json!({}), &[], "/").await;
    let other = "insert into tocsin.messages (box_id, body) values ('other', 'see you')";
    let payload = r#"insert into tocsin.events (stream, kind, data) values
        ('b', 'object.created', '{"attributes": {"TextContent": "p"}, "payload": {"texts": ["a hidden treasure"]}}')"#;
    for statement in [other, payload, "delete from tocsin.messages where body = 'gone'"] {
        sql.batch_execute(statement).await.unwrap();
    }
    let (one, two, three, four) = ("see you at six", "oversee it", "C++ (draft)", "p");
    let now: String = sql
        .query_one("select to_json(created_at) #>> '{}' from tocsin.messages where body like 'over%'", &[])
        .await
        .unwrap()
        .get(0);
    let cases: Vec<(&str, Vec<Value>, Vec<&str>)> = vec![
        ("And", vec![criterion("Attribute", "from", "tel:+3")], vec![two]),
        ("And", vec![criterion("Attribute", "Colour", "Blue")], vec![two]),
        ("And", vec![criterion("Attribute", "Colour", "blue")], vec![]),
        ("And", vec![criterion("Attribute", "message-context", "CHAT-message")], vec![three]),
        ("And", vec![criterion("Conversation", "", "C1")], vec![one]),
        ("And", vec![criterion("Flag", "\\SEEN", "true")], vec![one]),
        ("And", vec![criterion("Flag", "\\Seen", "0")], vec![two, three, four]),
        ("And", vec![json!({ "type": "Flag", "name": "urgent" })], vec![three]),
        ("And", vec![criterion("AllTextAttributes", "", "SEE")], vec![one, two]),
        ("And", vec![criterion("AllTextAttributes", "", "ö")], vec![one]),
        ("And", vec![criterion("AllTextAttributes", "", "c1")], vec![]),
        ("And", vec![criterion("AllTextAttributes", "", "hidden")], vec![]),
        ("And", vec![criterion("WholeWord", "", "See")], vec![one]),
        ("And", vec![criterion("WholeWord", "", "grÖße")], vec![one]),
        ("And", vec![criterion("WholeWord", "", "c++")], vec![three]),
        ("And", vec![criterion("WholeWord", "", "six")], vec![one]),
        ("And", vec![criterion("WholeWord", "", "treasure")], vec![four]),
        ("And", vec![criterion("Date", "", &format!("minDate={now}"))], vec![two, three, four]),
        ("And", vec![criterion("Date", "", &format!("maxDate={now}"))], vec![one]),
        (
            "And",
            vec![criterion("Date", "", "maxDate=2100-01-01T00:00Z&minDate=2000-01-01T00:00Z")],
            vec![one, two, three, four],
        ),
        ("And", vec![criterion("PresetSearch", "UPOneDotO", "")], vec![one, two, three, four]),
        ("And", vec![criterion("PresetSearch", "path", "/main")], vec![two, three]),
        ("And", vec![criterion("PresetSearch", "path", "/main/sent/")], vec![three]),
        ("And", vec![criterion("PresetSearch", "path", "/mai")], vec![]),
        ("And", vec![criterion("AllTextAttributes", "", "see"), criterion("Flag", "\\Seen", "false")], vec![two]),
        ("Or", vec![criterion("WholeWord", "", "six"), criterion("WholeWord", "", "draft")], vec![one, three]),
        ("Or", vec![criterion("WholeWord", "", "six"), criterion("Flag", "urgent", "1")], vec![one, three]),
        ("Not", vec![criterion("PresetSearch", "path", "/main")], vec![one, four]),
        (
            "Not",
            vec![criterion("Flag", "\\Seen", "1"), criterion("AllTextAttributes", "", "see")],
            vec![two, three, four],
        ),
    ];
    for round in ["without", "with"] {
        for (operator, wanted, expected) in &cases {
            assert_eq!(
                bodies(&list(&server.api, criteria(operator, wanted)).await),
                *expected,
                "{round}: {operator} {wanted:?}"
            );
        }
        let everything = list(&server.api, json!({})).await;
        assert_eq!(bodies(&everything), [one, two, three, four]);
        assert_eq!(everything.get("cursor"), None, "that was all");
        sql.batch_execute(
            "select tocsin.index_terms((select last_value from tocsin.object_ids), 3);
                           select tocsin.index_terms((select last_value from tocsin.object_ids), 3)",
        )
        .await
        .unwrap();
    }
    let found = list(&server.api, criteria("And", &[criterion("WholeWord", "", "six")])).await["object"][0].clone();
    let read = server.api.get(found["resourceURL"].as_str().unwrap()).await.json()["object"].clone();
    assert_eq!(found, read, "full objects");
    server.stop().await;
}

#[tokio::test]
async fn a_scope_is_a_folder_with_or_without_those_below() {
    let (_database, server, sql) = served().await;
    for (body, folder) in [("r", "/"), ("m", "/main"), ("s", "/main/sent"), ("o", "/other")] {
        insert(&sql, body, json!({}), &[], folder).await;
    }
    let id: i64 = sql.query_one("select tocsin.folder_at('default/b', '/main', false)", &[]).await.unwrap().get(0);
    let folders = format!("{}/nms/v1/default/b/folders", server.api.url);
    let (main, root) = (format!("{folders}/{id}"), format!("{folders}/root"));
    for (scope, alone, expected) in [
        (json!({ "resourceURL": main }), json!(false), vec!["m", "s"]),
        (json!({ "resourceURL": main }), json!("true"), vec!["m"]),
        (json!({ "resourceURL": main, "path": "/other" }), Value::Null, vec!["m", "s"]),
        (json!({ "path": "/main/sent" }), Value::Null, vec!["s"]),
        (json!({ "resourceURL": root }), Value::Null, vec!["r", "m", "s", "o"]),
        (json!({ "resourceURL": root }), json!(true), vec!["r"]),
        (Value::Null, json!(true), vec!["r"]),
    ] {
        let selection = json!({ "maxEntries": 9, "searchScope": scope, "nonRecursiveScope": alone });
        assert_eq!(bodies(&list(&server.api, selection).await), expected, "{scope} {alone}");
    }
    for (scope, fault) in [
        (json!({ "resourceURL": format!("{folders}/{}", id + 1000) }), (404, "SVC0004")),
        (json!({ "resourceURL": main.replace("/b/", "/c/") }), (404, "SVC0004")),
        (json!({ "resourceURL": "nonsense" }), (404, "SVC0004")),
        (json!({ "path": "/nowhere" }), (404, "SVC2008")),
        (json!({}), (400, "SVC0002")),
    ] {
        let answer = ask(&server.api, json!({ "searchScope": scope })).await;
        assert_eq!((answer.status.as_u16(), answer.fault().0.as_str()), fault, "{scope}");
    }
    server.stop().await;
}

#[tokio::test]
async fn what_cannot_be_searched_for_is_refused() {
    let (_database, server, _sql) = served().await;
    let with = |one: Value| criteria("And", &[one]);
    let vanished = criterion("VanishedObjects", "", "");
    let created = criterion("CreatedObjects", "", "");
    for (selection, status, code, variable) in [
        (json!({ "maxEntries": 0 }), 400, "SVC0002", "maxEntries"),
        (json!({ "maxEntries": "x" }), 400, "SVC0002", "maxEntries"),
        (json!({ "fromCursor": "c-77" }), 400, "SVC0002", "fromCursor"),
        (with(criterion("PurgedObject", "", "")), 400, "SVC0003", "type"),
        (with(json!({ "value": "x" })), 400, "SVC0003", "type"),
        (with(criterion("Attribute", "", "x")), 400, "SVC0003", "name"),
        (with(criterion("Flag", "x", "maybe")), 400, "SVC0003", "value"),
        (with(criterion("Date", "", "yesterday")), 400, "SVC0003", "value"),
        (with(criterion("WholeWord", "", "")), 400, "SVC0003", "value"),
        (with(criterion("CreatedObjects", "", "cc-9")), 400, "SVC0002", "value"),
        (with(criterion("PresetSearch", "Other", "")), 405, "POL2006", "Other"),
        (criteria("Xor", std::slice::from_ref(&created)), 400, "SVC0003", "operator"),
        (criteria("Not", std::slice::from_ref(&created)), 400, "SVC0003", "operator"),
        (criteria("Or", &[created.clone(), criterion("Flag", "x", "1")]), 400, "SVC0003", "operator"),
        (criteria("And", &[created.clone(), created]), 400, "SVC0003", "criterion"),
        (criteria("Not", std::slice::from_ref(&vanished)), 400, "SVC0003", "operator"),
        (criteria("And", &[vanished, criterion("Flag", "x", "1")]), 400, "SVC0003", "criterion"),
        (criteria("And", &[]), 400, "SVC0003", "searchCriteria"),
        (json!({ "sortCriteria": { "criterion": [{ "type": "Size" }] } }), 400, "SVC0003", "type"),
        (json!({ "sortCriterion": { "type": "Attribute" } }), 400, "SVC0003", "name"),
        (json!({ "sortCriterion": { "type": "Date", "order": "Up" } }), 400, "SVC0003", "order"),
        (json!({ "nonRecursiveScope": "perhaps" }), 400, "SVC0003", "nonRecursiveScope"),
    ] {
        let answer = ask(&server.api, selection.clone()).await;
        let (found, variables) = answer.fault();
        assert_eq!(
            (answer.status.as_u16(), found.as_str(), variables[0].as_str()),
            (status, code, variable),
            "{selection}"
        );
        assert_eq!(answer.header("allow"), if status == 405 { "POST" } else { "" });
    }
    server.stop().await;
}

#[tokio::test]
async fn xml_is_read_and_written() {
    let (_database, server, sql) = served().await;
    insert(&sql, "a <b>", json!({}), &["\\Seen"], "/").await;
    insert(&sql, "c", json!({}), &[], "/").await;
    let body = r#"<?xml version="1.0"?><nms:selectionCriteria xmlns:nms="urn:oma:xml:rest:netapi:nms:1"><maxEntries>1</maxEntries>
        <searchCriteria><criterion><type>Flag</type><name>\Seen</name><value>true</value></criterion></searchCriteria>
        <sortCriterion><type>Date</type><order>Ascending</order></sortCriterion></nms:selectionCriteria>"#;
    let answer = server
        .api
        .send(reqwest::Method::POST, SEARCH, &[("content-type", "application/xml")], Some(body.to_owned()))
        .await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "application/xml"), "{}", answer.text);
    let begin = r#"<nms:objectList xmlns:nms="urn:oma:xml:rest:netapi:nms:1"><object><parentFolder>"#;
    assert!(answer.text.contains(begin) && answer.text.contains("<value>a &lt;b&gt;</value>"), "{}", answer.text);
    assert!(!answer.text.contains("cursor") && answer.text.matches("<object>").count() == 1, "{}", answer.text);
    server.stop().await;
}

#[tokio::test]
async fn the_index_follows_by_itself() {
    let (_database, server, sql) = served().await;
    let last = insert(&sql, "see you", json!({}), &[], "/").await;
    eventually("the object has terms", async || {
        let row = sql.query_one("select watermark >= $1 from tocsin.terms_progress", &[&last]).await.unwrap();
        row.get::<_, bool>(0).then_some(())
    })
    .await;
    let terms: i64 = sql.query_one("select count(*) from tocsin.object_terms", &[]).await.unwrap().get(0);
    assert_eq!(terms, 1);
    let found = list(&server.api, criteria("And", &[criterion("WholeWord", "", "you")])).await;
    assert_eq!(bodies(&found), ["see you"]);
    sql.batch_execute("update tocsin.messages set body = 'farewell'").await.unwrap();
    for (word, expected) in [("you", vec![]), ("farewell", vec!["farewell"])] {
        let found = list(&server.api, criteria("And", &[criterion("WholeWord", "", word)])).await;
        assert_eq!(bodies(&found), expected as Vec<&str>, "a change is in the index at once");
    }
    sql.batch_execute("delete from tocsin.messages").await.unwrap();
    let terms: i64 = sql.query_one("select count(*) from tocsin.object_terms", &[]).await.unwrap().get(0);
    assert_eq!(terms, 0);
    server.stop().await;
}
