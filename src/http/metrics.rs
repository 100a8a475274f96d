//! Measuring requests, and showing what is measured.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::state::App;
use crate::base::metrics::Metrics;
use crate::base::{Error, Result};
use crate::log::tailer::Mode;

/// The media type of OpenMetrics, which Prometheus reads.
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Everything that is measured.
#[utoipa::path(
    get, path = "/metrics", tag = "operations", operation_id = "metrics",
    responses((status = 200, body = String, content_type = "application/openmetrics-text"))
)]
pub async fn metrics(app: App) -> Result<Response> {
    look(&app);
    let text = app.metrics.text().map_err(Error::internal)?;
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response())
}

/// Looks at what is a state: nobody counts it as it changes.
fn look(app: &App) {
    let (metrics, pool, queues) = (&app.metrics, app.database.pool(), app.hub.queues());
    let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    metrics.draining.set(app.delivery.drain.begun().is_cancelled().into());
    metrics.log_read_age.set(app.tail.age().as_secs_f64());
    let mode = app.tail.mode();
    for state in Mode::ALL {
        metrics.doorbell_state.get_or_create(&[("state", state.name())]).set((state == mode).into());
    }
    metrics.pool_connections.get_or_create(&[("state", "in_use")]).set(count(pool.in_use));
    metrics.pool_connections.get_or_create(&[("state", "idle")]).set(count(pool.idle));
    metrics.pool_connections_max.set(count(pool.most));
    metrics.pool_waiting.set(count(pool.waiting));
    metrics.queue_events.set(count(queues.events));
    metrics.queue_events_max.set(count(queues.longest));
    metrics.channels_lagging.set(count(queues.lagging));
    metrics.confirmations_waiting.set(count(app.confirmations.waiting()));
}

/// The layer: counts requests by the template of their route, which holds no id.
pub async fn measure(State(metrics): State<Arc<Metrics>>, request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>();
    let route = path.map_or("none", MatchedPath::as_str).to_owned();
    let method = name(request.method()).to_owned();
    let began = Instant::now();
    let response = next.run(request).await;
    let status = response.status().as_str().to_owned();
    let of_request = [("route", route.clone()), ("method", method.clone())];
    metrics.request_seconds.get_or_create(&of_request).observe(began.elapsed().as_secs_f64());
    metrics.requests.get_or_create(&[("route", route), ("method", method), ("status", status)]).inc();
    response
}

/// As metrics and traces call it: a client can make up methods.
pub fn name(method: &Method) -> &str {
    match *method {
        Method::GET | Method::POST | Method::PUT | Method::DELETE | Method::HEAD | Method::OPTIONS | Method::PATCH => {
            method.as_str()
        }
        _ => "other",
    }
}
