//! What a client knows of a box, and how it learns the rest: by nothing but events.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::tree::Shown;
use crate::nms::text;
use crate::support::client::{Api, Socket};

/// A client's copy of a box.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Copy {
    /// By URL: the folder's URL and the flags.
    objects: BTreeMap<String, (String, BTreeSet<String>)>,
    /// By URL: the parent's URL and the name.
    folders: BTreeMap<String, (String, String)>,
}

impl Copy {
    /// Of what REST shows.
    pub fn of(shown: &Shown) -> Copy {
        let objects = shown.objects.iter().map(|(url, one)| (url.clone(), (one.folder_url.clone(), one.flags.clone())));
        let folders = shown.folders.values().map(|one| (one.url.clone(), (one.parent_url.clone(), one.name.clone())));
        Copy { objects: objects.collect(), folders: folders.collect() }
    }

    /// Subscribes with a restartToken, and takes what comes up to another one.
    pub async fn catch_up(&mut self, api: &Api, from: &str, to: &str) {
        if from == to {
            return;
        }
        let channel = api.channel("alice").await;
        api.subscribe_with("b", &channel, json!({ "restartToken": from })).await;
        let mut socket = Socket::open(&channel).await;
        loop {
            let list = socket.list().await;
            list.events.iter().for_each(|event| self.learn(event));
            if list.token == to {
                break;
            }
        }
    }

    fn learn(&mut self, event: &Value) {
        let (kind, fields) = event.as_object().unwrap().iter().next().unwrap();
        let url = || text(fields, "resourceURL").to_owned();
        match kind.as_str() {
            "changedObject" => {
                let flags = fields["flags"]["flag"].as_array().unwrap();
                let flags = flags.iter().map(|flag| flag.as_str().unwrap().to_owned()).collect();
                self.objects.insert(url(), (text(fields, "parentFolder").to_owned(), flags));
            }
            "deletedObject" | "expiredObject" => drop(self.objects.remove(&url()).expect("it was known")),
            "changedFolder" => {
                let folder = (text(fields, "parentFolder").to_owned(), text(fields, "name").to_owned());
                self.folders.insert(url(), folder);
            }
            "deletedFolder" | "expiredFolder" => drop(self.folders.remove(&url()).expect("it was known")),
            "resetBox" => *self = Copy::default(),
            other => panic!("{other}"),
        }
    }
}
