//! Keys by URL: fetched, kept, rotated, and an issuer that cannot be reached.

use std::sync::{Arc, Mutex};

use super::*;
use crate::support::eventually;
use crate::support::stand_in::{StandIn, reply};

/// What the issuer publishes now; nothing: it is out of order.
type Published = Arc<Mutex<Option<Value>>>;

async fn publisher(published: &Published) -> StandIn {
    let published = published.clone();
    StandIn::start(move |_, _| match &*published.lock().unwrap() {
        Some(set) => reply(200, &[("content-type", "application/json")], set.to_string()),
        None => reply(503, &[], ""),
    })
    .await
}

async fn served(publisher: &StandIn, change: impl FnOnce(&mut Jwt)) -> (Database, Server) {
    let database = Database::new().await;
    let mut jwt = Jwt {
        jwks_url: Some(format!("{}/keys", publisher.url).parse().unwrap()),
        issuer: vec![ISSUER.to_owned()],
        audience: vec![AUDIENCE.to_owned()],
        jwks_pause_seconds: 1,
        ..Jwt::default()
    };
    change(&mut jwt);
    let server = Server::start_as(&database, |config| config.jwt = Some(jwt)).await;
    (database, server)
}

async fn status(server: &Server, token: &str) -> StatusCode {
    server.api.with_token(token).get("/notificationchannel/v1/alice/channels").await.status
}

#[tokio::test]
async fn a_new_key_is_fetched_when_a_token_names_it_and_an_old_one_is_gone_with_the_set() {
    let (old, new) = (Issuer::new("old"), Issuer::new("new"));
    let published: Published = Arc::new(Mutex::new(Some(json!({ "keys": [old.jwk] }))));
    let publisher = publisher(&published).await;
    let (_database, server) = served(&publisher, |_| {}).await;
    let [by_old, by_new] = [&old, &new].map(|issuer| issuer.token("alice", EVERYDAY));
    eventually("the keys are there", async || (status(&server, &by_old).await == StatusCode::OK).then_some(())).await;
    assert_eq!(status(&server, &by_new).await, StatusCode::UNAUTHORIZED);
    *published.lock().unwrap() = Some(json!({ "keys": [new.jwk] }));
    eventually("the new one too", async || (status(&server, &by_new).await == StatusCode::OK).then_some(())).await;
    assert_eq!(status(&server, &by_old).await, StatusCode::UNAUTHORIZED, "it is not published any more");
    server.stop().await;
}

#[tokio::test]
async fn tokens_of_unknown_keys_do_not_make_us_flood_the_issuer() {
    let (known, unknown) = (Issuer::new("known"), Issuer::new("unknown"));
    let published: Published = Arc::new(Mutex::new(Some(json!({ "keys": [known.jwk] }))));
    let publisher = publisher(&published).await;
    let (_database, server) = served(&publisher, |jwt| jwt.jwks_pause_seconds = 3600).await;
    let good = known.token("alice", EVERYDAY);
    eventually("the keys are there", async || (status(&server, &good).await == StatusCode::OK).then_some(())).await;
    let before = publisher.received().len();
    for _ in 0..20 {
        assert_eq!(status(&server, &unknown.token("alice", EVERYDAY)).await, StatusCode::UNAUTHORIZED);
    }
    assert!(publisher.received().len() <= before + 1, "{} requests", publisher.received().len() - before);
    server.stop().await;
}

#[tokio::test]
async fn an_outage_of_the_issuer_is_outlived_for_a_while() {
    let issuer = Issuer::new("k1");
    let published: Published = Arc::new(Mutex::new(None));
    let publisher = publisher(&published).await;
    let (_database, server) = served(&publisher, |jwt| {
        (jwt.jwks_refresh_seconds, jwt.jwks_keep_seconds) = (1, 4);
    })
    .await;
    let token = issuer.token("alice", EVERYDAY);
    // Not yet, and not the client's fault.
    assert_eq!(status(&server, &token).await, StatusCode::SERVICE_UNAVAILABLE);
    let ready = server.api.get("/readyz").await;
    assert_eq!(
        (ready.status, &ready.json()["keys"]),
        (StatusCode::SERVICE_UNAVAILABLE, &json!("none: no token can be verified"))
    );
    *published.lock().unwrap() = Some(json!({ "keys": [issuer.jwk] }));
    eventually("the issuer is there", async || (status(&server, &token).await == StatusCode::OK).then_some(())).await;
    *published.lock().unwrap() = None;
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    assert_eq!(status(&server, &token).await, StatusCode::OK, "the keys that were fetched serve on");
    eventually("not for ever", async || {
        (status(&server, &token).await == StatusCode::SERVICE_UNAVAILABLE).then_some(())
    })
    .await;
    server.stop().await;
}

#[tokio::test]
async fn keys_that_are_not_for_signatures_verify_nothing() {
    let issuer = Issuer::new("k1");
    let mut for_encryption = issuer.jwk.clone();
    for_encryption["use"] = json!("enc");
    let mut for_another_algorithm = issuer.jwk.clone();
    for_another_algorithm["alg"] = json!("ES384");
    let secret = json!({ "kty": "oct", "kid": "k1", "alg": "HS256", "k": URL_SAFE_NO_PAD.encode([7; 32]) });
    let other = Issuer::new("other");
    let set = json!({ "keys": [for_encryption, for_another_algorithm, secret, { "kty": "new", "kid": "k1" }, "x", other.jwk] });
    let published: Published = Arc::new(Mutex::new(Some(set)));
    let publisher = publisher(&published).await;
    let (_database, server) = served(&publisher, |_| {}).await;
    let good = other.token("alice", EVERYDAY);
    eventually("the usable key", async || (status(&server, &good).await == StatusCode::OK).then_some(())).await;
    assert_eq!(status(&server, &issuer.token("alice", EVERYDAY)).await, StatusCode::UNAUTHORIZED);
    let by_secret = jsonwebtoken::encode(
        &Header { kid: Some("k1".into()), ..Header::new(Algorithm::HS256) },
        &json!({ "iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "exp": Utc::now().timestamp() + 60 }),
        &EncodingKey::from_secret(&[7; 32]),
    );
    assert_eq!(status(&server, &by_secret.unwrap()).await, StatusCode::UNAUTHORIZED, "a published secret is none");
    server.stop().await;
}

#[tokio::test]
async fn an_answer_that_leads_elsewhere_is_not_followed() {
    let issuer = Issuer::new("k1");
    let set = json!({ "keys": [issuer.jwk] }).to_string();
    let elsewhere = StandIn::start(move |_, _| reply(200, &[], set.clone())).await;
    let to = format!("{}/keys", elsewhere.url);
    let redirecting = StandIn::start(move |_, _| reply(302, &[("location", &to)], "")).await;
    let (_database, server) = served(&redirecting, |_| {}).await;
    assert_eq!(status(&server, &issuer.token("alice", EVERYDAY)).await, StatusCode::SERVICE_UNAVAILABLE);
    assert!(elsewhere.received().is_empty());
    server.stop().await;
}
