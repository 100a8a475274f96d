//! What is done to the box, to the model alike.

use reqwest::Method;
use serde_json::{Value, json};

use super::tree::ROOT;
use super::{BOX, World};
use crate::support::client::Answer;

const PATHS: [&str; 6] = ["/", "/a", "/a/b", "/a/b/c", "/b", "/c/a"];
const NAMES: [&str; 4] = ["a", "b", "c", "d"];
const FLAGS: [&str; 6] = ["\\Seen", "\\SEEN", "\\Flagged", "urgent", "Urgent", "$Forwarded"];

impl World {
    /// Does something, and says what.
    pub async fn operate(&mut self, step: usize) -> String {
        let text = format!("message {step}");
        let what = self.dice(100);
        match what {
            0..12 => self.insert_by_sql(&text).await,
            12..24 => self.create_by_rest(&text).await,
            24..30 => self.change_by_sql().await,
            30..34 => self.delete_by_sql().await,
            34..46 => self.change_one_flag().await,
            46..51 => self.replace_flags().await,
            51..56 => self.update_many().await,
            56..60 => self.delete_objects().await,
            60..68 => self.create_folder().await,
            68..75 => self.rename_folder().await,
            75..85 => self.move_items().await,
            85..92 => self.copy_items().await,
            92..98 => self.delete_folder().await,
            _ => self.reset().await,
        }
    }

    async fn run(&self, statement: &str) {
        self.sql.batch_execute(statement).await.unwrap_or_else(|fault| panic!("{statement}: {fault:?}"));
    }

    fn flags(&mut self) -> Vec<&'static str> {
        let count = self.dice(3);
        (0..count).map(|_| FLAGS[self.dice(FLAGS.len())]).collect()
    }

    /// Some objects: their keys.
    fn some_objects(&mut self) -> Vec<usize> {
        let all: Vec<usize> = self.tree.objects.keys().copied().collect();
        let count = self.dice(4);
        let mut some: Vec<usize> = (0..count).filter_map(|_| self.one_of(&all)).collect();
        some.dedup();
        some
    }

    fn an_object(&mut self) -> Option<usize> {
        let all: Vec<usize> = self.tree.objects.keys().copied().collect();
        self.one_of(&all)
    }

    fn a_folder(&mut self) -> Option<usize> {
        let all: Vec<usize> = self.tree.folders.keys().copied().collect();
        self.one_of(&all)
    }

    /// A folder or the root folder.
    fn a_place(&mut self) -> usize {
        let mut all: Vec<usize> = self.tree.folders.keys().copied().collect();
        all.push(ROOT);
        self.one_of(&all).unwrap_or(ROOT)
    }

    fn object_url(&self, key: usize) -> String {
        self.tree.objects[&key].url.clone().expect("it was seen")
    }

    fn folder_url(&self, key: usize) -> String {
        match self.tree.folders.get(&key) {
            Some(folder) => folder.url.clone().expect("it was seen"),
            None => format!("{}{BOX}/folders/root", self.api.url),
        }
    }

    async fn insert_by_sql(&mut self, text: &str) -> String {
        let (path, flags) = (PATHS[self.dice(PATHS.len())], self.flags());
        let insert = "insert into tocsin.messages (box_id, body, folder, flags) values ('b', $1, $2, $3) returning id";
        let id: i64 = self.sql.query_one(insert, &[&text, &path, &flags]).await.unwrap().get(0);
        let folder = self.tree.folder_at(path);
        let url = format!("{}{BOX}/objects/{id}", self.api.url);
        self.tree.add_object(folder, text, &flags, Some(url));
        format!("insert into {path}")
    }

    async fn create_by_rest(&mut self, text: &str) -> String {
        let flags = self.flags();
        let mut object = json!({
            "attributes": { "attribute": [{ "name": "TextContent", "value": [text] }] }, "flags": { "flag": flags } });
        let folder = if self.dice(2) == 0 {
            let path = PATHS[self.dice(PATHS.len())];
            object["parentFolderPath"] = json!(path);
            self.tree.folder_at(path)
        } else {
            let folder = self.a_place();
            object["parentFolder"] = json!(self.folder_url(folder));
            folder
        };
        let answer = self.api.post(&format!("{BOX}/objects"), json!({ "object": object })).await;
        let url = answer.header("location").to_owned();
        assert_eq!((answer.status.as_u16(), &answer.json()["reference"]["resourceURL"]), (201, &json!(url)));
        self.tree.add_object(folder, text, &flags, Some(url));
        "POST object".to_owned()
    }

    async fn change_by_sql(&mut self) -> String {
        let Some(key) = self.an_object() else { return "nothing".to_owned() };
        let id = self.object_url(key).rsplit('/').next().unwrap().to_owned();
        if self.dice(2) == 0 {
            let path = PATHS[self.dice(PATHS.len())];
            self.run(&format!("update tocsin.messages set folder = '{path}' where id = {id}")).await;
            let folder = self.tree.folder_at(path);
            self.tree.objects.entry(key).and_modify(|object| object.folder = folder);
            return format!("update {id} set folder {path}");
        }
        let flag = FLAGS[self.dice(FLAGS.len())];
        self.run(&format!("update tocsin.messages set flags = flags || array['{flag}'] where id = {id}")).await;
        self.tree.objects.entry(key).and_modify(|object| object.add_flags(&[flag]));
        format!("update {id} add {flag}")
    }

    async fn delete_by_sql(&mut self) -> String {
        let Some(key) = self.an_object() else { return "nothing".to_owned() };
        let id = self.object_url(key).rsplit('/').next().unwrap().to_owned();
        self.run(&format!("delete from tocsin.messages where id = {id}")).await;
        self.tree.objects.remove(&key);
        format!("delete {id}")
    }

    async fn change_one_flag(&mut self) -> String {
        let Some(key) = self.an_object() else { return "nothing".to_owned() };
        let flag = FLAGS[self.dice(FLAGS.len())];
        let url = format!("{}/flags/{}", self.object_url(key), flag.replace('\\', "%5C"));
        let (method, is_set) = (if self.dice(3) == 0 { Method::DELETE } else { Method::PUT }, {
            self.tree.objects[&key].flags.iter().any(|one| one.eq_ignore_ascii_case(flag))
        });
        let answer = self.api.send(method.clone(), &url, &[], None).await;
        let expected = match (&method, is_set) {
            (&Method::PUT, false) => 201,
            (&Method::DELETE, false) => 404,
            _ => 204,
        };
        assert_eq!(answer.status.as_u16(), expected, "{method} {url}");
        self.tree.objects.entry(key).and_modify(|object| match method {
            Method::PUT => object.add_flags(&[flag]),
            _ => object.remove_flags(&[flag]),
        });
        format!("{method} {url}")
    }

    async fn replace_flags(&mut self) -> String {
        let Some(key) = self.an_object() else { return "nothing".to_owned() };
        let flags = self.flags();
        let answer =
            self.api.put(&format!("{}/flags", self.object_url(key)), json!({ "flagList": { "flag": flags } })).await;
        assert_eq!(answer.status, 200);
        self.tree.objects.entry(key).and_modify(|object| object.set_flags(&flags));
        format!("PUT flags {flags:?}")
    }

    fn references(&self, keys: &[usize]) -> Value {
        json!(keys.iter().map(|key| json!({ "resourceURL": self.object_url(*key) })).collect::<Vec<_>>())
    }

    async fn update_many(&mut self) -> String {
        let (some, flag) = (self.some_objects(), FLAGS[self.dice(FLAGS.len())]);
        let adds = self.dice(2) == 0;
        if some.is_empty() {
            return "nothing".to_owned();
        }
        let operation = if adds { "AddFlag" } else { "RemoveFlag" };
        let body = json!({ "bulkUpdate": {
            "objects": { "objectReference": self.references(&some) }, "operation": operation,
            "flags": { "flag": [flag] } } });
        let answer = self.api.post(&format!("{BOX}/objects/operations/bulkUpdate"), body).await;
        assert_all_went_well(&answer, some.len());
        for key in &some {
            self.tree.objects.entry(*key).and_modify(|object| match adds {
                true => object.add_flags(&[flag]),
                false => object.remove_flags(&[flag]),
            });
        }
        format!("bulkUpdate {operation} {flag} of {some:?}")
    }

    async fn delete_objects(&mut self) -> String {
        let mut some = self.some_objects();
        some.sort_unstable();
        some.dedup();
        match some.as_slice() {
            [] => return "nothing".to_owned(),
            [one] => assert_eq!(self.api.delete(&self.object_url(*one)).await.status, 204),
            many => {
                let body = json!({ "bulkDelete": { "objects": { "objectReference": self.references(many) } } });
                let answer = self.api.post(&format!("{BOX}/objects/operations/bulkDelete"), body).await;
                assert_all_went_well(&answer, many.len());
            }
        }
        self.tree.objects.retain(|key, _| !some.contains(key));
        format!("delete {some:?}")
    }

    async fn create_folder(&mut self) -> String {
        let (parent, name) = (self.a_place(), NAMES[self.dice(NAMES.len())]);
        let folder = json!({ "folder": {
            "parentFolder": self.folder_url(parent), "name": name, "attributes": { "attribute": [] } } });
        let answer = self.api.post(&format!("{BOX}/folders"), folder).await;
        match self.tree.child(parent, name) {
            Some(_) => assert_eq!((answer.status.as_u16(), answer.fault().0.as_str()), (403, "POL0001")),
            None => {
                assert_eq!(answer.status, 201, "{}", answer.text);
                self.tree.add_folder(parent, name);
            }
        }
        format!("POST folder {name} in {}", self.tree.path(parent))
    }

    async fn rename_folder(&mut self) -> String {
        let Some(key) = self.a_folder() else { return "nothing".to_owned() };
        let name = NAMES[self.dice(NAMES.len())];
        let answer = self.api.put(&format!("{}/folderName", self.folder_url(key)), json!({ "name": name })).await;
        match self.tree.child(self.tree.folders[&key].parent, name) {
            Some(other) if other != key => assert_eq!(answer.status, 403, "{}", answer.text),
            _ => {
                assert_eq!((answer.status.as_u16(), answer.json()), (200, json!({ "name": name })));
                self.tree.folders.entry(key).and_modify(|folder| folder.name = name.to_owned());
            }
        }
        format!("rename to {name}")
    }

    /// `targetSourceRef` of a folder and some objects.
    fn sources(&self, target: usize, folder: Option<usize>, objects: &[usize]) -> Value {
        let folders: Vec<Value> = folder.iter().map(|key| json!({ "resourceURL": self.folder_url(*key) })).collect();
        json!({ "targetSourceRef": {
            "targetRef": { "resourceURL": self.folder_url(target) },
            "sourceRefs": {
                "folders": { "folderReference": folders },
                "objects": { "objectReference": self.references(objects) } } } })
    }

    async fn move_items(&mut self) -> String {
        let (target, folder, objects) = (self.a_place(), self.a_folder(), self.some_objects());
        let folder = folder.filter(|_| self.dice(2) == 0);
        let body = self.sources(target, folder, &objects);
        let answer = self.api.post(&format!("{BOX}/folders/operations/moveToFolder"), body).await;
        let codes = codes(&answer);
        if let Some(key) = folder {
            let moved = &self.tree.folders[&key];
            let taken = self.tree.child(target, &moved.name).is_some_and(|other| other != key);
            let expected = match self.tree.is_in(target, key) {
                true => 400,
                false if taken => 403,
                false => 200,
            };
            assert_eq!(codes[0], expected, "{}", answer.text);
            if expected == 200 {
                self.tree.folders.entry(key).and_modify(|folder| folder.parent = target);
            }
        }
        let of_objects = &codes[usize::from(folder.is_some())..];
        assert_eq!(of_objects, vec![200; objects.len()]);
        for key in &objects {
            self.tree.objects.entry(*key).and_modify(|object| object.folder = target);
        }
        format!("move {folder:?} {objects:?} to {target}")
    }

    async fn copy_items(&mut self) -> String {
        let (target, folder, objects) = (self.a_place(), self.a_folder(), self.some_objects());
        let folder = folder.filter(|key| self.dice(2) == 0 && !self.tree.is_in(target, *key));
        if self.tree.objects.len() > 60 {
            return "nothing: there are enough".to_owned();
        }
        let body = self.sources(target, folder, &objects);
        let answer = self.api.post(&format!("{BOX}/folders/operations/copyToFolder"), body).await;
        let codes = codes(&answer);
        if let Some(key) = folder {
            let taken = self.tree.child(target, &self.tree.folders[&key].name).is_some();
            assert_eq!(codes[0], if taken { 403 } else { 200 }, "{}", answer.text);
            if !taken {
                self.tree.copy_folder(key, target);
            }
        }
        for key in &objects {
            let object = self.tree.objects[key].clone();
            let flags: Vec<&str> = object.flags.iter().map(String::as_str).collect();
            self.tree.add_object(target, &object.text, &flags, None);
        }
        format!("copy {folder:?} {objects:?} to {target}")
    }

    async fn delete_folder(&mut self) -> String {
        let Some(key) = self.a_folder() else { return "nothing".to_owned() };
        assert_eq!(self.api.delete(&self.folder_url(key)).await.status, 204);
        let path = self.tree.path(key);
        self.tree.remove_folder(key);
        format!("DELETE folder {path}")
    }

    async fn reset(&mut self) -> String {
        self.run("insert into tocsin.events (stream, kind) values ('b', 'box.reset')").await;
        self.tree.reset();
        "box.reset".to_owned()
    }
}

/// The codes of a `bulkResponseList`.
fn codes(answer: &Answer) -> Vec<u64> {
    assert_eq!(answer.status, 200, "{}", answer.text);
    let body = answer.json();
    let responses = body["bulkResponseList"]["response"].as_array().expect("responses");
    responses.iter().map(|response| response["code"].as_u64().unwrap()).collect()
}

fn assert_all_went_well(answer: &Answer, count: usize) {
    assert_eq!(codes(answer), vec![200; count], "{}", answer.text);
}
