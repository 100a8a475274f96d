//! A channel's lifetime (6.4).

use crate::base::Result;
use crate::channel::{leases, rows};
use crate::config::Limits;
use crate::http::extract::{Body, PathIds};
use crate::http::represent::{Document, Reads};
use crate::http::state::App;
use crate::wire::nc;
use crate::wire::schema;

/// 6.4.3: the remaining seconds, by the database's clock.
#[utoipa::path(
    get, path = "/notificationchannel/v1/{userId}/channels/{channelId}/channelLifetime", tag = "channels", operation_id = "readChannelLifetime",
    responses((status = 200, body = schema::nc::NotificationChannelLifetimeDocument))
)]
pub async fn read(app: App, ids: PathIds, _: Reads) -> Result<Document> {
    let (_, remaining) = rows::get_of(&app.database, &ids.user()?, &ids.channel()?).await?;
    Ok(Document(nc::lifetime(remaining)))
}

/// 6.4.4: starts the lifetime again.
#[utoipa::path(
    put, path = "/notificationchannel/v1/{userId}/channels/{channelId}/channelLifetime", tag = "channels", operation_id = "refreshChannelLifetime",
    request_body = schema::nc::NotificationChannelLifetimeDocument,
    responses((status = 200, body = schema::nc::NotificationChannelLifetimeDocument))
)]
pub async fn refresh(app: App, ids: PathIds, _: Reads, body: Body) -> Result<Document> {
    let wish = nc::read_lifetime(body.fields("notificationChannelLifetime")?)?;
    let (channel, _) = rows::get_of(&app.database, &ids.user()?, &ids.channel()?).await?;
    let seconds = rows::refresh(&app.database, &channel.id, Some(granted(wish, &app.limits))).await?;
    if channel.disabled.is_some() {
        leases::enable(&app.database, &channel.id).await?;
        app.delivery.channel_made.notify_one();
    }
    Ok(Document(nc::lifetime(seconds)))
}

/// What policy makes of a wish.
pub fn granted(wish: Option<u32>, limits: &Limits) -> u32 {
    wish.unwrap_or(limits.channel_lifetime_seconds_default).min(limits.channel_lifetime_seconds_max)
}
