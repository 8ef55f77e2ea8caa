//! Batches: recordings that are transcribed again in bulk, and what that will take.

mod selection;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::id::{BatchId, RecordingId};
use crate::job::{Class, Weights};
use crate::time::{Ticks, WallMicros};
use crate::transcript::MadeBy;

pub use selection::{Selection, Unclear};

/// Recordings that are transcribed again with the same weights: a job each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Its identifier.
    pub id: BatchId,
    /// Which recordings, in the words of a [`Selection`].
    pub filter: String,
    /// The weights that they are done with.
    pub weights: Weights,
    /// Its jobs' [`Class::priority`].
    pub priority: i16,
    /// Whether people are shown the new words once they are complete.
    pub promote: bool,
    /// Where it stands.
    pub state: State,
    /// When it was made.
    pub created_at: WallMicros,
    /// When it was last paused, resumed or cancelled.
    pub updated_at: WallMicros,
    /// How far it is.
    pub progress: Progress,
}

/// Where a batch stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = BatchState)]
pub enum State {
    /// Its jobs are claimed.
    Running,
    /// Its jobs wait until it is resumed.
    Paused,
    /// Its jobs were taken back.
    Cancelled,
    /// None of its jobs is left to do. One that is tried again makes it run again.
    Done,
}

/// How far the jobs of a batch are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = BatchProgress)]
pub struct Progress {
    /// Jobs that wait.
    pub ready: u64,
    /// Jobs that are worked on.
    pub running: u64,
    /// Jobs that are done.
    pub done: u64,
    /// Jobs that failed.
    pub failed: u64,
    /// Jobs that were taken back.
    pub cancelled: u64,
    /// Audio of all of them, in milliseconds of media time.
    pub total_ms: u64,
    /// Audio that is done, that of jobs which are worked on included.
    pub done_ms: u64,
    /// Audio of jobs that failed or were taken back.
    pub lost_ms: u64,
}

impl Progress {
    /// Jobs that are still to be done.
    #[must_use]
    pub const fn open(&self) -> u64 {
        self.ready + self.running
    }

    /// Audio that is still to be done, in milliseconds.
    #[must_use]
    pub const fn left_ms(&self) -> u64 {
        self.total_ms.saturating_sub(self.done_ms).saturating_sub(self.lost_ms)
    }
}

/// What a batch is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewBatch {
    /// Which recordings.
    pub filter: String,
    /// With which weights.
    pub weights: Weights,
    /// How urgent.
    pub class: Class,
    /// Whether people are shown the new words once they are complete.
    pub promote: bool,
}

/// What there is to be done for a [`Selection`] with certain weights.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Recordings to be transcribed, the oldest first.
    pub wanted: Vec<RecordingId>,
    /// Their audio.
    pub audio: Ticks,
    /// Recordings that have been transcribed just so.
    pub done: u64,
    /// Recordings for which that is still to be done, or is being done.
    pub open: u64,
}

impl Plan {
    /// Recordings that the selection means.
    #[must_use]
    pub fn found(&self) -> u64 {
        self.wanted.len() as u64 + self.done + self.open
    }
}

/// A transcription worker, as it tells of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transcriber {
    /// Its name in the jobs it works on.
    pub name: String,
    /// What it makes words of whole recordings with, of no audio in particular.
    pub made_by: MadeBy,
    /// Recordings that it works on at once.
    pub places: u32,
    /// Until when it is taken to live.
    pub alive_until: WallMicros,
}

/// How fast recordings have been worked through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pace {
    /// With which weights.
    pub weights: String,
    /// So much audio, …
    pub audio: Ticks,
    /// … in so much time of one job, in milliseconds.
    pub wall_ms: u64,
}

impl Pace {
    /// How much faster than it plays a recording is done.
    #[must_use]
    pub fn factor(&self) -> f64 {
        self.audio.as_millis() as f64 / self.wall_ms.max(1) as f64
    }

    /// How long `places` jobs at once take for this much audio, both in milliseconds.
    #[must_use]
    pub fn time_ms(&self, audio_ms: u64, places: u32) -> u64 {
        let at_once = f64::from(places.max(1)) * self.factor();
        if at_once > 0.0 { (audio_ms as f64 / at_once) as u64 } else { u64::MAX }
    }
}

/// What is known of how long work with certain weights takes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outlook {
    /// Living workers that have the weights.
    pub workers: u32,
    /// Recordings that they work on at once.
    pub places: u32,
    /// How fast they were, or, where nothing is known of these weights, how fast others were.
    pub pace: Option<Pace>,
}

impl Outlook {
    /// How long so much audio takes, in milliseconds; `None` where nothing is known.
    #[must_use]
    pub fn time_ms(&self, audio_ms: u64) -> Option<u64> {
        self.pace.as_ref().map(|pace| pace.time_ms(audio_ms, self.places))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_follows_from_pace_and_places() {
        let pace = Pace { weights: "w".into(), audio: Ticks::from_secs(600), wall_ms: 60_000 };
        assert_eq!(pace.factor(), 10.0);
        assert_eq!(pace.time_ms(3_600_000, 1), 360_000);
        assert_eq!(pace.time_ms(3_600_000, 4), 90_000);
        let outlook = Outlook { workers: 0, places: 0, pace: Some(pace) };
        assert_eq!(outlook.time_ms(10_000), Some(1_000), "reckoned with one place at least");
        assert_eq!(Outlook::default().time_ms(10_000), None);
    }
}
