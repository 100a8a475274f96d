//! Table events on their way to clients: filters on columns, values carried along, restarts, nodes and racing writers.

use reqwest::Method;

use super::*;
use crate::support::client::{Api, Socket};
use crate::support::server::Server;

async fn served() -> (Database, Server, Client) {
    let (database, sql) = watched("key => 'id', box => 'movies'").await;
    let server = Server::start(&database).await;
    (database, server, sql)
}

/// A channel subscribed to the movies, with these fields and the values carried along; and its socket.
async fn follow(api: &Api, mut fields: Value) -> (Value, Socket) {
    fields["x-attributes"] = json!(true);
    let channel = api.channel("alice").await;
    let subscription = api.subscribe_with("movies", &channel, fields).await;
    assert_eq!(subscription["x-attributes"], true, "it is echoed");
    (subscription, Socket::open(&channel).await)
}

#[tokio::test]
async fn filters_look_at_columns_and_at_old_values() {
    let (_database, server, sql) = served().await;
    let (_, mut by_key) = follow(&server.api, json!({ "filter": with_attribute("key", "2") })).await;
    let (_, mut by_genre) = follow(&server.api, json!({ "filter": with_attribute("Genre", "War") })).await;
    let (_, mut by_old) = follow(&server.api, json!({ "filter": with_attribute("old.genre", "War") })).await;
    run(&sql, "insert into movies (id, title, genre) values (1, 'a', 'War'), (2, 'b', 'Crime')").await;
    run(&sql, "update movies set genre = 'Drama'").await;
    run(&sql, "delete from movies").await;
    let mut kinds = Vec::new();
    for list in by_key.lists(3).await {
        kinds.push(carried(&list, "Event-Kind")[0].clone());
    }
    assert_eq!(kinds, ["row.inserted", "row.updated", "row.deleted"]);
    assert_eq!(carried(&by_genre.list().await, "key"), json!(["1"]));
    let changed = by_old.list().await;
    assert_eq!((carried(&changed, "genre"), carried(&changed, "old.genre")), (json!(["Drama"]), json!(["War"])));
    server.stop().await;
}

#[tokio::test]
async fn only_who_asks_for_attributes_gets_them() {
    let (_database, server, sql) = served().await;
    let (_, mut with) = follow(&server.api, json!({})).await;
    let plain = server.api.channel("bob").await;
    let subscription = server.api.subscribe("movies", &plain).await;
    assert_eq!(subscription.get("x-attributes"), None);
    let mut without = Socket::open(&plain).await;
    run(&sql, "insert into movies (id, title, premiere) values (1, 'a < b', null)").await;
    let (list, bare) = (with.list().await, without.list().await);
    let (mut told, untold) = (list.events[0].clone(), bare.events[0].clone());
    assert_eq!((carried(&list, "title"), carried(&list, "premiere")), (json!(["a < b"]), json!([])));
    told["changedObject"].as_object_mut().unwrap().remove("attributes").expect("they are there");
    assert_eq!(told["changedObject"]["resourceURL"], untold["changedObject"]["resourceURL"]);
    assert_eq!(told, untold, "nothing else differs");
    // An object is deleted: its last state is carried.
    let url = told["changedObject"]["resourceURL"].as_str().unwrap();
    assert_eq!(server.api.delete(url).await.status, 204);
    let gone = with.list().await;
    assert_eq!((gone.kind(), carried(&gone, "title")), ("deletedObject", json!(["a < b"])));
    assert_eq!(without.list().await.events[0]["deletedObject"].get("attributes"), None);
    server.stop().await;
}

#[tokio::test]
async fn attributes_come_in_xml_as_well() {
    let (_database, server, sql) = served().await;
    let channel = server.api.channel("alice").await;
    let callback = channel["callbackURL"].as_str().unwrap();
    let body = format!(
        "<nmsSubscription><callbackReference><notifyURL>{callback}</notifyURL><notificationFormat>XML</notificationFormat>
         </callbackReference><x-attributes>true</x-attributes></nmsSubscription>"
    );
    let headers = [("content-type", "application/xml"), ("accept", "application/xml")];
    let made = server.api.send(Method::POST, "/nms/v1/default/movies/subscriptions", &headers, Some(body)).await;
    assert!(made.status == 201 && made.text.contains("<x-attributes>true</x-attributes>"), "{}", made.text);
    let mut socket = Socket::open(&channel).await;
    run(&sql, "insert into movies (id, title) values (1, 'a < b')").await;
    let frame = socket.frame().await;
    let title = "<attribute><name>title</name><value>a &lt; b</value></attribute>";
    assert!(frame.contains(title) && frame.contains("<attribute><name>premiere</name></attribute>"), "{frame}");
    server.stop().await;
}

#[tokio::test]
async fn what_cannot_be_understood_of_x_attributes_is_refused() {
    let (_database, server, _sql) = served().await;
    let channel = server.api.channel("alice").await;
    let wish = json!({ "nmsSubscription": { "callbackReference": { "notifyURL": channel["callbackURL"] }, "x-attributes": "maybe" } });
    let answer = server.api.post("/nms/v1/default/movies/subscriptions", wish).await;
    assert_eq!(
        (answer.status.as_u16(), answer.fault()),
        (400, ("SVC0003".to_owned(), vec!["x-attributes".to_owned(), "true, false".to_owned()]))
    );
    server.stop().await;
}

#[tokio::test]
async fn a_client_resumes_from_its_token_after_a_restart_of_the_server() {
    let (database, server, sql) = served().await;
    let (subscription, mut socket) = follow(&server.api, json!({ "filter": with_attribute("old.title", "b") })).await;
    let token = subscription["restartToken"].clone();
    run(
        &sql,
        "insert into movies (id, title) select i, 'a' from generate_series(1, 20) i; update movies set title = 'b'",
    )
    .await;
    run(&sql, "update movies set title = 'c' where id <= 10").await;
    let first = socket.lists(10).await;
    socket.vanish();
    server.stop().await;
    run(&sql, "update movies set title = 'd' where id > 10").await; // while no server is there
    let server = Server::start(&database).await;
    let resumed = json!({ "filter": with_attribute("old.title", "b"), "restartToken": token });
    let (_, mut again) = follow(&server.api, resumed).await;
    let all = again.lists(20).await;
    for (n, list) in all.iter().enumerate() {
        assert_eq!((list.index, carried(list, "key")), (n as i64 + 1, json!([(n + 1).to_string()])));
    }
    let tokens =
        |lists: &[crate::support::client::EventList]| lists.iter().map(|list| list.token.clone()).collect::<Vec<_>>();
    assert_eq!(tokens(&all[..10]), tokens(&first), "the same events at the same places");
    server.stop().await;
}

#[tokio::test]
async fn two_nodes_tell_the_same_of_what_two_writers_do_at_once() {
    const ROWS: i64 = 60;
    let (database, sql) = watched("key => 'id', box => 'movies'").await;
    let (a, b) = (Server::start(&database).await, Server::start(&database).await);
    let (_, mut on_a) = follow(&a.api, json!({})).await;
    let (_, mut on_b) = follow(&b.api, json!({})).await;
    run(&sql, &format!("insert into movies (id, title) select i, '0' from generate_series(1, {ROWS}) i")).await;
    let mut writers = tokio::task::JoinSet::new();
    for (writer, order) in [(1, "asc"), (2, "desc")] {
        let sql = database.connect().await;
        writers.spawn(async move {
            for round in 1..=10 {
                // Several rows at a time, in one order, so that the two wait for each other and go on.
                let update = format!(
                    "update movies set title = '{writer}.{round}' where id in (select id from movies where id % 10 = {} order by id for update)",
                    if order == "asc" { round % 10 } else { (10 - round) % 10 }
                );
                run(&sql, &update).await;
            }
        });
    }
    writers.join_all().await;
    let events = ROWS + 2 * 10 * (ROWS / 10);
    let (told_a, told_b) = (on_a.lists(events as usize).await, on_b.lists(events as usize).await);
    let essence = |list: &crate::support::client::EventList| {
        (list.seq(), carried(list, "key"), carried(list, "old.title"), carried(list, "title"))
    };
    assert!(told_a.iter().map(essence).eq(told_b.iter().map(essence)));
    assert!(told_a.windows(2).all(|pair| pair[0].seq() < pair[1].seq()));
    // Of each row, each event begins with what the one before it ended with.
    let mut titles = std::collections::HashMap::new();
    for list in &told_a {
        let (key, title) = (carried(list, "key").to_string(), carried(list, "title"));
        let before = titles.insert(key, title);
        assert_eq!(before.unwrap_or(Value::Null), carried(list, "old.title"));
    }
    a.stop().await;
    b.stop().await;
}
