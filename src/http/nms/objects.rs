//! Objects (rows 1, 2 and 9 of the resource table).

use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::bulk::{self, Done};
use super::form::{self, Attached, Form};
use crate::base::ids::BoxName;
use crate::base::{Error, Result};
use crate::http::created;
use crate::http::extract::PathIds;
use crate::http::fault::Fault;
use crate::http::represent::{Reads, Tagged};
use crate::http::state::App;
use crate::store::{NewObject, rows};
use crate::wire::nms;
use crate::wire::schema;

/// The attribute that a short text becomes (spec/nms 1.2).
const TEXT_CONTENT: &str = "TextContent";
/// The attribute that says what the payload is.
const CONTENT_TYPE: &str = "Content-Type";

/// A new object, with a payload or without (row 1).
#[utoipa::path(
    post, path = "/nms/v1/{storeName}/{boxId}/objects", tag = "objects", operation_id = "createObject",
    request_body(content((schema::nms::ObjectDocument = "application/json"), (schema::nms::ObjectForm = "multipart/form-data"))),
    responses((status = 201, body = schema::nms::ReferenceDocument))
)]
pub async fn create(app: App, ids: PathIds, _: Reads, request: Request) -> Result<Response> {
    let of = ids.store_box()?;
    // Encodings may make a payload three times as long on the wire.
    let bytes_max = app.limits.body_bytes_max + 3 * app.limits.payload_bytes_max;
    let (root, form) = form::open(request, &app, bytes_max).await?;
    let object = nms::read_object(root.fields("object")?, &of)?;
    let mut attached = Attached::Nothing;
    if let Some(mut form) = form {
        if let Some(mut entry) = form.attachment().await? {
            attached = form::attach(&app, &mut entry, !object.has(TEXT_CONTENT)).await?;
        }
        if form.attachment().await?.is_some() {
            return Err(Error::invalid("attachments"));
        }
    }
    let done = store(&app, &of, object, attached).await?;
    Ok(created(&done.url, json!({ "reference": nms::reference(&done.url, done.path.as_deref()) })))
}

/// Many new objects, each by itself (row 9).
#[utoipa::path(
    post, path = "/nms/v1/{storeName}/{boxId}/objects/operations/bulkCreation", tag = "objects", operation_id = "createObjects",
    request_body(content((schema::nms::ObjectListDocument = "application/json"), (schema::nms::ObjectForm = "multipart/form-data"))),
    responses((status = 200, body = schema::nms::BulkResponseListDocument))
)]
pub async fn create_many(app: App, ids: PathIds, _: Reads, request: Request) -> Result<Response> {
    let of = ids.store_box()?;
    let (root, form) = form::open(request, &app, app.limits.body_bytes_max + app.limits.bulk_bytes_max).await?;
    let objects = nms::read_object_list(root.fields("objectList")?, &of)?;
    if objects.is_empty() {
        return Err(Error::invalid("objectList"));
    }
    let most = app.limits.bulk_objects_max;
    if objects.len() > most {
        return Err(Error::Policy { rule: format!("a request may create {most} objects") });
    }
    // Nothing is created before the request has come to its end.
    let attachments = match form {
        Some(form) => attachments(&app, form, &objects).await?,
        None => Vec::new(),
    };
    let mut attachments = attachments.into_iter();
    let mut outcomes = Vec::new();
    for object in objects {
        let attached = attachments.next().unwrap_or(Ok(Attached::Nothing));
        outcomes.push(match (object, attached) {
            (Ok(object), Ok(attached)) => store(&app, &of, object, attached).await,
            (Err(fault), _) | (_, Err(fault)) => Err(fault),
        });
    }
    Ok((overall(&outcomes), bulk::response_list(&outcomes)).into_response())
}

/// The attachments of many objects, in their order. As many as there are objects, or none at all: otherwise nobody can
/// tell which is whose.
async fn attachments(app: &App, mut form: Form, objects: &[Result<NewObject>]) -> Result<Vec<Result<Attached>>> {
    let mut attachments = Vec::new();
    while let Some(mut entry) = form.attachment().await? {
        let object = objects.get(attachments.len()).ok_or_else(|| Error::invalid("attachments"))?;
        let attached = match object {
            Ok(object) => form::attach(app, &mut entry, !object.has(TEXT_CONTENT)).await,
            Err(_) => Ok(Attached::Nothing), // it is not created anyway
        };
        form::drain(&mut entry).await?; // what is left of one that was refused
        attachments.push(attached);
    }
    if !attachments.is_empty() && attachments.len() != objects.len() {
        return Err(Error::invalid("attachments"));
    }
    Ok(attachments)
}

/// What a list of outcomes is as a whole: a success if anything was created, else what befell all alike.
fn overall(outcomes: &[Result<Done>]) -> StatusCode {
    let mut codes = Vec::new();
    for outcome in outcomes {
        match outcome {
            Ok(_) => return StatusCode::OK,
            Err(fault) => codes.push(Fault::of(fault).status),
        }
    }
    codes.dedup();
    match codes.as_slice() {
        [code] => *code,
        _ => StatusCode::BAD_REQUEST,
    }
}

async fn store(app: &App, of: &BoxName, mut object: NewObject, attached: Attached) -> Result<Done> {
    let mut payload = None;
    let content_type = match attached {
        Attached::Nothing => None,
        Attached::Text(text, content_type) => {
            object.attributes.insert(TEXT_CONTENT.to_owned(), Value::String(text));
            Some(content_type)
        }
        Attached::Payload(stored, claim) => {
            let content_type = stored.content_type.clone();
            payload = Some((stored, claim));
            Some(content_type)
        }
    };
    if let Some(content_type) = content_type.filter(|_| !object.has(CONTENT_TYPE)) {
        object.attributes.insert(CONTENT_TYPE.to_owned(), Value::String(content_type));
    }
    let made = rows::create_object(&app.database, of, &object, payload).await?;
    Ok(Done {
        status: StatusCode::CREATED,
        url: app.urls.object(of, made.id),
        path: Some(format!("{}/{}", made.folder_path, made.id)),
    })
}

/// One object (row 2).
#[utoipa::path(
    get, path = "/nms/v1/{storeName}/{boxId}/objects/{objectId}", tag = "objects", operation_id = "readObject",
    responses((status = 200, body = schema::nms::ObjectDocument), (status = 304))
)]
pub async fn read(app: App, ids: PathIds, _: Reads) -> Result<Tagged> {
    let object = rows::get_object(&app.database, &ids.store_box()?, ids.object()?).await?;
    Ok(Tagged(nms::object(&object, &app.urls)))
}

/// Deletes an object (row 2).
#[utoipa::path(
    delete, path = "/nms/v1/{storeName}/{boxId}/objects/{objectId}", tag = "objects", operation_id = "deleteObject",
    responses((status = 204))
)]
pub async fn delete(app: App, ids: PathIds) -> Result<StatusCode> {
    rows::delete_object(&app.database, &ids.store_box()?, ids.object()?).await?;
    Ok(StatusCode::NO_CONTENT)
}
