//! Whisper, through whisper.cpp: samples in, tokens with times out. The only module that names
//! `whisper_rs`.
//!
//! One [`Model`] holds the weights; any number of [`Session`]s decode with it at once, each on a
//! thread of its own. A window is one call: greedy, with no text carried over from the window
//! before (it would carry its mistakes over too, and windows are read several at once), and decoded in one
//! go (whisper.cpp's "single segment"), because then it hands over both times at each clause boundary
//! (otherwise it drops where a clause begins) and does not skip audio by itself.

mod device;
mod hook;
mod model;
mod repack;
mod session;
mod spectrum;

use std::io;
use std::sync::Arc;

use whisper_rs::WhisperError;

use crate::weights::ggml;

pub use self::device::{Device, devices};
pub use self::model::Model;
pub use self::session::{LONGEST, Session};

/// Why nothing was heard.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The weights could not be read.
    #[error("reading the weights {name}")]
    Read {
        /// Which weights.
        name: String,
        /// What the system says.
        source: io::Error,
    },
    /// The weights are not those that they are said to be.
    #[error("the weights {name} have SHA-256 {found}, not {expected}")]
    Wrong {
        /// Which weights.
        name: String,
        /// The digest they have.
        found: String,
        /// The digest they should have.
        expected: String,
    },
    /// The weights are not a whole Whisper model.
    #[error("reading the weights {name}")]
    Malformed {
        /// Which weights.
        name: String,
        /// What is wrong with them.
        source: ggml::Error,
    },
    /// whisper.cpp does not accept the weights.
    #[error("loading the weights {name}")]
    Load {
        /// Which weights.
        name: String,
        /// What whisper.cpp says.
        source: WhisperError,
    },
    /// The weights are a model, but not one whose times this program can read.
    #[error("the weights {name} have no times of the kind that Whisper's have")]
    Foreign {
        /// Which weights.
        name: String,
    },
    /// There is not enough memory to decode in.
    #[error("making room to decode in")]
    Room(#[source] WhisperError),
    /// whisper.cpp failed on a window.
    #[error("decoding a window")]
    Decode(#[source] WhisperError),
    /// It was told to stop.
    #[error("stopped in the middle of a window")]
    Stopped,
    /// More audio than [`LONGEST`].
    #[error("{0} samples are more than one window")]
    TooLong(usize),
}

/// Token numbers that mean something.
#[derive(Debug, Clone, Copy)]
struct Marks {
    /// From here on tokens are not text.
    end_of_text: i32,
    /// The time 0.00; the times follow it.
    time_zero: i32,
}

impl Marks {
    fn end_of_text(self) -> usize {
        usize::try_from(self.end_of_text).unwrap_or(0)
    }

    fn time_zero(self) -> usize {
        usize::try_from(self.time_zero).unwrap_or(0)
    }
}

/// Most tokens that a room's vocabulary may take: of the 224 that Whisper has for what went before,
/// a part small enough never to be taken for speech.
pub const PROMPT_TOKENS: usize = 96;

/// No vocabulary has more tokens than this before it is cut.
const PROMPT_ROOM: usize = 4096;

/// What the engine is told before a window. Clones share it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prompt(Arc<[i32]>);

/// How to decode one window.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoding {
    /// What to tell the engine before.
    pub prompt: Prompt,
    /// Threads to use.
    pub threads: usize,
    /// 0: the likeliest token each time. Above: drawn by lot, flatter with each step up.
    pub temperature: f32,
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
