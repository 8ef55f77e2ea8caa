//! What a job takes, counted while it is worked on.

use std::sync::{Mutex, MutexGuard, PoisonError};

use models::job::{Cost, Lease};
use models::{Db, Ticks, TranscriptId, WallMicros, db};
use tokio::time::Instant;

/// Counts one job's cost. What is noted in its row is counted anew from there.
#[derive(Debug)]
pub(super) struct Meter {
    device: String,
    threads: u32,
    count: Mutex<Count>,
}

#[derive(Debug)]
struct Count {
    since: Instant,
    audio: Ticks,
    windows: u32,
    transcript: Option<TranscriptId>,
}

impl Meter {
    /// Counts from now on. `engine` names what it computes on, as in `whisper.cpp 1.8.3 (cpu)`.
    pub(super) fn new(engine: &str, threads: u32) -> Self {
        let device = engine.rsplit_once('(').and_then(|(_, device)| device.strip_suffix(')'));
        let count =
            Count { since: Instant::now(), audio: Ticks::ZERO, windows: 0, transcript: None };
        let device = device.unwrap_or(engine).to_owned();
        Self { device, threads, count: Mutex::new(count) }
    }

    /// This is what the job writes.
    pub(super) fn write(&self, transcript: TranscriptId) {
        self.count().transcript = Some(transcript);
    }

    /// One more window was decoded.
    pub(super) fn decoded(&self) {
        self.count().windows += 1;
    }

    /// So much more audio was worked through.
    pub(super) fn covered(&self, audio: Ticks) {
        self.count().audio += audio;
    }

    /// Notes what has come together since the last time, for the job and what it writes.
    ///
    /// # Errors
    /// [`db::Error::LeaseLost`]; [`db::Error::Query`].
    pub(super) async fn note(&self, db: &Db, lease: &Lease) -> db::Result<()> {
        let (cost, transcript) = self.take(Instant::now());
        if cost.wall_ms == 0 {
            return Ok(());
        }
        db.spend(lease, transcript, &cost, WallMicros::now()).await
    }

    fn take(&self, now: Instant) -> (Cost, Option<TranscriptId>) {
        let mut count = self.count();
        let took = now.saturating_duration_since(count.since);
        let cost = Cost {
            wall_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            audio: std::mem::take(&mut count.audio),
            windows: std::mem::take(&mut count.windows),
            threads: self.threads,
            device: self.device.clone(),
        };
        count.since = now;
        (cost, count.transcript)
    }

    fn count(&self) -> MutexGuard<'_, Count> {
        self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_is_counted_once() {
        let meter = Meter::new("whisper.cpp 1.8.3 (cpu)", 4);
        let id = TranscriptId::new();
        meter.write(id);
        meter.decoded();
        meter.covered(Ticks::from_secs(20));
        let later = meter.count().since + std::time::Duration::from_millis(1_500);
        let (cost, transcript) = meter.take(later);
        let (audio, device) = (Ticks::from_secs(20), "cpu".to_owned());
        assert_eq!(cost, Cost { wall_ms: 1_500, audio, windows: 1, threads: 4, device });
        assert_eq!(transcript, Some(id));
        let (cost, _) = meter.take(later);
        assert_eq!((cost.wall_ms, cost.audio, cost.windows), (0, Ticks::ZERO, 0));
        assert_eq!(Meter::new("another engine", 1).take(later).0.device, "another engine");
    }
}
