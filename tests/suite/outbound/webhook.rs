use axum::body::{Body, Bytes};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::stream;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::*;
use crate::support::stand_in::Received;

/// Senders that may call this machine.
fn senders() -> Senders {
    Senders::new(&Push::default(), true).unwrap()
}

async fn post(url: &str) -> Outcome {
    senders().post_webhook(&url.parse().unwrap(), &[], &message()).await
}

async fn post_impatiently(url: &str) -> Outcome {
    let senders = Senders::new(&impatient(), true).unwrap();
    senders.post_webhook(&url.parse().unwrap(), &[], &message()).await
}

/// Whether one of the signatures of a request was made with these bytes.
fn verify(request: &Received, secret: &[u8]) -> bool {
    let signed = [header(&request.headers, "webhook-id"), header(&request.headers, "webhook-timestamp")].join(".");
    header(&request.headers, "webhook-signature").split(' ').any(|signature| {
        let code = STANDARD.decode(signature.strip_prefix("v1,").unwrap()).unwrap();
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
        mac.update(signed.as_bytes());
        mac.update(b".");
        mac.update(&request.body);
        mac.verify_slice(&code).is_ok()
    })
}

#[tokio::test]
async fn a_post_is_signed_with_each_secret() {
    let client = StandIn::start(|_, _| reply(204, &[], "")).await;
    let bytes = [[1_u8; 24], [2; 24], [3; 24]];
    let secrets =
        [0, 1].map(|n| SigningSecret::parse(&format!("whsec_{}", STANDARD.encode::<[u8; 24]>(bytes[n]))).unwrap());
    let message = Message { content_type: "application/xml", body: "<notificationList/>", ..message() };
    let target = format!("{}/hook?a=b", client.url).parse().unwrap();
    assert_eq!(senders().post_webhook(&target, &secrets, &message).await, Outcome::Delivered);

    let sent = client.only();
    assert_eq!((sent.method.as_str(), sent.path.as_str()), ("POST", "/hook?a=b"));
    assert_eq!(header(&sent.headers, "content-type"), "application/xml");
    assert_eq!(header(&sent.headers, "webhook-id"), message.id.to_string());
    let timestamp: i64 = header(&sent.headers, "webhook-timestamp").parse().unwrap();
    assert!((Utc::now().timestamp() - timestamp).abs() < 600);
    assert_eq!(sent.body, message.body);
    assert_eq!(header(&sent.headers, "webhook-signature").split(' ').count(), 2);
    assert_eq!(bytes.map(|secret| verify(&sent, &secret)), [true, true, false]);
}

#[tokio::test]
async fn without_a_secret_there_is_no_signature() {
    let client = StandIn::start(|_, _| reply(200, &[], "thanks")).await;
    assert_eq!(post(&client.url).await, Outcome::Delivered);
    assert!(!client.only().headers.contains_key("webhook-signature"));
}

#[tokio::test]
async fn statuses_have_their_outcomes() {
    let table = [
        (200, "delivered"),
        (201, "delivered"),
        (202, "delivered"),
        (204, "delivered"),
        (400, "refused"),
        (401, "refused"),
        (404, "refused"),
        (408, "retry"),
        (410, "gone"),
        (413, "too large"),
        (429, "retry"),
        (500, "retry"),
        (502, "retry"),
        (503, "retry"),
    ];
    for (status, expected) in table {
        let client = StandIn::start(move |_, _| reply(status, &[], "")).await;
        let outcome = post(&client.url).await;
        assert_eq!(kind(&outcome), expected, "{status}: {outcome:?}");
        assert_eq!(client.received().len(), 1, "one attempt");
    }
}

#[tokio::test]
async fn asked_to_wait_it_says_how_long() {
    obeys_retry_after(async |status, value| {
        let client = StandIn::start(move |_, _| reply(status, &[("retry-after", &value)], "")).await;
        post(&client.url).await
    })
    .await;
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let other = StandIn::start(|_, _| reply(200, &[], "")).await;
    for status in [301, 302, 303, 307, 308] {
        let location = other.url.clone();
        let client = StandIn::start(move |_, _| reply(status, &[("location", &location)], "")).await;
        assert_eq!(kind(&post(&client.url).await), "refused");
    }
    assert!(other.received().is_empty());
}

#[tokio::test]
async fn without_an_answer_it_is_to_be_tried_again() {
    let hangs = StandIn::start(|_, _| None).await;
    let half = crate::support::stand_in::resets_after(b"HTTP/1.1 200 O").await;
    let silent = crate::support::stand_in::resets_after(b"").await;
    let noise = crate::support::stand_in::resets_after(b"SSH-2.0-OpenSSH\r\n\r\n").await;
    for url in [hangs.url.as_str(), &half, &silent, &noise, "http://127.0.0.1:1/", "http://no-such-host.invalid/"] {
        let outcome = post_impatiently(&format!("{url}?token=hush")).await;
        assert_eq!(kind(&outcome), "retry", "{url}: {outcome:?}");
        assert!(!why(&outcome).contains("hush"), "{outcome:?}");
    }
}

#[tokio::test]
async fn after_the_status_the_body_does_not_matter() {
    let resets = crate::support::stand_in::resets_after(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nthan").await;
    assert_eq!(post(&resets).await, Outcome::Delivered);
    let endless = StandIn::start(|_, _| {
        let chunks = stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from_static(&[b'x'; 1000])));
        reply(200, &[], Body::from_stream(chunks))
    })
    .await;
    assert_eq!(post(&endless.url).await, Outcome::Delivered);
    let stuck =
        StandIn::start(|_, _| reply(500, &[], Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>())))
            .await;
    assert_eq!(kind(&post_impatiently(&stuck.url).await), "retry");
}

#[tokio::test]
async fn by_default_this_machine_is_not_called_whatever_its_name() {
    let client = StandIn::start(|_, _| reply(200, &[], "")).await;
    let port = client.url.rsplit_once(':').unwrap().1;
    let senders = Senders::new(&Push::default(), false).unwrap();
    for host in ["127.0.0.1", "127.1", "0x7f000001", "[::ffff:127.0.0.1]", "0.0.0.0", "localhost", "LOCALHOST"] {
        let target = format!("http://{host}:{port}/").parse().unwrap();
        let outcome = senders.post_webhook(&target, &[], &message()).await;
        assert!(kind(&outcome) == "refused" && why(&outcome).contains("not public"), "{host}: {outcome:?}");
    }
    assert!(client.received().is_empty());
    let by_name = client.url.replace("127.0.0.1", "localhost");
    assert_eq!(post(&by_name).await, Outcome::Delivered, "it can be allowed");
}

#[tokio::test]
async fn only_http_is_called() {
    for url in ["ftp://127.0.0.1/", "file:///etc/passwd", "unix:/tmp/x"] {
        let target = url.parse().unwrap();
        assert_eq!(kind(&senders().post_webhook(&target, &[], &message()).await), "refused", "{url}");
        assert!(senders().check_target(&target).is_err(), "{url}");
    }
}
