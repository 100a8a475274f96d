//! Another user's ids in every position of every URL: the answer is that of what is not there.

use reqwest::Method;

use super::*;
use crate::support::client::Answer;

/// Requests to what is bob's, or nobody's: `{user}` is whose, `{n}` an id in it.
const REQUESTS: &[(&str, &str, Option<&str>)] = &[
    ("GET", "/notificationchannel/v1/{user}/channels", None),
    (
        "POST",
        "/notificationchannel/v1/{user}/channels",
        Some(r#"{"notificationChannel":{"channelType":"WebSockets"}}"#),
    ),
    ("GET", "/notificationchannel/v1/{user}/channels/{channel}", None),
    ("DELETE", "/notificationchannel/v1/{user}/channels/{channel}", None),
    ("GET", "/notificationchannel/v1/{user}/channels/{channel}/channelLifetime", None),
    (
        "PUT",
        "/notificationchannel/v1/{user}/channels/{channel}/channelLifetime",
        Some(r#"{"notificationChannelLifetime":{"channelLifetime":9}}"#),
    ),
    ("POST", "/nms/v1/default/{user}/objects", Some(r#"{"object":{"attributes":{"attribute":[]}}}"#)),
    ("POST", "/nms/v1/archive/{user}/objects", Some(r#"{"object":{"attributes":{"attribute":[]}}}"#)),
    ("GET", "/nms/v1/default/{user}/objects/{object}", None),
    ("DELETE", "/nms/v1/default/{user}/objects/{object}", None),
    ("GET", "/nms/v1/default/{user}/objects/{object}/flags", None),
    ("PUT", "/nms/v1/default/{user}/objects/{object}/flags/x", None),
    ("DELETE", "/nms/v1/default/{user}/objects/{object}/flags/x", None),
    ("GET", "/nms/v1/default/{user}/objects/{object}/payload", None),
    ("GET", "/nms/v1/default/{user}/objects/{object}/payloadParts/p1", None),
    ("POST", "/nms/v1/default/{user}/objects/operations/search", Some(r#"{"selectionCriteria":{"maxEntries":1}}"#)),
    ("GET", "/nms/v1/default/{user}/objects/operations/pathToId?path=/a", None),
    ("POST", "/nms/v1/default/{user}/objects/operations/bulkUpdate", Some(r#"{"bulkUpdate":{}}"#)),
    ("POST", "/nms/v1/default/{user}/objects/operations/bulkDelete", Some(r#"{"bulkDelete":{}}"#)),
    ("POST", "/nms/v1/default/{user}/folders", Some(r#"{"folder":{"name":"x"}}"#)),
    ("GET", "/nms/v1/default/{user}/subscriptions/{subscription}/explain?seq=1", None),
    ("GET", "/nms/v1/default/{user}/folders/root", None),
    ("GET", "/nms/v1/default/{user}/folders/{folder}", None),
    ("DELETE", "/nms/v1/default/{user}/folders/{folder}", None),
    ("PUT", "/nms/v1/default/{user}/folders/{folder}/folderName", Some(r#"{"name":"y"}"#)),
    ("POST", "/nms/v1/default/{user}/folders/operations/search", Some(r#"{"selectionCriteria":{"maxEntries":1}}"#)),
    ("POST", "/nms/v1/default/{user}/folders/operations/copyToFolder", Some(r#"{"targetSourceRef":{}}"#)),
    ("GET", "/nms/v1/default/{user}/subscriptions", None),
    (
        "POST",
        "/nms/v1/default/{user}/subscriptions",
        Some(r#"{"nmsSubscription":{"callbackReference":{"notifyURL":"{callback}"}}}"#),
    ),
    ("GET", "/nms/v1/default/{user}/subscriptions/{subscription}", None),
    (
        "POST",
        "/nms/v1/default/{user}/subscriptions/{subscription}",
        Some(r#"{"nmsSubscriptionUpdate":{"duration":9}}"#),
    ),
    ("DELETE", "/nms/v1/default/{user}/subscriptions/{subscription}", None),
    ("GET", "/api/notifications?user={user}", None),
    ("GET", "/api/notifications/?user={user}", None),
    ("GET", "/api/notifications/{notification}?user={user}", None),
    ("PATCH", "/api/notifications/{notification}?user={user}", Some(r#"{"readed":true}"#)),
    ("DELETE", "/api/notifications/{notification}?user={user}", None),
    ("GET", "/api/notifications/unread-count?user={user}", None),
    ("POST", "/api/notifications/read-all?user={user}", None),
    ("GET", "/api/notifications/filter?user={user}", None),
    ("PATCH", "/api/notifications/filter?user={user}", Some(r#"{"types":[]}"#)),
    ("GET", "/api/notifications/targets?user={user}", None),
    ("POST", "/api/notifications/targets?user={user}", Some(r#"{"channel":"console"}"#)),
    ("POST", "/api/rooms/{user}", Some(r#"{"action":"x"}"#)),
    ("GET", "/api/tables/public.movies", None),
    ("GET", "/api/tables/public.movies/1", None),
    ("PUT", "/api/tables/public.movies/1", Some(r#"{"title":"x"}"#)),
];

/// Everything of bob's, in the database and by the API.
struct Bob {
    channel: Value,
    subscription: Value,
    object: i64,
    folder: String,
    notification: i64,
}

async fn bob(guarded: &Guarded) -> Bob {
    let api = guarded.of("bob");
    let sql = guarded.database.connect().await;
    let channel = api.channel("bob").await;
    let subscription = api.subscribe("bob", &channel).await;
    let object = sql
        .query_one("insert into tocsin.messages (box_id, sender, recipient, body, folder) values ('bob', 's', 'r', 'secret', '/f') returning id", &[])
        .await
        .unwrap()
        .get(0);
    let folder = api.get("/nms/v1/default/bob/folders/operations/pathToId?path=/f").await;
    let folder = folder.json()["reference"]["resourceURL"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    sql.batch_execute(
        "select tocsin.declare_event_type('comment', 'c', ''); select tocsin.publish('comment', 't', users => '{bob}');
         create table movies (id int primary key, title text); insert into movies values (1, 'secret');
         select tocsin.watch('movies', 'id', 'movies')",
    )
    .await
    .unwrap();
    let notification = api.get("/api/notifications").await.json()["results"][0]["id"].as_i64().unwrap();
    Bob { channel, subscription, object, folder, notification }
}

fn last(resource: &Value) -> &str {
    resource["resourceURL"].as_str().unwrap().rsplit('/').next().unwrap()
}

impl Bob {
    /// The request, for whoever `user` is: with ids of bob's.
    fn filled(&self, template: &str, user: &str) -> String {
        template
            .replace("{user}", user)
            .replace("{channel}", last(&self.channel))
            .replace("{subscription}", last(&self.subscription))
            .replace("{callback}", self.channel["callbackURL"].as_str().unwrap())
            .replace("{object}", &self.object.to_string())
            .replace("{folder}", &self.folder)
            .replace("{notification}", &self.notification.to_string())
    }
}

async fn ask(api: &Api, method: &str, path: &str, body: Option<String>) -> Answer {
    api.send(method.parse::<Method>().unwrap(), path, &[("content-type", "application/json")], body).await
}

/// What a client can see of an answer, but for the names it has said itself.
fn seen(answer: &Answer, user: &str) -> (StatusCode, String) {
    (answer.status, answer.text.replace(user, "{user}"))
}

#[tokio::test]
async fn what_is_bobs_answers_to_alice_as_what_is_nobodys() {
    let guarded = Guarded::start().await;
    let bob = bob(&guarded).await;
    let alice = guarded.scoped("alice", &format!("{EVERYDAY} tocsin.tables"));
    for (method, template, body) in REQUESTS {
        let answer = async |user: &str| {
            let body = body.map(|body| bob.filled(body, user));
            ask(&alice, method, &bob.filled(template, user), body).await
        };
        let (of_bob, of_nobody) = (answer("bob").await, answer("nobody-at-all").await);
        assert_eq!(of_bob.status, StatusCode::NOT_FOUND, "{method} {template}: {}", of_bob.text);
        assert_eq!(seen(&of_bob, "bob"), seen(&of_nobody, "nobody-at-all"), "{method} {template}");
    }
    // And nothing has happened to bob.
    let own = guarded.of("bob");
    assert_eq!(
        own.get("/notificationchannel/v1/bob/channels").await.json()["notificationChannelList"]["notificationChannel"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(
        own.get("/nms/v1/default/bob/subscriptions").await.json()["nmsSubscriptionList"]["subscription"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(own.get("/api/notifications/unread-count").await.json()["count"], 1);
    assert_eq!(own.get(&format!("/nms/v1/default/bob/objects/{}", bob.object)).await.status, StatusCode::OK);
    guarded.server.stop().await;
}

#[tokio::test]
async fn bobs_ids_below_alices_own_urls_lead_nowhere() {
    let guarded = Guarded::start().await;
    let bob = bob(&guarded).await;
    let alice = guarded.of("alice");
    for (method, template, body) in REQUESTS {
        let ids = ["{channel}", "{object}", "{folder}", "{subscription}", "{notification}"];
        if !ids.iter().any(|id| template.contains(id)) {
            continue;
        }
        let body = body.map(|body| bob.filled(body, "alice"));
        let answer = ask(&alice, method, &bob.filled(template, "alice"), body).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{method} {template}: {}", answer.text);
        assert!(!answer.text.contains("secret"));
    }
    // Within bodies as well.
    let objects = |id: i64| json!({ "objects": { "objectReference": [{ "resourceURL": format!("{}/nms/v1/default/bob/objects/{id}", guarded.server.api.url) }] } });
    let bulk = alice
        .post("/nms/v1/default/alice/objects/operations/bulkDelete", json!({ "bulkDelete": objects(bob.object) }))
        .await;
    assert!(!bulk.text.contains("\"success\""), "{}", bulk.text);
    assert_eq!(
        guarded.of("bob").get(&format!("/nms/v1/default/bob/objects/{}", bob.object)).await.status,
        StatusCode::OK
    );
    guarded.server.stop().await;
}

#[tokio::test]
async fn acr_auth_is_the_user_of_the_token_and_answers_keep_it() {
    let guarded = Guarded::start().await;
    let alice = guarded.of("alice");
    for acr in ["acr%3Aauth", "acr:auth"] {
        let channel = alice.channel(acr).await;
        let url = channel["resourceURL"].as_str().unwrap();
        assert!(url.contains("/acr%3Aauth/channels/"), "{url}");
        assert_eq!(alice.get(url).await.status, StatusCode::OK);
        assert_eq!(alice.get(&url.replace("acr%3Aauth", "alice")).await.status, StatusCode::OK);
        assert_eq!(
            guarded.of("bob").get(url).await.status,
            StatusCode::NOT_FOUND,
            "to bob it is his own, and not there"
        );
    }
    let folder = json!({ "folder": { "name": "f", "parentFolderPath": "/" } });
    let made = alice.post("/nms/v1/default/acr:auth/folders", folder).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let parent = made.header("location").to_owned();
    assert!(parent.contains("/nms/v1/default/acr%3Aauth/folders/"), "{parent}");
    // A URL that says acr:auth is understood within bodies.
    let object = json!({ "object": { "parentFolder": parent, "attributes": { "attribute": [] } } });
    let made = alice.post("/nms/v1/default/acr:auth/objects", object).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    assert_eq!(alice.get(&made.header("location").replace("acr%3Aauth", "alice")).await.status, StatusCode::OK);
    // Without a token it stands for nobody; without authentication too.
    let anonymous = guarded.server.api.get("/notificationchannel/v1/acr:auth/channels").await;
    assert_eq!(anonymous.status, StatusCode::UNAUTHORIZED);
    guarded.server.stop().await;
    let database = Database::new().await;
    let open = Server::start(&database).await;
    assert_eq!(open.api.get("/notificationchannel/v1/acr:auth/channels").await.status, StatusCode::UNAUTHORIZED);
    open.stop().await;
}

#[tokio::test]
async fn a_subscription_is_its_subscribers_and_shows_its_url_to_nobody_else() {
    let guarded = Guarded::start().await;
    let (alice, bob) = (guarded.of("alice"), guarded.of("bob"));
    guarded.grant("alice", "box/bob", &["read"]).await;
    let channel = alice.channel("alice").await;
    let subscription = alice.subscribe("bob", &channel).await;
    let url = subscription["resourceURL"].as_str().unwrap();
    // Bob owns the box; but the callbackURL is a secret of alice's.
    assert_eq!(bob.get("/nms/v1/default/bob/subscriptions").await.text.matches("resourceURL").count(), 1);
    for (method, body) in
        [("GET", None), ("POST", Some(r#"{"nmsSubscriptionUpdate":{"duration":9}}"#.to_owned())), ("DELETE", None)]
    {
        assert_eq!(ask(&bob, method, url, body).await.status, StatusCode::NOT_FOUND, "{method}");
    }
    assert_eq!(alice.get(url).await.status, StatusCode::OK);
    assert_eq!(guarded.admin().get(url).await.status, StatusCode::OK);
    assert_eq!(alice.delete(url).await.status, StatusCode::NO_CONTENT);
    guarded.server.stop().await;
}

#[tokio::test]
async fn a_room_is_written_to_in_ones_own_name_and_to_those_who_may_listen() {
    let guarded = Guarded::start().await;
    guarded.grant("alice", "room/lobby", &["read", "write"]).await;
    guarded.grant("carol", "room/lobby", &["read"]).await;
    let alice = guarded.of("alice");
    let mut listening = super::sockets::Listening::open(&guarded, "carol", "/ws/rooms/lobby").await.unwrap();
    let as_bob = json!({ "author": "bob", "action": "hello" });
    assert_eq!(alice.post("/api/rooms/lobby", as_bob).await.status, StatusCode::CREATED);
    let heard = listening.next().await;
    assert!(heard.contains("hello") && !heard.contains("bob"), "{heard}");
    let answer = alice.post("/api/rooms/lobby", json!({ "action": "x", "recipients": ["carol"] })).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    let answer = alice.post("/api/rooms/lobby", json!({ "action": "x", "recipients": ["dave"] })).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.text);
    let carol = guarded.of("carol").post("/api/rooms/lobby", json!({ "action": "x" })).await;
    assert_eq!(carol.status, StatusCode::NOT_FOUND, "she may only listen");
    // The application itself may speak for anybody, to anybody.
    let app = guarded.scoped("app", "tocsin.publish");
    assert_eq!(
        app.post("/api/rooms/lobby", json!({ "author": "bob", "recipients": ["dave"] })).await.status,
        StatusCode::CREATED
    );
    guarded.server.stop().await;
}

#[tokio::test]
async fn tables_are_for_those_to_whom_they_were_granted() {
    let guarded = Guarded::start().await;
    bob(&guarded).await;
    let reader = guarded.scoped("alice", "tocsin.tables");
    assert_eq!(reader.get("/api/tables").await.json()["results"].as_array().map(Vec::len), Some(0));
    let grant = guarded.grant("alice", "table/movies", &["read"]).await;
    assert_eq!(reader.get("/api/tables").await.json()["results"].as_array().map(Vec::len), Some(1));
    assert_eq!(reader.get("/api/tables/movies/1").await.status, StatusCode::OK);
    let change = reader.put("/api/tables/movies/1", json!({ "title": "mine" })).await;
    assert_eq!(change.status, StatusCode::NOT_FOUND, "{}", change.text);
    guarded.revoke(grant).await;
    assert_eq!(reader.get("/api/tables/movies/1").await.status, StatusCode::NOT_FOUND);
    guarded.server.stop().await;
}
