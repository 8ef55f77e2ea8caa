//! The receipt of a recording: what was kept of it, and who vouches for that.

use archive::receipt::sign;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use models::{Receipt, RecordingId, db};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::auth::Caller;
use crate::error::{Code, Error};
use crate::extract::{Path, Query};
use crate::problem::answers;
use crate::respond::{self, open_to, scope};
use crate::state::App;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(receipt)).routes(routes!(signature))
}

/// Which receipt is asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Which {
    /// Its place among the recording's receipts, from 1; the last where it is left out.
    number: Option<u32>,
}

/// The receipt: every chunk with its SHA-256, gaps, anchors and what was kept, in canonical JSON
/// (RFC 8785). These bytes are what is signed.
#[utoipa::path(
    get, path = "/api/recordings/{id}/receipt.json", operation_id = "receipt", tag = "recordings",
    security((), ("operator" = [])),
    params(("id" = RecordingId, Path, description = "The recording."), Which),
    responses(
        (status = 200, description = "The receipt.", body = Object),
        (status = 304, description = "The asker has it."),
        answers::Malformed, answers::Unauthorized, answers::Missing, answers::Failed
    )
)]
async fn receipt(
    State(app): State<App>,
    Caller(viewer): Caller,
    Path(id): Path<RecordingId>,
    Query(which): Query<Which>,
    asked: HeaderMap,
) -> Result<Response, Error> {
    let (_, room) = app.recording(id, viewer).await?;
    let receipt = find(&app, id, &which).await?;
    let body = receipt.body.into_bytes();
    let mut response = respond::text(&asked, "application/json", scope(room.audience), body);
    open_to(room.audience, response.headers_mut());
    Ok(response)
}

/// The signature of the receipt (Ed25519), with the public key.
#[utoipa::path(
    get, path = "/api/recordings/{id}/receipt.sig", operation_id = "receiptSignature",
    tag = "recordings", security((), ("operator" = [])),
    params(("id" = RecordingId, Path, description = "The recording."), Which),
    responses(
        (status = 200, description = "`algorithm`, `key_id`, `public_key` and `signature` (Base64), \
         and `receipt_sha256`.", body = Object),
        (status = 304, description = "The asker has it."),
        answers::Malformed, answers::Unauthorized, answers::Missing, answers::Failed
    )
)]
async fn signature(
    State(app): State<App>,
    Caller(viewer): Caller,
    Path(id): Path<RecordingId>,
    Query(which): Query<Which>,
    asked: HeaderMap,
) -> Result<Response, Error> {
    let (_, room) = app.recording(id, viewer).await?;
    let file = sign::File::of(&find(&app, id, &which).await?);
    let file = file.ok_or_else(|| Error::new(Code::NoReceipt, "Nobody has signed the receipt."))?;
    let mut response = respond::json(&asked, scope(room.audience), &file)?;
    open_to(room.audience, response.headers_mut());
    Ok(response)
}

async fn find(app: &App, id: RecordingId, which: &Which) -> Result<Receipt, Error> {
    app.db.receipt(id, which.number).await.map_err(|error| match error {
        db::Error::NotFound { .. } => {
            Error::new(Code::NoReceipt, "There is no such receipt (yet): one is made at the end.")
        }
        other => other.into(),
    })
}
