//! Where a user wants to be told of notifications, beside sockets.

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Map, Value, json};

use crate::base::{Error, Result};
use crate::channel::{Channel, Transport};
use crate::http::caller::Caller;
use crate::http::created;
use crate::http::extract::{Body, PathIds};
use crate::http::represent::{Document, Reads};
use crate::http::state::App;
use crate::inbox::rows;
use crate::outbound::ways::{self, Unusable};
use crate::wire::schema;

/// All of them.
#[utoipa::path(
    get, path = "/api/notifications/targets", tag = "inbox", operation_id = "listTargets",
    responses((status = 200, body = schema::inbox::Targets))
)]
pub async fn list(app: App, Caller(user): Caller, _: Reads) -> Result<Document> {
    let targets = rows::targets(&app.database, &user).await?;
    Ok(super::all(targets.iter().map(|target| shown(&app, target)).collect()))
}

/// One more: `channel`, and what that way of delivery needs to know.
#[utoipa::path(
    post, path = "/api/notifications/targets", tag = "inbox", operation_id = "addTarget",
    request_body = schema::inbox::Target,
    responses((status = 201, body = schema::inbox::Target))
)]
pub async fn create(app: App, Caller(user): Caller, _: Reads, body: Body) -> Result<Response> {
    let mut members: Map<String, Value> =
        serde_json::from_slice(&body.bytes).map_err(|_| Error::invalid("Request-Body"))?;
    let name = members.remove("channel").unwrap_or_default();
    let known = || ways::WAYS.map(|way| way.name()).join(", ");
    let way = name.as_str().and_then(ways::way).ok_or_else(|| Error::choice("channel", &known()))?;
    let target = Value::Object(members);
    way.check(&app.senders, &target).map_err(|unusable| match unusable {
        Unusable::Member(member) => Error::invalid(member),
        Unusable::NotOffered => Error::Unavailable { feature: way.name().to_owned() },
    })?;
    rows::open(&app.database, &user).await?;
    let most = app.limits.channels_per_user_max;
    let target = rows::add_target(&app.database, &user, way.name(), target, most).await?;
    app.delivery.channel_made.notify_one();
    let location = app.urls.absolute(&format!("/api/notifications/targets/{}", target.id));
    Ok(created(&location, shown(&app, &target)))
}

/// Nothing is delivered there any more.
#[utoipa::path(
    delete, path = "/api/notifications/targets/{targetId}", tag = "inbox", operation_id = "removeTarget",
    responses((status = 204))
)]
pub async fn delete(app: App, Caller(user): Caller, ids: PathIds) -> Result<StatusCode> {
    rows::delete_target(&app.database, &user, &ids.target()?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What only we say of a target, whatever its user has said.
const OURS: [&str; 3] = ["id", "secret", "disabled"];

fn shown(app: &App, target: &Channel) -> Value {
    let mut shown = json!({ "id": target.id.as_str() });
    if let Transport::Inbox { way, target: Value::Object(members), .. } = &target.settings.transport {
        shown["channel"] = json!(way);
        for (name, value) in members.iter().filter(|(name, _)| !OURS.contains(&name.as_str())) {
            shown[name] = value.clone();
        }
        if way == "webhook" {
            shown["secret"] = json!(app.urls.webhook_secret(&target.id));
        }
    }
    shown["disabled"] = json!(target.disabled.as_ref().map(|disabled| &disabled.why));
    shown
}
