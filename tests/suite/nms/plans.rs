//! No request reads a big table from end to end: a box of 100,000 objects among a million.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::{Value, json};
use tokio_postgres::Client;

use super::{BOX, FORM, JSON, form};
use crate::support::client::{Answer, Api};
use crate::support::eventually;
use crate::support::postgres::Database;
use crate::support::server::Server;

/// Objects of the box `tel:+1` have ids from 1 to 100,000, its folders from 2,000,001 on: 1,000 of them, in ten.
const FILL: &str = r"
    insert into tocsin.objects (id, store, box_id, folder_id, attributes, flags, created_seq, created_at, seq, edited_at, gone)
    select i, 'default', case when i > 100000 then 'box' || i % 900 else 'tel:+1' end,
           case when i <= 50000 then 2000001 + i % 1000 else 0 end,
           jsonb_build_object('TextContent', 'message ' || i, 'From', 'tel:+' || i % 4000),
           case when i % 10 = 0 then '{}' else array['\Seen'] end,
           i, now() + i * interval '1 second', i, now(), case when i % 2000 = 7 then 'deleted' end
    from generate_series(1, 1000000) as i;
    insert into tocsin.folders (id, store, box_id, parent_id, name, attributes, created_seq, created_at, seq, edited_at)
    select 2000000 + i, 'default', case when i > 1000 then 'box' || i % 900 else 'tel:+1' end,
           case when i between 11 and 1000 then 2000001 + i % 10 else 0 end, 'f' || i, '{}', i, now(), i, now()
    from generate_series(1, 50000) as i;
    insert into tocsin.streams (stream, head_seq, head_at, last_xid) values ('default/tel:+1', 2000000, now(), '3');
    select setval('tocsin.object_ids', 3000000);
    insert into tocsin.object_terms (object_id, terms)
    select o.id, tocsin.terms_of_object('default/tel:+1', o.attributes, o.payload) from tocsin.objects o where o.box_id = 'tel:+1' and o.id % 500 = 0;
    update tocsin.terms_progress set watermark = 1000000;
    insert into tocsin.events (stream, kind, data)
    select 'other/box' || i % 50, 'object.created', '{}' from generate_series(1, 20000) as i;
    insert into tocsin.channels (id, user_id, settings, format, created_at)
    select 'c' || i, 'u' || i, '{}', 'JSON', now() from generate_series(1, 20000) as i;
    insert into tocsin.subscriptions (id, stream, channel_id, format, expires_at, created_seq, generation, start_seq, start_at,
                                      start_index, start_reset)
    select 's' || i, 'other/b' || i, 'c' || i, 'JSON', now() + interval '1 day', 1, 1, 1, now(), 1, false
    from generate_series(1, 20000) as i;";

/// How often each table of tocsin that is big here was read from end to end.
async fn scans(sql: &Client) -> BTreeMap<String, i64> {
    sql.batch_execute("select pg_stat_clear_snapshot()").await.unwrap();
    let query = "select relname::text, seq_scan from pg_stat_user_tables
                 where schemaname = 'tocsin' and pg_relation_size(relid) > 1000000";
    sql.query(query, &[]).await.unwrap().iter().map(|row| (row.get(0), row.get(1))).collect()
}

async fn search(api: &Api, kind: &str, selection: Value) -> Answer {
    let body = json!({ "selectionCriteria": selection });
    api.post(&format!("{BOX}/{kind}/operations/search"), body).await
}

fn criteria(criteria: Value) -> Value {
    json!({ "maxEntries": 20, "searchCriteria": { "criterion": criteria } })
}

/// Waits until no other connection of the database is left: they leave their counts when they end.
async fn ended(database: &Database) -> Client {
    let sql = database.connect().await;
    eventually("the others have ended", async || {
        let query = "select count(*) = 0 from pg_stat_activity
                     where pid <> pg_backend_pid() and backend_type = 'client backend' and datname = current_database()";
        sql.query_one(query, &[]).await.unwrap().get::<_, bool>(0).then_some(())
    })
    .await;
    database.run_and_tell("").await;
    sql
}

/// Every kind of request.
async fn ask_everything(api: &Api) {
    let ok = |answer: Answer| assert!(answer.status.is_success(), "{}: {}", answer.status, answer.text);
    let object = |id: i64| format!("{}{BOX}/objects/{id}", api.url);
    let folder = |id: i64| format!("{}{BOX}/folders/{id}", api.url);
    let reference = |url: String| json!({ "resourceURL": url });

    ok(api.get(&object(5)).await);
    ok(api.get(&format!("{}/flags", object(5))).await);
    ok(api.send(Method::PUT, &format!("{}/flags/x", object(5)), &[], None).await);
    ok(api.put(&format!("{}/flags", object(6)), json!({ "flagList": { "flag": ["y"] } })).await);
    ok(api.delete(&object(8)).await);
    let root = br#"{"object":{"parentFolderPath":"/f1/new","attributes":{"attribute":[]},"flags":{"flag":[]}}}"#;
    let entries = [("root-fields", JSON, &root[..]), ("attachments", "Content-Type: image/png", b"not text")];
    let created = api.send_bytes(Method::POST, &format!("{BOX}/objects"), &[FORM], Some(form(&entries))).await;
    let payload = format!("{}/payload", created.header("location"));
    ok(created);
    ok(api.get(&payload).await);
    let many = json!({ "bulkUpdate": {
        "objects": { "objectReference": [reference(object(10)), reference(object(11))] }, "operation": "AddFlag",
        "flags": { "flag": ["z"] } } });
    ok(api.post(&format!("{BOX}/objects/operations/bulkUpdate"), many).await);
    let rare = json!([{ "type": "AllTextAttributes", "value": "message 99500" }]);
    let delete = json!({ "bulkDelete": { "selectionCriteria": criteria(rare) } });
    ok(api.post(&format!("{BOX}/objects/operations/bulkDelete"), delete).await);
    let paths = json!({ "pathList": { "path": ["/f2/f21/20", "/99001", "/nowhere/1"] } });
    ok(api.post(&format!("{BOX}/objects/operations/pathToId"), paths).await);

    for wanted in [
        criteria(json!([{ "type": "Flag", "name": "\\Seen", "value": "false" }])),
        criteria(json!([{ "type": "Flag", "name": "nowhere", "value": "true" }])),
        criteria(json!([{ "type": "Attribute", "name": "From", "value": "tel:+77" }])),
        criteria(json!([{ "type": "WholeWord", "value": "99000" }])),
        criteria(json!([{ "type": "Date", "value": "minDate=2020-01-01T00:00:00Z" }])),
        criteria(json!([{ "type": "VanishedObjects", "value": "" }])),
        criteria(json!([{ "type": "CreatedObjects", "value": "" }])),
        json!({ "maxEntries": 20, "searchScope": reference(folder(2_000_001)) }),
        json!({ "maxEntries": 20, "nonRecursiveScope": true, "sortCriteria": { "criterion": [{ "type": "Attribute", "name": "From" }] } }),
    ] {
        ok(search(api, "objects", wanted).await);
    }
    ok(search(api, "folders", criteria(json!([{ "type": "Attribute", "name": "Root", "value": "Yes" }]))).await);
    ok(search(api, "folders", criteria(json!([{ "type": "Attribute", "name": "Name", "value": "f500" }]))).await);

    let costly = "attrFilter=MsgCount&attrFilter=UnreadMsgCount&attrFilter=SubtreeMsgCount&attrFilter=SubtreeSize";
    ok(api.get(&format!("{}?listFilter=All&path=Yes&{costly}", folder(2_000_001))).await);
    ok(api.get(&format!("{}{BOX}/folders/root?listFilter=All&{costly}", api.url)).await);
    let new =
        json!({ "folder": { "parentFolder": folder(2_000_003), "name": "new", "attributes": { "attribute": [] } } });
    ok(api.post(&format!("{BOX}/folders"), new).await);
    ok(api.put(&format!("{}/folderName", folder(2_000_500)), json!({ "name": "renamed" })).await);
    ok(api.get(&format!("{BOX}/folders/operations/pathToId?path=/f3/new")).await);
    for (how, id) in [("copyToFolder", 2_000_020), ("moveToFolder", 2_000_030)] {
        let body = json!({ "targetSourceRef": {
            "targetRef": reference(folder(2_000_004)),
            "sourceRefs": {
                "folders": { "folderReference": [reference(folder(id))] },
                "objects": { "objectReference": [reference(object(60_001))] } } } });
        ok(api.post(&format!("{BOX}/folders/operations/{how}"), body).await);
    }
    ok(api.delete(&folder(2_000_040)).await);

    let channel = api.channel("alice").await;
    let subscription = api.subscribe("tel%3A%2B1", &channel).await;
    let url = subscription["resourceURL"].as_str().unwrap();
    let again = json!({ "nmsSubscriptionUpdate": { "restartToken": subscription["restartToken"], "duration": 60 } });
    ok(api.post(url, again).await);
    ok(api.get(&format!("{BOX}/subscriptions")).await);
    ok(api.delete(url).await);
    ok(api.get("/notificationchannel/v1/alice/channels").await);
    ok(api.delete(channel["resourceURL"].as_str().unwrap()).await);
}

#[tokio::test]
async fn no_request_reads_a_big_table_from_end_to_end() {
    let database = Database::new().await;
    let filling = database.connect().await;
    filling.batch_execute(FILL).await.unwrap();
    filling.batch_execute("vacuum analyze").await.unwrap();
    // What it has read, to sum up pages for instance, is counted when it ends.
    drop(filling);
    ended(&database).await;
    let sql = database.connect().await;
    let server = Server::start(&database).await;
    let before = scans(&sql).await;
    assert!(["objects", "folders", "channels", "subscriptions"].iter().all(|name| before.contains_key(*name)));
    assert!(before.keys().any(|name| name.starts_with("events_")), "{before:?}");
    ask_everything(&server.api).await;
    server.stop().await;
    drop(sql);
    let sql = ended(&database).await;
    let after = scans(&sql).await;
    let scanned: Vec<_> = before.iter().filter(|(name, count)| after[*name] != **count).collect();
    assert!(scanned.is_empty(), "{scanned:?}, now {after:?}");
}
