//! The data types of the Notification Channel API (5.2).

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};

use serde_json::{Value, json};

use super::json::{Fields, Media};
use super::urls::Urls;
use super::xml;
use crate::base::ids::UserId;
use crate::base::{Error, Format, Result};
use crate::channel::{Channel, ChannelType, LargeDataPolling, Transport};
use crate::outbound::Native;

/// The registered sub-protocol of the socket (Appendix I).
pub const SUBPROTOCOL: &str = "notificationchannel-netapi-rest.openmobilealliance.org";

/// Who sends connChecks, as the clients that know of it say: `client` or `server`.
const CHECK_ROLE: &str = "x-connCheckRole";

/// A request to create a channel (5.2.2.2), as far as it concerns us.
#[derive(Debug)]
pub struct NewChannel {
    /// Its type, known and offered, and the client's wishes for it.
    pub transport: Transport,
    /// Echoed; `""` means absent.
    pub client_correlator: Option<String>,
    /// Echoed; `""` means absent.
    pub application_tag: Option<String>,
    /// Wish of the client; 0 means its absence.
    pub lifetime_seconds: Option<u32>,
    /// Wish of the client.
    pub max_notifications: Option<u32>,
}

/// Reads a `notificationChannel`; `supported`: the types this server offers.
pub fn read_channel(mut fields: Fields, supported: &[ChannelType]) -> Result<NewChannel> {
    let name = fields.required("channelType")?;
    let channel_type = ChannelType::parse(name.trim())
        .ok_or_else(|| Error::choice("channelType", &ChannelType::ALL.map(|(_, spelling)| spelling).join(", ")))?;
    if !supported.contains(&channel_type) {
        // Both variables are to be types of the specification (7.2.1).
        let supported = supported.iter().filter(|supported| **supported != ChannelType::Webhooks);
        let supported: Vec<_> = supported.map(|supported| supported.name()).collect();
        return Err(Error::UnsupportedChannelType {
            asked: channel_type.name().to_owned(),
            supported: supported.join(", "),
        });
    }
    let mut data = fields.fields("channelData")?.unwrap_or_default();
    let max_notifications = data.uint("maxNotifications")?;
    if max_notifications == Some(0) {
        return Err(Error::invalid("maxNotifications"));
    }
    let checked_by_server = fields.text_not_empty(CHECK_ROLE)?.as_deref() == Some("server");
    Ok(NewChannel {
        transport: read_transport(channel_type, checked_by_server, &mut data)?,
        client_correlator: fields.text_not_empty("clientCorrelator")?,
        application_tag: fields.text_not_empty("applicationTag")?,
        lifetime_seconds: fields.uint("channelLifetime")?.filter(|seconds| *seconds > 0),
        max_notifications,
    })
}

fn read_transport(channel_type: ChannelType, checked_by_server: bool, data: &mut Fields) -> Result<Transport> {
    Ok(match channel_type {
        ChannelType::LongPolling => Transport::LongPolling { max_wait_time: data.uint("maxWaitTime")?.unwrap_or(0) },
        ChannelType::WebSockets => Transport::WebSockets { checked_by_server },
        ChannelType::OMAPush => Transport::OMAPush {
            app_id: data.text_not_empty("appId")?,
            large_data_polling: read_large_data_polling(data)?,
        },
        ChannelType::NativeChannel => {
            let channel_sub_type = read_sub_type(data)?;
            Transport::NativeChannel {
                channel_sub_type,
                registration_token: data.required("registrationToken")?.trim().to_owned(),
                channel_sub_type_version: read_version(channel_sub_type, data)?,
                large_data_polling: read_large_data_polling(data)?,
            }
        }
        ChannelType::Webhooks => Transport::Webhooks { webhook_url: read_webhook_url(data)? },
    })
}

/// `FCM` is what phones call today's GCM.
fn read_sub_type(data: &mut Fields) -> Result<Native> {
    match data.required("channelSubType")?.trim().to_ascii_uppercase().as_str() {
        "GCM" | "FCM" => Ok(Native::Gcm),
        "APNS" => Ok(Native::Apns),
        "WNS" => Ok(Native::Wns),
        _ => Err(Error::choice("channelSubType", "GCM, APNS, WNS")),
    }
}

/// Without a wish the first of the versions that are spoken.
fn read_version(of: Native, data: &mut Fields) -> Result<String> {
    let spoken: &[&str] = match of {
        Native::Gcm => &["v1", "1"],
        Native::Apns => &["3"],
        Native::Wns => &["1"],
    };
    match data.text_not_empty("channelSubTypeVersion")? {
        None => Ok(spoken.first().copied().unwrap_or_default().to_owned()),
        Some(version) if spoken.contains(&version.as_str()) => Ok(version),
        Some(_) => Err(Error::choice("channelSubTypeVersion", &spoken.join(", "))),
    }
}

fn read_large_data_polling(data: &mut Fields) -> Result<Option<LargeDataPolling>> {
    let Some(mut large) = data.fields("largeDataPolling")? else { return Ok(None) };
    if large.boolean("pollingEnabled")? != Some(true) {
        return Ok(None);
    }
    match large.uint("maxPollingNotifications")? {
        Some(0) => Err(Error::invalid("maxPollingNotifications")),
        max_polling_notifications => Ok(Some(LargeDataPolling { max_polling_notifications })),
    }
}

fn read_webhook_url(data: &mut Fields) -> Result<String> {
    const PART: &str = "x-webhookURL";
    let text = data.required(PART)?;
    match url::Url::parse(text.trim()) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(url.into()),
        _ => Err(Error::invalid(PART)),
    }
}

/// Writes a `notificationChannel`.
pub fn channel(channel: &Channel, urls: &Urls) -> Value {
    json!({ "notificationChannel": channel_fields(channel, urls) })
}

fn channel_fields(channel: &Channel, urls: &Urls) -> Value {
    let mut fields = json!({});
    if let Some(correlator) = &channel.client_correlator {
        fields["clientCorrelator"] = json!(correlator);
    }
    if let Some(tag) = &channel.application_tag {
        fields["applicationTag"] = json!(tag);
    }
    fields["channelType"] = json!(channel.settings.transport.channel_type().map(ChannelType::name));
    fields["channelData"] = channel_data(channel, urls);
    if matches!(channel.settings.transport, Transport::WebSockets { checked_by_server: true }) {
        fields[CHECK_ROLE] = json!("server");
    }
    if let Some(disabled) = &channel.disabled {
        let since = disabled.at.to_rfc3339_opts(SecondsFormat::Secs, true);
        fields["x-disabled"] = json!({ "since": since, "reason": disabled.why });
    }
    fields["channelLifetime"] = json!(channel.lifetime_seconds);
    fields["callbackURL"] = json!(urls.callback(&channel.id));
    fields["resourceURL"] = json!(urls.channel(&channel.user, &channel.id));
    fields
}

fn channel_data(channel: &Channel, urls: &Urls) -> Value {
    let most = channel.settings.max_notifications;
    match &channel.settings.transport {
        Transport::LongPolling { max_wait_time } => {
            json!({ "channelURL": urls.poll(&channel.id), "maxNotifications": most, "maxWaitTime": max_wait_time })
        }
        Transport::WebSockets { .. } => json!({ "channelURL": urls.socket(&channel.id), "maxNotifications": most }),
        Transport::OMAPush { app_id, large_data_polling } => {
            let mut data = json!({});
            if let Some(app_id) = app_id {
                data["appId"] = json!(app_id);
            }
            data["maxNotifications"] = json!(most);
            add_large_data_polling(&mut data, large_data_polling.as_ref());
            data
        }
        Transport::NativeChannel {
            channel_sub_type,
            registration_token,
            channel_sub_type_version,
            large_data_polling,
        } => {
            let mut data = json!({
                "channelSubType": channel_sub_type, "registrationToken": registration_token,
                "channelSubTypeVersion": channel_sub_type_version, "maxNotifications": most });
            add_large_data_polling(&mut data, large_data_polling.as_ref());
            data
        }
        Transport::Webhooks { webhook_url } => json!({
            "x-webhookURL": webhook_url, "x-webhookSecret": urls.webhook_secret(&channel.id), "maxNotifications": most }),
        Transport::NotifyUrl { .. } | Transport::Inbox { .. } => json!({}), // nobody is shown such a channel
    }
}

fn add_large_data_polling(data: &mut Value, large: Option<&LargeDataPolling>) {
    if let Some(large) = large {
        data["largeDataPolling"] =
            json!({ "pollingEnabled": true, "maxPollingNotifications": large.max_polling_notifications });
    }
}

/// Writes a `notificationChannelList` (5.2.2.1).
pub fn channel_list(user: &UserId, channels: &[Channel], urls: &Urls) -> Value {
    let channels: Vec<Value> = channels.iter().map(|channel| channel_fields(channel, urls)).collect();
    json!({ "notificationChannelList": { "notificationChannel": channels, "resourceURL": urls.channels(user) } })
}

/// Reads a `notificationChannelLifetime` (5.2.2.14): the wish, if any; 0 means its absence.
pub fn read_lifetime(mut fields: Fields) -> Result<Option<u32>> {
    Ok(fields.uint("channelLifetime")?.filter(|seconds| *seconds > 0))
}

/// Writes a `notificationChannelLifetime`: remaining seconds.
pub fn lifetime(seconds: u32) -> Value {
    json!({ "notificationChannelLifetime": { "channelLifetime": seconds } })
}

/// Reads `longPollingRequestParameters` (5.2.2.9): it says nothing yet, and may be missing altogether.
pub fn read_poll(media: Media, body: &[u8]) -> Result<()> {
    if !body.trim_ascii().is_empty() {
        Fields::read(media, body, "longPollingRequestParameters")?;
    }
    Ok(())
}

/// What a client may send over its socket (Appendix I.3).
#[derive(Debug, PartialEq, Eq)]
pub enum FromClient {
    /// Asks to be answered with a `connAck`, in the format it came in.
    ConnCheck(Format),
    /// Answers a `connCheck` of ours.
    ConnAck,
    /// Brings a newer access token: `{"tokenRefresh": {"accessToken": ...}}`, an extension, in JSON.
    TokenRefresh(String),
    /// Something else, to be ignored (common rules: unknown elements).
    Unknown,
}

/// Reads a message of the client, in JSON or XML.
pub fn read_from_client(text: &str) -> Result<FromClient> {
    let (format, root) = if text.trim_start().starts_with('<') {
        (Format::Xml, Some((xml::read(text.as_bytes())?.0, Value::Null)))
    } else {
        match serde_json::from_str(text) {
            Ok(Value::Object(members)) => (Format::Json, members.into_iter().next()),
            _ => return Err(Error::invalid("message")),
        }
    };
    let Some((name, content)) = root else { return Ok(FromClient::Unknown) };
    Ok(match (name.as_str(), content["accessToken"].as_str()) {
        ("connCheck", _) => FromClient::ConnCheck(format),
        ("connAck", _) => FromClient::ConnAck,
        ("tokenRefresh", Some(token)) => FromClient::TokenRefresh(token.to_owned()),
        _ => FromClient::Unknown,
    })
}

/// Writes the answer to a `tokenRefresh`: the socket lives on with the new token.
pub fn token_refreshed(expires_in: Duration) -> String {
    json!({ "tokenRefreshed": { "expiresIn": expires_in.as_secs() } }).to_string()
}

/// Writes the answer to a `tokenRefresh` that is refused: the socket lives on with the token that it has.
pub fn token_refused(reason: &str) -> String {
    json!({ "tokenRefused": { "reason": reason } }).to_string()
}

/// Writes a server's `connCheck`: the next one comes after `interval_seconds`, and a `connAck` starts the lifetime again.
pub fn conn_check(interval_seconds: u64, lifetime_seconds: u32, format: Format) -> String {
    let fields = json!({ "checkInterval": interval_seconds, "newChannelLifetime": lifetime_seconds });
    written(&json!({ "connCheck": fields }), format)
}

/// Writes a server's `connAck`.
pub fn conn_ack(lifetime_seconds: u32, format: Format) -> String {
    written(&json!({ "connAck": { "channelLifetime": lifetime_seconds } }), format)
}

/// A document as a frame.
fn written(document: &Value, format: Format) -> String {
    match format {
        Format::Json => document.to_string(),
        Format::Xml => xml::write(document),
    }
}

/// Appends one notification to a `notificationList` in the making: all of them in one format.
pub fn add_to_list(list: &mut String, format: Format, notification: impl FnOnce(&mut String)) {
    match format {
        Format::Json => list.push_str(if list.is_empty() { r#"{"notificationList":["# } else { "," }),
        Format::Xml if list.is_empty() => list.push_str(XML_LIST_BEGIN),
        Format::Xml => {}
    }
    notification(list);
}

/// Writes one notification as a document by itself.
pub fn write_alone(document: &mut String, format: Format, notification: impl FnOnce(&mut String)) {
    if format == Format::Xml {
        document.push_str(xml::DECLARATION);
    }
    notification(document);
}

/// Marks the last answer of a large-data polling: everything is handed over (5.2.2.3).
pub fn add_complete(list: &mut String, format: Format) {
    add_to_list(list, format, |list| {
        list.push_str(match format {
            Format::Json => r#"{"ncListComplete":true}"#,
            Format::Xml => "<ncListComplete>true</ncListComplete>",
        })
    });
}

/// Writes a `largePollingNotification` (5.2.2.4).
pub fn large_polling_notification(channel_url: &str, expiry: DateTime<Utc>, format: Format) -> String {
    let expiry = expiry.to_rfc3339_opts(SecondsFormat::Secs, true);
    written(&json!({ "largePollingNotification": { "channelURL": channel_url, "channelExpiry": expiry } }), format)
}

/// A `notificationList` without notifications.
pub fn empty_list(format: Format) -> String {
    let mut list = String::new();
    add_to_list(&mut list, format, |_| {});
    end_list(&mut list, format);
    list
}

/// Ends a `notificationList`.
pub fn end_list(list: &mut String, format: Format) {
    list.push_str(match format {
        Format::Json => "]}",
        Format::Xml => "</nc:notificationList>",
    });
}

const XML_LIST_BEGIN: &str = concat!(
    r#"<?xml version="1.0" encoding="UTF-8"?>"#,
    r#"<nc:notificationList xmlns:nc="urn:oma:xml:rest:netapi:notificationchannel:1">"#
);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::channel::Settings;

    const OFFERED: [ChannelType; 1] = [ChannelType::WebSockets];

    fn read(body: &str) -> Result<NewChannel> {
        read_channel(Fields::read(Media::Json, body.as_bytes(), "notificationChannel").unwrap(), &OFFERED)
    }

    #[test]
    fn a_socket_channel_is_read_in_every_spelling() {
        for name in ["WebSockets", "Websockets", "websockets"] {
            let body = format!(
                r#"{{"notificationChannel":{{"clientCorrelator":"","channelType":"{name}","channelLifetime":"7200",
                    "channelData":{{"maxNotifications":"5"}},"x-connCheckRole":"client"}}}}"#
            );
            let read = read(&body).unwrap();
            assert_eq!(read.transport, Transport::WebSockets { checked_by_server: false });
            assert_eq!(
                (read.client_correlator, read.lifetime_seconds, read.max_notifications),
                (None, Some(7200), Some(5))
            );
        }
    }

    #[test]
    fn types_not_known_and_types_not_offered_are_told_apart() {
        let read = |name: &str| read(&format!(r#"{{"notificationChannel":{{"channelType":"{name}"}}}}"#));
        assert!(matches!(read("Pigeon"), Err(Error::InvalidChoice { .. })));
        assert!(matches!(read("OMAPush"), Err(Error::UnsupportedChannelType { asked, .. }) if asked == "OMAPush"));
        assert!(matches!(read(""), Err(Error::Invalid { part }) if part == "channelType"));
    }

    #[test]
    fn a_poll_says_nothing_in_many_ways() {
        for fine in
            ["", " ", "{}", r#"{"longPollingRequestParameters":null}"#, r#"{"longPollingRequestParameters":{}}"#]
        {
            assert!(read_poll(Media::Json, fine.as_bytes()).is_ok(), "{fine}");
        }
        for wrong in ["x", "[]", "null", r#"{"longPollingRequestParameters":1}"#] {
            assert!(read_poll(Media::Json, wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_clients_say_over_the_socket() {
        assert_eq!(
            read_from_client(r#"{"connCheck":{"checkInterval":"30"}}"#).unwrap(),
            FromClient::ConnCheck(Format::Json)
        );
        assert_eq!(read_from_client(r#"{"connAck":null}"#).unwrap(), FromClient::ConnAck);
        assert_eq!(read_from_client("{}").unwrap(), FromClient::Unknown);
        let check = r#"<nc:connCheck xmlns:nc="u"><checkInterval>30</checkInterval></nc:connCheck>"#;
        assert_eq!(read_from_client(check).unwrap(), FromClient::ConnCheck(Format::Xml));
        assert!(read_from_client("<connCheck>").is_err());
        assert!(read_from_client("garbage").is_err());
        assert!(read_from_client("[]").is_err());
    }

    fn text() -> impl Strategy<Value = String> {
        "[!-~äß€][ -~äß€]{0,10}[!-~äß€]"
    }

    fn large() -> impl Strategy<Value = Option<LargeDataPolling>> {
        prop::option::of((1_u32..100).prop_map(|most| LargeDataPolling { max_polling_notifications: Some(most) }))
    }

    fn transport() -> impl Strategy<Value = Transport> {
        let native = prop_oneof![Just((Native::Gcm, "v1")), Just((Native::Apns, "3")), Just((Native::Wns, "1"))];
        prop_oneof![
            (0_u32..1000).prop_map(|max_wait_time| Transport::LongPolling { max_wait_time }),
            any::<bool>().prop_map(|checked_by_server| Transport::WebSockets { checked_by_server }),
            (prop::option::of(text()), large())
                .prop_map(|(app_id, large_data_polling)| Transport::OMAPush { app_id, large_data_polling }),
            (native, text(), large()).prop_map(
                |((channel_sub_type, version), registration_token, large_data_polling)| {
                    Transport::NativeChannel {
                        channel_sub_type,
                        registration_token,
                        channel_sub_type_version: version.to_owned(),
                        large_data_polling,
                    }
                }
            ),
            "[a-z]{1,9}".prop_map(|name| Transport::Webhooks { webhook_url: format!("https://{name}.example/?a=b&c") }),
        ]
    }

    proptest! {
        /// What we write, in either format, is read as what it was.
        #[test]
        fn a_channel_that_is_written_is_read_again(
            transport in transport(), max_notifications in 1_u32..1000, lifetime in 1_u32..100_000,
            correlator in prop::option::of(text()), tag in prop::option::of(text()),
        ) {
            let of = Channel {
                id: crate::base::ids::ChannelId::random(),
                user: UserId::parse("tel:+1").unwrap(),
                settings: Settings { max_notifications, transport: transport.clone() },
                format: Format::Json,
                client_correlator: correlator.clone(),
                application_tag: tag.clone(),
                lifetime_seconds: lifetime,
                expires_at: Utc::now(),
                disabled: None,
            };
            let urls = Urls::new("https://x.example".to_owned(), crate::channel::secret::UrlKey::new(vec![1; 32]));
            let written = channel(&of, &urls);
            let bodies = [(Media::Json, written.to_string()), (Media::Xml, xml::write(&written))];
            let types = ChannelType::ALL.map(|(channel_type, _)| channel_type);
            for (media, body) in bodies {
                let fields = Fields::read(media, body.as_bytes(), "notificationChannel").unwrap();
                let read = read_channel(fields, &types).unwrap();
                prop_assert_eq!(&read.transport, &transport, "{}", body);
                prop_assert_eq!(read.max_notifications, Some(max_notifications));
                prop_assert_eq!(read.lifetime_seconds, Some(lifetime));
                prop_assert_eq!(&read.client_correlator, &correlator);
                prop_assert_eq!(&read.application_tag, &tag);
            }
        }
    }
}
