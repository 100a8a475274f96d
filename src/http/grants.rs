//! Grants: letting others reach what is one's own, or, with the right to everything, anything.

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use super::access::{Asking, NOT_THERE};
use super::created;
use super::extract::{Body, PathIds};
use super::represent::{Document, Reads};
use super::state::App;
use crate::auth::grants::{EVERY, Grant, Resource, Right};
use crate::auth::rows;
use crate::base::ids::UserId;
use crate::base::{Error, Result};
use crate::log::event::token as moment;
use crate::wire::schema;

const NO_GRANT: Error = Error::NotFound { what: "grant" };

/// The grants of what is the caller's own, and those to the caller; or all.
#[utoipa::path(
    get, path = "/api/grants", tag = "grants", operation_id = "listGrants",
    responses((status = 200, body = schema::tables::Grants))
)]
pub async fn list(app: App, asking: Asking, _: Reads) -> Result<Document> {
    let grants = rows::list(&app.database, asking.confined_to().map(UserId::as_str)).await?;
    let results: Vec<Value> = grants.iter().map(shown).collect();
    Ok(Document(json!({ "count": results.len(), "results": results })))
}

/// One more, or more rights for one who has some: `{"grantee": ..., "resource": "box/default/...", "rights": ["read"]}`.
#[utoipa::path(
    post, path = "/api/grants", tag = "grants", operation_id = "grant",
    request_body = schema::tables::Grant,
    responses((status = 201, body = schema::tables::Grant))
)]
pub async fn create(app: App, asking: Asking, _: Reads, body: Body) -> Result<Response> {
    let mut fields = body.fields("grant")?;
    let grantee = fields.required("grantee")?;
    if grantee != EVERY {
        UserId::parse(&grantee).map_err(|_| Error::invalid("grantee"))?;
    }
    let resource: Resource =
        fields.required("resource")?.parse().map_err(|how: String| Error::choice("resource", &how))?;
    let rights: Option<Vec<Right>> = fields.texts("rights", 5)?.iter().map(|name| Right::parse(name)).collect();
    let rights = rights.filter(|rights| !rights.is_empty()).ok_or_else(|| Error::choice("rights", "read, write"))?;
    if asking.confined_to().is_some_and(|user| resource.owner() != Some(user.as_str())) {
        return Err(NOT_THERE);
    }
    let by = asking.0.as_ref().map(|principal| principal.user.as_str());
    let grant = rows::grant(&app.database, &grantee, &resource, &rights, by).await?;
    Ok(created(&app.urls.absolute(&format!("/api/grants/{}", grant.id)), shown(&grant)))
}

/// One of them.
#[utoipa::path(
    get, path = "/api/grants/{id}", tag = "grants", operation_id = "readGrant",
    responses((status = 200, body = schema::tables::Grant))
)]
pub async fn read(app: App, asking: Asking, ids: PathIds, _: Reads) -> Result<Document> {
    let grant = find(&app, &asking, &ids, |grant, user| is_of(grant, user) || grant.grantee == user).await?;
    Ok(Document(shown(&grant)))
}

/// Takes one back; what rested on it ends.
#[utoipa::path(
    delete, path = "/api/grants/{id}", tag = "grants", operation_id = "revoke",
    responses((status = 204))
)]
pub async fn delete(app: App, asking: Asking, ids: PathIds) -> Result<StatusCode> {
    let grant = find(&app, &asking, &ids, is_of).await?;
    if rows::revoke(&app.database, grant.id).await? { Ok(StatusCode::NO_CONTENT) } else { Err(NO_GRANT) }
}

/// The grant of the request, if it is the caller's affair.
async fn find(app: &App, asking: &Asking, ids: &PathIds, concerns: impl Fn(&Grant, &str) -> bool) -> Result<Grant> {
    let grant = rows::get(&app.database, ids.number(NO_GRANT)?).await?.ok_or(NO_GRANT)?;
    match asking.confined_to() {
        Some(user) if !concerns(&grant, user.as_str()) => Err(NO_GRANT),
        _ => Ok(grant),
    }
}

/// Whether it lets others reach what is this user's own.
fn is_of(grant: &Grant, user: &str) -> bool {
    grant.resource.owner() == Some(user)
}

fn shown(grant: &Grant) -> Value {
    json!({
        "id": grant.id,
        "grantee": grant.grantee,
        "resource": grant.resource.to_string(),
        "rights": grant.rights.iter().map(|right| right.name()).collect::<Vec<_>>(),
        "grantedBy": grant.granted_by,
        "grantedAt": moment(grant.granted_at),
    })
}
