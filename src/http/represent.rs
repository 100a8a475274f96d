//! Which format a client reads, and writing answers in it: the one place where JSON and XML part ways on the way out.
//!
//! Handlers answer with a [`Document`], faults included; the layer writes it in the format the request asked for
//! (spec/common 1): `resFormat`, else `Accept`, else the format of the request's body, else JSON.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use headers::HeaderMapExt;
use serde_json::Value;

use super::conditional;
use super::extract::media_type;
use super::fault::{self, Missing, linked};
use crate::base::Format;
use crate::wire::json::Media;
use crate::wire::urls::Urls;
use crate::wire::xml;

/// A resource or a fault as structure-aware JSON, `{"root": ...}`, to be written in the format the client reads.
#[derive(Debug, Clone)]
pub struct Document(pub Value);

impl IntoResponse for Document {
    fn into_response(self) -> Response {
        let mut response = Response::default();
        response.extensions_mut().insert(self);
        response
    }
}

/// As [`Document`], with an ETag of what is written: a client that has it already gets 304.
#[derive(Debug, Clone)]
pub struct Tagged(pub Value);

/// Marks an answer that gets an ETag.
#[derive(Debug, Clone, Copy)]
struct WithTag;

impl IntoResponse for Tagged {
    fn into_response(self) -> Response {
        let mut response = Document(self.0).into_response();
        response.extensions_mut().insert(WithTag);
        response
    }
}

/// What a request asks for: `None` when it accepts nothing that we write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wanted(Option<Format>);

/// The layer.
pub async fn represent(State(urls): State<Arc<Urls>>, mut request: Request, next: Next) -> Response {
    let wanted = wanted(request.uri(), request.headers());
    request.extensions_mut().insert(Wanted(wanted));
    let path = request.uri().path().to_owned();
    let known = conditional::known(request.headers());
    let mut response = next.run(request).await;
    let Some(Document(mut document)) = response.extensions_mut().remove() else { return response };
    if let Some(Missing(what)) = response.extensions().get()
        && path.starts_with("/nms/")
    {
        document["requestError"] = linked(what, &urls.absolute(&path), document["requestError"].take());
    }
    let (content_type, text) = match wanted {
        Some(Format::Xml) => ("application/xml", xml::write(&document)),
        Some(Format::Json) | None => ("application/json", document.to_string()),
    };
    let tag = response.extensions_mut().remove::<WithTag>().and_then(|WithTag| conditional::tag_of(text.as_bytes()));
    let (mut head, _) = response.into_parts();
    head.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    if let Some(tag) = tag {
        head.headers.insert(header::VARY, HeaderValue::from_static("Accept"));
        if conditional::has(known.as_ref(), &tag) {
            return conditional::not_modified(&tag);
        }
        head.headers.typed_insert(tag);
    }
    (head, text).into_response()
}

/// The format a client reads: 406 for one who reads neither. Handlers that answer with a body ask for it before they
/// do anything.
pub struct Reads(pub Format);

impl<S: Sync> FromRequestParts<S> for Reads {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        match parts.extensions.get::<Wanted>() {
            Some(Wanted(Some(format))) => Ok(Reads(*format)),
            _ => Err(fault::of_http(StatusCode::NOT_ACCEPTABLE, "Accept")),
        }
    }
}

fn wanted(uri: &Uri, headers: &HeaderMap) -> Option<Format> {
    let query = uri.query().unwrap_or_default();
    let of_query = url::form_urlencoded::parse(query.as_bytes())
        .filter(|(name, _)| name.eq_ignore_ascii_case("resFormat"))
        .find_map(|(_, value)| Format::parse(&value.to_ascii_uppercase()));
    let of_body = match media_type(headers) {
        Some(Media::Xml) => Format::Xml,
        _ => Format::Json,
    };
    of_query.or_else(|| accepted(headers, of_body))
}

/// The better of JSON and XML by the `Accept` headers; on a tie, the one given.
fn accepted(headers: &HeaderMap, on_tie: Format) -> Option<Format> {
    let ranges: Vec<(String, f32)> = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(range)
        .filter(|(name, _)| !name.is_empty())
        .collect();
    if ranges.is_empty() {
        return Some(on_tie);
    }
    let (json, xml) = (quality(&ranges, &["application/json"]), quality(&ranges, &["application/xml", "text/xml"]));
    match json.total_cmp(&xml) {
        _ if json <= 0.0 && xml <= 0.0 => None,
        std::cmp::Ordering::Equal => Some(on_tie),
        std::cmp::Ordering::Greater => Some(Format::Json),
        std::cmp::Ordering::Less => Some(Format::Xml),
    }
}

/// A media range and its q.
fn range(text: &str) -> (String, f32) {
    let mut parts = text.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default().to_ascii_lowercase();
    let q = parts.filter_map(|parameter| parameter.split_once('=')).find(|(name, _)| name.trim() == "q");
    (name, q.map_or(1.0, |(_, q)| q.trim().parse().unwrap_or(0.0)))
}

/// The q of a media type: that of the most specific range that covers it.
fn quality(ranges: &[(String, f32)], names: &[&str]) -> f32 {
    let of = |wanted: &dyn Fn(&str) -> bool| {
        ranges.iter().filter(|(name, _)| wanted(name)).map(|(_, q)| *q).max_by(f32::total_cmp)
    };
    of(&|name| names.contains(&name))
        .or_else(|| of(&|name| name == "application/*"))
        .or_else(|| of(&|name| name == "*/*" || name == "*"))
        .unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accept_header_decides_then_the_body() {
        let with = |accept: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().unwrap());
            accepted(&headers, Format::Xml)
        };
        for json in [
            "application/json",
            "APPLICATION/JSON; charset=utf-8",
            "text/html, application/json;q=0.1",
            "application/xml;q=0.5, application/json",
            "application/xml;q=0, */*;q=0.1",
        ] {
            assert_eq!(with(json), Some(Format::Json), "{json}");
        }
        for xml in
            ["application/xml", "text/xml", "application/json;q=0.2, application/*;q=0.3", "*/*", "", "application/*"]
        {
            assert_eq!(with(xml), Some(Format::Xml), "{xml}");
        }
        for neither in ["text/*", "application/json;q=0", "application/json;q=x", "image/png, application/pdf"] {
            assert_eq!(with(neither), None, "{neither}");
        }
        assert_eq!(accepted(&HeaderMap::new(), Format::Json), Some(Format::Json));
    }

    #[test]
    fn res_format_wins() {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/xml"));
        assert_eq!(wanted(&"/x?resFormat=JSON".parse().unwrap(), &headers), Some(Format::Json));
        assert_eq!(wanted(&"/x?resformat=xml&a=b".parse().unwrap(), &HeaderMap::new()), Some(Format::Xml));
        assert_eq!(wanted(&"/x?resFormat=other".parse().unwrap(), &headers), Some(Format::Xml));
    }
}
