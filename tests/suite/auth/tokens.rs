//! Tokens that are forged, changed, too old, too young, for others, or none.

use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use proptest::prelude::*;
use sha2::Sha256;
use tocsin::auth::keys::KeySet;
use tocsin::auth::scope::Scopes;
use tocsin::auth::token::{Refusal, Rules, verify};

use super::*;

const OWN: &str = "/notificationchannel/v1/alice/channels";

/// What a server says to a request with this `Authorization`.
async fn said(guarded: &Guarded, authorization: &str) -> (StatusCode, String) {
    let headers = [("authorization", authorization)];
    let answer = guarded.server.api.send(reqwest::Method::GET, OWN, &headers, None).await;
    (answer.status, answer.header("www-authenticate").to_owned())
}

#[tokio::test]
async fn without_a_token_nobody_gets_in_and_with_a_good_one_its_user_does() {
    let guarded = Guarded::start().await;
    let anonymous = guarded.server.api.get(OWN).await;
    assert_eq!(anonymous.status, StatusCode::UNAUTHORIZED);
    assert_eq!(anonymous.header("www-authenticate"), "Bearer");
    assert_eq!(anonymous.fault().0, "POL0001");
    let token = guarded.issuer.token("alice", EVERYDAY);
    for scheme in ["Bearer", "bearer", "BEARER"] {
        assert_eq!(said(&guarded, &format!("{scheme} {token}")).await.0, StatusCode::OK, "{scheme}");
    }
    for other in [format!("Basic {token}"), token.clone(), "Bearer".to_owned()] {
        assert_eq!(said(&guarded, &other).await.0, StatusCode::UNAUTHORIZED, "{other}");
    }
    // In the query it is for WebSockets only: URLs are written down in many places.
    let in_query = guarded.server.api.get(&format!("{OWN}?access_token={token}")).await;
    assert_eq!(in_query.status, StatusCode::UNAUTHORIZED);
    // What a client says of itself proves nothing.
    let claimed = [("x-tocsin-user", "alice")];
    let answer = guarded.server.api.send(reqwest::Method::GET, "/api/notifications?user=alice", &claimed, None).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    guarded.server.stop().await;
}

#[tokio::test]
async fn every_claim_is_held_to_its_rule() {
    let guarded = Guarded::start().await;
    let now = Utc::now().timestamp();
    for (what, changes, why) in [
        ("expired", json!({ "exp": now - 5 }), "expired"),
        ("without end", json!({ "exp": null }), "a claim"),
        ("an end that is no number", json!({ "exp": "tomorrow" }), "a claim"),
        ("not yet", json!({ "nbf": now + 60 }), "not valid yet"),
        ("another issuer", json!({ "iss": "https://other.example" }), "issuer"),
        ("no issuer", json!({ "iss": null }), "a claim"),
        ("another audience", json!({ "aud": "another-service" }), "audience"),
        ("other audiences", json!({ "aud": ["a", "b"] }), "audience"),
        ("no audience", json!({ "aud": null }), "a claim"),
        ("no user", json!({ "sub": null }), "a claim"),
        ("a user that is no text", json!({ "sub": 7 }), "a claim"),
        ("a user that no URL can name", json!({ "sub": "a/b" }), "a claim"),
        ("the reserved user", json!({ "sub": "acr:auth" }), "a claim"),
    ] {
        let (status, challenge) = said(&guarded, &format!("Bearer {}", guarded.issuer.changed(changes))).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{what}");
        assert!(challenge.contains("invalid_token") && challenge.contains(why), "{what}: {challenge}");
    }
    let one_of_several = guarded.issuer.changed(json!({ "aud": ["a", AUDIENCE] }));
    assert_eq!(said(&guarded, &format!("Bearer {one_of_several}")).await.0, StatusCode::OK);
    guarded.server.stop().await;
}

#[tokio::test]
async fn what_is_not_signed_by_the_key_is_refused_however_it_is_made_up() {
    let guarded = Guarded::start().await;
    let good = guarded.issuer.token("alice", EVERYDAY);
    let parts: Vec<&str> = good.split('.').collect();
    let b64 = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[1]).unwrap()).unwrap();
    let mut as_root = claims.clone();
    as_root["scope"] = json!("tocsin.admin");
    // HMAC with the public key, as text and as bytes, in place of a signature: algorithm confusion.
    let signed_with = |secret: &[u8], alg: &str| {
        let message = format!("{}.{}", b64(&json!({ "alg": alg, "typ": "JWT", "kid": "k1" })), parts[1]);
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
        mac.update(message.as_bytes());
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
    };
    let pem = guarded.issuer.public_key.as_bytes();
    let none = |alg: &str| format!("{}.{}.", b64(&json!({ "alg": alg, "typ": "JWT" })), parts[1]);
    let stranger = Issuer::new("k1");
    let header = |changes: fn(&mut Header)| {
        let mut header = guarded.issuer.header();
        changes(&mut header);
        guarded.issuer.token_with(header, json!({}))
    };
    let own_key = {
        let mut header = stranger.header();
        header.jwk = serde_json::from_value(stranger.jwk.clone()).unwrap();
        header.jku = Some("https://evil.example/jwks".to_owned());
        stranger.token_with(header, json!({}))
    };
    for (what, token) in [
        ("alg none", none("none")),
        ("alg None", none("None")),
        ("alg NONE", none("NONE")),
        ("no alg", format!("{}.{}.{}", b64(&json!({ "typ": "JWT" })), parts[1], parts[2])),
        ("HS256 by the public key", signed_with(pem, "HS256")),
        ("HS256 called ES256", signed_with(pem, "ES256")),
        ("RS256", signed_with(pem, "RS256")),
        ("another's key of the same name", stranger.token("alice", EVERYDAY)),
        ("a key that it brings along", own_key),
        ("claims changed", format!("{}.{}.{}", parts[0], b64(&as_root), parts[2])),
        ("header changed", format!("{}.{}.{}", b64(&json!({ "alg": "ES256", "kid": "k2" })), parts[1], parts[2])),
        ("signature left out", format!("{}.{}.", parts[0], parts[1])),
        ("zeroes for a signature", format!("{}.{}.{}", parts[0], parts[1], URL_SAFE_NO_PAD.encode([0; 64]))),
        ("extensions that must be understood", header(|header| header.crit = Some(vec!["exp".into()]))),
        ("an ID token", header(|header| header.typ = Some("id+jwt".into()))),
        ("a logout token", header(|header| header.typ = Some("logout+jwt".into()))),
        ("two parts", format!("{}.{}", parts[0], parts[1])),
        ("five parts", format!("{good}.x.y")),
        ("nothing", ".".to_owned()),
        ("a large one", format!("{good}{}", "A".repeat(9000))),
    ] {
        let (status, _) = said(&guarded, &format!("Bearer {token}")).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{what}");
    }
    let access = header(|header| header.typ = Some("at+JWT".into()));
    assert_eq!(said(&guarded, &format!("Bearer {access}")).await.0, StatusCode::OK);
    guarded.server.stop().await;
}

#[tokio::test]
async fn two_tokens_in_one_request_are_refused() {
    let guarded = Guarded::start().await;
    let token = guarded.issuer.token("alice", EVERYDAY);
    let request = format!(
        "GET {OWN} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nAuthorization: Bearer other\r\n\r\n"
    );
    let head = crate::support::raw::exchange(&format!("{}/", guarded.server.api.url), request.as_bytes()).await;
    assert!(head.starts_with("http/1.1 400"), "{head}");
    guarded.server.stop().await;
}

#[tokio::test]
async fn the_user_may_stand_in_another_claim_and_scopes_in_a_list() {
    let guarded = Guarded::start_with(|jwt| jwt.user_claim = "phone_number".to_owned()).await;
    let claims =
        json!({ "sub": "42", "phone_number": "alice", "scope": null, "scp": EVERYDAY.split(' ').collect::<Vec<_>>() });
    let alice = guarded.server.api.with_token(&guarded.issuer.changed(claims));
    assert_eq!(alice.get(OWN).await.status, StatusCode::OK);
    assert_eq!(alice.get("/notificationchannel/v1/42/channels").await.status, StatusCode::NOT_FOUND);
    guarded.server.stop().await;
}

#[tokio::test]
async fn a_secret_signs_by_hs256_and_by_nothing_else() {
    let secret = "0123456789abcdef0123456789abcdef";
    let guarded = Guarded::start_with(|jwt| {
        jwt.key_file = None;
        jwt.secret = Some(secret.to_owned());
    })
    .await;
    let claims = json!({ "iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "scope": EVERYDAY, "exp": Utc::now().timestamp() + 60 });
    let signed = |algorithm, secret: &str| {
        encode(&Header::new(algorithm), &claims, &EncodingKey::from_secret(secret.as_bytes())).unwrap()
    };
    assert_eq!(said(&guarded, &format!("Bearer {}", signed(Algorithm::HS256, secret))).await.0, StatusCode::OK);
    for (algorithm, secret) in [
        (Algorithm::HS384, secret),
        (Algorithm::HS512, secret),
        (Algorithm::HS256, "another secret, just as long as it"),
        (Algorithm::HS256, ""),
    ] {
        let (status, _) = said(&guarded, &format!("Bearer {}", signed(algorithm, secret))).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{algorithm:?}");
    }
    let (status, _) = said(&guarded, &format!("Bearer {}", guarded.issuer.token("alice", EVERYDAY))).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "a key that is not trusted any more");
    guarded.server.stop().await;
}

fn rules() -> Rules {
    Rules {
        issuers: vec![ISSUER.to_owned()],
        audiences: vec![AUDIENCE.to_owned()],
        user_claim: "sub".to_owned(),
        default_scopes: Scopes::NONE,
        leeway_seconds: 0,
    }
}

#[test]
fn leeway_is_for_clocks_that_differ() {
    let issuer = Issuer::new("k1");
    let keys = KeySet::from_pem(&issuer.public_key).unwrap();
    let rules = Rules { leeway_seconds: 30, ..rules() };
    let now = Utc::now().timestamp();
    assert!(verify(&issuer.changed(json!({ "exp": now - 10 })), &keys, &rules).is_ok());
    assert_eq!(verify(&issuer.changed(json!({ "exp": now - 60 })), &keys, &rules), Err(Refusal::Expired));
    assert!(verify(&issuer.changed(json!({ "nbf": now + 10 })), &keys, &rules).is_ok());
    assert_eq!(verify(&issuer.changed(json!({ "nbf": now + 60 })), &keys, &rules), Err(Refusal::NotYet));
}

#[test]
fn a_token_without_scopes_has_those_of_the_settings() {
    let issuer = Issuer::new("k1");
    let keys = KeySet::from_pem(&issuer.public_key).unwrap();
    let token = issuer.changed(json!({ "scope": null }));
    assert_eq!(verify(&token, &keys, &rules()).unwrap().scopes, Scopes::NONE);
    let rules = Rules { default_scopes: Scopes::INBOX, ..rules() };
    assert_eq!(verify(&token, &keys, &rules).unwrap().scopes, Scopes::INBOX);
    let empty = issuer.changed(json!({ "scope": "" }));
    assert_eq!(verify(&empty, &keys, &rules).unwrap().scopes, Scopes::NONE, "it does say: none");
}

proptest! {
    /// One byte of a token changed, at whatever place: never good, unless it says the same.
    #[test]
    fn a_changed_token_is_never_good(place in any::<prop::sample::Index>(), byte in any::<u8>()) {
        thread_local!(static ISSUER_AND_TOKEN: Arc<(KeySet, String)> = {
            let issuer = Issuer::new("k1");
            Arc::new((KeySet::from_pem(&issuer.public_key).unwrap(), issuer.token("alice", EVERYDAY)))
        });
        let it = ISSUER_AND_TOKEN.with(Arc::clone);
        let (keys, token) = &*it;
        let mut changed = token.clone().into_bytes();
        let place = place.index(changed.len());
        prop_assume!(changed[place] != byte);
        changed[place] = byte;
        let changed = String::from_utf8_lossy(&changed);
        prop_assert!(verify(&changed, keys, &rules()).is_err(), "{changed}");
    }
}
