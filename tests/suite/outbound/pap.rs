use quick_xml::Reader;
use quick_xml::events::Event;
use tocsin::outbound::config::OmaPush;

use super::*;
use crate::support::stand_in::Received;

fn settings(url: &str) -> OmaPush {
    OmaPush {
        ppg_url: format!("{url}/pap").parse().unwrap(),
        address_domain: "example.com".to_owned(),
        user_file: None,
        password_file: None,
        application_id_default: None,
        payload_bytes_max: 2048,
    }
}

fn senders(settings: OmaPush) -> Senders {
    Senders::new(&Push { oma_push: Some(settings), ..Push::default() }, false).unwrap()
}

async fn send(url: &str) -> Outcome {
    senders(settings(url)).push_oma("tel:+14255551212", None, &message()).await
}

fn result(code: &str) -> String {
    format!(
        r#"<?xml version="1.0"?><!DOCTYPE pap PUBLIC "-//WAPFORUM//DTD PAP 2.1//EN" "http://www.openmobilealliance.org/tech/DTD/pap_2.1.dtd">
        <pap><push-response push-id="x" reply-time="2026-01-01T00:00:00Z"><response-result code="{code}" desc="so"/></push-response></pap>"#
    )
}

/// The entities of a multipart body: their headers and contents.
fn parts(request: &Received) -> Vec<(String, String)> {
    let content_type = header(&request.headers, "content-type");
    let (start, rest) = content_type.split_once(r#"; boundary=""#).unwrap();
    let (boundary, rest) = rest.split_once('"').unwrap();
    assert_eq!((start, rest), ("multipart/related", r#"; type="application/xml""#));
    let body = String::from_utf8(request.body.to_vec()).unwrap();
    let inner = body.strip_prefix(&format!("--{boundary}\r\n")).unwrap();
    let inner = inner.strip_suffix(&format!("\r\n--{boundary}--\r\n")).unwrap();
    inner
        .split(&format!("\r\n--{boundary}\r\n"))
        .map(|part| part.split_once("\r\n\r\n").unwrap())
        .map(|(head, content)| (head.to_owned(), content.to_owned()))
        .collect()
}

/// An element's name and attributes.
type Element = (String, Vec<(String, String)>);

/// The elements of a document with their attributes, and its document type.
fn elements(xml: &str) -> (Vec<Element>, String) {
    let (mut reader, mut found, mut doctype) = (Reader::from_str(xml), Vec::new(), String::new());
    loop {
        match reader.read_event().unwrap() {
            Event::Start(element) | Event::Empty(element) => {
                let attributes = element.attributes().map(|attribute| {
                    let attribute = attribute.unwrap();
                    let value = attribute.normalized_value(quick_xml::XmlVersion::Implicit1_0).unwrap();
                    (attribute.key.as_ref().to_owned(), value.into_owned())
                });
                found.push((element.name().as_ref().to_owned(), attributes.collect()));
            }
            Event::DocType(text) => doctype = text.into_inner().into_owned(),
            Event::Eof => return (found, doctype),
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_submission_has_control_and_content() {
    let gateway = StandIn::start(|_, _| reply(202, &[("content-type", "application/xml")], result("1001"))).await;
    let files = Files::new();
    let settings = OmaPush {
        address_domain: r#"a&b"<c>"#.to_owned(),
        user_file: Some(files.put("user", "initiator\n")),
        password_file: Some(files.put("password", "pa:ss\n")),
        application_id_default: Some("x-oma-application:default".to_owned()),
        ..settings(&gateway.url)
    };
    let (senders, message) = (senders(settings), message());
    assert_eq!(senders.push_oma("tel:+14255551212", Some("x-oma-application:nc"), &message).await, Outcome::Delivered);
    let sent = gateway.only();
    assert_eq!((sent.method.as_str(), sent.path.as_str()), ("POST", "/pap"));
    assert_eq!(header(&sent.headers, "authorization"), "Basic aW5pdGlhdG9yOnBhOnNz");

    let [(control_head, control), (content_head, content)] = parts(&sent).try_into().unwrap();
    assert_eq!(control_head, "Content-Type: application/xml; charset=UTF-8");
    let (found, doctype) = elements(&control);
    assert!(doctype.starts_with("pap PUBLIC \"-//WAPFORUM//DTD PAP 2."), "{doctype}");
    let owned = |pairs: &[(&str, &str)]| pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    let (push_id, before) =
        (format!(r#"{}@a&b"<c>"#, message.id), message.expires.format("%Y-%m-%dT%H:%M:%SZ").to_string());
    let expected: Vec<Element> = vec![
        ("pap".to_owned(), vec![]),
        ("push-message".to_owned(), owned(&[("push-id", &push_id), ("deliver-before-timestamp", &before)])),
        ("address".to_owned(), owned(&[("address-value", r#"WAPPUSH=+14255551212/TYPE=PLMN@a&b"<c>"#)])),
        ("quality-of-service".to_owned(), owned(&[("priority", "high"), ("delivery-method", "preferconfirmed")])),
    ];
    assert_eq!(found, expected);

    assert_eq!(content_head, "Content-Type: application/json\r\nX-Wap-Application-Id: x-oma-application:nc");
    assert_eq!(content, NOTIFICATION);
}

#[tokio::test]
async fn a_channel_without_an_app_id_has_the_default() {
    let gateway = StandIn::start(|_, _| reply(200, &[], result("1000"))).await;
    let settings =
        OmaPush { application_id_default: Some("x-oma-application:default".to_owned()), ..settings(&gateway.url) };
    let xml = Message { content_type: "application/xml", body: "<a/>", ..message() };
    assert_eq!(senders(settings).push_oma("+1", None, &xml).await, Outcome::Delivered);
    let sent = gateway.only();
    assert!(!sent.headers.contains_key("authorization"));
    let content = ("Content-Type: application/xml\r\nX-Wap-Application-Id: x-oma-application:default", "<a/>");
    assert_eq!(parts(&sent)[1], (content.0.to_owned(), content.1.to_owned()));
}

#[tokio::test]
async fn codes_have_their_outcomes() {
    let table = [
        ("1000", "delivered"),
        ("1001", "delivered"),
        ("2000", "refused"),
        ("2002", "refused"),
        ("2003", "refused"),
        ("2007", "delivered"), // it came at an earlier attempt
        ("3000", "retry"),
        ("3009", "retry"),
        ("4001", "retry"),
        ("5000", "retry"),
        ("x", "retry"),
    ];
    for (code, expected) in table {
        let gateway = StandIn::start(move |_, _| reply(202, &[], result(code))).await;
        let outcome = send(&gateway.url).await;
        assert_eq!(kind(&outcome), expected, "{code}: {outcome:?}");
    }
}

#[tokio::test]
async fn statuses_and_broken_answers_have_their_outcomes() {
    let table = [
        (401, "", "refused"),
        (307, "", "refused"),
        (413, "", "too large"),
        (503, "", "retry"),
        (202, "", "retry"),
        (202, "<pap>", "retry"),
        (202, r#"<pap><badmessage-response code="2000" desc="what?"/></pap>"#, "refused"),
    ];
    for (status, body, expected) in table {
        let gateway = StandIn::start(move |_, _| reply(status, &[], body)).await;
        let outcome = send(&gateway.url).await;
        assert_eq!(kind(&outcome), expected, "{status} {body}: {outcome:?}");
    }
    let oversized = StandIn::start(|_, _| reply(202, &[], format!("{}{}", " ".repeat(1 << 20), result("1001")))).await;
    assert_eq!(kind(&send(&oversized.url).await), "retry");
    let hangs = StandIn::start(|_, _| None).await;
    let senders = Senders::new(&Push { oma_push: Some(settings(&hangs.url)), ..impatient() }, false).unwrap();
    assert_eq!(kind(&senders.push_oma("+1", None, &message()).await), "retry");
    let resets =
        crate::support::stand_in::resets_after(b"HTTP/1.1 202 Accepted\r\nContent-Length: 1000\r\n\r\n<pap>").await;
    assert_eq!(kind(&send(&resets).await), "retry");
}

#[tokio::test]
async fn asked_to_wait_it_says_how_long() {
    obeys_retry_after(async |status, value| {
        let gateway = StandIn::start(move |_, _| reply(status, &[("retry-after", &value)], "")).await;
        send(&gateway.url).await
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_submitted_is_not() {
    let gateway = StandIn::start(|_, _| reply(202, &[], result("1001"))).await;
    let senders = senders(OmaPush { payload_bytes_max: NOTIFICATION.len(), ..settings(&gateway.url) });
    assert_eq!(senders.oma_push_bytes_max(), Some(NOTIFICATION.len()));
    for (user, application) in [("acr:x", None), ("sip:a@b", None), ("", None), ("+1", Some("a\r\nX-Evil: 1"))] {
        assert_eq!(kind(&senders.push_oma(user, application, &message()).await), "refused", "{user} {application:?}");
    }
    let larger = notification_of(NOTIFICATION.len() + 1);
    assert_eq!(senders.push_oma("+1", None, &Message { body: &larger, ..message() }).await, Outcome::TooLarge);
    assert!(gateway.received().is_empty());
    assert_eq!(senders.push_oma("+1", None, &message()).await, Outcome::Delivered);
}
