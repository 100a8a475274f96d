//! Folders: made, read, listed, counted, renamed and deleted.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};
use tocsin::config::Limits;

use super::{EXAMPLE_BOX, Scene, is_fault, text, told};
use crate::support::client::Answer;

/// The attributes of a folder, each with its values.
fn attributes(folder: &Value) -> Vec<(&str, &Value)> {
    let list = folder["attributes"]["attribute"].as_array().unwrap();
    list.iter().map(|one| (text(one, "name"), &one["value"])).collect()
}

/// The values of one of them.
fn attribute<'a>(folder: &'a Value, name: &str) -> Option<&'a Value> {
    attributes(folder).into_iter().find(|(found, _)| *found == name).map(|(_, value)| value)
}

fn folder(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()["folder"].clone()
}

/// What a list in a folder shows: the last parts of the URLs.
fn listed<'a>(folder: &'a Value, list: &str, entry: &str) -> Vec<&'a str> {
    let entries = folder[list][entry].as_array().unwrap();
    entries.iter().map(|one| text(one, "resourceURL").rsplit('/').next().unwrap()).collect()
}

fn id(url: &str) -> &str {
    url.rsplit('/').next().unwrap()
}

#[tokio::test]
async fn a_folder_that_is_made_and_renamed_is_told_of_each_time() {
    let mut scene = Scene::new().await;
    let main = scene.folder(&scene.url("/folders/root"), "main").await;
    let url = scene.folder(&main, "trip").await;
    let made = folder(&scene.server.api.get(&url).await);
    assert_eq!(made.get("path"), None, "only with path=Yes");
    let date = attribute(&made, "Date").unwrap()[0].as_str().unwrap();
    assert!(chrono::DateTime::parse_from_rfc3339(date).is_ok() && date.ends_with('Z'), "{date}");

    let name = format!("{url}/folderName");
    assert_eq!(scene.server.api.get(&name).await.json(), json!({ "name": "trip" }));
    for _ in 0..2 {
        let renamed = scene.server.api.put(&name, json!({ "name": "trip-2024" })).await;
        assert_eq!((renamed.status.as_u16(), renamed.json()), (200, json!({ "name": "trip-2024" })));
    }
    let now = folder(&scene.server.api.get(&format!("{url}?path=Yes")).await);
    assert_eq!(
        (&now["path"], &now["name"], &now["lastModSeq"]),
        (&json!("/main/trip-2024"), &json!("trip-2024"), &json!(4))
    );

    let changed = |parent: &str, url: &str, name: &str, seq: i64| {
        let fields = json!({ "parentFolder": parent, "resourceURL": url, "name": name, "lastModSeq": seq });
        ("changedFolder".to_owned(), fields)
    };
    let root = scene.url("/folders/root");
    let expected =
        [changed(&root, &main, "main", 2), changed(&main, &url, "trip", 3), changed(&main, &url, "trip-2024", 4)];
    assert_eq!(scene.events(3).await, expected);
    scene.nothing_more().await;
    scene.end().await;
}

#[tokio::test]
async fn folders_in_xml_have_their_elements_in_order() {
    const NMS: &str = r#"xmlns:nms="urn:oma:xml:rest:netapi:nms:1""#;
    const HEAD: &str = r#"<?xml version="1.0" encoding="UTF-8"?>"#;
    let scene = Scene::new().await;
    let wish = format!(
        "<nms:folder {NMS}><parentFolderPath/><attributes><attribute><name>X</name><value>1</value><value/></attribute>\
         </attributes><name>a &amp; b</name></nms:folder>"
    );
    let made = scene.xml(Method::POST, "/folders", &wish).await;
    assert_eq!((made.status.as_u16(), made.header("content-type")), (201, "application/xml"), "{}", made.text);
    let url = made.header("location");
    let date = made.text.split("<name>Date</name><value>").nth(1).unwrap().split('<').next().unwrap();
    let expected = format!(
        "{HEAD}<nms:folder {NMS}><parentFolder>{}</parentFolder><attributes>\
         <attribute><name>Name</name><value>a &amp; b</value></attribute>\
         <attribute><name>Date</name><value>{date}</value></attribute>\
         <attribute><name>X</name><value>1</value><value/></attribute></attributes>\
         <resourceURL>{url}</resourceURL><path>/a &amp; b</path><name>a &amp; b</name>\
         <lastModSeq>2</lastModSeq></nms:folder>",
        scene.url("/folders/root")
    );
    assert_eq!(made.text, expected);
    let name = format!("/folders/{}/folderName", id(url));
    let renamed = scene.xml(Method::PUT, &name, &format!("<nms:name {NMS}>c</nms:name>")).await;
    assert_eq!((renamed.status.as_u16(), renamed.text), (200, format!("{HEAD}<nms:name {NMS}>c</nms:name>")));
    let accept = [("accept", "application/xml")];
    let read = scene.server.api.send(Method::GET, &scene.url(&name), &accept, None).await;
    assert_eq!(read.text, format!("{HEAD}<nms:name {NMS}>c</nms:name>"));
    let root = scene.url("/folders/root?path=Yes&listFilter=All");
    let read = scene.server.api.send(Method::GET, &root, &accept, None).await;
    let expected = format!(
        "{HEAD}<nms:folder {NMS}><attributes><attribute><name>Root</name><value>Yes</value></attribute></attributes>\
         <resourceURL>{}</resourceURL><path/><lastModSeq>1</lastModSeq><subFolders><folderReference>\
         <resourceURL>{url}</resourceURL><path>/c</path></folderReference></subFolders><objects></objects></nms:folder>",
        scene.url("/folders/root")
    );
    assert_eq!(read.text, expected);
    scene.end().await;
}

#[tokio::test]
async fn every_box_has_a_root_folder_that_stays() {
    let scene = Scene::new().await;
    let (api, url) = (&scene.server.api, scene.url("/folders/root"));
    let untouched = url.replace("15550001111", "7");
    for url in [&url, &untouched] {
        let root = json!({
            "attributes": { "attribute": [{ "name": "Root", "value": ["Yes"] }] },
            "resourceURL": url, "path": null, "lastModSeq": 1,
            "subFolders": { "folderReference": [] }, "objects": { "objectReference": [] } });
        assert_eq!(folder(&api.get(&format!("{url}?path=Yes&listFilter=All")).await), root);
        assert_eq!(api.get(&format!("{url}/folderName")).await.json(), json!({ "name": null }));
        let renamed = api.put(&format!("{url}/folderName"), json!({ "name": "x" })).await;
        is_fault(&renamed, 403, "POL1030", &[]);
        is_fault(&api.delete(url).await, 403, "POL0001", &["the root folder cannot be deleted"]);
    }
    let count =
        scene.sql.query_one("select count(*) from tocsin.events where kind like 'folder.%'", &[]).await.unwrap();
    assert_eq!(count.get::<_, i64>(0), 0);
    scene.end().await;
}

#[tokio::test]
async fn attributes_are_kept_but_those_that_are_the_servers() {
    let scene = Scene::new().await;
    let given = json!({ "attribute": [
        { "name": "Conversation-ID", "value": ["c 1"] }, { "name": "Tag", "value": ["b", "a"] },
        { "name": "tag", "value": "c" }, { "name": "Empty" }, { "name": "name", "value": ["other"] },
        { "name": "ROOT", "value": ["Yes"] }, { "name": "Date", "value": ["yesterday"] }, { "name": "MsgCount", "value": 7 }] });
    // The root member may be missing, and so may the name.
    let wish = json!({ "parentFolderPath": "/", "attributes": given, "lastModSeq": 99, "resourceURL": "x" });
    let made = scene.post("/folders", wish).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let made = made.json()["folder"].clone();
    let found = attributes(&made);
    let name = text(&made, "name");
    assert!(!name.is_empty());
    let (names, values): (Vec<_>, Vec<_>) = found.into_iter().unzip();
    assert_eq!(names, ["Name", "Date", "Tag", "Empty", "Conversation-ID"], "ours first");
    assert_eq!(
        (values[0], values[2], values[3], values[4]),
        (&json!([name]), &json!(["b", "a", "c"]), &json!([]), &json!(["c 1"]))
    );
    let other = scene.post("/folders", json!({ "parentFolderPath": "" })).await.json()["folder"].clone();
    assert_ne!(text(&other, "name"), name, "a name that is not given is unique");
    let stored: Value =
        scene.sql.query_one("select attributes from tocsin.folders order by id limit 1", &[]).await.unwrap().get(0);
    assert_eq!(stored, json!({ "Conversation-ID": "c 1", "Tag": ["b", "a", "c"], "Empty": [] }));
    scene.end().await;
}

#[tokio::test]
async fn a_folder_that_could_not_be_is_refused_by_name() {
    let mut scene = Scene::new().await;
    let main = scene.folder(&scene.url("/folders/root"), "main").await;
    let gone = scene.folder(&main, "gone").await;
    assert_eq!(scene.server.api.delete(&gone).await.status, 204);
    let elsewhere = main.replace("15550001111", "7");
    for (part, wish) in [
        ("parentFolder", json!({ "name": "x" })),
        ("parentFolder", json!({ "name": "x", "parentFolder": gone })),
        ("parentFolder", json!({ "name": "x", "parentFolder": elsewhere })),
        ("parentFolder", json!({ "name": "x", "parentFolder": "main" })),
        ("parentFolder", json!({ "name": "x", "parentFolder": scene.url("/objects/1") })),
        ("parentFolder", json!({ "name": "x", "parentFolder": scene.url("/folders/9223372036854775807") })),
        ("parentFolderPath", json!({ "name": "x", "parentFolderPath": "/main/gone" })),
        ("parentFolderPath", json!({ "name": "x", "parentFolderPath": "/main//x" })),
        ("parentFolderPath", json!({ "name": "x", "parentFolderPath": "/main", "parentFolder": main })),
        ("name", json!({ "name": "", "parentFolder": main })),
        ("name", json!({ "name": "a/b", "parentFolder": main })),
        ("name", json!({ "name": "a\nb", "parentFolder": main })),
        ("name", json!({ "name": "a\u{0}b", "parentFolder": main })),
        ("name", json!({ "name": "x".repeat(256), "parentFolder": main })),
        ("name", json!({ "name": ["x"], "parentFolder": main })),
        (
            "attributes",
            json!({ "name": "x", "parentFolder": main, "attributes": { "attribute": [{ "value": ["x"] }] } }),
        ),
        ("attributes", json!({ "name": "x", "parentFolder": main, "attributes": "x" })),
    ] {
        is_fault(&scene.post("/folders", json!({ "folder": wish })).await, 400, "SVC0002", &[part]);
    }
    let again = json!({ "folder": { "parentFolderPath": "/", "name": "main" } });
    is_fault(&scene.post("/folders", again).await, 403, "POL0001", &["there is a folder main already"]);
    for body in ["", "[]", "{", r#"{"folder":1}"#] {
        let headers = [("content-type", "application/json")];
        let answer = scene.server.api.send(Method::POST, &scene.url("/folders"), &headers, Some(body.into())).await;
        assert_eq!((answer.status.as_u16(), answer.fault().0.as_str()), (400, "SVC0002"), "{body}");
    }
    // Names that are only unusual.
    for name in ["Main", " main", "..", "ü 🦀 %2F", "'; drop", "operations", &"é".repeat(255)] {
        let made = scene.folder(&main, name).await;
        assert_eq!(scene.server.api.get(&format!("{made}/folderName")).await.json(), json!({ "name": name }));
    }
    let events = scene.events(10).await;
    assert_eq!(events.iter().map(|(kind, _)| kind.as_str()).collect::<BTreeSet<_>>().len(), 2);
    scene.nothing_more().await;
    scene.end().await;
}

#[tokio::test]
async fn a_rename_that_could_not_be_is_refused() {
    let scene = Scene::new().await;
    let main = scene.folder(&scene.url("/folders/root"), "main").await;
    let a = scene.folder(&main, "a").await;
    scene.folder(&main, "b").await;
    let name = format!("{a}/folderName");
    let put = async |name: &str, body: Value| scene.server.api.put(name, body).await;
    is_fault(&put(&name, json!({ "name": "b" })).await, 403, "POL0001", &["there is a folder b already"]);
    for bad in
        [json!({ "name": "" }), json!({ "name": "x/y" }), json!({ "name": null }), json!({}), json!({ "name": {} })]
    {
        is_fault(&put(&name, bad).await, 400, "SVC0002", &["name"]);
    }
    assert_eq!(scene.server.api.get(&name).await.json(), json!({ "name": "a" }));
    let elsewhere = name.replace("15550001111", "7");
    let missing = scene.url("/folders/99/folderName");
    let none = scene.url("/folders/operations/folderName");
    for url in [&elsewhere, &missing, &none] {
        is_fault(&put(url, json!({ "name": "x" })).await, 404, "SVC0004", &["Request-URI"]);
        is_fault(&scene.server.api.get(url).await, 404, "SVC0004", &["Request-URI"]);
    }
    scene.end().await;
}

#[tokio::test]
async fn a_deleted_folder_takes_everything_with_it() {
    let mut scene = Scene::new().await;
    let main = scene.folder(&scene.url("/folders/root"), "main").await;
    let a = scene.folder(&main, "a").await;
    let deep = scene.folder(&a, "deep").await;
    let (first, second) = (scene.object("/main/a").await, scene.object("/main/a/deep").await);
    let kept = scene.object("/main").await;
    scene.events(6).await;
    let deleted = scene.server.api.delete(&a).await;
    assert_eq!((deleted.status.as_u16(), deleted.text.as_str()), (204, ""));
    let events = scene.events(4).await;
    let expected =
        [("deletedObject", &second), ("deletedFolder", &deep), ("deletedObject", &first), ("deletedFolder", &a)];
    assert_eq!(told(&events), expected.map(|(kind, url)| (kind, url.as_str())));
    let seqs: Vec<_> = events.iter().map(|(_, fields)| fields["lastModSeq"].as_i64().unwrap()).collect();
    assert_eq!(seqs, [8, 9, 10, 11]);
    assert_eq!(events[3].1, json!({ "resourceURL": a, "lastModSeq": 11 }));
    scene.nothing_more().await;
    for gone in [&a, &deep, &first, &second] {
        assert_eq!(scene.server.api.get(gone).await.status, 404);
    }
    let answer = scene.server.api.get(&a).await;
    is_fault(&answer, 404, "SVC0004", &["Request-URI"]);
    assert_eq!(answer.json()["requestError"]["link"], json!([{ "rel": "folder", "href": a }]));
    is_fault(&scene.server.api.delete(&a).await, 404, "SVC0004", &["Request-URI"]);
    assert_eq!(scene.server.api.get(&kept).await.status, 200);
    assert_eq!(
        folder(&scene.get("/folders/root?attrFilter=SubtreeMsgCount").await)["attributes"]["attribute"][1]["value"],
        json!(["1"])
    );
    for id in ["0", "-1", "x", "9223372036854775808", "operations", "%27", "root2"] {
        is_fault(&scene.get(&format!("/folders/{id}")).await, 404, "SVC0004", &["Request-URI"]);
    }
    scene.end().await;
}

#[tokio::test]
async fn folders_that_a_message_needs_are_told_of_before_it() {
    let mut scene = Scene::new().await;
    let object = scene.object("/main/chat").await;
    let again = scene.object("/main/chat").await;
    let events = scene.events(4).await;
    let (main, chat) = (text(&events[0].1, "resourceURL"), text(&events[1].1, "resourceURL"));
    let root = scene.url("/folders/root");
    let made = |parent: &str, url: &str, name: &str, seq: i64| {
        let fields = json!({ "parentFolder": parent, "resourceURL": url, "name": name, "lastModSeq": seq });
        ("changedFolder".to_owned(), fields)
    };
    assert_eq!(events[..2], [made(&root, main, "main", 2), made(main, chat, "chat", 3)]);
    assert_eq!(told(&events[2..]), [("changedObject", object.as_str()), ("changedObject", &again)]);
    assert_eq!(text(&events[2].1, "parentFolder"), chat);
    scene.nothing_more().await;
    scene.end().await;
}

#[tokio::test]
async fn a_folder_lists_its_subfolders_then_its_objects_page_by_page() {
    let scene = Scene::new().await;
    let main = scene.folder(&scene.url("/folders/root"), "main").await;
    let mut all = Vec::new();
    for name in ["z", "a", "m"] {
        all.push(scene.folder(&main, name).await);
    }
    for _ in 0..4 {
        all.push(scene.object("/main").await);
    }
    scene.object("/main/z").await;
    scene.object("/").await;
    let list = async |query: &str| folder(&scene.server.api.get(&format!("{main}?{query}")).await);
    let plain = list("maxEntries=1&fromCursor=nonsense").await;
    for field in ["subFolders", "objects", "cursor", "path"] {
        assert_eq!(plain.get(field), None, "without listFilter there is no list");
    }
    let found = list("listFilter=All").await;
    assert_eq!(found.get("cursor"), None);
    assert_eq!(found["subFolders"]["folderReference"][0], json!({ "resourceURL": all[0], "path": "/main/z" }));
    assert_eq!(
        found["objects"]["objectReference"][0],
        json!({ "resourceURL": all[3], "path": format!("/main/{}", id(&all[3])) })
    );
    assert_eq!(listed(&found, "subFolders", "folderReference"), [id(&all[0]), id(&all[1]), id(&all[2])]);
    assert_eq!(listed(&found, "objects", "objectReference").len(), 4);
    let only = list("listFilter=Subfolders").await;
    assert_eq!((only.get("objects"), listed(&only, "subFolders", "folderReference").len()), (None, 3));
    let only = list("listFilter=Objects").await;
    assert_eq!((only.get("subFolders"), listed(&only, "objects", "objectReference").len()), (None, 4));

    for (filter, expected) in [("All", &all[..]), ("Subfolders", &all[..3]), ("Objects", &all[3..])] {
        for size in 1..=8 {
            let (mut seen, mut cursor) = (Vec::new(), String::new());
            loop {
                let page = list(&format!("listFilter={filter}&maxEntries={size}&fromCursor={cursor}")).await;
                let before = seen.len();
                for (list, entry) in [("subFolders", "folderReference"), ("objects", "objectReference")] {
                    if page.get(list).is_some() {
                        seen.extend(listed(&page, list, entry).into_iter().map(str::to_owned));
                    }
                }
                assert!(seen.len() - before <= size);
                let Some(next) = page.get("cursor") else { break };
                assert_ne!(next, &json!(cursor));
                assert_eq!(seen.len() - before, size, "a page that is not the last is full");
                cursor = next.as_str().unwrap().to_owned();
            }
            assert_eq!(seen, expected.iter().map(|url| id(url)).collect::<Vec<_>>(), "{filter} by {size}");
        }
    }
    for (query, part) in [
        ("listFilter=All&maxEntries=0", "maxEntries"),
        ("listFilter=All&maxEntries=-1", "maxEntries"),
        ("listFilter=All&maxEntries=x", "maxEntries"),
        ("listFilter=All&fromCursor=nonsense", "fromCursor"),
        ("listFilter=All&fromCursor=0-f-1", "fromCursor"),
        ("listFilter=Objects&fromCursor=1-f-1", "fromCursor"),
        ("listFilter=Subfolders&fromCursor=1-o-1", "fromCursor"),
    ] {
        is_fault(&scene.server.api.get(&format!("{main}?{query}")).await, 400, "SVC0002", &[part]);
    }
    let wrong = scene.server.api.get(&format!("{main}?listFilter=Everything")).await;
    is_fault(&wrong, 400, "SVC0003", &["listFilter", "Subfolders, Objects, All"]);
    is_fault(&scene.server.api.get(&format!("{main}?path=Maybe")).await, 400, "SVC0003", &["path", "Yes, No"]);
    scene.end().await;
}

#[tokio::test]
async fn pages_are_exact_while_things_change() {
    let scene = Scene::with(Limits { folder_entries_max: 2, ..Limits::default() }).await;
    let root = scene.url("/folders/root");
    let mut folders = Vec::new();
    for name in ["a", "b", "c", "d"] {
        folders.push(scene.folder(&root, name).await);
    }
    let mut objects = Vec::new();
    for _ in 0..4 {
        objects.push(scene.object("/").await);
    }
    let page = async |cursor: &str| {
        let answer = scene.server.api.get(&format!("{root}?listFilter=All&maxEntries=5&fromCursor={cursor}")).await;
        folder(&answer)
    };
    let one = page("").await;
    assert_eq!(listed(&one, "subFolders", "folderReference"), [id(&folders[0]), id(&folders[1])], "the server's cap");
    // What was seen goes or is renamed behind what comes; what comes is renamed before it; another one comes.
    scene.server.api.delete(&folders[1]).await;
    scene.server.api.put(&format!("{}/folderName", folders[0]), json!({ "name": "x" })).await;
    scene.server.api.put(&format!("{}/folderName", folders[3]), json!({ "name": "0" })).await;
    let two = page(text(&one, "cursor")).await;
    assert_eq!(listed(&two, "subFolders", "folderReference"), [id(&folders[2]), id(&folders[3])]);
    scene.server.api.delete(&folders[3]).await;
    let late = scene.folder(&root, "late").await;
    scene.sql.batch_execute("update tocsin.messages set flags = '{x}' where id = 5").await.unwrap();
    let three = page(text(&two, "cursor")).await;
    assert_eq!(listed(&three, "subFolders", "folderReference"), [id(&late)]);
    assert_eq!(listed(&three, "objects", "objectReference"), [id(&objects[0])]);
    scene.sql.batch_execute("delete from tocsin.messages where id in (5, 6)").await.unwrap();
    let four = page(text(&three, "cursor")).await;
    assert_eq!(listed(&four, "objects", "objectReference"), [id(&objects[2]), id(&objects[3])]);
    assert_eq!(four.get("cursor"), None, "there was no more");
    scene.end().await;
}

#[tokio::test]
async fn costly_attributes_are_counted_when_they_are_asked_for() {
    let scene = Scene::new().await;
    let insert = r#"insert into tocsin.messages (box_id, folder, body, flags) values
        ('tel:+15550001111', '/m', 'four', '{\\Seen}'), ('tel:+15550001111', '/m', 'é', '{\\SEEN,x}'),
        ('tel:+15550001111', '/m', '', '{x}'), ('tel:+15550001111', '/m/s', '12345', '{}'), ('tel:+15550001111', '/', '1', '{}'),
        ('tel:+15550001111', '/other', 'x', '{}'), ('other', '/m', 'x', '{}'), ('tel:+15550001111', '/m', 'gone', '{}')"#;
    scene.sql.batch_execute(insert).await.unwrap();
    scene.sql.batch_execute("delete from tocsin.messages where body = 'gone'").await.unwrap();
    let object = r#"insert into tocsin.events (stream, kind, data) select 'default/tel:+15550001111', 'object.created',
        jsonb_build_object('folder', id, 'attributes', '{}'::jsonb, 'payload', '{"size": 1000}'::jsonb) from tocsin.folders where name = 's'"#;
    scene.sql.batch_execute(object).await.unwrap();
    let paths = scene.post("/folders/operations/pathToId", json!({ "path": ["/m", "/m/s", ""] })).await.json();
    let url = |n: usize| text(&paths["bulkResponseList"]["response"][n]["success"], "resourceURL").to_owned();
    let all = "attrFilter=MsgCount&attrFilter=unreadmsgcount&attrFilter=Size&attrFilter=SubtreeMsgCount\
               &attrFilter=SubtreeUnreadMsgCount&attrFilter=SubtreeSize&attrFilter=Unknown";
    for (folder_url, counts) in [
        (url(0), ["3", "1", "6", "5", "3", "1011"]),
        (url(1), ["2", "2", "1005", "2", "2", "1005"]),
        (url(2), ["1", "1", "1", "7", "5", "1013"]),
    ] {
        let found = folder(&scene.server.api.get(&format!("{folder_url}?{all}")).await);
        let names = ["MsgCount", "UnreadMsgCount", "Size", "SubtreeMsgCount", "SubtreeUnreadMsgCount", "SubtreeSize"];
        for (name, count) in names.into_iter().zip(counts) {
            assert_eq!(attribute(&found, name), Some(&json!([count])), "{name} of {folder_url}");
        }
        let plain = folder(&scene.server.api.get(&folder_url).await);
        assert!(names.iter().all(|name| attribute(&plain, name).is_none()), "{plain}");
        let one = folder(&scene.server.api.get(&format!("{folder_url}?attrFilter=SubtreeSize")).await);
        assert_eq!(attributes(&one).len(), attributes(&plain).len() + 1);
    }
    let name = folder(&scene.server.api.get(&format!("{}?attrFilter=Name", url(0))).await);
    assert!(attribute(&name, "Name").is_some() && attribute(&name, "Date").is_some());
    scene.end().await;
}

#[tokio::test]
async fn of_two_who_make_a_name_at_once_one_does() {
    let scene = Scene::new().await;
    let api = &scene.server.api;
    for round in 0..10 {
        let wish = json!({ "folder": { "parentFolderPath": "/", "name": format!("f{round}") } });
        let path = format!("{EXAMPLE_BOX}/folders");
        let (one, two, three) =
            tokio::join!(api.post(&path, wish.clone()), api.post(&path, wish.clone()), api.post(&path, wish));
        let mut statuses = [one, two, three].map(|answer| answer.status.as_u16());
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 403, 403]);
    }
    let root = folder(&scene.get("/folders/root?listFilter=Subfolders").await);
    assert_eq!(listed(&root, "subFolders", "folderReference").len(), 10);
    scene.end().await;
}

#[tokio::test]
async fn counts_agree_with_the_list_while_writers_write() {
    let scene = Scene::new().await;
    let m = scene.folder(&scene.url("/folders/root"), "m").await;
    let list = format!("{m}?listFilter=Objects&attrFilter=MsgCount&attrFilter=SubtreeSize");
    let writer = scene.database.connect().await;
    let writing = tokio::spawn(async move {
        for round in 0..60 {
            let statement = match round % 3 {
                0 => "delete from tocsin.messages where id = (select min(id) from tocsin.messages where folder = '/m')",
                _ => {
                    "insert into tocsin.messages (box_id, folder, body) select 'tel:+15550001111', '/m', 'x' from generate_series(1, 3)"
                }
            };
            writer.batch_execute(statement).await.unwrap();
        }
    });
    let mut numbers = BTreeSet::new();
    while !writing.is_finished() {
        let m = folder(&scene.server.api.get(&list).await);
        let objects = listed(&m, "objects", "objectReference").len();
        assert_eq!(attribute(&m, "MsgCount"), Some(&json!([objects.to_string()])));
        assert_eq!(attribute(&m, "SubtreeSize"), Some(&json!([objects.to_string()])));
        numbers.insert(objects);
    }
    writing.await.unwrap();
    assert!(numbers.len() > 2, "{numbers:?}");
    let m = folder(&scene.server.api.get(&list).await);
    assert_eq!(attribute(&m, "MsgCount"), Some(&json!(["101"])));
    scene.end().await;
}
