//! The channelURL of a `LongPolling` channel (6.3).

use axum::extract::ConnectInfo;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};

use crate::auth::scope::Scopes;
use crate::base::Result;
use crate::channel::{ChannelType, NO_CHANNEL, rows};
use crate::delivery::polling;
use crate::http::access::Asking;
use crate::http::connection::Answers;
use crate::http::extract::{BodyOrForm, PathIds};
use crate::http::state::App;
use crate::wire::nc;
use crate::wire::schema;

/// 6.3.5: the notifications there are, as soon as the client's and our rules say; perhaps none.
#[utoipa::path(
    post, path = "/poll/{token}", tag = "delivery", operation_id = "poll",
    request_body(content((Option<schema::nc::LongPollingRequestParametersDocument> = "application/json"), (String = "application/x-www-form-urlencoded"))),
    responses((status = 200, body = schema::nc::NotificationListDocument), (status = 409))
)]
pub async fn poll(
    app: App,
    asking: Asking,
    ConnectInfo(answers): ConnectInfo<Answers>,
    ids: PathIds,
    BodyOrForm(body): BodyOrForm,
) -> Result<Response> {
    app.delivery.drain.admit()?;
    let id = app.urls.channel_of_poll(ids.token()?).ok_or(NO_CHANNEL)?;
    nc::read_poll(body.media, &body.bytes)?;
    let channel = rows::get(&app.database, &id).await?;
    if channel.settings.transport.channel_type() != Some(ChannelType::LongPolling) {
        return Err(NO_CHANNEL);
    }
    asking.pass_to(&app, &channel, Scopes::LONG_POLL).await?;
    let answer = polling::poll(&app.delivery, &channel).await?;
    Ok(answered(answer, &answers))
}

/// What was too much for a push, at the temporary channelURL (5.2.2.8): at once, and the last of it with
/// `ncListComplete`.
#[utoipa::path(
    post, path = "/large/{token}", tag = "delivery", operation_id = "fetchLargeData",
    request_body(content((Option<schema::nc::LongPollingRequestParametersDocument> = "application/json"), (String = "application/x-www-form-urlencoded"))),
    responses((status = 200, body = schema::nc::NotificationListDocument), (status = 409))
)]
pub async fn fetch(
    app: App,
    asking: Asking,
    ConnectInfo(answers): ConnectInfo<Answers>,
    ids: PathIds,
    BodyOrForm(body): BodyOrForm,
) -> Result<Response> {
    app.delivery.drain.admit()?;
    let (id, serial) = app.urls.channel_of_large_poll(ids.token()?).ok_or(NO_CHANNEL)?;
    nc::read_poll(body.media, &body.bytes)?;
    let channel = rows::get(&app.database, &id).await?;
    let large = channel.settings.transport.large_data_polling().ok_or(NO_CHANNEL)?;
    asking.pass_to(&app, &channel, Scopes::OMA_PUSH).await?;
    let most = large.max_polling_notifications.unwrap_or(app.limits.notifications_default);
    let answer = polling::fetch(&app.delivery, &channel, serial, most).await?;
    Ok(answered(answer, &answers))
}

/// The format is that of the channel or of the subscriptions, whatever the request accepts (section 6).
fn answered(answer: polling::Answer, answers: &Answers) -> Response {
    let content_type = if answer.list.starts_with('<') { "application/xml" } else { "application/json" };
    answers.expect(answer.receipt);
    ([(header::CONTENT_TYPE, HeaderValue::from_static(content_type))], answer.list).into_response()
}
