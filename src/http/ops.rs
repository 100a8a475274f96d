//! For those who run the server.

use std::time::Duration;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::state::App;
use crate::log::tailer::Mode;
use crate::wire::schema;

/// The log is followed when it was read this lately: the slow poll is every second.
const TAIL_AGE_MAX: Duration = Duration::from_secs(5);

/// The process lives.
#[utoipa::path(
    get, path = "/healthz", tag = "operations", operation_id = "live",
    responses((status = 200, body = String, content_type = "text/plain"))
)]
pub async fn healthz() -> &'static str {
    "ok\n"
}

/// It can do its job: the database answers, the log is followed, and the node is not about to leave. 503 with the
/// reasons otherwise.
#[utoipa::path(
    get, path = "/readyz", tag = "operations", operation_id = "ready",
    responses((status = 200, body = schema::tables::Readiness), (status = 503, body = schema::tables::Readiness))
)]
pub async fn readyz(app: App) -> Response {
    let database = match app.database.get().await {
        Ok(client) => {
            let left = client.query_one("select tocsin.partitions_left()", &[]).await;
            left.map(|row| row.get::<_, i32>(0)).map_err(|fault| fault.to_string())
        }
        Err(fault) => Err(fault.to_string()),
    };
    let mode = app.tail.mode();
    let doorbell = if mode == Mode::Polling { "polling: notifications do not arrive" } else { mode.name() };
    let age = app.tail.age();
    let draining = app.delivery.drain.begun().is_cancelled();
    let has_keys = app.gate.as_ref().is_none_or(|gate| gate.has_keys());
    let ready = !draining && has_keys && database.is_ok() && mode != Mode::Lost && age < TAIL_AGE_MAX;
    let (pool, round_trip) = (app.database.pool(), app.metrics.doorbell_round_trip.get());
    let body = json!({
        "ready": ready,
        "draining": draining,
        "database": database.as_ref().map_or_else(String::as_str, |_| "ok"),
        "partitions": { "monthsAhead": database.as_ref().ok() },
        "keys": if has_keys { "ok" } else { "none: no token can be verified" },
        "doorbell": doorbell,
        "roundTripMilliseconds": round_trip * 1000.0,
        "tail": {
            "ageMilliseconds": milliseconds(age),
            "lagMilliseconds": milliseconds(app.tail.lag()),
            "events": app.tail.events(),
        },
        "pool": { "inUse": pool.in_use, "idle": pool.idle, "limit": pool.most, "waiting": pool.waiting },
        "connections": app.hub.connections(),
    });
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(body)).into_response()
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
