//! From paths to ids (rows 8 and 14 of the resource table).

use axum::http::StatusCode;

use super::bulk::{Done, response_list};
use crate::base::{Error, Result};
use crate::http::extract::{Body, PathIds, Query};
use crate::http::represent::{Document, Reads};
use crate::http::state::App;
use crate::store::folders;
use crate::wire::nms;
use crate::wire::schema;

/// The object at a path (row 8).
#[utoipa::path(
    get, path = "/nms/v1/{storeName}/{boxId}/objects/operations/pathToId", tag = "objects", operation_id = "findObjectByPath",
    params(
        ("path" = Option<String>, Query, description = "The path"),
    ),
    responses((status = 200, body = schema::nms::ReferenceDocument))
)]
pub async fn object(app: App, ids: PathIds, query: Query, _: Reads) -> Result<Document> {
    const NO_OBJECT: Error = Error::NotFound { what: "object" };
    let of = ids.store_box()?;
    let (folder, id) = query.get("path").and_then(nms::object_at).ok_or(NO_OBJECT)?;
    let path = format!("{folder}/{id}");
    if folders::hold(&app.database, &of, &[folder], &[id]).await? != [true] {
        return Err(NO_OBJECT);
    }
    Ok(Document(document(&app.urls.object(&of, id), &path)))
}

/// The objects at paths (row 8).
#[utoipa::path(
    post, path = "/nms/v1/{storeName}/{boxId}/objects/operations/pathToId", tag = "objects", operation_id = "findObjectsByPath",
    request_body = schema::nms::PathListDocument,
    responses((status = 200, body = schema::nms::BulkResponseListDocument))
)]
pub async fn objects(app: App, ids: PathIds, _: Reads, body: Body) -> Result<Document> {
    let of = ids.store_box()?;
    let paths = nms::read_paths(body.fields("pathList")?, app.limits.references_max)?;
    let objects: Vec<_> = paths.iter().map(|path| nms::object_at(path)).collect();
    let (folders, ids): (Vec<_>, Vec<_>) = objects.iter().cloned().map(Option::unwrap_or_default).unzip();
    let found = folders::hold(&app.database, &of, &folders, &ids).await?;
    let outcomes: Vec<_> = (paths.into_iter().zip(objects).zip(found))
        .map(|((path, object), found)| match object {
            None => Err(Error::invalid(path)),
            Some(_) if !found => Err(Error::Unknown { kind: "path", value: path }),
            Some((folder, id)) => Ok(done(app.urls.object(&of, id), format!("{folder}/{id}"))),
        })
        .collect();
    Ok(response_list(&outcomes))
}

/// The folder at a path; without one the root folder, of which each box has one (row 14).
#[utoipa::path(
    get, path = "/nms/v1/{storeName}/{boxId}/folders/operations/pathToId", tag = "folders", operation_id = "findFolderByPath",
    params(
        ("path" = Option<String>, Query, description = "The path"),
    ),
    responses((status = 200, body = schema::nms::ReferenceDocument))
)]
pub async fn folder(app: App, ids: PathIds, query: Query, _: Reads) -> Result<Document> {
    const NO_FOLDER: Error = Error::NotFound { what: "folder" };
    let of = ids.store_box()?;
    let path = [nms::canonical_path(query.get("path").unwrap_or_default()).ok_or(NO_FOLDER)?];
    let found = folders::at(&app.database, &of, &path).await?;
    let id = found.into_iter().next().flatten().ok_or(NO_FOLDER)?;
    Ok(Document(document(&app.urls.folder(&of, id), &path[0])))
}

/// The folders at paths (row 14).
#[utoipa::path(
    post, path = "/nms/v1/{storeName}/{boxId}/folders/operations/pathToId", tag = "folders", operation_id = "findFoldersByPath",
    request_body = schema::nms::PathListDocument,
    responses((status = 200, body = schema::nms::BulkResponseListDocument))
)]
pub async fn folders(app: App, ids: PathIds, _: Reads, body: Body) -> Result<Document> {
    let of = ids.store_box()?;
    let paths = nms::read_paths(body.fields("pathList")?, app.limits.references_max)?;
    let canonical: Vec<_> = paths.iter().map(|path| nms::canonical_path(path)).collect();
    let asked: Vec<_> = canonical.iter().cloned().map(Option::unwrap_or_default).collect();
    let found = folders::at(&app.database, &of, &asked).await?;
    let outcomes: Vec<_> = (paths.into_iter().zip(canonical).zip(found))
        .map(|((given, path), found)| match (path, found) {
            (None, _) => Err(Error::invalid(given)),
            (Some(_), None) => Err(Error::Unknown { kind: "path", value: given }),
            (Some(path), Some(id)) => Ok(done(app.urls.folder(&of, id), path)),
        })
        .collect();
    Ok(response_list(&outcomes))
}

fn document(url: &str, path: &str) -> serde_json::Value {
    serde_json::json!({ "reference": nms::reference(url, Some(path)) })
}

fn done(url: String, path: String) -> Done {
    Done { status: StatusCode::OK, url, path: Some(path) }
}
