//! What became of each of many items (spec/nms 3.12).

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::base::Result;
use crate::http::fault::Fault;
use crate::http::represent::Document;
use crate::wire::nms;

/// An item with which it went well.
#[derive(Debug)]
pub struct Done {
    /// 200, or 201 for what was created.
    pub status: StatusCode,
    /// Its URL.
    pub url: String,
    /// Its path, where the answer tells it.
    pub path: Option<String>,
}

/// Writes a `bulkResponseList`: one response for each item, in the order of the request.
pub fn response_list(outcomes: &[Result<Done>]) -> Document {
    let responses: Vec<Value> = outcomes.iter().map(response).collect();
    Document(json!({ "bulkResponseList": { "response": responses } }))
}

fn response(outcome: &Result<Done>) -> Value {
    let (status, member, content) = match outcome {
        Ok(done) => (done.status, "success", nms::reference(&done.url, done.path.as_deref())),
        Err(error) => {
            let Fault { status, exception } = Fault::of(error);
            (status, "failure", exception)
        }
    };
    json!({ "code": status.as_u16(), "reason": status.canonical_reason().unwrap_or_default(), member: content })
}
