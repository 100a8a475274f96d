//! Subscriptions to boxes, and what they are to deliver.

use std::time::Duration;

use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Channel, Client, Result, member};
use crate::base::ids::DEFAULT_STORE;
use crate::wire::urls::segment;

/// A subscription as the server tells of it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Subscription {
    /// The subscription itself.
    #[serde(rename = "resourceURL")]
    pub resource_url: String,
    /// The index of the next list, as far as the server knows what has arrived.
    pub index: i64,
    /// Everything up to here has arrived, as far as the server knows.
    pub restart_token: String,
    /// How long it lives unless it is prolonged, in seconds.
    #[serde(rename = "duration")]
    pub duration_seconds: u32,
}

/// How the criteria of a filter belong together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub enum Operator {
    /// All hold.
    #[default]
    And,
    /// One holds at least.
    Or,
    /// None holds.
    Not,
}

/// One thing that is looked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Criterion {
    #[serde(rename = "type")]
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    value: String,
}

impl Criterion {
    /// Of any type of the specification: `Date`, `Attribute`, `AllTextAttributes`, `Flag`, `WholeWord`, `VanishedObjects`,
    /// `CreatedObjects`, `PresetSearch`, `Conversation`.
    pub fn new(kind: &str, name: Option<&str>, value: &str) -> Self {
        Criterion { kind: kind.to_owned(), name: name.map(str::to_owned), value: value.to_owned() }
    }

    /// Objects that have this value of an attribute.
    pub fn attribute(name: &str, value: &str) -> Self {
        Criterion::new("Attribute", Some(name), value)
    }

    /// Objects that have a flag, or do not have it.
    pub fn flag(name: &str, set: bool) -> Self {
        Criterion::new("Flag", Some(name), if set { "true" } else { "false" })
    }
}

/// What is looked for in a search, and wanted of a subscription.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Filter {
    /// At most 100; the server refuses none at all.
    pub criterion: Vec<Criterion>,
    /// How they belong together.
    pub operator: Operator,
}

impl Filter {
    /// All criteria hold.
    pub fn all(criteria: impl IntoIterator<Item = Criterion>) -> Self {
        Filter { criterion: criteria.into_iter().collect(), operator: Operator::And }
    }
}

/// What a subscription is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// The store of the box.
    pub store: String,
    /// The box.
    pub box_id: String,
    /// What is wanted: everything without one.
    pub filter: Option<Filter>,
    /// Whether events carry the attributes of their objects.
    pub attributes: bool,
    /// Begin with what came after this moment, instead of with what comes from now on.
    pub restart_token: Option<String>,
    /// How long it is to live unless prolonged, in whole seconds: the server chooses without one.
    pub duration: Option<Duration>,
}

impl Wish {
    /// Everything that happens in a box of the store `default` from now on.
    pub fn of_box(box_id: &str) -> Self {
        Wish {
            store: DEFAULT_STORE.to_owned(),
            box_id: box_id.to_owned(),
            filter: None,
            attributes: false,
            restart_token: None,
            duration: None,
        }
    }

    /// The same after a restartToken.
    pub fn after(self, restart_token: &str) -> Self {
        Wish { restart_token: Some(restart_token.to_owned()), ..self }
    }

    /// The same of what a filter wants only.
    pub fn filtered(self, filter: Filter) -> Self {
        Wish { filter: Some(filter), ..self }
    }

    /// The same with the attributes of objects.
    pub fn with_attributes(self) -> Self {
        Wish { attributes: true, ..self }
    }

    fn body(&self, notify_url: &str) -> Value {
        let mut fields = json!({ "callbackReference": { "notifyURL": notify_url, "notificationFormat": "JSON" } });
        if let Some(filter) = &self.filter {
            fields["filter"] = json!(filter);
        }
        if self.attributes {
            fields["x-attributes"] = json!(true);
        }
        if let Some(duration) = self.duration {
            fields["duration"] = json!(duration.as_secs());
        }
        if let Some(token) = &self.restart_token {
            fields["restartToken"] = json!(token);
        }
        json!({ "nmsSubscription": fields })
    }
}

impl Client {
    /// Subscribes a channel to a box.
    ///
    /// # Errors
    /// Besides those of any request, refused with 400 for a filter or a restartToken that cannot be used, and with 404 for
    /// a box that is not the caller's.
    pub async fn subscribe(&self, channel: &Channel, wish: &Wish) -> Result<Subscription> {
        let target = format!("/nms/v1/{}/{}/subscriptions", segment(&wish.store), segment(&wish.box_id));
        self.ask(Method::POST, &target, Some(wish.body(&channel.callback_url))).await.and_then(read)
    }

    /// A subscription as it is now; `None` when it has ended.
    ///
    /// # Errors
    /// Those of any request.
    pub async fn subscription(&self, url: &str) -> Result<Option<Subscription>> {
        self.find(url).await?.map(read).transpose()
    }

    /// Has a subscription begin again after a moment; its indexes go on. `None` when it has ended.
    ///
    /// # Errors
    /// Refused with 400 for a restartToken that cannot be used.
    pub async fn rewind(&self, url: &str, restart_token: &str) -> Result<Option<Subscription>> {
        self.update(url, json!({ "restartToken": restart_token })).await
    }

    /// Prolongs a subscription: the server chooses for how long, unless told. `None` when it has ended.
    ///
    /// # Errors
    /// Those of any request.
    pub async fn prolong(&self, url: &str, duration: Option<Duration>) -> Result<Option<Subscription>> {
        self.update(url, json!({ "duration": duration.unwrap_or_default().as_secs() })).await
    }

    async fn update(&self, url: &str, fields: Value) -> Result<Option<Subscription>> {
        let body = json!({ "nmsSubscriptionUpdate": fields });
        super::unless_gone(self.ask(Method::POST, url, Some(body)).await)?.map(read).transpose()
    }
}

fn read(answer: Value) -> Result<Subscription> {
    member(answer, "nmsSubscription")
}
