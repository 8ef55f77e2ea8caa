//! What exists in Roomtape and how it may change.
//!
//! Pure data with legal transitions ([`room`], [`recording`], [`chunk`], [`transcript`], [`speaker`],
//! [`job`], [`hold`]), the one timeline everything is measured on ([`time`]), captions made from words
//! ([`caption`]) and the only place that talks to a database ([`db`]).
//!
//! Invariants: media time is counted in 48 kHz ticks from a recording's first sample and is never a
//! float; identifiers are UUID version 7, so that they sort by creation; every change of state that
//! makes work for another stage enqueues that work in the same transaction.
//!
//! Deliberately unknown here: where audio comes from, what a chunk's bytes look like, how words are
//! recognised, and HTTP.

pub mod caption;
pub mod chunk;
pub mod db;
pub mod hold;
pub mod id;
pub mod job;
pub mod recording;
pub mod room;
pub mod speaker;
pub mod time;
pub mod transcript;

pub use chunk::{Anchor, Chunk, Gap, GapCause};
pub use db::Db;
pub use hold::{Grip, Hold, Worker};
pub use id::{JobId, RecordingId, RoomId, TranscriptId, WorkerId};
pub use job::Job;
pub use recording::Recording;
pub use room::Room;
pub use time::{Span, TICKS_PER_SECOND, Ticks, WallMicros};
pub use transcript::{Segment, Transcript, Word};
