//! Searches (rows 7 and 13 of the resource table).

use crate::base::Result;
use crate::http::extract::{Body, PathIds};
use crate::http::represent::{Document, Reads};
use crate::http::state::App;
use crate::store::search::{folders, rows};
use crate::wire::nms;
use crate::wire::schema;

/// A search for objects.
#[utoipa::path(
    post, path = "/nms/v1/{storeName}/{boxId}/objects/operations/search", tag = "objects", operation_id = "searchObjects",
    request_body = schema::search::SelectionCriteriaDocument,
    responses((status = 200, body = schema::nms::FoundObjects), (status = 405))
)]
pub async fn objects(app: App, ids: PathIds, _: Reads, body: Body) -> Result<Document> {
    let asked = nms::read_selection(&ids.store_box()?, body.fields("selectionCriteria")?, &app.limits)?;
    let found = rows::search(&app.database, &asked.search).await?;
    Ok(Document(nms::found_objects(&asked, &found, &app.urls)))
}

/// A search for folders.
#[utoipa::path(
    post, path = "/nms/v1/{storeName}/{boxId}/folders/operations/search", tag = "folders", operation_id = "searchFolders",
    request_body = schema::search::SelectionCriteriaDocument,
    responses((status = 200, body = schema::nms::FolderListDocument), (status = 405))
)]
pub async fn folders(app: App, ids: PathIds, _: Reads, body: Body) -> Result<Document> {
    let asked = nms::read_selection(&ids.store_box()?, body.fields("selectionCriteria")?, &app.limits)?;
    nms::check_for_folders(&asked)?;
    let found = folders::search_folders(&app.database, &asked.search, app.limits.search_entries_default).await?;
    Ok(Document(nms::found_folders(&asked, found, &app.urls)))
}
