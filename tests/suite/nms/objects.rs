//! Objects, read.

use serde_json::json;

use super::text;
use crate::support::client::Socket;
use crate::support::postgres::Database;
use crate::support::server::Server;

#[tokio::test]
async fn a_notified_object_can_be_read_until_it_is_deleted() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let channel = server.api.channel("alice").await;
    server.api.subscribe("tel%3A%2B1", &channel).await;
    let mut socket = Socket::open(&channel).await;
    let sql = database.connect().await;
    let insert = r#"insert into tocsin.messages (box_id, sender, recipient, body, attributes, flags, folder, correlation_id, correlation_tag)
        values ('tel:+1', 'tel:+2', 'tel:+1', 'hi', '{"X":["a","b"],"Date":"2026-01-31T12:00:00Z"}', '{\\Seen}', '/f 1', 'mid', '9f')"#;
    sql.batch_execute(insert).await.unwrap();
    let folder = socket.list().await.events[0]["changedFolder"].clone();
    let event = socket.list().await.events[0]["changedObject"].clone();
    let url = text(&event, "resourceURL");
    let answer = server.api.get(url).await;
    let mut object = answer.json()["object"].clone();
    let attributes = object["attributes"]["attribute"].take();
    let expected = json!({
        "parentFolder": folder["resourceURL"], "attributes": { "attribute": null },
        "flags": { "flag": ["\\Seen"], "resourceURL": format!("{url}/flags") }, "resourceURL": url,
        "path": format!("/f 1/{}", url.rsplit('/').next().unwrap()), "lastModSeq": 3, "correlationId": "mid", "correlationTag": "9f" });
    assert_eq!(object, expected);
    for (name, value) in [
        ("From", json!(["tel:+2"])),
        ("To", json!(["tel:+1"])),
        ("TextContent", json!(["hi"])),
        ("Direction", json!(["In"])),
        ("Date", json!(["2026-01-31T12:00:00Z"])),
        ("X", json!(["a", "b"])),
    ] {
        let one = json!({ "name": name, "value": value });
        assert!(attributes.as_array().unwrap().contains(&one), "{one} in {attributes}");
    }
    for field in ["parentFolder", "flags", "resourceURL", "lastModSeq", "correlationId", "correlationTag"] {
        assert_eq!(event[field], object[field], "the event tells the same");
    }
    sql.batch_execute("update tocsin.messages set flags = '{}' where box_id = 'tel:+1'").await.unwrap();
    let changed = server.api.get(url).await.json()["object"].clone();
    assert_eq!((&changed["flags"]["flag"], &changed["lastModSeq"]), (&json!([]), &json!(4)));
    socket.list().await;
    sql.batch_execute("delete from tocsin.messages where box_id = 'tel:+1'").await.unwrap();
    let deleted = socket.list().await;
    let expected = json!([{ "deletedObject": {
        "resourceURL": url, "lastModSeq": 5, "correlationId": "mid", "correlationTag": "9f" } }]);
    assert_eq!(json!(deleted.events), expected);
    let gone = server.api.get(url).await;
    assert_eq!((gone.status.as_u16(), gone.fault()), (404, ("SVC0004".to_owned(), vec!["Request-URI".to_owned()])));
    server.stop().await;
}

#[tokio::test]
async fn an_object_is_found_in_its_own_box_only_and_by_its_id_only() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let sql = database.connect().await;
    let insert = "insert into tocsin.messages (box_id, body) values ('b', 'x') returning id";
    let id: i64 = sql.query_one(insert, &[]).await.unwrap().get(0);
    assert_eq!(server.api.get(&format!("/nms/v1/default/b/objects/{id}")).await.status, 200);
    let other = format!("/nms/v1/default/other/objects/{id}");
    let store = format!("/nms/v1/store/b/objects/{id}");
    for path in [other, store].into_iter().chain(
        ["0", "-1", "x", "9223372036854775808", "1e0", "operations", "1%20", "%2B1", "1;"]
            .map(|id| format!("/nms/v1/default/b/objects/{id}")),
    ) {
        let answer = server.api.get(&path).await;
        assert_eq!((answer.status.as_u16(), answer.fault().0.as_str()), (404, "SVC0004"), "{path}");
    }
    server.stop().await;
}
