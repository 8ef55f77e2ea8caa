//! Whether the server works.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::error::Error;
use crate::problem::answers;
use crate::state::App;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(health))
}

/// A sign of life.
#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    /// Always `ok`: anything else is an error.
    status: &'static str,
    /// Version of the server.
    version: &'static str,
}

/// Tells whether the server and its database work.
#[utoipa::path(
    get, path = "/api/health", operation_id = "health", tag = "server",
    responses((status = 200, description = "Both work.", body = Health), answers::Failed)
)]
async fn health(State(app): State<App>) -> Result<Json<Health>, Error> {
    app.db.ping().await?;
    Ok(Json(Health { status: "ok", version: env!("CARGO_PKG_VERSION") }))
}
