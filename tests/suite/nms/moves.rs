//! Copying and moving objects and folders.

use serde_json::{Value, json};
use tocsin::config::Limits;

use super::{Scene, is_fault, text, told};
use crate::support::client::Answer;

/// A targetSourceRef.
fn wish(target: &str, folders: &[&str], objects: &[&str]) -> Value {
    let references = |urls: &[&str]| urls.iter().map(|url| json!({ "resourceURL": url })).collect::<Vec<_>>();
    json!({ "targetSourceRef": {
        "targetRef": { "resourceURL": target },
        "sourceRefs": {
            "folders": { "folderReference": references(folders) },
            "objects": { "objectReference": references(objects) } } } })
}

impl Scene {
    async fn transfer(&self, how: &str, target: &str, folders: &[&str], objects: &[&str]) -> Vec<Value> {
        let answer = self.post(&format!("/folders/operations/{how}ToFolder"), wish(target, folders, objects)).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()["bulkResponseList"]["response"].as_array().unwrap().clone()
    }

    /// The paths of all folders, and of all objects with their texts instead of their ids, in the order of the tree.
    async fn tree(&self) -> Vec<String> {
        let query = "select path from (
                         select tocsin.folder_path(id) as path from tocsin.folders where gone is null
                         union all
                         select rtrim(folder, '/') || '/[' || body || ']' from tocsin.messages) as items
                     order by path collate \"C\"";
        self.sql.query(query, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
    }

    /// An object with a text of its own.
    async fn note(&self, folder: &str, body: &str) -> String {
        let url = self.object(folder).await;
        let id: i64 = url.rsplit('/').next().unwrap().parse().unwrap();
        let update = "update tocsin.messages set body = $2 where id = $1";
        self.sql.execute(update, &[&id, &body]).await.unwrap();
        url
    }
}

fn done(url: &str, path: &str) -> Value {
    json!({ "code": 200, "reason": "OK", "success": { "resourceURL": url, "path": path } })
}

/// The status, code and variables of an item that was refused.
fn refused(response: &Value) -> (u64, &str, &Value) {
    let failure = response["failure"].as_object().unwrap();
    let exception = failure.get("serviceException").or(failure.get("policyException")).unwrap();
    (response["code"].as_u64().unwrap(), text(exception, "messageId"), &exception["variables"])
}

fn id(url: &str) -> &str {
    url.rsplit('/').next().unwrap()
}

#[tokio::test]
async fn a_moved_object_is_one_event_and_has_another_path() {
    let mut scene = Scene::new().await;
    let root = scene.url("/folders/root");
    let main = scene.folder(&root, "main").await;
    let trip = scene.folder(&main, "trip-2024").await;
    let object = scene.object("/").await;
    scene.events(3).await;
    for (n, (parent, path)) in (5..).zip([(&trip, "/main/trip-2024"), (&root, "")]) {
        let path = format!("{path}/{}", id(&object));
        assert_eq!(scene.transfer("move", parent, &[], &[&object]).await, [done(&object, &path)]);
        let expected = json!({
            "parentFolder": parent, "flags": { "flag": [], "resourceURL": format!("{object}/flags") },
            "resourceURL": object, "lastModSeq": n });
        assert_eq!(scene.events(1).await, [("changedObject".to_owned(), expected)]);
        assert_eq!(scene.server.api.get(&object).await.json()["object"]["path"], json!(path));
    }
    scene.nothing_more().await;
    scene.end().await;
}

#[tokio::test]
async fn a_moved_folder_is_one_event_whatever_is_in_it() {
    let mut scene = Scene::new().await;
    let root = scene.url("/folders/root");
    let a = scene.folder(&root, "a").await;
    let b = scene.folder(&a, "b").await;
    let inside = scene.object("/a/b").await;
    let c = scene.folder(&root, "c").await;
    scene.events(4).await;
    let before = scene.server.api.get(&inside).await.json()["object"]["lastModSeq"].clone();
    assert_eq!(scene.transfer("move", &c, &[&a], &[]).await, [done(&a, "/c/a")]);
    let expected = json!({ "parentFolder": c, "resourceURL": a, "name": "a", "lastModSeq": 6 });
    assert_eq!(scene.events(1).await, [("changedFolder".to_owned(), expected)]);
    let now = scene.server.api.get(&inside).await.json()["object"].clone();
    assert_eq!((&now["path"], &now["lastModSeq"]), (&json!(format!("/c/a/b/{}", id(&inside))), &before));
    // Where it is already: no event.
    assert_eq!(scene.transfer("move", &c, &[&a, &a], &[]).await, [done(&a, "/c/a"), done(&a, "/c/a")]);
    let path = format!("/c/a/b/{}", id(&inside));
    assert_eq!(scene.transfer("move", &b, &[], &[&inside]).await, [done(&inside, &path)]);
    assert_eq!(scene.transfer("move", &b, &[], &[]).await, [] as [Value; 0]);
    scene.nothing_more().await;
    scene.end().await;
}

#[tokio::test]
async fn a_copy_is_a_new_item_for_each_in_it() {
    let mut scene = Scene::new().await;
    let root = scene.url("/folders/root");
    let attributes = json!({ "attribute": [{ "name": "Tag", "value": ["x", "y"] }] });
    let wish = json!({ "folder": { "parentFolder": root, "name": "a", "attributes": attributes } });
    let a = scene.post("/folders", wish).await.header("location").to_owned();
    let b = scene.folder(&a, "b").await;
    scene.folder(&b, "empty").await;
    let c = scene.folder(&root, "c").await;
    let insert = r#"insert into tocsin.messages (box_id, folder, sender, body, flags, attributes, correlation_id, correlation_tag)
        values ('tel:+15550001111', '/a', 'tel:+2', 'one', '{\\Seen,x}', '{"Y": ["1","2"]}', 'mid', '9f'),
               ('tel:+15550001111', '/a/b', 'tel:+2', 'two', '{}', '{}', null, null),
               ('tel:+15550001111', '/a/b', 'tel:+2', 'gone', '{}', '{}', null, null)"#;
    scene.sql.batch_execute(insert).await.unwrap();
    scene.sql.batch_execute("delete from tocsin.messages where body = 'gone'").await.unwrap();
    scene
        .sql
        .batch_execute(
            r#"insert into tocsin.events (stream, kind, data) select 'default/tel:+15550001111', 'object.created',
        '{"attributes": {"TextContent": "three"}, "payload": {"size": 3}}'"#,
        )
        .await
        .unwrap();
    let three = scene.url("/objects/8");
    scene.events(9).await;
    let responses = scene.transfer("copy", &c, &[&a], &[&three, &three]).await;
    let events = scene.events(7).await;
    let told = told(&events);
    let kinds: Vec<_> = told.iter().map(|(kind, _)| *kind).collect();
    let (folder, object) = ("changedFolder", "changedObject");
    assert_eq!(kinds, [folder, object, folder, object, folder, object, object], "each after the folder it is in");
    let urls: Vec<_> = told.iter().map(|(_, url)| *url).collect();
    let path = |url: &str| format!("/c/{}", id(url));
    assert_eq!(responses, [done(urls[0], "/c/a"), done(urls[5], &path(urls[5])), done(urls[6], &path(urls[6]))]);
    let parents: Vec<_> = events.iter().map(|(_, fields)| text(fields, "parentFolder")).collect();
    assert_eq!(parents, [c.as_str(), urls[0], urls[0], urls[2], urls[2], &c, &c]);
    assert_eq!(events[1].1["flags"]["flag"], json!(["\\Seen", "x"]));
    assert_eq!((&events[1].1["correlationId"], &events[1].1["correlationTag"]), (&json!("mid"), &json!("9f")));
    assert_eq!(
        scene.tree().await,
        [
            "/[three]",
            "/a",
            "/a/[one]",
            "/a/b",
            "/a/b/[two]",
            "/a/b/empty",
            "/c",
            "/c/[three]",
            "/c/[three]",
            "/c/a",
            "/c/a/[one]",
            "/c/a/b",
            "/c/a/b/[two]",
            "/c/a/b/empty"
        ]
    );
    let alike = "select count(distinct (attributes, flags, correlation_id, correlation_tag, payload)) = 1, count(*), count(distinct id)
                 from tocsin.objects where gone is null and attributes ->> 'TextContent' = $1";
    for (body, count) in [("one", 2_i64), ("two", 2), ("three", 3)] {
        let row = scene.sql.query_one(alike, &[&body]).await.unwrap();
        assert_eq!((row.get(0), row.get(1), row.get(2)), (true, count, count), "{body}");
    }
    let copied = scene.server.api.get(urls[0]).await.json()["folder"]["attributes"]["attribute"].clone();
    assert_eq!(copied[2], attributes["attribute"][0]);
    scene.nothing_more().await;
    scene.end().await;
}

#[tokio::test]
async fn what_cannot_be_is_refused_and_the_rest_is_done() {
    let mut scene = Scene::new().await;
    let root = scene.url("/folders/root");
    let a = scene.folder(&root, "a").await;
    let below = scene.folder(&a, "below").await;
    let target = scene.folder(&below, "target").await;
    let taken = scene.folder(&root, "taken").await;
    scene.folder(&target, "taken").await;
    let fine = scene.folder(&root, "fine").await;
    let object = scene.object("/taken").await;
    let (gone, gone_folder) = (scene.object("/taken").await, scene.folder(&root, "gone").await);
    scene.server.api.delete(&gone_folder).await;
    scene
        .sql
        .execute("delete from tocsin.messages where id = $1", &[&id(&gone).parse::<i64>().unwrap()])
        .await
        .unwrap();
    let elsewhere = fine.replace("15550001111", "7");
    let other_object = object.replace("15550001111", "7");
    scene.events(11).await;
    for how in ["move", "copy"] {
        let folders = [gone_folder.as_str(), &root, &elsewhere, "nowhere", &object, &taken, &fine];
        let objects = [gone.as_str(), &other_object, "", &a, &object];
        let objects = objects.map(|url| if url.is_empty() { "/" } else { url });
        let responses = scene.transfer(how, &target, &folders, &objects).await;
        for (n, url) in folders.iter().chain(&objects).enumerate() {
            match n {
                5 => assert_eq!(refused(&responses[n]).1, "POL0001", "{}", responses[n]),
                6 if how == "move" => assert_eq!(responses[n], done(&fine, "/a/below/target/fine")),
                6 => assert_eq!(
                    (responses[n]["code"].as_u64(), refused(&responses[n]).1),
                    (Some(403), "POL0001"),
                    "it has been moved there"
                ),
                11 => assert_eq!(responses[n]["code"], json!(200)),
                _ => assert_eq!(refused(&responses[n]), (400, "SVC0002", &json!([url])), "{how}"),
            }
        }
        let events = scene.events(if how == "move" { 2 } else { 1 }).await;
        assert_eq!(events.last().unwrap().0, "changedObject");
    }
    // Below itself.
    for source in [&a, &below, &target] {
        let responses = scene.transfer("move", &target, &[source], &[]).await;
        assert_eq!(refused(&responses[0]), (400, "SVC0002", &json!([source])));
    }
    scene.nothing_more().await;
    scene.end().await;
}

#[tokio::test]
async fn a_request_that_could_not_be_is_refused_as_a_whole() {
    let scene = Scene::with(Limits { references_max: 3, ..Limits::default() }).await;
    let root = scene.url("/folders/root");
    let a = scene.folder(&root, "a").await;
    let object = scene.object("/").await;
    for how in ["copy", "move"] {
        let path = format!("/folders/operations/{how}ToFolder");
        for target in [scene.url("/folders/99"), a.replace("15550001111", "7"), object.clone(), "x".to_owned()] {
            let answer = scene.post(&path, wish(&target, &[], &[&object])).await;
            is_fault(&answer, 403, "POL1031", &[&target]);
        }
        let without = |member: &str| {
            let mut wish = wish(&a, &[], &[&object]);
            let root = wish["targetSourceRef"].as_object_mut().unwrap();
            root.remove(member);
            root.get_mut("sourceRefs").and_then(Value::as_object_mut).map(|sources| sources.remove(member));
            wish
        };
        for member in ["targetRef", "sourceRefs", "folders", "objects"] {
            is_fault(&scene.post(&path, without(member)).await, 400, "SVC0002", &[member]);
        }
        let mut nameless = wish(&a, &[], &[&object]);
        nameless["targetSourceRef"]["sourceRefs"]["objects"]["objectReference"][0] = json!({ "path": "/x" });
        is_fault(&scene.post(&path, nameless).await, 400, "SVC0002", &["resourceURL"]);
        let many = scene.post(&path, wish(&a, &[&a, &a], &[&object, &object])).await;
        is_fault(&many, 403, "POL0001", &["a request may name 3 items"]);
    }
    assert_eq!(scene.tree().await, ["/[x]", "/a"]);
    // The root member may be missing.
    let answer =
        scene.post("/folders/operations/moveToFolder", wish(&a, &[], &[&object])["targetSourceRef"].clone()).await;
    assert_eq!((answer.status.as_u16(), scene.tree().await), (200, vec!["/a".to_owned(), "/a/[x]".to_owned()]));
    scene.end().await;
}

#[tokio::test]
async fn a_folder_copied_into_itself_holds_what_it_held_before() {
    let scene = Scene::new().await;
    let a = scene.folder(&scene.url("/folders/root"), "a").await;
    let b = scene.folder(&a, "b").await;
    scene.note("/a", "1").await;
    scene.note("/a/b", "2").await;
    let responses = scene.transfer("copy", &a, &[&a, &a], &[]).await;
    assert_eq!((&responses[0]["code"], refused(&responses[1]).1), (&json!(200), "POL0001"));
    let once = ["/a", "/a/[1]", "/a/a", "/a/a/[1]", "/a/a/b", "/a/a/b/[2]", "/a/b", "/a/b/[2]"];
    assert_eq!(scene.tree().await, once);
    // Into one below it.
    let responses = scene.transfer("copy", &b, &[&a], &[]).await;
    assert_eq!(responses[0]["success"]["path"], json!("/a/b/a"));
    let inside: Vec<String> = once.iter().map(|path| format!("/a/b{path}")).collect();
    let mut both: Vec<String> = once.iter().map(|path| (*path).to_owned()).chain(inside).collect();
    both.sort();
    assert_eq!(scene.tree().await, both);
    scene.end().await;
}

#[tokio::test]
async fn items_are_done_in_their_order_each_after_the_others() {
    let scene = Scene::new().await;
    let root = scene.url("/folders/root");
    let a = scene.folder(&root, "a").await;
    let b = scene.folder(&a, "b").await;
    let t = scene.folder(&root, "t").await;
    let inside = scene.note("/a/b", "1").await;
    // A folder and what is in it: the inner ones come out of it.
    let responses = scene.transfer("move", &t, &[&a, &b], &[&inside, &inside]).await;
    let object = done(&inside, &format!("/t/{}", id(&inside)));
    assert_eq!(responses, [done(&a, "/t/a"), done(&b, "/t/b"), object.clone(), object]);
    assert_eq!(scene.tree().await, ["/t", "/t/[1]", "/t/a", "/t/b"]);
    // Copies of the same: each is one of its own.
    let responses = scene.transfer("copy", &root, &[&a, &b], &[&inside, &inside]).await;
    assert!(responses.iter().all(|response| response["code"] == json!(200)), "{responses:?}");
    assert_ne!(responses[2]["success"], responses[3]["success"]);
    assert_eq!(scene.tree().await, ["/[1]", "/[1]", "/a", "/b", "/t", "/t/[1]", "/t/a", "/t/b"]);
    scene.end().await;
}

#[tokio::test]
async fn a_copy_makes_no_more_than_it_may() {
    let scene = Scene::with(Limits { copied_items_max: 3, ..Limits::default() }).await;
    let root = scene.url("/folders/root");
    let a = scene.folder(&root, "a").await;
    let t = scene.folder(&root, "t").await;
    let small = scene.folder(&root, "small").await;
    let one = scene.note("/a", "1").await;
    let two = scene.note("/a", "2").await;
    scene.note("/a", "3").await;
    let responses = scene.transfer("copy", &t, &[&a, &small], &[&one, &two, &one]).await;
    let codes: Vec<_> = responses.iter().map(|response| response["code"].as_u64().unwrap()).collect();
    assert_eq!(codes, [403, 200, 200, 200, 403]);
    for n in [0, 4] {
        assert_eq!(refused(&responses[n]), (403, "POL0001", &json!(["too much to copy at once"])));
    }
    assert_eq!(
        scene.tree().await,
        ["/a", "/a/[1]", "/a/[2]", "/a/[3]", "/small", "/t", "/t/[1]", "/t/[2]", "/t/small"]
    );
    scene.end().await;
}

#[tokio::test]
async fn thousands_are_copied_in_one_transaction() {
    let mut scene = Scene::new().await;
    let root = scene.url("/folders/root");
    let m = scene.folder(&root, "m").await;
    let t = scene.folder(&root, "t").await;
    let insert = "insert into tocsin.messages (box_id, folder, body) select 'tel:+15550001111', '/m/' || i % 20, i::text from generate_series(1, 3000) i";
    scene.sql.batch_execute(insert).await.unwrap();
    scene.events(3022).await;
    scene.transfer("copy", &t, &[&m], &[]).await;
    let events = scene.events(3021).await;
    assert_eq!(events.iter().filter(|(kind, _)| kind == "changedObject").count(), 3000);
    let xids = "select count(distinct xid) from tocsin.events where seq > 3024 and stream like 'default/%'";
    assert_eq!(scene.sql.query_one(xids, &[]).await.unwrap().get::<_, i64>(0), 1);
    let same = "select count(*) from (select body from tocsin.messages where folder like '/m/%' except
                select body from tocsin.messages where folder like '/t/m/%') as missing";
    assert_eq!(scene.sql.query_one(same, &[]).await.unwrap().get::<_, i64>(0), 0);
    scene.end().await;
}

#[tokio::test]
async fn one_who_moves_and_one_who_deletes_do_not_lose_anything() {
    let mut scene = Scene::new().await;
    let root = scene.url("/folders/root");
    let target = scene.folder(&root, "target").await;
    scene.events(1).await;
    for round in 0..10 {
        let a = scene.folder(&root, &format!("a{round}")).await;
        let object = scene.object(&format!("/a{round}")).await;
        scene.events(2).await;
        let api = scene.server.api.clone();
        let url = scene.url("/folders/operations/moveToFolder");
        let (deleted, moved): (Answer, Answer) =
            tokio::join!(api.delete(&a), api.post(&url, wish(&target, &[], &[&object])));
        assert_eq!((deleted.status.as_u16(), moved.status.as_u16()), (204, 200));
        let response = &moved.json()["bulkResponseList"]["response"][0];
        let events = scene.events(2).await;
        if response["code"] == json!(200) {
            assert_eq!(told(&events), [("changedObject", object.as_str()), ("deletedFolder", &a)]);
            assert_eq!(scene.server.api.get(&object).await.status, 200);
        } else {
            assert_eq!(refused(response), (400, "SVC0002", &json!([object])));
            assert_eq!(told(&events), [("deletedObject", object.as_str()), ("deletedFolder", &a)]);
            assert_eq!(scene.server.api.get(&object).await.status, 404);
        }
    }
    scene.nothing_more().await;
    scene.end().await;
}
