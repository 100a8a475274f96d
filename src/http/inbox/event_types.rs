//! The types of events.

use axum::response::Response;

use crate::base::Result;
use crate::http::created;
use crate::http::extract::Body;
use crate::http::represent::{Document, Reads};
use crate::http::state::App;
use crate::inbox::rows;
use crate::wire::inbox as wire;
use crate::wire::schema;

/// All that are declared.
#[utoipa::path(
    get, path = "/api/event-types", tag = "inbox", operation_id = "listEventTypes",
    responses((status = 200, body = schema::inbox::EventTypes))
)]
pub async fn list(app: App, _: Reads) -> Result<Document> {
    let types = rows::event_types(&app.database).await?;
    Ok(super::all(types.iter().map(wire::event_type).collect()))
}

/// Declares one, or gives it other texts.
#[utoipa::path(
    post, path = "/api/event-types", tag = "inbox", operation_id = "declareEventType",
    request_body = schema::inbox::EventType,
    responses((status = 201, body = schema::inbox::EventType))
)]
pub async fn declare(app: App, _: Reads, body: Body) -> Result<Response> {
    let mut fields = body.fields("eventType")?;
    let (name, title) = (fields.required("name")?, fields.required("title")?);
    let description = fields.text("description")?.unwrap_or_default();
    let declared = rows::declare_event_type(&app.database, &name, &title, &description).await?;
    Ok(created(&app.urls.absolute("/api/event-types"), wire::event_type(&declared)))
}
