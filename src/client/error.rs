//! What can go wrong.

use serde::Deserialize;

/// Characters of an answer that is no requestError that are quoted.
const QUOTED_CHARS_MAX: usize = 200;

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server cannot be reached, or the connection broke: it may help to try again.
    #[error("the server at {server} cannot be reached: {why}")]
    Transport {
        /// Its URL, as it was given to the client.
        server: String,
        /// What the network says.
        why: String,
    },
    /// The server says no: to try the same again is in vain, unless it is busy (429 and 503).
    #[error("the server answered {status}: {text}")]
    Refused {
        /// That of HTTP, or from 4000 on the code with which it closed the socket.
        status: u16,
        /// `messageId` of the requestError: SVC0002 and so on. `None` when the answer has none.
        code: Option<String>,
        /// Why, with the variables of the requestError in their places.
        text: String,
    },
    /// What the server says is not understood: it may be no tocsin.
    #[error("the server is not understood: {0}")]
    Protocol(String),
}

/// What a call of the client comes to.
pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fault {
    request_error: RequestError,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RequestError {
    #[serde(alias = "policyException")]
    service_exception: Exception,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Exception {
    message_id: String,
    text: String,
    #[serde(default)]
    variables: Vec<String>,
}

impl Exception {
    /// The text with its variables: `%1` is the first.
    fn told(&self) -> String {
        let mut told = self.text.clone();
        // From the last on: %1 is the beginning of %10.
        for (n, variable) in self.variables.iter().enumerate().rev() {
            told = told.replace(&format!("%{}", n + 1), variable);
        }
        told
    }
}

impl Error {
    /// An answer that is not a success.
    pub(super) fn refused(status: u16, body: &[u8]) -> Self {
        let (code, text) = match serde_json::from_slice::<Fault>(body) {
            Ok(fault) => {
                let exception = fault.request_error.service_exception;
                (Some(exception.message_id.clone()), exception.told())
            }
            Err(_) => (None, String::from_utf8_lossy(body).chars().take(QUOTED_CHARS_MAX).collect()),
        };
        Error::Refused { status, code, text }
    }

    /// The status of a refusal.
    pub fn status(&self) -> Option<u16> {
        match self {
            Error::Refused { status, .. } => Some(*status),
            Error::Transport { .. } | Error::Protocol(_) => None,
        }
    }
}

/// What went wrong in the first place: what is around it says only in whose hands.
pub(super) fn cause(fault: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(fault), |fault| fault.source());
    causes.last().map(ToString::to_string).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_error_is_told_with_its_variables() {
        for kind in ["serviceException", "policyException"] {
            let body = format!(
                r#"{{"requestError":{{"link":[],"{kind}":{{"messageId":"SVC0003","text":"%1 is bad, take %2","variables":["a","b"]}}}}}}"#
            );
            let Error::Refused { status, code, text } = Error::refused(400, body.as_bytes()) else { panic!("{kind}") };
            assert_eq!((status, code.as_deref(), text.as_str()), (400, Some("SVC0003"), "a is bad, take b"));
        }
        let other = Error::refused(502, b"<html>Bad gateway</html>");
        assert_eq!(other.to_string(), "the server answered 502: <html>Bad gateway</html>");
    }
}
