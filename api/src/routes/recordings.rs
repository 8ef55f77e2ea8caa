//! Recordings: found and read.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use archive::receipt::{hex, sign};
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use models::db::Filter;
use models::receipt::Brief;
use models::recording::{EndReason, Origin, Request, State as Stage};
use models::room::Viewer;
use models::{
    Gap, GapCause, Job, Recording, RecordingId, Room, RoomId, Transcript, job, transcript,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::auth::Caller;
use crate::error::Error;
use crate::extract::{Path, Query};
use crate::problem::answers;
use crate::respond;
use crate::state::App;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(read))
}

/// A recording as the API shows it. `*_ms` are milliseconds of media time unless they say
/// otherwise, `*_at` are RFC 3339.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Recording)]
pub struct RecordingView {
    id: RecordingId,
    room: RoomBrief,
    title: String,
    origin: Origin,
    state: Stage,
    /// What was asked for and is not done yet.
    request: Option<Request>,
    /// Wall-clock time of media time zero.
    started_at: Option<String>,
    ended_at: Option<String>,
    end_reason: Option<EndReason>,
    /// What is kept so far.
    duration_ms: u64,
    /// Bytes of what is kept so far.
    bytes: u64,
    channels: u8,
    /// What the source said of itself; empty for all but the operator, because it may hold addresses.
    source: String,
    created_at: String,
    /// Media time for which no audio arrived.
    gaps: Vec<GapView>,
    /// The last receipt of what is kept; `null` while it goes on and shortly after.
    receipt: Option<ReceiptBrief>,
    /// The version of its words that people are shown.
    transcript: Option<TranscriptBrief>,
    /// How far recognition is, while it is under way or has been given up.
    transcribing: Option<Transcribing>,
}

/// The room of a recording.
#[derive(Debug, Serialize, ToSchema)]
pub struct RoomBrief {
    id: RoomId,
    slug: String,
    title: String,
    host: String,
}

/// A stretch for which no audio arrived.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Gap)]
pub struct GapView {
    start_ms: u64,
    /// Zero for a pause: media time stands still.
    duration_ms: u64,
    /// How long it took on the wall clock.
    wall_ms: i64,
    cause: GapCause,
}

/// The receipt of a recording in brief.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReceiptBrief {
    /// Its place among the recording's receipts, from 1: there is another each time the sound changes.
    number: u32,
    /// SHA-256 of `receipt.json`.
    sha256: String,
    /// How many chunks it vouches for.
    chunks: u32,
    /// Root of the Merkle tree (RFC 6962) over their SHA-256.
    root: String,
    /// What the key is known by that signed it; `null`: it is not signed.
    signed_by: Option<String>,
    made_at: String,
}

impl From<Brief> for ReceiptBrief {
    fn from(brief: Brief) -> Self {
        Self {
            number: brief.number,
            sha256: hex(&brief.sha256),
            chunks: brief.chunks,
            root: hex(&brief.root),
            signed_by: brief.public_key.and_then(|key| sign::name_of(&key)),
            made_at: brief.made_at.to_rfc3339(),
        }
    }
}

/// The words of a recording in brief.
#[derive(Debug, Serialize, ToSchema)]
pub struct TranscriptBrief {
    /// 0: made while it was live.
    version: u32,
    state: transcript::State,
    /// All audio before this time has been worked through.
    covered_ms: u64,
    engine: String,
    weights: String,
    /// How often its words were edited, or an edit of them undone.
    edits: u64,
}

/// A recognition under way.
#[derive(Debug, Serialize, ToSchema)]
pub struct Transcribing {
    done_ms: u64,
    total_ms: u64,
    /// `ready` (waits), `running`, or `dead` (given up).
    state: job::State,
}

impl From<&Gap> for GapView {
    fn from(gap: &Gap) -> Self {
        Self {
            start_ms: gap.start.as_millis(),
            duration_ms: gap.duration.as_millis(),
            wall_ms: gap.wall_us / 1000,
            cause: gap.cause,
        }
    }
}

impl TranscriptBrief {
    fn new(transcript: Transcript, edits: u64) -> Self {
        Self {
            version: transcript.version,
            state: transcript.state,
            covered_ms: transcript.covered.as_millis(),
            engine: transcript.made_by.engine,
            weights: transcript.made_by.weights,
            edits,
        }
    }
}

impl Transcribing {
    /// The open job, else the newest where that one was given up.
    fn of(jobs: &[Job]) -> Option<Self> {
        let open = |job: &&Job| matches!(job.state, job::State::Ready | job::State::Running);
        let newest = jobs.iter().max_by_key(|job| job.id);
        let shown = jobs.iter().find(open).or(newest.filter(|job| job.state == job::State::Dead));
        shown.map(|job| Self {
            done_ms: job.done.as_millis(),
            total_ms: job.total.as_millis(),
            state: job.state,
        })
    }
}

/// A recording with all that is shown of it.
pub(super) async fn view(
    app: &App,
    recording: Recording,
    room: &Room,
    viewer: Viewer,
) -> Result<RecordingView, Error> {
    let gaps = app.db.gaps(recording.id).await?;
    let transcript = app.db.transcript_version(recording.id, None).await?;
    let edits = app.db.edits_revision(recording.id).await?;
    let receipt = app.db.receipt_brief(recording.id).await?;
    let jobs = app.db.jobs_of(recording.id).await?;
    Ok(RecordingView {
        id: recording.id,
        room: RoomBrief {
            id: room.id,
            slug: room.slug.clone(),
            title: room.title.clone(),
            host: room.host.clone(),
        },
        title: recording.title,
        origin: recording.origin,
        state: recording.state,
        request: recording.request,
        started_at: recording.started_at.map(|at| at.to_rfc3339()),
        ended_at: recording.ended_at.map(|at| at.to_rfc3339()),
        end_reason: recording.end_reason,
        duration_ms: recording.duration.as_millis(),
        bytes: recording.bytes,
        channels: recording.channels,
        source: if viewer == Viewer::Operator { recording.source } else { String::new() },
        created_at: recording.created_at.to_rfc3339(),
        gaps: gaps.iter().map(GapView::from).collect(),
        receipt: receipt.map(ReceiptBrief::from),
        transcript: transcript.map(|transcript| TranscriptBrief::new(transcript, edits)),
        transcribing: Transcribing::of(&jobs),
    })
}

/// Which recordings are asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Search {
    /// Short name of a room.
    room: Option<String>,
    state: Option<Stage>,
    /// Text that the title holds.
    q: Option<String>,
    /// How many, 1 to 200; 50 where it is left out.
    limit: Option<u32>,
    /// `next` of the page before.
    cursor: Option<RecordingId>,
}

/// A page of recordings, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct Recordings {
    items: Vec<RecordingView>,
    /// Cursor of the next page; `null` on the last.
    next: Option<RecordingId>,
}

/// Lists recordings, newest first.
#[utoipa::path(
    get, path = "/api/recordings", operation_id = "listRecordings", tag = "recordings", security((), ("operator" = [])),
    params(Search),
    responses(
        (status = 200, description = "A page of them.", body = Recordings),
        (status = 304, description = "The asker has it."),
        answers::Malformed, answers::Unauthorized, answers::Missing, answers::Failed
    )
)]
async fn list(
    State(app): State<App>,
    Caller(viewer): Caller,
    Query(search): Query<Search>,
    asked: HeaderMap,
) -> Result<Response, Error> {
    let limit = super::limit(search.limit)?;
    let mut rooms = HashMap::new();
    let mut filter = Filter {
        room: None,
        state: search.state,
        text: search.q.filter(|text| !text.trim().is_empty()),
        open_to_everyone_only: viewer == Viewer::Anyone,
    };
    if let Some(slug) = &search.room {
        let room = app.room(slug, viewer).await?;
        filter.room = Some(room.id);
        rooms.insert(room.id, room);
    }
    let mut found = app.db.recordings(&filter, search.cursor, limit + 1).await?;
    let next = super::next(&mut found, limit, |recording| recording.id);
    let mut items = Vec::with_capacity(found.len());
    for recording in found {
        let room = match rooms.entry(recording.room_id) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => place.insert(app.db.room(recording.room_id).await?),
        };
        // The filter saw to it; an audience that changed since is respected all the same.
        if room.audience.admits(viewer) {
            items.push(view(&app, recording, room, viewer).await?);
        }
    }
    respond::json(&asked, "private", &Recordings { items, next })
}

/// Reads a recording.
#[utoipa::path(
    get, path = "/api/recordings/{id}", operation_id = "readRecording", tag = "recordings", security((), ("operator" = [])),
    params(("id" = RecordingId, Path, description = "The recording.")),
    responses(
        (status = 200, description = "The recording.", body = RecordingView),
        (status = 304, description = "The asker has it."),
        answers::Malformed, answers::Unauthorized, answers::Missing, answers::Failed
    )
)]
async fn read(
    State(app): State<App>,
    Caller(viewer): Caller,
    Path(id): Path<RecordingId>,
    asked: HeaderMap,
) -> Result<Response, Error> {
    let (recording, room) = app.recording(id, viewer).await?;
    let shown = view(&app, recording, &room, viewer).await?;
    respond::json(&asked, "private", &shown)
}
