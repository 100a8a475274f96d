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
        Error::UnsupportedChannelType { asked, supported } => (
            Is::FORBIDDEN,
            "policyException",
            "POL1023",
            "Notification channel type %1 not supported. Supported types: %2.",
            vec![asked.clone(), supported.clone()],
        ),
        Error::Duplicate { correlator, rel, href } => {
            let text = "Correlator %1 specified in message part %2 is a duplicate";
            let variables = [correlator.clone(), "clientCorrelator".to_owned()];
            let link = json!([{ "rel": rel, "href": href }]);
            return of_status(Is::CONFLICT, "serviceException", "SVC0005", text, &variables, Some(link));
        }
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
    let mut response = of_status(status, exception, id, text, &variables, None);
    if matches!(status, Is::SERVICE_UNAVAILABLE | Is::TOO_MANY_REQUESTS) {
        response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
    }
    response
}

/// Faults of HTTP rather than of the API: 406, 413, 415.
pub fn of_http(status: StatusCode, part: &str) -> Response {
    of_status(
        status,
        "serviceException",
        "SVC0002",
        "Invalid input value for message part %1",
        &[part.to_owned()],
        None,
    )
}

fn of_status(
    status: StatusCode,
    exception: &str,
    id: &str,
    text: &str,
    variables: &[String],
    link: Option<Value>,
) -> Response {
    let mut error = json!({});
    if let Some(link) = link {
        error["link"] = link;
    }
    error[exception] = json!({ "messageId": id, "text": text, "variables": variables });
    let body = json!({ "requestError": error });
    (status, Document(body)).into_response()
}
