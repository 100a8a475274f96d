//! Reaching what is not one's own: by a grant, as long as it is there.

use reqwest::Method;

use super::sockets::Listening;
use super::*;
use crate::support::client::Socket;
use crate::support::eventually;

const SHARING: &str = "tocsin.grant oma_rest_nms.all_v1 oma_rest_notificationchannel.all_v1";

fn grant(grantee: &str, resource: &str, rights: &[&str]) -> Value {
    json!({ "grantee": grantee, "resource": resource, "rights": rights })
}

#[tokio::test]
async fn an_owner_shares_what_is_theirs_and_takes_it_back() {
    let guarded = Guarded::start().await;
    let (bob, alice) = (guarded.scoped("bob", SHARING), guarded.of("alice"));
    guarded.write("bob", "hello").await;
    let root = "/nms/v1/default/bob/folders/root";
    assert_eq!(alice.get(root).await.status, StatusCode::NOT_FOUND);
    let made = bob.post("/api/grants", grant("alice", "box/bob", &["read"])).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    assert_eq!((&made.json()["resource"], &made.json()["grantedBy"]), (&json!("box/default/bob"), &json!("bob")));
    assert_eq!(alice.get(root).await.status, StatusCode::OK);
    let new = json!({ "object": { "attributes": { "attribute": [] } } });
    assert_eq!(alice.post("/nms/v1/default/bob/objects", new.clone()).await.status, StatusCode::NOT_FOUND, "read only");
    // More rights are added to those that are there.
    let more = bob.post("/api/grants", grant("alice", "box/default/bob", &["write"])).await;
    assert_eq!((&more.json()["id"], &more.json()["rights"]), (&made.json()["id"], &json!(["read", "write"])));
    assert_eq!(alice.post("/nms/v1/default/bob/objects", new).await.status, StatusCode::CREATED);
    assert_eq!(alice.get("/nms/v1/archive/bob/folders/root").await.status, StatusCode::NOT_FOUND, "another box");
    let url = made.header("location").to_owned();
    assert_eq!(bob.get("/api/grants").await.json()["count"], 1);
    assert_eq!(bob.delete(&url).await.status, StatusCode::NO_CONTENT);
    assert_eq!(bob.delete(&url).await.status, StatusCode::NOT_FOUND);
    assert_eq!(alice.get(root).await.status, StatusCode::NOT_FOUND);
    guarded.server.stop().await;
}

#[tokio::test]
async fn nobody_grants_what_is_not_theirs_or_meddles_with_others_grants() {
    let guarded = Guarded::start().await;
    let (bob, alice) = (guarded.scoped("bob", SHARING), guarded.scoped("alice", SHARING));
    for resource in
        ["box/alice", "box/*", "user/alice", "inbox/alice", "room/lobby", "room/*", "table/movies", "table/*"]
    {
        let answer = bob.post("/api/grants", grant("bob", resource, &["read"])).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{resource}: {}", answer.text);
    }
    for resource in ["box/default/bob", "box/archive/bob", "user/bob", "inbox/bob", "room/bob"] {
        let answer = bob.post("/api/grants", grant("carol", resource, &["read"])).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{resource}: {}", answer.text);
    }
    let id = guarded.grant("carol", "box/bob", &["read"]).await;
    for method in [Method::GET, Method::DELETE] {
        let answer = alice.send(method, &format!("/api/grants/{id}"), &[], None).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
    }
    assert_eq!(alice.get("/api/grants").await.json()["count"], 0);
    let carol = guarded.scoped("carol", SHARING);
    assert_eq!(carol.get(&format!("/api/grants/{id}")).await.status, StatusCode::OK, "she may know what she may");
    assert_eq!(carol.delete(&format!("/api/grants/{id}")).await.status, StatusCode::NOT_FOUND);
    for (what, body) in [
        ("grantee", json!({ "resource": "box/bob", "rights": ["read"] })),
        ("grantee", grant("a/b", "box/bob", &["read"])),
        ("resource", grant("carol", "house/bob", &["read"])),
        ("rights", grant("carol", "box/bob", &["own"])),
        ("rights", grant("carol", "box/bob", &[])),
    ] {
        let answer = bob.post("/api/grants", body).await;
        assert_eq!((answer.status, answer.fault().1[0].as_str()), (StatusCode::BAD_REQUEST, what), "{}", answer.text);
    }
    guarded.server.stop().await;
}

#[tokio::test]
async fn a_revoked_grant_ends_its_subscriptions_at_that_place_of_the_log_on_every_node() {
    let guarded = Guarded::start().await;
    let other = Server::start(&guarded.database).await; // (without authentication, to look at what is left)
    let alice = guarded.of("alice");
    let id = guarded.grant("alice", "box/bob", &["read"]).await;
    let channel = alice.channel("alice").await;
    let shared = alice.subscribe("bob", &channel).await;
    alice.subscribe("alice", &channel).await;
    let by_admin = guarded.admin().subscribe("bob", &guarded.of("carol").channel("carol").await).await;
    let at_other = url_at(&channel, &other);
    let mut socket = Socket::try_open(&at_other).await.unwrap();
    guarded.write("bob", "one").await;
    let is_shared = |subscription: &str| subscription.ends_with(id_of(&shared));
    assert!(is_shared(&socket.list().await.subscription));
    // In one transaction with a write after it: what came before the revocation is delivered, what comes after is not.
    let sql = guarded.database.connect().await;
    let insert = "insert into tocsin.messages (box_id, sender, recipient, body) values ('bob', 's', 'r', 'x');";
    sql.batch_execute(&format!("begin; {insert} select tocsin.revoke_grant({id}); {insert} commit")).await.unwrap();
    guarded.write("bob", "too late").await;
    guarded.write("alice", "mine").await;
    let lists = socket.lists(2).await;
    assert!(is_shared(&lists[0].subscription));
    assert!(!is_shared(&lists[1].subscription), "nothing after it");
    assert_eq!(alice.get(shared["resourceURL"].as_str().unwrap()).await.status, StatusCode::NOT_FOUND);
    // What the right to everything has made rests on no grant.
    assert_eq!(guarded.admin().get(by_admin["resourceURL"].as_str().unwrap()).await.status, StatusCode::OK);
    let again = json!({ "nmsSubscription": { "callbackReference": { "notifyURL": channel["callbackURL"] } } });
    assert_eq!(alice.post("/nms/v1/default/bob/subscriptions", again).await.status, StatusCode::NOT_FOUND);
    guarded.server.stop().await;
    other.stop().await;
}

fn id_of(resource: &Value) -> &str {
    resource["resourceURL"].as_str().unwrap().rsplit('/').next().unwrap()
}

fn url_at(channel: &Value, server: &Server) -> String {
    let url = channel["channelData"]["channelURL"].as_str().unwrap();
    let (_, path) = url.split_once("/ws/").unwrap();
    format!("{}/ws/{path}", server.api.url.replacen("http", "ws", 1))
}

#[tokio::test]
async fn what_another_grant_still_allows_goes_on() {
    let guarded = Guarded::start().await;
    let alice = guarded.of("alice");
    let one = guarded.grant("alice", "box/bob", &["read"]).await;
    let all = guarded.grant("*", "box/*", &["read"]).await;
    let channel = alice.channel("alice").await;
    let subscription = alice.subscribe("bob", &channel).await;
    let url = subscription["resourceURL"].as_str().unwrap();
    guarded.revoke(one).await;
    assert_eq!(alice.get(url).await.status, StatusCode::OK);
    guarded.revoke(all).await;
    assert_eq!(alice.get(url).await.status, StatusCode::NOT_FOUND);
    guarded.server.stop().await;
}

#[tokio::test]
async fn a_subscription_that_is_being_made_while_its_grant_is_revoked_does_not_survive_it() {
    let guarded = Guarded::start().await;
    let alice = guarded.of("alice");
    let channel = alice.channel("alice").await;
    for _ in 0..10 {
        let id = guarded.grant("alice", "box/bob", &["read"]).await;
        let wish = json!({ "nmsSubscription": { "callbackReference": { "notifyURL": channel["callbackURL"] } } });
        tokio::join!(alice.post("/nms/v1/default/bob/subscriptions", wish), guarded.revoke(id));
        let left = "select count(*) from tocsin.subscriptions where stream = 'default/bob'";
        let left: i64 = guarded.database.connect().await.query_one(left, &[]).await.unwrap().get(0);
        assert_eq!(left, 0);
    }
    guarded.server.stop().await;
}

#[tokio::test]
async fn a_socket_that_rests_on_a_grant_is_closed_soon_after_it_is_revoked() {
    let guarded = Guarded::start().await;
    let ids =
        [guarded.grant("alice", "room/lobby", &["read"]).await, guarded.grant("alice", "inbox/bob", &["read"]).await];
    let mut own = Listening::open(&guarded, "alice", "/ws/notifications").await.unwrap();
    let mut room = Listening::open(&guarded, "alice", "/ws/rooms/lobby").await.unwrap();
    let mut inbox = Listening::open(&guarded, "alice", "/ws/notifications?user=bob").await.unwrap();
    let publish =
        "select tocsin.declare_event_type('like', '', ''); select tocsin.publish('like', 'hello', users => '{bob}')";
    guarded.database.connect().await.batch_execute(publish).await.unwrap();
    assert!(inbox.next().await.contains("hello"));
    for id in ids {
        guarded.revoke(id).await;
    }
    assert_eq!(room.closed().await, 4007);
    assert_eq!(inbox.closed().await, 4007);
    let publish = "select tocsin.publish('like', 'mine', users => '{alice}')";
    guarded.database.connect().await.batch_execute(publish).await.unwrap();
    assert!(own.next().await.contains("mine"), "her own goes on");
    guarded.server.stop().await;
}

#[tokio::test]
async fn a_rebuild_knows_who_subscribed() {
    let guarded = Guarded::start().await;
    guarded.grant("alice", "box/bob", &["read"]).await;
    guarded.of("alice").subscribe("bob", &guarded.of("alice").channel("alice").await).await;
    guarded.admin().subscribe("bob", &guarded.of("carol").channel("carol").await).await;
    let sql = guarded.database.connect().await;
    let look = "select string_agg(subscriber || privileged, ',' order by subscriber) from tocsin.subscriptions";
    let before: String = sql.query_one(look, &[]).await.unwrap().get(0);
    assert_eq!(before, "alicefalse,roottrue");
    guarded.server.stop().await;
    let rebuild = tokio::process::Command::new(env!("CARGO_BIN_EXE_tocsin"))
        .args(["rebuild", "--database-url", guarded.database.url()])
        .output()
        .await
        .unwrap();
    assert!(rebuild.status.success(), "{rebuild:?}");
    let after: String = sql.query_one(look, &[]).await.unwrap().get(0);
    assert_eq!(after, before);
}

#[tokio::test]
async fn channels_are_limited_and_so_are_the_subscriptions_of_a_box() {
    let guarded = Guarded::start_as(|config| config.limits.subscriptions_per_box_max = 2).await;
    let alice = guarded.of("alice");
    let channel = alice.channel("alice").await;
    alice.subscribe("alice", &channel).await;
    let second = alice.subscribe("alice", &channel).await;
    let wish = json!({ "nmsSubscription": { "callbackReference": { "notifyURL": channel["callbackURL"] } } });
    let third = alice.post("/nms/v1/default/alice/subscriptions", wish).await;
    assert_eq!((third.status, third.fault().0.as_str()), (StatusCode::FORBIDDEN, "POL0001"), "{}", third.text);
    alice.delete(second["resourceURL"].as_str().unwrap()).await;
    eventually("there is room again", async || {
        let wish = json!({ "nmsSubscription": { "callbackReference": { "notifyURL": channel["callbackURL"] } } });
        let answer = alice.post("/nms/v1/default/alice/subscriptions", wish).await;
        (answer.status == StatusCode::CREATED).then_some(())
    })
    .await;
    guarded.server.stop().await;
}
