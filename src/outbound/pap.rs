//! Push Access Protocol 2: submissions to a push proxy gateway, which reaches handsets. The channel type OMAPush.

use std::time::Duration;

use anyhow::{Context, bail};
use quick_xml::events::{BytesDecl, BytesStart, BytesText, Event};
use quick_xml::{Reader, Writer};
use reqwest::Client;
use reqwest::header::CONTENT_TYPE;
use uuid::Uuid;

use super::call::{Answer, call, check_url};
use super::secret::{Secret, read_secret};
use super::{Message, Outcome, config};

/// The document type of the control entity.
const DOCTYPE: &str =
    r#"pap PUBLIC "-//WAPFORUM//DTD PAP 2.1//EN" "http://www.openmobilealliance.org/tech/DTD/pap_2.1.dtd""#;
/// The gateway has a push of this id already: an earlier attempt arrived.
const DUPLICATE_PUSH_ID: u32 = 2007;

pub(super) struct Pap {
    http: Client,
    timeout: Duration,
    settings: config::OmaPush,
    credentials: Option<(Secret, Secret)>,
}

impl Pap {
    /// Reads the credentials; errors name the setting.
    pub fn new(settings: &config::OmaPush, http: Client, timeout: Duration) -> anyhow::Result<Self> {
        check_url("push.oma_push.ppg_url", &settings.ppg_url)?;
        if let Some(id) = &settings.application_id_default
            && !is_header_text(id)
        {
            bail!("push.oma_push.application_id_default: it cannot stand in a header");
        }
        let credentials = match (&settings.user_file, &settings.password_file) {
            (Some(user), Some(password)) => Some((
                read_secret("push.oma_push.user_file", user)?,
                read_secret("push.oma_push.password_file", password)?,
            )),
            (None, None) => None,
            _ => bail!("push.oma_push: user_file and password_file go together"),
        };
        Ok(Pap { http, timeout, settings: settings.clone(), credentials })
    }

    /// The largest notification, in bytes.
    pub fn bytes_max(&self) -> usize {
        self.settings.payload_bytes_max
    }

    /// Submits to the handset with a phone number (`+...`, also as a `tel:` URI), for the application or the default.
    pub async fn send(&self, phone: &str, application: Option<&str>, message: &Message<'_>) -> Outcome {
        if message.body.len() > self.bytes_max() {
            return Outcome::TooLarge;
        }
        match self.request(phone, application, message) {
            Ok(request) => call(request).await.map_or_else(|outcome| outcome, |answer| judge(&answer)),
            Err(fault) => Outcome::refused(format!("{fault:#}")),
        }
    }

    fn request(
        &self,
        phone: &str,
        application: Option<&str>,
        message: &Message<'_>,
    ) -> anyhow::Result<reqwest::RequestBuilder> {
        let control = self.control(phone_number(phone)?, message)?;
        let application = application.or(self.settings.application_id_default.as_deref());
        let boundary = Uuid::new_v4().simple().to_string();
        let body = multipart(&boundary, &control, &content(application, message)?);
        let content_type = format!(r#"multipart/related; boundary="{boundary}"; type="application/xml""#);
        let request = self.http.post(self.settings.ppg_url.clone()).timeout(self.timeout);
        let request = match &self.credentials {
            Some((user, password)) => request.basic_auth(user.reveal(), Some(password.reveal())),
            None => request,
        };
        Ok(request.header(CONTENT_TYPE, content_type).body(body))
    }

    /// The control entity: what is to be done with the content.
    fn control(&self, phone: &str, message: &Message<'_>) -> anyhow::Result<String> {
        let domain = &self.settings.address_domain;
        let push_id = format!("{}@{domain}", message.id);
        let before = message.expires.format("%Y-%m-%dT%H:%M:%SZ").to_string();
        let address = format!("WAPPUSH={phone}/TYPE=PLMN@{domain}");
        let mut xml = Writer::new(Vec::new());
        xml.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
        xml.write_event(Event::DocType(BytesText::from_escaped(DOCTYPE)))?;
        let push = [("push-id", push_id.as_str()), ("deliver-before-timestamp", before.as_str())];
        xml.create_element("pap").write_inner_content(|xml| {
            xml.create_element("push-message").with_attributes(push).write_inner_content(|xml| {
                xml.create_element("address").with_attribute(("address-value", address.as_str())).write_empty()?;
                let service = [("priority", "high"), ("delivery-method", "preferconfirmed")];
                xml.create_element("quality-of-service").with_attributes(service).write_empty()?;
                Ok(())
            })?;
            Ok(())
        })?;
        Ok(String::from_utf8(xml.into_inner())?)
    }
}

/// The digits of a phone number with their plus.
fn phone_number(user: &str) -> anyhow::Result<&str> {
    let number = user.strip_prefix("tel:").unwrap_or(user);
    let digits = number.strip_prefix('+').context("the user is not a phone number")?;
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        bail!("the user is not a phone number");
    }
    Ok(number)
}

/// The content entity: the notification and the application it is for.
fn content(application: Option<&str>, message: &Message<'_>) -> anyhow::Result<String> {
    if !is_header_text(message.content_type) {
        bail!("the content type cannot stand in a header");
    }
    let mut entity = format!("Content-Type: {}\r\n", message.content_type);
    if let Some(application) = application {
        if !is_header_text(application) {
            bail!("the appId cannot stand in a header");
        }
        entity.push_str(&format!("X-Wap-Application-Id: {application}\r\n"));
    }
    entity.push_str("\r\n");
    entity.push_str(message.body);
    Ok(entity)
}

fn multipart(boundary: &str, control: &str, content: &str) -> String {
    format!(
        "--{boundary}\r\nContent-Type: application/xml; charset=UTF-8\r\n\r\n{control}\r\n\
         --{boundary}\r\n{content}\r\n--{boundary}--\r\n"
    )
}

/// Whether a text can be a header's value, and no more than that.
fn is_header_text(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())
}

fn judge(answer: &Answer) -> Outcome {
    if !answer.status.is_success() {
        return answer.outcome("from the push proxy gateway");
    }
    let Some((code, description)) = result(&answer.body) else {
        return answer.retry("the push proxy gateway's answer is not a push-response".to_owned());
    };
    let why = format!("PAP {code} {description}").trim_end().to_owned();
    match code {
        1000..=1999 | DUPLICATE_PUSH_ID => Outcome::Delivered,
        2000..=2999 => Outcome::Refused { why },
        _ => answer.retry(why),
    }
}

/// Code and description of a push-response's result, or of a badmessage-response.
fn result(body: &[u8]) -> Option<(u32, String)> {
    let mut reader = Reader::from_str(std::str::from_utf8(body).ok()?);
    loop {
        match reader.read_event().ok()? {
            Event::Start(element) | Event::Empty(element)
                if matches!(element.local_name().as_ref(), "response-result" | "badmessage-response") =>
            {
                let description = attribute(&element, "desc").unwrap_or_default();
                return Some((attribute(&element, "code")?.trim().parse().ok()?, description));
            }
            Event::Eof => return None,
            _ => {}
        }
    }
}

fn attribute(element: &BytesStart<'_>, name: &str) -> Option<String> {
    let attribute = element.try_get_attribute(name).ok()??;
    Some(attribute.normalized_value(quick_xml::XmlVersion::Implicit1_0).ok()?.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_phone_numbers_are_addresses() {
        for good in ["+14255551212", "tel:+14255551212"] {
            assert_eq!(phone_number(good).unwrap(), "+14255551212");
        }
        for bad in ["", "+", "14255551212", "sip:a@b", "+1/TYPE=USER@evil", "+1\"", "acr:x", "tel:"] {
            assert!(phone_number(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_header_cannot_be_smuggled_in() {
        for bad in ["a\r\nX-Evil: 1", "a\nb", "", "\u{e4}"] {
            assert!(content(Some(bad), &Message::example()).is_err(), "{bad:?}");
        }
        let entity = content(Some("x-oma-application:nc"), &Message::example()).unwrap();
        assert!(entity.contains("\r\nX-Wap-Application-Id: x-oma-application:nc\r\n\r\n{"), "{entity}");
    }

    #[test]
    fn results_are_found_in_what_gateways_answer() {
        let response = r#"<?xml version="1.0"?><!DOCTYPE pap PUBLIC "-//WAPFORUM//DTD PAP 2.0//EN" "http://x/pap.dtd">
            <pap><push-response push-id="1"><progress-note stage="x" code="3000"/>
            <response-result code="1001" desc="Accepted &amp; queued"></response-result></push-response></pap>"#;
        assert_eq!(result(response.as_bytes()), Some((1001, "Accepted & queued".to_owned())));
        let bad = r#"<pap><badmessage-response code="2000"/></pap>"#;
        assert_eq!(result(bad.as_bytes()), Some((2000, String::new())));
        for nonsense in ["", "OK", "<pap/>", "<pap", r#"<response-result code="x"/>"#, "\u{0}"] {
            assert_eq!(result(nonsense.as_bytes()), None, "{nonsense}");
        }
    }
}
