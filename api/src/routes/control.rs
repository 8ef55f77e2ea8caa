//! Recordings: started, paused, resumed and ended.
//!
//! The API does not touch sound. It leaves a request in the recording's row and waits a little for
//! ingest, which owns the recording, to act on it.

use std::time::Duration;

use axum::Json as Out;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use models::db::{self, NewRecording};
use models::recording::{Origin, Request, State as Stage};
use models::room::{RecordingPolicy, Viewer, check_title};
use models::{Recording, RecordingId, WallMicros};
use serde::Deserialize;
use tokio::time::{Instant, timeout_at};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::recordings::{RecordingView, view};
use crate::auth::Operator;
use crate::error::{Code, Error, illegal};
use crate::extract::Path;
use crate::problem::answers;
use crate::state::App;

/// Ingest may run in another process, whose changes are announced here on PostgreSQL only, and not
/// all of them for certain: the row is looked at this often.
const POLL: Duration = Duration::from_millis(250);
/// Until a source comes, a recording is as if it were in stereo: that carries mono too.
const CHANNELS_UNKNOWN: u8 = 2;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(start))
        .routes(routes!(pause))
        .routes(routes!(resume))
        .routes(routes!(end))
}

/// A recording to be started.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// 1 to 200 characters; the room's where it is left out.
    title: Option<String>,
}

/// Starts a recording of a room. Sound is kept from now on, or as soon as a source sends some.
#[utoipa::path(
    post, path = "/api/rooms/{slug}/recordings", operation_id = "startRecording", tag = "recordings",
    security((), ("operator" = [])),
    params(("slug" = String, Path, description = "The room's short name.")),
    request_body = Option<Start>,
    responses(
        (status = 201, description = "The recording.", body = RecordingView,
         headers(("location" = String, description = "Address of the recording."))),
        answers::Malformed, answers::Unauthorized, answers::Forbidden, answers::Missing,
        answers::Conflict, answers::TooLarge, answers::WrongContentType, answers::Invalid,
        answers::Failed, answers::NoSpace
    )
)]
async fn start(
    State(app): State<App>,
    _: Operator,
    Path(slug): Path<String>,
    body: Result<Option<Out<Start>>, JsonRejection>,
) -> Result<Response, Error> {
    let room = app.room(&slug, Viewer::Operator).await?;
    let start = body?.map(|Out(start)| start).unwrap_or_default();
    if let Some(title) = &start.title {
        check_title(title)?;
    }
    if room.policy == RecordingPolicy::Never {
        return Err(Error::new(Code::NotRecordable, "The room's policy is never to be recorded."));
    }
    if app.db.is_short(WallMicros::now()).await? {
        let detail = "The disk on which it would be written is too full.";
        return Err(Error::new(Code::NoSpace, detail));
    }
    let new = NewRecording {
        room_id: room.id,
        title: start.title.unwrap_or_else(|| room.title.clone()),
        origin: Origin::Pending,
        state: Stage::Live,
        channels: CHANNELS_UNKNOWN,
        source: String::new(),
        created_at: WallMicros::now(),
    };
    let recording = app.db.create_recording(&new).await.map_err(|error| match error {
        db::Error::Conflict { .. } => {
            Error::new(Code::AlreadyRecording, "End the room's open recording first.")
        }
        other => other.into(),
    })?;
    tracing::info!(recording = %recording.id, room = room.slug, "recording started by request");
    let place = HeaderValue::from_str(&format!("/api/recordings/{}", recording.id))
        .expect("a UUID is visible ASCII");
    let shown = view(&app, recording, &room, Viewer::Operator).await?;
    Ok((StatusCode::CREATED, [(header::LOCATION, place)], Out(shown)).into_response())
}

macro_rules! request {
    ($name:ident, $id:literal, $path:literal, $request:ident, $doc:literal) => {
        #[doc = $doc]
        #[utoipa::path(
            post, path = $path, operation_id = $id, tag = "recordings", security((), ("operator" = [])),
            params(("id" = RecordingId, Path, description = "The recording.")),
            responses(
                (status = 200, description = "Done; the recording as it is now.",
                 body = RecordingView),
                (status = 202, description = "Asked for, but not done within five seconds.",
                 body = RecordingView),
                answers::Malformed, answers::Unauthorized, answers::Forbidden, answers::Missing,
                answers::Conflict, answers::Failed
            )
        )]
        async fn $name(
            State(app): State<App>,
            _: Operator,
            Path(id): Path<RecordingId>,
        ) -> Result<Response, Error> {
            ask(&app, id, Request::$request).await
        }
    };
}

request!(pause, "pauseRecording", "/api/recordings/{id}/pause", Pause, "Pauses a live recording.");
request!(
    resume,
    "resumeRecording",
    "/api/recordings/{id}/resume",
    Resume,
    "Resumes a paused recording."
);
request!(end, "endRecording", "/api/recordings/{id}/end", End, "Ends a recording.");

async fn ask(app: &App, id: RecordingId, request: Request) -> Result<Response, Error> {
    let (_, room) = app.recording(id, Viewer::Operator).await?;
    // Listened to before asking, so that no answer is missed.
    let mut changes = app.db.changes();
    app.db.request(id, request, WallMicros::now()).await?;
    tracing::info!(recording = %id, ?request, "recording asked");
    let deadline = Instant::now() + app.wait;
    loop {
        let recording = app.db.recording(id).await?;
        let done = has_happened(&recording, request)?;
        if done || Instant::now() >= deadline {
            let status = if done { StatusCode::OK } else { StatusCode::ACCEPTED };
            let shown = view(app, recording, &room, Viewer::Operator).await?;
            return Ok((status, Out(shown)).into_response());
        }
        let until = deadline.min(Instant::now() + POLL);
        let news = [db::Change::Recording(id), db::Change::Unknown];
        let _ = timeout_at(until, async {
            // Missed changes (an error) are a reason to look as well.
            while changes.recv().await.is_ok_and(|change| !news.contains(&change)) {}
        })
        .await;
    }
}

/// Whether ingest has done what was asked.
///
/// # Errors
/// [`Code::IllegalTransition`] where the recording ended meanwhile, so that it never will.
fn has_happened(recording: &Recording, request: Request) -> Result<bool, Error> {
    let target = request.target();
    if recording.state == target {
        return Ok(true);
    }
    if recording.state.is_open() { Ok(false) } else { Err(illegal(recording.state, target)) }
}
