//! The data types of the Notification Channel API (5.2), in JSON.

use serde_json::{Value, json};

use super::json::Fields;
use super::urls::Urls;
use crate::base::ids::UserId;
use crate::base::{Error, Result};
use crate::channel::{Channel, ChannelType};

/// The registered sub-protocol of the socket (Appendix I).
pub const SUBPROTOCOL: &str = "notificationchannel-netapi-rest.openmobilealliance.org";

/// A request to create a channel (5.2.2.2), as far as it concerns us.
#[derive(Debug)]
pub struct NewChannel {
    /// The type, known and offered.
    pub channel_type: ChannelType,
    /// Echoed; `""` means absent.
    pub client_correlator: Option<String>,
    /// Echoed; `""` means absent.
    pub application_tag: Option<String>,
    /// Wish of the client; 0 means its absence.
    pub lifetime_seconds: Option<u32>,
    /// Wish of the client.
    pub max_notifications: Option<u32>,
    /// Wish of a polling client (maxWaitTime).
    pub max_wait_seconds: Option<u32>,
}

/// Reads a `notificationChannel`.
pub fn read_channel(body: &[u8]) -> Result<NewChannel> {
    let mut fields = Fields::root(body, "notificationChannel")?;
    let name = fields.required("channelType")?;
    let channel_type = ChannelType::parse(&name).ok_or_else(|| Error::InvalidChoice {
        part: "channelType".to_owned(),
        valid: ChannelType::ALL.map(|(_, spelling)| spelling).join(", "),
    })?;
    if !ChannelType::SUPPORTED.contains(&channel_type) {
        return Err(Error::UnsupportedChannelType { asked: channel_type.name().to_owned() });
    }
    let mut data = fields.fields("channelData")?.unwrap_or_default();
    let max_notifications = data.uint("maxNotifications")?;
    if max_notifications == Some(0) {
        return Err(Error::invalid("maxNotifications"));
    }
    Ok(NewChannel {
        channel_type,
        client_correlator: fields.text_not_empty("clientCorrelator")?,
        application_tag: fields.text_not_empty("applicationTag")?,
        lifetime_seconds: fields.uint("channelLifetime")?.filter(|seconds| *seconds > 0),
        max_notifications,
        max_wait_seconds: data.uint("maxWaitTime")?,
    })
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
    fields["channelType"] = json!(channel.channel_type.name());
    fields["channelData"] = match channel.channel_type {
        ChannelType::LongPolling => json!({
            "channelURL": urls.poll(&channel.id), "maxNotifications": channel.max_notifications,
            "maxWaitTime": channel.max_wait_seconds }),
        _ => json!({ "channelURL": urls.socket(&channel.id), "maxNotifications": channel.max_notifications }),
    };
    fields["channelLifetime"] = json!(channel.lifetime_seconds);
    fields["callbackURL"] = json!(urls.callback(&channel.id));
    fields["resourceURL"] = json!(urls.channel(&channel.user, &channel.id));
    fields
}

/// Writes a `notificationChannelList` (5.2.2.1).
pub fn channel_list(user: &UserId, channels: &[Channel], urls: &Urls) -> Value {
    let channels: Vec<Value> = channels.iter().map(|channel| channel_fields(channel, urls)).collect();
    json!({ "notificationChannelList": { "notificationChannel": channels, "resourceURL": urls.channels(user) } })
}

/// Reads a `notificationChannelLifetime` (5.2.2.14): the wish, if any; 0 means its absence.
pub fn read_lifetime(body: &[u8]) -> Result<Option<u32>> {
    let mut fields = Fields::root(body, "notificationChannelLifetime")?;
    Ok(fields.uint("channelLifetime")?.filter(|seconds| *seconds > 0))
}

/// Writes a `notificationChannelLifetime`: remaining seconds.
pub fn lifetime(seconds: u32) -> Value {
    json!({ "notificationChannelLifetime": { "channelLifetime": seconds } })
}

/// Reads `longPollingRequestParameters` (5.2.2.9): it says nothing yet, and may be missing altogether.
pub fn read_poll(body: &[u8]) -> Result<()> {
    if !body.trim_ascii().is_empty() {
        Fields::root(body, "longPollingRequestParameters")?;
    }
    Ok(())
}

/// What a client may send over its socket (Appendix I.3).
#[derive(Debug, PartialEq, Eq)]
pub enum FromClient {
    /// Asks to be answered with a `connAck`.
    ConnCheck,
    /// Answers a `connCheck` of ours.
    ConnAck,
    /// Something else, to be ignored (common rules: unknown elements).
    Unknown,
}

/// Reads a message of the client.
pub fn read_from_client(text: &str) -> Result<FromClient> {
    let Ok(Value::Object(members)) = serde_json::from_str(text) else { return Err(Error::invalid("message")) };
    Ok(match members.keys().next().map(String::as_str) {
        Some("connCheck") => FromClient::ConnCheck,
        Some("connAck") => FromClient::ConnAck,
        _ => FromClient::Unknown,
    })
}

/// Writes a server's `connAck`.
pub fn conn_ack(lifetime_seconds: u32) -> String {
    json!({ "connAck": { "channelLifetime": lifetime_seconds } }).to_string()
}

/// Appends one notification to a `notificationList` in the making.
pub fn add_to_list(list: &mut String, notification: impl FnOnce(&mut String)) {
    list.push_str(if list.is_empty() { r#"{"notificationList":["# } else { "," });
    notification(list);
}

/// A `notificationList` without notifications.
pub fn empty_list() -> String {
    r#"{"notificationList":[]}"#.to_owned()
}

/// Ends a `notificationList`.
pub fn end_list(list: &mut String) {
    list.push_str("]}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_channel_is_read_in_every_spelling() {
        for name in ["WebSockets", "Websockets", "websockets"] {
            let body = format!(
                r#"{{"notificationChannel":{{"clientCorrelator":"","channelType":"{name}","channelLifetime":"7200",
                    "channelData":{{"maxNotifications":"5"}},"x-connCheckRole":"client"}}}}"#
            );
            let read = read_channel(body.as_bytes()).unwrap();
            assert_eq!(read.channel_type, ChannelType::WebSockets);
            assert_eq!(
                (read.client_correlator, read.lifetime_seconds, read.max_notifications),
                (None, Some(7200), Some(5))
            );
        }
    }

    #[test]
    fn types_not_known_and_types_not_offered_are_told_apart() {
        let read =
            |name: &str| read_channel(format!(r#"{{"notificationChannel":{{"channelType":"{name}"}}}}"#).as_bytes());
        assert!(matches!(read("Pigeon"), Err(Error::InvalidChoice { .. })));
        assert!(matches!(read("OMAPush"), Err(Error::UnsupportedChannelType { asked }) if asked == "OMAPush"));
        assert!(matches!(read(""), Err(Error::Invalid { part }) if part == "channelType"));
    }

    #[test]
    fn a_poll_says_nothing_in_many_ways() {
        for fine in
            ["", " ", "{}", r#"{"longPollingRequestParameters":null}"#, r#"{"longPollingRequestParameters":{}}"#]
        {
            assert!(read_poll(fine.as_bytes()).is_ok(), "{fine}");
        }
        for wrong in ["x", "[]", "null", r#"{"longPollingRequestParameters":1}"#] {
            assert!(read_poll(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_clients_say_over_the_socket() {
        assert_eq!(read_from_client(r#"{"connCheck":{"checkInterval":"30"}}"#).unwrap(), FromClient::ConnCheck);
        assert_eq!(read_from_client(r#"{"connAck":null}"#).unwrap(), FromClient::ConnAck);
        assert_eq!(read_from_client("{}").unwrap(), FromClient::Unknown);
        assert!(read_from_client("garbage").is_err());
        assert!(read_from_client("[]").is_err());
    }
}
