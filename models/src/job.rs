//! Durable work with a lease.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::id::{BatchId, JobId, RecordingId};
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
    /// For whom: the room's host, or the room's short name where nobody is named.
    pub host: String,
    /// Where it stands.
    pub state: State,
    /// The weights that it has to be done with; `None`: those of whoever claims it.
    pub weights: Option<Weights>,
    /// The batch that it is part of.
    pub batch_id: Option<BatchId>,
    /// Its batch is paused: nobody may claim it.
    pub held: bool,
    /// Higher goes first: that of its [`Class`].
    pub priority: i16,
    /// Its place among the jobs of its kind and priority: the least goes next.
    pub turn: i64,
    /// How often it has been claimed without getting any further.
    pub attempt: u16,
    /// Not to be claimed before this time.
    pub run_after: WallMicros,
    /// Who works on it, and until when it is theirs; `None` unless running.
    pub lease: Option<(String, WallMicros)>,
    /// Goes up with each claim. A write that carries an older one is refused.
    pub token: i64,
    /// There is more to do than its worker knew when it claimed it.
    pub woken: bool,
    /// Media time done so far.
    pub done: Ticks,
    /// Media time there is to do, as far as known.
    pub total: Ticks,
    /// What went wrong last.
    pub error: Option<String>,
    /// What it took so far; `None` where nobody has told.
    pub cost: Option<Cost>,
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
    /// How urgent it is where nobody says otherwise.
    #[must_use]
    pub const fn class(self) -> Class {
        match self {
            Self::TranscribeLive => Class::Live,
            Self::Transcribe => Class::Fresh,
        }
    }
}

/// Weights that work is to be done with.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Weights {
    /// What people call them, such as `base.en`.
    pub name: String,
    /// What they are: their SHA-256, lower-case hex.
    pub sha256: String,
}

/// What work took. Each attempt adds to it but for those whose worker was lost.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cost {
    /// Time that went by, in milliseconds: that of jobs which were done beside each other counts for
    /// each of them.
    pub wall_ms: u64,
    /// Media time that was worked through in it.
    pub audio: Ticks,
    /// Windows that were decoded.
    pub windows: u32,
    /// Threads of the worker, all its jobs together.
    pub threads: u32,
    /// What it was computed on, such as `cpu`.
    pub device: String,
}

/// How urgent work is. All of a more urgent class goes before any of a less urgent one; within a
/// class hosts take turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Done again, or in bulk: nobody waits for it.
    Batch,
    /// Of a recording that has just ended or come in.
    Fresh,
    /// Of a room that is live.
    Live,
}

impl Class {
    /// A job's [`priority`](Job::priority).
    #[must_use]
    pub const fn priority(self) -> i16 {
        match self {
            Self::Live => 100,
            Self::Fresh => 50,
            Self::Batch => 10,
        }
    }
}

/// How many jobs of a kind may run at once in the whole installation; `None`: any number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// [`Kind::TranscribeLive`].
    pub live: Option<u32>,
    /// [`Kind::Transcribe`].
    pub transcribe: Option<u32>,
}

impl Limits {
    /// The limit of one kind.
    #[must_use]
    pub const fn of(self, kind: Kind) -> Option<u32> {
        match kind {
            Kind::TranscribeLive => self.live,
            Kind::Transcribe => self.transcribe,
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
/// ten minutes, and up to a quarter more or less, so that jobs that failed together do not come
/// back together. The same for the same job and attempt.
#[must_use]
pub fn backoff_ms(job: JobId, attempt: u16) -> i64 {
    let wait = 2_000_i64.saturating_mul(1 << attempt.saturating_sub(1).min(9)).min(600_000);
    let (_, unlike) = job.0.as_u64_pair();
    // The multiplier of splitmix64: neighbouring numbers become far apart.
    let mixed = (unlike ^ u64::from(attempt)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 48;
    let spread = i64::try_from(mixed).unwrap_or(0) * (wait / 2) / 0xffff;
    wait - wait / 4 + spread
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_doubles_and_is_bounded() {
        let job = JobId::new();
        for (attempt, wait) in [(1, 2_000), (2, 4_000), (3, 8_000), (u16::MAX, 600_000)] {
            let range = wait - wait / 4..=wait + wait / 4;
            assert!(range.contains(&backoff_ms(job, attempt)), "{attempt}");
            assert_eq!(backoff_ms(job, attempt), backoff_ms(job, attempt));
        }
    }

    #[test]
    fn jobs_that_failed_together_come_back_apart() {
        let mut waits: Vec<_> = (0..1_000).map(|_| backoff_ms(JobId::new(), 5)).collect();
        waits.sort_unstable();
        // 16 s of spread among a thousand: no second has more than twice its share.
        for second in 24..40 {
            let there = waits.iter().filter(|wait| **wait / 1_000 == second).count();
            assert!(there < 2 * 1_000 / 16, "{there} in second {second}");
        }
        assert!(waits[0] < 25_000 && waits[999] > 39_000, "{} to {}", waits[0], waits[999]);
    }

    #[test]
    fn live_goes_before_fresh_before_batch() {
        let mut classes = [Class::Fresh, Class::Live, Class::Batch];
        classes.sort_by_key(|class| std::cmp::Reverse(class.priority()));
        assert_eq!(classes, [Class::Live, Class::Fresh, Class::Batch]);
        assert_eq!(Kind::Transcribe.class(), Class::Fresh);
    }
}
