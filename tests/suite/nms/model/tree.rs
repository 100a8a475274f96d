//! The model: a tree of folders with objects in them; and what REST shows of one.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::BOX;
use crate::nms::text;
use crate::support::client::Api;

/// Key of the root folder.
pub const ROOT: usize = 0;

/// A folder as the model knows it.
#[derive(Debug, Clone)]
pub struct Folder {
    pub parent: usize,
    pub name: String,
    /// The server's, once it was seen.
    pub url: Option<String>,
}

/// An object as the model knows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    pub folder: usize,
    pub text: String,
    /// As first spelled.
    pub flags: Vec<String>,
    pub url: Option<String>,
}

/// A box, as it should be.
#[derive(Debug, Default)]
pub struct Tree {
    pub folders: BTreeMap<usize, Folder>,
    pub objects: BTreeMap<usize, Object>,
    made: usize,
}

/// An object as REST shows it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ShownObject {
    /// Path of its folder.
    pub path: String,
    pub text: String,
    pub flags: BTreeSet<String>,
    pub folder_url: String,
}

/// A folder as REST shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownFolder {
    pub url: String,
    pub parent_url: String,
    pub name: String,
}

/// A box, as REST shows it.
#[derive(Debug, Default)]
pub struct Shown {
    /// By path.
    pub folders: BTreeMap<String, ShownFolder>,
    /// By URL.
    pub objects: BTreeMap<String, ShownObject>,
}

impl Tree {
    fn key(&mut self) -> usize {
        self.made += 1;
        self.made
    }

    /// A new folder.
    pub fn add_folder(&mut self, parent: usize, name: &str) -> usize {
        let key = self.key();
        self.folders.insert(key, Folder { parent, name: name.to_owned(), url: None });
        key
    }

    /// A new object.
    pub fn add_object(&mut self, folder: usize, text: &str, flags: &[&str], url: Option<String>) {
        let key = self.key();
        let mut object = Object { folder, text: text.to_owned(), flags: Vec::new(), url };
        object.add_flags(flags);
        self.objects.insert(key, object);
    }

    /// The folder of a name in another one.
    pub fn child(&self, parent: usize, name: &str) -> Option<usize> {
        self.folders.iter().find(|(_, folder)| folder.parent == parent && folder.name == name).map(|(key, _)| *key)
    }

    /// The folder at a path, made when it is not there.
    pub fn folder_at(&mut self, path: &str) -> usize {
        let parts = path.split('/').filter(|part| !part.is_empty());
        parts.fold(ROOT, |above, part| self.child(above, part).unwrap_or_else(|| self.add_folder(above, part)))
    }

    /// The path of a folder.
    pub fn path(&self, key: usize) -> String {
        match self.folders.get(&key) {
            Some(folder) => format!("{}/{}", self.path(folder.parent), folder.name),
            None => String::new(),
        }
    }

    /// Whether a folder is another one or below it.
    pub fn is_in(&self, mut key: usize, top: usize) -> bool {
        while key != top {
            match self.folders.get(&key) {
                Some(folder) => key = folder.parent,
                None => return false,
            }
        }
        true
    }

    /// A folder goes, with what is in it.
    pub fn remove_folder(&mut self, top: usize) {
        let gone: BTreeSet<usize> = self.folders.keys().copied().filter(|key| self.is_in(*key, top)).collect();
        self.objects.retain(|_, object| !gone.contains(&object.folder));
        self.folders.retain(|key, _| !gone.contains(key));
    }

    /// A folder with what is in it is made a second time.
    pub fn copy_folder(&mut self, top: usize, target: usize) {
        let inside: Vec<usize> = self.folders.keys().copied().filter(|key| self.is_in(*key, top)).collect();
        let objects: Vec<Object> =
            self.objects.values().filter(|object| inside.contains(&object.folder)).cloned().collect();
        let mut copies = BTreeMap::new();
        let mut waiting = vec![(top, target)];
        while let Some((from, to)) = waiting.pop() {
            let name = self.folders[&from].name.clone();
            copies.insert(from, self.add_folder(to, &name));
            let below = inside.iter().filter(|key| self.folders[key].parent == from);
            waiting.extend(below.map(|key| (*key, copies[&from])));
        }
        for object in objects {
            let key = self.key();
            self.objects.insert(key, Object { folder: copies[&object.folder], url: None, ..object });
        }
    }

    /// Everything goes.
    pub fn reset(&mut self) {
        self.folders.clear();
        self.objects.clear();
    }

    /// Holds the model against what is shown, and learns the URLs of what is new.
    pub fn reconcile(&mut self, shown: &Shown) -> Result<(), String> {
        let paths: BTreeMap<String, usize> = self.folders.keys().map(|key| (self.path(*key), *key)).collect();
        if !paths.keys().eq(shown.folders.keys()) {
            return Err(format!("folders {:?}, shown {:?}", paths.keys(), shown.folders.keys()));
        }
        for (path, key) in &paths {
            let url = &shown.folders[path].url;
            let known = self.folders.get_mut(key).and_then(|folder| folder.url.replace(url.clone()));
            if known.is_some_and(|known| known != *url) {
                return Err(format!("{path} is another folder now"));
            }
        }
        let mut left = shown.objects.clone();
        let paths: BTreeMap<usize, String> = self.objects.iter().map(|(key, o)| (*key, self.path(o.folder))).collect();
        let mut fresh = Vec::new();
        for (key, object) in &mut self.objects {
            let Some(url) = &object.url else {
                fresh.push(*key);
                continue;
            };
            match left.remove(url) {
                Some(one) if one.is(object, &paths[key]) => {}
                other => return Err(format!("{object:?} in {}, shown {other:?}", paths[key])),
            }
        }
        for key in fresh {
            let object = &self.objects[&key];
            let found = left.iter().find(|(_, one)| one.is(object, &paths[&key])).map(|(url, _)| url.clone());
            let Some(url) = found else { return Err(format!("{object:?} in {} is not shown", paths[&key])) };
            left.remove(&url);
            self.objects.entry(key).and_modify(|object| object.url = Some(url));
        }
        if left.is_empty() { Ok(()) } else { Err(format!("shown, but not in the model: {left:?}")) }
    }
}

impl Object {
    /// As a set without case.
    pub fn add_flags(&mut self, flags: &[&str]) {
        for flag in flags {
            if !self.flags.iter().any(|one| one.eq_ignore_ascii_case(flag)) {
                self.flags.push((*flag).to_owned());
            }
        }
    }

    /// As a set without case.
    pub fn remove_flags(&mut self, flags: &[&str]) {
        self.flags.retain(|one| !flags.iter().any(|flag| flag.eq_ignore_ascii_case(one)));
    }

    /// What is set already keeps its spelling.
    pub fn set_flags(&mut self, flags: &[&str]) {
        self.flags.retain(|one| flags.iter().any(|flag| flag.eq_ignore_ascii_case(one)));
        self.add_flags(flags);
    }
}

impl ShownObject {
    fn is(&self, object: &Object, path: &str) -> bool {
        self.path == path && self.text == object.text && self.flags == object.flags.iter().cloned().collect()
    }
}

/// What REST shows: the folders by walking them, the objects by searching; and both say the same of each other.
pub async fn shown(api: &Api) -> Shown {
    let mut shown = Shown::default();
    let mut listed = BTreeSet::new();
    let mut waiting = vec![format!("{}{BOX}/folders/root", api.url)];
    while let Some(url) = waiting.pop() {
        let mut cursor = String::new();
        loop {
            let answer = api.get(&format!("{url}?listFilter=All&maxEntries=3&path=Yes{cursor}")).await;
            assert_eq!(answer.status, 200, "{}", answer.text);
            let folder = answer.json()["folder"].clone();
            if let Some(parent) = folder.get("parentFolder").and_then(Value::as_str) {
                let shown_folder = ShownFolder {
                    url: text(&folder, "resourceURL").to_owned(),
                    parent_url: parent.to_owned(),
                    name: text(&folder, "name").to_owned(),
                };
                shown.folders.insert(text(&folder, "path").to_owned(), shown_folder);
            }
            for below in folder["subFolders"]["folderReference"].as_array().unwrap() {
                waiting.push(text(below, "resourceURL").to_owned());
            }
            for object in folder["objects"]["objectReference"].as_array().unwrap() {
                assert!(listed.insert((url.clone(), text(object, "resourceURL").to_owned())), "listed twice: {object}");
            }
            let Some(next) = folder["cursor"].as_str() else { break };
            cursor = format!("&fromCursor={next}");
        }
    }
    let mut from = Value::Null;
    loop {
        let criteria = json!({ "selectionCriteria": { "maxEntries": 4, "fromCursor": from } });
        let answer = api.post(&format!("{BOX}/objects/operations/search"), criteria).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let list = answer.json()["objectList"].clone();
        for object in list["object"].as_array().unwrap() {
            let url = text(object, "resourceURL").to_owned();
            let before = shown.objects.insert(url.clone(), shown_object(object));
            assert!(before.is_none(), "found twice: {url}");
        }
        from = list["cursor"].clone();
        if from.is_null() {
            break;
        }
    }
    let found: BTreeSet<_> =
        shown.objects.iter().map(|(url, object)| (object.folder_url.clone(), url.clone())).collect();
    assert_eq!(listed, found, "folders list what searches find");
    shown
}

fn shown_object(object: &Value) -> ShownObject {
    let attributes = object["attributes"]["attribute"].as_array().unwrap();
    let content = attributes.iter().find(|attribute| attribute["name"] == "TextContent").unwrap();
    let (path, id) = text(object, "path").rsplit_once('/').unwrap();
    assert_eq!(text(object, "resourceURL").rsplit('/').next(), Some(id));
    ShownObject {
        path: path.to_owned(),
        text: content["value"][0].as_str().unwrap().to_owned(),
        flags: object["flags"]["flag"].as_array().unwrap().iter().map(|flag| flag.as_str().unwrap().into()).collect(),
        folder_url: text(object, "parentFolder").to_owned(),
    }
}
