//! What a request is answered when it cannot be served: one error type, one list of stable codes.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::sync::Arc;

use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use models::{db, room};
use serde::Serialize;
use utoipa::ToSchema;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $status:ident, $text:literal, $title:literal;)+) => {
        /// What went wrong, as programs are to read it: these words never change.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
        #[schema(as = ErrorCode)]
        pub enum Code {
            $($(#[$doc])* #[serde(rename = $text)] $name,)+
        }

        impl Code {
            /// The word itself.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// The HTTP status it goes with.
            #[must_use]
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)+ }
            }

            /// A short summary for people, the same for every occurrence.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)+ }
            }

            /// Every code there is.
            #[cfg(test)]
            pub(crate) const ALL: &'static [Self] = &[$(Self::$name),+];
        }
    };
}

codes! {
    /// The body is not JSON.
    BadJson = BAD_REQUEST, "bad_json", "The body is not JSON";
    /// The query string has a field that is unknown or cannot be read.
    BadQuery = BAD_REQUEST, "bad_query", "The query cannot be read";
    /// An identifier in the path is not a UUID.
    BadId = BAD_REQUEST, "bad_id", "The identifier is not a UUID";
    /// Any other malformed request.
    BadRequest = BAD_REQUEST, "bad_request", "The request cannot be read";
    /// Only the operator may do this, and no token was given.
    TokenRequired = UNAUTHORIZED, "token_required", "This needs the operator's token";
    /// The token given is not the operator's.
    BadToken = UNAUTHORIZED, "bad_token", "The token is wrong";
    /// A browser sent a change from a page of another origin.
    CrossOrigin = FORBIDDEN, "cross_origin", "Changes from other origins are refused";
    /// The room's policy is that it is never recorded.
    NotRecordable = FORBIDDEN, "not_recordable", "This room is never recorded";
    /// There is nothing at this address.
    NotFound = NOT_FOUND, "not_found", "There is nothing here";
    /// No such room, or not one the asker may see.
    UnknownRoom = NOT_FOUND, "unknown_room", "There is no such room";
    /// No such recording, or not one the asker may see.
    UnknownRecording = NOT_FOUND, "unknown_recording", "There is no such recording";
    /// The recording has no such chunk.
    UnknownChunk = NOT_FOUND, "unknown_chunk", "There is no such chunk";
    /// No such job.
    UnknownJob = NOT_FOUND, "unknown_job", "There is no such job";
    /// No such batch.
    UnknownBatch = NOT_FOUND, "unknown_batch", "There is no such batch";
    /// Nothing of the recording's sound is kept yet, or it failed.
    NoAudio = NOT_FOUND, "no_audio", "This recording has no audio";
    /// The recording has no words yet, or not that version of them.
    NoTranscript = NOT_FOUND, "no_transcript", "This recording has no such transcript";
    /// The recording has no such edit, or it is undone.
    UnknownEdit = NOT_FOUND, "unknown_edit", "There is no such edit";
    /// Nobody in the recording has that label.
    UnknownSpeaker = NOT_FOUND, "unknown_speaker", "There is no such speaker";
    /// The recording has no receipt yet, or not that one, or nobody has signed it.
    NoReceipt = NOT_FOUND, "no_receipt", "This recording has no such receipt";
    /// The address exists, but not with this method.
    MethodNotAllowed = METHOD_NOT_ALLOWED, "method_not_allowed", "This method is not allowed here";
    /// The room has an open recording already.
    AlreadyRecording = CONFLICT, "already_recording", "The room is being recorded already";
    /// The recording cannot go from its state to the one asked for.
    IllegalTransition = CONFLICT, "illegal_transition", "The recording cannot do that now";
    /// The job is not in a state in which that can be done.
    JobState = CONFLICT, "job_state", "The job cannot do that now";
    /// The version of the words is not complete, and so cannot be shown to people.
    TranscriptState = CONFLICT, "transcript_state", "This version cannot be shown";
    /// Something else stands where the words to be edited were read; `there` says what.
    WordsChanged = CONFLICT, "words_changed", "Something else stands there now";
    /// The edit cannot be made or undone as things are.
    EditState = CONFLICT, "edit_state", "That cannot be edited so now";
    /// The batch is not in a state in which that can be done.
    BatchState = CONFLICT, "batch_state", "The batch cannot do that now";
    /// Something with the same unique value exists.
    Conflict = CONFLICT, "conflict", "This is taken";
    /// The body is larger than is accepted.
    TooLarge = PAYLOAD_TOO_LARGE, "too_large", "The body is too large";
    /// The body's content type is not JSON.
    WrongContentType = UNSUPPORTED_MEDIA_TYPE, "wrong_content_type", "The body must be JSON";
    /// The range asked for lies outside the file, or is not a range.
    RangeNotSatisfiable = RANGE_NOT_SATISFIABLE, "range_not_satisfiable", "The range lies outside the file";
    /// The server does not answer to that name.
    HostNotAllowed = MISDIRECTED_REQUEST, "host_not_allowed", "This server does not answer to that host name";
    /// A field's value is out of bounds, missing or unknown.
    Invalid = UNPROCESSABLE_ENTITY, "invalid", "A field is not valid";
    /// Something failed on our side; the log has it under the request id.
    Internal = INTERNAL_SERVER_ERROR, "internal", "Something failed on the server";
    /// The process cannot do its work now.
    NotReady = SERVICE_UNAVAILABLE, "not_ready", "The process is not ready";
    /// The disk on which it would be written is too full.
    NoSpace = INSUFFICIENT_STORAGE, "no_space", "There is no room for a new recording";
    /// The answer took too long.
    Timeout = SERVICE_UNAVAILABLE, "timeout", "The answer took too long";
}

/// Why a request was not served.
#[derive(Debug, Clone)]
pub struct Error {
    /// What programs read.
    pub code: Code,
    /// What people read: about this occurrence, and safe to show.
    pub detail: Cow<'static, str>,
    /// What stands there now: [`Code::WordsChanged`].
    pub(crate) there: Option<String>,
    /// A header the answer carries besides its type.
    header: Option<Box<(HeaderName, HeaderValue)>>,
    /// What failed inside: logged, never returned.
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error with something to say about this occurrence.
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { code, detail: detail.into(), there: None, header: None, source: None }
    }

    /// A failure of ours: `source` goes to the log only.
    pub fn internal(source: impl StdError + Send + Sync + 'static) -> Self {
        let detail = "The log of the server has the reason under this request's id.";
        Self { source: Some(Arc::new(source)), ..Self::new(Code::Internal, detail) }
    }

    /// A value that is out of bounds.
    pub fn invalid(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::Invalid, detail)
    }

    /// A recording that does not exist or that the asker may not know of: the same answer.
    #[must_use]
    pub fn unknown_recording() -> Self {
        Self::new(Code::UnknownRecording, "No recording has this identifier.")
    }

    /// A room that does not exist or that the asker may not know of: the same answer.
    #[must_use]
    pub fn unknown_room() -> Self {
        Self::new(Code::UnknownRoom, "No room has this name.")
    }

    /// Something else stands where somebody read what they want to edit.
    #[must_use]
    pub fn words_changed(there: String) -> Self {
        let detail = match there.as_str() {
            "" => "Nothing is said there any more.".to_owned(),
            there => format!("It says “{there}” there now."),
        };
        Self { there: Some(there), ..Self::new(Code::WordsChanged, detail) }
    }

    /// Gives the answer a header.
    #[must_use]
    pub fn with_header(self, name: HeaderName, value: HeaderValue) -> Self {
        Self { header: Some(Box::new((name, value))), ..self }
    }

    /// What failed inside with all its causes, for the log.
    #[must_use]
    pub fn chain(&self) -> Option<String> {
        let first: &(dyn StdError + 'static) = self.source.as_deref()?;
        let mut text = first.to_string();
        let mut next = first.source();
        while let Some(cause) = next {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            next = cause.source();
        }
        Some(text)
    }
}

/// Status and headers only; [`crate::problem::render`] writes the body, because it knows the
/// request's id.
impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let mut response = self.code.status().into_response();
        response.headers_mut().extend(self.header.as_deref().cloned());
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response.extensions_mut().insert(self);
        response
    }
}

impl From<db::Error> for Error {
    fn from(error: db::Error) -> Self {
        match error {
            db::Error::NotFound { what } => Self::new(Code::NotFound, format!("No such {what}.")),
            db::Error::Conflict { what } => Self::new(Code::Conflict, what),
            db::Error::Changed { there } => Self::words_changed(there),
            db::Error::Illegal { from, to } => illegal(from, to),
            other => Self::internal(other),
        }
    }
}

/// The error of a recording in state `from` that was asked to become `to`.
#[must_use]
pub(crate) fn illegal(from: models::recording::State, to: models::recording::State) -> Error {
    let word = |state| serde_json::to_value(state).ok().and_then(|v| v.as_str().map(str::to_owned));
    let (from, to) = (word(from).unwrap_or_default(), word(to).unwrap_or_default());
    Error::new(Code::IllegalTransition, format!("The recording is {from} and cannot become {to}."))
}

impl From<archive::store::Error> for Error {
    fn from(error: archive::store::Error) -> Self {
        Self::internal(error)
    }
}

impl From<room::Invalid> for Error {
    fn from(error: room::Invalid) -> Self {
        Self::invalid(error.to_string())
    }
}

impl From<JsonRejection> for Error {
    fn from(rejection: JsonRejection) -> Self {
        let code = match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Code::TooLarge,
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Code::WrongContentType,
            StatusCode::UNPROCESSABLE_ENTITY => Code::Invalid,
            _ => Code::BadJson,
        };
        Self::new(code, rejection.body_text())
    }
}

impl From<PathRejection> for Error {
    fn from(rejection: PathRejection) -> Self {
        Self::new(Code::BadId, rejection.body_text())
    }
}

impl From<QueryRejection> for Error {
    fn from(rejection: QueryRejection) -> Self {
        Self::new(Code::BadQuery, rejection.body_text())
    }
}

/// A clause as a sentence.
#[must_use]
pub(crate) fn sentence(clause: &str) -> String {
    let mut letters = clause.chars();
    letters
        .next()
        .map_or_else(String::new, |first| format!("{}{}.", first.to_uppercase(), letters.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_distinct_words_and_what_serde_writes() {
        let mut seen = std::collections::HashSet::new();
        for code in Code::ALL {
            assert!(seen.insert(code.as_str()), "{code:?}");
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
            assert!(code.status().is_client_error() || code.status().is_server_error());
        }
    }

    #[test]
    fn what_failed_inside_is_in_the_chain_and_not_in_the_detail() {
        let cause = std::io::Error::other("disk 7 is on fire");
        let error = Error::internal(cause);
        assert_eq!(error.chain().unwrap(), "disk 7 is on fire");
        assert!(!error.detail.contains("disk"));
    }
}
