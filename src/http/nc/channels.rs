//! The channels of a user (6.1).

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use serde_json::Value;

use crate::base::Result;
use crate::channel::ChannelType;
use crate::channel::rows::{self, NewChannel};
use crate::http::created;
use crate::http::extract::{JsonBody, PathIds, ReadsJson};
use crate::http::state::App;
use crate::wire::nc;

/// 6.1.3: the user's live channels.
pub async fn list(State(app): State<App>, ids: PathIds, _: ReadsJson) -> Result<Json<Value>> {
    let user = ids.user()?;
    let channels = rows::list(&app.database, &user).await?;
    Ok(Json(nc::channel_list(&user, &channels, &app.urls)))
}

/// 6.1.5: a new channel, within the limits of policy.
pub async fn create(State(app): State<App>, ids: PathIds, _: ReadsJson, JsonBody(body): JsonBody) -> Result<Response> {
    let user = ids.user()?;
    let wish = nc::read_channel(&body)?;
    let limits = &app.limits;
    let new = NewChannel {
        user,
        channel_type: wish.channel_type,
        max_notifications: wish.max_notifications.unwrap_or(limits.notifications_default).min(limits.notifications_max),
        max_wait_seconds: (wish.channel_type == ChannelType::LongPolling)
            .then(|| wish.max_wait_seconds.unwrap_or(0).min(limits.poll_wait_seconds_max)),
        client_correlator: wish.client_correlator,
        application_tag: wish.application_tag,
        lifetime_seconds: super::lifetime::granted(wish.lifetime_seconds, limits),
    };
    let channel = rows::create(&app.database, new, limits.channels_per_user_max).await?;
    Ok(created(&app.urls.channel(&channel.user, &channel.id), &nc::channel(&channel, &app.urls)))
}
