use futures_util::future::join_all;
use jsonwebtoken::{Algorithm, Validation, decode, decode_header};
use serde_json::json;

use super::keys::RSA;
use super::*;
use crate::support::stand_in::Received;

const SEND: &str = "/v1/projects/my-project/messages:send";
const TOKEN: &str = "/token";

/// The senders with FCM and its token endpoint at this stand-in.
fn senders(service: &StandIn) -> Senders {
    senders_with(service, Push::default())
}

fn senders_with(service: &StandIn, push: Push) -> Senders {
    let files = Files::new();
    let account = json!({
        "type": "service_account",
        "project_id": "my-project",
        "private_key_id": "key-1",
        "private_key": RSA.pem,
        "client_email": "sender@my-project.iam.gserviceaccount.com",
        "token_uri": format!("{}{TOKEN}", service.url),
    });
    let key_file = files.put("account.json", &account.to_string());
    let fcm = tocsin::outbound::config::Fcm { key_file, endpoint: service.url.parse().unwrap() };
    Senders::new(&Push { fcm: Some(fcm), ..push }, false).unwrap()
}

/// A stand-in that hands out `token-1`, `token-2`... and answers messages as `answer` says.
async fn service(lifetime: u64, answer: impl Fn(&Received, usize) -> Reply + Send + Sync + 'static) -> StandIn {
    StandIn::start(move |request, before| match request.path.as_str() {
        TOKEN => {
            let token = json!({ "access_token": format!("token-{}", before + 1), "expires_in": lifetime });
            reply(200, &[], token.to_string())
        }
        _ => answer(request, before),
    })
    .await
}

fn accepted() -> Reply {
    reply(200, &[], r#"{"name":"projects/my-project/messages/1"}"#)
}

fn refusal(status: u16, name: &str, details: Value) -> Reply {
    let error = json!({ "error": { "code": status, "message": "no", "status": name, "details": details } });
    reply(status, &[], error.to_string())
}

async fn send(senders: &Senders) -> Outcome {
    senders.push_native(Native::Gcm, "registration", &message()).await
}

#[tokio::test]
async fn a_message_goes_out_as_data_with_a_token_asked_for_by_a_signed_assertion() {
    let service = service(3600, |_, _| accepted()).await;
    let message = message();
    let outcome = senders(&service).push_native(Native::Gcm, "registration:1", &message).await;
    assert_eq!(outcome, Outcome::Delivered);
    let [token, sent] = service.received().try_into().unwrap();

    assert_eq!((token.method.as_str(), token.path.as_str()), ("POST", TOKEN));
    assert_eq!(header(&token.headers, "content-type"), "application/x-www-form-urlencoded");
    let [(grant, kind), (field, assertion)] = form(&token.body).try_into().unwrap();
    assert_eq!((grant.as_str(), kind.as_str()), ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"));
    assert_eq!(field, "assertion");
    assert_eq!(decode_header(&assertion).unwrap().kid.as_deref(), Some("key-1"));
    let mut validation = Validation::new(Algorithm::RS256);
    validation.set_audience(&[format!("{}{TOKEN}", service.url)]);
    let claims = decode::<Value>(&assertion, &RSA.public, &validation).unwrap().claims;
    assert_eq!(claims["iss"], "sender@my-project.iam.gserviceaccount.com");
    assert_eq!(claims["scope"], "https://www.googleapis.com/auth/firebase.messaging");
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 3600);

    assert_eq!((sent.method.as_str(), sent.path.as_str()), ("POST", SEND));
    assert_eq!(header(&sent.headers, "authorization"), "Bearer token-1");
    assert_eq!(header(&sent.headers, "content-type"), "application/json");
    let body: Value = serde_json::from_slice(&sent.body).unwrap();
    let ttl = body["message"]["android"]["ttl"].as_str().unwrap().strip_suffix('s').unwrap().parse::<i64>().unwrap();
    assert!(ttl > 3000 && ttl <= 3600, "{ttl}");
    let list = r#"[{"nmsEventList":{"index":7,"link":[]}}]"#;
    assert_eq!(
        body,
        json!({ "message": {
            "token": "registration:1",
            "data": { "notificationList": list },
            "android": { "priority": "HIGH", "ttl": format!("{ttl}s") },
        } })
    );
}

#[tokio::test]
async fn many_senders_fetch_one_token() {
    let service = service(3600, |_, _| accepted()).await;
    let senders = senders(&service);
    let tasks = (0..8).map(|_| {
        let senders = senders.clone();
        tokio::spawn(async move { send(&senders).await })
    });
    for outcome in join_all(tasks).await {
        assert_eq!(outcome.unwrap(), Outcome::Delivered);
    }
    let paths = service.paths();
    assert_eq!(paths.iter().filter(|path| *path == TOKEN).count(), 1, "{paths:?}");
    assert_eq!(paths.len(), 9);
}

#[tokio::test]
async fn a_token_at_its_end_is_not_used() {
    let service = service(0, |_, _| accepted()).await;
    let senders = senders(&service);
    assert_eq!(send(&senders).await, Outcome::Delivered);
    assert_eq!(send(&senders).await, Outcome::Delivered);
    assert_eq!(service.paths(), [TOKEN, SEND, TOKEN, SEND]);
}

#[tokio::test]
async fn a_refused_token_is_renewed_once() {
    let service = service(3600, |request, _| match header(&request.headers, "authorization") {
        "Bearer token-1" => refusal(401, "UNAUTHENTICATED", json!([])),
        _ => accepted(),
    })
    .await;
    let senders = senders(&service);
    assert_eq!(send(&senders).await, Outcome::Delivered);
    assert_eq!(send(&senders).await, Outcome::Delivered);
    assert_eq!(service.paths(), [TOKEN, SEND, TOKEN, SEND, SEND]);
}

#[tokio::test]
async fn a_token_refused_again_is_the_end_of_it() {
    let service = service(3600, |_, _| refusal(401, "UNAUTHENTICATED", json!([]))).await;
    let outcome = send(&senders(&service)).await;
    assert_eq!(outcome, Outcome::Refused { why: "HTTP 401 UNAUTHENTICATED".to_owned() });
    assert_eq!(service.paths(), [TOKEN, SEND, TOKEN, SEND]);
}

#[tokio::test]
async fn answers_have_their_outcomes() {
    let code =
        |code: &str| json!([{ "@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": code }]);
    let field = |field: &str| {
        json!([{ "@type": "type.googleapis.com/google.rpc.BadRequest",
        "fieldViolations": [{ "field": field, "description": "Invalid" }] }])
    };
    let table = [
        (404, "NOT_FOUND", code("UNREGISTERED"), "gone"),
        (404, "NOT_FOUND", json!([]), "refused"), // the project
        (400, "INVALID_ARGUMENT", field("message.token"), "gone"),
        (400, "INVALID_ARGUMENT", field("message.data"), "refused"),
        (400, "INVALID_ARGUMENT", code("INVALID_ARGUMENT"), "refused"),
        (403, "PERMISSION_DENIED", code("SENDER_ID_MISMATCH"), "refused"),
        (410, "GONE", json!([]), "gone"),
        (413, "TOO_LARGE", json!([]), "too large"),
        (429, "RESOURCE_EXHAUSTED", code("QUOTA_EXCEEDED"), "retry"),
        (500, "INTERNAL", code("INTERNAL"), "retry"),
        (503, "UNAVAILABLE", code("UNAVAILABLE"), "retry"),
        (302, "", json!(null), "refused"),
    ];
    for (status, name, details, expected) in table {
        let told = details.clone();
        let service = service(3600, move |_, _| refusal(status, name, told.clone())).await;
        let outcome = send(&senders(&service)).await;
        assert_eq!(kind(&outcome), expected, "{status} {details}: {outcome:?}");
    }
}

#[tokio::test]
async fn asked_to_wait_it_says_how_long() {
    obeys_retry_after(async |status, value| {
        let service = service(3600, move |_, _| reply(status, &[("retry-after", &value)], "")).await;
        send(&senders(&service)).await
    })
    .await;
}

#[tokio::test]
async fn a_token_endpoint_that_fails_is_told_apart_from_fcm() {
    let table = [
        (400, r#"{"error":"invalid_grant"}"#, "refused"),
        (410, "", "refused"),
        (413, "", "refused"),
        (503, "", "retry"),
        (200, "no JSON", "retry"),
        (200, "{}", "retry"),
    ];
    for (status, body, expected) in table {
        let service = StandIn::start(move |_, _| reply(status, &[], body)).await;
        let outcome = send(&senders(&service)).await;
        assert_eq!(kind(&outcome), expected, "{status} {body}: {outcome:?}");
        assert!(why(&outcome).contains("token endpoint"), "{outcome:?}");
        assert_eq!(service.paths(), [TOKEN]);
    }
}

#[tokio::test]
async fn those_who_waited_for_a_token_that_did_not_come_do_not_ask_again() {
    let service = StandIn::start(|_, _| reply(503, &[("retry-after", "7")], "")).await;
    let senders = senders(&service);
    for outcome in join_all((0..8).map(|_| send(&senders))).await {
        assert_eq!(after(&outcome), Some(Duration::from_secs(7)));
    }
    assert_eq!(service.paths(), [TOKEN]);
    assert_eq!(kind(&send(&senders).await), "retry");
    assert_eq!(service.paths(), [TOKEN, TOKEN], "a later one does");
}

#[tokio::test]
async fn a_service_that_hangs_is_to_be_tried_again() {
    let hangs = service(3600, |_, _| None).await;
    assert_eq!(kind(&send(&senders_with(&hangs, impatient())).await), "retry");
}

#[tokio::test]
async fn what_fcm_would_not_take_is_not_sent() {
    let service = service(3600, |_, _| accepted()).await;
    let senders = senders(&service);
    let most = senders.native_bytes_max(Native::Gcm).unwrap();
    assert_eq!(most, 4096);
    let (largest, larger) = (notification_of(most), notification_of(most + 10));
    let send = async |body: &str| senders.push_native(Native::Gcm, "r", &Message { body, ..message() }).await;
    assert_eq!(send(&larger).await, Outcome::TooLarge);
    assert_eq!(kind(&send("[]").await), "refused");
    assert_eq!(kind(&send("<notificationList/>").await), "refused");
    assert!(service.received().is_empty());
    assert_eq!(send(&largest).await, Outcome::Delivered);
}
