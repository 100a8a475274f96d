//! The bytes of objects (rows 5 and 6 of the resource table): whatever the request accepts, the payload's own type.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use headers::{AcceptRanges, ContentLength, ContentRange, HeaderMapExt};

use crate::base::{Error, Result};
use crate::http::conditional::{self, Extent};
use crate::http::extract::PathIds;
use crate::http::fault;
use crate::http::state::App;
use crate::mime::Part;
use crate::store::payload::download::Content;
use crate::store::payload::{self, Stored};

/// Of a payload that a browser opens: strangers wrote it, and it must do nothing in our name.
const HARMLESS: [(HeaderName, HeaderValue); 2] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; sandbox")),
];

/// All of a payload, or a range of it (row 5).
#[utoipa::path(
    get, path = "/nms/v1/{storeName}/{boxId}/objects/{objectId}/payload", tag = "objects", operation_id = "readPayload",
    responses((status = 200, body = Vec<u8>, content_type = "*/*"), (status = 206, body = Vec<u8>, content_type = "*/*"), (status = 304), (status = 416))
)]
pub async fn read(app: App, ids: PathIds, method: Method, headers: HeaderMap) -> Result<Response> {
    let stored = payload::of_object(&app.database, &ids.store_box()?, ids.object()?).await?;
    // Of a payload that is not multipart, the whole is its only part.
    let disposition = match stored.payload.parts.as_slice() {
        [only] if only.offset == 0 && only.length == stored.payload.size => only.disposition.as_deref(),
        _ => None,
    };
    let what = What {
        content_type: &stored.payload.content_type,
        disposition,
        tag: stored.payload.hash.clone(),
        content: Content::whole(&stored),
    };
    Ok(serve(&app, what, &method, &headers))
}

/// One part of a payload, or a range of it (row 6).
#[utoipa::path(
    get, path = "/nms/v1/{storeName}/{boxId}/objects/{objectId}/payloadParts/{payloadPartId}", tag = "objects", operation_id = "readPayloadPart",
    responses((status = 200, body = Vec<u8>, content_type = "*/*"), (status = 206, body = Vec<u8>, content_type = "*/*"), (status = 304), (status = 416))
)]
pub async fn read_part(app: App, ids: PathIds, method: Method, headers: HeaderMap) -> Result<Response> {
    let (of, object, number) = (ids.store_box()?, ids.object()?, ids.payload_part()?);
    let stored = payload::of_object(&app.database, &of, object).await?;
    let part = part(&stored, number)?;
    let what = What {
        content_type: &part.content_type,
        disposition: part.disposition.as_deref(),
        tag: format!("{}-p{number}", stored.payload.hash),
        content: Content::part(&stored, part),
    };
    Ok(serve(&app, what, &method, &headers))
}

fn part(stored: &Stored, number: usize) -> Result<&Part> {
    stored.payload.parts.get(number - 1).ok_or(Error::NotFound { what: "payloadPart" })
}

/// Bytes to be served, and what is said of them.
struct What<'a> {
    content_type: &'a str,
    disposition: Option<&'a str>,
    tag: String,
    content: Content,
}

fn serve(app: &App, what: What<'_>, method: &Method, headers: &HeaderMap) -> Response {
    let size = what.content.size;
    let tag = conditional::tag(&what.tag);
    if let Some(tag) = tag.as_ref().filter(|tag| conditional::has(conditional::known(headers).as_ref(), tag)) {
        return conditional::not_modified(tag);
    }
    let extent = match *method {
        Method::GET => conditional::extent(headers, tag.as_ref(), size),
        _ => Extent::Whole,
    };
    let (status, range) = match extent {
        Extent::Whole => (StatusCode::OK, 0..size),
        Extent::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
        Extent::Nowhere => {
            let mut refusal = fault::of_http(StatusCode::RANGE_NOT_SATISFIABLE, "Range");
            refusal.headers_mut().typed_insert(ContentRange::unsatisfied_bytes(size));
            return refusal;
        }
    };
    let mut response = Response::new(Body::from_stream(what.content.read(app.database.clone(), range.clone())));
    *response.status_mut() = status;
    let answer = response.headers_mut();
    answer.extend(HARMLESS);
    answer.insert(header::CONTENT_TYPE, said(what.content_type).unwrap_or(OCTETS));
    if let Some(disposition) = what.disposition.and_then(said) {
        answer.insert(header::CONTENT_DISPOSITION, disposition);
    }
    answer.typed_insert(ContentLength(range.end - range.start));
    answer.typed_insert(AcceptRanges::bytes());
    if let Some(tag) = tag {
        answer.typed_insert(tag);
    }
    if status == StatusCode::PARTIAL_CONTENT
        && let Ok(range) = ContentRange::bytes(range, size)
    {
        answer.typed_insert(range);
    }
    response
}

const OCTETS: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// What a client said of its payload, if a header can say it.
fn said(text: &str) -> Option<HeaderValue> {
    HeaderValue::from_bytes(text.as_bytes()).ok()
}
