//! Of all APIs (spec/common).

use utoipa::ToSchema;

use super::document;

/// Where something is.
#[derive(ToSchema)]
pub struct Link {
    /// What it is.
    rel: String,
    /// Its URL.
    href: String,
}

/// Why a request was refused.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct Exception {
    /// `SVC0001` and so on: a fault of the service or the request; `POL0001` and so on: a rule forbids it.
    message_id: String,
    /// The text, with %1 and so on in place of the variables.
    text: String,
    /// What stands for %1 and so on.
    variables: Vec<String>,
}

/// One of the two exceptions, with a link to what it is about.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct RequestError {
    /// Such as the resource that is there already.
    #[schema(nullable = false)]
    link: Option<Vec<Link>>,
    /// The service could not do it.
    #[schema(nullable = false)]
    service_exception: Option<Exception>,
    /// A rule forbids it.
    #[schema(nullable = false)]
    policy_exception: Option<Exception>,
}

document! {
    /// The body of every answer that is not a success.
    #[schema(example = json!({ "requestError": { "serviceException": {
        "messageId": "SVC0002", "text": "Invalid input value for message part %1", "variables": ["channelType"] } } }))]
    Fault, "requestError": RequestError
}

document! {
    /// Nothing.
    #[schema(example = json!({ "empty": null }))]
    Empty, "empty": Option<String>
}
