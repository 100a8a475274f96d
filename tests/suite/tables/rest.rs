//! Rows of watched tables over HTTP.

use reqwest::Method;

use super::*;
use crate::support::client::Answer;
use crate::support::server::Server;

async fn served() -> (Database, Server, Client) {
    let (database, sql) = watched("key => 'id', box => 'movies', columns => '{title,premiere}'").await;
    run(&sql, "insert into movies select i, 't' || i, 'hidden', date '2026-01-01' + i from generate_series(1, 7) i")
        .await;
    let server = Server::start(&database).await;
    (database, server, sql)
}

fn is_fault(answer: &Answer, status: u16, code: &str, variable: &str) {
    assert_eq!(
        (answer.status.as_u16(), answer.fault()),
        (status, (code.to_owned(), vec![variable.to_owned()])),
        "{}",
        answer.text
    );
}

#[tokio::test]
async fn watched_tables_are_listed() {
    let (_database, server, sql) = served().await;
    run(&sql, "create schema sales; create table sales.orders (id int primary key, state text)").await;
    run(&sql, "select tocsin.watch('sales.orders', 'id', 'shop/orders', null, '{insert}', 'new.state is not null')")
        .await;
    let listed = server.api.get("/api/tables").await.json();
    let url = |name: &str| format!("{}/api/tables/{name}", server.api.url);
    let movies = json!({ "name": "movies", "key": ["id"], "box": "movies", "columns": ["title", "premiere"],
        "operations": ["insert", "update", "delete"], "when": null, "fault": null, "rows": url("movies") });
    let orders = json!({ "name": "sales.orders", "key": ["id"], "box": "shop/orders", "columns": null,
        "operations": ["insert"], "when": "new.state is not null", "fault": null, "rows": url("sales.orders") });
    assert_eq!(listed, json!({ "results": [movies, orders] }));
    run(&sql, "insert into sales.orders values (1, 'new')").await;
    for name in ["sales.orders", "public.movies", "movies"] {
        assert_eq!(server.api.get(&url(name)).await.status, 200, "{name}");
    }
    server.stop().await;
}

#[tokio::test]
async fn rows_are_paged_by_their_key() {
    let (_database, server, sql) = served().await;
    let mut url = "/api/tables/movies?limit=3".to_owned();
    let mut ids = Vec::new();
    loop {
        let page = server.api.get(&url).await.json();
        let rows = page["results"].as_array().unwrap();
        ids.push(rows.iter().map(|row| row["id"].as_i64().unwrap()).collect::<Vec<_>>());
        match page["next"].as_str() {
            Some(next) => url = next.to_owned(),
            None => break,
        }
        run(&sql, "delete from movies where id = 2").await; // what goes meanwhile shifts nothing
    }
    assert_eq!(ids, [vec![1, 2, 3], vec![4, 5, 6], vec![7]]);
    let row = server.api.get("/api/tables/movies/7").await.json();
    assert_eq!(row, json!({ "id": 7, "title": "t7", "premiere": "2026-01-08" }), "only what is watched is seen");
    for (query, part) in [("limit=0", "limit"), ("limit=x", "limit"), ("after=x", "after"), ("after=%00", "after")] {
        is_fault(&server.api.get(&format!("/api/tables/movies?{query}")).await, 400, "SVC0002", part);
    }
    server.stop().await;
}

#[tokio::test]
async fn keys_of_several_columns_and_of_any_text_can_be_named() {
    let (_database, server, sql) = served().await;
    run(
        &sql,
        "create table seats (hall int, seat text, taken bool, primary key (hall, seat));
         create table words (word text primary key);
         select tocsin.watch('seats', 'hall,seat', 'b'), tocsin.watch('words', 'word', 'b');
         insert into seats values (1, 'a b', false), (1, 'b', false), (2, 'a', true);
         insert into words values ('a,b/c?'), ('x%'' or 1=1 --'), ('ü')",
    )
    .await;
    let page = server.api.get("/api/tables/seats?limit=1").await.json();
    let next = page["next"].as_str().unwrap();
    assert!(next.ends_with("?limit=1&after=1%2Ca%20b"), "{next}");
    assert_eq!(server.api.get(next).await.json()["results"][0]["seat"], "b");
    let taken = server.api.put("/api/tables/seats/1,b", json!({ "taken": true })).await;
    assert_eq!(taken.json(), json!({ "hall": 1, "seat": "b", "taken": true }));
    for key in ["1", "1,b,c", "x,b", ""] {
        assert_eq!(server.api.get(&format!("/api/tables/seats/{key}")).await.status, 404, "{key}");
    }
    for (key, word) in [("a%2Cb%2Fc%3F", "a,b/c?"), ("x%25%27%20or%201%3D1%20--", "x%' or 1=1 --"), ("%C3%BC", "ü")] {
        assert_eq!(server.api.get(&format!("/api/tables/words/{key}")).await.json(), json!({ "word": word }));
    }
    server.stop().await;
}

#[tokio::test]
async fn a_row_is_changed_and_told_of() {
    let (_database, server, sql) = served().await;
    let answer = server.api.put("/api/tables/movies/3", json!({ "premiere": "2027-01-01", "title": "new" })).await;
    assert_eq!(
        (answer.status.as_u16(), answer.json()),
        (200, json!({ "id": 3, "title": "new", "premiere": "2027-01-01" }))
    );
    let last = told(&sql, "movies").await.pop().unwrap();
    assert_eq!((&last["old.title"], &last["old.premiere"]), (&json!("t3"), &json!("2026-01-04")));
    let events = told(&sql, "movies").await.len();
    assert_eq!(server.api.put("/api/tables/movies/3", json!({})).await.json()["title"], "new");
    assert_eq!(server.api.put("/api/tables/movies/3", json!({ "title": "new" })).await.status, 200);
    assert_eq!(told(&sql, "movies").await.len(), events, "nothing changed");
    let cleared = server.api.put("/api/tables/movies/3", json!({ "premiere": null })).await;
    assert_eq!(cleared.json()["premiere"], Value::Null);
    let moved = server.api.put("/api/tables/movies/3", json!({ "id": 30 })).await;
    assert_eq!(moved.json()["id"], 30);
    assert_eq!(kinds(&sql, "movies").await.split_off(events + 1), ["row.deleted 3", "row.inserted 30"]);
    server.stop().await;
}

#[tokio::test]
async fn a_number_keeps_all_its_digits() {
    let (_database, server, sql) = served().await;
    run(&sql, "create table sums (id int primary key, n numeric); select tocsin.watch('sums', 'id', 'b'); insert into sums values (1)").await;
    let headers = [("content-type", "application/json")];
    let body = r#"{"n":12345678901234567890.1234567890}"#;
    let answer = server.api.send(Method::PUT, "/api/tables/sums/1", &headers, Some(body.to_owned())).await;
    assert!(answer.text.contains("12345678901234567890.1234567890"), "{}", answer.text);
    server.stop().await;
}

#[tokio::test]
async fn a_change_that_cannot_be_is_refused_and_named() {
    let (_database, server, sql) = served().await;
    run(
        &sql,
        "create domain rating as int check (value between 1 and 5);
         alter table movies add stars rating, add code varchar(3), add double int generated always as (id * 2) stored,
                            add check (premiere > '2000-01-01');
         select tocsin.watch('movies', 'id', 'movies', '{title,premiere,stars,code,double}')",
    )
    .await;
    for (change, part) in [
        (json!({ "title": "x", "no": 1 }), "no"),
        (json!({ "director": "seen by nobody" }), "director"),
        (json!({ "premiere": "tomorrow or so" }), "premiere"),
        (json!({ "premiere": [] }), "premiere"),
        (json!({ "id": "x" }), "id"),
        (json!({ "id": 1.5 }), "id"),
        (json!({ "title": null }), "title"),
        (json!({ "stars": 6 }), "stars"),
        (json!({ "code": "abcd" }), "code"),
        (json!({ "title\" = 'x' --": "x" }), "title\" = 'x' --"),
    ] {
        is_fault(&server.api.put("/api/tables/movies/1", change).await, 400, "SVC0002", part);
    }
    for (change, rule) in [
        (json!({ "premiere": "1999-01-01" }), "violates check constraint"),
        (json!({ "id": 2 }), "duplicate key value violates unique constraint"),
        (json!({ "double": 7 }), "can only be updated to DEFAULT"),
    ] {
        let answer = server.api.put("/api/tables/movies/1", change).await;
        let (code, variables) = answer.fault();
        assert!(answer.status == 403 && code == "POL0001" && variables[0].contains(rule), "{}", answer.text);
    }
    for body in ["[]", "7", "{", "", "null", r#"{"title":"a\u0000b"}"#] {
        let headers = [("content-type", "application/json")];
        let answer = server.api.send(Method::PUT, "/api/tables/movies/1", &headers, Some(body.to_owned())).await;
        is_fault(&answer, 400, "SVC0002", "Request-Body");
    }
    let headers = [("content-type", "application/xml"), ("accept", "application/json")];
    let answer = server.api.send(Method::PUT, "/api/tables/movies/1", &headers, Some("<title/>".to_owned())).await;
    is_fault(&answer, 415, "SVC0002", "Content-Type");
    assert_eq!(server.api.get("/api/tables/movies/1").await.json()["title"], "t1");
    server.stop().await;
}

#[tokio::test]
async fn what_is_not_there_is_404_and_verbs_that_are_not_405() {
    let (_database, server, sql) = served().await;
    run(&sql, "create table secret (id int primary key); insert into secret values (1)").await;
    for path in [
        "movies/99",
        "movies/x",
        "movies/1%20or%201=1",
        "movies/%00",
        "secret",
        "secret/1",
        "tocsin.events",
        "pg_class",
        "movies%3B%20drop%20table%20movies",
        "movies%22%20--",
        "%22movies%22",
        "MOVIES",
        "movies%00",
    ] {
        is_fault(&server.api.get(&format!("/api/tables/{path}")).await, 404, "SVC0004", "Request-URI");
        if path.contains('/') {
            is_fault(&server.api.put(&format!("/api/tables/{path}"), json!({})).await, 404, "SVC0004", "Request-URI");
        }
    }
    let answer = server.api.delete("/api/tables/movies/1").await;
    assert_eq!((answer.status.as_u16(), answer.header("allow")), (405, "GET, PUT"));
    run(&sql, "select tocsin.unwatch('movies')").await;
    is_fault(&server.api.get("/api/tables/movies").await, 404, "SVC0004", "Request-URI");
    assert_eq!(count(&sql, "select count(*) from movies where director = 'hidden'").await, 7);
    server.stop().await;
}
