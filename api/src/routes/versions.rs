//! The versions of a recording's words: listed, compared, and which of them people are shown.

use axum::Json as Out;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use models::diff::{self, Kind};
use models::transcript::{Coverage, State as Stage};
use models::{RecordingId, Segment, Span, Transcript, db};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::jobs::CostView;
use crate::auth::{Caller, Operator};
use crate::error::{Code, Error, sentence};
use crate::extract::{Path, Query};
use crate::problem::answers;
use crate::respond::{self, scope};
use crate::state::App;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(promote)).routes(routes!(compare))
}

/// What a version is and what made it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TranscriptVersion)]
pub struct Version {
    /// 0: made while the recording was live.
    version: u32,
    state: Stage,
    /// Whether it is the one that people are shown.
    promoted: bool,
    engine: String,
    weights: String,
    /// Lower-case hex.
    weights_sha256: String,
    /// All audio before this time has been worked through.
    covered_ms: u64,
    coverage: CoverageView,
    /// What it took to make; `null` where nobody has told.
    cost: Option<CostView>,
    created_at: String,
    completed_at: Option<String>,
}

/// How much of the speech that was found has words.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TranscriptCoverage)]
pub struct CoverageView {
    /// How long people speak.
    speech_ms: u64,
    /// The share of that which has words, 0 to 1; `null` where nobody speaks.
    share: Option<f64>,
    /// Where people speak and no words were found.
    bare: Vec<BareView>,
}

/// A stretch of speech without words.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SpeechWithoutWords)]
pub struct BareView {
    start_ms: u64,
    end_ms: u64,
}

impl From<Coverage> for CoverageView {
    fn from(coverage: Coverage) -> Self {
        let (start, end) = (|s: &Span| s.start.as_millis(), |s: &Span| s.end.as_millis());
        let bare = |span: &Span| BareView { start_ms: start(span), end_ms: end(span) };
        Self {
            speech_ms: coverage.speech.as_millis(),
            share: coverage.share(),
            bare: coverage.bare.iter().map(bare).collect(),
        }
    }
}

impl From<Transcript> for Version {
    fn from(transcript: Transcript) -> Self {
        Self {
            version: transcript.version,
            state: transcript.state,
            promoted: transcript.promoted,
            engine: transcript.made_by.engine,
            weights: transcript.made_by.weights,
            weights_sha256: transcript.made_by.weights_sha256,
            covered_ms: transcript.covered.as_millis(),
            coverage: transcript.coverage.into(),
            cost: transcript.cost.map(CostView::from),
            created_at: transcript.created_at.to_rfc3339(),
            completed_at: transcript.completed_at.map(|at| at.to_rfc3339()),
        }
    }
}

/// The versions of a recording's words.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TranscriptVersions)]
pub struct Versions {
    items: Vec<Version>,
}

/// Lists the versions of the words.
#[utoipa::path(
    get, path = "/api/recordings/{id}/transcripts", operation_id = "listTranscripts", tag = "words",
    security((), ("operator" = [])),
    params(("id" = RecordingId, Path, description = "The recording.")),
    responses(
        (status = 200, description = "The versions.", body = Versions),
        (status = 304, description = "The asker has them."),
        answers::Malformed, answers::Unauthorized, answers::Missing, answers::Failed
    )
)]
async fn list(
    State(app): State<App>,
    Caller(viewer): Caller,
    Path(id): Path<RecordingId>,
    asked: HeaderMap,
) -> Result<Response, Error> {
    let (_, room) = app.recording(id, viewer).await?;
    let transcripts = app.db.transcripts(id).await?;
    let items = transcripts.into_iter().map(Version::from).collect();
    respond::json(&asked, scope(room.audience), &Versions { items })
}

/// Makes a complete version the one that people are shown. Rolling back is showing an older one; the
/// edits are laid over whichever is shown.
#[utoipa::path(
    post, path = "/api/recordings/{id}/transcripts/{version}/promote",
    operation_id = "promoteTranscript", tag = "words", security((), ("operator" = [])),
    params(
        ("id" = RecordingId, Path, description = "The recording."),
        ("version" = u32, Path, description = "The version.")
    ),
    responses(
        (status = 200, description = "The version, shown now.", body = Version),
        answers::Malformed, answers::Unauthorized, answers::Forbidden, answers::Missing,
        answers::Conflict, answers::Failed
    )
)]
async fn promote(
    State(app): State<App>,
    _: Operator,
    Path((id, version)): Path<(RecordingId, u32)>,
) -> Result<Out<Version>, Error> {
    let promoted = app.db.promote_transcript(id, version).await.map_err(|error| match error {
        db::Error::NotFound { what: "recording" } => Error::unknown_recording(),
        db::Error::NotFound { .. } => missing(),
        db::Error::Conflict { what } => {
            Error::new(Code::TranscriptState, sentence(&format!("{what}: it cannot be shown")))
        }
        other => other.into(),
    })?;
    tracing::info!(recording = %id, version, "version of the words shown by request");
    Ok(Out(promoted.into()))
}

/// Which versions are compared.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Compared {
    /// The version that is taken for the older one.
    from: u32,
    /// The version that is taken for the newer one.
    to: u32,
}

/// What two versions differ in, word by word.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TranscriptDiff)]
pub struct DiffView {
    from: u32,
    to: u32,
    /// Words that stand in both.
    equal: usize,
    /// Words that stand in `from` only.
    removed: usize,
    /// Words that stand in `to` only.
    added: usize,
    /// All words of both, in the order of time; neighbouring runs are of different kinds.
    runs: Vec<RunView>,
}

/// Words one after the other that stand in both versions, or in one only.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TranscriptRun)]
pub struct RunView {
    kind: RunKind,
    /// When the first of them begins: in `to`, where they stand in both.
    start_ms: u64,
    end_ms: u64,
    /// How many words.
    words: usize,
    /// The words, joined by single spaces.
    text: String,
}

/// In which versions words stand.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunKind {
    /// In both.
    Equal,
    /// In `from` only.
    Removed,
    /// In `to` only.
    Added,
}

/// Compares two versions as they were made, without the edits that are laid over both.
#[utoipa::path(
    get, path = "/api/recordings/{id}/transcripts/diff", operation_id = "compareTranscripts",
    tag = "words", security((), ("operator" = [])),
    params(("id" = RecordingId, Path, description = "The recording."), Compared),
    responses(
        (status = 200, description = "What they differ in.", body = DiffView),
        (status = 304, description = "The asker has it."),
        answers::Malformed, answers::Unauthorized, answers::Missing, answers::Failed
    )
)]
async fn compare(
    State(app): State<App>,
    Caller(viewer): Caller,
    Path(id): Path<RecordingId>,
    Query(Compared { from, to }): Query<Compared>,
    asked: HeaderMap,
) -> Result<Response, Error> {
    let (_, room) = app.recording(id, viewer).await?;
    let older = words_of(&app, id, from).await?;
    let newer = words_of(&app, id, to).await?;
    // Ten hours of words take a moment that nobody else should wait for.
    let runs = tokio::task::spawn_blocking(move || diff::diff(&older, &newer)).await;
    let runs = runs.map_err(Error::internal)?;
    let count = |kind: Kind| -> usize {
        runs.iter().filter(|run| run.kind == kind).map(|run| run.words.len()).sum()
    };
    let shown = DiffView {
        from,
        to,
        equal: count(Kind::Equal),
        removed: count(Kind::Removed),
        added: count(Kind::Added),
        runs: runs.iter().map(RunView::from).collect(),
    };
    respond::json(&asked, scope(room.audience), &shown)
}

impl From<&diff::Run> for RunView {
    fn from(run: &diff::Run) -> Self {
        Self {
            kind: match run.kind {
                Kind::Equal => RunKind::Equal,
                Kind::Removed => RunKind::Removed,
                Kind::Added => RunKind::Added,
            },
            start_ms: run.span.start.as_millis(),
            end_ms: run.span.end.as_millis(),
            words: run.words.len(),
            text: run.words.join(" "),
        }
    }
}

async fn words_of(app: &App, id: RecordingId, version: u32) -> Result<Vec<Segment>, Error> {
    let transcript = one(app, id, Some(version)).await?;
    Ok(app.db.segments(transcript.id, 0).await?)
}

/// A version, or the one that people are shown.
pub(super) async fn one(
    app: &App,
    id: RecordingId,
    version: Option<u32>,
) -> Result<Transcript, Error> {
    app.db.transcript_version(id, version).await?.ok_or_else(missing)
}

/// There is no such version.
pub(super) fn missing() -> Error {
    let detail = "The recording has no words (yet), or not this version of them.";
    Error::new(Code::NoTranscript, detail)
}
