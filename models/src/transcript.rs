//! The words of a recording: immutable versions of segments made of words.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;

use crate::chunk::Chunk;
use crate::id::{RecordingId, TranscriptId};
use crate::job::Cost;
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
    /// How much of the speech in it has words.
    pub coverage: Coverage,
    /// What it took; `None` where nobody has told.
    pub cost: Option<Cost>,
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

/// How much of the speech that was found has words: what a transcript leaves out is reported.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// How long people speak.
    pub speech: Ticks,
    /// Where they do and no words were found, a second look included; in order.
    pub bare: Vec<Span>,
}

impl Coverage {
    /// The share of the speech that has words, 0 to 1; `None` where nobody speaks.
    #[must_use]
    pub fn share(&self) -> Option<f64> {
        let bare: Ticks = self.bare.iter().map(|span| span.duration()).sum();
        let speech = self.speech.0 as f64;
        (speech > 0.0).then(|| (1.0 - bare.0 as f64 / speech).max(0.0))
    }
}

/// Where [`MadeBy::parameters`] name the audio.
const AUDIO: &str = "audio_sha256";
/// Where they name what the engine is told of a recording …
const TOLD: &str = "told_sha256";
/// … and where they say what kind of thing that is.
const VOCABULARY: &str = "vocabulary";
/// What they say there where the engine is told nothing.
pub const NO_VOCABULARY: &str = "none";

impl MadeBy {
    /// The same, of one recording: names the SHA-256 over its chunks' digests, in order, and that of its
    /// vocabulary, where the engine is told one.
    #[must_use]
    pub fn of(mut self, chunks: &[Chunk], vocabulary: &str) -> Self {
        let mut digest = Sha256::new();
        chunks.iter().for_each(|chunk| digest.update(chunk.sha256));
        self.parameters[AUDIO] = hex(digest).into();
        if self.parameters[VOCABULARY] != NO_VOCABULARY {
            self.parameters[TOLD] = hex(Sha256::new().chain_update(vocabulary)).into();
        }
        self
    }

    /// The same, of no recording in particular.
    #[must_use]
    pub fn of_any(mut self) -> Self {
        if let Some(parameters) = self.parameters.as_object_mut() {
            parameters.retain(|name, _| name != AUDIO && name != TOLD);
        }
        self
    }

    /// Whether both make the same words: engine, weights and all that decides what comes out, audio
    /// included where it is named, are the same. What the weights are called does not matter.
    #[must_use]
    pub fn makes_the_same_as(&self, other: &Self) -> bool {
        let key = |by: &Self| (by.engine.clone(), by.weights_sha256.clone(), by.parameters.clone());
        key(self) == key(other)
    }
}

fn hex(digest: Sha256) -> String {
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
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
    /// The language that was spoken (ISO 639-1, such as `de`), where the engine tells; the text is
    /// English whatever it was.
    pub language: Option<String>,
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
    /// A phrase that engines are known to make up, such as credits of subtitles.
    Phantom,
}
