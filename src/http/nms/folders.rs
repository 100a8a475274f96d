//! Folders (rows 10 to 12 of the resource table).

use axum::http::StatusCode;
use axum::response::Response;

use crate::base::{Error, Result};
use crate::config::Limits;
use crate::http::created;
use crate::http::extract::{Body, PathIds, Query};
use crate::http::represent::{Document, Reads};
use crate::http::state::App;
use crate::store::folders::{self, Contents, Listed, Page, Place, Wanted};
use crate::wire::nms;
use crate::wire::schema;

/// A new folder (row 10).
#[utoipa::path(
    post, path = "/nms/v1/{storeName}/{boxId}/folders", tag = "folders", operation_id = "createFolder",
    request_body = schema::nms::FolderDocument,
    responses((status = 201, body = schema::nms::FolderDocument))
)]
pub async fn create(app: App, ids: PathIds, _: Reads, body: Body) -> Result<Response> {
    let of = ids.store_box()?;
    let new = nms::read_folder(&of, body.fields("folder")?)?;
    let folder = folders::create(&app.database, &of, &new.parent, new.name.as_deref(), &new.attributes).await?;
    let shown = nms::Shown { path: true, ..nms::Shown::default() };
    let location = app.urls.folder(&of, folder.id);
    Ok(created(&location, nms::folder(&folder, &Contents::default(), &shown, &app.urls)))
}

/// One folder, and what is in it if the client asks for that (row 11).
#[utoipa::path(
    get, path = "/nms/v1/{storeName}/{boxId}/folders/{folderId}", tag = "folders", operation_id = "readFolder",
    params(
        ("path" = Option<String>, Query, description = "Yes: show its path"),
        ("attrFilter" = Option<Vec<String>>, Query, description = "Attributes to count: MsgCount, UnreadMsgCount, Size, and the same with Subtree before"),
        ("listFilter" = Option<String>, Query, description = "Subfolders, Objects or All: list what is in it"),
        ("maxEntries" = Option<u32>, Query, description = "Entries of the list"),
        ("fromCursor" = Option<String>, Query, description = "Where to go on"),
    ),
    responses((status = 200, body = schema::nms::FolderDocument))
)]
pub async fn read(app: App, ids: PathIds, query: Query, _: Reads) -> Result<Document> {
    let (of, id) = (ids.store_box()?, ids.folder()?);
    let path = match query.get("path") {
        None | Some("" | "No") => false,
        Some("Yes") => true,
        Some(_) => return Err(Error::choice("path", "Yes, No")),
    };
    let shown = nms::Shown::new(path, query.all("attrFilter"));
    let wanted =
        Wanted { counts: shown.counts(false), tree_counts: shown.counts(true), page: page(id, &query, &app.limits)? };
    let (folder, contents) = folders::read(&app.database, &of, id, &wanted).await?;
    Ok(Document(nms::folder(&folder, &contents, &shown, &app.urls)))
}

/// Which part of the folder's list is asked for: without `listFilter` none, whatever else is said.
fn page(id: i64, query: &Query, limits: &Limits) -> Result<Option<Page>> {
    let listed = match query.get("listFilter") {
        None | Some("") => return Ok(None),
        Some("Subfolders") => Listed::Subfolders,
        Some("Objects") => Listed::Objects,
        Some("All") => Listed::All,
        Some(_) => return Err(Error::choice("listFilter", "Subfolders, Objects, All")),
    };
    let entries_max = match query.get("maxEntries").filter(|text| !text.is_empty()) {
        None => limits.folder_entries_max,
        Some(text) => {
            let wish: u64 = text.parse().map_err(|_| Error::invalid("maxEntries"))?;
            u32::try_from(wish).unwrap_or(u32::MAX).min(limits.folder_entries_max)
        }
    };
    if entries_max == 0 {
        return Err(Error::invalid("maxEntries"));
    }
    let after = match query.get("fromCursor").filter(|text| !text.is_empty()) {
        None => None,
        Some(text) => {
            let place = Place::parse(text).filter(|place| place.fits(id, listed));
            Some(place.ok_or_else(|| Error::invalid("fromCursor"))?)
        }
    };
    Ok(Some(Page { listed, after, entries_max: i64::from(entries_max) }))
}

/// Deletes a folder with everything in it (row 11).
#[utoipa::path(
    delete, path = "/nms/v1/{storeName}/{boxId}/folders/{folderId}", tag = "folders", operation_id = "deleteFolder",
    responses((status = 204))
)]
pub async fn delete(app: App, ids: PathIds) -> Result<StatusCode> {
    folders::delete(&app.database, &ids.store_box()?, ids.folder()?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The name of a folder (row 12).
#[utoipa::path(
    get, path = "/nms/v1/{storeName}/{boxId}/folders/{folderId}/folderName", tag = "folders", operation_id = "readFolderName",
    responses((status = 200, body = schema::nms::FolderNameDocument))
)]
pub async fn read_name(app: App, ids: PathIds, _: Reads) -> Result<Document> {
    let folder = folders::get(&app.database, &ids.store_box()?, ids.folder()?).await?;
    Ok(Document(nms::name(&folder.name)))
}

/// Gives a folder another name (row 12).
#[utoipa::path(
    put, path = "/nms/v1/{storeName}/{boxId}/folders/{folderId}/folderName", tag = "folders", operation_id = "renameFolder",
    request_body = schema::nms::FolderNameDocument,
    responses((status = 200, body = schema::nms::FolderNameDocument))
)]
pub async fn rename(app: App, ids: PathIds, _: Reads, body: Body) -> Result<Document> {
    let (of, id) = (ids.store_box()?, ids.folder()?);
    let name = nms::read_name(body.media, &body.bytes)?;
    folders::rename(&app.database, &of, id, &name).await?;
    Ok(Document(nms::name(&name)))
}
