//! The OpenAPI document and a page to read it on.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use utoipa_axum::{router::OpenApiRouter, routes};
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::respond;
use crate::state::App;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(document))
}

/// Swagger UI, from the binary: it asks nobody else for anything.
pub(crate) fn page() -> SwaggerUi {
    let config = Config::from("/api/openapi.json").validator_url("none");
    SwaggerUi::new("/api/docs").config(config)
}

/// The OpenAPI 3.1 document of this API.
#[utoipa::path(
    get, path = "/api/openapi.json", operation_id = "openapi", tag = "server",
    responses(
        (status = 200, description = "The document.", body = serde_json::Value,
         content_type = "application/json"),
        (status = 304, description = "The asker has it.")
    )
)]
async fn document(State(app): State<App>, asked: HeaderMap) -> Response {
    respond::text(&asked, "application/json", "public", app.openapi.as_bytes().to_vec())
}
