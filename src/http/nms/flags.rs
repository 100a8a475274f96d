//! Flags of an object (rows 3 and 4 of the resource table). A 404 with an `empty` body says that the flag is not set, one
//! with a `requestError` that there is no such object.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::base::{Result, fold};
use crate::http::created;
use crate::http::extract::{Body, PathIds};
use crate::http::represent::{Document, Reads};
use crate::http::state::App;
use crate::store::rows;
use crate::wire::nms;
use crate::wire::schema;

/// All flags.
#[utoipa::path(
    get, path = "/nms/v1/{storeName}/{boxId}/objects/{objectId}/flags", tag = "objects", operation_id = "listFlags",
    responses((status = 200, body = schema::nms::FlagListDocument))
)]
pub async fn list(app: App, ids: PathIds, _: Reads) -> Result<Document> {
    let object = rows::get_object(&app.database, &ids.store_box()?, ids.object()?).await?;
    Ok(Document(nms::flag_list(&object.state.flags, &object.of, object.id, &app.urls)))
}

/// Replaces the whole set.
#[utoipa::path(
    put, path = "/nms/v1/{storeName}/{boxId}/objects/{objectId}/flags", tag = "objects", operation_id = "replaceFlags",
    request_body = schema::nms::FlagListDocument,
    responses((status = 200, body = schema::nms::FlagListDocument))
)]
pub async fn replace(app: App, ids: PathIds, _: Reads, body: Body) -> Result<Document> {
    let (of, id) = (ids.store_box()?, ids.object()?);
    let flags = nms::read_flags(body.fields("flagList")?)?;
    rows::change_object(&app.database, &of, id, json!({ "flags": flags })).await?;
    let object = rows::get_object(&app.database, &of, id).await?;
    Ok(Document(nms::flag_list(&object.state.flags, &of, object.id, &app.urls)))
}

/// Whether a flag is set.
#[utoipa::path(
    get, path = "/nms/v1/{storeName}/{boxId}/objects/{objectId}/flags/{flagName}", tag = "objects", operation_id = "readFlag",
    responses((status = 204), (status = 404, description = "It is not set; or a requestError: there is no such object", content((schema::common::Empty = "application/json"))))
)]
pub async fn read(app: App, ids: PathIds, _: Reads) -> Result<Response> {
    let flag = fold(&ids.flag()?);
    let object = rows::get_object(&app.database, &ids.store_box()?, ids.object()?).await?;
    let is_set = object.state.flags.iter().any(|one| fold(one) == flag);
    Ok(if is_set { StatusCode::NO_CONTENT.into_response() } else { not_set() })
}

/// Sets a flag.
#[utoipa::path(
    put, path = "/nms/v1/{storeName}/{boxId}/objects/{objectId}/flags/{flagName}", tag = "objects", operation_id = "setFlag",
    responses((status = 201, body = schema::common::Empty), (status = 204))
)]
pub async fn set(app: App, ids: PathIds, _: Reads) -> Result<Response> {
    let (of, id, flag) = (ids.store_box()?, ids.object()?, ids.flag()?);
    let newly = rows::change_object(&app.database, &of, id, json!({ "addFlags": [flag] })).await?;
    Ok(if newly { created(&app.urls.flag(&of, id, &flag), empty()) } else { StatusCode::NO_CONTENT.into_response() })
}

/// Removes a flag.
#[utoipa::path(
    delete, path = "/nms/v1/{storeName}/{boxId}/objects/{objectId}/flags/{flagName}", tag = "objects", operation_id = "unsetFlag",
    responses((status = 204), (status = 404, description = "It is not set; or a requestError: there is no such object", content((schema::common::Empty = "application/json"))))
)]
pub async fn unset(app: App, ids: PathIds, _: Reads) -> Result<Response> {
    let (of, id, flag) = (ids.store_box()?, ids.object()?, ids.flag()?);
    let was_set = rows::change_object(&app.database, &of, id, json!({ "removeFlags": [flag] })).await?;
    Ok(if was_set { StatusCode::NO_CONTENT.into_response() } else { not_set() })
}

fn empty() -> Value {
    json!({ "empty": null })
}

fn not_set() -> Response {
    (StatusCode::NOT_FOUND, Document(empty())).into_response()
}
