//! What is kept of a recording's sound: chunks, the gaps in it, and anchors to the wall clock.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::time::{Span, Ticks, WallMicros};

/// One immutable object of about four seconds: also the HLS media segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Its place in the recording, counted from 0 without a hole.
    pub seq: u32,
    /// Tells apart the objects that have had this place: those of different writers of the
    /// recording, and one that took the place of concealment later on.
    pub take: u32,
    /// Media time of its first sample; the previous chunk's end.
    pub start: Ticks,
    /// Its length.
    pub duration: Ticks,
    /// Its size in the store.
    pub bytes: u64,
    /// SHA-256 of the object.
    pub sha256: [u8; 32],
}

impl Chunk {
    /// The media time it covers.
    #[must_use]
    pub fn span(&self) -> Span {
        Span::new(self.start, self.start + self.duration)
    }
}

/// Media time for which no audio arrived. The stored sound conceals it; listeners are shown it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// Where it begins.
    pub start: Ticks,
    /// How much media time it takes; zero for a pause, in which media time stands still.
    pub duration: Ticks,
    /// How long it took on the wall clock, in microseconds.
    pub wall_us: i64,
    /// Why nothing was kept.
    pub cause: GapCause,
}

impl Gap {
    /// Whether this is the rest of a gap of which `earlier` is the beginning: same cause, and no
    /// media time between them. Pauses, which have no length, never are.
    #[must_use]
    pub fn continues(&self, earlier: &Self) -> bool {
        self.cause == earlier.cause
            && self.start == earlier.start + earlier.duration
            && self.duration > Ticks::ZERO
            && earlier.duration > Ticks::ZERO
    }

    /// Takes in `rest`, which [continues](Self::continues) this gap.
    pub fn extend(&mut self, rest: &Self) {
        self.duration += rest.duration;
        self.wall_us = self.wall_us.saturating_add(rest.wall_us);
    }

    /// Gaps in order, those that were noted chunk by chunk made whole again.
    #[must_use]
    pub fn joined(gaps: Vec<Self>) -> Vec<Self> {
        let mut joined: Vec<Self> = Vec::with_capacity(gaps.len());
        for gap in gaps {
            match joined.last_mut() {
                Some(last) if gap.continues(last) => last.extend(&gap),
                _ => joined.push(gap),
            }
        }
        joined
    }
}

/// Why no audio was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum GapCause {
    /// Packets lost on the way.
    Loss,
    /// The source went away and came back.
    SourceAway,
    /// We were not running.
    Down,
    /// The host paused the recording.
    Paused,
    /// The source's clock jumped, or data could not be read: the source's, or ours on a disk that
    /// damaged it.
    Broken,
    /// There was no room left on the disk to which it is written.
    NoSpace,
}

/// A media time and the wall-clock time at which it was heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anchor {
    /// Where in the recording.
    pub media: Ticks,
    /// When.
    pub wall: WallMicros,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_told_chunk_by_chunk_is_one_gap() {
        let gap = |start, duration, wall_us, cause| Gap {
            start: Ticks(start),
            duration: Ticks(duration),
            wall_us,
            cause,
        };
        let told = vec![
            gap(0, 960, 20_000, GapCause::Loss),
            gap(960, 960, 20_000, GapCause::Loss),
            gap(1920, 960, 20_000, GapCause::Down),
            gap(4800, 0, 7, GapCause::Paused),
            gap(4800, 0, 8, GapCause::Paused),
            gap(9600, 960, 20_000, GapCause::Down),
        ];
        let mut whole = told.clone();
        whole.splice(0..2, [gap(0, 1920, 40_000, GapCause::Loss)]);
        assert_eq!(Gap::joined(told), whole);
    }
}
