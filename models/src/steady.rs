//! A wall clock that nobody can set: what recordings are timed by.
//!
//! The system clock steps: NTP finds it wrong, an operator sets it. Audio does not. So what a
//! recording measures is read from the machine's monotonic clock, which runs at the system clock's
//! rate (NTP's slewing included) and, on Linux, goes on while the machine sleeps. It is tied to the
//! system clock once a process ([`wall`]); whoever begins something new asks how far the system clock
//! has been set since ([`set_by`]) and stays with that answer for as long as the thing lasts.
//!
//! Leases and jobs, which other machines compare with their own clocks, stay with
//! [`WallMicros::now`].

use std::sync::OnceLock;
use std::time::Duration;

use crate::WallMicros;

/// Below this, in microseconds, the system clock was not set: the two clocks are not read at once.
const SET_MIN: i64 = 20_000;
/// How close together the two clocks should be read.
const READ_WITHIN: Duration = Duration::from_micros(100);

/// One moment on both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tie {
    at: Duration,
    wall: WallMicros,
}

impl Tie {
    /// Reads both clocks, again where we were interrupted in between.
    fn read() -> Self {
        let mut best = (Duration::MAX, Self { at: Duration::ZERO, wall: WallMicros::default() });
        for _ in 0..5 {
            let (at, wall) = (now(), WallMicros::now());
            let took = now().saturating_sub(at);
            if took < best.0 {
                best = (took, Self { at, wall });
            }
            if took <= READ_WITHIN {
                break;
            }
        }
        best.1
    }

    /// The wall clock at `at`, had nobody set it since.
    fn wall(self, at: Duration) -> WallMicros {
        WallMicros(self.wall.0.saturating_add(micros(at) - micros(self.at)))
    }

    /// How far the system clock was set between this moment and a later one.
    fn set_by(self, later: Self) -> i64 {
        let by = later.wall.micros_since(self.wall(later.at));
        if by.abs() < SET_MIN { 0 } else { by }
    }
}

static PROCESS: OnceLock<Tie> = OnceLock::new();

fn process() -> Tie {
    *PROCESS.get_or_init(Tie::read)
}

/// A reading of the monotonic clock. Its origin means nothing.
#[must_use]
#[cfg(target_os = "linux")]
pub fn now() -> Duration {
    use rustix::time::{ClockId, clock_gettime};
    let now = clock_gettime(ClockId::Boottime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// A reading of the monotonic clock. Its origin means nothing.
#[must_use]
#[cfg(not(target_os = "linux"))]
pub fn now() -> Duration {
    static BEGAN: OnceLock<std::time::Instant> = OnceLock::new();
    // Not zero, so that times before the first reading can be told.
    BEGAN.get_or_init(std::time::Instant::now).elapsed() + Duration::from_secs(1 << 20)
}

/// The wall clock at a reading of [`now`], by the tie of this process.
#[must_use]
pub fn wall(at: Duration) -> WallMicros {
    process().wall(at)
}

/// How far the system clock has been set, in microseconds, since this process began to use this
/// clock: what to add to [`wall`] to agree with it.
#[must_use]
pub fn set_by() -> i64 {
    process().set_by(Tie::read())
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIE: Tie = Tie { at: Duration::from_secs(100), wall: WallMicros(5_000_000_000) };

    fn later(secs: u64, off_us: i64) -> Tie {
        let at = TIE.at + Duration::from_secs(secs);
        Tie { at, wall: WallMicros(TIE.wall.0 + secs as i64 * 1_000_000 + off_us) }
    }

    #[test]
    fn time_passes_as_on_the_monotonic_clock() {
        assert_eq!(TIE.wall(TIE.at), TIE.wall);
        assert_eq!(TIE.wall(Duration::from_secs(160)), WallMicros(5_060_000_000));
        assert_eq!(TIE.wall(Duration::from_millis(99_500)), WallMicros(4_999_500_000));
    }

    #[test]
    fn a_step_of_the_system_clock_is_told_and_less_is_not() {
        let hour = 3_600_000_000;
        for (off, told) in [(0, 0), (19_999, 0), (-19_999, 0), (25_000, 25_000), (-hour, -hour)] {
            assert_eq!(TIE.set_by(later(7_200, off)), told);
        }
        // What has begun stays with its answer; what begins now gets a new one.
        let (first, second) = (TIE.set_by(later(10, 0)), TIE.set_by(later(20, hour)));
        assert_eq!((first, second), (0, hour));
    }

    #[test]
    fn the_process_is_tied_to_the_system_clock() {
        let (before, at) = (now(), wall(now()));
        assert!(now() >= before);
        assert!(WallMicros::now().micros_since(at).abs() < 5_000_000);
        assert_eq!(set_by(), 0);
    }
}
