//! The bytes of objects, read.

use super::*;
use crate::support::postgres::Database;
use crate::support::server::Server;

const MULTIPART: &str = "Content-Type: multipart/related; start=\"<smil>\"; boundary=\"IN 1\"";

/// As a phone sends a picture with its thumbnail.
fn mms(picture: &[u8]) -> Vec<u8> {
    use base64::Engine;
    let thumbnail = base64::engine::general_purpose::STANDARD.encode(b"thumb nail");
    let mut body = format!(
        "--IN 1\r\nContent-Type: application/smil; charset=utf-8\r\nContent-ID: <smil>\r\n\r\n<smil/>\r\n\
         --IN 1\r\nContent-Type: image/jpeg\r\nContent-ID: <thumbnail>\r\n\
         Content-Disposition: icon;filename=\"t.jpg\"\r\nContent-Transfer-Encoding: base64\r\n\r\n{thumbnail}\r\n\
         --IN 1\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Location: text.txt\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nCaf=E9=\r\n noir\r\n\
         --IN 1\r\nContent-Type: image/jpeg\r\nFile-Icon: cid:thumbnail\r\nContent-Disposition: attachment; filename=\"p.jpg\"\r\n\r\n"
    )
    .into_bytes();
    body.extend_from_slice(picture);
    body.extend_from_slice(b"\r\n--IN 1--\r\n");
    body
}

/// Bytes of every value, in no simple order.
fn noise(length: usize) -> Vec<u8> {
    (0..length as u64).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

#[tokio::test]
async fn a_multipart_payload_is_read_whole_and_by_parts() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let api = &server.api;
    let picture = noise(700_000);
    let payload = mms(&picture);
    let object = created(api, json!({}), MULTIPART, &payload).await;
    let url = text(&object, "resourceURL");
    assert_eq!(attribute(&object, "Content-Type"), json!([&MULTIPART["Content-Type: ".len()..]]));
    assert_eq!(object["payloadURL"], format!("{url}/payload"));
    let part = |n: usize| format!("{url}/payloadParts/p{n}");
    let expected = json!([
        { "contentType": "application/smil; charset=utf-8", "contentId": "smil", "size": 7, "href": part(1) },
        { "contentType": "image/jpeg", "contentId": "thumbnail", "size": 10, "href": part(2), "contentDisposition": "icon;filename=\"t.jpg\"" },
        { "contentType": "text/plain; charset=iso-8859-1", "contentLocation": "text.txt", "size": 9, "href": part(3) },
        { "contentType": "image/jpeg", "size": 700_000, "href": part(4), "contentDisposition": "attachment; filename=\"p.jpg\"" }]);
    assert_eq!(object["payloadPart"], expected);
    let order: Vec<&str> = object.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        order,
        ["parentFolder", "attributes", "flags", "resourceURL", "path", "payloadURL", "payloadPart", "lastModSeq"]
    );

    // Whatever is accepted, as phones ask.
    let accept = [("Accept", "application/json")];
    let whole = api.send(Method::GET, &format!("{url}/payload"), &accept, None).await;
    assert_eq!((whole.status.as_u16(), whole.header("content-type")), (200, &MULTIPART["Content-Type: ".len()..]));
    assert!(whole.bytes == payload && whole.header("content-length") == payload.len().to_string());
    assert_eq!(whole.header("x-content-type-options"), "nosniff");
    for (n, content, content_type, disposition) in [
        (1, &b"<smil/>"[..], "application/smil; charset=utf-8", ""),
        (2, b"thumb nail", "image/jpeg", "icon;filename=\"t.jpg\""),
        (3, b"Caf\xe9 noir", "text/plain; charset=iso-8859-1", ""),
        (4, &picture, "image/jpeg", "attachment; filename=\"p.jpg\""),
    ] {
        let answer = api.send(Method::GET, &part(n), &accept, None).await;
        assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, content_type));
        assert_eq!(answer.header("content-disposition"), disposition);
        assert!(answer.bytes == content, "p{n}");
    }
    for bad in ["p0", "p5", "p", "1", "x", "p-1", "p99999999999999999999"] {
        let answer = api.get(&format!("{url}/payloadParts/{bad}")).await;
        assert_eq!((answer.status.as_u16(), answer.fault().0.as_str()), (404, "SVC0004"), "{bad}");
    }
    let sql = database.connect().await;
    let texts: Value = sql.query_one("select payload -> 'texts' from tocsin.objects", &[]).await.unwrap().get(0);
    assert_eq!(texts, json!(["Café noir"]));
    let chunks: i64 =
        sql.query_one("select max(length(bytes))::bigint from tocsin.payload_chunks", &[]).await.unwrap().get(0);
    assert_eq!(chunks, 256 << 10);
    server.stop().await;
}

#[tokio::test]
async fn another_payload_is_its_only_part() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let root = json!({ "object": {} }).to_string();
    let body = format!(
        "--OUT\r\nContent-Disposition: form-data; name=\"root-fields\"\r\n{JSON}\r\n\r\n{root}\r\n\
         --OUT\r\nContent-Disposition: form-data;name=\"attachments\";filename=\"a b.html\"\r\nContent-Type: text/html\r\n\
         Content-Transfer-Encoding: base64\r\n\r\nPGI+aGVs\r\nbG88L2I+\r\n--OUT--\r\n"
    );
    let answer = post_form(&server.api, "/objects", body.into_bytes()).await;
    let url = answer.header("location");
    let object = object(&server.api, url).await;
    let expected = json!([{ "contentType": "text/html", "size": 12, "href": format!("{url}/payloadParts/p1"),
        "contentDisposition": "attachment; filename=\"a b.html\"" }]);
    assert_eq!(object["payloadPart"], expected);
    for path in ["payload", "payloadParts/p1"] {
        let answer = server.api.get(&format!("{url}/{path}")).await;
        assert_eq!((answer.text.as_str(), answer.header("content-type")), ("<b>hello</b>", "text/html"));
        assert_eq!(answer.header("content-disposition"), "attachment; filename=\"a b.html\"");
        assert!(answer.header("content-security-policy").contains("sandbox"));
    }
    server.stop().await;
}

#[tokio::test]
async fn ranges_of_what_is_stored_and_of_what_is_decoded() {
    use base64::Engine;
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let api = &server.api;
    let content = noise(600_000);
    let encoded = base64::engine::general_purpose::STANDARD.encode(&content);
    let payload = [
        b"--IN 1\r\nContent-Transfer-Encoding: base64\r\nContent-Type: a/b\r\n\r\n",
        encoded.as_bytes(),
        b"\r\n--IN 1\r\nContent-Type: a/b\r\n\r\n",
        &content,
        b"\r\n--IN 1--",
    ]
    .concat();
    let object = created(api, json!({}), MULTIPART, &payload).await;
    let url = text(&object, "resourceURL");
    for path in ["payloadParts/p1", "payloadParts/p2"] {
        let path = format!("{url}/{path}");
        for (range, from, to) in [
            ("bytes=0-0", 0, 1),
            ("bytes=262000-263000", 262_000, 263_001),
            ("bytes=599999-", 599_999, 600_000),
            ("bytes=-10", 599_990, 600_000),
            ("bytes=-700000", 0, 600_000),
            ("bytes=5-9999999", 5, 600_000),
        ] {
            let answer = api.send(Method::GET, &path, &[("Range", range)], None).await;
            assert_eq!(answer.status, 206, "{range}");
            assert_eq!(answer.header("content-range"), format!("bytes {from}-{}/600000", to - 1));
            assert!(answer.bytes == content[from..to], "{range} of {path}");
        }
        let beyond = api.send(Method::GET, &path, &[("Range", "bytes=600000-")], None).await;
        assert_eq!((beyond.status.as_u16(), beyond.header("content-range")), (416, "bytes */600000"));
        let several = api.send(Method::GET, &path, &[("Range", "bytes=0-1,5-6")], None).await;
        assert!(several.status == 200 && several.bytes == content);
        let head = api.send(Method::HEAD, &path, &[("Range", "bytes=0-0")], None).await;
        assert_eq!((head.status.as_u16(), head.header("content-length"), head.bytes.len()), (200, "600000", 0));
        assert_eq!(head.header("accept-ranges"), "bytes");
        let tag = head.header("etag");
        let only_if = |tag: &str| [("Range", "bytes=0-0".to_owned()), ("If-Range", tag.to_owned())];
        for (tag, status) in [(tag, 206), ("\"other\"", 200)] {
            let headers = only_if(tag);
            let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            assert_eq!(api.send(Method::GET, &path, &headers, None).await.status, status, "{tag}");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_has_it_already_gets_nothing() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let (api, sql) = (&server.api, database.connect().await);
    let object = created(api, json!({ "parentFolderPath": "/old" }), MULTIPART, &mms(b"x")).await;
    let url = text(&object, "resourceURL");
    let mut tags = Vec::new();
    for path in ["", "/payload", "/payloadParts/p1", "/payloadParts/p2"] {
        let path = format!("{url}{path}");
        let tag = api.get(&path).await.header("etag").to_owned();
        for known in [tag.clone(), format!("W/{tag}"), format!("\"a\", {tag}"), "*".to_owned()] {
            let answer = api.send(Method::GET, &path, &[("If-None-Match", &known)], None).await;
            assert_eq!((answer.status.as_u16(), answer.header("etag"), answer.bytes.len()), (304, tag.as_str(), 0));
        }
        let head = api.send(Method::HEAD, &path, &[], None).await;
        assert_eq!((head.status.as_u16(), head.header("etag"), head.bytes.len()), (200, tag.as_str(), 0));
        let other = api.send(Method::GET, &path, &[("If-None-Match", "\"a\"")], None).await;
        assert_eq!((other.status.as_u16(), other.header("etag")), (200, tag.as_str()));
        tags.push(tag);
    }
    let xml = api.send(Method::GET, url, &[("Accept", "application/xml"), ("If-None-Match", &tags[0])], None).await;
    assert_eq!((xml.status.as_u16(), xml.header("vary")), (200, "Accept"));
    tags.push(xml.header("etag").to_owned());
    // What changes the object changes its tag, and so does what changes only how it is written.
    sql.batch_execute("update tocsin.messages set flags = '{x}'").await.unwrap();
    tags.push(api.get(url).await.header("etag").to_owned());
    let rename = "insert into tocsin.events (stream, kind, object_id, data)
        select 'default/tel:+1', 'folder.changed', id, '{\"name\": \"new\"}' from tocsin.folders";
    sql.batch_execute(rename).await.unwrap();
    let renamed = api.send(Method::GET, url, &[("If-None-Match", tags.last().unwrap())], None).await;
    assert_eq!(renamed.json()["object"]["path"], format!("/new/{}", url.rsplit('/').next().unwrap()));
    tags.push(renamed.header("etag").to_owned());
    let distinct: std::collections::HashSet<_> = tags.iter().collect();
    assert_eq!(distinct.len(), tags.len(), "{tags:?}");
    server.stop().await;
}

#[tokio::test]
async fn the_same_bytes_are_stored_once_and_outlive_a_rebuild() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let (api, sql) = (&server.api, database.connect().await);
    let content = noise(300_000);
    let both = tokio::join!(
        created(api, json!({}), "Content-Type: image/png", &content),
        created(api, json!({}), "Content-Type: image/jpeg", &content)
    );
    let third = created(api, json!({}), "Content-Type: image/gif", &content).await;
    assert_eq!(payloads(&sql).await, 1);
    let chunks: i64 = sql.query_one("select count(*) from tocsin.payload_chunks", &[]).await.unwrap().get(0);
    assert_eq!(chunks, 2);
    let rebuild = "create temp table before as table tocsin.objects; delete from tocsin.objects;
        select count(tocsin.apply(stream, seq, kind, object_id, data, edited_at)) from
            (select * from tocsin.events order by stream, seq) as log";
    sql.batch_execute(rebuild).await.unwrap();
    let differ = "select count(*) from (table before except all table tocsin.objects) as d";
    assert_eq!(sql.query_one(differ, &[]).await.unwrap().get::<_, i64>(0), 0);
    for (object, content_type) in [(both.0, "image/png"), (both.1, "image/jpeg"), (third, "image/gif")] {
        let answer = api.get(text(&object, "payloadURL")).await;
        assert!(answer.bytes == content && answer.header("content-type") == content_type);
        assert_eq!(super::object(api, text(&object, "resourceURL")).await, object);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_payload_that_somebody_else_wrote_into_the_log_harms_nobody() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let (api, sql) = (&server.api, database.connect().await);
    let object = created(api, json!({}), "Content-Type: image/png", b"xyz").await;
    let hash: String = sql.query_one("select hash from tocsin.payloads", &[]).await.unwrap().get(0);
    for (payload, status) in [
        (json!({ "hash": "0".repeat(64), "size": 3, "type": "a/b" }), 404),
        (json!({ "hash": 7 }), 404),
        (json!("x"), 404),
        (json!({ "hash": hash, "size": 3, "type": "a/\r\nb" }), 200),
    ] {
        let insert = "insert into tocsin.events (stream, kind, data) values ('default/tel:+1', 'object.created', $1) returning object_id";
        let data = json!({ "attributes": {}, "payload": payload });
        let id: i64 = sql.query_one(insert, &[&data]).await.unwrap().get(0);
        let url = format!("{BOX}/objects/{id}");
        assert!(super::object(api, &url).await["lastModSeq"].is_number());
        assert_eq!(api.get(&format!("{url}/payload")).await.status, status, "{payload}");
    }
    assert_eq!(api.get(text(&object, "payloadURL")).await.text, "xyz");
    server.stop().await;
}
