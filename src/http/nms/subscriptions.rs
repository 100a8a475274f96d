//! Subscriptions of a box (rows 17 and 18 of the resource table).

use axum::Json;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::Value;

use crate::base::ids::{BoxName, SubscriptionId};
use crate::base::{Error, Result};
use crate::channel::leases;
use crate::config::Limits;
use crate::http::access::Asking;
use crate::http::created;
use crate::http::extract::{Body, PathIds, Query};
use crate::http::represent::{Document, Reads};
use crate::http::state::App;
use crate::subscription::explain;
use crate::subscription::rows::{self, Creation, Most, NewSubscription, Update};
use crate::subscription::{Subscriber, Subscription, Target};
use crate::wire::nms;
use crate::wire::schema;

/// The live subscriptions of the box: those of the caller.
#[utoipa::path(
    get, path = "/nms/v1/{storeName}/{boxId}/subscriptions", tag = "subscriptions", operation_id = "listSubscriptions",
    responses((status = 200, body = schema::nms::NmsSubscriptionListDocument))
)]
pub async fn list(app: App, asking: Asking, ids: PathIds, _: Reads) -> Result<Document> {
    let of = ids.store_box()?;
    app.confirmations.flush(&app.database).await?;
    let mut subscriptions = rows::list(&app.database, &of).await?;
    subscriptions.retain(|subscription| asking.confined_to().is_none_or(|user| subscription.is_of(user)));
    Ok(Document(nms::subscription_list(&of, &subscriptions, &app.urls)))
}

/// A new subscription that delivers to one of our channels or to a URL of its client; or the one that the same request
/// made before.
#[utoipa::path(
    post, path = "/nms/v1/{storeName}/{boxId}/subscriptions", tag = "subscriptions", operation_id = "createSubscription",
    request_body = schema::nms::NmsSubscriptionDocument,
    responses((status = 201, body = schema::nms::NmsSubscriptionDocument), (status = 409))
)]
pub async fn create(app: App, asking: Asking, ids: PathIds, _: Reads, body: Body) -> Result<Response> {
    let of = ids.store_box()?;
    let spoken = body.format();
    let wish = nms::read_subscription(body.fields("nmsSubscription")?)?;
    let new = NewSubscription {
        target: target(&app, wish.notify_url)?,
        of: of.clone(),
        callback_data: wish.callback_data,
        format: wish.format.unwrap_or(spoken),
        filter: wish.filter,
        attributes: wish.attributes,
        client_correlator: wish.client_correlator.clone(),
        duration_seconds: granted(wish.duration_seconds, &app.limits),
        restart_token: wish.restart_token,
        subscriber: subscriber(asking),
    };
    let limits = &app.limits;
    let most = Most {
        on_channel: limits.subscriptions_per_channel_max,
        on_box: limits.subscriptions_per_box_max,
        at_urls: limits.channels_per_user_max,
    };
    app.confirmations.flush(&app.database).await?;
    let answer = match rows::create(&app.database, new, most).await? {
        Creation::New(mut answer) => {
            if let Some(token) = wish.restart_token {
                answer.cursor.next_at = token; // exactly the one in the request (spec/nms 4.1)
            }
            answer
        }
        Creation::There(answer) => answer,
        Creation::Duplicate(id) => {
            return Err(Error::Duplicate {
                correlator: wish.client_correlator.unwrap_or_default(),
                rel: "NmsSubscription",
                href: app.urls.subscription(&of, &id),
            });
        }
    };
    call_on(&app, &answer).await?;
    Ok(created(&app.urls.subscription(&of, &answer.id), nms::subscription(&answer, &app.urls)))
}

fn subscriber(asking: Asking) -> Option<Subscriber> {
    asking.0.map(|principal| Subscriber { privileged: principal.scopes.is_admin(), user: principal.user })
}

/// The subscription of the request, if it is the caller's.
async fn find(app: &App, asking: &Asking, of: &BoxName, id: &SubscriptionId) -> Result<Subscription> {
    let found = rows::get(&app.database, of, id).await?;
    match asking.confined_to() {
        Some(user) if !found.is_of(user) => Err(rows::NO_SUBSCRIPTION),
        _ => Ok(found),
    }
}

/// Refuses what is somebody else's subscription; what is nobody's, its statement tells.
async fn admit(app: &App, asking: &Asking, of: &BoxName, id: &SubscriptionId) -> Result<()> {
    match asking.confined_to() {
        Some(_) => find(app, asking, of, id).await.map(drop),
        None => Ok(()),
    }
}

/// What a notifyURL means. One that nothing could be posted to is refused with SVC0003: a phone that gets SVC0002 here
/// drops its restartToken.
fn target(app: &App, notify_url: String) -> Result<Target> {
    const VALID: &str = "a callbackURL of this server, an http or https URL of a public address elsewhere";
    if let Some(channel) = app.urls.channel_of_callback(&notify_url) {
        return Ok(Target::Channel(channel));
    }
    let url = url::Url::parse(&notify_url).map_err(|_| Error::invalid("notifyURL"))?;
    if app.urls.is_own(&notify_url) || app.senders.check_target(&url).is_err() {
        return Err(Error::choice("notifyURL", VALID));
    }
    Ok(Target::NotifyUrl(notify_url))
}

/// The client of a subscription shows that it is there: its URL, if it has one, is posted to again.
async fn call_on(app: &App, subscription: &Subscription) -> Result<()> {
    if subscription.notify_url.is_some() {
        leases::enable(&app.database, &subscription.channel).await?;
        app.delivery.channel_made.notify_one();
    }
    Ok(())
}

/// One subscription: index and restartToken are those of the next list after what the client confirmed.
#[utoipa::path(
    get, path = "/nms/v1/{storeName}/{boxId}/subscriptions/{subscriptionId}", tag = "subscriptions", operation_id = "readSubscription",
    responses((status = 200, body = schema::nms::NmsSubscriptionDocument))
)]
pub async fn read(app: App, asking: Asking, ids: PathIds, _: Reads) -> Result<Document> {
    let (of, id) = (ids.store_box()?, ids.subscription()?);
    app.confirmations.flush(&app.database).await?;
    let subscription = find(&app, &asking, &of, &id).await?;
    Ok(Document(nms::subscription(&subscription, &app.urls)))
}

/// Prolongs a subscription, or starts it again from a restartToken.
#[utoipa::path(
    post, path = "/nms/v1/{storeName}/{boxId}/subscriptions/{subscriptionId}", tag = "subscriptions", operation_id = "updateSubscription",
    request_body = schema::nms::NmsSubscriptionUpdateDocument,
    responses((status = 200, body = schema::nms::NmsSubscriptionDocument))
)]
pub async fn update(app: App, asking: Asking, ids: PathIds, _: Reads, body: Body) -> Result<Document> {
    let (of, id) = (ids.store_box()?, ids.subscription()?);
    let wish = nms::read_subscription_update(body.fields("nmsSubscriptionUpdate")?)?;
    let update = Update {
        duration_seconds: wish.duration_seconds.map(|seconds| granted((seconds > 0).then_some(seconds), &app.limits)),
        restart_token: wish.restart_token,
    };
    admit(&app, &asking, &of, &id).await?;
    app.confirmations.flush(&app.database).await?;
    let mut answer = rows::update(&app.database, &of, &id, update).await?;
    if let Some(token) = wish.restart_token {
        answer.cursor.next_at = token; // the one from the request (spec/nms 4.4)
    }
    call_on(&app, &answer).await?;
    Ok(Document(nms::subscription(&answer, &app.urls)))
}

/// What became of event `seq` of the box on its way to the subscription: an extension, in JSON.
#[utoipa::path(
    get, path = "/nms/v1/{storeName}/{boxId}/subscriptions/{subscriptionId}/explain", tag = "subscriptions",
    operation_id = "explainDelivery", params(("seq" = i64, Query, description = "The event, by its lastModSeq")),
    responses((status = 200, body = schema::nms::Explanation))
)]
pub async fn explain(app: App, asking: Asking, ids: PathIds, query: Query) -> Result<Json<Value>> {
    let (of, id) = (ids.store_box()?, ids.subscription()?);
    let seq = query.get("seq").and_then(|seq| seq.parse().ok()).filter(|seq: &i64| *seq > 0);
    let seq = seq.ok_or_else(|| Error::invalid("seq"))?;
    find(&app, &asking, &of, &id).await?; // the log also tells of those that are over
    app.confirmations.flush(&app.database).await?;
    let explanation = explain::explain(&app.database, &id, Some(of.stream()), seq).await?;
    Ok(Json(nms::explanation(&explanation)))
}

/// Ends a subscription.
#[utoipa::path(
    delete, path = "/nms/v1/{storeName}/{boxId}/subscriptions/{subscriptionId}", tag = "subscriptions", operation_id = "deleteSubscription",
    responses((status = 204))
)]
pub async fn delete(app: App, asking: Asking, ids: PathIds) -> Result<StatusCode> {
    let (of, id) = (ids.store_box()?, ids.subscription()?);
    admit(&app, &asking, &of, &id).await?;
    rows::delete(&app.database, &of, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What policy makes of a wish.
fn granted(wish: Option<u32>, limits: &Limits) -> u32 {
    wish.unwrap_or(limits.subscription_seconds_default).min(limits.subscription_seconds_max)
}
