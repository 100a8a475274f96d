//! Objects, created.

use super::*;
use crate::support::client::Socket;
use crate::support::eventually;
use crate::support::postgres::Database;
use crate::support::server::Server;
use tocsin::config::Limits;

/// A short message with all that one usually has.
fn message() -> Value {
    json!({ "parentFolderPath": "/main/chat-42",
        "attributes": { "attribute": [
            { "name": "Message-Context", "value": ["pager-message"] }, { "name": "Direction", "value": ["In"] },
            { "name": "From", "value": ["tel:+15550002222"] }, { "name": "To", "value": ["tel:+1"] },
            { "name": "Date", "value": ["2024-05-06T07:08:09Z"] }] },
        "flags": { "flag": ["\\Flagged"] }, "correlationId": "mid-7788", "correlationTag": "9f3c21aa" })
}

#[tokio::test]
async fn a_message_with_a_short_text_is_created_notified_and_read() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let channel = server.api.channel("alice").await;
    server.api.subscribe("tel%3A%2B1", &channel).await;
    let mut socket = Socket::open(&channel).await;
    let answer = create(&server.api, message(), "Content-Type: text/plain; charset=utf-8", b"See you at six.").await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (201, "application/json"));
    let url = answer.header("location").to_owned();
    let id = url.rsplit('/').next().unwrap();
    let expected = json!({ "reference": { "resourceURL": url, "path": format!("/main/chat-42/{id}") } });
    assert_eq!(answer.json(), expected);

    assert_eq!(socket.list().await.events[0]["changedFolder"]["name"], "main");
    let folder = socket.list().await.events[0]["changedFolder"].clone();
    let event = socket.list().await.events[0]["changedObject"].clone();
    assert_eq!(event["resourceURL"], json!(url));

    let object = object(&server.api, &url).await;
    for (name, value) in [
        ("TextContent", "See you at six."),
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Date", "2024-05-06T07:08:09Z"),
        ("From", "tel:+15550002222"),
    ] {
        assert_eq!(attribute(&object, name), json!([value]), "{name}");
    }
    let mut rest = object.clone();
    rest["attributes"].take();
    let expected = json!({ "parentFolder": folder["resourceURL"], "attributes": null,
        "flags": { "flag": ["\\Flagged"], "resourceURL": format!("{url}/flags") }, "resourceURL": url,
        "path": format!("/main/chat-42/{id}"), "lastModSeq": 4, "correlationId": "mid-7788",
        "correlationTag": "9f3c21aa" });
    assert_eq!(rest, expected, "neither payloadURL nor payloadPart");
    assert_eq!(server.api.get(&format!("{url}/payload")).await.status, 404);

    let sql = database.connect().await;
    let row = sql.query_one("select sender, body, folder, flags[1] from tocsin.messages", &[]).await.unwrap();
    let row: Vec<String> = (0..4).map(|column| row.get(column)).collect();
    assert_eq!(row, ["tel:+15550002222", "See you at six.", "/main/chat-42", "\\Flagged"]);
    assert_eq!(payloads(&sql).await, 0);
    server.stop().await;
}

#[tokio::test]
async fn an_object_without_payload_is_a_plain_body_in_either_format() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let api = &server.api;
    let path = format!("{BOX}/objects");
    let in_json = api.post(&path, json!({ "object": message() })).await;
    let xml = "<nms:object xmlns:nms=\"urn:oma:xml:rest:netapi:nms:1\"><parentFolderPath>/main/chat-42</parentFolderPath>\
        <attributes><attribute><name>To</name><value>a</value><value>b</value></attribute></attributes>\
        <flags/><lastModSeq>7</lastModSeq><path>/x</path></nms:object>";
    let in_xml = api.send(Method::POST, &path, &[("Content-Type", "application/xml")], Some(xml.to_owned())).await;
    assert_eq!((in_json.status.as_u16(), in_xml.status.as_u16()), (201, 201), "{}", in_xml.text);
    assert!(in_xml.text.contains("<nms:reference"), "{}", in_xml.text);
    let (json, xml) = (object(api, in_json.header("location")).await, object(api, in_xml.header("location")).await);
    assert_eq!(json["parentFolder"], xml["parentFolder"]);
    assert_eq!(attribute(&xml, "To"), json!(["a", "b"]));
    assert_eq!((&xml["flags"]["flag"], xml["lastModSeq"].as_i64()), (&json!([]), Some(4)));
    let date = attribute(&xml, "Date")[0].as_str().unwrap().to_owned();
    assert!(tocsin::wire::nms::parse_token(&date).is_ok() && date.len() == 20, "{date}");
    let bare = api.post(&path, json!({})).await;
    assert_eq!(
        object(api, bare.header("location")).await["path"],
        format!("/{}", bare.header("location").rsplit('/').next().unwrap())
    );
    // A form with root fields and nothing else, or an attachment without bytes, are the same.
    let root = json!({ "object": {} }).to_string();
    let alone = post_form(api, "/objects", form(&[("root-fields", JSON, root.as_bytes())])).await;
    let empty = create(api, json!({}), "Content-Length: 0", b"").await;
    for answer in [alone, empty] {
        let object = object(api, answer.header("location")).await;
        assert_eq!((&object["payloadURL"], attribute(&object, "Content-Type")), (&Value::Null, Value::Null));
    }
    server.stop().await;
}

#[tokio::test]
async fn the_parent_is_a_folder_that_is_there() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let api = &server.api;
    let first = created(api, json!({ "parentFolderPath": "/a/b" }), "", b"x").await;
    let again = created(api, json!({ "parentFolder": first["parentFolder"] }), "", b"x").await;
    assert_eq!(again["parentFolder"], first["parentFolder"]);
    let root = created(api, json!({ "parentFolder": format!("{}{BOX}/folders/root", api.url) }), "", b"x").await;
    assert!(text(&root, "parentFolder").ends_with("/folders/root"));
    let elsewhere = text(&first, "parentFolder").replace("tel%3A%2B1", "other");
    for (fields, part) in [
        (json!({ "parentFolder": format!("{}{BOX}/folders/999999", api.url) }), "parentFolder"),
        (json!({ "parentFolder": elsewhere }), "parentFolder"),
        (json!({ "parentFolder": first["resourceURL"] }), "parentFolder"),
        (json!({ "parentFolderPath": "a/b" }), "parentFolderPath"),
        (json!({ "parentFolderPath": "/a//b" }), "parentFolderPath"),
        (json!({ "parentFolderPath": format!("/{}", "x".repeat(256)) }), "parentFolderPath"),
        (json!({ "parentFolderPath": "/a", "parentFolder": first["parentFolder"] }), "parentFolderPath"),
    ] {
        let answer = create(api, fields.clone(), "Content-Type: image/png", b"x").await;
        assert_eq!(
            (answer.status.as_u16(), answer.fault()),
            (400, ("SVC0002".to_owned(), vec![part.to_owned()])),
            "{fields}"
        );
    }
    // What was uploaded for them is removed.
    let sql = database.connect().await;
    eventually("nothing is left behind", async || (payloads(&sql).await == 0).then_some(())).await;
    let folders: i64 = sql.query_one("select count(*) from tocsin.folders", &[]).await.unwrap().get(0);
    assert_eq!(folders, 2, "no folder was made for what was refused");
    server.stop().await;
}

#[tokio::test]
async fn a_text_becomes_an_attribute_only_if_it_fits() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let own = json!({ "attributes": { "attribute": [{ "name": "textcontent", "value": "mine" }, { "name": "content-TYPE", "value": "x/y" }] } });
    for (fields, headers, content, inlined) in [
        (json!({}), "Content-Type: text/plain", "é".repeat(2048).into_bytes(), true),
        (json!({}), "", b"x".to_vec(), true),
        (json!({}), "Content-Type: TEXT/PLAIN;charset=\"UTF-8\"", b"x".to_vec(), true),
        (
            json!({}),
            "Content-Type: text/plain\r\nContent-Transfer-Encoding: base64",
            b"aGVs\r\nbG8=\r\n".to_vec(),
            true,
        ),
        (json!({}), "Content-Type: text/plain", "x".repeat(4097).into_bytes(), false),
        (json!({}), "Content-Type: text/plain", b"a\0b".to_vec(), false),
        (json!({}), "Content-Type: text/plain", b"caf\xe9".to_vec(), false),
        (json!({}), "Content-Type: text/plain; charset=utf-16", b"x".to_vec(), false),
        (json!({}), "Content-Type: text/html", b"x".to_vec(), false),
        (own, "Content-Type: text/plain", b"x".to_vec(), false),
    ] {
        let object = created(&server.api, fields.clone(), headers, &content).await;
        assert_eq!(attribute(&object, "TextContent") != Value::Null, inlined, "{headers}");
        assert_eq!(object["payloadURL"] == Value::Null, inlined, "{headers}");
        if fields != json!({}) {
            assert_eq!(attribute(&object, "textcontent"), json!(["mine"]));
            assert_eq!(
                (attribute(&object, "content-TYPE"), attribute(&object, "Content-Type")),
                (json!(["x/y"]), Value::Null)
            );
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn forms_as_phones_send_them() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let root = json!({ "object": { "attributes": { "attribute": [] } } });
    for (disposition, media) in [
        ("form-data;name=\"attachments\"", "application/json; charset=utf-8"),
        ("form-data;name=\"attachments\";filename=\"sms.txt\"", "application/json"),
        ("multipart/form-data; name=\"attachments\"", "text/xml"),
        ("form-data; filename=\"a.txt\"; name=attachments", "application/xml"),
    ] {
        let root = if media.contains("json") { root.to_string() } else { "<object><attributes/></object>".to_owned() };
        let body = format!(
            "preamble\r\n--OUT\r\nContent-Disposition: form-data;name=\"root-fields\"\r\nContent-Type: {media}\r\n\r\n{root}\r\n\
             --OUT\r\nContent-Disposition: form-data; name=\"something\"\r\n\r\nelse\r\n\
             --OUT\r\nContent-Disposition: {disposition}\r\nContent-Type: text/plain\r\n\r\nhello\r\n--OUT--"
        );
        let answer = post_form(&server.api, "/objects", body.into_bytes()).await;
        assert_eq!(answer.status, 201, "{disposition}: {}", answer.text);
        let object = object(&server.api, answer.header("location")).await;
        assert_eq!(attribute(&object, "TextContent"), json!(["hello"]), "{disposition}");
    }
    server.stop().await;
}

#[tokio::test]
async fn broken_forms_are_refused_and_leave_nothing() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let api = &server.api;
    let root = json!({ "object": {} }).to_string();
    let (root, big) = (("root-fields", JSON, root.as_bytes()), vec![7; 700_000]);
    let attachment = ("attachments", "Content-Type: image/png", big.as_slice());
    let whole = form(&[root, attachment]);
    for (what, body, status, part) in [
        ("no root fields", form(&[attachment]), 400, "root-fields"),
        ("attachments first", form(&[attachment, root]), 400, "root-fields"),
        ("root fields twice", form(&[root, root]), 400, "root-fields"),
        ("attachments twice", form(&[root, attachment, attachment]), 400, "attachments"),
        ("nothing in it", b"--OUT--\r\n".to_vec(), 400, "root-fields"),
        ("no form at all", b"hello".to_vec(), 400, "Request-Body"),
        ("an empty body", Vec::new(), 400, "Request-Body"),
        ("it breaks off", whole[..whole.len() - 20].to_vec(), 400, "Request-Body"),
        ("endless headers", [b"--OUT\r\n".to_vec(), b"X: y\r\n".repeat(50_000)].concat(), 400, "Request-Body"),
        ("a long preamble", [vec![b'x'; 3_000_000], whole.clone()].concat(), 400, "Request-Body"),
        (
            "root fields that are neither",
            form(&[("root-fields", "Content-Type: text/plain", b"x")]),
            415,
            "root-fields",
        ),
        ("root fields that are broken", form(&[("root-fields", JSON, b"{")]), 400, "Request-Body"),
        (
            "base64 that is none",
            form(&[root, ("attachments", "Content-Transfer-Encoding: base64", b"a-b*")]),
            400,
            "attachments",
        ),
    ] {
        let answer = post_form(api, "/objects", body).await;
        assert_eq!(
            (answer.status.as_u16(), answer.fault()),
            (status, ("SVC0002".to_owned(), vec![part.to_owned()])),
            "{what}"
        );
    }
    let path = format!("{BOX}/objects");
    for (content_type, status) in [
        ("multipart/form-data", 400),
        ("multipart/mixed; boundary=OUT", 415),
        ("application/x-www-form-urlencoded", 415),
        ("text/plain", 415),
    ] {
        let answer = api.send_bytes(Method::POST, &path, &[("Content-Type", content_type)], Some(whole.clone())).await;
        assert_eq!(answer.status.as_u16(), status, "{content_type}");
    }
    let answer = api.send_bytes(Method::POST, &path, &[FORM, ("Accept", "image/png")], Some(whole)).await;
    assert_eq!(answer.status, 406);
    let sql = database.connect().await;
    eventually("nothing is left behind", async || (payloads(&sql).await == 0).then_some(())).await;
    let events: i64 = sql.query_one("select count(*) from tocsin.events", &[]).await.unwrap().get(0);
    assert_eq!(events, 0);
    server.stop().await;
}

#[tokio::test]
async fn what_is_too_large_is_refused() {
    let database = Database::new().await;
    let limits = Limits { body_bytes_max: 2000, payload_bytes_max: 300_000, payload_parts_max: 3, ..Limits::default() };
    let server = Server::start_with(&database, limits).await;
    let api = &server.api;
    let most = created(api, json!({}), "Content-Type: image/png", &vec![1; 300_000]).await;
    assert_eq!(most["payloadPart"][0]["size"], 300_000);
    let part = |fields: Value, headers: &'static str, content: Vec<u8>| async move {
        let answer = create(api, fields, headers, &content).await;
        (answer.status.as_u16(), answer.fault().1[0].clone())
    };
    let too_much = (413, "attachments".to_owned());
    assert_eq!(part(json!({}), "Content-Type: image/png", vec![1; 300_001]).await, too_much);
    assert_eq!(part(json!({ "correlationId": "x".repeat(2000) }), "", vec![1]).await, (413, "root-fields".to_owned()));
    assert_eq!(part(json!({}), "", vec![1; 902_001]).await, (413, "Request-Body".to_owned()), "announced");
    let soft_breaks = b"=\r\n".repeat(290_000);
    let nothing = created(api, json!({}), "Content-Transfer-Encoding: quoted-printable", &soft_breaks).await;
    assert_eq!(nothing["payloadURL"], Value::Null);
    let parts = |count| b"--IN\r\n\r\nx\r\n".repeat(count);
    let multipart = "Content-Type: multipart/mixed; boundary=IN";
    assert_eq!(create(api, json!({}), multipart, &parts(3)).await.status, 201);
    assert_eq!(part(json!({}), multipart, parts(4)).await, (400, "attachments".to_owned()));
    let sql = database.connect().await;
    eventually("nothing is left behind", async || (payloads(&sql).await == 2).then_some(())).await;
    server.stop().await;
}

#[tokio::test]
async fn what_does_not_fit_into_an_event_is_refused() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let part = format!("--IN\r\nContent-Location: {}\r\n\r\nx\r\n", "x".repeat(10_000));
    let headers = "Content-Type: multipart/mixed; boundary=IN";
    let answer = create(&server.api, json!({}), headers, part.repeat(200).as_bytes()).await;
    assert_eq!((answer.status.as_u16(), answer.fault().1[0].as_str()), (413, "Request-Body"));
    let sql = database.connect().await;
    eventually("nothing is left behind", async || (payloads(&sql).await == 0).then_some(())).await;
    server.stop().await;
}

#[tokio::test]
async fn an_upload_that_is_interrupted_leaves_nothing() {
    use tokio::io::AsyncWriteExt;
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let sql = database.connect().await;
    let host = server.api.url.strip_prefix("http://").unwrap();
    let mut stream = tokio::net::TcpStream::connect(host).await.unwrap();
    let head = format!(
        "POST {BOX}/objects HTTP/1.1\r\nHost: {host}\r\nContent-Type: {}\r\nContent-Length: 5000000\r\n\r\n",
        FORM.1
    );
    let root = json!({ "object": {} }).to_string();
    let body = form(&[
        ("root-fields", JSON, root.as_bytes()),
        ("attachments", "Content-Type: image/png", &vec![7; 1_000_000]),
    ]);
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&body[..900_000]).await.unwrap();
    eventually("bytes are stored", async || (payloads(&sql).await == 1).then_some(())).await;
    drop(stream);
    eventually("and removed", async || (payloads(&sql).await == 0).then_some(())).await;
    let chunks: i64 = sql.query_one("select count(*) from tocsin.payload_chunks", &[]).await.unwrap().get(0);
    assert_eq!(chunks, 0);
    server.stop().await;
}

#[tokio::test]
async fn an_object_is_deleted_once() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let api = &server.api;
    let channel = api.channel("alice").await;
    let object = created(api, json!({ "correlationId": "mid" }), "Content-Type: image/png", b"x").await;
    api.subscribe("tel%3A%2B1", &channel).await;
    let mut socket = Socket::open(&channel).await;
    let url = text(&object, "resourceURL");
    assert_eq!(api.delete(&url.replace("tel%3A%2B1", "other")).await.status, 404);
    let deleted = api.delete(url).await;
    assert_eq!((deleted.status.as_u16(), deleted.text.as_str()), (204, ""));
    let list = socket.list().await;
    let expected = json!([{ "deletedObject": { "resourceURL": url, "lastModSeq": 3, "correlationId": "mid" } }]);
    assert_eq!(json!(list.events), expected);
    for gone in [api.delete(url).await, api.get(url).await, api.get(&format!("{url}/payload")).await] {
        assert_eq!((gone.status.as_u16(), gone.fault().0.as_str()), (404, "SVC0004"));
    }
    server.stop().await;
}
