use serde_json::json;

use super::*;
use crate::support::stand_in::Received;

const TOKEN: &str = "/token";
const CHANNEL: &str = "/?token=AwYAAAD%2fabc%3d";

/// A stand-in for WNS and its token endpoint.
async fn service(answer: impl Fn(&Received, usize) -> Reply + Send + Sync + 'static) -> StandIn {
    StandIn::start(move |request, before| match request.path.as_str() {
        TOKEN => {
            let token = json!({ "access_token": format!("token-{}", before + 1), "expires_in": 86400 });
            reply(200, &[], token.to_string())
        }
        _ => answer(request, before),
    })
    .await
}

fn senders(service: &StandIn, allow_private_targets: bool) -> Senders {
    let files = Files::new();
    let wns = tocsin::outbound::config::Wns {
        client_id: "ms-app://s-1-15-2&x".to_owned(),
        client_secret_file: files.put("secret", "hush=&hush\n"),
        token_url: format!("{}{TOKEN}", service.url).parse().unwrap(),
        scope: "notify.windows.com".to_owned(),
        host_suffix: "localhost".to_owned(),
    };
    Senders::new(&Push { wns: Some(wns), ..Push::default() }, allow_private_targets).unwrap()
}

/// The channel URI of a device at the stand-in.
fn channel(service: &StandIn) -> String {
    format!("{}{CHANNEL}", service.url.replace("127.0.0.1", "localhost"))
}

async fn send(service: &StandIn) -> Outcome {
    senders(service, true).push_native(Native::Wns, &channel(service), &message()).await
}

#[tokio::test]
async fn a_raw_notification_goes_to_the_channel_uri() {
    let service = service(|_, _| reply(200, &[("X-WNS-NotificationStatus", "received")], "")).await;
    assert_eq!(send(&service).await, Outcome::Delivered);
    let [token, sent] = service.received().try_into().unwrap();
    assert_eq!(token.method.as_str(), "POST");
    let expected = [
        ("grant_type", "client_credentials"),
        ("client_id", "ms-app://s-1-15-2&x"),
        ("client_secret", "hush=&hush"),
        ("scope", "notify.windows.com"),
    ];
    assert_eq!(form(&token.body), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!((sent.method.as_str(), sent.path.as_str()), ("POST", CHANNEL));
    assert_eq!(header(&sent.headers, "authorization"), "Bearer token-1");
    assert_eq!(header(&sent.headers, "x-wns-type"), "wns/raw");
    assert_eq!(header(&sent.headers, "content-type"), "application/octet-stream");
    assert_eq!(header(&sent.headers, "x-wns-cache-policy"), "cache");
    let ttl: i64 = header(&sent.headers, "x-wns-ttl").parse().unwrap();
    assert!(ttl > 3000 && ttl <= 3600, "{ttl}");
    assert_eq!(sent.body, NOTIFICATION);
}

#[tokio::test]
async fn a_refused_token_is_renewed_once() {
    let service = service(|request, _| match header(&request.headers, "authorization") {
        "Bearer token-1" => reply(401, &[], ""),
        _ => reply(200, &[], ""),
    })
    .await;
    assert_eq!(send(&service).await, Outcome::Delivered);
    assert_eq!(service.paths(), [TOKEN, CHANNEL, TOKEN, CHANNEL]);
}

#[tokio::test]
async fn answers_have_their_outcomes() {
    let table = [
        (200, "dropped", "retry"),
        (200, "channelthrottled", "retry"),
        (400, "", "refused"),
        (401, "", "refused"),
        (403, "", "refused"),
        (404, "", "gone"),
        (405, "", "refused"),
        (406, "", "retry"),
        (410, "", "gone"),
        (413, "", "too large"),
        (500, "", "retry"),
        (503, "", "retry"),
        (302, "", "refused"),
    ];
    for (status, told, expected) in table {
        let headers = [("X-WNS-NotificationStatus", told), ("location", "http://localhost:1/")];
        let service = service(move |_, _| reply(status, &headers, "")).await;
        let outcome = send(&service).await;
        assert_eq!(kind(&outcome), expected, "{status} {told}: {outcome:?}");
    }
}

#[tokio::test]
async fn asked_to_wait_it_says_how_long() {
    obeys_retry_after(async |status, value| {
        let service = service(move |_, _| reply(status, &[("retry-after", &value)], "")).await;
        send(&service).await
    })
    .await;
}

#[tokio::test]
async fn the_token_goes_to_wns_only() {
    let service = service(|_, _| reply(200, &[], "")).await;
    let elsewhere = [service.url.as_str(), "https://example.com/", "https://localhost.example.com/", "", "token"];
    for uri in elsewhere {
        let outcome = senders(&service, true).push_native(Native::Wns, uri, &message()).await;
        assert_eq!(kind(&outcome), "refused", "{uri}: {outcome:?}");
    }
    // By default neither plain http nor a port of one's own.
    let outcome = senders(&service, false).push_native(Native::Wns, &channel(&service), &message()).await;
    assert_eq!(kind(&outcome), "refused", "{outcome:?}");
    assert!(service.received().is_empty());
    // And no name, however good, that leads to a private address.
    let outcome = senders(&service, false).push_native(Native::Wns, "https://localhost/", &message()).await;
    assert!(kind(&outcome) == "refused" && why(&outcome).contains("not public"), "{outcome:?}");
    assert_eq!(service.paths(), [TOKEN]);
}

#[tokio::test]
async fn what_wns_would_not_take_is_not_sent() {
    let service = service(|_, _| reply(200, &[], "")).await;
    let senders = senders(&service, true);
    let most = senders.native_bytes_max(Native::Wns).unwrap();
    assert_eq!(most, 5000);
    let send = async |bytes: usize| {
        let body = notification_of(bytes);
        senders.push_native(Native::Wns, &channel(&service), &Message { body: &body, ..message() }).await
    };
    assert_eq!(send(most + 1).await, Outcome::TooLarge);
    assert!(service.received().is_empty());
    assert_eq!(send(most).await, Outcome::Delivered);
}
