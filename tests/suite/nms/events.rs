//! What counts as a change: each operation makes one event for each item it changes, and for no other.

use serde_json::{Value, json};

use super::{Scene, text, told};

impl Scene {
    /// Asserts that these are the next events, and that each of them has a higher lastModSeq than the one before it.
    async fn tells(&mut self, what: &str, events: &[(&str, &str)]) {
        let found = self.events(events.len()).await;
        assert_eq!(told(&found), events, "{what}");
        assert!(found.windows(2).all(|pair| seq(&pair[0].1) < seq(&pair[1].1)), "{what}");
    }

    /// A bulk operation on one object.
    async fn bulk(&self, operation: &str, object: &str, mut fields: Value) {
        fields["objects"] = json!({ "objectReference": [{ "resourceURL": object }] });
        let answer = self.post(&format!("/objects/operations/{operation}"), json!({ operation: fields })).await;
        assert_eq!(answer.json()["bulkResponseList"]["response"][0]["code"], 200, "{}", answer.text);
    }

    /// Copies or moves a folder or an object; answers where it is then.
    async fn put_into(&self, how: &str, target: &str, source: &str) -> String {
        let reference = json!([{ "resourceURL": source }]);
        let (folders, objects) =
            if source.contains("/folders/") { (reference, json!([])) } else { (json!([]), reference) };
        let wish = json!({ "targetSourceRef": {
            "targetRef": { "resourceURL": target },
            "sourceRefs": { "folders": { "folderReference": folders }, "objects": { "objectReference": objects } } } });
        let answer = self.post(&format!("/folders/operations/{how}ToFolder"), wish).await.json();
        text(&answer["bulkResponseList"]["response"][0]["success"], "resourceURL").to_owned()
    }

    async fn creates(&self, path: &str) -> String {
        let answer = self.post("/objects", json!({ "object": { "parentFolderPath": path } })).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        answer.header("location").to_owned()
    }

    async fn folder_at(&self, path: &str) -> String {
        let answer = self.get(&format!("/folders/operations/pathToId?path={path}")).await;
        text(&answer.json()["reference"], "resourceURL").to_owned()
    }
}

fn seq(answer: &Value) -> i64 {
    answer["lastModSeq"].as_i64().unwrap()
}

#[tokio::test]
async fn creations_flags_and_moves_make_an_event_for_each_item_they_change() {
    const OBJECT: &str = "changedObject";
    const FOLDER: &str = "changedFolder";
    let mut scene = Scene::new().await;
    let api = scene.server.api.clone();
    let object = scene.creates("/a/b").await;
    let (a, b) = (scene.folder_at("/a").await, scene.folder_at("/a/b").await);
    scene.tells("an object, and the folders it needs", &[(FOLDER, &a), (FOLDER, &b), (OBJECT, &object)]).await;
    let c = scene.folder(&a, "c").await;
    scene.tells("a folder", &[(FOLDER, &c)]).await;

    let flags = format!("{object}/flags");
    api.put(&flags, json!({ "flagList": { "flag": ["x"] } })).await;
    api.put(&format!("{flags}/y"), json!({ "empty": null })).await;
    api.delete(&format!("{flags}/x")).await;
    let set = json!({ "operation": "AddFlag", "flags": { "flag": ["z"] } });
    scene.bulk("bulkUpdate", &object, set.clone()).await;
    scene.tells("flags, in each of four ways", &[(OBJECT, object.as_str()); 4]).await;

    let read = async |url: &str, root: &str| api.get(url).await.json()[root].clone();
    let before = (seq(&read(&object, "object").await), seq(&read(&c, "folder").await));
    api.put(&flags, json!({ "flagList": { "flag": ["Z", "Y"] } })).await;
    api.put(&format!("{flags}/y"), json!({ "empty": null })).await;
    api.delete(&format!("{flags}/x")).await;
    scene.bulk("bulkUpdate", &object, set).await;
    api.put(&format!("{c}/folderName"), json!({ "name": "c" })).await;
    scene.put_into("move", &b, &object).await;
    scene.put_into("move", &a, &c).await;
    let after = (seq(&read(&object, "object").await), seq(&read(&c, "folder").await));
    assert_eq!(after, before, "what changes nothing is no change");

    api.put(&format!("{a}/folderName"), json!({ "name": "renamed" })).await;
    scene.tells("a name, and nothing below it", &[(FOLDER, &a)]).await;
    scene.put_into("move", &c, &object).await;
    scene.put_into("move", &c, &b).await;
    scene.tells("an object moved, a folder moved", &[(OBJECT, &object), (FOLDER, &b)]).await;
    let inside = scene.creates("/renamed/c/b").await;
    scene.tells("an object in a folder that is there", &[(OBJECT, &inside)]).await;

    let copy = scene.put_into("copy", &a, &object).await;
    scene.tells("an object copied", &[(OBJECT, &copy)]).await;
    let root = scene.url("/folders/root");
    let copy = scene.put_into("copy", &root, &c).await;
    let copied_b = scene.folder_at("/c/b").await;
    let found = scene.events(4).await;
    let kinds: Vec<_> = told(&found).iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, [FOLDER, OBJECT, FOLDER, OBJECT], "a folder copied, with everything in it");
    assert_eq!((told(&found)[0].1, told(&found)[2].1), (copy.as_str(), copied_b.as_str()));
    scene.nothing_more().await;
    scene.end().await;
}

#[tokio::test]
async fn deletions_expiries_and_resets_make_an_event_for_each_item_they_end() {
    let mut scene = Scene::new().await;
    let api = scene.server.api.clone();
    let mut objects = Vec::new();
    for path in ["/a", "/a", "/a", "/a", "/a/b", "/e", "/e/f"] {
        objects.push(scene.creates(path).await);
    }
    let folder = async |path: &str| scene.folder_at(path).await;
    let [a, b, e, f] = [folder("/a").await, folder("/a/b").await, folder("/e").await, folder("/e/f").await];
    scene.events(11).await;

    api.delete(&objects[0]).await;
    scene.bulk("bulkDelete", &objects[1], json!({})).await;
    scene.tells("two deleted", &[("deletedObject", &objects[0]), ("deletedObject", &objects[1])]).await;
    let id = |url: &str| url.rsplit('/').next().unwrap().parse::<i64>().unwrap();
    let stream = "default/tel:+15550001111";
    let expire = "select tocsin.end_object($1, $2, 'expired')";
    scene.sql.execute(expire, &[&stream, &id(&objects[2])]).await.unwrap();
    scene.tells("one expired", &[("expiredObject", &objects[2])]).await;

    api.delete(&a).await;
    let expected = [
        ("deletedObject", objects[4].as_str()),
        ("deletedFolder", &b),
        ("deletedObject", &objects[3]),
        ("deletedFolder", &a),
    ];
    scene.tells("a folder deleted", &expected).await;
    let expire = "select tocsin.end_folder($1, $2, 'expired')";
    scene.sql.execute(expire, &[&stream, &id(&e)]).await.unwrap();
    let expected = [
        ("expiredObject", objects[6].as_str()),
        ("expiredFolder", &f),
        ("expiredObject", &objects[5]),
        ("expiredFolder", &e),
    ];
    scene.tells("a folder expired", &expected).await;

    let (object, kept) = (scene.creates("/g").await, scene.folder_at("/g").await);
    scene.tells("another", &[("changedFolder", &kept), ("changedObject", &object)]).await;
    let reset = "insert into tocsin.events (stream, kind) values ($1, 'box.reset')";
    scene.sql.execute(reset, &[&stream]).await.unwrap();
    assert_eq!(scene.events(1).await, [("resetBox".to_owned(), Value::Null)], "and none of its items");
    for gone in [&object, &kept] {
        assert_eq!(api.get(gone).await.status, 404);
    }
    scene.nothing_more().await;
    scene.end().await;
}
