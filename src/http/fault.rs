//! The one table from [`Error`] to status, code and body (spec/common 4).

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tracing::{error, warn};

use super::represent::Document;
use crate::base::Error;

/// Seconds after which a busy server may be asked again.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        response(&self)
    }
}

/// The answer for an error.
pub fn response(error: &Error) -> Response {
    let Fault { status, exception } = Fault::of(error);
    let mut response = (status, Document(json!({ "requestError": exception }))).into_response();
    if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
        response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
    }
    if let Some(challenge) = challenge(error) {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    if status == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST")); // it is one of a search
    }
    if let Error::NotFound { what } = error {
        response.extensions_mut().insert(Missing(what));
    }
    response
}

/// What a request should bring instead (RFC 6750, 3).
fn challenge(error: &Error) -> Option<HeaderValue> {
    let challenge = match error {
        Error::Unauthenticated { .. } => "Bearer".to_owned(),
        Error::InvalidToken { why } => format!("Bearer error=\"invalid_token\", error_description=\"{why}\""),
        Error::Scope { scopes } => format!("Bearer error=\"insufficient_scope\", scope=\"{scopes}\""),
        _ => return None,
    };
    HeaderValue::from_str(&challenge).ok()
}

/// The kind of resource that the request's URL does not lead to: in the NMS API, `represent` adds the link to it.
#[derive(Debug, Clone, Copy)]
pub struct Missing(pub &'static str);

/// An error as a client is told of it, alone or as one result among others.
#[derive(Debug)]
pub struct Fault {
    /// Of HTTP.
    pub status: StatusCode,
    /// What is in a `requestError`.
    pub exception: Value,
}

impl Fault {
    /// The one for an error. What a client is not told of one of ours goes to the log.
    pub fn of(error: &Error) -> Fault {
        use StatusCode as Is;
        const INVALID: &str = "Invalid input value for message part %1";
        const POLICY: &str = "A policy error occurred. Error code is %1";
        const NO_ADDRESS: &str = "No valid addresses provided in message part %1";
        const NO_RESOURCES: &str = "No server resources available to process the request";
        match error {
            Error::Invalid { part } => service(Is::BAD_REQUEST, "SVC0002", INVALID, &[part]),
            Error::InvalidChoice { part, valid } => service(
                Is::BAD_REQUEST,
                "SVC0003",
                "Invalid input value for message part %1, valid values are %2",
                &[part, valid],
            ),
            Error::TooLarge { part } => service(Is::PAYLOAD_TOO_LARGE, "SVC0002", INVALID, &[part]),
            Error::UnsupportedMedia { part } => service(Is::UNSUPPORTED_MEDIA_TYPE, "SVC0002", INVALID, &[part]),
            Error::NotFound { .. } => service(Is::NOT_FOUND, "SVC0004", NO_ADDRESS, &["Request-URI"]),
            Error::NotFoundAt { url } => service(Is::NOT_FOUND, "SVC0004", NO_ADDRESS, &[url]),
            Error::Unknown { kind, value } => service(Is::NOT_FOUND, "SVC2008", "Unknown %1 %2", &[kind, value]),
            Error::RenameForbidden => policy(Is::FORBIDDEN, "POL1030", "Renaming this folder is not allowed", &[]),
            Error::PlaceForbidden { place } => policy(
                Is::FORBIDDEN,
                "POL1031",
                "Attempt to create objects or folders under %1 is prohibited",
                &[place],
            ),
            Error::UnsupportedChannelType { asked, supported } => policy(
                Is::FORBIDDEN,
                "POL1023",
                "Notification channel type %1 not supported. Supported types: %2.",
                &[asked, supported],
            ),
            Error::Duplicate { correlator, rel, href } => {
                let text = "Correlator %1 specified in message part %2 is a duplicate";
                let Fault { status, exception } =
                    service(Is::CONFLICT, "SVC0005", text, &[correlator, "clientCorrelator"]);
                Fault { status, exception: linked(rel, href, exception) }
            }
            Error::Unavailable { feature } => {
                policy(Is::FORBIDDEN, "POL2006", "Requested feature %1 is not available", &[feature])
            }
            Error::UnknownPreset { name } => {
                policy(Is::METHOD_NOT_ALLOWED, "POL2006", "Requested feature %1 is not available", &[name])
            }
            Error::Policy { rule } => policy(Is::FORBIDDEN, "POL0001", POLICY, &[rule]),
            Error::Unauthenticated { how } => policy(Is::UNAUTHORIZED, "POL0001", POLICY, &[how]),
            Error::InvalidToken { .. } => service(Is::UNAUTHORIZED, "SVC2003", "Invalid access token", &[]),
            Error::Scope { scopes } => {
                let rule = format!("the access token has none of the scopes {scopes}");
                policy(Is::FORBIDDEN, "POL0001", POLICY, &[&rule])
            }
            Error::SimultaneousPolls => {
                service(Is::CONFLICT, "SVC1012", "Simultaneous channel requests not supported", &[])
            }
            Error::TooMany { rule } => policy(Is::TOO_MANY_REQUESTS, "POL0001", POLICY, &[rule]),
            Error::Busy(fault) => {
                warn!("busy: {fault}");
                service(Is::SERVICE_UNAVAILABLE, "SVC2001", NO_RESOURCES, &[])
            }
            Error::Draining => service(Is::SERVICE_UNAVAILABLE, "SVC2001", NO_RESOURCES, &[]),
            Error::Internal(fault) => {
                error!("internal error: {fault:#}");
                let text = "A service error occurred. Error code is %1";
                service(Is::INTERNAL_SERVER_ERROR, "SVC0001", text, &["internal"])
            }
        }
    }
}

/// What is in a `requestError`, with a link to a resource, which comes first.
pub fn linked(rel: &str, href: &str, exception: Value) -> Value {
    let mut error = json!({ "link": [{ "rel": rel, "href": href }] });
    if let (Value::Object(error), Value::Object(exception)) = (&mut error, exception) {
        error.extend(exception);
    }
    error
}

/// The service could not do it.
fn service(status: StatusCode, id: &str, text: &str, variables: &[&str]) -> Fault {
    let exception = json!({ "messageId": id, "text": text, "variables": variables });
    Fault { status, exception: json!({ "serviceException": exception }) }
}

/// A rule forbids it.
fn policy(status: StatusCode, id: &str, text: &str, variables: &[&str]) -> Fault {
    let exception = json!({ "messageId": id, "text": text, "variables": variables });
    Fault { status, exception: json!({ "policyException": exception }) }
}

/// Faults of HTTP rather than of the API: 406, 413, 415.
pub fn of_http(status: StatusCode, part: &str) -> Response {
    let Fault { exception, .. } = service(status, "SVC0002", "Invalid input value for message part %1", &[part]);
    (status, Document(json!({ "requestError": exception }))).into_response()
}
