//! What exists in Roomtape and how it may change.
//!
//! Pure data with legal transitions ([`room`], [`recording`], [`chunk`], [`receipt`], [`transcript`],
//! [`edit`], [`speaker`], [`job`], [`batch`], [`hold`]), the one timeline everything is measured on ([`time`]), the clock
//! recordings are timed by ([`steady`]), captions made from words ([`caption`]), what two versions of them
//! differ in ([`diff`]), who may be connected to a listening address at once ([`doors`]) and how the
//! others are told ([`refusal`]), and the only place that talks to a database ([`db`]).
//!
//! Invariants: media time is counted in 48 kHz ticks from a recording's first sample and is never a
//! float; identifiers are UUID version 7, so that they sort by creation; every change of state that
//! makes work for another stage enqueues that work in the same transaction.
//!
//! Deliberately unknown here: where audio comes from, what a chunk's bytes look like, how words are
//! recognised, and HTTP.

pub mod batch;
pub mod caption;
pub mod chunk;
pub mod db;
pub mod diff;
pub mod doors;
pub mod edit;
pub mod hold;
pub mod id;
pub mod job;
pub mod receipt;
pub mod recording;
pub mod refusal;
pub mod room;
pub mod speaker;
pub mod steady;
pub mod time;
pub mod transcript;

pub use batch::Batch;
pub use chunk::{Anchor, Chunk, Gap, GapCause};
pub use db::Db;
pub use edit::Edit;
pub use hold::{Grip, Hold, Worker};
pub use id::{BatchId, JobId, RecordingId, RoomId, TranscriptId, WorkerId};
pub use job::Job;
pub use receipt::Receipt;
pub use recording::Recording;
pub use room::Room;
pub use time::{Span, TICKS_PER_SECOND, Ticks, WallMicros};
pub use transcript::{Segment, Transcript, Word};
