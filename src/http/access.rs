//! Who asks, and whether they may: one layer before all handlers, and the one table that says what each request needs.
//! What nobody thought of needs the right to everything.
//!
//! What is not the caller's answers as what is not there, on whatever path: 404.

use std::convert::Infallible;

use axum::extract::{FromRequestParts, MatchedPath, RawPathParams, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::Response;

use super::caller::{Caller, said_user};
use super::client_address::ClientAddress;
use super::extract::Query;
use super::fault;
use super::state::{AcrAuth, App};
use crate::auth::Gate;
use crate::auth::grants::{Kind, Resource, Right, basis};
use crate::auth::pass::Pass;
use crate::auth::scope::Scopes;
use crate::auth::token::{ACR_AUTH, Principal};
use crate::base::ids::{BoxName, UserId};
use crate::base::{Error, Result};
use crate::channel::{Channel, NO_CHANNEL};

/// The scheme of tokens in the header `Authorization`; OMA's examples write it in capitals.
const SCHEME: &str = "bearer";
/// Where browsers say a token when they open a WebSocket, since they cannot set headers.
const TOKEN_PARAMETER: &str = "access_token";
const NOBODY: Error = Error::Unauthenticated { how: "Send an access token: Authorization: Bearer" };
/// What there is not, or what is not the caller's.
pub const NOT_THERE: Error = Error::NotFound { what: "resource" };

/// What a request needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Needs {
    /// Nothing: it tells nothing about anybody, or its URL is the proof.
    Nothing,
    /// The secret in its URL; a token beside it is held to what it says, and may be required.
    Secret,
    /// A token with any of these scopes, whose user has a right to a resource.
    Scope(Scopes, Of, Right),
    /// A token that is good for everything.
    Admin,
}

/// Which resource a request is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    /// None in particular: what its handler shows is the caller's own.
    Caller,
    /// `{userId}`.
    User,
    /// `{storeName}/{boxId}`.
    Box,
    /// The notifications of the user that the request names, or of the caller.
    Inbox,
    /// `{room}`.
    Room,
    /// `{tableName}`.
    Table,
}

/// The table: what a request to a route, by its template, needs.
fn needs(route: &str, method: &Method) -> Needs {
    let reads = matches!(*method, Method::GET | Method::HEAD);
    let right = if reads { Right::Read } else { Right::Write };
    let with = |scopes, of| Needs::Scope(scopes, of, right);
    if let Some(rest) = route.strip_prefix("/notificationchannel/v1/{userId}/channels") {
        return with(channel_scopes(rest), Of::User);
    }
    if let Some(rest) = route.strip_prefix("/nms/v1/{storeName}/{boxId}") {
        let (scopes, right) = nms_scopes(rest, method);
        return Needs::Scope(scopes, Of::Box, right);
    }
    const TELLERS: Scopes = Scopes::PUBLISH.or(Scopes::ROOMS);
    match route {
        "/healthz" | "/readyz" | "/callback/{token}" | "/openapi.json" | "/asyncapi.json" => Needs::Nothing,
        "/console" | "/console/" | "/console/{file}" => Needs::Nothing,
        "/ws/{token}" | "/poll/{token}" | "/large/{token}" => Needs::Secret,
        "/metrics" if reads => with(Scopes::METRICS, Of::Caller),
        "/ws/notifications" => Needs::Scope(Scopes::INBOX, Of::Inbox, Right::Read),
        "/ws/rooms/{room}" => Needs::Scope(Scopes::ROOMS, Of::Room, Right::Read),
        "/api/rooms/{room}" => with(TELLERS, Of::Room),
        "/api/events" | "/api/groups" => with(Scopes::PUBLISH, Of::Caller),
        "/api/event-types" if reads => with(TELLERS.or(Scopes::INBOX), Of::Caller),
        "/api/event-types" => with(Scopes::PUBLISH, Of::Caller),
        "/api/deferred" | "/api/deferred/{id}" => with(TELLERS.or(Scopes::CHANNELS), Of::Caller),
        "/api/tables" | "/api/tables/" => with(Scopes::TABLES, Of::Caller),
        "/api/tables/{tableName}" | "/api/tables/{tableName}/{rowKey}" => with(Scopes::TABLES, Of::Table),
        "/api/grants" | "/api/grants/{id}" => with(Scopes::GRANT, Of::Caller),
        _ if route.starts_with("/api/operator/") => with(Scopes::OPERATOR, Of::Caller),
        _ if route.starts_with("/api/notifications") => with(Scopes::INBOX, Of::Inbox),
        _ => Needs::Admin,
    }
}

/// What a request needs, as its documentation says it.
pub(super) enum Access {
    /// Nothing.
    Open,
    /// A secret in its URL.
    Secret,
    /// A token with any of these scopes.
    Scopes(Vec<String>),
}

/// What a request to a route, by its template, needs.
pub(super) fn access(route: &str, method: &Method) -> Access {
    match needs(route, method) {
        Needs::Nothing => Access::Open,
        Needs::Secret => Access::Secret,
        Needs::Scope(scopes, ..) => {
            let enough = Scopes::known().filter(|name| Scopes::named([*name]).has_any(scopes));
            Access::Scopes(enough.map(str::to_owned).collect())
        }
        Needs::Admin => Access::Scopes(vec!["tocsin.admin".to_owned()]),
    }
}

/// spec/notification-channel 10.1.
fn channel_scopes(rest: &str) -> Scopes {
    if rest.ends_with("/channelLifetime") {
        Scopes::CHANNELS_ALL.or(Scopes::OMA_PUSH).or(Scopes::WEB_SOCKETS)
    } else {
        Scopes::CHANNELS
    }
}

/// spec/nms 2.6. A subscription reads the box, whatever it does to itself.
fn nms_scopes(rest: &str, method: &Method) -> (Scopes, Right) {
    match rest {
        _ if rest.starts_with("/subscriptions") => (Scopes::NMS_SUBSCRIPTION, Right::Read),
        _ if rest.ends_with("/operations/search") || rest.ends_with("/operations/pathToId") => {
            (Scopes::NMS_READ, Right::Read)
        }
        _ if matches!(*method, Method::GET | Method::HEAD) => (Scopes::NMS_READ, Right::Read),
        "/objects" | "/objects/operations/bulkCreation" => (Scopes::NMS_CREATE, Right::Write),
        _ => (Scopes::NMS_MODIFY, Right::Write),
    }
}

/// The layer. Without authentication it lets everything pass.
pub async fn check(State(app): State<App>, request: Request, next: Next) -> Response {
    let Some(gate) = app.gate.clone() else { return next.run(request).await };
    let (mut parts, body) = request.into_parts();
    match admit(&app, &gate, &mut parts).await {
        Ok(()) => next.run(Request::from_parts(parts, body)).await,
        Err(refused) => fault::response(&refused),
    }
}

async fn admit(app: &App, gate: &Gate, parts: &mut Parts) -> Result<()> {
    let Some(route) = parts.extensions.get::<MatchedPath>().cloned() else { return Ok(()) };
    let needs = needs(route.as_str(), &parts.method);
    if let Some(address) = parts.extensions.get::<ClientAddress>() {
        app.quotas.admit_address(*address)?;
    }
    if needs == Needs::Nothing {
        return Ok(());
    }
    let principal = match token_of(parts).await? {
        Some(token) => gate.verify(&token).await?,
        None if needs == Needs::Secret && !gate.channel_urls_need_token => return Ok(()),
        None => return Err(NOBODY),
    };
    app.quotas.admit_user(&principal)?;
    let caller = match needs {
        Needs::Nothing | Needs::Secret => principal.user.clone(),
        Needs::Scope(scopes, ..) if !principal.scopes.has_any(scopes) => {
            return Err(Error::Scope { scopes: scopes.names() });
        }
        Needs::Admin if !principal.scopes.is_admin() => {
            return Err(Error::Scope { scopes: "tocsin.admin".to_owned() });
        }
        Needs::Admin => principal.user.clone(),
        Needs::Scope(_, of, right) => reach(app, parts, &principal, of, right).await?,
    };
    parts.extensions.insert(Caller(caller));
    parts.extensions.insert(principal);
    Ok(())
}

/// Sees that the principal may do this to what the request is about. Answers whom the request is for: the principal, or
/// the user it names.
async fn reach(app: &App, parts: &mut Parts, principal: &Principal, of: Of, right: Right) -> Result<UserId> {
    let named = said_user(parts).await?;
    let caller = match named {
        Some(named) if of == Of::Inbox || principal.scopes.is_admin() => named,
        _ => principal.user.clone(),
    };
    if of == Of::Room && right == Right::Write && principal.scopes.has_any(Scopes::PUBLISH) {
        return Ok(caller); // the application itself speaks in every room
    }
    let Some(resource) = resource(parts, of, principal, &caller).await? else { return Ok(caller) };
    match basis(&app.database, principal, &resource, right).await? {
        Some(_) => Ok(caller),
        None => Err(NOT_THERE),
    }
}

async fn resource(parts: &mut Parts, of: Of, principal: &Principal, caller: &UserId) -> Result<Option<Resource>> {
    let params = RawPathParams::from_request_parts(parts, &()).await.map_err(|_| Error::invalid("Request-URI"))?;
    if params.iter().any(|(_, value)| value == ACR_AUTH) {
        parts.extensions.insert(AcrAuth);
    }
    let named = |wanted: &str| params.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value).ok_or(NOT_THERE);
    let owner = |wanted| named(wanted).map(|id| if id == ACR_AUTH { principal.user.as_str() } else { id });
    Ok(Some(match of {
        Of::Caller => return Ok(None),
        Of::User => Resource::new(Kind::User, UserId::parse(owner("userId")?)?.as_str()),
        Of::Box => Resource::of_box(&BoxName::parse(named("storeName")?, owner("boxId")?)?),
        Of::Inbox => Resource::new(Kind::Inbox, caller.as_str()),
        Of::Room => Resource::new(Kind::Room, named("room")?),
        Of::Table => Resource::new(Kind::Table, named("tableName")?),
    }))
}

/// The token of a request: in its header, or in its query when it opens a WebSocket.
async fn token_of(parts: &mut Parts) -> Result<Option<String>> {
    if let Some(token) = bearer(&parts.headers)? {
        return Ok(Some(token.to_owned()));
    }
    if !parts.headers.contains_key(header::UPGRADE) {
        return Ok(None);
    }
    let query = Query::from_request_parts(parts, &()).await?;
    Ok(query.get(TOKEN_PARAMETER).map(str::to_owned))
}

/// The token in `Authorization`. Another scheme says nothing to us; two headers, or a text that is none, are refused.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        let several = headers.contains_key(header::AUTHORIZATION);
        return if several { Err(Error::invalid("Authorization")) } else { Ok(None) };
    };
    let text = value.to_str().map_err(|_| Error::invalid("Authorization"))?;
    let Some((scheme, token)) = text.trim().split_once(' ') else { return Ok(None) };
    Ok(scheme.eq_ignore_ascii_case(SCHEME).then(|| token.trim()))
}

/// Who asks, by their token; nobody, when callers are not told apart or the URL is the proof.
#[derive(Debug, Clone)]
pub struct Asking(pub Option<Principal>);

impl Asking {
    /// Whether the token, if there has to be one, has one of these scopes.
    pub fn has_any(&self, scopes: Scopes) -> bool {
        self.0.as_ref().is_none_or(|principal| principal.scopes.has_any(scopes))
    }

    /// What a socket is opened with that reads a resource with one of these scopes: as good as its token, if it brought
    /// one. `missing` when the resource is none of theirs.
    pub async fn pass(
        self,
        app: &App,
        scopes: Scopes,
        resource: Resource,
        missing: Error,
    ) -> Result<Option<Box<Pass>>> {
        let (Some(gate), Some(principal)) = (&app.gate, self.0) else { return Ok(None) };
        Pass::new(gate, &app.database, principal, scopes, resource, missing).await.map(|pass| Some(Box::new(pass)))
    }

    /// As [`Asking::pass`], for a channel, with the scope of its type or that of all.
    pub async fn pass_to(self, app: &App, channel: &Channel, scope: Scopes) -> Result<Option<Box<Pass>>> {
        let owner = Resource::new(Kind::User, channel.user.as_str());
        self.pass(app, Scopes::CHANNELS_ALL.or(scope), owner, NO_CHANNEL).await
    }

    /// The user to whom what is shown is to be confined; `None`: everything may be shown.
    pub fn confined_to(&self) -> Option<&UserId> {
        self.0.as_ref().filter(|principal| !principal.scopes.is_admin()).map(|principal| &principal.user)
    }
}

impl<S: Sync> FromRequestParts<S> for Asking {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Asking(parts.extensions.get().cloned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_thought_of_needs_the_right_to_everything() {
        assert_eq!(needs("/api/something-new", &Method::GET), Needs::Admin);
        assert_eq!(needs("/", &Method::POST), Needs::Admin);
        let modify = Needs::Scope(Scopes::NMS_MODIFY, Of::Box, Right::Write);
        assert_eq!(needs("/nms/v1/{storeName}/{boxId}/something-new", &Method::PATCH), modify);
    }

    #[test]
    fn scopes_are_those_of_the_specifications() {
        let of = |route: &str, method| match needs(route, &method) {
            Needs::Scope(scopes, _, right) => (scopes, right),
            other => panic!("{other:?}"),
        };
        let channels = "/notificationchannel/v1/{userId}/channels";
        for method in [Method::GET, Method::POST] {
            assert!(of(channels, method).0.has_any(Scopes::LONG_POLL));
        }
        let (scopes, _) = of(&format!("{channels}/{{channelId}}/channelLifetime"), Method::PUT);
        assert!(!scopes.has_any(Scopes::LONG_POLL) && scopes.has_any(Scopes::OMA_PUSH));
        let nms = "/nms/v1/{storeName}/{boxId}";
        for (path, method, scope, right) in [
            ("/objects", Method::POST, Scopes::NMS_CREATE, Right::Write),
            ("/objects/operations/bulkCreation", Method::POST, Scopes::NMS_CREATE, Right::Write),
            ("/objects/{objectId}", Method::GET, Scopes::NMS_READ, Right::Read),
            ("/objects/{objectId}", Method::DELETE, Scopes::NMS_MODIFY, Right::Write),
            ("/objects/operations/search", Method::POST, Scopes::NMS_READ, Right::Read),
            ("/folders/operations/pathToId", Method::POST, Scopes::NMS_READ, Right::Read),
            ("/objects/operations/bulkUpdate", Method::POST, Scopes::NMS_MODIFY, Right::Write),
            ("/objects/{objectId}/flags/{flagName}", Method::PUT, Scopes::NMS_MODIFY, Right::Write),
            ("/folders/operations/copyToFolder", Method::POST, Scopes::NMS_MODIFY, Right::Write),
            ("/subscriptions", Method::GET, Scopes::NMS_SUBSCRIPTION, Right::Read),
            ("/subscriptions/{subscriptionId}", Method::DELETE, Scopes::NMS_SUBSCRIPTION, Right::Read),
        ] {
            assert_eq!(of(&format!("{nms}{path}"), method.clone()), (scope, right), "{method} {path}");
        }
    }
}
