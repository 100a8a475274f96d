//! Searches for folders.

use serde_json::{Value, json};

use super::{attribute, criteria, criterion, insert, served};
use crate::support::client::{Answer, Api};

async fn ask(api: &Api, selection: Value) -> Answer {
    api.post("/nms/v1/default/b/folders/operations/search", json!({ "selectionCriteria": selection })).await
}

async fn list(api: &Api, selection: Value) -> Value {
    let answer = ask(api, selection.clone()).await;
    assert_eq!(answer.status, 200, "{selection}: {}", answer.text);
    answer.json()["folderList"].clone()
}

/// The paths of the folders of a list, in order.
fn paths(list: &Value) -> Vec<&str> {
    list["folder"].as_array().unwrap().iter().map(|folder| folder["path"].as_str().unwrap_or("")).collect()
}

#[tokio::test]
async fn the_root_folder_is_found_with_what_is_in_it() {
    let (_database, server, sql) = served().await;
    let root = criteria("And", &[criterion("Attribute", "root", "Yes")]);
    let url = |what: &str| format!("{}/nms/v1/default/b/{what}", server.api.url);
    let expected = |folders: Value, objects: Value| {
        json!({ "folder": [{
            "attributes": { "attribute": [{ "name": "Root", "value": ["Yes"] }] }, "resourceURL": url("folders/root"), "path": null,
            "lastModSeq": 1, "subFolders": { "folderReference": folders }, "objects": { "objectReference": objects } }] })
    };
    assert_eq!(
        list(&server.api, root.clone()).await,
        expected(json!([]), json!([])),
        "of a box that nobody has written to"
    );
    let object = insert(&sql, "x", json!({}), &[], "/").await;
    insert(&sql, "y", json!({}), &[], "/main/sent").await;
    let main: i64 = sql.query_one("select tocsin.folder_at('default/b', '/main', false)", &[]).await.unwrap().get(0);
    let reference = |what: String, path: String| json!([{ "resourceURL": url(&what), "path": path }]);
    let found = expected(
        reference(format!("folders/{main}"), "/main".into()),
        reference(format!("objects/{object}"), format!("/{object}")),
    );
    assert_eq!(list(&server.api, root.clone()).await, found);
    let xml = "<selectionCriteria><searchCriteria><criterion><type>Attribute</type><name>Root</name><value>Yes</value></criterion>
        </searchCriteria></selectionCriteria>";
    let path = "/nms/v1/default/b/folders/operations/search";
    let answer =
        server.api.send(reqwest::Method::POST, path, &[("content-type", "application/xml")], Some(xml.into())).await;
    assert!(
        answer.text.contains(r#"<nms:folderList xmlns:nms="urn:oma:xml:rest:netapi:nms:1"><folder><attributes>"#),
        "{}",
        answer.text
    );
    assert!(answer.text.contains("</resourceURL><path/><lastModSeq>1</lastModSeq><subFolders>"), "{}", answer.text);
    sql.batch_execute("insert into tocsin.messages (box_id, body) select 'b', 'z' from generate_series(1, 200)")
        .await
        .unwrap();
    let full = list(&server.api, root).await["folder"][0].clone();
    assert_eq!(full["objects"]["objectReference"].as_array().unwrap().len(), 99, "and one folder");
    assert!(full["cursor"].as_str().unwrap().starts_with("0-o-"));
    server.stop().await;
}

#[tokio::test]
async fn other_folders_are_found_by_what_they_are() {
    let (_database, server, sql) = served().await;
    for path in ["/main/sent", "/main/Größe", "/other"] {
        insert(&sql, "x", json!({}), &["\\Seen"], path).await;
    }
    let colour = r#"select tocsin.create_folder('default/b', 0, 'tinted', '{"Colour": ["Red", "Blue"], "Conversation-ID": "C1"}')"#;
    sql.batch_execute(colour).await.unwrap();
    let all = ["", "/main", "/main/sent", "/main/Größe", "/other", "/tinted"];
    for (operator, wanted, expected) in [
        ("And", criterion("Attribute", "Name", "sent"), vec!["/main/sent"]),
        ("And", criterion("Attribute", "colour", "Blue"), vec!["/tinted"]),
        ("And", criterion("Conversation", "", "C1"), vec!["/tinted"]),
        ("And", criterion("AllTextAttributes", "", "GRÖ"), vec!["/main/Größe"]),
        ("And", criterion("WholeWord", "", "blue"), vec!["/tinted"]),
        ("And", criterion("Flag", "\\Seen", "true"), vec![]),
        ("And", criterion("Flag", "\\Seen", "false"), vec![]),
        ("And", criterion("Date", "", "minDate=2020-01-01T00:00Z"), all[1..].to_vec()),
        ("And", criterion("Date", "", "maxDate=2020-01-01T00:00Z"), vec![]),
        ("And", criterion("PresetSearch", "path", "/main"), vec!["/main", "/main/sent", "/main/Größe"]),
        ("And", criterion("PresetSearch", "UPOneDotO", ""), all.to_vec()),
        ("Not", criterion("Attribute", "Root", "Yes"), all[1..].to_vec()),
        ("Not", criterion("Attribute", "Name", "main"), vec!["", "/main/sent", "/main/Größe", "/other", "/tinted"]),
    ] {
        let found = list(&server.api, criteria(operator, std::slice::from_ref(&wanted))).await;
        assert_eq!(paths(&found), expected, "{operator} {wanted}");
    }
    for (scope, alone, expected) in [
        (json!({ "path": "/main" }), false, &all[2..4]),
        (json!({ "path": "/" }), false, &all),
        (Value::Null, true, &["/main", "/other", "/tinted"]),
    ] {
        let found = list(&server.api, json!({ "searchScope": scope, "nonRecursiveScope": alone })).await;
        assert_eq!(paths(&found), expected, "{scope} {alone}");
    }
    for sort in [Value::Null, json!({ "criterion": [{ "type": "Attribute", "name": "name" }] })] {
        for size in 1..8 {
            let mut selection = json!({ "maxEntries": size, "sortCriteria": sort });
            let mut found: Vec<String> = Vec::new();
            loop {
                let batch = list(&server.api, selection.clone()).await;
                assert!(batch["folder"].as_array().unwrap().len() <= size);
                found.extend(paths(&batch).into_iter().map(str::to_owned));
                let Some(cursor) = batch.get("cursor") else { break };
                selection["fromCursor"] = cursor.clone();
            }
            let by_name = ["", "/tinted", "/main/sent", "/other", "/main", "/main/Größe"];
            assert_eq!(found, if sort.is_null() { all } else { by_name }, "{sort} by {size}");
        }
    }
    let found =
        list(&server.api, criteria("And", &[criterion("Attribute", "Name", "tinted")])).await["folder"][0].clone();
    assert_eq!(
        (attribute(&found, "Name"), attribute(&found, "Colour"), &found["name"]),
        ("tinted", "Red", &json!("tinted"))
    );
    assert!(found["lastModSeq"].is_u64() && attribute(&found, "Date").ends_with('Z'));
    let keys: Vec<&String> = found.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["parentFolder", "attributes", "resourceURL", "path", "name", "lastModSeq"]);
    server.stop().await;
}

#[tokio::test]
async fn what_only_objects_can_be_asked_is_refused() {
    let (_database, server, _sql) = served().await;
    for (wanted, status, code, variable) in [
        (criterion("VanishedObjects", "", ""), 400, "SVC0003", "type"),
        (criterion("CreatedObjects", "", ""), 400, "SVC0003", "type"),
        (criterion("PresetSearch", "Other", ""), 405, "POL2006", "Other"),
        (criterion("Attribute", "", "x"), 400, "SVC0003", "name"),
    ] {
        let answer = ask(&server.api, criteria("And", &[wanted])).await;
        let (found, variables) = answer.fault();
        assert_eq!((answer.status.as_u16(), found.as_str(), variables[0].as_str()), (status, code, variable));
    }
    assert_eq!(ask(&server.api, json!({ "maxEntries": 0 })).await.fault().1, ["maxEntries"]);
    server.stop().await;
}
