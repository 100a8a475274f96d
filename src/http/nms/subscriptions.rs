//! Subscriptions of a box (rows 17 and 18 of the resource table).

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use crate::base::{Error, Result};
use crate::config::Limits;
use crate::http::created;
use crate::http::extract::{Body, PathIds};
use crate::http::represent::{Document, Reads};
use crate::http::state::App;
use crate::subscription::rows::{self, NewSubscription, Update};
use crate::wire::nms;

/// The live subscriptions of the box.
pub async fn list(State(app): State<App>, ids: PathIds, _: Reads) -> Result<Document> {
    let of = ids.store_box()?;
    app.confirmations.flush(&app.database).await?;
    let subscriptions = rows::list(&app.database, &of).await?;
    Ok(Document(nms::subscription_list(&of, &subscriptions, &app.urls)))
}

/// A new subscription that delivers to one of our channels.
pub async fn create(State(app): State<App>, ids: PathIds, _: Reads, body: Body) -> Result<Response> {
    let of = ids.store_box()?;
    let spoken = body.format();
    let wish = nms::read_subscription(body.fields("nmsSubscription")?)?;
    let channel = app
        .urls
        .channel_of_callback(&wish.notify_url)
        .ok_or_else(|| Error::Unavailable { feature: "notifyURL outside this server".to_owned() })?;
    let new = NewSubscription {
        of,
        channel,
        callback_data: wish.callback_data,
        format: wish.format.unwrap_or(spoken),
        filter: wish.filter,
        client_correlator: wish.client_correlator,
        duration_seconds: granted(wish.duration_seconds, &app.limits),
        restart_token: wish.restart_token,
    };
    let subscription = rows::create(&app.database, new, app.limits.subscriptions_per_channel_max).await?;
    let location = app.urls.subscription(&subscription.of, &subscription.id);
    let mut answer = subscription;
    if let Some(token) = wish.restart_token {
        answer.cursor.next_at = token; // exactly the one in the request (spec/nms 4.1)
    }
    Ok(created(&location, nms::subscription(&answer, &app.urls)))
}

/// One subscription: index and restartToken are those of the next list after what the client confirmed.
pub async fn read(State(app): State<App>, ids: PathIds, _: Reads) -> Result<Document> {
    let (of, id) = (ids.store_box()?, ids.subscription()?);
    app.confirmations.flush(&app.database).await?;
    let subscription = rows::get(&app.database, &of, &id).await?;
    Ok(Document(nms::subscription(&subscription, &app.urls)))
}

/// Prolongs a subscription, or starts it again from a restartToken.
pub async fn update(State(app): State<App>, ids: PathIds, _: Reads, body: Body) -> Result<Document> {
    let (of, id) = (ids.store_box()?, ids.subscription()?);
    let wish = nms::read_subscription_update(body.fields("nmsSubscriptionUpdate")?)?;
    let update = Update {
        duration_seconds: wish.duration_seconds.map(|seconds| granted((seconds > 0).then_some(seconds), &app.limits)),
        restart_token: wish.restart_token,
    };
    app.confirmations.flush(&app.database).await?;
    let mut answer = rows::update(&app.database, &of, &id, update).await?;
    if let Some(token) = wish.restart_token {
        answer.cursor.next_at = token; // the one from the request (spec/nms 4.4)
    }
    Ok(Document(nms::subscription(&answer, &app.urls)))
}

/// Ends a subscription.
pub async fn delete(State(app): State<App>, ids: PathIds) -> Result<StatusCode> {
    rows::delete(&app.database, &ids.store_box()?, &ids.subscription()?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What policy makes of a wish.
fn granted(wish: Option<u32>, limits: &Limits) -> u32 {
    wish.unwrap_or(limits.subscription_seconds_default).min(limits.subscription_seconds_max)
}
