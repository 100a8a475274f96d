//! Objects, their flags, and searches.

use tocsin::client::{Attribute, NewObject, Search};

use super::*;

#[tokio::test]
async fn an_object_is_created_flagged_found_and_deleted() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let client = Client::new(&server.api.url).unwrap();
    let of = client.store_box("default", "tel:+1 ü");
    let new = NewObject {
        folder_path: Some("/main".into()),
        attributes: vec![Attribute { name: "Subject".into(), value: vec!["Lunch".into()] }],
        flags: vec!["\\Flagged".into()],
        correlation_id: Some("m-1".into()),
    };
    let url = of.create_object(&new).await.unwrap();
    let object = client.object(&url).await.unwrap().unwrap();
    assert_eq!((&object.resource_url, &object.flags, object.attribute("subject")), (&url, &new.flags, Some("Lunch")));
    assert!(object.path.starts_with("/main/"), "{}", object.path);
    assert_eq!(object.correlation_id.as_deref(), Some("m-1"));

    assert!(client.set_flag(&url, "\\Seen").await.unwrap());
    assert!(!client.set_flag(&url, "\\Seen").await.unwrap(), "it was set already");
    let seen = Search { filter: Some(Filter::all([Criterion::flag("\\Seen", true)])), ..Search::default() };
    assert_eq!(of.search(&seen).await.unwrap().objects[0].resource_url, url);
    assert!(client.remove_flag(&url, "\\Seen").await.unwrap());
    assert!(!client.remove_flag(&url, "\\Seen").await.unwrap());
    assert_eq!(of.search(&seen).await.unwrap().objects, []);
    let flags = client.replace_flags(&url, &["a", "b"]).await.unwrap();
    assert_eq!(flags.unwrap(), ["a", "b"]);

    assert!(client.delete(&url).await.unwrap());
    assert!(!client.delete(&url).await.unwrap());
    assert_eq!(client.object(&url).await.unwrap(), None);
    assert_eq!(client.replace_flags(&url, &[]).await.unwrap(), None);
    assert_eq!(client.set_flag(&url, "x").await.unwrap_err().status(), Some(404));
    server.stop().await;
}

#[tokio::test]
async fn a_search_goes_on_with_its_cursor() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let client = Client::new(&server.api.url).unwrap();
    send(&database, "b", 1..=5).await;
    let of = client.store_box("default", "b");
    let mut search = Search { max_entries: Some(2), ..Search::default() };
    let mut sizes = Vec::new();
    loop {
        let found = of.search(&search).await.unwrap();
        sizes.push(found.objects.len());
        search.cursor = found.cursor;
        if search.cursor.is_none() {
            break;
        }
    }
    assert_eq!(sizes.iter().sum::<usize>(), 5, "{sizes:?}");
    assert!(sizes.iter().all(|size| *size <= 2), "{sizes:?}");
    server.stop().await;
}
