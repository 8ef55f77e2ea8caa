//! Durable work with a lease.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::id::{JobId, RecordingId};
use crate::time::{Ticks, WallMicros};

/// A durable piece of work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its identifier.
    pub id: JobId,
    /// What is to be done.
    pub kind: Kind,
    /// What it is to be done to.
    pub recording_id: RecordingId,
    /// Where it stands.
    pub state: State,
    /// Higher goes first.
    pub priority: i16,
    /// How often it has been claimed and not finished.
    pub attempt: u16,
    /// Not to be claimed before this time.
    pub run_after: WallMicros,
    /// Who works on it, and until when it is theirs; `None` unless running.
    pub lease: Option<(String, WallMicros)>,
    /// Goes up with each claim. A write that carries an older one is refused.
    pub token: i64,
    /// Media time done so far.
    pub done: Ticks,
    /// Media time there is to do, as far as known.
    pub total: Ticks,
    /// What went wrong last.
    pub error: Option<String>,
    /// When it was made.
    pub created_at: WallMicros,
    /// When it was last changed.
    pub updated_at: WallMicros,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = JobKind)]
pub enum Kind {
    /// Words of what a live recording has kept so far (transcript version 0). Woken by every chunk.
    TranscribeLive,
    /// Words of a whole ended recording (the next version).
    Transcribe,
}

impl Kind {
    /// Live goes before fresh.
    #[must_use]
    pub const fn priority(self) -> i16 {
        match self {
            Self::TranscribeLive => 100,
            Self::Transcribe => 50,
        }
    }
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = JobState)]
pub enum State {
    /// To be claimed.
    Ready,
    /// Someone holds its lease.
    Running,
    /// Finished.
    Done,
    /// Failed too often, or in a way that trying again cannot mend.
    Dead,
    /// Taken back by an operator.
    Cancelled,
}

/// Attempts after which a job is [`State::Dead`].
pub const MAX_ATTEMPTS: u16 = 5;

/// The right to work on a claimed job: every write the work makes carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The job.
    pub job_id: JobId,
    /// The claim's fencing token.
    pub token: i64,
}

/// How long to wait before attempt `attempt + 1`, in milliseconds: 2 s doubled each time, at most
/// ten minutes.
#[must_use]
pub fn backoff_ms(attempt: u16) -> i64 {
    2_000_i64.saturating_mul(1 << attempt.saturating_sub(1).min(9)).min(600_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_doubles_and_is_bounded() {
        assert_eq!([1, 2, 3].map(backoff_ms), [2_000, 4_000, 8_000]);
        assert_eq!(backoff_ms(u16::MAX), 600_000);
    }
}
