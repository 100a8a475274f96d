//! Copying and moving items into a folder (rows 15 and 16 of the resource table).

use axum::http::StatusCode;

use super::bulk::{Done, response_list};
use crate::base::ids::BoxName;
use crate::base::{Error, Result};
use crate::http::extract::{Body, PathIds};
use crate::http::represent::{Document, Reads};
use crate::http::state::App;
use crate::store::moves::{self, Moved, Outcome, Sources};
use crate::wire::nms::{self, TargetSource};
use crate::wire::schema;
use crate::wire::urls::Urls;

/// Copies items, folders with everything in them (row 15).
#[utoipa::path(
    post, path = "/nms/v1/{storeName}/{boxId}/folders/operations/copyToFolder", tag = "folders", operation_id = "copyToFolder",
    request_body = schema::nms::TargetSourceRefDocument,
    responses((status = 200, body = schema::nms::BulkResponseListDocument))
)]
pub async fn copy(app: App, ids: PathIds, _: Reads, body: Body) -> Result<Document> {
    let (of, wish) = (ids.store_box()?, wish(&app, &body)?);
    let items_max = app.limits.copied_items_max;
    let copied = moves::copy(&app.database, &of, target(&of, &wish)?, &sources(&of, &wish), items_max).await?;
    answer(&app.urls, &of, &wish, copied)
}

/// Moves items (row 16).
#[utoipa::path(
    post, path = "/nms/v1/{storeName}/{boxId}/folders/operations/moveToFolder", tag = "folders", operation_id = "moveToFolder",
    request_body = schema::nms::TargetSourceRefDocument,
    responses((status = 200, body = schema::nms::BulkResponseListDocument))
)]
pub async fn relocate(app: App, ids: PathIds, _: Reads, body: Body) -> Result<Document> {
    let (of, wish) = (ids.store_box()?, wish(&app, &body)?);
    let moved = moves::relocate(&app.database, &of, target(&of, &wish)?, &sources(&of, &wish)).await?;
    answer(&app.urls, &of, &wish, moved)
}

fn wish(app: &App, body: &Body) -> Result<TargetSource> {
    nms::read_target_source(body.fields("targetSourceRef")?, app.limits.references_max)
}

fn target(of: &BoxName, wish: &TargetSource) -> Result<i64> {
    nms::folder_id(of, &wish.target).map_err(|_| bad_target(wish))
}

fn bad_target(wish: &TargetSource) -> Error {
    Error::PlaceForbidden { place: wish.target.clone() }
}

/// What leads nowhere is 0, which is no object, and as a folder the root folder, which can be neither copied nor moved.
fn sources(of: &BoxName, wish: &TargetSource) -> Sources {
    Sources {
        folders: wish.folders.iter().map(|url| nms::folder_id(of, url).unwrap_or(0)).collect(),
        objects: wish.objects.iter().map(|url| nms::object_id(of, url).unwrap_or(0)).collect(),
    }
}

/// The answer; `None`: there is no such target.
fn answer(urls: &Urls, of: &BoxName, wish: &TargetSource, moved: Option<Moved>) -> Result<Document> {
    let Moved { path, folders, objects } = moved.ok_or_else(|| bad_target(wish))?;
    let result = |source: &String, outcome: Outcome, url: &dyn Fn(i64) -> String| match outcome {
        Outcome::Done { id, name } => {
            let name = name.unwrap_or_else(|| id.to_string());
            Ok(Done { status: StatusCode::OK, url: url(id), path: Some(format!("{path}/{name}")) })
        }
        Outcome::BadSource => Err(Error::invalid(source)),
        Outcome::NameTaken => Err(Error::Policy { rule: "the target has a folder of this name".to_owned() }),
        Outcome::TooMuch => Err(Error::Policy { rule: "too much to copy at once".to_owned() }),
    };
    let folders = wish.folders.iter().zip(folders).map(|(source, one)| result(source, one, &|id| urls.folder(of, id)));
    let objects = wish.objects.iter().zip(objects).map(|(source, one)| result(source, one, &|id| urls.object(of, id)));
    Ok(response_list(&folders.chain(objects).collect::<Vec<_>>()))
}
