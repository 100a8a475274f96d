//! The resource table: every row with its verbs, and what is refused alike on each of them.

use reqwest::Method;
use serde_json::{Value, json};
use tocsin::wire::xml;
use tokio_postgres::Client;

use super::{form, text, write};
use crate::support::client::Answer;
use crate::support::eventually;
use crate::support::postgres::{Database, cluster, connect};
use crate::support::server::Server;

const BOX: &str = "/nms/v1/default/b";

/// A resource and its verbs.
struct Resource {
    /// Below the box. `{object}`, `{folder}` and `{subscription}` are ids of such.
    path: &'static str,
    verbs: &'static [Verb],
}

/// A verb: the root of its request's body (or none), and what it is answered when all is well.
struct Verb(&'static str, Option<&'static str>, Answered);

#[derive(Clone, Copy, PartialEq, Debug)]
enum Answered {
    /// A document in the format that the client reads.
    Document(u16),
    /// Bytes of the payload's type.
    Payload,
    /// 204.
    Nothing,
}
use Answered::{Document, Nothing, Payload};

/// Rows 1 to 18, 20 and 21, in an order in which each can be asked for: what deletes comes last. Row 19 is the client's.
const RESOURCES: [Resource; 20] = [
    Resource { path: "/objects", verbs: &[Verb("POST", Some("object"), Document(201))] },
    Resource {
        path: "/objects/{object}/flags",
        verbs: &[Verb("GET", None, Document(200)), Verb("PUT", Some("flagList"), Document(200))],
    },
    Resource {
        path: "/objects/{object}/flags/x",
        verbs: &[Verb("GET", None, Document(404)), Verb("PUT", None, Document(201)), Verb("DELETE", None, Nothing)],
    },
    Resource { path: "/objects/{object}/payload", verbs: &[Verb("GET", None, Payload)] },
    Resource { path: "/objects/{object}/payloadParts/p1", verbs: &[Verb("GET", None, Payload)] },
    Resource { path: "/objects/operations/search", verbs: &[Verb("POST", Some("selectionCriteria"), Document(200))] },
    Resource {
        path: "/objects/operations/pathToId",
        verbs: &[Verb("GET", None, Document(200)), Verb("POST", Some("pathList"), Document(200))],
    },
    Resource { path: "/objects/operations/bulkCreation", verbs: &[Verb("POST", Some("objectList"), Document(200))] },
    Resource { path: "/objects/operations/bulkUpdate", verbs: &[Verb("POST", Some("bulkUpdate"), Document(200))] },
    Resource { path: "/folders", verbs: &[Verb("POST", Some("folder"), Document(201))] },
    Resource {
        path: "/folders/{folder}/folderName",
        verbs: &[Verb("GET", None, Document(200)), Verb("PUT", Some("name"), Document(200))],
    },
    Resource { path: "/folders/operations/search", verbs: &[Verb("POST", Some("selectionCriteria"), Document(200))] },
    Resource {
        path: "/folders/operations/pathToId",
        verbs: &[Verb("GET", None, Document(200)), Verb("POST", Some("pathList"), Document(200))],
    },
    Resource {
        path: "/folders/operations/copyToFolder",
        verbs: &[Verb("POST", Some("targetSourceRef"), Document(200))],
    },
    Resource {
        path: "/folders/operations/moveToFolder",
        verbs: &[Verb("POST", Some("targetSourceRef"), Document(200))],
    },
    Resource {
        path: "/subscriptions",
        verbs: &[Verb("GET", None, Document(200)), Verb("POST", Some("nmsSubscription"), Document(201))],
    },
    Resource {
        path: "/subscriptions/{subscription}",
        verbs: &[
            Verb("GET", None, Document(200)),
            Verb("POST", Some("nmsSubscriptionUpdate"), Document(200)),
            Verb("DELETE", None, Nothing),
        ],
    },
    Resource { path: "/objects/{object}", verbs: &[Verb("GET", None, Document(200)), Verb("DELETE", None, Nothing)] },
    Resource { path: "/folders/{folder}", verbs: &[Verb("GET", None, Document(200)), Verb("DELETE", None, Nothing)] },
    Resource {
        path: "/objects/operations/bulkDelete",
        verbs: &[Verb("POST", Some("bulkDelete"), Document(200)), Verb("DELETE", Some("bulkDelete"), Document(200))],
    },
];

impl Resource {
    /// As the table has it.
    fn allow(&self) -> String {
        self.verbs.iter().map(|verb| verb.0).collect::<Vec<_>>().join(", ")
    }

    fn has(&self, method: &Method) -> bool {
        self.verbs.iter().any(|verb| verb.0 == method.as_str())
    }
}

/// A box with an object that has a payload, a folder, and a subscription.
struct Scene {
    server: Server,
    sql: Client,
    channel: Value,
    object: String,
    folder: String,
    subscription: String,
    _database: Database,
}

fn id(url: &str) -> String {
    url.rsplit('/').next().unwrap().to_owned()
}

impl Scene {
    async fn new() -> Scene {
        let database = Database::new().await;
        let (server, sql) = (Server::start(&database).await, database.connect().await);
        let entries: [(&str, &str, &[u8]); 2] = [
            ("root-fields", "Content-Type: application/json", b"{\"object\":{}}"),
            ("attachments", "Content-Type: image/png", b"png"),
        ];
        let object =
            server.api.send_bytes(Method::POST, &format!("{BOX}/objects"), &[super::FORM], Some(form(&entries))).await;
        let root = format!("{}{BOX}/folders/root", server.api.url);
        let folder = server
            .api
            .post(&format!("{BOX}/folders"), json!({ "folder": { "parentFolder": root, "name": "f" } }))
            .await;
        let channel = server.api.channel("alice").await;
        let subscription = server.api.subscribe("b", &channel).await;
        Scene {
            object: id(object.header("location")),
            folder: id(folder.header("location")),
            subscription: id(text(&subscription, "resourceURL")),
            server,
            sql,
            channel,
            _database: database,
        }
    }

    fn url(&self, path: &str) -> String {
        let path = path.replace("{object}", &self.object).replace("{folder}", &self.folder);
        format!("{BOX}{}", path.replace("{subscription}", &self.subscription))
    }

    /// A request that is fine but for what `headers` say: its verb, its URL and its body.
    fn request(&self, resource: &Resource, verb: &Verb) -> (Method, String, Option<String>) {
        let path = match (resource.path, verb.0) {
            ("/objects/operations/pathToId", "GET") => format!("{}?path=/{}", resource.path, self.object),
            (path, _) => path.to_owned(),
        };
        let body = verb.1.map(|root| self.body(root).to_string());
        (verb.0.parse().unwrap(), self.url(&path), body)
    }

    /// A body with this root.
    fn body(&self, root: &str) -> Value {
        let object = json!({ "resourceURL": self.url("/objects/{object}") });
        let objects = json!({ "objectReference": [object] });
        let fields = match root {
            "flagList" => json!({ "flag": ["y"] }),
            "selectionCriteria" => json!({ "maxEntries": 9 }),
            "pathList" => json!({ "path": ["/f"] }),
            "objectList" => json!({ "object": [{ "correlationId": "x" }] }),
            "bulkUpdate" => json!({ "objects": objects, "operation": "AddFlag", "flags": { "flag": ["z"] } }),
            "bulkDelete" => json!({ "objects": objects }),
            "folder" => json!({ "parentFolder": self.url("/folders/{folder}"), "name": "g" }),
            "name" => json!("h"),
            "targetSourceRef" => json!({
                "targetRef": { "resourceURL": self.url("/folders/{folder}") },
                "sourceRefs": { "folders": { "folderReference": [] }, "objects": objects } }),
            "nmsSubscription" => json!({ "callbackReference": { "notifyURL": self.channel["callbackURL"] } }),
            "nmsSubscriptionUpdate" => json!({ "duration": 5000 }),
            _ => json!({ "correlationId": "x" }),
        };
        json!({ root: fields })
    }

    async fn send(&self, method: Method, url: &str, headers: &[(&str, &str)], body: Option<String>) -> Answer {
        self.server.api.send(method, url, headers, body).await
    }

    async fn events(&self) -> i64 {
        self.sql.query_one("select count(*) from tocsin.events", &[]).await.unwrap().get(0)
    }
}

const IN_JSON: (&str, &str) = ("application/json", "{\"requestError\":");
const IN_XML: (&str, &str) = ("application/xml", "<?xml version=\"1.0\" encoding=\"UTF-8\"?><common:requestError ");

/// The `requestError` of an answer, which must be in the format asked for.
fn fault(answer: &Answer, (media, begin): (&str, &str)) -> Value {
    assert_eq!(answer.header("content-type"), media, "{}", answer.text);
    assert!(answer.text.starts_with(begin), "{}", answer.text);
    let document = match media {
        "application/xml" => {
            let (root, value) = xml::read(&answer.bytes).unwrap();
            json!({ root: value })
        }
        _ => answer.json(),
    };
    // In XML one of something is not told from the only one.
    let mut error = document["requestError"].clone();
    for pointer in ["/link/0", "/serviceException/variables/0"] {
        if let Some(only) = error.pointer(pointer).cloned() {
            *error.pointer_mut(pointer.strip_suffix("/0").unwrap()).unwrap() = only;
        }
    }
    error
}

#[tokio::test]
async fn every_verb_of_the_table_is_answered_in_either_format() {
    for (media, begin) in [("application/json", "{\""), ("application/xml", "<?xml ")] {
        let scene = Scene::new().await;
        for resource in &RESOURCES {
            for verb in resource.verbs {
                let (method, url, body) = scene.request(resource, verb);
                let body = match media {
                    "application/xml" => body.map(|body| xml::write(&serde_json::from_str(&body).unwrap())),
                    _ => body,
                };
                let headers = [("content-type", media), ("accept", media)];
                let answer = scene.send(method, &url, &headers, body).await;
                let what = format!("{} {}: {}", verb.0, resource.path, answer.text);
                match verb.2 {
                    Document(status) => {
                        assert_eq!((answer.status.as_u16(), answer.header("content-type")), (status, media), "{what}");
                        assert!(answer.text.starts_with(begin), "{what}");
                    }
                    Payload => {
                        let found = (answer.status.as_u16(), answer.header("content-type"), answer.text.as_str());
                        assert_eq!(found, (200, "image/png", "png"), "{what}");
                    }
                    Nothing => assert_eq!((answer.status.as_u16(), answer.text.as_str()), (204, ""), "{what}"),
                }
                let created = answer.status == 201;
                assert_eq!(answer.header("location").starts_with(&scene.server.api.url), created, "{what}");
            }
        }
        scene.server.stop().await;
    }
}

#[tokio::test]
async fn verbs_that_a_resource_does_not_have_are_405_with_those_it_has() {
    let scene = Scene::new().await;
    let before = scene.events().await;
    let every = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS];
    for resource in &RESOURCES {
        let url = scene.url(resource.path);
        for method in &every {
            if resource.has(method) || *method == Method::HEAD && resource.has(&Method::GET) {
                continue;
            }
            let answer = scene.send(method.clone(), &url, &[], None).await;
            let found = (answer.status.as_u16(), answer.header("allow"), answer.text.as_str());
            assert_eq!(found, (405, resource.allow().as_str(), ""), "{method} {}", resource.path);
        }
    }
    assert_eq!(scene.events().await, before);
    scene.server.stop().await;
}

#[tokio::test]
async fn head_is_answered_as_get_is_without_the_body() {
    let scene = Scene::new().await;
    for resource in RESOURCES.iter().filter(|resource| resource.has(&Method::GET)) {
        let (_, url, _) = scene.request(resource, &resource.verbs[0]);
        let get = scene.send(Method::GET, &url, &[], None).await;
        let head = scene.send(Method::HEAD, &url, &[], None).await;
        assert_eq!((head.status, head.text.as_str()), (get.status, ""), "{}", resource.path);
        assert_eq!(head.header("content-type"), get.header("content-type"), "{}", resource.path);
    }
    scene.server.stop().await;
}

#[tokio::test]
async fn a_client_that_reads_neither_format_gets_406_before_anything_is_done() {
    let scene = Scene::new().await;
    let before = scene.events().await;
    for resource in &RESOURCES {
        for verb in resource.verbs {
            let (method, url, body) = scene.request(resource, verb);
            let headers = [("content-type", "application/json"), ("accept", "image/png, text/html")];
            if let Document(_) = verb.2 {
                let answer = scene.send(method, &url, &headers, body).await;
                let found = (answer.status.as_u16(), answer.fault());
                assert_eq!(found, (406, ("SVC0002".to_owned(), vec!["Accept".to_owned()])), "{} {url}", verb.0);
            } else if verb.2 == Payload {
                let answer = scene.send(method, &url, &[("accept", "application/json")], body).await;
                assert_eq!((answer.status.as_u16(), answer.text.as_str()), (200, "png"), "of its own type");
            }
        }
    }
    assert_eq!(scene.events().await, before);
    scene.server.stop().await;
}

#[tokio::test]
async fn an_accept_that_says_nothing_gets_the_format_of_the_request() {
    let scene = Scene::new().await;
    let url = scene.url("/objects/operations/search");
    let xml = "<selectionCriteria><maxEntries>1</maxEntries></selectionCriteria>";
    for (content_type, body, answered) in [
        ("application/json", r#"{"selectionCriteria":{"maxEntries":1}}"#, "application/json"),
        ("application/xml", xml, "application/xml"),
        ("text/xml; charset=utf-8", xml, "application/xml"),
    ] {
        for accept in [None, Some(""), Some("*/*")] {
            let headers: Vec<_> =
                [("content-type", content_type)].into_iter().chain(accept.map(|accept| ("accept", accept))).collect();
            let answer = scene.send(Method::POST, &url, &headers, Some(body.to_owned())).await;
            assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, answered), "{accept:?}");
        }
    }
    scene.server.stop().await;
}

#[tokio::test]
async fn bodies_that_are_neither_or_broken_are_415_and_400() {
    let scene = Scene::new().await;
    let before = scene.events().await;
    for resource in &RESOURCES {
        for verb in resource.verbs.iter().filter(|verb| verb.1.is_some()) {
            let (method, url, body) = scene.request(resource, verb);
            for answered in [IN_JSON, IN_XML] {
                let broken = if answered == IN_JSON { "{\"" } else { "<a><b></a>" };
                for (content_type, body, status, part) in [
                    ("text/plain", body.clone().unwrap(), 415, "Content-Type"),
                    ("application/x-www-form-urlencoded", "a=b".to_owned(), 415, "Content-Type"),
                    (answered.0, broken.to_owned(), 400, "Request-Body"),
                ] {
                    let headers = [("content-type", content_type), ("accept", answered.0)];
                    let answer = scene.send(method.clone(), &url, &headers, Some(body)).await;
                    assert_eq!(answer.status.as_u16(), status, "{} {url}: {}", verb.0, answer.text);
                    let expected = json!({ "serviceException": { "messageId": "SVC0002",
                        "text": "Invalid input value for message part %1", "variables": part } });
                    assert_eq!(fault(&answer, answered), expected, "{} {url}", verb.0);
                }
            }
        }
    }
    assert_eq!(scene.events().await, before);
    scene.server.stop().await;
}

#[tokio::test]
async fn what_is_not_there_is_svc0004_with_a_link_to_it() {
    let scene = Scene::new().await;
    write(&scene.sql, "b", 1).await;
    let plain: i64 = scene.sql.query_one("select max(id) from tocsin.messages", &[]).await.unwrap().get(0);
    let without_payload = format!("/objects/{plain}/payload");
    let without_parts = format!("/objects/{plain}/payloadParts/p1");
    let before = scene.events().await;
    for (path, verbs, rel) in [
        ("/objects/999", "GET, DELETE", "object"),
        ("/objects/operations", "GET, DELETE", "object"),
        ("/objects/999/flags", "GET, PUT", "object"),
        ("/objects/999/flags/x", "GET, PUT, DELETE", "object"),
        ("/objects/999/payload", "GET", "payload"),
        ("/objects/999/payloadParts/p1", "GET", "payload"),
        (&without_payload, "GET", "payload"),
        (&without_parts, "GET", "payload"),
        ("/objects/{object}/payloadParts/p9", "GET", "payloadPart"),
        ("/objects/{object}/payloadParts/x", "GET", "payloadPart"),
        ("/objects/operations/pathToId", "GET", "object"),
        ("/objects/operations/pathToId?path=/f/1", "GET", "object"),
        ("/folders/999", "GET, DELETE", "folder"),
        ("/folders/operations", "GET, DELETE", "folder"),
        ("/folders/999/folderName", "GET, PUT", "folder"),
        ("/folders/operations/pathToId?path=/g", "GET", "folder"),
        ("/subscriptions/999", "GET, POST, DELETE", "NmsSubscription"),
        ("", "GET", "resource"),
        ("/objects/", "GET", "resource"),
        ("/objects/{object}/path", "GET", "resource"),
        ("/objects/{object}/flags/x/y", "GET", "resource"),
        ("/objects/operations/other", "GET, POST", "resource"),
        ("/folders/", "GET", "resource"),
        ("/folders/root/name", "GET", "resource"),
        ("/folders/root/folderName/x", "GET", "resource"),
        ("/folders/operations/other", "POST", "resource"),
    ] {
        let url = scene.url(path);
        let href = format!("{}{}", scene.server.api.url, url.split('?').next().unwrap());
        for verb in verbs.split(", ") {
            let body = match (path, verb) {
                (_, "GET" | "DELETE") => None,
                ("/folders/999/folderName", _) => Some(json!({ "name": "x" })),
                ("/objects/999/flags", _) => Some(json!({ "flagList": { "flag": [] } })),
                _ => Some(json!({ "nmsSubscriptionUpdate": { "duration": 5 } })),
            };
            for answered in [IN_JSON, IN_XML] {
                let headers = [("content-type", "application/json"), ("accept", answered.0)];
                let body = body.as_ref().map(Value::to_string);
                let answer = scene.send(verb.parse().unwrap(), &url, &headers, body).await;
                assert_eq!(answer.status.as_u16(), 404, "{verb} {path}: {}", answer.text);
                let expected = json!({
                    "link": { "rel": rel, "href": href },
                    "serviceException": { "messageId": "SVC0004",
                        "text": "No valid addresses provided in message part %1", "variables": "Request-URI" } });
                assert_eq!(fault(&answer, answered), expected, "{verb} {path}");
            }
        }
    }
    assert_eq!(scene.events().await, before);
    scene.server.stop().await;
}

#[tokio::test]
async fn without_the_database_a_request_is_to_be_made_again() {
    let scene = Scene::new().await;
    let (admin, url) = (connect(cluster().url()).await, scene.url("/objects/{object}"));
    let name: String = scene.sql.query_one("select current_database()::text", &[]).await.unwrap().get(0);
    let allow = async |allowed: bool| {
        admin.batch_execute(&format!("alter database {name} allow_connections {allowed}")).await.unwrap();
    };
    allow(false).await;
    let cut = "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1";
    admin.execute(cut, &[&name]).await.unwrap();
    for answered in [IN_JSON, IN_XML] {
        let answer = scene.send(Method::GET, &url, &[("accept", answered.0)], None).await;
        assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, "1"), "{}", answer.text);
        assert_eq!(fault(&answer, answered)["serviceException"]["messageId"], "SVC2001");
    }
    allow(true).await;
    eventually("it is back", async || (scene.server.api.get(&url).await.status == 200).then_some(())).await;
    scene.server.stop().await;
}
