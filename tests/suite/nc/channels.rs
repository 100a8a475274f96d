//! Creating and listing channels.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tocsin::config::Limits;

use super::{JSON, channels_of, post_text, text};
use crate::support::postgres::Database;
use crate::support::server::Server;

#[tokio::test]
async fn a_created_channel_is_described_in_full() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let wish = json!({ "notificationChannel": {
        "clientCorrelator": "c-1", "applicationTag": "demo", "channelType": "WebSockets",
        "channelData": { "maxNotifications": 5 }, "channelLifetime": 120 } });
    let answer = server.api.post(&channels_of("alice"), wish).await;
    assert_eq!(answer.status, StatusCode::CREATED);
    let channel = answer.json()["notificationChannel"].clone();
    let (url, callback) = (text(&channel, "resourceURL"), text(&channel, "callbackURL"));
    let socket = text(&channel["channelData"], "channelURL");
    assert_eq!(answer.header("location"), url);
    assert!(url.starts_with(&format!("{}/notificationchannel/v1/alice/channels/", server.api.url)), "{url}");
    assert!(socket.starts_with(&server.api.url.replace("http", "ws")), "{socket}");
    assert!(callback.starts_with(&server.api.url), "{callback}");
    let expected = json!({
        "clientCorrelator": "c-1", "applicationTag": "demo", "channelType": "WebSockets",
        "channelData": { "channelURL": socket, "maxNotifications": 5 }, "channelLifetime": 120,
        "callbackURL": callback, "resourceURL": url });
    assert_eq!(channel, expected);
    assert_eq!(server.api.get(url).await.json(), answer.json());
    let secret = |url: &str| url.rsplit_once('.').unwrap().1.to_owned();
    assert_ne!(secret(socket), secret(callback), "who may post may not read");
    assert_eq!(secret(socket).len(), 22, "128 bits in base64");
    server.stop().await;
}

#[tokio::test]
async fn wishes_are_capped_and_their_absence_is_defaulted() {
    let database = Database::new().await;
    let limits = Limits {
        channel_lifetime_seconds_default: 100,
        channel_lifetime_seconds_max: 200,
        notifications_default: 7,
        notifications_max: 9,
        ..Limits::default()
    };
    let server = Server::start_with(&database, limits).await;
    for (wish, granted) in [
        (Value::Null, 100),
        (json!(0), 100),
        (json!("0"), 100),
        (json!(""), 100),
        (json!(150), 150),
        (json!("150"), 150),
        (json!(201), 200),
        (json!(99_999_999_999_u64), 200),
    ] {
        let channel =
            server.api.channel_with("alice", json!({ "channelType": "WebSockets", "channelLifetime": wish })).await;
        assert_eq!(channel["channelLifetime"], granted, "{wish}");
    }
    for (wish, granted) in [(Value::Null, 7), (json!(8), 8), (json!("1"), 1), (json!(1000), 9)] {
        let fields = json!({ "channelType": "WebSockets", "channelData": { "maxNotifications": wish } });
        let channel = server.api.channel_with("alice", fields).await;
        assert_eq!(channel["channelData"]["maxNotifications"], granted, "{wish}");
    }
    server.stop().await;
}

#[tokio::test]
async fn requests_are_read_liberally() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let path = channels_of("alice");
    for (body, headers) in [
        (
            r#"{"notificationChannel":{"channelType":"WebSockets","clientCorrelator":"","applicationTag":""}}"#,
            &[JSON][..],
        ),
        (r#"{"notificationChannel":{"channelType":"Websockets","x-connCheckRole":"client","more":[{}]}}"#, &[JSON]),
        (r#"{"channelType":"WebSockets","channelData":null}"#, &[JSON]),
        (r#"{"channelType":"WebSockets"}"#, &[]),
        (r#"{"channelType":"WebSockets"}"#, &[("content-type", "Application/JSON; charset=UTF-8")]),
        (r#"{"channelType":"WebSockets"}"#, &[JSON, ("accept", "")]),
        (r#"{"channelType":"WebSockets"}"#, &[JSON, ("accept", "text/html, */*;q=0.1")]),
    ] {
        let answer = post_text(&server, &path, headers, body).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{body}: {}", answer.text);
        let channel = &answer.json()["notificationChannel"];
        assert_eq!(channel["channelType"], "WebSockets", "{body}");
        for absent in ["clientCorrelator", "applicationTag"] {
            assert_eq!(channel.get(absent), None, "{body}: the server invents none, and the empty one is none");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn formats_that_nobody_reads_or_writes_here_are_refused() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let (path, body) = (channels_of("alice"), r#"{"channelType":"WebSockets"}"#);
    for accept in ["text/html", "application/json;q=0", "application/*;q=0"] {
        let answer = post_text(&server, &path, &[JSON, ("accept", accept)], body).await;
        assert_eq!((answer.status, answer.fault().0.as_str()), (StatusCode::NOT_ACCEPTABLE, "SVC0002"), "{accept}");
        let answer = server.api.send(Method::GET, &path, &[("accept", accept)], None).await;
        assert_eq!(answer.status, StatusCode::NOT_ACCEPTABLE, "{accept}");
    }
    for other in ["multipart/form-data", "text/json", ";"] {
        let answer = post_text(&server, &path, &[("content-type", other)], body).await;
        assert_eq!(
            (answer.status, answer.fault().0.as_str()),
            (StatusCode::UNSUPPORTED_MEDIA_TYPE, "SVC0002"),
            "{other}"
        );
    }
    let list = server.api.get(&path).await.json();
    assert_eq!(list["notificationChannelList"]["notificationChannel"], json!([]), "nothing was created");
    server.stop().await;
}

#[tokio::test]
async fn a_users_channels_are_listed_oldest_first() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let list = async |user: &str| server.api.get(&channels_of(user)).await.json();
    let url = format!("{}{}", server.api.url, channels_of("alice"));
    let empty = json!({ "notificationChannelList": { "notificationChannel": [], "resourceURL": url } });
    assert_eq!(list("alice").await, empty);
    let first = server.api.channel("alice").await;
    let second = server.api.channel("alice").await;
    server.api.channel("bob").await;
    let both = json!({ "notificationChannelList": { "notificationChannel": [first, second], "resourceURL": url } });
    assert_eq!(list("alice").await, both);
    server.stop().await;
}

#[tokio::test]
async fn types_not_offered_and_types_not_known_are_told_apart() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let create = async |fields: Value| {
        let answer = server.api.post(&channels_of("alice"), json!({ "notificationChannel": fields })).await;
        let (code, variables) = answer.fault();
        (answer.status.as_u16(), code, variables.join("; "))
    };
    for kind in ["OMAPush", "NativeChannel"] {
        let refused = create(json!({ "channelType": kind })).await;
        assert_eq!(refused, (403, "POL1023".to_owned(), format!("{kind}; LongPolling, WebSockets")));
    }
    let valid = "channelType; LongPolling, OMAPush, WebSockets, NativeChannel, webhooks";
    assert_eq!(create(json!({ "channelType": "Pigeon" })).await, (400, "SVC0003".to_owned(), valid.to_owned()));
    for missing in [json!({}), json!({ "channelType": "" }), json!({ "channelType": null })] {
        assert_eq!(create(missing).await, (400, "SVC0002".to_owned(), "channelType".to_owned()));
    }
    server.stop().await;
}

#[tokio::test]
async fn what_a_resource_cannot_do_is_405_with_the_verbs_it_has() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let channel = server.api.channel("alice").await;
    let subscription = server.api.subscribe("b", &channel).await;
    let url = text(&channel, "resourceURL");
    let (lifetime, own) = (format!("{url}/channelLifetime"), text(&subscription, "resourceURL"));
    let box_url = format!("{}/nms/v1/default/b", server.api.url);
    let (channels, subscriptions, object) =
        (channels_of("alice"), format!("{box_url}/subscriptions"), format!("{box_url}/objects/1"));
    let verbs = [Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::PATCH];
    for (path, allow) in [
        (channels.as_str(), "GET, POST"),
        (url, "GET, DELETE"),
        (&lifetime, "GET, PUT"),
        (&subscriptions, "GET, POST"),
        (own, "GET, POST, DELETE"),
        (&object, "GET, DELETE"),
        (text(&channel["channelData"], "channelURL").replace("ws:", "http:").as_str(), "GET"),
        ("/healthz", "GET"),
    ] {
        for verb in verbs.iter().filter(|verb| !allow.split(", ").any(|allowed| allowed == verb.as_str())) {
            let answer = server.api.send(verb.clone(), path, &[JSON], Some("{}".to_owned())).await;
            assert_eq!((answer.status.as_u16(), answer.header("allow")), (405, allow), "{verb} {path}");
        }
    }
    assert_eq!(server.api.get(url).await.status, StatusCode::OK, "nothing was done");
    server.stop().await;
}

#[tokio::test]
async fn a_users_id_is_compared_decoded_and_emitted_encoded() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    for (encoded, raw) in [
        ("tel%3A%2B19585550100", "tel:+19585550100"),
        ("sip%3Aj%C3%BCrgen%40example.com", "sip:j%c3%bcrgen@example.com"),
    ] {
        let channel = server.api.channel(encoded).await;
        let url = text(&channel, "resourceURL");
        assert!(url.contains(&format!("/{encoded}/channels/")), "{url}");
        let list = server.api.get(&channels_of(raw)).await.json()["notificationChannelList"].clone();
        assert_eq!(list["notificationChannel"], json!([channel]), "{raw}");
        assert_eq!(list["resourceURL"], format!("{}{}", server.api.url, channels_of(encoded)));
        let path = url.strip_prefix(&server.api.url).unwrap().replace(encoded, raw);
        assert_eq!(server.api.get(&path).await.json()["notificationChannel"], channel, "{path}");
    }
    server.stop().await;
}

#[tokio::test]
async fn head_answers_as_get_without_the_body() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let channel = server.api.channel("alice").await;
    let subscription = server.api.subscribe("b", &channel).await;
    let url = text(&channel, "resourceURL");
    let (lifetime, other) = (format!("{url}/channelLifetime"), format!("{url}x"));
    for path in [&channels_of("alice"), url, &lifetime, text(&subscription, "resourceURL"), &other] {
        let head = server.api.send(Method::HEAD, path, &[], None).await;
        let get = server.api.get(path).await;
        assert_eq!((head.status, head.header("content-type")), (get.status, get.header("content-type")), "{path}");
        assert_eq!(head.text, "", "{path}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_user_may_have_so_many_channels() {
    let database = Database::new().await;
    let server = Server::start_with(&database, Limits { channels_per_user_max: 2, ..Limits::default() }).await;
    let first = server.api.channel("alice").await;
    server.api.channel("alice").await;
    let refused = server.api.post(&channels_of("alice"), json!({ "channelType": "WebSockets" })).await;
    assert_eq!((refused.status, refused.fault().0.as_str()), (StatusCode::FORBIDDEN, "POL0001"));
    server.api.channel("bob").await;
    assert_eq!(server.api.delete(text(&first, "resourceURL")).await.status, StatusCode::NO_CONTENT);
    server.api.channel("alice").await;
    server.stop().await;
}

#[tokio::test]
async fn a_repeated_create_gets_the_channel_that_is_there() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let wish = json!({ "clientCorrelator": "c", "channelType": "WebSockets", "channelLifetime": 100 });
    let first = server.api.channel_with("alice", wish.clone()).await;
    let mut longer = wish.clone();
    longer["channelLifetime"] = json!(500);
    let again = server.api.channel_with("alice", longer).await;
    assert_eq!(again["resourceURL"], first["resourceURL"]);
    assert_eq!(again["channelLifetime"], 500, "it is granted its lifetime anew");
    let other_user = server.api.channel_with("bob", wish.clone()).await;
    assert_ne!(other_user["resourceURL"], first["resourceURL"], "a clientCorrelator is its user's");

    for (field, value) in [("applicationTag", json!("t")), ("channelData", json!({ "maxNotifications": 3 }))] {
        let mut different = wish.clone();
        different[field] = value;
        let answer = server.api.post(&channels_of("alice"), json!({ "notificationChannel": different })).await;
        assert_eq!(answer.status, StatusCode::CONFLICT, "{field}");
        assert_eq!(answer.fault(), ("SVC0005".to_owned(), vec!["c".to_owned(), "clientCorrelator".to_owned()]));
        let link = &answer.json()["requestError"]["link"][0];
        assert_eq!((&link["rel"], &link["href"]), (&json!("NotificationChannel"), &first["resourceURL"]));
    }

    let deleted = server.api.delete(first["resourceURL"].as_str().unwrap()).await;
    assert_eq!(deleted.status, StatusCode::NO_CONTENT);
    let new = server.api.channel_with("alice", wish).await;
    assert_ne!(new["resourceURL"], first["resourceURL"], "it is free again");
    server.stop().await;
}

#[tokio::test]
async fn creates_that_race_on_two_nodes_make_one_channel() {
    let database = Database::new().await;
    let nodes = [Server::start(&database).await, Server::start(&database).await];
    let ask = |n: usize| {
        let api = nodes[n % 2].api.clone();
        tokio::spawn(async move {
            let channel =
                api.channel_with("alice", json!({ "clientCorrelator": "c", "channelType": "WebSockets" })).await;
            let path = channel["resourceURL"].as_str().unwrap();
            path[path.find("/notificationchannel").unwrap()..].to_owned()
        })
    };
    let made = futures_util::future::join_all((0..16).map(ask)).await;
    let mut made: Vec<String> = made.into_iter().map(Result::unwrap).collect();
    made.dedup();
    assert_eq!(made.len(), 1, "{made:?}");
    let list = nodes[0].api.get(&channels_of("alice")).await.json();
    assert_eq!(list["notificationChannelList"]["notificationChannel"].as_array().unwrap().len(), 1);
    for node in nodes {
        node.stop().await;
    }
}
