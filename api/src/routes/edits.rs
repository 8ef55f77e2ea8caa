//! Edits: what people correct in the words of a recording, laid over every version of them.

use axum::Json as Out;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use models::edit::{Conflict, Subject, Wanted};
use models::room::Viewer;
use models::{Edit, RecordingId, Span, Ticks, WallMicros, db};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::auth::Operator;
use crate::error::{Code, Error, sentence};
use crate::extract::{Json, Path};
use crate::problem::answers;
use crate::state::App;

/// Ten thousand years: no recording is longer, and no sum of times wraps.
const MS_MAX: u64 = 315_576_000_000_000;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list, make)).routes(routes!(undo))
}

/// A correction made by a person.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Edit)]
pub struct EditView {
    /// Its place among the edits of its recording, from 1; never given twice.
    number: u32,
    /// When the words begin that it is about; `null`: it renames a speaker.
    start_ms: Option<u64>,
    end_ms: Option<u64>,
    /// The label of the speaker that it renames.
    speaker: Option<String>,
    /// What was shown there when it was made.
    replaced: String,
    /// What is shown instead; empty: the words are taken out.
    text: String,
    made_at: String,
    /// Who made it, as far as they said; the operator is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    made_by: Option<String>,
    /// When it was undone; absent: it is in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    undone_at: Option<String>,
    /// Only in a transcript, and only where the edit is in conflict with this version: what that says
    /// itself, which is neither what the edit was made to replace nor what it says. Empty: nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    conflict: Option<String>,
}

impl EditView {
    /// An edit as it is laid over a version.
    pub(super) fn laid(edit: Edit, conflicts: &[Conflict]) -> Self {
        let conflict = conflicts.iter().find(|conflict| conflict.number == edit.number);
        let conflict = conflict.map(|conflict| conflict.says.clone());
        Self { conflict, made_by: None, ..Self::from(edit) }
    }
}

impl From<Edit> for EditView {
    fn from(edit: Edit) -> Self {
        let (span, speaker) = match edit.subject {
            Subject::Words(span) => (Some(span), None),
            Subject::Speaker(label) => (None, Some(label)),
        };
        Self {
            number: edit.number,
            start_ms: span.map(|span| span.start.as_millis()),
            end_ms: span.map(|span| span.end.as_millis()),
            speaker,
            replaced: edit.replaced,
            text: edit.text,
            made_at: edit.made_at.to_rfc3339(),
            made_by: Some(edit.made_by),
            undone_at: edit.undone_at.map(|at| at.to_rfc3339()),
            conflict: None,
        }
    }
}

/// The edits of a recording.
#[derive(Debug, Serialize, ToSchema)]
pub struct Edits {
    items: Vec<EditView>,
}

/// Lists all edits of a recording in the order they were made, undone ones included.
#[utoipa::path(
    get, path = "/api/recordings/{id}/edits", operation_id = "listEdits", tag = "words",
    security((), ("operator" = [])),
    params(("id" = RecordingId, Path, description = "The recording.")),
    responses(
        (status = 200, description = "The edits.", body = Edits),
        answers::Malformed, answers::Unauthorized, answers::Missing, answers::Failed
    )
)]
async fn list(
    State(app): State<App>,
    _: Operator,
    Path(id): Path<RecordingId>,
) -> Result<Out<Edits>, Error> {
    app.recording(id, Viewer::Operator).await?;
    let items = app.db.all_edits(id).await?.into_iter().map(EditView::from).collect();
    Ok(Out(Edits { items }))
}

/// An edit to be made: of words (`start_ms` and `end_ms`) or of a speaker's name (`speaker`).
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewEdit {
    /// When the first of the words begins, as it was read.
    start_ms: Option<u64>,
    /// When the last of the words ends, as it was read.
    end_ms: Option<u64>,
    /// The label of the speaker that gets another name, in the whole recording.
    speaker: Option<String>,
    /// The version that was read; the one that people are shown where it is left out.
    version: Option<u32>,
    /// The words or the name as they were read. Where something else is there by now, the edit is
    /// refused with `words_changed`.
    replaced: String,
    /// What is to be shown instead: at most 2000 characters, a name at most 200. Empty: the words are
    /// taken out.
    text: String,
    /// Who makes it, at most 200 characters.
    #[serde(default)]
    made_by: String,
}

impl NewEdit {
    fn wanted(self) -> Result<Wanted, Error> {
        let subject = match (self.start_ms, self.end_ms, self.speaker) {
            (Some(start), Some(end), None) if start <= end && end <= MS_MAX => {
                Subject::Words(Span::new(Ticks::from_millis(start), Ticks::from_millis(end)))
            }
            (None, None, Some(label)) => Subject::Speaker(label),
            _ => {
                let detail = "An edit has either start_ms and end_ms, in this order, or speaker.";
                return Err(Error::invalid(detail));
            }
        };
        let Self { version, replaced, text, made_by, .. } = self;
        let wanted = Wanted { subject, version, replaced, text, made_by };
        wanted.checked().map_err(|why| Error::invalid(sentence(&why.to_string())))
    }
}

/// Corrects words or a speaker's name. The versions stay as they are: the edit is laid over
/// whichever is shown, now and later. Where edits meet, the later one is shown in the part that it
/// covers; none is lost, and undoing it brings back the one below.
#[utoipa::path(
    post, path = "/api/recordings/{id}/edits", operation_id = "makeEdit", tag = "words",
    security((), ("operator" = [])),
    params(("id" = RecordingId, Path, description = "The recording.")),
    request_body = NewEdit,
    responses(
        (status = 201, description = "The edit.", body = EditView,
         headers(("location" = String, description = "Address of the edit."))),
        answers::Malformed, answers::Unauthorized, answers::Forbidden, answers::Missing,
        answers::Conflict, answers::TooLarge, answers::WrongContentType, answers::Invalid,
        answers::Failed
    )
)]
async fn make(
    State(app): State<App>,
    _: Operator,
    Path(id): Path<RecordingId>,
    Json(new): Json<NewEdit>,
) -> Result<Response, Error> {
    app.recording(id, Viewer::Operator).await?;
    let wanted = new.wanted()?;
    let edit = app.db.make_edit(id, &wanted, WallMicros::now()).await.map_err(refused)?;
    tracing::info!(recording = %id, edit = edit.number, "words edited");
    let place = HeaderValue::from_str(&format!("/api/recordings/{id}/edits/{}", edit.number))
        .expect("a UUID and a number are visible ASCII");
    Ok((StatusCode::CREATED, [(header::LOCATION, place)], Out(EditView::from(edit)))
        .into_response())
}

/// Undoes an edit: what was below it is shown again. One that another was made over is undone after
/// that.
#[utoipa::path(
    delete, path = "/api/recordings/{id}/edits/{number}", operation_id = "undoEdit", tag = "words",
    security((), ("operator" = [])),
    params(
        ("id" = RecordingId, Path, description = "The recording."),
        ("number" = u32, Path, description = "The edit.")
    ),
    responses(
        (status = 200, description = "The edit, undone.", body = EditView),
        answers::Malformed, answers::Unauthorized, answers::Forbidden, answers::Missing,
        answers::Conflict, answers::Failed
    )
)]
async fn undo(
    State(app): State<App>,
    _: Operator,
    Path((id, number)): Path<(RecordingId, u32)>,
) -> Result<Out<EditView>, Error> {
    let edit = app.db.undo_edit(id, number, WallMicros::now()).await.map_err(refused)?;
    tracing::info!(recording = %id, edit = number, "edit undone");
    Ok(Out(edit.into()))
}

fn refused(error: db::Error) -> Error {
    match error {
        db::Error::NotFound { what: "recording" } => Error::unknown_recording(),
        db::Error::NotFound { what: "transcript" } => super::versions::missing(),
        db::Error::NotFound { what: "edit" } => {
            Error::new(Code::UnknownEdit, "The recording has no such edit, or it is undone.")
        }
        db::Error::NotFound { what: "speaker" } => {
            Error::new(Code::UnknownSpeaker, "Nobody in the recording has this label.")
        }
        db::Error::Conflict { what } => Error::new(Code::EditState, sentence(&what)),
        other => other.into(),
    }
}
