//! The NMS API (spec/nms 2.3).

pub mod bulk;
pub mod flags;
pub mod folders;
mod form;
pub mod moves;
pub mod objects;
pub mod paths;
pub mod payloads;
pub mod search;
pub mod subscriptions;

use axum::Router;
use axum::routing::{get, post};

use super::state::App;
use super::{collection, only};

/// Below `/nms/v1/{storeName}/{boxId}`.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/objects", only("POST", post(objects::create)))
        .route("/objects/{objectId}", only("GET, DELETE", get(objects::read).delete(objects::delete)))
        .route("/objects/{objectId}/flags", only("GET, PUT", get(flags::list).put(flags::replace)))
        .route(
            "/objects/{objectId}/flags/{flagName}",
            only("GET, PUT, DELETE", get(flags::read).put(flags::set).delete(flags::unset)),
        )
        .route("/objects/{objectId}/payload", only("GET", get(payloads::read)))
        .route("/objects/{objectId}/payloadParts/{payloadPartId}", only("GET", get(payloads::read_part)))
        .route("/objects/operations/search", only("POST", post(search::objects)))
        .route("/objects/operations/pathToId", only("GET, POST", get(paths::object).post(paths::objects)))
        .route("/objects/operations/bulkCreation", only("POST", post(objects::create_many)))
        .route("/objects/operations/bulkUpdate", only("POST", post(bulk::update)))
        .route("/objects/operations/bulkDelete", only("POST, DELETE", post(bulk::delete).delete(bulk::delete)))
        .route("/folders", only("POST", post(folders::create)))
        .route("/folders/{folderId}", only("GET, DELETE", get(folders::read).delete(folders::delete)))
        .route("/folders/{folderId}/folderName", only("GET, PUT", get(folders::read_name).put(folders::rename)))
        .route("/folders/operations/search", only("POST", post(search::folders)))
        .route("/folders/operations/pathToId", only("GET, POST", get(paths::folder).post(paths::folders)))
        .route("/folders/operations/copyToFolder", only("POST", post(moves::copy)))
        .route("/folders/operations/moveToFolder", only("POST", post(moves::relocate)))
        .route("/subscriptions", collection(subscriptions::list, subscriptions::create))
        .route(
            "/subscriptions/{subscriptionId}",
            only(
                "GET, POST, DELETE",
                get(subscriptions::read).post(subscriptions::update).delete(subscriptions::delete),
            ),
        )
        .route("/subscriptions/{subscriptionId}/explain", only("GET", get(subscriptions::explain)))
}
