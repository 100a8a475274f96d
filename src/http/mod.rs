//! The HTTP API: one nest per specification. Every answer that is not a success is a `requestError`.

pub mod access;
pub mod admission;
pub mod bounds;
pub mod callback;
pub mod caller;
pub mod client_address;
pub mod conditional;
pub mod connection;
pub mod console;
pub mod extract;
pub mod fault;
pub mod grants;
pub mod inbox;
pub mod metrics;
pub mod nc;
pub mod nms;
pub mod openapi;
pub mod operator;
pub mod ops;
pub mod origins;
pub mod pace;
pub mod quotas;
pub mod represent;
pub mod serve;
pub mod state;
pub mod tables;
pub mod tls;
pub mod trace;
pub mod transport;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};

use crate::base::Error;
use bounds::Bounds;
use represent::Document;
use state::App;

/// All routes.
pub fn router(app: App) -> Router {
    let (body_bytes_max, callback_bytes_max) = (app.limits.body_bytes_max, app.limits.callback_bytes_max);
    let (bounds, cors) = (Bounds::new(&app), origins::cors(&app.edge.cors));
    let routes = Router::new()
        .nest("/notificationchannel/v1/{userId}/channels", nc::routes())
        .nest("/nms/v1/{storeName}/{boxId}", nms::routes())
        .nest("/api", inbox::routes(&app.limits))
        .route("/ws/notifications", only("GET", get(inbox::sockets::inbox)))
        .route("/ws/rooms/{room}", only("GET", get(inbox::sockets::room)))
        .nest("/api/tables", tables::routes())
        .route("/api/grants", collection(grants::list, grants::create))
        .route("/api/grants/{id}", only("GET, DELETE", get(grants::read).delete(grants::delete)))
        .nest("/api/operator", operator::routes())
        .route("/ws/{token}", only("GET", get(nc::socket::open)))
        .route("/poll/{token}", only("POST", post(nc::poll::poll)))
        .route("/large/{token}", only("POST", post(nc::poll::fetch)))
        .route("/callback/{token}", only("POST", post(callback::post)).layer(DefaultBodyLimit::max(callback_bytes_max)))
        .route("/healthz", only("GET", get(ops::healthz)))
        .route("/readyz", only("GET", get(ops::readyz)))
        .route("/openapi.json", only("GET", get(openapi::openapi)))
        .route("/asyncapi.json", only("GET", get(openapi::asyncapi)))
        .route("/metrics", only("GET", get(metrics::metrics)))
        .route("/console", only("GET", get(console::page)))
        .route("/console/", only("GET", get(console::to_page)))
        .route("/console/{file}", only("GET", get(console::part)))
        .fallback(async || fault::response(&Error::NotFound { what: "resource" }))
        .layer(from_fn_with_state(app.clone(), access::check))
        .layer(from_fn_with_state(bounds.clone(), bounds::keep))
        .layer(from_fn_with_state(app.urls.clone(), represent::represent))
        .layer(DefaultBodyLimit::max(body_bytes_max))
        .layer(from_fn_with_state(app.metrics.clone(), metrics::measure));
    let routes = match cors {
        Some(cors) => routes.layer(cors),
        None => routes,
    };
    routes.layer(from_fn_with_state(bounds, bounds::announce)).layer(from_fn(trace::trace)).with_state(app)
}

/// A resource whose 405 names the verbs it has.
fn only(allow: &'static str, methods: MethodRouter<App>) -> MethodRouter<App> {
    methods.fallback(move || async move { not_allowed(allow) })
}

fn not_allowed(allow: &'static str) -> Response {
    (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, HeaderValue::from_static(allow))]).into_response()
}

/// 201 with Location and the new resource.
fn created(location: &str, body: serde_json::Value) -> Response {
    let mut response = (StatusCode::CREATED, Document(body)).into_response();
    if let Ok(location) = HeaderValue::from_str(location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

/// GET and POST on a collection.
fn collection<G, P, GT, PT>(list: G, create: P) -> MethodRouter<App>
where
    G: axum::handler::Handler<GT, App>,
    P: axum::handler::Handler<PT, App>,
    GT: 'static,
    PT: 'static,
{
    only("GET, POST", get(list).merge(post(create)))
}
