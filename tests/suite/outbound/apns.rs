use axum::http::Version;
use jsonwebtoken::{Algorithm, Validation, decode, decode_header};
use serde_json::json;

use super::keys::P256;
use super::*;

const DEVICE: &str = "00fc13adff785122b4ad28809a3420982341241421348097878e577c991de8f0";

fn senders(url: &str) -> Senders {
    senders_with(url, Push::default())
}

fn senders_with(url: &str, push: Push) -> Senders {
    let files = Files::new();
    let apns = tocsin::outbound::config::Apns {
        key_file: files.put("key.p8", &P256.pem),
        key_id: "ABC123DEFG".to_owned(),
        team_id: "DEF123GHIJ".to_owned(),
        topic: "com.example.app".to_owned(),
        endpoint: url.parse().unwrap(),
    };
    Senders::new(&Push { apns: Some(apns), ..push }, false).unwrap()
}

async fn send(url: &str) -> Outcome {
    senders(url).push_native(Native::Apns, DEVICE, &message()).await
}

#[tokio::test]
async fn a_background_push_goes_out_over_http_2_with_a_signed_provider_token() {
    let service = StandIn::start(|_, _| reply(200, &[("apns-id", "x")], "")).await;
    let (senders, message) = (senders(&service.url), message());
    for _ in 0..2 {
        assert_eq!(senders.push_native(Native::Apns, DEVICE, &message).await, Outcome::Delivered);
    }
    let [sent, again] = service.received().try_into().unwrap();

    assert_eq!(sent.version, Version::HTTP_2);
    assert_eq!((sent.method.as_str(), sent.path), ("POST", format!("/3/device/{DEVICE}")));
    let expected = [
        ("apns-topic", "com.example.app".to_owned()),
        ("apns-push-type", "background".to_owned()),
        ("apns-priority", "5".to_owned()),
        ("apns-id", message.id.to_string()),
        ("apns-expiration", message.expires.timestamp().to_string()),
    ];
    for (name, value) in expected {
        assert_eq!(header(&sent.headers, name), value, "{name}");
    }
    let body: Value = serde_json::from_slice(&sent.body).unwrap();
    let list = json!([{ "nmsEventList": { "index": 7, "link": [] } }]);
    assert_eq!(body, json!({ "aps": { "content-available": 1 }, "notificationList": list }));

    let authorization = header(&sent.headers, "authorization");
    let token = authorization.strip_prefix("bearer ").unwrap();
    let head = decode_header(token).unwrap();
    assert_eq!((head.alg, head.kid.as_deref(), head.typ), (Algorithm::ES256, Some("ABC123DEFG"), None));
    let mut validation = Validation::new(Algorithm::ES256);
    validation.required_spec_claims.clear(); // there is no exp
    let claims = decode::<Value>(token, &P256.public, &validation).unwrap().claims;
    assert_eq!(claims["iss"], "DEF123GHIJ");
    assert!((Utc::now().timestamp() - claims["iat"].as_i64().unwrap()).abs() < 600);
    assert_eq!(claims.as_object().unwrap().len(), 2);
    assert_eq!(header(&again.headers, "authorization"), authorization, "one token for many pushes");
}

#[tokio::test]
async fn reasons_have_their_outcomes() {
    let table = [
        (400, "BadDeviceToken", "gone"),
        (400, "BadTopic", "refused"),
        (400, "DeviceTokenNotForTopic", "refused"),
        (403, "InvalidProviderToken", "refused"),
        (403, "ExpiredProviderToken", "retry"),
        (404, "BadPath", "refused"),
        (410, "Unregistered", "gone"),
        (410, "ExpiredToken", "gone"),
        (410, "", "gone"),
        (413, "PayloadTooLarge", "too large"),
        (429, "TooManyRequests", "retry"),
        (500, "InternalServerError", "retry"),
        (503, "Shutdown", "retry"),
    ];
    for (status, reason, expected) in table {
        let service = StandIn::start(move |_, _| reply(status, &[], json!({ "reason": reason }).to_string())).await;
        let outcome = send(&service.url).await;
        assert_eq!(kind(&outcome), expected, "{status} {reason}: {outcome:?}");
        if outcome != Outcome::TooLarge {
            assert!(why(&outcome).contains(reason), "{outcome:?}");
        }
    }
}

#[tokio::test]
async fn asked_to_wait_it_says_how_long() {
    obeys_retry_after(async |status, value| {
        let service = StandIn::start(move |_, _| reply(status, &[("retry-after", &value)], "")).await;
        send(&service.url).await
    })
    .await;
}

#[tokio::test]
async fn without_an_answer_it_is_to_be_tried_again() {
    let hangs = StandIn::start(|_, _| None).await;
    let senders = senders_with(&hangs.url, impatient());
    assert_eq!(kind(&senders.push_native(Native::Apns, DEVICE, &message()).await), "retry");
    // A server that speaks HTTP/1 only, and not for long.
    let resets = crate::support::stand_in::resets_after(b"HTTP/1.1 200 OK\r\n\r\n").await;
    assert_eq!(kind(&send(&resets).await), "retry");
}

#[tokio::test]
async fn what_apns_would_not_take_is_not_sent() {
    let service = StandIn::start(|_, _| reply(200, &[], "")).await;
    let senders = senders(&service.url);
    let send = async |device: &str, body: &str| {
        senders.push_native(Native::Apns, device, &Message { body, ..message() }).await
    };
    for device in ["", "..", "../x", "abc?x", "not hex"] {
        assert_eq!(kind(&send(device, NOTIFICATION).await), "gone", "{device}");
    }
    let most = senders.native_bytes_max(Native::Apns).unwrap();
    assert_eq!(send(DEVICE, &notification_of(most + 1)).await, Outcome::TooLarge);
    assert_eq!(kind(&send(DEVICE, "[]").await), "refused");
    assert!(service.received().is_empty());
    assert_eq!(send(DEVICE, &notification_of(most)).await, Outcome::Delivered);
    assert_eq!(service.only().body.len(), 4096);
}
