//! Flags: rows 3, 4, 20 and 21 of the resource table.

use reqwest::Method;
use serde_json::{Value, json};
use tocsin::config::Limits;
use tokio_postgres::Client;

use super::{text, write};
use crate::support::client::{Answer, Api, Socket};
use crate::support::postgres::Database;
use crate::support::server::Server;

const BOX: &str = "/nms/v1/default/tel:%2B1";

/// A database, a server, a connection, and the URLs of `count` objects in the box `tel:+1`.
async fn with_objects(count: i64) -> (Database, Server, Client, Vec<String>) {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let sql = database.connect().await;
    write(&sql, "tel:+1", count).await;
    let ids = sql.query("select id from tocsin.messages order by id", &[]).await.unwrap();
    let url = |id: i64| format!("{}/nms/v1/default/tel%3A%2B1/objects/{id}", server.api.url);
    let urls = ids.iter().map(|row| url(row.get(0))).collect();
    (database, server, sql, urls)
}

async fn put_empty(api: &Api, path: &str) -> Answer {
    api.send(Method::PUT, path, &[], None).await
}

async fn events(sql: &Client) -> i64 {
    sql.query_one("select count(*) from tocsin.events", &[]).await.unwrap().get(0)
}

fn status(answer: &Answer) -> u16 {
    answer.status.as_u16()
}

#[tokio::test]
async fn a_flag_is_set_once_whatever_its_case_and_keeps_its_first_spelling() {
    let (_database, server, sql, objects) = with_objects(1).await;
    let api = &server.api;
    let seen = format!("{}/flags/%5CSeen", objects[0]);
    let absent = api.get(&seen).await;
    assert_eq!((status(&absent), absent.json()), (404, json!({ "empty": null })), "not set");
    let newly = put_empty(api, &seen).await;
    assert_eq!((status(&newly), newly.header("location")), (201, seen.as_str()));
    assert_eq!(newly.json(), json!({ "empty": null }));
    for path in [seen.clone(), seen.replace("Seen", "SEEN")] {
        assert_eq!(status(&put_empty(api, &path).await), 204, "already");
        assert_eq!(status(&api.put(&path, json!({ "empty": null })).await), 204);
        assert_eq!(status(&api.get(&path).await), 204);
    }
    let list = api.get(&format!("{}/flags", objects[0])).await.json();
    assert_eq!(list["flagList"], json!({ "flag": ["\\Seen"], "resourceURL": format!("{}/flags", objects[0]) }));
    assert_eq!(events(&sql).await, 2, "no event for what changes nothing");
    assert_eq!(status(&api.delete(&seen.replace("Seen", "seen")).await), 204);
    let again = api.delete(&seen).await;
    assert_eq!((status(&again), again.json()), (404, json!({ "empty": null })));
    assert_eq!(events(&sql).await, 3);
    server.stop().await;
}

#[tokio::test]
async fn a_list_of_flags_replaces_the_set_and_an_equal_set_changes_nothing() {
    let (_database, server, sql, objects) = with_objects(1).await;
    let (api, flags) = (&server.api, format!("{}/flags", objects[0]));
    for (put, stored) in [
        (json!({ "flagList": { "flag": ["\\Seen", "a", "A"], "resourceURL": flags } }), json!(["\\Seen", "a"])),
        (json!({ "flag": ["A", "\\SEEN"] }), json!(["\\Seen", "a"])), // no root, as phones write it; the same set
        (json!({ "flagList": { "flag": "$Forwarded" } }), json!(["$Forwarded"])),
        (json!({ "flagList": { "flag": ["\\Recent"] } }), json!(["\\Recent"])), // one like any other
        (json!({ "flagList": { "flag": [] } }), json!([])),
        (json!({ "flagList": null }), json!([])),
    ] {
        let answer = api.put(&flags, put.clone()).await;
        assert_eq!((status(&answer), &answer.json()["flagList"]["flag"]), (200, &stored), "{put}");
    }
    assert_eq!(events(&sql).await, 5, "the message, and four changes");
    let xml = [("content-type", "application/xml"), ("accept", "application/xml")];
    let body = r#"<nms:flagList xmlns:nms="urn:oma:xml:rest:netapi:nms:1"><flag>\Seen</flag></nms:flagList>"#;
    let answer = api.send(Method::PUT, &flags, &xml, Some(body.to_owned())).await;
    let expected = format!(
        r#"<nms:flagList xmlns:nms="urn:oma:xml:rest:netapi:nms:1"><flag>\Seen</flag><resourceURL>{flags}</resourceURL></nms:flagList>"#
    );
    assert!(answer.text.ends_with(&expected), "{}", answer.text);
    server.stop().await;
}

#[tokio::test]
async fn flags_that_cannot_be_are_refused() {
    let (_database, server, sql, objects) = with_objects(1).await;
    let (api, flags) = (&server.api, format!("{}/flags", objects[0]));
    let long = "x".repeat(256);
    let many: Vec<String> = (0..101).map(|n| n.to_string()).collect();
    for (body, expected) in [
        (json!({ "flagList": { "flag": [""] } }), (400, "SVC0002", "flag")),
        (json!({ "flagList": { "flag": ["a\u{7}"] } }), (400, "SVC0002", "flag")),
        (json!({ "flagList": { "flag": [long] } }), (400, "SVC0002", "flag")),
        (json!({ "flagList": { "flag": [{}] } }), (400, "SVC0002", "flag")),
        (json!({ "flagList": { "flag": many } }), (403, "POL0001", "at most 100 flags at once")),
        (json!({ "flagList": 5 }), (400, "SVC0002", "flagList")),
    ] {
        let answer = api.put(&flags, body.clone()).await;
        let (id, variables) = answer.fault();
        assert_eq!((status(&answer), id.as_str(), variables[0].as_str()), expected, "{body}");
    }
    assert_eq!(put_empty(api, &format!("{flags}/{long}")).await.fault().1, ["flag"]);
    for method in [Method::GET, Method::PUT, Method::DELETE] {
        let body = (method == Method::PUT).then(|| r#"{"flagList":{"flag":[]}}"#.to_owned());
        let json = [("content-type", "application/json")];
        let missing = api.send(method.clone(), &format!("{BOX}/objects/99/flags/x"), &json, body.clone()).await;
        assert_eq!(
            (status(&missing), missing.fault().0.as_str()),
            (404, "SVC0004"),
            "{method}: the object, not the flag"
        );
        let link = &missing.json()["requestError"]["link"][0];
        assert_eq!((text(link, "rel"), text(link, "href").ends_with("/objects/99/flags/x")), ("object", true));
    }
    assert_eq!(events(&sql).await, 1);
    server.stop().await;
}

fn references(urls: &[&str]) -> Value {
    json!({ "objectReference": urls.iter().map(|url| json!({ "resourceURL": url })).collect::<Vec<_>>() })
}

/// Code, and for failures messageId and first variable, of each response.
fn outcomes(answer: &Answer) -> Vec<(u64, String)> {
    let body = answer.json();
    let responses = body["bulkResponseList"]["response"].as_array().unwrap_or_else(|| panic!("{}", answer.text));
    let outcome = |response: &Value| match response.get("success") {
        Some(success) => text(success, "resourceURL").to_owned(),
        None => format!("SVC0004 {}", text(&response["failure"]["serviceException"]["variables"], "0").to_owned()),
    };
    let indexed = |response: &Value| {
        let mut response = response.clone();
        if let Some(variables) = response["failure"]["serviceException"].get_mut("variables") {
            assert_eq!(variables.as_array().unwrap().len(), 1);
            *variables = json!({ "0": variables[0] });
        }
        response
    };
    responses.iter().map(|response| (response["code"].as_u64().unwrap(), outcome(&indexed(response)))).collect()
}

#[tokio::test]
async fn many_objects_are_flagged_in_the_order_asked_for() {
    let (_database, server, sql, objects) = with_objects(3).await;
    let api = &server.api;
    let (missing, elsewhere) = (objects[0].replace("/objects/", "/objects/99"), objects[1].replace("%2B1", "%2B2"));
    let asked = [&objects[2], &missing, &objects[0], &elsewhere, &objects[2], "nonsense"];
    let path = format!("{BOX}/objects/operations/bulkUpdate");
    let update = |operation: &str, flags: &[&str]| json!({ "bulkUpdate": { "objects": references(&asked), "operation": operation, "flags": { "flag": flags } } });
    let answer = api.post(&path, update("AddFlag", &["\\Seen", "x"])).await;
    assert_eq!(status(&answer), 200);
    let expected = asked.map(|url| match objects.iter().any(|object| object == url) {
        true => (200, url.to_owned()),
        false => (404, format!("SVC0004 {url}")),
    });
    assert_eq!(outcomes(&answer), expected);
    assert_eq!(events(&sql).await, 5, "the second of the same is no change");
    let answer = api.post(&path, update("RemoveFlag", &["\\SEEN"])).await;
    assert_eq!(outcomes(&answer), expected);
    let flags = sql.query("select flags from tocsin.messages order by id", &[]).await.unwrap();
    let flags: Vec<Vec<String>> = flags.iter().map(|row| row.get(0)).collect();
    assert_eq!(flags, [vec!["x".to_owned()], vec![], vec!["x".to_owned()]]);
    server.stop().await;
}

#[tokio::test]
async fn many_objects_are_deleted_by_post_and_by_delete_with_a_body() {
    let (_database, server, sql, objects) = with_objects(4).await;
    let path = format!("{BOX}/objects/operations/bulkDelete");
    for (method, asked) in [(Method::DELETE, [1, 0]), (Method::POST, [0, 3])] {
        let urls = asked.map(|n| objects[n].as_str());
        let body = json!({ "bulkDelete": { "objects": references(&urls) } }).to_string();
        let json = [("content-type", "application/json")];
        let answer = server.api.send(method.clone(), &path, &json, Some(body)).await;
        let first = if method == Method::POST { (404, format!("SVC0004 {}", urls[0])) } else { (200, urls[0].into()) };
        assert_eq!(outcomes(&answer), [first, (200, urls[1].to_owned())]);
    }
    assert_eq!(events(&sql).await, 7);
    assert_eq!(server.api.get(&objects[0]).await.status, 404);
    assert_eq!(server.api.get(&objects[2]).await.status, 200);
    server.stop().await;
}

#[tokio::test]
async fn bulk_requests_that_say_too_little_or_too_much_are_refused() {
    let (_database, server, sql, objects) = with_objects(1).await;
    let one = references(&[&objects[0]]);
    let many = references(&vec![objects[0].as_str(); 1001]);
    for (operation, body, expected) in [
        ("bulkUpdate", json!({ "operation": "AddFlag", "flags": { "flag": ["x"] } }), (400, "SVC0002", "objects")),
        ("bulkUpdate", json!({ "objects": one, "flags": { "flag": ["x"] } }), (400, "SVC0003", "operation")),
        ("bulkUpdate", json!({ "objects": one, "operation": "Toggle" }), (400, "SVC0003", "operation")),
        ("bulkUpdate", json!({ "objects": one, "operation": "AddFlag" }), (400, "SVC0002", "flags")),
        ("bulkDelete", json!({}), (400, "SVC0002", "objects")),
        ("bulkDelete", json!({ "objects": { "objectReference": [] } }), (400, "SVC0002", "objects")),
        ("bulkDelete", json!({ "objects": { "objectReference": [{}] } }), (400, "SVC0002", "resourceURL")),
        ("bulkDelete", json!({ "objects": many }), (403, "POL0001", "at most 1000 objects at once")),
    ] {
        let path = format!("{BOX}/objects/operations/{operation}");
        let answer = server.api.post(&path, json!({ operation: body.clone() })).await;
        let (id, variables) = answer.fault();
        assert_eq!((status(&answer), id.as_str(), variables[0].as_str()), expected, "{operation} {body}");
    }
    assert_eq!(events(&sql).await, 1);
    server.stop().await;
}

#[tokio::test]
async fn what_one_device_has_read_the_others_see() {
    let (_database, server, _sql, objects) = with_objects(1).await;
    let (phone, tablet) = (server.api.channel("alice").await, server.api.channel("alice").await);
    let mut sockets = Vec::new();
    for channel in [&phone, &tablet] {
        server.api.subscribe("tel%3A%2B1", channel).await;
        sockets.push(Socket::open(channel).await);
    }
    put_empty(&server.api, &format!("{}/flags/%5CSeen", objects[0])).await;
    for socket in &mut sockets {
        let changed = &socket.list().await.events[0]["changedObject"];
        assert_eq!(
            (text(changed, "resourceURL"), &changed["flags"]["flag"]),
            (objects[0].as_str(), &json!(["\\Seen"]))
        );
    }
    server.stop().await;
}

#[tokio::test]
async fn what_a_search_selects_is_flagged_and_deleted_in_its_order() {
    let limits = Limits { references_max: 3, ..Limits::default() };
    let database = Database::new().await;
    let server = Server::start_with(&database, limits).await;
    let sql = database.connect().await;
    write(&sql, "tel:+1", 4).await;
    sql.batch_execute(r"update tocsin.messages set flags = '{\\Seen}' where body in ('2', '3')").await.unwrap();
    let (api, seen) = (&server.api, |set: &str| json!([{ "type": "Flag", "name": "\\seen", "value": set }]));
    let urls = async || {
        let rows = sql.query("select body, id from tocsin.messages order by id", &[]).await.unwrap();
        let url = |id: i64| format!("{}/nms/v1/default/tel%3A%2B1/objects/{id}", server.api.url);
        rows.iter().map(|row| (row.get::<_, String>(0), url(row.get(1)))).collect::<Vec<_>>()
    };
    let all = urls().await;
    let of = |bodies: &[usize]| bodies.iter().map(|n| (200, all[n - 1].1.clone())).collect::<Vec<_>>();
    let selection = |criteria: Value| json!({ "searchCriteria": { "criterion": criteria } });
    let update = |selection: Value| {
        let update = json!({ "selectionCriteria": selection, "operation": "AddFlag", "flags": { "flag": ["x"] } });
        json!({ "bulkUpdate": update })
    };
    let path = |operation: &str| format!("{BOX}/objects/operations/{operation}");

    let refused = api.post(&path("bulkUpdate"), update(json!({}))).await;
    assert_eq!((status(&refused), refused.fault().1), (403, vec!["at most 3 objects at once".to_owned()]));
    let newest = json!({ "maxEntries": 3, "sortCriteria": { "criterion": [{ "type": "Date" }] } });
    let answer = api.post(&path("bulkUpdate"), update(newest)).await;
    assert_eq!(outcomes(&answer), of(&[4, 3, 2]));
    let answer = api.post(&path("bulkUpdate"), update(selection(seen("false")))).await;
    assert_eq!(outcomes(&answer), of(&[1, 4]));
    let flagged = "select array_agg(body order by id) from tocsin.messages where 'x' = any (flags)";
    assert_eq!(sql.query_one(flagged, &[]).await.unwrap().get::<_, Vec<String>>(0), ["1", "2", "3", "4"]);
    assert_eq!(events(&sql).await, 10, "what has the flag already makes no event");

    let delete = json!({ "bulkDelete": { "selectionCriteria": selection(seen("true")) } });
    let answer = api.post(&path("bulkDelete"), delete.clone()).await;
    assert_eq!(outcomes(&answer), of(&[2, 3]));
    assert_eq!(urls().await.iter().map(|(body, _)| body.as_str()).collect::<Vec<_>>(), ["1", "4"]);
    let answer = api.post(&path("bulkDelete"), delete).await;
    assert_eq!((status(&answer), answer.json()), (200, json!({ "bulkResponseList": { "response": [] } })));

    let both = json!({ "bulkDelete": { "selectionCriteria": {}, "objects": references(&[&all[0].1]) } });
    let vanished = json!({ "bulkDelete": { "selectionCriteria": selection(json!([{ "type": "VanishedObjects" }])) } });
    for (body, expected) in [(both, ("SVC0002", "objects")), (vanished, ("SVC0003", "type"))] {
        let (id, variables) = api.post(&path("bulkDelete"), body).await.fault();
        assert_eq!((id.as_str(), variables[0].as_str()), expected);
    }
    server.stop().await;
}
