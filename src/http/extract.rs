//! What handlers take from a request: ids from the path, a body in a format we read, a caller who reads ours.

use std::str::FromStr;

use axum::body::{Bytes, HttpBody};
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, RawPathParams, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};

use super::state::App;
use crate::auth::token::{ACR_AUTH, Principal};
use crate::base::ids::{BoxName, ChannelId, SubscriptionId, UserId, check_id};
use crate::base::{Error, Format, Result};
use crate::wire::json::{Fields, Media};
use crate::wire::nms::{check_flag, folder_of};

/// `acr:auth` stands for the user of a token, and there is none.
const ANONYMOUS: Error = Error::Unauthenticated { how: "acr:auth stands for the user of an access token" };

/// The decoded variables of the path; where `acr:auth` stands, the user of the token (spec/notification-channel 10.2).
#[derive(Debug)]
pub struct PathIds(Vec<(String, String)>);

impl PathIds {
    fn get(&self, name: &str) -> Result<&str> {
        let found = self.0.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str()).ok_or_else(|| Error::invalid(name))
    }

    /// `{userId}`.
    pub fn user(&self) -> Result<UserId> {
        UserId::parse(self.get("userId")?)
    }

    /// `{channelId}`.
    pub fn channel(&self) -> Result<ChannelId> {
        Ok(ChannelId::from_text(self.plain("channelId")?))
    }

    /// `{storeName}/{boxId}`.
    pub fn store_box(&self) -> Result<BoxName> {
        BoxName::parse(self.get("storeName")?, self.get("boxId")?)
    }

    /// `{subscriptionId}`.
    pub fn subscription(&self) -> Result<SubscriptionId> {
        Ok(SubscriptionId::from_text(self.plain("subscriptionId")?))
    }

    /// `{objectId}`.
    pub fn object(&self) -> Result<&str> {
        self.plain("objectId")
    }

    /// `{flagName}`.
    pub fn flag(&self) -> Result<String> {
        check_flag(self.get("flagName")?.to_owned())
    }

    /// `{folderId}`: 0 is the root folder.
    pub fn folder(&self) -> Result<i64> {
        let id = self.plain("folderId").ok().and_then(folder_of);
        id.ok_or(Error::NotFound { what: "folder" })
    }

    /// `{payloadPartId}`: `p1` is the first.
    pub fn payload_part(&self) -> Result<usize> {
        let number = self.plain("payloadPartId")?.strip_prefix('p').and_then(|number| number.parse().ok());
        number.filter(|number| *number > 0).ok_or(Error::NotFound { what: "payloadPart" })
    }

    /// `{id}`: a number of ours.
    pub fn number(&self, missing: Error) -> Result<i64> {
        self.plain("id").ok().and_then(|id| id.parse().ok()).ok_or(missing)
    }

    /// `{targetId}`.
    pub fn target(&self) -> Result<ChannelId> {
        Ok(ChannelId::from_text(self.plain("targetId")?))
    }

    /// `{room}`.
    pub fn room(&self) -> Result<String> {
        check_id("room", self.get("room")?)?;
        Ok(self.get("room")?.to_owned())
    }

    /// `{tableName}`: of a watched table.
    pub fn table(&self) -> Result<&str> {
        self.without_nul("tableName", "table")
    }

    /// `{rowKey}`: of a row of it.
    pub fn row_key(&self) -> Result<&str> {
        self.without_nul("rowKey", "row")
    }

    /// Any text that Postgres can hold: whatever cannot be one does not exist.
    fn without_nul(&self, name: &str, what: &'static str) -> Result<&str> {
        Some(self.get(name)?).filter(|text| !text.contains('\0')).ok_or(Error::NotFound { what })
    }

    /// `{token}`.
    pub fn token(&self) -> Result<&str> {
        self.plain("token")
    }

    /// An id of our own making: whatever could not be one does not exist.
    fn plain(&self, name: &str) -> Result<&str> {
        let id = self.get(name)?;
        let ours = id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
        if ours { Ok(id) } else { Err(Error::NotFound { what: "resource" }) }
    }
}

impl FromRequestParts<App> for PathIds {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        // Rejected when a variable, decoded, is not UTF-8.
        let params = RawPathParams::from_request_parts(parts, app).await.map_err(|_| Error::invalid("Request-URI"))?;
        let user = parts.extensions.get::<Principal>().map(|principal| principal.user.as_str());
        let meant = |name: &str, value: &str| match (name, value, user) {
            ("userId" | "boxId", ACR_AUTH, Some(user)) => Ok(user.to_owned()),
            ("userId" | "boxId", ACR_AUTH, None) => Err(ANONYMOUS),
            _ => Ok(value.to_owned()),
        };
        params
            .iter()
            .map(|(name, value)| Ok((name.to_owned(), meant(name, value)?)))
            .collect::<Result<_>>()
            .map(PathIds)
    }
}

/// The decoded parameters of the query, in their order. Their names are compared without case, unknown ones ignored.
#[derive(Debug)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// All values of a parameter.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The value of a parameter, the first of several.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// The same as a text that Postgres can hold: none of its texts has a NUL.
    pub fn text(&self, name: &str) -> Result<Option<&str>> {
        match self.get(name) {
            Some(text) if text.contains('\0') => Err(Error::invalid(name)),
            text => Ok(text),
        }
    }

    /// How many entries a page is to have: `limit`, from 1 on and no more than `most`; without it, `default`.
    pub fn limit<T: FromStr + Ord + Default>(&self, default: T, most: T) -> Result<T> {
        let Some(text) = self.get("limit") else { return Ok(default) };
        let limit = text.parse().ok().filter(|limit: &T| *limit > T::default());
        limit.map(|limit| limit.min(most)).ok_or_else(|| Error::invalid("limit"))
    }

    /// The query of another page: with these parameters again, as far as they are here, and where that page begins.
    pub fn again(&self, names: &[&str], place: (&str, &str)) -> String {
        let mut again = url::form_urlencoded::Serializer::new(String::new());
        for name in names {
            again.extend_pairs(self.get(name).map(|value| (name, value)));
        }
        again.append_pair(place.0, place.1).finish()
    }
}

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        Ok(Query(url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()).into_owned().collect()))
    }
}

/// The format of a body by its `Content-Type`; `None` for one that we do not read, or when nothing is said.
pub fn media_type(headers: &HeaderMap) -> Option<Media> {
    let content_type = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    match content_type.split(';').next()?.trim().to_ascii_lowercase().as_str() {
        "application/json" => Some(Media::Json),
        "application/xml" | "text/xml" => Some(Media::Xml),
        "application/x-www-form-urlencoded" => Some(Media::Form),
        _ => None,
    }
}

/// A body in JSON or XML; another one is refused (415), and so is one that is too large (413). One of which nothing
/// is said is taken for what it looks like.
pub struct Body {
    /// What it is.
    pub media: Media,
    /// All of it.
    pub bytes: Bytes,
}

/// A body in JSON or XML, or a form, where the specification has one (Notification Channel, Appendix C).
pub struct BodyOrForm(pub Body);

/// A body that names many users, and so may be larger than others.
pub struct Audience(pub Body);

impl Body {
    /// One of which it is said what it is, or nothing.
    pub fn new(media: Option<Media>, bytes: Bytes) -> Self {
        Body { media: media.unwrap_or_else(|| look(&bytes)), bytes }
    }

    /// What is in it, below its root.
    pub fn fields(&self, root: &str) -> Result<Fields> {
        Fields::read(self.media, &self.bytes, root)
    }

    /// The format its sender writes, and so most likely reads.
    pub fn format(&self) -> Format {
        if self.media == Media::Xml { Format::Xml } else { Format::Json }
    }
}

impl FromRequest<App> for Body {
    type Rejection = Error;

    async fn from_request(request: Request, app: &App) -> Result<Self> {
        if media_type(request.headers()) == Some(Media::Form) {
            return Err(UNSUPPORTED);
        }
        read_body(request, app, app.limits.body_bytes_max).await
    }
}

impl FromRequest<App> for Audience {
    type Rejection = Error;

    async fn from_request(request: Request, app: &App) -> Result<Self> {
        read_body(request, app, app.limits.audience_bytes_max).await.map(Audience)
    }
}

impl FromRequest<App> for BodyOrForm {
    type Rejection = Error;

    async fn from_request(request: Request, app: &App) -> Result<Self> {
        read_body(request, app, app.limits.body_bytes_max).await.map(BodyOrForm)
    }
}

const UNSUPPORTED: Error = Error::UnsupportedMedia { part: "Content-Type" };
const TOO_LARGE: Error = Error::TooLarge { part: "Request-Body" };

async fn read_body(request: Request, app: &App, bytes_max: usize) -> Result<Body> {
    let media = media_type(request.headers());
    if media.is_none() && request.headers().contains_key(header::CONTENT_TYPE) {
        return Err(UNSUPPORTED);
    }
    // One that announces its size need not come first.
    if usize::try_from(request.body().size_hint().lower()).unwrap_or(usize::MAX) > bytes_max {
        return Err(TOO_LARGE);
    }
    match Bytes::from_request(request, app).await {
        Ok(bytes) => Ok(Body::new(media, bytes)),
        Err(BytesRejection::FailedToBufferBody(rejection)) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            Err(TOO_LARGE)
        }
        Err(_) => Err(Error::invalid("Request-Body")),
    }
}

fn look(body: &[u8]) -> Media {
    if body.trim_ascii_start().starts_with(b"<") { Media::Xml } else { Media::Json }
}
