//! Bytes that nobody has are removed, and no others.

use super::*;
use crate::support::postgres::Database;
use crate::support::server::Server;

const SWEEP: &str = "select tocsin.sweep_payloads(0, 1000)";
const AGE: &str = "update tocsin.payloads set touched_at = now() - interval '61 minutes'";

async fn hashes(sql: &Client) -> Vec<Option<String>> {
    let rows = sql.query("select hash from tocsin.payloads order by id", &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn an_hour_after_the_last_object_went_its_payload_goes() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let (api, sql) = (&server.api, database.connect().await);
    let one = created(api, json!({}), "Content-Type: image/png", b"shared").await;
    let other = created(api, json!({}), "Content-Type: image/png", b"shared").await;
    let alone = created(api, json!({}), "Content-Type: image/png", b"alone").await;
    sql.batch_execute("insert into tocsin.payloads default values").await.unwrap(); // an upload
    api.delete(text(&one, "resourceURL")).await;
    api.delete(text(&alone, "resourceURL")).await;
    sql.batch_execute(SWEEP).await.unwrap();
    assert_eq!(payloads(&sql).await, 3, "not yet");
    sql.batch_execute(AGE).await.unwrap();
    // Page by page.
    let mut after = Some(0_i64);
    let mut pages = 0;
    while let Some(id) = after {
        after = sql.query_one("select tocsin.sweep_payloads($1, 1)", &[&id]).await.unwrap().get(0);
        pages += 1;
    }
    assert_eq!((payloads(&sql).await, pages), (1, 4));
    assert_eq!(api.get(text(&other, "payloadURL")).await.text, "shared");
    api.delete(text(&other, "resourceURL")).await;
    sql.batch_execute(&format!("{AGE}; {SWEEP}")).await.unwrap();
    let chunks: i64 = sql.query_one("select count(*) from tocsin.payload_chunks", &[]).await.unwrap().get(0);
    assert_eq!((payloads(&sql).await, chunks), (0, 0));
    server.stop().await;
}

#[tokio::test]
async fn a_sweep_waits_for_one_who_takes_the_payload_again() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let sql = database.connect().await;
    let object = created(&server.api, json!({}), "Content-Type: image/png", b"x").await;
    server.api.delete(text(&object, "resourceURL")).await;
    sql.batch_execute(AGE).await.unwrap();
    let (hash, sweeper) = (hashes(&sql).await[0].clone().unwrap(), database.connect().await);
    let pid: i32 = sweeper.query_one("select pg_backend_pid()", &[]).await.unwrap().get(0);
    let take = "select tocsin.create_object('default/tel:+1', null, null,
        jsonb_build_object('attributes', '{}'::jsonb, 'payload', jsonb_build_object('hash', $1::text, 'size', 1, 'type', 'a/b')), $2)";
    let upload: i64 =
        sql.query_one("insert into tocsin.payloads default values returning id", &[]).await.unwrap().get(0);
    sql.batch_execute("begin").await.unwrap();
    sql.query(take, &[&hash, &upload]).await.unwrap();
    let sweeping = tokio::spawn(async move { sweeper.batch_execute(SWEEP).await.unwrap() });
    let observer = database.connect().await;
    let waits = "select wait_event_type is not distinct from 'Lock' from pg_stat_activity where pid = $1";
    crate::support::eventually("the sweep waits", async || {
        observer.query_one(waits, &[&pid]).await.unwrap().get::<_, bool>(0).then_some(())
    })
    .await;
    sql.batch_execute("commit").await.unwrap();
    sweeping.await.unwrap();
    assert_eq!(hashes(&sql).await, [Some(hash)]);
    server.stop().await;
}

#[tokio::test]
async fn one_who_comes_after_a_sweep_keeps_its_own_bytes() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let (api, sql) = (&server.api, database.connect().await);
    let object = created(api, json!({}), "Content-Type: image/png", b"x").await;
    api.delete(text(&object, "resourceURL")).await;
    sql.batch_execute(&format!("{AGE}; begin; {SWEEP}")).await.unwrap();
    let (created, ()) = tokio::join!(created(api, json!({}), "Content-Type: image/png", b"x"), async {
        let waits = "select exists (select from pg_locks where not granted)";
        crate::support::eventually("the upload waits", async || {
            sql.query_one(waits, &[]).await.unwrap().get::<_, bool>(0).then_some(())
        })
        .await;
        sql.batch_execute("commit").await.unwrap();
    });
    assert_eq!(api.get(text(&created, "payloadURL")).await.text, "x");
    assert_eq!(payloads(&sql).await, 1);
    server.stop().await;
}
