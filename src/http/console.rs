//! The console: one page for browsers, whose files are part of the program. It has no rights of its own: what it shows, it
//! asks for like any other client, with the token of whoever looks.

use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Redirect, Response};
use headers::HeaderMapExt;

use super::conditional;
use crate::base::{Error, Result};

/// What the page may do: its own scripts and styles, and sockets, whose address may be another one than the page's.
const CSP: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' ws: wss:; img-src 'self' data:; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);
const SCRIPT: &str = "text/javascript; charset=utf-8";
const PAGE: File = ("text/html; charset=utf-8", include_str!("../../console/index.html"));

/// Media type and content.
type File = (&'static str, &'static str);

/// A file that the page loads.
fn file(name: &str) -> Option<File> {
    Some(match name {
        "box.js" => (SCRIPT, include_str!("../../console/box.js")),
        "console.js" => (SCRIPT, include_str!("../../console/console.js")),
        "feed.js" => (SCRIPT, include_str!("../../console/feed.js")),
        "node.js" => (SCRIPT, include_str!("../../console/node.js")),
        "operator.js" => (SCRIPT, include_str!("../../console/operator.js")),
        "page.js" => (SCRIPT, include_str!("../../console/page.js")),
        "session.js" => (SCRIPT, include_str!("../../console/session.js")),
        "console.css" => ("text/css; charset=utf-8", include_str!("../../console/console.css")),
        "tocsin.js" => (SCRIPT, include_str!("../../clients/js/tocsin.js")),
        _ => return None,
    })
}

/// The page.
pub async fn page(asked: HeaderMap) -> Response {
    serve(PAGE, &asked)
}

/// What its address may also be taken for.
pub async fn to_page() -> Redirect {
    Redirect::permanent("../console")
}

/// Its scripts and styles.
pub async fn part(Path(name): Path<String>, asked: HeaderMap) -> Result<Response> {
    let file = file(&name).ok_or(Error::NotFound { what: "resource" })?;
    Ok(serve(file, &asked))
}

/// The tag has browsers take the files of a newer program at once.
fn serve((media_type, content): File, asked: &HeaderMap) -> Response {
    let tag = conditional::tag_of(content.as_bytes());
    let mut response = match &tag {
        Some(tag) if conditional::has(conditional::known(asked).as_ref(), tag) => conditional::not_modified(tag),
        _ => ([(header::CONTENT_TYPE, media_type)], content).into_response(),
    };
    if let Some(tag) = tag {
        response.headers_mut().typed_insert(tag);
    }
    // Also with a 304: what it says replaces what the browser has kept.
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, CSP);
    response
}
