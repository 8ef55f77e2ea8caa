//! What can be wrong with a recording at rest.

use std::fmt;

use models::{Chunk, GapCause, Ticks};

use crate::key::Key;

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Damage {
    /// The header is not there.
    NoInit,
    /// The header is not one of ours.
    BadInit,
    /// A chunk's object is not there.
    Missing(Chunk),
    /// A chunk's object is not what was recorded.
    Spoilt {
        /// Its row.
        chunk: Chunk,
        /// What is wrong.
        why: String,
    },
    /// Rows are missing: media time, or numbers, that no chunk has.
    Hole {
        /// The first number that is missing, and the first that is there again.
        seqs: (u32, u32),
        /// From where to where.
        span: models::Span,
    },
    /// A chunk begins before the one before it ends, or has its number.
    Overlap {
        /// Which one.
        seq: u32,
    },
    /// The recording's own row does not have the sum of its chunks.
    Sums,
    /// A gap reaches beyond the recording.
    GapOutside {
        /// Where it begins.
        start: Ticks,
        /// Its cause.
        cause: GapCause,
    },
    /// An anchor is beyond the recording, or earlier on the wall clock than the one before it.
    Anchor {
        /// Where it is.
        media: Ticks,
    },
    /// No receipt tells what is there now.
    NoReceipt,
    /// A receipt is not what it was when it was made.
    ReceiptAltered {
        /// Which one.
        number: u32,
        /// What is wrong with it.
        why: String,
    },
    /// A receipt's signature is not one of it.
    ReceiptSignature {
        /// Which one.
        number: u32,
    },
    /// A receipt is missing, or names another before it.
    ReceiptChain {
        /// Which one.
        number: u32,
    },
    /// The last receipt tells something else than the rows.
    ReceiptDiffers {
        /// Which one.
        number: u32,
        /// In what.
        what: String,
    },
    /// An object that no row names.
    Orphan {
        /// The object.
        key: Key,
        /// Its size.
        bytes: u64,
    },
    /// The whole as one file is not made of the chunks.
    Export(Key),
    /// Something that is not ours lies among the objects.
    Stranger(String),
    /// There are objects of a recording that no row knows.
    Unknown,
}

impl Damage {
    /// What it is called by programs.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::NoInit => "init_missing",
            Self::BadInit => "init_damaged",
            Self::Missing(_) => "chunk_missing",
            Self::Spoilt { .. } => "chunk_damaged",
            Self::Hole { .. } => "rows_missing",
            Self::Overlap { .. } => "rows_overlap",
            Self::Sums => "sums_wrong",
            Self::GapOutside { .. } => "gap_outside",
            Self::Anchor { .. } => "anchor_wrong",
            Self::NoReceipt => "receipt_missing",
            Self::ReceiptAltered { .. } => "receipt_altered",
            Self::ReceiptSignature { .. } => "receipt_signature",
            Self::ReceiptChain { .. } => "receipt_chain",
            Self::ReceiptDiffers { .. } => "receipt_differs",
            Self::Orphan { .. } => "orphan",
            Self::Export(_) => "export_damaged",
            Self::Stranger(_) => "stranger",
            Self::Unknown => "recording_unknown",
        }
    }

    /// Whether it may be something that is just being done: worth another look in a moment.
    #[must_use]
    pub const fn may_pass(&self) -> bool {
        matches!(self, Self::Orphan { .. } | Self::NoReceipt | Self::Unknown)
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoInit => f.write_str("its header is not in the store"),
            Self::BadInit => f.write_str("its header in the store is not one"),
            Self::Missing(chunk) => {
                write!(f, "chunk {} ({}) is not in the store", chunk.seq, chunk.start)
            }
            Self::Spoilt { chunk, why } => {
                write!(f, "chunk {} ({}) is damaged: {why}", chunk.seq, chunk.start)
            }
            Self::Hole { seqs: (first, next), span } if first < next => write!(
                f,
                "the rows of chunks {first} to {} ({} to {}) are missing",
                next - 1,
                span.start,
                span.end
            ),
            Self::Hole { span, .. } => {
                write!(f, "no chunk has the time from {} to {}", span.start, span.end)
            }
            Self::Overlap { seq } => {
                write!(f, "chunk {seq} begins before the one before it ends")
            }
            Self::Sums => f.write_str("its length or size is not the sum of its chunks'"),
            Self::GapOutside { start, .. } => {
                write!(f, "the gap at {start} reaches beyond the recording")
            }
            Self::Anchor { media } => {
                write!(f, "the anchor at {media} is beyond the end, or earlier than the last")
            }
            Self::NoReceipt => f.write_str("no receipt tells what is there"),
            Self::ReceiptAltered { number, why } => {
                write!(f, "receipt {number} is not what it was: {why}")
            }
            Self::ReceiptSignature { number } => {
                write!(f, "the signature of receipt {number} is not one of it")
            }
            Self::ReceiptChain { number } => {
                write!(f, "receipt {number} does not name the one before it")
            }
            Self::ReceiptDiffers { number, what } => {
                write!(f, "receipt {number} tells something else than the rows: {what}")
            }
            Self::Orphan { key, bytes } => write!(f, "no row names {key} ({bytes} bytes)"),
            Self::Export(key) => write!(f, "{key} is not made of the chunks"),
            Self::Stranger(path) => write!(f, "{path} is none of our objects"),
            Self::Unknown => f.write_str("there are objects of it, but no row knows it"),
        }
    }
}
