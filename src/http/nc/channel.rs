//! One channel (6.2).

use axum::http::StatusCode;

use crate::base::Result;
use crate::channel::rows;
use crate::http::extract::PathIds;
use crate::http::represent::{Document, Reads};
use crate::http::state::App;
use crate::wire::nc;
use crate::wire::schema;

/// 6.2.3.
#[utoipa::path(
    get, path = "/notificationchannel/v1/{userId}/channels/{channelId}", tag = "channels", operation_id = "readChannel",
    responses((status = 200, body = schema::nc::NotificationChannelDocument))
)]
pub async fn read(app: App, ids: PathIds, _: Reads) -> Result<Document> {
    let (channel, _) = rows::get_of(&app.database, &ids.user()?, &ids.channel()?).await?;
    Ok(Document(nc::channel(&channel, &app.urls)))
}

/// 6.2.6: its subscriptions end with it, its socket is closed.
#[utoipa::path(
    delete, path = "/notificationchannel/v1/{userId}/channels/{channelId}", tag = "channels", operation_id = "deleteChannel",
    responses((status = 204))
)]
pub async fn delete(app: App, ids: PathIds) -> Result<StatusCode> {
    let (channel, _) = rows::get_of(&app.database, &ids.user()?, &ids.channel()?).await?;
    rows::delete(&app.database, &channel.id).await?;
    Ok(StatusCode::NO_CONTENT)
}
