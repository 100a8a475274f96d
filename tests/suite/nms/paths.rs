//! From paths to ids.

use reqwest::Method;
use serde_json::{Value, json};
use tocsin::config::Limits;

use super::{Scene, is_fault};

/// What a bulkResponseList says of each item.
fn responses(body: &Value) -> &Vec<Value> {
    body["bulkResponseList"]["response"].as_array().unwrap()
}

#[tokio::test]
async fn an_object_is_found_by_its_path_and_by_no_other() {
    let scene = Scene::new().await;
    let inside = scene.object("/a b/ü+%").await;
    let (top, gone) = (scene.object("/").await, scene.object("/a b").await);
    assert_eq!(scene.sql.execute("delete from tocsin.messages where folder = '/a b'", &[]).await.unwrap(), 1);
    let id = |url: &str| url.rsplit('/').next().unwrap().to_owned();
    let found = async |query: &str| scene.get(&format!("/objects/operations/pathToId{query}")).await;
    for (query, url, path) in [
        (format!("?path=%2Fa%20b%2F%C3%BC%2B%25%2F{}", id(&inside)), &inside, format!("/a b/ü+%/{}", id(&inside))),
        (format!("?path=a+b/%C3%BC%2B%25/{}", id(&inside)), &inside, format!("/a b/ü+%/{}", id(&inside))),
        (format!("?path=/{}", id(&top)), &top, format!("/{}", id(&top))),
    ] {
        let expected = json!({ "reference": { "resourceURL": url, "path": path } });
        assert_eq!((found(&query).await.json()), expected, "{query}");
    }
    let moved = format!("/a b/{}", id(&inside));
    let (gone, folder) = (format!("/a b/{}", id(&gone)), "/a b".to_owned());
    let unknown = [moved, gone, folder, "/a b/ü+%/x".into(), format!("/{}/{0}", id(&top)), format!("/0{}", id(&top))];
    let malformed = ["", "/", "//", "/a b/", "/a\tb/1"].map(str::to_owned);
    for path in unknown.iter().chain(&malformed) {
        let encoded: String = url::form_urlencoded::byte_serialize(path.as_bytes()).collect();
        is_fault(&found(&format!("?path={encoded}")).await, 404, "SVC0004", &["Request-URI"]);
    }
    is_fault(&found("").await, 404, "SVC0004", &["Request-URI"]);
    let elsewhere = scene.url("/objects/operations/pathToId").replace("15550001111", "7");
    is_fault(&scene.server.api.get(&format!("{elsewhere}?path=/{}", id(&top))).await, 404, "SVC0004", &["Request-URI"]);

    let answer = scene.post("/objects/operations/pathToId", json!({ "path": unknown })).await.json();
    for (response, path) in responses(&answer).iter().zip(&unknown) {
        let fault = json!({ "serviceException": {
            "messageId": "SVC2008", "text": "Unknown %1 %2", "variables": ["path", path] } });
        assert_eq!(response, &json!({ "code": 404, "reason": "Not Found", "failure": fault }));
    }
    let answer = scene.post("/objects/operations/pathToId", json!({ "path": malformed })).await.json();
    for (response, path) in responses(&answer).iter().zip(&malformed) {
        let exception = &response["failure"]["serviceException"];
        assert_eq!(
            (&response["code"], &exception["messageId"], &exception["variables"]),
            (&json!(400), &json!("SVC0002"), &json!([path]))
        );
    }
    scene.end().await;
}

#[tokio::test]
async fn a_folder_is_found_by_its_path_and_the_root_folder_without_one() {
    let scene = Scene::new().await;
    let root = scene.url("/folders/root");
    let main = scene.folder(&root, "main").await;
    let sent = scene.folder(&main, "sent").await;
    let found = async |query: &str| scene.get(&format!("/folders/operations/pathToId{query}")).await;
    for query in ["", "?path=", "?path=/", "?path=%2F", "?resFormat=JSON"] {
        assert_eq!(found(query).await.json(), json!({ "reference": { "resourceURL": root, "path": null } }), "{query}");
    }
    for query in ["?path=/main/sent", "?path=main%2Fsent", "?x=y&path=%2fmain%2fsent"] {
        let expected = json!({ "reference": { "resourceURL": sent, "path": "/main/sent" } });
        assert_eq!(found(query).await.json(), expected, "{query}");
    }
    for query in ["?path=/sent", "?path=/main/Sent", "?path=/main//sent", "?path=/main/", "?path=/main/sent/x"] {
        is_fault(&found(query).await, 404, "SVC0004", &["Request-URI"]);
    }
    let paths = json!({ "pathList": { "path": ["/main/sent", null, "main", "/nowhere", "/main/", "/main"] } });
    let answer = scene.post("/folders/operations/pathToId", paths).await.json();
    let success = |url: &str, path: Value| json!({ "code": 200, "reason": "OK", "success": { "resourceURL": url, "path": path } });
    let list = responses(&answer);
    assert_eq!(list[0], success(&sent, json!("/main/sent")));
    assert_eq!(list[1], success(&root, Value::Null));
    assert_eq!(list[2], success(&main, json!("/main")));
    let fault = |n: usize| (list[n]["code"].clone(), list[n]["failure"]["serviceException"]["variables"].clone());
    assert_eq!(fault(3), (json!(404), json!(["path", "/nowhere"])));
    assert_eq!(fault(4), (json!(400), json!(["/main/"])));
    assert_eq!(list[5], list[2], "a path named twice is answered twice");
    let xml =
        scene.xml(Method::POST, "/folders/operations/pathToId", "<n:pathList xmlns:n='u'><path/></n:pathList>").await;
    assert!(xml.text.contains(&format!("<success><resourceURL>{root}</resourceURL><path/></success>")), "{}", xml.text);
    scene.end().await;
}

#[tokio::test]
async fn a_list_of_paths_is_neither_empty_nor_endless() {
    let scene = Scene::with(Limits { references_max: 3, ..Limits::default() }).await;
    for collection in ["objects", "folders"] {
        let path = format!("/{collection}/operations/pathToId");
        let post = async |body: Value| scene.post(&path, body).await;
        is_fault(&post(json!({ "pathList": { "path": [] } })).await, 400, "SVC0002", &["path"]);
        is_fault(&post(json!({ "pathList": {} })).await, 400, "SVC0002", &["path"]);
        is_fault(&post(json!({ "path": [{}] })).await, 400, "SVC0002", &["path"]);
        is_fault(&post(json!({ "path": ["a\u{0}"] })).await, 400, "SVC0002", &["path"]);
        is_fault(&post(json!({ "path": ["1", "2", "3", "4"] })).await, 403, "POL0001", &["a request may have 3 paths"]);
        assert_eq!(post(json!({ "path": ["1", "2", "3"] })).await.status, 200);
        assert_eq!(responses(&post(json!({ "path": "/1" })).await.json()).len(), 1);
    }
    scene.end().await;
}
