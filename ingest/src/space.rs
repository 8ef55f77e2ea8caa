//! Room for the spool on its filesystem, and what is refused where it runs out.
//!
//! ```text
//! free  high ────────── taking new recordings again
//!       low  ────────── new recordings are refused (507)
//!       reserve ─────── running ones stop writing (a gap of cause `no_space`) …
//!       2 × reserve ─── … and go on
//! ```
//!
//! The marks lie apart so that nothing flickers. The reserve is for what must still be written then:
//! what is in memory, notes of gaps, and the database where it is on the same disk. Where writing
//! fails for want of room although there seems to be some (a quota, inodes), the room's actor does
//! the same by itself until it succeeds.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use models::WallMicros;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::meters::{Meters, Spool};
use crate::place::Place;

/// How often the spool is walked through at least, for its size.
const WALK: Duration = Duration::from_secs(10);
/// A walk is followed by a rest of so many times its length.
const REST: u32 = 20;
/// How often others are told that nothing new is taken.
const TELL: Duration = Duration::from_secs(5);
/// How soon it is noticed that there is something to tell.
const NOTICE: Duration = Duration::from_secs(1);
/// How long they believe it, in milliseconds.
const BELIEVED_MS: i64 = 20_000;

const MIB: u64 = 1 << 20;

/// At how many free bytes what happens. 0: see `Marks::on`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Marks {
    /// Below it new recordings are refused.
    pub low: u64,
    /// From it on they are taken again.
    pub high: u64,
    /// Below it running ones stop writing.
    pub reserve: u64,
}

impl Marks {
    /// The marks on a filesystem of that size. Those that are not set are 1 GiB, half as much again
    /// as `low`, and 64 MiB, but at most a tenth, three twentieths and a fiftieth of it.
    fn on(self, total: u64) -> Self {
        let or = |given: u64, usual: u64| if given > 0 { given } else { usual };
        let low = or(self.low, (1024 * MIB).min(total / 10));
        let reserve = or(self.reserve, (64 * MIB).min(total / 50)).min(low);
        Self { low, high: or(self.high, low / 2 * 3).max(low), reserve }
    }
}

/// What there is room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Enough,
    /// For recordings that go on.
    Low,
    /// For nothing.
    Out,
}

impl Level {
    /// What there is room for with so much free, after `self`.
    fn then(self, free: u64, marks: Marks) -> Self {
        let again = marks.reserve.saturating_mul(2).min(marks.low);
        if free < marks.reserve || self == Self::Out && free < again {
            Self::Out
        } else if free < marks.low || self != Self::Enough && free < marks.high {
            Self::Low
        } else {
            Self::Enough
        }
    }
}

/// How much room there is, as last looked at. Clones look at the same.
#[derive(Debug, Clone, Default)]
pub struct Space {
    marks: Marks,
    level: Arc<AtomicU8>,
}

impl Space {
    /// One of which nothing is known yet: there is enough.
    #[must_use]
    pub fn new(marks: Marks) -> Self {
        Self { marks, level: Arc::default() }
    }

    pub(crate) fn level(&self) -> Level {
        match self.level.load(Ordering::Relaxed) {
            0 => Level::Enough,
            1 => Level::Low,
            _ => Level::Out,
        }
    }

    pub(crate) fn set(&self, level: Level) {
        self.level.store(level as u8, Ordering::Relaxed);
    }

    /// Looks at the filesystem of `dir`. Blocks.
    pub(crate) fn look(&self, dir: &Path, meters: &Meters) {
        let (free, total) = match room(dir) {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(%error, "the free space of the spool's disk cannot be seen");
                return;
            }
        };
        let (before, marks) = (self.level(), self.marks.on(total));
        let now = before.then(free, marks);
        self.set(now);
        meters.room(free, now as u64);
        let Marks { low, high, reserve } = marks;
        match now {
            _ if now == before => {}
            Level::Enough => tracing::info!(free, high, "there is room for new recordings again"),
            Level::Low if before == Level::Out => {
                tracing::warn!(free, high, "there is room again for recordings that go on");
            }
            Level::Low => tracing::error!(free, low, "disk nearly full: no new recordings"),
            Level::Out => tracing::error!(free, reserve, "disk full: nothing more is recorded"),
        }
    }
}

/// Free bytes, for us, and all bytes of the filesystem of `dir`.
fn room(dir: &Path) -> std::io::Result<(u64, u64)> {
    let found = rustix::fs::statvfs(dir)?;
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    Ok((bytes(found.f_bavail), bytes(found.f_blocks)))
}

/// Watches the room for `place`'s spool until `stop`, looking at it `every` so often. Whoever takes
/// sources in looks first.
pub(crate) async fn watch(place: &Place, stop: &CancellationToken, every: Duration) {
    tokio::join!(watch_disk(place, stop, every), tell(place, stop));
}

async fn watch_disk(place: &Place, stop: &CancellationToken, every: Duration) {
    let mut walk_at = Instant::now();
    while stop.run_until_cancelled(tokio::time::sleep(every)).await.is_some() {
        let walks = walk_at <= Instant::now();
        let Place { space, meters, spool_dir, .. } = place.clone();
        let now = WallMicros::now();
        let look = tokio::task::spawn_blocking(move || {
            space.look(&spool_dir, &meters);
            if walks {
                meters.spool(walk(&spool_dir, now));
            }
        });
        let began = Instant::now();
        // It does not panic; where the runtime ends, so do we.
        let _ = look.await;
        if walks {
            walk_at = Instant::now() + WALK.max(began.elapsed() * REST);
        }
    }
}

/// Tells the rows that this worker takes nothing new, as long as it does not.
async fn tell(place: &Place, stop: &CancellationToken) {
    let mut told = false;
    while !stop.is_cancelled() {
        let short = place.space.level() > Level::Enough;
        if short || told {
            let until = short.then(|| WallMicros::now().plus_millis(BELIEVED_MS));
            match place.db.set_short(&place.worker, until).await {
                Ok(()) => told = short,
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "others are not told how full the disk is");
                }
            }
        }
        let wait = if short { TELL } else { NOTICE };
        stop.run_until_cancelled(tokio::time::sleep(wait)).await;
    }
}

/// What lies in the spool. Blocks; what goes away meanwhile does not count.
fn walk(spool_dir: &Path, now: WallMicros) -> Spool {
    let mut spool = Spool::default();
    let entries = |dir: &Path| std::fs::read_dir(dir).into_iter().flatten().flatten();
    let files = entries(spool_dir).flat_map(|entry| entries(&entry.path()));
    for file in files {
        let Ok(data) = file.metadata() else { continue };
        spool.bytes += data.len();
        if is_chunk(&file.path()) {
            spool.chunks += 1;
            let modified = data.modified().ok();
            let modified = modified.and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
            let at = modified.map_or(now.0, |at| i64::try_from(at.as_micros()).unwrap_or(now.0));
            let ms = u64::try_from(now.0.saturating_sub(at) / 1000).unwrap_or(0);
            spool.oldest_ms = spool.oldest_ms.max(ms);
        }
    }
    spool
}

fn is_chunk(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "m4s")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_do_not_flicker() {
        let marks = Marks { low: 100, high: 150, reserve: 10 };
        let mut level = Level::Enough;
        for (free, expected) in [
            (100, Level::Enough),
            (99, Level::Low),
            (149, Level::Low),
            (150, Level::Enough),
            (9, Level::Out),
            (19, Level::Out),
            (20, Level::Low),
            (10, Level::Low),
            (9, Level::Out),
            (400, Level::Enough),
        ] {
            level = level.then(free, marks);
            assert_eq!(level, expected, "{free}");
        }
    }

    #[test]
    fn marks_fit_the_disk_unless_they_are_set() {
        let big = Marks::default().on(1 << 40);
        assert_eq!(big, Marks { low: 1024 * MIB, high: 1536 * MIB, reserve: 64 * MIB });
        let tiny = Marks::default().on(16 * MIB);
        assert!(tiny.low <= 2 * MIB && tiny.high > tiny.low && tiny.reserve < MIB / 2, "{tiny:?}");
        let set = Marks { low: 7, high: 0, reserve: 9 }.on(1 << 40);
        assert_eq!(
            (set.low, set.reserve),
            (7, 7),
            "what stops all cannot be above what stops some"
        );
    }

    #[test]
    fn the_spool_is_walked_through() {
        let dir = tempfile::tempdir().unwrap();
        let recording = dir.path().join("recording");
        std::fs::create_dir(&recording).unwrap();
        std::fs::write(recording.join("00000000.m4s"), [0; 10]).unwrap();
        std::fs::write(recording.join("00000000.gaps"), [0; 3]).unwrap();
        std::fs::write(dir.path().join("worker-id"), "x").unwrap();
        let spool = walk(dir.path(), WallMicros::now().plus_millis(5_000));
        assert_eq!((spool.bytes, spool.chunks), (13, 1));
        assert!((4_000..60_000).contains(&spool.oldest_ms), "{spool:?}");
        assert!(room(dir.path()).unwrap().1 > 0);
    }
}
