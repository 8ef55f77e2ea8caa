//! The words of a recording, as JSON with their times and as captions and text.

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::Response;
use models::transcript::{State as Stage, Suppressed};
use models::{RecordingId, Room, Segment, Transcript, Word, caption};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::auth::Caller;
use crate::disposition;
use crate::error::{Code, Error};
use crate::extract::{Path, Query};
use crate::problem::answers;
use crate::respond::{self, open_to, scope};
use crate::state::App;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(json))
        .routes(routes!(vtt))
        .routes(routes!(srt))
        .routes(routes!(txt))
        .routes(routes!(versions))
}

/// A version of the words of a recording.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Transcript)]
pub struct TranscriptView {
    recording_id: RecordingId,
    #[serde(flatten)]
    version: Version,
    segments: Vec<SegmentView>,
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
    created_at: String,
    completed_at: Option<String>,
}

/// Words said in one go.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Segment)]
pub struct SegmentView {
    /// Its place in the transcript, from 0.
    ordinal: u32,
    start_ms: u64,
    end_ms: u64,
    text: String,
    /// Who said it, where known.
    speaker: Option<String>,
    /// 0 to 1.
    confidence: f32,
    /// Why it is hidden; `null`: shown.
    suppressed: Option<Suppressed>,
    words: Vec<WordView>,
}

/// One word.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Word)]
pub struct WordView {
    start_ms: u64,
    end_ms: u64,
    text: String,
    /// 0 to 1.
    confidence: f32,
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
            created_at: transcript.created_at.to_rfc3339(),
            completed_at: transcript.completed_at.map(|at| at.to_rfc3339()),
        }
    }
}

impl From<Segment> for SegmentView {
    fn from(segment: Segment) -> Self {
        Self {
            ordinal: segment.ordinal,
            start_ms: segment.span.start.as_millis(),
            end_ms: segment.span.end.as_millis(),
            text: segment.text,
            speaker: segment.speaker,
            confidence: segment.confidence,
            suppressed: segment.suppressed,
            words: segment.words.into_iter().map(WordView::from).collect(),
        }
    }
}

impl From<Word> for WordView {
    fn from(word: Word) -> Self {
        Self {
            start_ms: word.span.start.as_millis(),
            end_ms: word.span.end.as_millis(),
            text: word.text,
            confidence: word.confidence,
        }
    }
}

/// Which words are asked for.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Wanted {
    /// A version; the one that people are shown where it is left out.
    version: Option<u32>,
    /// First segment wanted, by its ordinal.
    from: Option<u32>,
}

/// The words with their times.
#[utoipa::path(
    get, path = "/api/recordings/{id}/transcript.json", operation_id = "transcript", tag = "words",
    security((), ("operator" = [])),
    params(("id" = RecordingId, Path, description = "The recording."), Wanted),
    responses(
        (status = 200, description = "The words.", body = TranscriptView),
        (status = 304, description = "The asker has them."),
        answers::Malformed, answers::Unauthorized, answers::Missing, answers::Failed
    )
)]
async fn json(
    State(app): State<App>,
    Caller(viewer): Caller,
    Path(id): Path<RecordingId>,
    Query(wanted): Query<Wanted>,
    asked: HeaderMap,
) -> Result<Response, Error> {
    let (recording, room) = app.recording(id, viewer).await?;
    let (version, segments) = words(&app, recording.id, &wanted).await?;
    let shown = TranscriptView {
        recording_id: id,
        version: version.into(),
        segments: segments.into_iter().map(SegmentView::from).collect(),
    };
    let mut response = respond::json(&asked, scope(room.audience), &shown)?;
    open_to(room.audience, response.headers_mut());
    Ok(response)
}

/// Which captions or text are asked for, and how.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct WantedFile {
    /// A version; the one that people are shown where it is left out.
    version: Option<u32>,
    /// `1`: to be kept as a file rather than shown in place.
    download: Option<u8>,
}

macro_rules! file {
    (
        $name:ident, $id:literal, $path:literal, $extension:literal, $kind:literal, $doc:literal, $write:expr
    ) => {
        #[doc = $doc]
        #[utoipa::path(
            get, path = $path, operation_id = $id, tag = "words", security((), ("operator" = [])),
            params(("id" = RecordingId, Path, description = "The recording."), WantedFile),
            responses(
                (status = 200, description = "The text.", body = String, content_type = $kind),
                (status = 304, description = "The asker has it."),
                answers::Malformed, answers::Unauthorized, answers::Missing, answers::Failed
            )
        )]
        async fn $name(
            State(app): State<App>,
            Caller(viewer): Caller,
            Path(id): Path<RecordingId>,
            Query(wanted): Query<WantedFile>,
            asked: HeaderMap,
        ) -> Result<Response, Error> {
            let (recording, room) = app.recording(id, viewer).await?;
            let version = Wanted { version: wanted.version, from: None };
            let (_, segments) = words(&app, id, &version).await?;
            let write: fn(&[Segment]) -> String = $write;
            let download = wanted.download.is_some_and(|n| n != 0);
            let named = disposition::header(&recording.title, $extension, download);
            let kind = concat!($kind, "; charset=utf-8");
            let mut response = file_of(&asked, &room, kind, write(&segments));
            response.headers_mut().insert(header::CONTENT_DISPOSITION, named);
            Ok(response)
        }
    };
}

file!(
    vtt,
    "vtt",
    "/api/recordings/{id}/transcript.vtt",
    "vtt",
    "text/vtt",
    "Captions as WebVTT.",
    |s| { caption::webvtt(&caption::cues(s)) }
);
file!(
    srt,
    "srt",
    "/api/recordings/{id}/transcript.srt",
    "srt",
    "application/x-subrip",
    "Captions as SubRip.",
    |s| caption::srt(&caption::cues(s))
);
file!(
    txt,
    "txt",
    "/api/recordings/{id}/transcript.txt",
    "txt",
    "text/plain",
    "The words as text.",
    |s| { caption::txt(s) }
);

fn file_of(asked: &HeaderMap, room: &Room, kind: &'static str, text: String) -> Response {
    let mut response = respond::text(asked, kind, scope(room.audience), text.into_bytes());
    open_to(room.audience, response.headers_mut());
    response
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
async fn versions(
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

/// The version asked for and its segments, with speakers by the names people are shown: the one
/// place, so that a renamed speaker is renamed in every form.
async fn words(
    app: &App,
    id: RecordingId,
    wanted: &Wanted,
) -> Result<(Transcript, Vec<Segment>), Error> {
    let transcript = app.db.transcript_version(id, wanted.version).await?;
    let transcript = transcript.ok_or_else(|| {
        let detail = "The recording has no words (yet), or not this version of them.";
        Error::new(Code::NoTranscript, detail)
    })?;
    let mut segments = app.db.segments(transcript.id, wanted.from.unwrap_or(0)).await?;
    let speakers = app.db.speakers(id).await?;
    for speaker in segments.iter_mut().filter_map(|segment| segment.speaker.as_mut()) {
        if let Some(known) = speakers.iter().find(|known| known.label == *speaker) {
            speaker.clone_from(&known.name);
        }
    }
    Ok((transcript, segments))
}
