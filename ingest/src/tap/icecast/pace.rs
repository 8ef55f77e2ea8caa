//! Whether a source gives audio, as a value.

use std::time::Duration;

use models::Ticks;
use tokio::time::Instant;

/// A source gives at least this part of the time that passes. With discontinuous transmission a silent
/// room is a packet of 20 ms every 400 ms, which some encoders send without telling the time between.
const SLOWEST: u128 = 100;

/// Why a source is dropped that is still connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Silent {
    #[error("there was no audio for {0:?}")]
    Idle(Duration),
    #[error("there was less than a hundredth of the audio there is time")]
    Slow,
}

/// Whether a source gives audio, and enough of it: bytes that make none do not count.
pub(super) struct Pace {
    idle: Duration,
    last: Instant,
    /// The time over which audio is measured, when it began, and what was heard in it.
    window: Duration,
    began: Instant,
    heard: Ticks,
}

impl Pace {
    pub(super) fn new(idle: Duration, slow: Duration, now: Instant) -> Self {
        // A source may be silent for as long as `idle` without being slow for it.
        let window = slow.max(idle * 2);
        Self { idle, last: now, window, began: now, heard: Ticks::ZERO }
    }

    /// When the source has been silent for too long.
    pub(super) fn deadline(&self) -> Instant {
        self.last + self.idle
    }

    /// What it is to be told at the deadline.
    pub(super) fn late(&self) -> Silent {
        Silent::Idle(self.idle)
    }

    /// Audio came; an error where there was too little of it since the last measure.
    pub(super) fn heard(&mut self, length: Ticks, now: Instant) -> Result<(), Silent> {
        self.last = now;
        self.heard += length;
        let taken = now - self.began;
        if taken < self.window {
            return Ok(());
        }
        let enough = u64::try_from(taken.as_millis() / SLOWEST).unwrap_or(u64::MAX);
        if self.heard < Ticks::from_millis(enough) {
            return Err(Silent::Slow);
        }
        (self.began, self.heard) = (now, Ticks::ZERO);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_that_trickles_is_dropped_and_one_that_stalls_is_not() {
        let start = Instant::now();
        let secs = |secs| start + Duration::from_secs(secs);
        let pace = || Pace::new(Duration::from_secs(30), Duration::from_secs(60), start);
        let frame = Ticks::from_millis(20);
        let mut trickle = pace();
        let dropped = (1..).find(|&at| trickle.heard(frame, secs(4 * at)).is_err());
        assert_eq!(dropped, Some(15), "a frame every 4 s, for a minute");
        // One every 400 ms is how discontinuous transmission may look.
        let mut silent = pace();
        for nth in 1..1_000 {
            silent.heard(frame, start + Duration::from_millis(400 * nth)).unwrap();
        }
        let mut stalled = pace();
        for at in (1..200).chain(228..400) {
            stalled.heard(Ticks::from_secs(1), secs(at)).unwrap();
        }
        assert_eq!(stalled.deadline(), secs(429));
    }
}
