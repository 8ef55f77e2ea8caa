//! The words of a recording, as JSON with their times and as captions and text.

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::Response;
use models::edit::{self, Conflict, Overlaid, Subject};
use models::speaker::Speaker;
use models::transcript::Suppressed;
use models::{Edit, RecordingId, Room, Segment, Transcript, Word, caption};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::edits::EditView;
use super::versions::Version;
use crate::auth::Caller;
use crate::disposition;
use crate::error::Error;
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
}

/// A version of the words of a recording.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Transcript)]
pub struct TranscriptView {
    recording_id: RecordingId,
    #[serde(flatten)]
    version: Version,
    /// The edits that are laid over it, in the order in which they were made; all of the recording's.
    edits: Vec<EditView>,
    segments: Vec<SegmentView>,
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
    /// What that speaker is known by in this recording, whatever they are called.
    speaker_label: Option<String>,
    /// 0 to 1.
    confidence: f32,
    /// The language that was spoken (ISO 639-1), where the engine tells; the text is English.
    language: Option<String>,
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
    /// 0 to 1; 1 for what a person wrote.
    confidence: f32,
    /// Number of the edit it comes from, where a person wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    edit: Option<u32>,
}

impl SegmentView {
    fn new(segment: Segment, edited: &[Option<u32>], names: &Names) -> Self {
        let word = |(word, edit): (Word, &Option<u32>)| WordView {
            start_ms: word.span.start.as_millis(),
            end_ms: word.span.end.as_millis(),
            text: word.text,
            confidence: word.confidence,
            edit: *edit,
        };
        Self {
            ordinal: segment.ordinal,
            start_ms: segment.span.start.as_millis(),
            end_ms: segment.span.end.as_millis(),
            text: segment.text,
            speaker: segment.speaker.as_deref().map(|label| names.of(label).to_owned()),
            speaker_label: segment.speaker,
            confidence: segment.confidence,
            language: segment.language,
            suppressed: segment.suppressed,
            words: segment.words.into_iter().zip(edited).map(word).collect(),
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
    let from = wanted.from.unwrap_or(0);
    let Shown { transcript, segments, edited, edits, conflicts, names } =
        shown(&app, recording.id, wanted.version, from).await?;
    let segment = |(segment, edited): (Segment, &Vec<_>)| SegmentView::new(segment, edited, &names);
    let shown = TranscriptView {
        recording_id: id,
        version: transcript.into(),
        edits: edits.into_iter().map(|edit| EditView::laid(edit, &conflicts)).collect(),
        segments: segments.into_iter().zip(&edited).map(segment).collect(),
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
            let segments = words(&app, id, wanted.version).await?;
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

/// A version as it is shown.
struct Shown {
    transcript: Transcript,
    segments: Vec<Segment>,
    /// For each segment and word: the edit it comes from.
    edited: Vec<Vec<Option<u32>>>,
    edits: Vec<Edit>,
    conflicts: Vec<Conflict>,
    names: Names,
}

/// What speakers are called.
struct Names {
    speakers: Vec<Speaker>,
    edits: Vec<Edit>,
}

impl Names {
    fn of<'a>(&'a self, label: &'a str) -> &'a str {
        edit::name_of(label, &self.speakers, &self.edits)
    }
}

/// The version asked for with the edits laid over it: the one place, so that a correction is seen in
/// every form. `from`: only segments from this ordinal on.
async fn shown(
    app: &App,
    id: RecordingId,
    version: Option<u32>,
    from: u32,
) -> Result<Shown, Error> {
    let transcript = super::versions::one(app, id, version).await?;
    let edits = app.db.edits(id).await?;
    let has_words = |edit: &Edit| matches!(edit.subject, Subject::Words(_));
    // Without edits a listener to a live room is given the end without reading all that was before.
    let overlaid = if edits.iter().any(has_words) {
        app.db.overlaid(&transcript, &edits).await?
    } else {
        let segments = app.db.segments(transcript.id, from).await?;
        let edited = segments.iter().map(|segment| vec![None; segment.words.len()]).collect();
        Overlaid { segments, edited, conflicts: Vec::new() }
    };
    let whole = overlaid.segments.into_iter().zip(overlaid.edited);
    let (segments, edited) = whole.filter(|(segment, _)| segment.ordinal >= from).unzip();
    let names = Names { speakers: app.db.speakers(id).await?, edits: edits.clone() };
    Ok(Shown { transcript, segments, edited, edits, conflicts: overlaid.conflicts, names })
}

/// The segments asked for, with speakers by the names people are shown.
async fn words(app: &App, id: RecordingId, version: Option<u32>) -> Result<Vec<Segment>, Error> {
    let Shown { mut segments, names, .. } = shown(app, id, version, 0).await?;
    for speaker in segments.iter_mut().filter_map(|segment| segment.speaker.as_mut()) {
        *speaker = names.of(speaker).to_owned();
    }
    Ok(segments)
}
