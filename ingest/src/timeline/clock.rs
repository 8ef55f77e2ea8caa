//! Where media time should stand by the arrival of packets.
//!
//! Packets can be delayed but not come early, so the least delayed ones tell the time. The clock
//! keeps the arrival time of media time zero ([`Clock::origin`]) and looks at the least delayed packet
//! of each [`WINDOW`]: a small difference is taken for skew and followed at up to [`SKEW_MAX_PPM`];
//! what goes faster than two crystals can drift apart adds up until it passes the timeline's bound.

use std::time::Duration;

use models::Ticks;

use super::BOUND;

/// Over what time the least delayed packet is looked for, in ticks.
const WINDOW: i64 = 48_000;
/// For how long from the first packet an earlier one is believed at once (the first may itself have
/// been delayed), in ticks.
const SETTLE: i64 = 5 * 48_000;
/// The skew that is followed, in parts per million: twice what cheap crystals show.
const SKEW_MAX_PPM: i64 = 250;

/// See the module's documentation. All times are signed ticks.
#[derive(Debug)]
pub(super) struct Clock {
    /// Arrival time of media time zero, had it not been delayed.
    origin: i64,
    /// Arrival of the first packet.
    began: i64,
    /// When the current window began.
    window: i64,
    /// Lateness of its least delayed packet.
    least: i64,
    /// How far the origin has followed skew.
    followed: i64,
    /// The last window's lateness that was not followed.
    rest: i64,
}

impl Clock {
    /// A clock on which media time zero arrived at `arrival`.
    pub(super) fn new(arrival: Duration) -> Self {
        let now = of(arrival);
        Self { origin: now, began: now, window: now, least: i64::MAX, followed: 0, rest: 0 }
    }

    /// How much later than media time `position` says something arrived; negative: earlier.
    pub(super) fn late(&self, arrival: Duration, position: Ticks) -> i64 {
        of(arrival) - self.origin - ticks(position)
    }

    /// Time from the first packet to `arrival`.
    pub(super) fn elapsed(&self, arrival: Duration) -> i64 {
        of(arrival) - self.began
    }

    /// Notes that audio at `position` arrived. Returns how far media time is to be moved on, where
    /// the source has fallen behind by more than [`BOUND`].
    pub(super) fn heard(&mut self, arrival: Duration, position: Ticks) -> Option<Ticks> {
        let late = self.late(arrival, position);
        let now = of(arrival);
        // Audio that is here is proof that its time has passed.
        if late < 0 && (now - self.began < SETTLE || late < -ticks(BOUND)) {
            self.origin += late;
            self.least = 0;
        }
        self.least = self.least.min(self.late(arrival, position));
        if now - self.window < WINDOW { None } else { self.close(now) }
    }

    /// How far the source's clock has run slow (positive) or fast since the beginning, in µs.
    pub(super) fn drift(&self) -> i64 {
        (self.followed + self.rest) * 125 / 6
    }

    fn close(&mut self, now: i64) -> Option<Ticks> {
        let least = self.least;
        let most = (now - self.window) * SKEW_MAX_PPM / 1_000_000;
        (self.window, self.least) = (now, i64::MAX);
        if least > ticks(BOUND) {
            return u64::try_from(least).ok().map(Ticks);
        }
        let step = least.clamp(-most, most);
        self.origin += step;
        self.followed += step;
        self.rest = least - step;
        None
    }
}

/// A time on the arrival clock, in ticks.
fn of(arrival: Duration) -> i64 {
    i64::try_from(arrival.as_micros() * 6 / 125).unwrap_or(i64::MAX / 4).min(i64::MAX / 4)
}

/// A length of media time as a signed number.
pub(super) fn ticks(length: Ticks) -> i64 {
    i64::try_from(length.0).unwrap_or(i64::MAX / 4).min(i64::MAX / 4)
}
