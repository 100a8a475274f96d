//! For those who run the server.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::state::App;
use crate::log::tailer::Mode;

/// The log is followed when it was read this lately: the slow poll is every second.
const TAIL_AGE_MAX_MS: u128 = 5000;

/// The process lives.
pub async fn healthz() -> &'static str {
    "ok\n"
}

/// It can do its job: the database answers and the log is followed. 503 with the reasons otherwise.
pub async fn readyz(State(app): State<App>) -> Response {
    let database = match app.database.get().await {
        Ok(client) => client.simple_query("select 1").await.map_err(|fault| fault.to_string()),
        Err(fault) => Err(fault.to_string()),
    };
    let (doorbell, rings) = match app.tail.mode() {
        Mode::Lost => ("lost", false),
        Mode::Asleep => ("asleep", true),
        Mode::Awake => ("awake", true),
        Mode::Polling => ("polling: notifications do not arrive", true),
    };
    let age = app.tail.age().as_millis();
    let ready = database.is_ok() && rings && age < TAIL_AGE_MAX_MS;
    let body = json!({
        "ready": ready,
        "database": database.as_ref().map_or_else(String::as_str, |_| "ok"),
        "doorbell": doorbell,
        "tail": { "ageMilliseconds": u64::try_from(age).unwrap_or(u64::MAX), "events": app.tail.events() },
        "connections": app.hub.connections(),
    });
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(body)).into_response()
}
