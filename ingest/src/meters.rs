//! What is counted of recording, as Prometheus reads it. One for a process; clones count together.
//!
//! Figures have no labels of rooms: there may be thousands, and their names are not everybody's.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use models::{GapCause, Ticks};

const CAUSES: [(GapCause, &str); 6] = [
    (GapCause::Loss, "loss"),
    (GapCause::SourceAway, "source_away"),
    (GapCause::Down, "down"),
    (GapCause::Paused, "paused"),
    (GapCause::Broken, "broken"),
    (GapCause::NoSpace, "no_space"),
];

/// The figures.
#[derive(Debug, Clone, Default)]
pub struct Meters(Arc<Figures>);

#[derive(Debug, Default)]
struct Figures {
    /// Media time for which there was no audio, by cause, in ticks.
    lost: [AtomicU64; CAUSES.len()],
    open: AtomicU64,
    refused_for_space: AtomicU64,
    upload_failures: AtomicU64,
    chunks_shipped: AtomicU64,
    chunks_salvaged: AtomicU64,
    free_bytes: AtomicU64,
    alarm: AtomicU64,
    spool_bytes: AtomicU64,
    spool_chunks: AtomicU64,
    spool_oldest_ms: AtomicU64,
}

/// A recording that is open as long as this is there.
#[derive(Debug)]
pub(crate) struct OpenOne(Meters);

impl Drop for OpenOne {
    fn drop(&mut self) {
        self.0.0.open.fetch_sub(1, Relaxed);
    }
}

/// What lies in the spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Spool {
    pub(crate) bytes: u64,
    pub(crate) chunks: u64,
    /// How long the oldest chunk has been there.
    pub(crate) oldest_ms: u64,
}

impl Meters {
    pub(crate) fn open_one(&self) -> OpenOne {
        self.0.open.fetch_add(1, Relaxed);
        OpenOne(self.clone())
    }

    pub(crate) fn lost(&self, cause: GapCause, media: Ticks) {
        if let Some(at) = CAUSES.iter().position(|(of, _)| *of == cause) {
            self.0.lost[at].fetch_add(media.0, Relaxed);
        }
    }

    pub(crate) fn refused_for_space(&self) {
        self.0.refused_for_space.fetch_add(1, Relaxed);
    }

    pub(crate) fn upload_failed(&self) {
        self.0.upload_failures.fetch_add(1, Relaxed);
    }

    pub(crate) fn shipped(&self) {
        self.0.chunks_shipped.fetch_add(1, Relaxed);
    }

    pub(crate) fn salvaged(&self, lost: Ticks) {
        self.0.chunks_salvaged.fetch_add(1, Relaxed);
        self.lost(GapCause::Broken, lost);
    }

    /// Says how much room there is; `alarm`: 1 where nothing new is taken, 2 where nothing is.
    pub(crate) fn room(&self, free_bytes: u64, alarm: u64) {
        self.0.free_bytes.store(free_bytes, Relaxed);
        self.0.alarm.store(alarm, Relaxed);
    }

    pub(crate) fn spool(&self, spool: Spool) {
        self.0.spool_bytes.store(spool.bytes, Relaxed);
        self.0.spool_chunks.store(spool.chunks, Relaxed);
        self.0.spool_oldest_ms.store(spool.oldest_ms, Relaxed);
    }

    /// The figures in Prometheus' text format.
    #[must_use]
    pub fn text(&self) -> String {
        let Figures { lost, .. } = &*self.0;
        let mut text = String::new();
        let mut say = |name: &str, kind: &str, help: &str, value: &str| {
            // Writing to a string does not fail.
            let _ = write!(
                text,
                "# HELP roomtape_{name} {help}\n# TYPE roomtape_{name} {kind}\n{value}"
            );
        };
        for (name, kind, help, value) in self.plain() {
            say(name, kind, help, &format!("roomtape_{name} {value}\n"));
        }
        let by_cause = CAUSES.iter().zip(lost).map(|((_, cause), ticks)| {
            let seconds = seconds(Ticks(ticks.load(Relaxed)).as_millis());
            format!("roomtape_lost_media_seconds_total{{cause=\"{cause}\"}} {seconds}\n")
        });
        let help = "Media time for which no audio was kept, by cause; a pause takes none.";
        say("lost_media_seconds_total", "counter", help, &by_cause.collect::<String>());
        text
    }

    /// The figures without labels: name, kind, meaning, value.
    fn plain(&self) -> [(&'static str, &'static str, &'static str, String); 10] {
        let f = &*self.0;
        let whole = |figure: &AtomicU64| figure.load(Relaxed).to_string();
        [
            ("recordings_open", "gauge", "Recordings that go on here.", whole(&f.open)),
            (
                "disk_alarm",
                "gauge",
                "Room for the spool: 0 enough, 1 new recordings are refused, 2 nothing is written.",
                whole(&f.alarm),
            ),
            (
                "spool_free_bytes",
                "gauge",
                "Bytes free on the spool's filesystem.",
                whole(&f.free_bytes),
            ),
            ("spool_bytes", "gauge", "Bytes in the spool.", whole(&f.spool_bytes)),
            (
                "spool_chunks",
                "gauge",
                "Chunks in the spool, one being written of each recording among them.",
                whole(&f.spool_chunks),
            ),
            (
                "spool_oldest_seconds",
                "gauge",
                "How long the oldest chunk has been in the spool.",
                seconds(f.spool_oldest_ms.load(Relaxed)),
            ),
            (
                "chunks_shipped_total",
                "counter",
                "Chunks moved to the store.",
                whole(&f.chunks_shipped),
            ),
            (
                "upload_failures_total",
                "counter",
                "Tries to move a chunk to the store that failed.",
                whole(&f.upload_failures),
            ),
            (
                "chunks_salvaged_total",
                "counter",
                "Chunks that were damaged in the spool and kept in part.",
                whole(&f.chunks_salvaged),
            ),
            (
                "refused_for_space_total",
                "counter",
                "Recordings not begun for want of room on the disk.",
                whole(&f.refused_for_space),
            ),
        ]
    }
}

fn seconds(ms: u64) -> String {
    format!("{}.{:03}", ms / 1000, ms % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_said_as_prometheus_reads_them() {
        let meters = Meters::default();
        let open = meters.open_one();
        meters.lost(GapCause::NoSpace, Ticks::from_millis(1500));
        meters.salvaged(Ticks::from_millis(20));
        meters.spool(Spool { bytes: 7, chunks: 2, oldest_ms: 61_001 });
        meters.room(5, 1);
        let text = meters.text();
        for line in [
            "# TYPE roomtape_recordings_open gauge\nroomtape_recordings_open 1\n",
            "roomtape_lost_media_seconds_total{cause=\"no_space\"} 1.500\n",
            "roomtape_lost_media_seconds_total{cause=\"broken\"} 0.020\n",
            "roomtape_spool_oldest_seconds 61.001\n",
            "roomtape_disk_alarm 1\n",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        drop(open);
        assert!(meters.text().contains("\nroomtape_recordings_open 0\n"));
    }

    #[test]
    fn every_cause_is_counted() {
        let word = |cause: &GapCause| format!("{cause:?}").to_lowercase();
        for (cause, name) in CAUSES {
            assert_eq!(word(&cause), name.replace('_', ""));
        }
    }
}
