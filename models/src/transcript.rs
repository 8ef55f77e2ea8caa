//! The words of a recording: immutable versions of segments made of words.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::id::{RecordingId, TranscriptId};
use crate::time::{Span, Ticks, WallMicros};

/// One version of the words of a recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transcript {
    /// Its identifier.
    pub id: TranscriptId,
    /// The recording it is of.
    pub recording_id: RecordingId,
    /// 0 for the captions made while it was live, then 1, 2, …
    pub version: u32,
    /// Where it stands.
    pub state: State,
    /// Whether it is the version that people are shown.
    pub promoted: bool,
    /// What made it.
    pub made_by: MadeBy,
    /// All audio before this media time has been worked through.
    pub covered: Ticks,
    /// When it was begun.
    pub created_at: WallMicros,
    /// When it was finished.
    pub completed_at: Option<WallMicros>,
}

/// What made a transcript: enough to make it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeBy {
    /// Engine and its version, such as `whisper.cpp 1.8.3 (cpu)`.
    pub engine: String,
    /// Name of the weights, such as `base.en`.
    pub weights: String,
    /// SHA-256 of the weights, lower-case hex.
    pub weights_sha256: String,
    /// Decoder parameters, as JSON.
    pub parameters: serde_json::Value,
}

/// Where a transcript stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = TranscriptState)]
pub enum State {
    /// Growing window by window.
    Running,
    /// Finished; never changes again.
    Complete,
    /// Given up.
    Failed,
}

/// Words said in one go: about a clause.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Segment {
    /// Its place in the transcript, counted from 0.
    pub ordinal: u32,
    /// Where it is said.
    pub span: Span,
    /// What was said, as people read it.
    pub text: String,
    /// Who said it, where known.
    pub speaker: Option<String>,
    /// Mean probability of its tokens, 0 to 1.
    pub confidence: f32,
    /// Why it is hidden; `None`: shown. Nothing is suppressed silently.
    pub suppressed: Option<Suppressed>,
    /// Its words in order; their texts joined by spaces are `text`.
    pub words: Vec<Word>,
}

/// One word.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Word {
    /// Where it is said; starts never go back within a transcript.
    pub span: Span,
    /// The word with its punctuation, without spaces round it.
    pub text: String,
    /// Mean probability of its tokens, 0 to 1.
    pub confidence: f32,
}

/// Why a segment is hidden.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Suppressed {
    /// The engine was sure that nobody spoke.
    Silence,
    /// The same words again and again.
    Loop,
    /// The engine was guessing.
    LowConfidence,
}
