//! The client in Rust, with tokens.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tocsin::client::{Client, Listen, Token, Wish};

use super::*;
use crate::client::{count, next, send, subjects, witnessed};
use crate::support::eventually;

fn to_box(box_id: &str) -> Listen {
    Listen::new("acr:auth", [Wish::of_box(box_id).with_attributes()])
}

fn lasting(issuer: &Issuer, seconds: i64) -> String {
    issuer.changed(json!({ "exp": Utc::now().timestamp() + seconds }))
}

#[tokio::test]
async fn a_socket_outlives_its_token_since_newer_ones_are_brought_over_it() {
    let guarded = Guarded::start().await;
    let issuer = Arc::new(Issuer { key: guarded.issuer.key.clone(), ..Issuer::new("unused") });
    let (kid, asked) = (guarded.issuer.kid.clone(), Arc::new(Mutex::new(0)));
    let counted = asked.clone();
    let token = Token::asked(move || {
        *counted.lock().unwrap() += 1;
        let header = Header { kid: Some(kid.clone()), ..Header::new(Algorithm::ES256) };
        let token = issuer.token_with(header, json!({ "exp": Utc::now().timestamp() + 4 }));
        async { Ok(token) }
    });
    let client = Client::new(&guarded.server.api.url).unwrap().with_token(token);
    let (listen, happenings) = witnessed(to_box("alice"));
    let mut listener = client.listen(listen).await.unwrap();
    eventually("it is open", async || (count(&happenings, "Open") == 1).then_some(())).await;
    let before = *asked.lock().unwrap();
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert!(*asked.lock().unwrap() > before);
    send(&guarded.database, "alice", 1..=1).await;
    assert_eq!(subjects(&mut listener, 1).await, [1]);
    assert_eq!((count(&happenings, "Open"), count(&happenings, "problem")), (1, 0), "{happenings:?}");
    listener.close().await.unwrap();
    guarded.server.stop().await;
}

#[tokio::test]
async fn a_socket_that_is_lost_with_its_token_is_opened_with_the_next_one() {
    let guarded = Guarded::start().await;
    let current = Arc::new(Mutex::new(lasting(&guarded.issuer, 2)));
    let asked = current.clone();
    let token = Token::asked(move || {
        let token = asked.lock().unwrap().clone();
        async { Ok(token) }
    });
    let client = Client::new(&guarded.server.api.url).unwrap().with_token(token);
    let (listen, happenings) = witnessed(to_box("alice"));
    let mut listener = client.listen(listen).await.unwrap();
    let refused = async || (count(&happenings, "problem: the server answered 401") > 0).then_some(());
    eventually("it is refused", refused).await;
    send(&guarded.database, "alice", 1..=1).await;
    *current.lock().unwrap() = lasting(&guarded.issuer, 600);
    assert_eq!(subjects(&mut listener, 1).await, [1]);
    listener.close().await.unwrap();
    guarded.server.stop().await;
}

#[tokio::test]
async fn nobody_gets_in_without_a_token_nor_to_what_is_not_theirs() {
    let guarded = Guarded::start().await;
    let client = Client::new(&guarded.server.api.url).unwrap();
    assert_eq!(client.listen(to_box("alice")).await.unwrap_err().status(), Some(401));
    let client = client.with_token(Token::Fixed(guarded.issuer.token("alice", EVERYDAY)));
    assert_eq!(client.listen(to_box("bob")).await.unwrap_err().status(), Some(404));
    guarded.server.stop().await;
}

#[tokio::test]
async fn a_stream_ends_with_the_grant_that_it_rested_on_and_spares_the_others() {
    let guarded = Guarded::start().await;
    let grant = guarded.grant("alice", "box/bob", &["read"]).await;
    let token = Token::Fixed(guarded.issuer.token("alice", EVERYDAY));
    let client = Client::new(&guarded.server.api.url).unwrap().with_token(token);
    let short = |box_id| Wish { duration: Some(Duration::from_secs(2)), ..Wish::of_box(box_id).with_attributes() };
    let both = Listen::new("alice", [short("bob"), short("alice")]);
    let mut both = client.listen(both).await.unwrap();
    let mut one = client.listen(Listen::new("alice", [short("bob")])).await.unwrap();
    guarded.revoke(grant).await;
    assert_eq!(next(&mut one).await.unwrap().unwrap_err().status(), Some(404));
    assert!(next(&mut one).await.is_none());
    assert_eq!(next(&mut both).await.unwrap().unwrap_err().status(), Some(404));
    send(&guarded.database, "alice", 1..=1).await;
    assert_eq!(subjects(&mut both, 1).await, [1]);
    guarded.server.stop().await;
}
