//! Notification channels (spec/notification-channel 5).

use utoipa::ToSchema;

use super::document;

/// How notifications are delivered. What a push service needs is offered only where the server has its settings.
#[derive(ToSchema)]
pub enum ChannelType {
    /// The client asks, and is answered when there is something.
    LongPolling,
    /// Over a WebSocket.
    WebSockets,
    /// Through an operator's push proxy gateway.
    OMAPush,
    /// Through FCM, APNs or WNS.
    NativeChannel,
    /// An extension: posted to a URL.
    #[schema(rename = "webhooks")]
    Webhooks,
}

/// What too much for a push is fetched with.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct LargeDataPolling {
    /// Whether the client can fetch.
    polling_enabled: bool,
    /// Notifications in one answer.
    #[schema(minimum = 1, nullable = false)]
    max_polling_notifications: Option<u32>,
}

/// What a type of channels needs and has.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct ChannelData {
    /// Where the client polls, or opens its socket.
    #[schema(rename = "channelURL", read_only, nullable = false)]
    channel_url: Option<String>,
    /// Notifications in one list.
    #[schema(minimum = 1, nullable = false)]
    max_notifications: Option<u32>,
    /// LongPolling: how long one notification waits for others, in seconds.
    #[schema(nullable = false)]
    max_wait_time: Option<u32>,
    /// OMAPush: the application.
    #[schema(nullable = false)]
    app_id: Option<String>,
    /// NativeChannel: GCM, APNS or WNS.
    #[schema(nullable = false)]
    channel_sub_type: Option<String>,
    /// NativeChannel: the version of its API.
    #[schema(nullable = false)]
    channel_sub_type_version: Option<String>,
    /// NativeChannel: the device.
    #[schema(nullable = false)]
    registration_token: Option<String>,
    /// OMAPush and NativeChannel.
    #[schema(nullable = false)]
    large_data_polling: Option<LargeDataPolling>,
    /// webhooks: where to post.
    #[schema(rename = "x-webhookURL", nullable = false)]
    webhook_url: Option<String>,
    /// webhooks: what posts are signed with (Standard Webhooks).
    #[schema(rename = "x-webhookSecret", read_only, nullable = false)]
    webhook_secret: Option<String>,
}

/// Since when nothing is delivered, and why.
#[derive(ToSchema)]
pub struct Disabled {
    /// Since when.
    since: String,
    /// Why.
    reason: String,
}

/// A channel (5.2.2.2).
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct NotificationChannel {
    /// The client's name for it: the same request again is answered with the same channel.
    #[schema(nullable = false)]
    client_correlator: Option<String>,
    /// The client's own.
    #[schema(nullable = false)]
    application_tag: Option<String>,
    /// How it delivers.
    channel_type: ChannelType,
    /// What that needs and has.
    #[schema(nullable = false)]
    channel_data: Option<ChannelData>,
    /// Who checks the connection: `server`.
    #[schema(rename = "x-connCheckRole", nullable = false)]
    conn_check_role: Option<String>,
    /// An extension: that nothing is delivered.
    #[schema(rename = "x-disabled", read_only, nullable = false)]
    disabled: Option<Disabled>,
    /// In seconds.
    #[schema(nullable = false)]
    channel_lifetime: Option<u32>,
    /// Where enablers post: the notifyURL of subscriptions.
    #[schema(rename = "callbackURL", read_only)]
    callback_url: String,
    /// Itself.
    #[schema(rename = "resourceURL", read_only)]
    resource_url: String,
}

document! {
    /// A channel.
    #[schema(example = json!({ "notificationChannel": {
        "clientCorrelator": "phone-1", "channelType": "WebSockets", "channelData": { "maxNotifications": 100 },
        "channelLifetime": 3600 } }))]
    NotificationChannelDocument, "notificationChannel": NotificationChannel
}

/// All channels of a user.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct NotificationChannelList {
    /// The channels.
    notification_channel: Vec<NotificationChannel>,
    /// Itself.
    #[schema(rename = "resourceURL")]
    resource_url: String,
}

document! {
    /// All channels of a user.
    NotificationChannelListDocument, "notificationChannelList": NotificationChannelList
}

/// How long a channel lives.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct NotificationChannelLifetime {
    /// In seconds; the server may grant less.
    #[schema(nullable = false)]
    channel_lifetime: Option<u32>,
}

document! {
    /// How long a channel lives.
    #[schema(example = json!({ "notificationChannelLifetime": { "channelLifetime": 3600 } }))]
    NotificationChannelLifetimeDocument, "notificationChannelLifetime": NotificationChannelLifetime
}

/// Nothing yet.
#[derive(ToSchema)]
pub struct LongPollingRequestParameters {}

document! {
    /// What may be the body of a poll.
    #[schema(example = json!({ "longPollingRequestParameters": {} }))]
    LongPollingRequestParametersDocument, "longPollingRequestParameters": LongPollingRequestParameters
}

/// A list of notifications: nmsEventLists, and what enablers have posted, each an object with one member.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase", example = json!({ "notificationList": [{ "nmsEventList": {
    "nmsEvent": [{ "deletedObject": {
        "resourceURL": "http://127.0.0.1:8080/nms/v1/default/alice/objects/7", "lastModSeq": 9 } }],
    "restartToken": "2026-01-31T12:00:00.123456Z", "index": 1 } }] }))]
pub struct NotificationListDocument {
    /// The notifications.
    notification_list: Vec<Notification>,
}

/// One of them; what an enabler posts has a member of its own.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct Notification {
    /// Events of a box.
    #[schema(nullable = false)]
    nms_event_list: Option<super::nms::NmsEventList>,
    /// That there is no more to fetch.
    #[schema(nullable = false)]
    nc_list_complete: Option<bool>,
}

/// What an enabler posts: an object with one member, whatever that is.
#[derive(ToSchema)]
#[schema(example = json!({ "nmsEventList": { "nmsEvent": [] } }))]
pub struct AnyNotification {}

/// What waits for its time.
#[derive(ToSchema)]
#[schema(example = json!({ "deferred": 17 }))]
pub struct Waits {
    /// Its id.
    deferred: i64,
}
