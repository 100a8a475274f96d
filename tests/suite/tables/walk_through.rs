//! The walk-through of docs/TABLES.md and scripts/movies.sh.

use futures_util::SinkExt;

use super::*;
use crate::support::client::Socket;
use crate::support::server::Server;

#[tokio::test]
async fn who_follows_a_film_learns_that_its_premiere_moves() {
    let (database, sql) = movies().await;
    let sink = sql.copy_in("copy movies from stdin with (format csv, header)").await.unwrap();
    let mut sink = std::pin::pin!(sink);
    let csv = include_bytes!("../../../examples/movies/movies.csv");
    sink.send(std::io::Cursor::new(csv.to_vec())).await.unwrap();
    assert_eq!(sink.finish().await.unwrap(), 20);
    run(&sql, WATCH).await;

    let server = Server::start(&database).await;
    let rows = server.api.get("/api/tables/movies?limit=3").await.json();
    assert_eq!(rows["results"][2]["title"], "Nine Bells");

    let channel = server.api.channel("alice").await;
    let wish = json!({ "filter": with_attribute("key", "8"), "x-attributes": true });
    server.api.subscribe_with("movies", &channel, wish).await;
    let mut socket = Socket::open(&channel).await;

    let answer = server.api.put("/api/tables/movies/8", json!({ "premiere": "2026-06-19" })).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["premiere"]), (200, &json!("2026-06-19")));
    let list = socket.list().await;
    assert_eq!(carried(&list, "title"), json!(["The Cartographer"]));
    assert_eq!(
        (carried(&list, "old.premiere"), carried(&list, "premiere")),
        (json!(["2026-06-12"]), json!(["2026-06-19"]))
    );

    run(&sql, "update movies set premiere = premiere + 7").await; // all of them
    let list = socket.list().await;
    assert_eq!(
        (carried(&list, "old.premiere"), carried(&list, "premiere")),
        (json!(["2026-06-19"]), json!(["2026-06-26"]))
    );
    server.stop().await;
}
