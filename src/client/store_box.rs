//! Boxes and the objects in them.

use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::event::{attributes, first_value, flags};
use super::{Attribute, Client, Filter, Result, member, unless_gone};
use crate::wire::urls::segment;

/// A box of a store.
#[derive(Debug, Clone)]
pub struct StoreBox<'a> {
    client: &'a Client,
    path: String,
}

/// An object to be created.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewObject {
    /// The path of its folder, which is made if it is not there; the root folder without one.
    pub folder_path: Option<String>,
    /// Its attributes.
    pub attributes: Vec<Attribute>,
    /// Its flags, as `\Seen`.
    pub flags: Vec<String>,
    /// The writer's name for it, at most 255 characters.
    pub correlation_id: Option<String>,
}

/// An object.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Object {
    /// Itself.
    #[serde(rename = "resourceURL")]
    pub resource_url: String,
    /// Its path.
    pub path: String,
    /// Its attributes.
    #[serde(default, deserialize_with = "attributes")]
    pub attributes: Vec<Attribute>,
    /// Its flags.
    #[serde(default, deserialize_with = "flags")]
    pub flags: Vec<String>,
    /// Where its payload is.
    #[serde(rename = "payloadURL")]
    pub payload_url: Option<String>,
    /// Number of its last change in the box.
    pub last_mod_seq: i64,
    /// The writer's name for it.
    pub correlation_id: Option<String>,
}

impl Object {
    /// The first value of an attribute.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        first_value(&self.attributes, name)
    }
}

/// What is searched for in a box, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Search {
    /// What is looked for: everything without one.
    #[serde(rename = "searchCriteria", skip_serializing_if = "Option::is_none")]
    pub filter: Option<Filter>,
    /// How many objects at most; the server has a limit of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_entries: Option<u32>,
    /// Go on after the last answer.
    #[serde(rename = "fromCursor", skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// What a search has found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Found {
    /// The objects.
    #[serde(rename = "object")]
    pub objects: Vec<Object>,
    /// With it the search goes on; `None` when this was all.
    pub cursor: Option<String>,
}

impl Client {
    /// A box of a store; most are in the store `default`.
    pub fn store_box(&self, store: &str, box_id: &str) -> StoreBox<'_> {
        StoreBox { client: self, path: format!("/nms/v1/{}/{}", segment(store), segment(box_id)) }
    }

    /// An object by its resourceURL; `None` when it is not there.
    ///
    /// # Errors
    /// Those of [`Client::ask`].
    pub async fn object(&self, url: &str) -> Result<Option<Object>> {
        self.find(url).await?.map(|answer| member(answer, "object")).transpose()
    }

    /// Sets a flag of an object: whether it was not set before.
    ///
    /// # Errors
    /// Refused with 404 when there is no such object.
    pub async fn set_flag(&self, object_url: &str, flag: &str) -> Result<bool> {
        let answer = self.ask(Method::PUT, &flag_url(object_url, flag), None).await?;
        Ok(!answer.is_null())
    }

    /// Removes a flag of an object: whether it was set.
    ///
    /// # Errors
    /// Those of [`Client::ask`].
    pub async fn remove_flag(&self, object_url: &str, flag: &str) -> Result<bool> {
        self.delete(&flag_url(object_url, flag)).await
    }

    /// Replaces all flags of an object: those that it has now; `None` when there is no such object.
    ///
    /// # Errors
    /// Those of [`Client::ask`].
    pub async fn replace_flags(&self, object_url: &str, flags: &[&str]) -> Result<Option<Vec<String>>> {
        let body = json!({ "flagList": { "flag": flags } });
        let answer = unless_gone(self.ask(Method::PUT, &format!("{object_url}/flags"), Some(body)).await)?;
        let read = |mut answer: Value| member(answer["flagList"].take(), "flag");
        answer.map(read).transpose()
    }
}

fn flag_url(object_url: &str, flag: &str) -> String {
    format!("{object_url}/flags/{}", segment(flag))
}

impl StoreBox<'_> {
    /// Creates an object: its resourceURL.
    ///
    /// # Errors
    /// Refused with 400 for what an object cannot be, with 404 for a box that is not the caller's.
    pub async fn create_object(&self, object: &NewObject) -> Result<String> {
        let mut fields = json!({
            "attributes": { "attribute": object.attributes },
            "flags": { "flag": object.flags },
        });
        for (name, value) in [("parentFolderPath", &object.folder_path), ("correlationId", &object.correlation_id)] {
            if let Some(value) = value {
                fields[name] = json!(value);
            }
        }
        let target = format!("{}/objects", self.path);
        let mut answer = self.client.ask(Method::POST, &target, Some(json!({ "object": fields }))).await?;
        member(answer["reference"].take(), "resourceURL")
    }

    /// Searches among the objects.
    ///
    /// # Errors
    /// Refused with 400 for a filter or a cursor that cannot be used.
    pub async fn search(&self, search: &Search) -> Result<Found> {
        let target = format!("{}/objects/operations/search", self.path);
        let answer = self.client.ask(Method::POST, &target, Some(json!({ "selectionCriteria": search }))).await?;
        member(answer, "objectList")
    }
}
