//! What handlers take from a request: ids from the path, a body in a format we read, a caller who reads ours.

use axum::body::{Bytes, HttpBody};
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, RawPathParams, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::fault;
use super::state::App;
use crate::base::ids::{BoxName, ChannelId, SubscriptionId, UserId};
use crate::base::{Error, Result};

/// The decoded variables of the path.
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
        Ok(PathIds(params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()))
    }
}

/// A caller who reads JSON: the `Accept` header, where there is one, allows it. (406 otherwise.)
pub struct ReadsJson;

impl FromRequestParts<App> for ReadsJson {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Response> {
        if accepts_json(&parts.headers) {
            Ok(ReadsJson)
        } else {
            Err(fault::of_http(StatusCode::NOT_ACCEPTABLE, "Accept"))
        }
    }
}

fn accepts_json(headers: &HeaderMap) -> bool {
    let mut ranges = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    let mut any = false;
    let wanted = ranges.any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default().to_ascii_lowercase();
        any |= !name.is_empty();
        let refused =
            parts.any(|parameter| matches!(parameter.split_once('='), Some(("q", q)) if q.trim().parse() == Ok(0.0)));
        matches!(name.as_str(), "application/json" | "application/*" | "*/*" | "*") && !refused
    });
    wanted || !any
}

/// A body in JSON. Without a `Content-Type` it is taken for JSON; another one is refused (415), and so is one that is
/// too large (413).
pub struct JsonBody(pub Bytes);

impl FromRequest<App> for JsonBody {
    type Rejection = Response;

    async fn from_request(request: Request, app: &App) -> Result<Self, Response> {
        let content_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let media_type = content_type.unwrap_or("application/json").split(';').next().unwrap_or_default().trim();
        if !media_type.eq_ignore_ascii_case("application/json") {
            return Err(fault::of_http(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Content-Type"));
        }
        // One that announces its size need not come first.
        if usize::try_from(request.body().size_hint().lower()).unwrap_or(usize::MAX) > app.limits.body_bytes_max {
            return Err(too_large());
        }
        match Bytes::from_request(request, app).await {
            Ok(body) => Ok(JsonBody(body)),
            Err(BytesRejection::FailedToBufferBody(rejection))
                if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE =>
            {
                Err(too_large())
            }
            Err(_) => Err(Error::invalid("Request-Body").into_response()),
        }
    }
}

fn too_large() -> Response {
    fault::of_http(StatusCode::PAYLOAD_TOO_LARGE, "Request-Body")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept() {
        let with = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, value.parse().unwrap());
            accepts_json(&headers)
        };
        for fine in
            ["application/json", "*/*", "", "text/html, application/json;q=0.1", "APPLICATION/JSON; charset=utf-8"]
        {
            assert!(with(fine), "{fine}");
        }
        for not in ["application/xml", "application/json;q=0", "text/*"] {
            assert!(!with(not), "{not}");
        }
        assert!(accepts_json(&HeaderMap::new()));
    }
}
