//! Objects expire by policy, and tombstones are kept for a while.

use std::time::Duration;

use serde_json::json;
use tocsin::config::Limits;
use tokio::time::sleep;

use super::{text, write};
use crate::support::client::Socket;
use crate::support::eventually;
use crate::support::postgres::Database;
use crate::support::server::Server;

#[tokio::test]
async fn objects_expire_by_age_and_their_box_is_told() {
    let database = Database::new().await;
    let sql = database.connect().await;
    write(&sql, "b", 3).await;
    sleep(Duration::from_millis(1100)).await;
    let limits = Limits { objects_expire_seconds: 1, ..Limits::default() };
    let server = Server::start_with(&database, limits).await;
    eventually("they expire", async || {
        let left = sql.query_one("select count(*) from tocsin.messages", &[]).await.unwrap();
        (left.get::<_, i64>(0) == 0).then_some(())
    })
    .await;
    let channel = server.api.channel("alice").await;
    let from = sql.query_one("select edited_at from tocsin.events where seq = 3", &[]).await.unwrap().get(0);
    let token = json!({ "restartToken": tocsin::log::event::token(from) });
    server.api.subscribe_with("b", &channel, token).await;
    let mut socket = Socket::open(&channel).await;
    for seq in 4..7 {
        let list = socket.list().await;
        assert_eq!((list.seq(), list.kind()), (seq, "expiredObject"));
        assert_eq!(server.api.get(text(&list.events[0]["expiredObject"], "resourceURL")).await.status, 404);
    }
    server.stop().await;
}

#[tokio::test]
async fn what_a_writer_holds_expires_later() {
    let database = Database::new().await;
    let (sql, writer) = (database.connect().await, database.connect().await);
    write(&sql, "a", 1).await;
    write(&sql, "b", 1).await;
    writer.batch_execute("begin; insert into tocsin.messages (box_id) values ('a')").await.unwrap();
    let expire = "select tocsin.expire_objects('0 seconds', 10)";
    assert_eq!(sql.query_one(expire, &[]).await.unwrap().get::<_, i32>(0), 1);
    writer.batch_execute("commit").await.unwrap();
    assert_eq!(sql.query_one(expire, &[]).await.unwrap().get::<_, i32>(0), 2);
}

#[tokio::test]
async fn tombstones_are_forgotten_when_they_are_old() {
    let database = Database::new().await;
    let sql = database.connect().await;
    write(&sql, "b", 3).await;
    let statements = "insert into tocsin.messages (box_id, folder) values ('b', 'f'); delete from tocsin.messages;
        select tocsin.end_folder('default/b', id, 'deleted') from tocsin.folders; insert into tocsin.messages (box_id) values ('b')";
    sql.batch_execute(statements).await.unwrap();
    let left = async || {
        let left = "select (select count(*) from tocsin.objects), (select count(*) from tocsin.folders)";
        let row = sql.query_one(left, &[]).await.unwrap();
        (row.get::<_, i64>(0), row.get::<_, i64>(1))
    };
    let forget = async |kept: &str| {
        let forget = format!("select tocsin.forget_tombstones('{kept}', 3)");
        sql.query_one(&forget, &[]).await.unwrap().get::<_, i64>(0)
    };
    assert_eq!((forget("1 hour").await, left().await), (0, (5, 1)));
    assert_eq!((forget("0 seconds").await, left().await), (3, (2, 0)));
    assert_eq!((forget("0 seconds").await, left().await), (1, (1, 0)));
}
