//! The command line of `reprocess`.

use clap::{Args, Subcommand, ValueEnum};
use models::{BatchId, job};

/// Arguments of `reprocess`. The weights are those of `--weights`, like a worker's.
#[derive(Debug, Args)]
pub(crate) struct Reprocess {
    #[command(flatten)]
    pub(crate) new: ReprocessNew,
    #[command(subcommand)]
    pub(crate) action: Option<ReprocessAction>,
}

/// What is to be transcribed again, and how.
#[derive(Debug, Args)]
pub(crate) struct ReprocessNew {
    /// Which recordings: terms that all have to hold, with commas between them or given again. All
    /// are over: `all`, `id=RECORDING`, `room=SLUG`, `from=2026-01-31`, `to=2026-01-31` (days in UTC,
    /// both included, or times), `weights=base.en` or `weights!=base.en` (of the words that are
    /// shown), `version<2` (of these), `longer=10m`, `shorter=1h30m`
    #[arg(long = "where", value_name = "TERMS")]
    pub(crate) terms: Vec<String>,
    /// How urgent: `batch` steps back behind every new recording, `fresh` is like one
    #[arg(long, value_enum, default_value_t = Priority::Batch)]
    pub(crate) priority: Priority,
    /// Keep showing the words that are shown, so that the new ones can be compared first
    #[arg(long)]
    pub(crate) no_promote: bool,
    /// Only say what would be done, and how long it takes
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Return once it is queued, instead of showing how far it is
    #[arg(long, conflicts_with = "work")]
    pub(crate) detach: bool,
    /// Transcribe in this command, though others have these weights too [default: where no running
    /// worker has them]
    #[arg(long)]
    pub(crate) work: bool,
}

impl ReprocessNew {
    /// Whether anything was said.
    pub(crate) fn is_asked(&self) -> bool {
        !self.terms.is_empty() || self.no_promote || self.dry_run || self.detach || self.work
    }
}

/// What to do with what was queued.
#[derive(Debug, Subcommand)]
pub(crate) enum ReprocessAction {
    /// Show what was asked for and how far it is, the newest first
    List {
        /// Show so many at most
        #[arg(long, value_name = "N", default_value_t = 20)]
        limit: u32,
    },
    /// Show how far one is, and what failed
    Show {
        /// Batch
        batch: BatchId,
    },
    /// Show how far one is until it is done; transcribe in this command where no running worker has
    /// its weights
    Watch {
        /// Batch
        batch: BatchId,
        /// Transcribe in this command, though others have these weights too
        #[arg(long)]
        work: bool,
    },
    /// Let one rest: its recordings wait, and those that are worked on are given back
    Pause {
        /// Batch
        batch: BatchId,
    },
    /// Go on with one that rests
    Resume {
        /// Batch
        batch: BatchId,
    },
    /// Take one back: what is done stays, nothing more is done
    Cancel {
        /// Batch
        batch: BatchId,
    },
}

/// How urgent it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Priority {
    /// Behind everything else.
    Batch,
    /// Like a recording that has just ended.
    Fresh,
}

impl Priority {
    pub(crate) const fn class(self) -> job::Class {
        match self {
            Self::Batch => job::Class::Batch,
            Self::Fresh => job::Class::Fresh,
        }
    }
}
