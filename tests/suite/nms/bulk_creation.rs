//! Many objects, created by one request.

use super::*;
use crate::support::eventually;
use crate::support::postgres::Database;
use crate::support::server::Server;
use tocsin::config::Limits;

const BULK: &str = "/objects/operations/bulkCreation";

/// Creates these objects with these attachments (header lines and content).
async fn bulk(api: &Api, objects: Value, attachments: &[(&str, &[u8])]) -> Answer {
    let root = json!({ "objectList": { "object": objects } }).to_string();
    let mut entries = vec![("root-fields", JSON, root.as_bytes())];
    entries.extend(attachments.iter().map(|(headers, content)| ("attachments", *headers, *content)));
    post_form(api, BULK, form(&entries)).await
}

fn codes(answer: &Answer) -> Vec<i64> {
    let list = answer.json()["bulkResponseList"]["response"].as_array().unwrap().clone();
    list.iter().map(|response| response["code"].as_i64().unwrap()).collect()
}

const PNG: &str = "Content-Type: image/png";
const EMPTY: (&str, &[u8]) = ("Content-Length: 0", b"");

#[tokio::test]
async fn each_object_has_its_own_outcome_in_the_order_of_the_request() {
    let database = Database::new().await;
    let limits = Limits { payload_bytes_max: 1000, ..Limits::default() };
    let server = Server::start_with(&database, limits).await;
    let (api, big) = (&server.api, vec![1; 1001]);
    let objects = json!([
        { "correlationId": "first", "parentFolderPath": "/new" },
        { "parentFolderPath": "wrong" },
        { "correlationId": "third" },
        { "correlationId": "fourth" },
        { "parentFolder": "/nms/v1/default/tel:+1/folders/4711" },
        { "correlationId": "sixth", "parentFolderPath": "/new" },
        { "correlationId": "seventh" },
    ]);
    let attachments: [(&str, &[u8]); 7] = [
        (PNG, b"one"),
        (PNG, b"two"),
        EMPTY,
        (PNG, &big),
        (PNG, b"five"),
        ("", b"six"),
        ("Content-Transfer-Encoding: base64", b"*"),
    ];
    let answer = bulk(api, objects, &attachments).await;
    assert_eq!(
        (answer.status.as_u16(), codes(&answer)),
        (200, vec![201, 400, 201, 413, 400, 201, 400]),
        "{}",
        answer.text
    );
    let responses = answer.json()["bulkResponseList"]["response"].clone();
    assert_eq!(responses[0]["reason"], "Created");
    assert_eq!(responses[1]["failure"]["serviceException"]["variables"], json!(["parentFolderPath"]));
    assert_eq!(responses[4]["failure"]["serviceException"]["variables"], json!(["parentFolder"]));
    assert_eq!(responses[6]["failure"]["serviceException"]["variables"], json!(["attachments"]));
    for (at, correlation, payload, inlined) in
        [(0, "first", Some("one"), Value::Null), (2, "third", None, Value::Null), (5, "sixth", None, json!(["six"]))]
    {
        let reference = &responses[at]["success"];
        let object = object(api, text(reference, "resourceURL")).await;
        assert_eq!((&object["correlationId"], &object["path"]), (&json!(correlation), &reference["path"]));
        assert_eq!(attribute(&object, "TextContent"), inlined);
        match payload {
            Some(payload) => assert_eq!(api.get(text(&object, "payloadURL")).await.text, payload),
            None => assert_eq!(object["payloadURL"], Value::Null),
        }
    }
    assert!(text(&responses[0]["success"], "path").starts_with("/new/"));
    let sql = database.connect().await;
    eventually("only what an object has is left", async || (payloads(&sql).await == 1).then_some(())).await;
    server.stop().await;
}

#[tokio::test]
async fn when_nothing_is_created_the_whole_is_a_failure() {
    let database = Database::new().await;
    let server = Server::start_with(&database, Limits { payload_bytes_max: 10, ..Limits::default() }).await;
    let wrong = json!({ "parentFolderPath": "wrong" });
    let big: (&str, &[u8]) = (PNG, &[1; 11]);
    for (objects, attachments, status, each) in [
        (json!([wrong, wrong]), [EMPTY, EMPTY], 400, vec![400, 400]),
        (json!([{}, {}]), [big, big], 413, vec![413, 413]),
        (json!([{}, wrong]), [big, EMPTY], 400, vec![413, 400]),
    ] {
        let answer = bulk(&server.api, objects, &attachments).await;
        assert_eq!((answer.status.as_u16(), codes(&answer)), (status, each));
    }
    server.stop().await;
}

#[tokio::test]
async fn without_attachments_no_object_has_a_payload() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let answer = bulk(&server.api, json!([{}, {}]), &[]).await;
    assert_eq!((answer.status.as_u16(), codes(&answer)), (200, vec![201, 201]));
    let xml = "<objectList><object><parentFolderPath>/a</parentFolderPath><attributes/><flags/></object></objectList>";
    let headers = [("Content-Type", "application/xml")];
    let answer = server.api.send(Method::POST, &format!("{BOX}{BULK}"), &headers, Some(xml.to_owned())).await;
    assert!(answer.status == 200 && answer.text.contains("<code>201</code>"), "{}", answer.text);
    server.stop().await;
}

#[tokio::test]
async fn a_request_that_cannot_be_told_apart_creates_nothing() {
    let database = Database::new().await;
    let limits = Limits { bulk_objects_max: 3, bulk_bytes_max: 500_000, body_bytes_max: 1000, ..Limits::default() };
    let server = Server::start_with(&database, limits).await;
    let (api, big) = (&server.api, vec![1; 300_000]);
    let picture: (&str, &[u8]) = (PNG, &big);
    let one: (&str, &[u8]) = (PNG, b"x");
    for (what, objects, attachments, status, fault) in [
        ("too few attachments", json!([{}, {}, {}]), vec![one, one], 400, ("SVC0002", "attachments")),
        ("too many attachments", json!([{}]), vec![one, one], 400, ("SVC0002", "attachments")),
        ("no object", json!([]), vec![], 400, ("SVC0002", "objectList")),
        ("too many objects", json!([{}, {}, {}, {}]), vec![], 403, ("POL0001", "a request may create 3 objects")),
        ("too large in all", json!([{}, {}]), vec![picture, picture], 413, ("SVC0002", "Request-Body")),
    ] {
        let answer = bulk(api, objects, &attachments).await;
        let (status, fault) = ((status, answer.status.as_u16()), (fault, answer.fault()));
        assert_eq!(
            (status.0, fault.0.0.to_owned(), vec![fault.0.1.to_owned()]),
            (status.1, fault.1.0, fault.1.1),
            "{what}"
        );
    }
    let root = json!({ "objectList": { "object": [{}, {}] } }).to_string();
    let whole = form(&[("root-fields", JSON, root.as_bytes()), ("attachments", PNG, b"x"), ("attachments", PNG, b"y")]);
    let answer = post_form(api, BULK, whole[..whole.len() - 9].to_vec()).await;
    assert_eq!((answer.status.as_u16(), answer.fault().1[0].as_str()), (400, "Request-Body"));
    let sql = database.connect().await;
    let events: i64 = sql.query_one("select count(*) from tocsin.events", &[]).await.unwrap().get(0);
    assert_eq!(events, 0);
    eventually("nothing is left behind", async || (payloads(&sql).await == 0).then_some(())).await;
    server.stop().await;
}
