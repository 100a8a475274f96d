//! Operations on many objects (rows 20 and 21 of the resource table), and what became of each of many items (spec/nms
//! 3.12).

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::base::ids::BoxName;
use crate::base::{Error, Result};
use crate::http::extract::{Body, PathIds};
use crate::http::fault::Fault;
use crate::http::represent::{Document, Reads};
use crate::http::state::App;
use crate::store::rows;
use crate::wire::nms::{self, FlagOperation, Which};
use crate::wire::schema;

/// Sets or removes flags of many objects. Nothing stops at an object that is not there.
#[utoipa::path(
    post, path = "/nms/v1/{storeName}/{boxId}/objects/operations/bulkUpdate", tag = "objects", operation_id = "updateObjects",
    request_body = schema::nms::BulkUpdateDocument,
    responses((status = 200, body = schema::nms::BulkResponseListDocument), (status = 405))
)]
pub async fn update(app: App, ids: PathIds, _: Reads, body: Body) -> Result<Document> {
    let of = ids.store_box()?;
    let update = nms::read_bulk_update(&of, body.fields("bulkUpdate")?, &app.limits)?;
    let patch = match update.operation {
        FlagOperation::AddFlag => json!({ "addFlags": update.flags }),
        FlagOperation::RemoveFlag => json!({ "removeFlags": update.flags }),
    };
    match update.objects {
        Which::Referenced(objects) => {
            let found = Found::of(&of, objects);
            let changed = rows::change_objects(&app.database, &of, &found.ids, patch).await?;
            Ok(found.answer(changed.iter().map(Option::is_some)))
        }
        Which::Selected { search, first } => {
            let (first, most) = (first.map(|first| first as usize), app.limits.references_max);
            let changed = rows::change_selected(&app.database, &search, first, most, patch).await?;
            selected(&app, &of, changed)
        }
    }
}

/// Deletes many objects.
#[utoipa::path(
    method(post, delete), path = "/nms/v1/{storeName}/{boxId}/objects/operations/bulkDelete", tag = "objects", operation_id = "deleteObjects",
    request_body = schema::nms::BulkDeleteDocument,
    responses((status = 200, body = schema::nms::BulkResponseListDocument), (status = 405))
)]
pub async fn delete(app: App, ids: PathIds, _: Reads, body: Body) -> Result<Document> {
    let of = ids.store_box()?;
    match nms::read_bulk_delete(&of, body.fields("bulkDelete")?, &app.limits)? {
        Which::Referenced(objects) => {
            let found = Found::of(&of, objects);
            let deleted = rows::delete_objects(&app.database, &of, &found.ids).await?;
            Ok(found.answer(deleted.into_iter()))
        }
        Which::Selected { search, first } => {
            let (first, most) = (first.map(|first| first as usize), app.limits.references_max);
            let deleted = rows::delete_selected(&app.database, &search, first, most).await?;
            selected(&app, &of, deleted)
        }
    }
}

/// One response for each object that was selected, in the order of the search; refused when there were too many.
fn selected(app: &App, of: &BoxName, ids: Option<Vec<i64>>) -> Result<Document> {
    let ids = ids.ok_or_else(|| nms::too_many(&app.limits))?;
    let done = |id| Ok(Done { status: StatusCode::OK, url: app.urls.object(of, id), path: None });
    Ok(response_list(&ids.into_iter().map(done).collect::<Vec<_>>()))
}

/// The references of a request, and the ids of those that could be objects of the box.
struct Found {
    references: Vec<Result<String>>,
    ids: Vec<i64>,
}

impl Found {
    fn of(of: &BoxName, references: Vec<String>) -> Found {
        let mut ids = Vec::new();
        let references = references
            .into_iter()
            .map(|url| {
                ids.push(nms::object_id(of, &url)?);
                Ok(url)
            })
            .collect();
        Found { references, ids }
    }

    /// One response for each reference; `there` says for each of the ids whether there was such an object.
    fn answer(self, mut there: impl Iterator<Item = bool>) -> Document {
        let outcomes: Vec<Result<Done>> = self
            .references
            .into_iter()
            .map(|reference| match reference {
                Ok(url) if there.next() == Some(true) => Ok(Done { status: StatusCode::OK, url, path: None }),
                Ok(url) => Err(Error::NotFoundAt { url }),
                Err(error) => Err(error),
            })
            .collect();
        response_list(&outcomes)
    }
}

/// An item with which it went well.
#[derive(Debug)]
pub struct Done {
    /// 200, or 201 for what was created.
    pub status: StatusCode,
    /// Its URL.
    pub url: String,
    /// Its path, where the answer tells it.
    pub path: Option<String>,
}

/// Writes a `bulkResponseList`: one response for each item, in the order of the request.
pub fn response_list(outcomes: &[Result<Done>]) -> Document {
    let responses: Vec<Value> = outcomes.iter().map(response).collect();
    Document(json!({ "bulkResponseList": { "response": responses } }))
}

fn response(outcome: &Result<Done>) -> Value {
    let (status, member, content) = match outcome {
        Ok(done) => (done.status, "success", nms::reference(&done.url, done.path.as_deref())),
        Err(error) => {
            let Fault { status, exception } = Fault::of(error);
            (status, "failure", exception)
        }
    };
    json!({ "code": status.as_u16(), "reason": status.canonical_reason().unwrap_or_default(), member: content })
}
