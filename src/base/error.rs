//! What can go wrong, in the words of the domain. `http::fault` turns it into a status and an OMA `requestError`.

use thiserror::Error;

/// A result whose error a client can be told.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong. The text of [`Error::Internal`] is for the log only; all others are told to the client.
#[derive(Debug, Error)]
pub enum Error {
    /// A part of the message has a value that cannot be used (SVC0002).
    #[error("invalid input value for message part {part}")]
    Invalid {
        /// The field, query parameter or path variable.
        part: String,
    },
    /// A part of the message is outside its enumeration (SVC0003).
    #[error("invalid input value for message part {part}, valid values are {valid}")]
    InvalidChoice {
        /// The field.
        part: String,
        /// The valid values, comma-separated.
        valid: String,
    },
    /// A part of the message is larger than this server takes (SVC0002, 413).
    #[error("message part {part} is too large")]
    TooLarge {
        /// The part.
        part: &'static str,
    },
    /// A part of the message is in a format that this server does not read (SVC0002, 415).
    #[error("message part {part} says a media type that cannot be read")]
    UnsupportedMedia {
        /// The part.
        part: &'static str,
    },
    /// There is no such resource (SVC0004).
    #[error("no such {what}")]
    NotFound {
        /// The kind of resource, as in the `rel` of a link.
        what: &'static str,
    },
    /// A message refers to a resource that is not there (SVC0004).
    #[error("no resource {url}")]
    NotFoundAt {
        /// Its URL, as the client gave it.
        url: String,
    },
    /// A value that nothing is known by (SVC2008).
    #[error("unknown {kind} {value}")]
    Unknown {
        /// What the value is, as `path`.
        kind: &'static str,
        /// The value.
        value: String,
    },
    /// A folder that may not be renamed (POL1030).
    #[error("this folder cannot be renamed")]
    RenameForbidden,
    /// A folder in which nothing can be put (POL1031).
    #[error("nothing can be created under {place}")]
    PlaceForbidden {
        /// Its path or URL.
        place: String,
    },
    /// The channelType is known but not offered (POL1023).
    #[error("notification channel type {asked} is not supported")]
    UnsupportedChannelType {
        /// The type asked for.
        asked: String,
        /// The types offered, comma-separated.
        supported: String,
    },
    /// A different resource of the user has this clientCorrelator (SVC0005).
    #[error("the clientCorrelator {correlator} is in use")]
    Duplicate {
        /// The value.
        correlator: String,
        /// The kind of resource, as in the `rel` of a link.
        rel: &'static str,
        /// Its URL.
        href: String,
    },
    /// A feature of the specification that this server does not offer (POL2006).
    #[error("requested feature {feature} is not available")]
    Unavailable {
        /// The feature.
        feature: String,
    },
    /// A search by a preset that there is not (POL2006, with the status that makes phones search without it).
    #[error("there is no preset {name}")]
    UnknownPreset {
        /// As the client named it.
        name: String,
    },
    /// A rule or limit of this server forbids it (POL0001).
    #[error("{rule}")]
    Policy {
        /// The rule, for a person.
        rule: String,
    },
    /// Nobody says who asks (POL0001, 401).
    #[error("{how}")]
    Unauthenticated {
        /// How to say it, for a person.
        how: &'static str,
    },
    /// The token that says who asks is not accepted (SVC2003, 401).
    #[error("invalid access token: {why}")]
    InvalidToken {
        /// Why, for a person.
        why: String,
    },
    /// The token is not for such requests (POL0001, 403).
    #[error("the access token has none of the scopes {scopes}")]
    Scope {
        /// Any one of these would do, separated by blanks.
        scopes: String,
    },
    /// A newer poll of the same channel took over (SVC1012).
    #[error("simultaneous channel requests")]
    SimultaneousPolls,
    /// More of something than this server takes in a second (POL0001, 429).
    #[error("{rule}")]
    TooMany {
        /// The rule, for a person.
        rule: String,
    },
    /// This node is leaving: another one takes it, or this one when it is back (SVC2001).
    #[error("this node is leaving")]
    Draining,
    /// The database cannot be reached or is too busy: try again later (SVC2001).
    #[error("busy: {0}")]
    Busy(String),
    /// A fault of ours (SVC0001); what it was goes to the log, not to the client.
    #[error("internal error: {0}")]
    Internal(#[source] anyhow::Error),
}

impl Error {
    /// [`Error::Invalid`] for a message part.
    pub fn invalid(part: impl Into<String>) -> Self {
        Error::Invalid { part: part.into() }
    }

    /// [`Error::InvalidChoice`] for a message part and its valid values, comma-separated.
    pub fn choice(part: &str, valid: &str) -> Self {
        Error::InvalidChoice { part: part.to_owned(), valid: valid.to_owned() }
    }

    /// [`Error::Internal`] for a fault that should not happen.
    pub fn internal(cause: impl Into<anyhow::Error>) -> Self {
        Error::Internal(cause.into())
    }
}
