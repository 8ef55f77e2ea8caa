//! Whether the server lives and whether it can do its work.

use axum::Json;
use axum::extract::{FromRef, State};
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::Metrics;
use crate::auth::Operator;
use crate::error::{Code, Error};
use crate::problem::answers;
use crate::readiness::{Own, Parts, Probe};
use crate::state::App;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(health)).routes(routes!(metrics)).merge(signs())
}

/// The signs of life that every role gives.
pub(crate) fn signs<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    Probe: FromRef<S>,
{
    OpenApiRouter::new().routes(routes!(alive)).routes(routes!(ready))
}

/// A sign of life.
#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    /// Always `ok`: anything else is an error.
    status: &'static str,
    /// Version of the server.
    version: &'static str,
}

const WELL: Health = Health { status: "ok", version: env!("CARGO_PKG_VERSION") };

/// Tells whether the server and its database work.
#[utoipa::path(
    get, path = "/api/health", operation_id = "health", tag = "server",
    responses((status = 200, description = "Both work.", body = Health), answers::Failed)
)]
async fn health(State(app): State<App>) -> Result<Json<Health>, Error> {
    app.db.ping().await?;
    Ok(Json(WELL))
}

/// Tells that the process lives. It asks nothing else, so that a process is not started again for
/// what another one has lost.
#[utoipa::path(
    get, path = "/healthz", operation_id = "alive", tag = "server",
    responses((status = 200, description = "It lives.", body = Health))
)]
async fn alive() -> Json<Health> {
    Json(WELL)
}

/// What is counted of recording in this process, for Prometheus: recordings that go on, the spool
/// and the room it has, failures, and media time lost by cause.
#[utoipa::path(
    get, path = "/metrics", operation_id = "metrics", tag = "server",
    security((), ("operator" = [])),
    responses(
        (status = 200, description = "Prometheus' text format.", body = String,
         content_type = "text/plain"),
        answers::Unauthorized, answers::Missing
    )
)]
async fn metrics(State(app): State<App>, _: Operator) -> Result<Response, Error> {
    let metrics = app.metrics.as_ref();
    let metrics = metrics.ok_or(Error::new(Code::NotFound, "This process records nothing."))?;
    Ok(figures(metrics))
}

/// The figures as an answer.
pub(crate) fn figures(metrics: &Metrics) -> Response {
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-store")], metrics()).into_response()
}

/// What a process is ready for.
#[derive(Debug, Serialize, ToSchema)]
pub struct Readiness {
    /// `ready`, or `degraded` where it does its work without one of the parts.
    #[schema(example = "ready")]
    status: &'static str,
    /// Whether the database answers.
    database: bool,
    /// Whether the object store answers.
    store: bool,
}

/// Tells whether the process can do its work, so that it should be sent some. One that is about to
/// end is not ready any more, also while it finishes what it has.
#[utoipa::path(
    get, path = "/readyz", operation_id = "ready", tag = "server",
    responses(
        (status = 200, description = "It can.", body = Readiness),
        answers::NotReady,
    )
)]
async fn ready(State(probe): State<Probe>) -> Result<Json<Readiness>, Error> {
    let not_ready = |detail: String| Error::new(Code::NotReady, detail);
    match probe.own() {
        Own::Starting => return Err(not_ready("The process is starting.".into())),
        Own::Draining => return Err(not_ready("The process is about to end.".into())),
        Own::Ready => {}
    }
    let Parts { database, store } = probe.look().await;
    let mut missing = Vec::new();
    if !database {
        missing.push("the database");
    }
    if !store && probe.needs_store() {
        missing.push("the object store");
    }
    if !missing.is_empty() {
        return Err(not_ready(format!("Out of reach: {}.", missing.join(" and "))));
    }
    let status = if store { "ready" } else { "degraded" };
    Ok(Json(Readiness { status, database, store }))
}
