//! The one table from [`Error`] to status, code and body (spec/common 4).

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tracing::{error, warn};

use crate::base::Error;
use crate::channel::ChannelType;

/// Seconds after which a busy server may be asked again.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        response(&self)
    }
}

/// The answer for an error.
pub fn response(error: &Error) -> Response {
    use StatusCode as Is;
    let (status, exception, id, text, variables) = match error {
        Error::Invalid { part } => (
            Is::BAD_REQUEST,
            "serviceException",
            "SVC0002",
            "Invalid input value for message part %1",
            vec![part.clone()],
        ),
        Error::InvalidChoice { part, valid } => (
            Is::BAD_REQUEST,
            "serviceException",
            "SVC0003",
            "Invalid input value for message part %1, valid values are %2",
            vec![part.clone(), valid.clone()],
        ),
        Error::NotFound { .. } => (
            Is::NOT_FOUND,
            "serviceException",
            "SVC0004",
            "No valid addresses provided in message part %1",
            vec!["Request-URI".to_owned()],
        ),
        Error::UnsupportedChannelType { asked } => (
            Is::FORBIDDEN,
            "policyException",
            "POL1023",
            "Notification channel type %1 not supported. Supported types: %2.",
            vec![asked.clone(), ChannelType::SUPPORTED.map(ChannelType::name).join(", ")],
        ),
        Error::Unavailable { feature } => (
            Is::FORBIDDEN,
            "policyException",
            "POL2006",
            "Requested feature %1 is not available",
            vec![feature.clone()],
        ),
        Error::Policy { rule } => (
            Is::FORBIDDEN,
            "policyException",
            "POL0001",
            "A policy error occurred. Error code is %1",
            vec![rule.clone()],
        ),
        Error::SimultaneousPolls => {
            (Is::CONFLICT, "serviceException", "SVC1012", "Simultaneous channel requests not supported", vec![])
        }
        Error::TooMany { rule } => (
            Is::TOO_MANY_REQUESTS,
            "policyException",
            "POL0001",
            "A policy error occurred. Error code is %1",
            vec![rule.clone()],
        ),
        Error::Busy(fault) => {
            warn!("busy: {fault}");
            let text = "No server resources available to process the request";
            (Is::SERVICE_UNAVAILABLE, "serviceException", "SVC2001", text, vec![])
        }
        Error::Internal(fault) => {
            error!("internal error: {fault:#}");
            let text = "A service error occurred. Error code is %1";
            (Is::INTERNAL_SERVER_ERROR, "serviceException", "SVC0001", text, vec!["internal".to_owned()])
        }
    };
    let mut response = of_status(status, exception, id, text, &variables);
    if matches!(status, Is::SERVICE_UNAVAILABLE | Is::TOO_MANY_REQUESTS) {
        response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
    }
    response
}

/// Faults of HTTP rather than of the API: 406, 413, 415.
pub fn of_http(status: StatusCode, part: &str) -> Response {
    of_status(status, "serviceException", "SVC0002", "Invalid input value for message part %1", &[part.to_owned()])
}

fn of_status(status: StatusCode, exception: &str, id: &str, text: &str, variables: &[String]) -> Response {
    let body = json!({ "requestError": { exception: { "messageId": id, "text": text, "variables": variables } } });
    (status, Json(body)).into_response()
}
