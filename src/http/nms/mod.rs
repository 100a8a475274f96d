//! The NMS API (spec/nms 2.3).

pub mod bulk;
mod form;
pub mod objects;
pub mod payloads;
pub mod subscriptions;

use axum::Router;
use axum::routing::{get, post};

use super::state::App;
use super::{collection, only};

/// Below `/nms/v1/{storeName}/{boxId}`.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/objects", only("POST", post(objects::create)))
        .route("/objects/operations/bulkCreation", only("POST", post(objects::create_many)))
        .route("/objects/{objectId}", only("GET, DELETE", get(objects::read).delete(objects::delete)))
        .route("/objects/{objectId}/payload", only("GET", get(payloads::read)))
        .route("/objects/{objectId}/payloadParts/{payloadPartId}", only("GET", get(payloads::read_part)))
        .route("/subscriptions", collection(subscriptions::list, subscriptions::create))
        .route(
            "/subscriptions/{subscriptionId}",
            only(
                "GET, POST, DELETE",
                get(subscriptions::read).post(subscriptions::update).delete(subscriptions::delete),
            ),
        )
}
