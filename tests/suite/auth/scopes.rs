//! Each resource and verb with each scope (spec/notification-channel 10.1, spec/nms 2.6); and that none is forgotten.

use std::collections::BTreeSet;

use reqwest::Method;
use tocsin::auth::scope::Scopes;

use super::*;
use crate::support::eventually;

const CHANNELS: &str = "/notificationchannel/v1/alice/channels";
const BOX: &str = "/nms/v1/default/alice";

const ALL: &str = "oma_rest_notificationchannel.all_v1";
const LONG: &str = "oma_rest_notificationchannel.longpoll";
const PUSH: &str = "oma_rest_notificationchannel.omapush";
const SOCKETS: &str = "oma_rest_notificationchannel.websockets";
const NMS: &str = "oma_rest_nms.all_v1";
const CREATE: &str = "oma_rest_nms.create";
const READ: &str = "oma_rest_nms.read";
const MODIFY: &str = "oma_rest_nms.modify";
const SUBSCRIBE: &str = "oma_rest_nms.subscription";

/// What each request needs, by any of these scopes. (`tocsin.admin` is always one.)
const TABLE: &[(&str, &str, &[&str])] = &[
    ("GET", "/notificationchannel/v1/alice/channels", &[ALL, LONG, PUSH, SOCKETS]),
    ("POST", "/notificationchannel/v1/alice/channels", &[ALL, LONG, PUSH, SOCKETS]),
    ("GET", "/notificationchannel/v1/alice/channels/x", &[ALL, LONG, PUSH, SOCKETS]),
    ("DELETE", "/notificationchannel/v1/alice/channels/x", &[ALL, LONG, PUSH, SOCKETS]),
    ("GET", "/notificationchannel/v1/alice/channels/x/channelLifetime", &[ALL, PUSH, SOCKETS]),
    ("PUT", "/notificationchannel/v1/alice/channels/x/channelLifetime", &[ALL, PUSH, SOCKETS]),
    ("POST", "/nms/v1/default/alice/objects", &[NMS, CREATE]),
    ("POST", "/nms/v1/default/alice/objects/operations/bulkCreation", &[NMS, CREATE]),
    ("GET", "/nms/v1/default/alice/objects/1", &[NMS, READ]),
    ("DELETE", "/nms/v1/default/alice/objects/1", &[NMS, MODIFY]),
    ("GET", "/nms/v1/default/alice/objects/1/flags", &[NMS, READ]),
    ("PUT", "/nms/v1/default/alice/objects/1/flags", &[NMS, MODIFY]),
    ("GET", "/nms/v1/default/alice/objects/1/flags/x", &[NMS, READ]),
    ("PUT", "/nms/v1/default/alice/objects/1/flags/x", &[NMS, MODIFY]),
    ("DELETE", "/nms/v1/default/alice/objects/1/flags/x", &[NMS, MODIFY]),
    ("GET", "/nms/v1/default/alice/objects/1/payload", &[NMS, READ]),
    ("GET", "/nms/v1/default/alice/objects/1/payloadParts/p1", &[NMS, READ]),
    ("POST", "/nms/v1/default/alice/objects/operations/search", &[NMS, READ]),
    ("GET", "/nms/v1/default/alice/objects/operations/pathToId", &[NMS, READ]),
    ("POST", "/nms/v1/default/alice/objects/operations/pathToId", &[NMS, READ]),
    ("POST", "/nms/v1/default/alice/objects/operations/bulkUpdate", &[NMS, MODIFY]),
    ("POST", "/nms/v1/default/alice/objects/operations/bulkDelete", &[NMS, MODIFY]),
    ("DELETE", "/nms/v1/default/alice/objects/operations/bulkDelete", &[NMS, MODIFY]),
    ("POST", "/nms/v1/default/alice/folders", &[NMS, MODIFY]),
    ("GET", "/nms/v1/default/alice/folders/root", &[NMS, READ]),
    ("DELETE", "/nms/v1/default/alice/folders/1", &[NMS, MODIFY]),
    ("GET", "/nms/v1/default/alice/folders/1/folderName", &[NMS, READ]),
    ("PUT", "/nms/v1/default/alice/folders/1/folderName", &[NMS, MODIFY]),
    ("POST", "/nms/v1/default/alice/folders/operations/search", &[NMS, READ]),
    ("GET", "/nms/v1/default/alice/folders/operations/pathToId", &[NMS, READ]),
    ("POST", "/nms/v1/default/alice/folders/operations/pathToId", &[NMS, READ]),
    ("POST", "/nms/v1/default/alice/folders/operations/copyToFolder", &[NMS, MODIFY]),
    ("POST", "/nms/v1/default/alice/folders/operations/moveToFolder", &[NMS, MODIFY]),
    ("GET", "/nms/v1/default/alice/subscriptions", &[NMS, SUBSCRIBE]),
    ("POST", "/nms/v1/default/alice/subscriptions", &[NMS, SUBSCRIBE]),
    ("GET", "/nms/v1/default/alice/subscriptions/x", &[NMS, SUBSCRIBE]),
    ("POST", "/nms/v1/default/alice/subscriptions/x", &[NMS, SUBSCRIBE]),
    ("DELETE", "/nms/v1/default/alice/subscriptions/x", &[NMS, SUBSCRIBE]),
    ("GET", "/nms/v1/default/alice/subscriptions/x/explain", &[NMS, SUBSCRIBE]),
    ("GET", "/api/notifications", &["tocsin.inbox"]),
    ("PATCH", "/api/notifications", &["tocsin.inbox"]),
    ("GET", "/api/notifications/", &["tocsin.inbox"]),
    ("GET", "/api/notifications/unread-count", &["tocsin.inbox"]),
    ("POST", "/api/notifications/read-all", &["tocsin.inbox"]),
    ("GET", "/api/notifications/filter", &["tocsin.inbox"]),
    ("PATCH", "/api/notifications/filter", &["tocsin.inbox"]),
    ("GET", "/api/notifications/targets", &["tocsin.inbox"]),
    ("POST", "/api/notifications/targets", &["tocsin.inbox"]),
    ("DELETE", "/api/notifications/targets/x", &["tocsin.inbox"]),
    ("GET", "/api/notifications/1", &["tocsin.inbox"]),
    ("PATCH", "/api/notifications/1", &["tocsin.inbox"]),
    ("DELETE", "/api/notifications/1", &["tocsin.inbox"]),
    ("GET", "/ws/notifications", &["tocsin.inbox"]),
    ("GET", "/ws/rooms/alice", &["tocsin.rooms"]),
    ("POST", "/api/rooms/alice", &["tocsin.rooms", "tocsin.publish"]),
    ("GET", "/api/event-types", &["tocsin.inbox", "tocsin.rooms", "tocsin.publish"]),
    ("POST", "/api/event-types", &["tocsin.publish"]),
    ("GET", "/api/groups", &["tocsin.publish"]),
    ("POST", "/api/groups", &["tocsin.publish"]),
    ("POST", "/api/events", &["tocsin.publish"]),
    ("GET", "/api/deferred", &["tocsin.publish", "tocsin.rooms", ALL, LONG, PUSH, SOCKETS]),
    ("GET", "/api/deferred/1", &["tocsin.publish", "tocsin.rooms", ALL, LONG, PUSH, SOCKETS]),
    ("DELETE", "/api/deferred/1", &["tocsin.publish", "tocsin.rooms", ALL, LONG, PUSH, SOCKETS]),
    ("GET", "/api/tables", &["tocsin.tables"]),
    ("GET", "/api/tables/movies", &["tocsin.tables"]),
    ("GET", "/api/tables/movies/1", &["tocsin.tables"]),
    ("PUT", "/api/tables/movies/1", &["tocsin.tables"]),
    ("GET", "/api/grants", &["tocsin.grant"]),
    ("POST", "/api/grants", &["tocsin.grant"]),
    ("GET", "/api/grants/1", &["tocsin.grant"]),
    ("DELETE", "/api/grants/1", &["tocsin.grant"]),
    ("GET", "/api/operator/boxes", &["tocsin.operator"]),
    ("GET", "/api/operator/channels", &["tocsin.operator"]),
    ("GET", "/api/operator/subscriptions", &["tocsin.operator"]),
    ("GET", "/api/operator/senders", &["tocsin.operator"]),
    ("POST", "/api/operator/senders/x/retry", &["tocsin.operator"]),
    ("GET", "/api/operator/nodes", &["tocsin.operator"]),
    ("GET", "/metrics", &["tocsin.metrics"]),
];

#[tokio::test]
async fn each_request_needs_one_of_its_scopes_and_no_other_one_helps() {
    let guarded = Guarded::start_as(|config| config.limits.requests_per_user_per_second_max = 0).await;
    for (method, path, enough) in TABLE {
        let method: Method = method.parse().unwrap();
        let anonymous = guarded.server.api.send(method.clone(), path, &[], None).await;
        assert_eq!(anonymous.status, StatusCode::UNAUTHORIZED, "{method} {path} without a token");
        for scope in Scopes::known().chain(["openid"]) {
            let answer = guarded.scoped("alice", scope).send(method.clone(), path, &[], None).await;
            let refused = answer.status == StatusCode::FORBIDDEN
                && answer.header("www-authenticate").contains("insufficient_scope");
            let wanted = !enough.contains(&scope) && scope != "tocsin.admin";
            assert_eq!(refused, wanted, "{method} {path} with {scope}: {} {}", answer.status, answer.text);
        }
    }
    guarded.server.stop().await;
}

/// The routes of the server, as its sources have them: with each verb that they say they allow.
pub fn routes() -> BTreeSet<(String, String)> {
    let prefixes = [
        ("nc/mod.rs", "/notificationchannel/v1/{}/channels"),
        ("nms/mod.rs", "/nms/v1/{}/{}"),
        ("inbox/mod.rs", "/api"),
        ("tables/mod.rs", "/api/tables"),
        ("operator.rs", "/api/operator"),
        ("mod.rs", ""),
    ];
    let mut found = BTreeSet::new();
    for (file, prefix) in prefixes {
        let path = format!("{}/src/http/{file}", env!("CARGO_MANIFEST_DIR"));
        let text: String = std::fs::read_to_string(path).unwrap().split_whitespace().collect();
        for route in text.split(".route(\"").skip(1) {
            let (path, handlers) = route.split_once('"').unwrap();
            let verbs = match handlers.split_once("only(\"") {
                Some((before, rest)) if !before.contains(".route(") => rest.split_once('"').unwrap().0.to_owned(),
                _ if handlers.starts_with(",collection(") => "GET,POST".to_owned(),
                _ => panic!("{file}: the verbs of {path} cannot be seen"),
            };
            let path = format!("{prefix}{}", if path == "/" { "" } else { path });
            let path: Vec<&str> = path.split('/').map(|part| if part.starts_with('{') { "{}" } else { part }).collect();
            for verb in verbs.split(',') {
                found.insert((verb.to_owned(), path.join("/")));
            }
        }
    }
    assert!(found.len() > 60, "{found:?}");
    found
}

#[test]
fn the_table_has_every_route_that_the_server_has() {
    let open =
        ["/healthz", "/readyz", "/ws/{}", "/poll/{}", "/large/{}", "/callback/{}", "/openapi.json", "/asyncapi.json"];
    let console = ["/console", "/console/", "/console/{}"];
    let fits = |route: &str, path: &str| {
        let (route, path): (Vec<&str>, Vec<&str>) = (route.split('/').collect(), path.split('/').collect());
        route.len() == path.len() && route.iter().zip(&path).all(|(part, of)| *part == "{}" || part == of)
    };
    for (verb, route) in routes() {
        if open.contains(&route.as_str()) || console.contains(&route.as_str()) {
            continue;
        }
        let tested = TABLE.iter().any(|(method, path, _)| *method == verb && fits(&route, path));
        assert!(tested, "{verb} {route} is not in the table: which scope does it need?");
    }
}

#[tokio::test]
async fn a_scope_of_one_type_makes_channels_of_that_type_only() {
    let guarded = Guarded::start().await;
    let types = [
        (LONG, json!({ "channelType": "LongPolling", "channelData": { "maxNotifications": 1 } })),
        (SOCKETS, json!({ "channelType": "WebSockets" })),
        (ALL, json!({ "channelType": "webhooks", "channelData": { "x-webhookURL": "http://8.8.8.8/" } })),
    ];
    for scope in [LONG, SOCKETS, PUSH, ALL] {
        let api = guarded.scoped("alice", scope);
        for (of, fields) in &types {
            let answer = api.post(CHANNELS, json!({ "notificationChannel": fields })).await;
            let allowed = scope == ALL || scope == *of;
            let expected = if allowed { StatusCode::CREATED } else { StatusCode::FORBIDDEN };
            assert_eq!(answer.status, expected, "{scope} {fields}: {}", answer.text);
        }
    }
    guarded.server.stop().await;
}

#[tokio::test]
async fn what_is_not_there_is_told_to_anybody_and_what_is_open_is_open() {
    let guarded = Guarded::start().await;
    eventually("it is ready", async || {
        (guarded.server.api.get("/readyz").await.status == StatusCode::OK).then_some(())
    })
    .await;
    for (path, status) in
        [("/healthz", StatusCode::OK), ("/nothing/here", StatusCode::NOT_FOUND), ("/", StatusCode::NOT_FOUND)]
    {
        assert_eq!(guarded.server.api.get(path).await.status, status, "{path}");
    }
    let verbs =
        guarded.of("alice").send(Method::PATCH, BOX.replace("alice", "alice/objects").as_str(), &[], None).await;
    assert_eq!((verbs.status, verbs.header("allow")), (StatusCode::METHOD_NOT_ALLOWED, "POST"));
    guarded.server.stop().await;
}
