//! Groups of users, which events can be for.

use axum::response::Response;
use serde_json::json;

use crate::base::Result;
use crate::http::created;
use crate::http::extract::Audience;
use crate::http::represent::{Document, Reads};
use crate::http::state::App;
use crate::inbox::rows;
use crate::wire::inbox as wire;
use crate::wire::schema;

/// All that are declared, with the number of their members.
#[utoipa::path(
    get, path = "/api/groups", tag = "inbox", operation_id = "listGroups",
    responses((status = 200, body = schema::inbox::Groups))
)]
pub async fn list(app: App, _: Reads) -> Result<Document> {
    let groups = rows::groups(&app.database).await?;
    Ok(super::all(groups.iter().map(|(name, count)| json!({ "name": name, "count": count })).collect()))
}

/// Declares one, or gives it other members.
#[utoipa::path(
    post, path = "/api/groups", tag = "inbox", operation_id = "declareGroup",
    request_body = schema::inbox::Group,
    responses((status = 201, body = schema::inbox::Group))
)]
pub async fn declare(app: App, _: Reads, Audience(body): Audience) -> Result<Response> {
    let mut fields = body.fields("group")?;
    let (name, users) = (fields.required("name")?, wire::users(&mut fields, "users")?);
    let count = rows::declare_group(&app.database, &name, &users).await?;
    Ok(created(&app.urls.absolute("/api/groups"), json!({ "name": name, "count": count })))
}
