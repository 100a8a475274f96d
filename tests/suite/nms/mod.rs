//! The NMS API: subscriptions and what they deliver, restartTokens, filters, objects.

mod filters;
mod flags;
mod model;
mod objects;
mod retention;
mod subscriptions;
mod tokens;

use serde_json::Value;
use tocsin::log::event::token;
use tokio_postgres::Client;

/// A field that is a text.
fn text<'a>(resource: &'a Value, field: &str) -> &'a str {
    resource[field].as_str().unwrap()
}

/// Writes messages into a box, in one transaction.
async fn write(sql: &Client, box_id: &str, count: i64) {
    let insert = format!(
        "insert into tocsin.messages (box_id, body) select '{box_id}', i::text from generate_series(1, {count}) as i"
    );
    sql.batch_execute(&insert).await.unwrap();
}

/// The box's present restartToken.
async fn head(sql: &Client, box_id: &str) -> String {
    let stream = format!("default/{box_id}");
    token(sql.query_one("select head_at from tocsin.streams where stream = $1", &[&stream]).await.unwrap().get(0))
}
