//! For those who run the server: what there is, and having what failed sent again. In JSON only.

use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::extract::{PathIds, Query};
use super::only;
use super::state::App;
use crate::base::ids::{BoxName, with_store};
use crate::base::{Error, Result};
use crate::channel::leases;
use crate::operator::{PAGE_DEFAULT, PAGE_MAX, Page, rows};
use crate::wire::operator as wire;
use crate::wire::schema::operator as schema;

/// Below `/api/operator`.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/boxes", only("GET", get(boxes)))
        .route("/channels", only("GET", get(channels)))
        .route("/subscriptions", only("GET", get(subscriptions)))
        .route("/senders", only("GET", get(senders)))
        .route("/senders/{channelId}/retry", only("POST", post(retry)))
        .route("/nodes", only("GET", get(nodes)))
}

/// The boxes in the order of their names; or those in which something has happened lately, the latest first, on one page.
#[utoipa::path(
    get, path = "/api/operator/boxes", tag = "operator", operation_id = "listBoxes",
    params(
        ("limit" = Option<u32>, Query, description = "Entries of the page"),
        ("after" = Option<String>, Query, description = "After the box of this name"),
        ("begins" = Option<String>, Query, description = "How the name begins: store/boxId, or boxId in the store default"),
        ("order" = Option<String>, Query, description = "name or recent; recent has one page and takes neither after nor begins"),
    ),
    responses((status = 200, body = schema::BoxPage))
)]
pub async fn boxes(app: App, query: Query) -> Result<Json<Value>> {
    let (limit, after, begins) = (limit(&query)?, query.text("after")?, query.text("begins")?);
    let found = match query.get("order") {
        None | Some("name") => {
            let begins = begins.map(with_store).unwrap_or_default();
            rows::boxes(&app.database, after.unwrap_or_default(), &begins, limit).await?
        }
        Some("recent") if after.is_none() && begins.is_none() => rows::recent_boxes(&app.database, limit).await?,
        Some(_) => return Err(Error::choice("order", "name, or recent without after and begins")),
    };
    let last = found.entries.last().map(|of| of.name.stream().as_str().to_owned());
    Ok(page(&app, "boxes", &query, &found, last.as_deref(), wire::of_box))
}

/// The channels in the order of their ids: of all users, or of one.
#[utoipa::path(
    get, path = "/api/operator/channels", tag = "operator", operation_id = "listAllChannels",
    params(
        ("limit" = Option<u32>, Query, description = "Entries of the page"),
        ("after" = Option<String>, Query, description = "After the channel with this id"),
        ("owner" = Option<String>, Query, description = "Of this user only"),
    ),
    responses((status = 200, body = schema::ChannelPage))
)]
pub async fn channels(app: App, query: Query) -> Result<Json<Value>> {
    let after = query.text("after")?.unwrap_or_default();
    let found = rows::channels(&app.database, after, query.text("owner")?, limit(&query)?).await?;
    let last = found.entries.last().map(|of| of.id.as_str());
    Ok(page(&app, "channels", &query, &found, last, wire::channel))
}

/// The subscriptions in the order of their ids: to all boxes, or to one.
#[utoipa::path(
    get, path = "/api/operator/subscriptions", tag = "operator", operation_id = "listAllSubscriptions",
    params(
        ("limit" = Option<u32>, Query, description = "Entries of the page"),
        ("after" = Option<String>, Query, description = "After the subscription with this id"),
        ("box" = Option<String>, Query, description = "To this box only: store/boxId, or boxId in the store default"),
    ),
    responses((status = 200, body = schema::SubscriptionPage))
)]
pub async fn subscriptions(app: App, query: Query) -> Result<Json<Value>> {
    let after = query.text("after")?.unwrap_or_default();
    let of_box = query.text("box")?.map(box_name).transpose()?;
    let found = rows::subscriptions(&app.database, after, of_box.as_ref(), limit(&query)?).await?;
    let last = found.entries.last().map(|of| of.id.as_str());
    Ok(page(&app, "subscriptions", &query, &found, last, wire::subscription))
}

/// What is pushed or posted to in vain, in the order of the channels' ids; or everything that is sent to.
#[utoipa::path(
    get, path = "/api/operator/senders", tag = "operator", operation_id = "listSenders",
    params(
        ("limit" = Option<u32>, Query, description = "Entries of the page"),
        ("after" = Option<String>, Query, description = "After the channel with this id"),
        ("state" = Option<String>, Query, description = "failing, what is disabled included; or all"),
    ),
    responses((status = 200, body = schema::SenderPage))
)]
pub async fn senders(app: App, query: Query) -> Result<Json<Value>> {
    let all = match query.get("state") {
        None | Some("failing") => false,
        Some("all") => true,
        Some(_) => return Err(Error::choice("state", "failing, all")),
    };
    let after = query.text("after")?.unwrap_or_default();
    let found = rows::senders(&app.database, after, all, limit(&query)?).await?;
    let last = found.entries.last().map(|of| of.channel.as_str());
    Ok(page(&app, "senders", &query, &found, last, wire::sender))
}

/// Has the next attempt made now, on whatever node: within 5 seconds. A disabled channel is enabled.
#[utoipa::path(
    post, path = "/api/operator/senders/{channelId}/retry", tag = "operator", operation_id = "retrySender",
    responses((status = 204))
)]
pub async fn retry(app: App, ids: PathIds) -> Result<StatusCode> {
    leases::retry(&app.database, &ids.channel()?).await?;
    app.delivery.channel_made.notify_one();
    Ok(StatusCode::NO_CONTENT)
}

/// The nodes on this database, the longest there first.
#[utoipa::path(
    get, path = "/api/operator/nodes", tag = "operator", operation_id = "listNodes",
    responses((status = 200, body = schema::Nodes))
)]
pub async fn nodes(app: App) -> Result<Json<Value>> {
    let nodes = rows::nodes(&app.database).await?;
    let results: Vec<Value> = nodes.iter().map(|node| wire::node(node, &app.node)).collect();
    Ok(Json(json!({ "results": results })))
}

fn limit(query: &Query) -> Result<u32> {
    query.limit(PAGE_DEFAULT, PAGE_MAX)
}

fn box_name(name: &str) -> Result<BoxName> {
    let name = with_store(name);
    let (store, id) = name.split_once('/').unwrap_or_default();
    BoxName::parse(store, id).map_err(|_| Error::invalid("box"))
}

/// A page of what was found, with the URL of the next one: the same query after the last entry.
fn page<T>(
    app: &App,
    path: &str,
    query: &Query,
    found: &Page<T>,
    last: Option<&str>,
    shown: impl Fn(&T) -> Value,
) -> Json<Value> {
    let next = last.filter(|_| found.more).map(|last| {
        let again = query.again(&["limit", "begins", "order", "owner", "box", "state"], ("after", last));
        app.urls.absolute(&format!("/api/operator/{path}?{again}"))
    });
    Json(wire::page(found.entries.iter().map(shown).collect(), next))
}
