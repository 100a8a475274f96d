//! The NMS API (spec/nms 2.3).

pub mod bulk;
pub mod objects;
pub mod search;
pub mod subscriptions;

use axum::Router;
use axum::routing::{get, post};

use super::state::App;
use super::{collection, only};

/// Below `/nms/v1/{storeName}/{boxId}`.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/objects/{objectId}", only("GET", get(objects::read)))
        .route("/objects/operations/search", only("POST", post(search::objects)))
        .route("/folders/operations/search", only("POST", post(search::folders)))
        .route("/subscriptions", collection(subscriptions::list, subscriptions::create))
        .route(
            "/subscriptions/{subscriptionId}",
            only(
                "GET, POST, DELETE",
                get(subscriptions::read).post(subscriptions::update).delete(subscriptions::delete),
            ),
        )
}
