//! The channelURL of a `LongPolling` channel (6.3).

use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};

use crate::base::{Error, Result};
use crate::channel::{ChannelType, rows};
use crate::delivery::polling;
use crate::http::connection::Answers;
use crate::http::extract::{BodyOrForm, PathIds};
use crate::http::state::App;
use crate::wire::nc;

/// 6.3.5: the notifications there are, as soon as the client's and our rules say; perhaps none.
pub async fn poll(
    State(app): State<App>,
    ConnectInfo(answers): ConnectInfo<Answers>,
    ids: PathIds,
    BodyOrForm(body): BodyOrForm,
) -> Result<Response> {
    const NO_CHANNEL: Error = Error::NotFound { what: "notificationChannel" };
    let id = app.urls.channel_of_poll(ids.token()?).ok_or(NO_CHANNEL)?;
    nc::read_poll(body.media, &body.bytes)?;
    let channel = rows::get(&app.database, &id).await?;
    if channel.settings.transport.channel_type() != ChannelType::LongPolling {
        return Err(NO_CHANNEL);
    }
    let answer = polling::poll(&app.delivery, &channel).await?;
    answers.expect(answer.receipt);
    // The format is that of the channel or of the subscriptions, whatever this request accepts (section 6).
    let content_type = if answer.list.starts_with('<') { "application/xml" } else { "application/json" };
    Ok(([(header::CONTENT_TYPE, HeaderValue::from_static(content_type))], answer.list).into_response())
}
