//! For whom a request is.

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::http::request::Parts;

use super::extract::Query;
use super::state::App;
use crate::base::ids::UserId;
use crate::base::{Error, Result};

/// Where a client says who it is, as long as nobody has to prove it; and otherwise, whose inbox it means.
const USER_HEADER: &str = "X-Tocsin-User";
/// The same for browsers, which cannot set headers of WebSockets.
const USER_PARAMETER: &str = "user";

/// The user for whom the request is: the one whose token it brings, or another whom that one may act for
/// (`http::access`); without authentication, who it says. A request for nobody is refused (401); as `Option<Caller>`, it
/// is nobody's.
#[derive(Debug, Clone)]
pub struct Caller(pub UserId);

impl FromRequestParts<App> for Caller {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        let how = "Say who you are in the header X-Tocsin-User or the query parameter user";
        let caller = <Caller as OptionalFromRequestParts<App>>::from_request_parts(parts, app).await?;
        caller.ok_or(Error::Unauthenticated { how })
    }
}

impl OptionalFromRequestParts<App> for Caller {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Option<Self>> {
        match parts.extensions.get::<Caller>() {
            Some(caller) => Ok(Some(caller.clone())),
            None if app.gate.is_some() => Ok(None), // what it says proves nothing
            None => Ok(said_user(parts).await?.map(Caller)),
        }
    }
}

/// The user that a request names.
pub async fn said_user(parts: &mut Parts) -> Result<Option<UserId>> {
    let named = match parts.headers.get(USER_HEADER) {
        Some(value) => {
            let text = std::str::from_utf8(value.as_bytes()).map_err(|_| Error::invalid(USER_HEADER))?;
            Some((USER_HEADER, text.to_owned()))
        }
        None => {
            let query = Query::from_request_parts(parts, &()).await?;
            query.get(USER_PARAMETER).map(|user| (USER_PARAMETER, user.to_owned()))
        }
    };
    let Some((part, user)) = named else { return Ok(None) };
    UserId::parse(&user).map(Some).map_err(|_| Error::invalid(part))
}
