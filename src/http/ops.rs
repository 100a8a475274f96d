//! For those who run the server.

use std::time::Duration;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::state::App;
use crate::log::tailer::Mode;
use crate::postgres::migrate::Schema;
use crate::wire::schema;

/// The log is followed when it was read this lately: the slow poll is every second.
const TAIL_AGE_MAX: Duration = Duration::from_secs(5);
const NO_KEYS: &str = "none: no token can be verified";

/// The process lives.
#[utoipa::path(
    get, path = "/healthz", tag = "operations", operation_id = "live",
    responses((status = 200, body = String, content_type = "text/plain"))
)]
pub async fn healthz() -> &'static str {
    "ok\n"
}

/// It can do its job: the database answers and has our schema, the log is followed, keys are there, and the node is not
/// about to leave. 503 with the reasons otherwise.
#[utoipa::path(
    get, path = "/readyz", tag = "operations", operation_id = "ready",
    responses((status = 200, body = schema::tables::Readiness), (status = 503, body = schema::tables::Readiness))
)]
pub async fn readyz(app: App) -> Response {
    let database = look_at_database(&app).await;
    let reasons = reasons(&app, &database);
    let (mode, age) = (app.tail.mode(), app.tail.age());
    let (pool, round_trip) = (app.database.pool(), app.metrics.doorbell_round_trip.get());
    let seen = database.as_ref().ok();
    let body = json!({
        "ready": reasons.is_empty(),
        "reasons": reasons,
        "draining": is_draining(&app),
        "database": database.as_ref().map_or_else(String::as_str, |_| "ok"),
        "schema": { "version": seen.map(|seen| seen.schema.there), "ofThisProgram": seen.map(|seen| seen.schema.ours) },
        "partitions": { "monthsAhead": seen.map(|seen| seen.months_ahead) },
        "keys": if has_keys(&app) { "ok" } else { NO_KEYS },
        "doorbell": if mode == Mode::Polling { "polling: notifications do not arrive" } else { mode.name() },
        "roundTripMilliseconds": round_trip * 1000.0,
        "tail": {
            "ageMilliseconds": milliseconds(age),
            "lagMilliseconds": milliseconds(app.tail.lag()),
            "events": app.tail.events(),
        },
        "pool": { "inUse": pool.in_use, "idle": pool.idle, "limit": pool.most, "waiting": pool.waiting },
        "connections": app.hub.connections(),
    });
    let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(body)).into_response()
}

/// What the database says.
struct Seen {
    schema: Schema,
    months_ahead: i32,
}

async fn look_at_database(app: &App) -> Result<Seen, String> {
    let client = app.database.get().await.map_err(|fault| fault.to_string())?;
    let schema = Schema::of(&client).await.map_err(|fault| fault.to_string())?;
    let left = client.query_one("select tocsin.partitions_left()", &[]).await.map_err(|fault| fault.to_string())?;
    Ok(Seen { schema, months_ahead: left.get(0) })
}

/// Why it cannot do its job; none when it can.
fn reasons(app: &App, database: &Result<Seen, String>) -> Vec<String> {
    let (mode, age) = (app.tail.mode(), app.tail.age());
    let of_database = match database {
        // A newer one is what an upgrade makes, during which the older nodes go on.
        Ok(seen) => seen.schema.fault().filter(|_| seen.schema.there < seen.schema.ours),
        Err(fault) => Some(format!("the database cannot be asked: {fault}")),
    };
    let of_tail = if mode == Mode::Lost {
        Some("the log is not followed: its connection is lost".to_owned())
    } else {
        (age >= TAIL_AGE_MAX).then(|| format!("the log was last read {} s ago", age.as_secs()))
    };
    let of_keys = (!has_keys(app)).then(|| format!("keys: {NO_KEYS}"));
    let of_drain = is_draining(app).then(|| "the node is leaving".to_owned());
    [of_drain, of_database, of_tail, of_keys].into_iter().flatten().collect()
}

fn is_draining(app: &App) -> bool {
    app.delivery.drain.begun().is_cancelled()
}

fn has_keys(app: &App) -> bool {
    app.gate.as_ref().is_none_or(|gate| gate.has_keys())
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
