//! What creates objects (spec/nms 2.4, notes 1 and 9): `multipart/form-data` with `root-fields` first and then
//! `attachments`, told apart by their `name` whatever else is said of them; or the root fields alone as the body.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use axum::body::{Body as HttpBody, BodyDataStream, HttpBody as _};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use futures_util::Stream;
use multer::{Field, Multipart};

use crate::base::{Error, Result};
use crate::http::extract::{Body, media_type};
use crate::http::state::App;
use crate::mime::Head;
use crate::mime::encoding::Decoder;
use crate::store::payload::Payload;
use crate::store::payload::upload::{Claim, Upload};
use crate::wire::json::Media;

/// Bytes between two entries of a form, their headers included, at most.
const BETWEEN_BYTES_MAX: usize = 64 << 10;
const ROOT_FIELDS: &str = "root-fields";
const ATTACHMENTS: &str = "attachments";
const TOO_LARGE: Error = Error::TooLarge { part: "Request-Body" };

/// Reads the root fields; and there is the form they came in, with the attachments after them, if it was one. The whole
/// may have `bytes_max` bytes.
pub async fn open(request: Request, app: &App, bytes_max: usize) -> Result<(Body, Option<Form>)> {
    let content_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if !content_type.is_some_and(is_form_data) {
        return Ok((Body::from_request(request, app).await?, None));
    }
    let boundary = multer::parse_boundary(content_type.unwrap_or_default()).map_err(|_| broken())?;
    if usize::try_from(request.body().size_hint().lower()).unwrap_or(usize::MAX) > bytes_max {
        return Err(TOO_LARGE);
    }
    let mut form = Form::new(request.into_body(), boundary, bytes_max);
    let root_fields = form.root_fields(app.limits.body_bytes_max).await?;
    Ok((root_fields, Some(form)))
}

fn is_form_data(content_type: &str) -> bool {
    content_type.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("multipart/form-data")
}

fn broken() -> Error {
    Error::invalid("Request-Body")
}

/// A fault of the form, or one of ours on the way through its reader.
fn fault(fault: multer::Error) -> Error {
    match fault {
        multer::Error::StreamReadFailed(cause) => cause.downcast::<Error>().map_or_else(|_| broken(), |ours| *ours),
        _ => broken(),
    }
}

/// A form whose attachments are still to come.
pub struct Form {
    entries: Multipart<'static>,
    between: Arc<AtomicUsize>,
}

impl Form {
    fn new(body: HttpBody, boundary: String, bytes_max: usize) -> Form {
        let between = Arc::new(AtomicUsize::new(0));
        let paced = Paced { body: body.into_data_stream(), left: bytes_max, between: between.clone(), pause: false };
        Form { entries: Multipart::new(paced, boundary), between }
    }

    /// The next entry, whatever it is.
    async fn entry(&mut self) -> Result<Option<Field<'static>>> {
        self.between.store(BETWEEN_BYTES_MAX, Ordering::Relaxed);
        let entry = self.entries.next_field().await.map_err(fault)?;
        self.between.store(usize::MAX, Ordering::Relaxed);
        Ok(entry)
    }

    /// The root fields, which must come before the attachments.
    async fn root_fields(&mut self, bytes_max: usize) -> Result<Body> {
        while let Some(mut entry) = self.entry().await? {
            match entry.name() {
                Some(ROOT_FIELDS) => {}
                Some(ATTACHMENTS) => break,
                _ => {
                    drain(&mut entry).await?;
                    continue;
                }
            }
            let media = media_type(entry.headers());
            if media == Some(Media::Form) || media.is_none() && entry.headers().contains_key(header::CONTENT_TYPE) {
                return Err(Error::UnsupportedMedia { part: ROOT_FIELDS });
            }
            let mut bytes = Vec::new();
            while let Some(more) = entry.chunk().await.map_err(fault)? {
                if bytes.len() + more.len() > bytes_max {
                    return Err(Error::TooLarge { part: ROOT_FIELDS });
                }
                bytes.extend_from_slice(&more);
            }
            return Ok(Body::new(media, bytes.into()));
        }
        Err(Error::invalid(ROOT_FIELDS))
    }

    /// The next of the attachments; `None` at the end of the form. What it is called otherwise is passed over.
    pub async fn attachment(&mut self) -> Result<Option<Field<'static>>> {
        while let Some(mut entry) = self.entry().await? {
            match entry.name() {
                Some(ATTACHMENTS) => return Ok(Some(entry)),
                Some(ROOT_FIELDS) => return Err(Error::invalid(ROOT_FIELDS)),
                _ => drain(&mut entry).await?,
            }
        }
        Ok(None)
    }
}

/// Passes over what is left of an entry.
pub async fn drain(entry: &mut Field<'_>) -> Result<()> {
    while entry.chunk().await.map_err(fault)?.is_some() {}
    Ok(())
}

/// What an attachment is to its object.
pub enum Attached {
    /// It has no bytes.
    Nothing,
    /// A short text, which becomes an attribute, and its Content-Type.
    Text(String, String),
    /// A payload.
    Payload(Payload, Claim),
}

/// Stores an attachment piece by piece as it comes. `inline`: if it is a short text, it is not stored but answered.
pub async fn attach(app: &App, entry: &mut Field<'_>, inline: bool) -> Result<Attached> {
    let head = head(entry.headers());
    let content_type = head.content_type().to_owned();
    let mut decoder = Decoder::new(head.encoding);
    let mut upload = Upload::new(app.database.clone(), app.uploads.clone(), head);
    let mut decoded = Vec::new();
    while let Some(bytes) = entry.chunk().await.map_err(fault)? {
        decoded.clear();
        decoder.decode(&bytes, &mut decoded);
        upload.write(&decoded).await?;
    }
    decoded.clear();
    decoder.end(&mut decoded);
    upload.write(&decoded).await?;
    if !decoder.is_sound() {
        return Err(Error::invalid(ATTACHMENTS));
    }
    if upload.size() == 0 {
        return Ok(Attached::Nothing);
    }
    match upload.text().filter(|_| inline) {
        Some(text) => Ok(Attached::Text(text.to_owned(), content_type)),
        None => upload.end().await.map(|(payload, claim)| Attached::Payload(payload, claim)),
    }
}

/// What an entry says of its content. Its disposition is the form's; of it only the file name is the payload's.
fn head(headers: &HeaderMap) -> Head {
    let line = |(name, value): (&header::HeaderName, &header::HeaderValue)| {
        [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat()
    };
    let lines: Vec<u8> = headers.iter().flat_map(line).collect();
    let mut head = Head::parse(&lines);
    let file = head.filename.as_deref().map(|name| name.replace('\\', "\\\\").replace('"', "\\\""));
    head.disposition = file.map(|name| format!("attachment; filename=\"{name}\""));
    head
}

/// A body that a form is read from: bounded in all and between two entries, and handed over one piece at a time, since
/// the form's reader would otherwise gather whatever there is.
struct Paced {
    body: BodyDataStream,
    /// Bytes that may still come.
    left: usize,
    /// Bytes that may still come before the next entry begins.
    between: Arc<AtomicUsize>,
    pause: bool,
}

impl Stream for Paced {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        if std::mem::take(&mut self.pause) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let between = self.between.load(Ordering::Relaxed);
        if between == 0 {
            return Poll::Ready(Some(Err(broken())));
        }
        let bytes = match std::task::ready!(Pin::new(&mut self.body).poll_next(cx)) {
            None => return Poll::Ready(None),
            Some(Err(_)) => return Poll::Ready(Some(Err(broken()))),
            Some(Ok(bytes)) => bytes,
        };
        self.pause = true;
        self.between.store(between.saturating_sub(bytes.len()), Ordering::Relaxed);
        match self.left.checked_sub(bytes.len()) {
            Some(left) => self.left = left,
            None => return Poll::Ready(Some(Err(TOO_LARGE))),
        }
        Poll::Ready(Some(Ok(bytes)))
    }
}
