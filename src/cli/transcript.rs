//! The command line of `transcript`.

use clap::{Subcommand, ValueEnum};
use models::RecordingId;

/// What to do with the words of a recording.
#[derive(Debug, Subcommand)]
pub(crate) enum TranscriptAction {
    /// List the versions of the words, and which of them people are shown
    List {
        /// Recording
        recording: RecordingId,
    },
    /// Show people another version of the words
    ///
    /// Any complete version may be shown. To roll back, promote an older one: no version is ever
    /// changed or removed by it, and edits are laid over whichever is shown.
    Promote {
        /// Recording
        recording: RecordingId,
        /// Version: a number from `roomtape transcript list`
        version: u32,
    },
    /// Show what two versions differ in, word by word, without edits
    ///
    /// Each line begins with the media time. [-words-] are in FROM only, {+words+} in TO only.
    Diff {
        /// Recording
        recording: RecordingId,
        /// The older version
        from: u32,
        /// The newer version
        to: u32,
        /// Use colours: `auto` where the output is a terminal and NO_COLOR is not set
        #[arg(long, value_enum, default_value_t = Colour::Auto, value_name = "WHEN")]
        color: Colour,
    },
    /// List the edits that are laid over every version
    Edits {
        /// Recording
        recording: RecordingId,
    },
    /// Undo an edit: what was below it is shown again
    ///
    /// One that another was made over is undone after that.
    Undo {
        /// Recording
        recording: RecordingId,
        /// Edit: a number from `roomtape transcript edits`
        edit: u32,
    },
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Colour {
    /// On a terminal
    Auto,
    /// Anywhere
    Always,
    /// Nowhere
    Never,
}
