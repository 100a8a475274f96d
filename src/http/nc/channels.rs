//! The channels of a user (6.1).

use axum::response::Response;

use crate::auth::scope::Scopes;
use crate::base::{Error, Result};
use crate::channel::rows::{self, Creation, NewChannel};
use crate::channel::{ChannelType, LargeDataPolling, Settings, Transport};
use crate::config::Limits;
use crate::http::access::Asking;
use crate::http::created;
use crate::http::extract::{BodyOrForm, PathIds};
use crate::http::represent::{Document, Reads};
use crate::http::state::App;
use crate::outbound::Senders;
use crate::wire::json::Media;
use crate::wire::nc;
use crate::wire::schema;

/// 6.1.3: the user's live channels.
#[utoipa::path(
    get, path = "/notificationchannel/v1/{userId}/channels", tag = "channels", operation_id = "listChannels",
    responses((status = 200, body = schema::nc::NotificationChannelListDocument))
)]
pub async fn list(app: App, ids: PathIds, _: Reads) -> Result<Document> {
    let user = ids.user()?;
    let channels = rows::list(&app.database, &user).await?;
    Ok(Document(nc::channel_list(&user, &channels, &app.urls)))
}

/// 6.1.5: a new channel, within the limits of policy; or the one that the same request made before.
#[utoipa::path(
    post, path = "/notificationchannel/v1/{userId}/channels", tag = "channels", operation_id = "createChannel",
    request_body(content((schema::nc::NotificationChannelDocument = "application/json"), (String = "application/x-www-form-urlencoded"))),
    responses((status = 201, body = schema::nc::NotificationChannelDocument), (status = 409))
)]
pub async fn create(
    app: App,
    asking: Asking,
    ids: PathIds,
    Reads(reads): Reads,
    BodyOrForm(body): BodyOrForm,
) -> Result<Response> {
    let user = ids.user()?;
    let wish = nc::read_channel(body.fields("notificationChannel")?, &offered(&app.senders))?;
    let scopes = scopes_of(&wish.transport);
    if !asking.has_any(scopes) {
        return Err(Error::Scope { scopes: scopes.names() });
    }
    check(&wish.transport, &app.senders)?;
    if body.media == Media::Form && matches!(wish.transport, Transport::WebSockets { .. }) {
        return Err(Error::invalid("channelType")); // Appendix C has forms for the other types only
    }
    let limits = &app.limits;
    let new = NewChannel {
        user: user.clone(),
        settings: Settings {
            max_notifications: granted_notifications(wish.max_notifications, limits),
            transport: granted(wish.transport, limits),
        },
        format: if body.media == Media::Form { reads } else { body.format() },
        client_correlator: wish.client_correlator.clone(),
        application_tag: wish.application_tag,
        lifetime_seconds: super::lifetime::granted(wish.lifetime_seconds, limits),
    };
    match rows::create(&app.database, new, limits.channels_per_user_max).await? {
        Creation::Channel(channel) => {
            app.delivery.channel_made.notify_one();
            Ok(created(&app.urls.channel(&channel.user, &channel.id), nc::channel(&channel, &app.urls)))
        }
        Creation::Duplicate(id) => Err(Error::Duplicate {
            correlator: wish.client_correlator.unwrap_or_default(),
            rel: "NotificationChannel",
            href: app.urls.channel(&user, &id),
        }),
    }
}

/// The scopes that allow a channel of this type: those named after it, or all.
fn scopes_of(transport: &Transport) -> Scopes {
    let named = match transport {
        Transport::LongPolling { .. } => Scopes::LONG_POLL,
        Transport::WebSockets { .. } => Scopes::WEB_SOCKETS,
        Transport::OMAPush { .. } => Scopes::OMA_PUSH,
        _ => Scopes::NONE,
    };
    Scopes::CHANNELS_ALL.or(named)
}

/// The channel types of this server: those of push services only where it has their settings.
fn offered(senders: &Senders) -> Vec<ChannelType> {
    let mut offered = vec![ChannelType::LongPolling, ChannelType::WebSockets, ChannelType::Webhooks];
    if senders.oma_push_bytes_max().is_some() {
        offered.push(ChannelType::OMAPush);
    }
    if !senders.native_offered().is_empty() {
        offered.push(ChannelType::NativeChannel);
    }
    offered
}

/// Refuses what no sender could deliver to.
fn check(transport: &Transport, senders: &Senders) -> Result<()> {
    match transport {
        Transport::NativeChannel { channel_sub_type, .. } if !senders.native_offered().contains(channel_sub_type) => {
            Err(Error::Unavailable { feature: format!("NativeChannel {channel_sub_type}") })
        }
        Transport::Webhooks { webhook_url } => {
            let url = url::Url::parse(webhook_url).map_err(|_| Error::invalid("x-webhookURL"))?;
            senders.check_target(&url).map_err(|why| Error::Policy { rule: format!("x-webhookURL: {why}") })
        }
        _ => Ok(()),
    }
}

/// What policy makes of a client's wishes.
fn granted(wish: Transport, limits: &Limits) -> Transport {
    let large = |wish: Option<LargeDataPolling>| {
        wish.map(|LargeDataPolling { max_polling_notifications: most }| LargeDataPolling {
            max_polling_notifications: Some(granted_notifications(most, limits)),
        })
    };
    match wish {
        Transport::LongPolling { max_wait_time } => {
            Transport::LongPolling { max_wait_time: max_wait_time.min(limits.poll_wait_seconds_max) }
        }
        Transport::OMAPush { app_id, large_data_polling } => {
            Transport::OMAPush { app_id, large_data_polling: large(large_data_polling) }
        }
        Transport::NativeChannel {
            channel_sub_type,
            registration_token,
            channel_sub_type_version,
            large_data_polling,
        } => Transport::NativeChannel {
            channel_sub_type,
            registration_token,
            channel_sub_type_version,
            large_data_polling: large(large_data_polling),
        },
        other => other,
    }
}

fn granted_notifications(wish: Option<u32>, limits: &Limits) -> u32 {
    wish.unwrap_or(limits.notifications_default).min(limits.notifications_max)
}
