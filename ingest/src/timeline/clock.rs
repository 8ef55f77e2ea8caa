//! Where media time should stand by the arrival of packets.
//!
//! Packets can be delayed but not come early, so the least delayed ones tell the time. The clock
//! keeps the time at which media time zero would have ended its way here undelayed (its `origin`):
//! a packet that comes sooner than that allows is proof, and moves it back at once; where even the
//! least delayed packet of a [`WINDOW`] is late, it follows by at most [`SKEW_MAX_PPM`]. So it lies
//! along the lower edge of all arrivals, whatever their jitter, and follows a source whose crystal
//! is slow or fast.
//!
//! How far it has moved is how far media time has gone wrong against the wall clock
//! ([`Clock::drift`]). Where there is no audio that is taken up ([`Clock::take_up`]). More than
//! crystals and jitter explain is a source that does not send in real time: that is left alone.
//!
//! A packet is sent when its last sample is there, so that its end is compared, whatever its length.

use std::time::Duration;

use models::Ticks;

use super::{BOUND, STEP};

/// Over what time the least delayed packet is looked for, in ticks.
const WINDOW: i64 = 48_000;
/// How many packets that has to be of, at least.
const WINDOW_PACKETS: u32 = 10;
/// For how long from the first packet an earlier one means that the first was delayed, in ticks.
const SETTLE: i64 = 5 * 48_000;
/// The skew that is followed, in parts per million: twice what the cheapest crystals show, or one and
/// NTP slewing it.
const SKEW_MAX_PPM: i64 = 500;
/// How far media time may go wrong by other things than skew, and be corrected, in ticks.
const SLIP_MAX: i64 = 200 * 48;
/// Drift below this is not worth a change, and may be jitter, in ticks.
const DRIFT_MIN: i64 = 10 * 48;

/// See the module's documentation. All times are signed ticks.
#[derive(Debug)]
pub(super) struct Clock {
    /// When media time zero arrived, had it not been delayed.
    origin: i64,
    /// What it would be, had media time kept to the wall clock.
    true_origin: i64,
    /// Drift taken up so far.
    taken_up: i64,
    /// Arrival of the first packet.
    began: i64,
    /// When the current window began.
    window: i64,
    /// Lateness of its least delayed packet, and how many it had.
    least: i64,
    heard: u32,
    /// The last window's, as far as it was not followed.
    rest: i64,
    /// Lateness of the last packet.
    last: i64,
}

impl Clock {
    /// A clock for a source whose first packet, as long as `first`, came at `arrival`.
    pub(super) fn new(arrival: Duration, first: Ticks) -> Self {
        let now = of(arrival);
        let origin = now - ticks(first);
        let (true_origin, began, window) = (origin, now, now);
        let (taken_up, least, heard, rest, last) = (0, i64::MAX, 0, 0, 0);
        Self { origin, true_origin, taken_up, began, window, least, heard, rest, last }
    }

    /// How much later than media time `end` allows something arrived that ends there; negative:
    /// earlier.
    pub(super) fn late(&self, arrival: Duration, end: Ticks) -> i64 {
        of(arrival) - self.origin - ticks(end)
    }

    /// When what ends at media time `end` would have arrived, had nothing delayed it.
    pub(super) fn due(&self, end: Ticks) -> Duration {
        let us = u64::try_from(self.origin.saturating_add(ticks(end))).unwrap_or(0) * 125 / 6;
        Duration::from_micros(us)
    }

    /// Time from the first packet to `arrival`.
    pub(super) fn elapsed(&self, arrival: Duration) -> i64 {
        of(arrival) - self.began
    }

    /// Whether the first packet's own delay has been found out by now.
    pub(super) fn is_settled(&self, arrival: Duration) -> bool {
        self.elapsed(arrival) >= SETTLE
    }

    /// How late the last packet was.
    pub(super) fn last(&self) -> i64 {
        self.last
    }

    /// How late even the least delayed packets have been of late.
    pub(super) fn usual(&self) -> i64 {
        self.rest.min(self.least)
    }

    /// Lets time pass until a packet comes. Returns how far media time is to be moved on, where the
    /// source has fallen behind by more than [`BOUND`] bit by bit.
    pub(super) fn tick(&mut self, arrival: Duration) -> Option<Ticks> {
        let now = of(arrival);
        let length = now - self.window;
        // What came before: the packet that comes now may have waited with us.
        let least = self.least;
        if length < WINDOW || self.heard < WINDOW_PACKETS {
            return None;
        }
        (self.window, self.least, self.heard) = (now, i64::MAX, 0);
        if least > ticks(BOUND) {
            self.rest = 0;
            return u64::try_from(least).ok().map(Ticks);
        }
        let step = least.min(length * SKEW_MAX_PPM / 1_000_000);
        self.rest = least - step;
        self.move_origin(step, now);
        None
    }

    /// Notes that audio came that ends at `end`. What is `unsure` says nothing of the next packet's
    /// lateness.
    pub(super) fn heard(&mut self, arrival: Duration, end: Ticks, unsure: bool) {
        let (now, late) = (of(arrival), self.late(arrival, end));
        if late < 0 {
            if now - self.began < SETTLE {
                self.true_origin += late;
            }
            self.move_origin(late, now);
        }
        self.least = self.least.min(late.max(0));
        self.heard += 1;
        if !unsure {
            self.last = late.max(0);
        }
    }

    /// How much longer (or shorter) an absence of `length` is to be, so that media time comes
    /// back to the wall clock: at most half of it, in whole [`STEP`]s.
    pub(super) fn take_up(&mut self, length: Ticks) -> i64 {
        let (drift, most) = (self.off(), ticks(length) / 2);
        if drift.abs() < DRIFT_MIN {
            return 0;
        }
        let step = drift.clamp(-most, most) / STEP * STEP;
        self.origin -= step;
        self.taken_up += step;
        step
    }

    /// How far the source's clock has run slow (positive) or fast since the beginning, in µs:
    /// whether it was taken up or not.
    pub(super) fn drift(&self) -> i64 {
        (self.off() + self.taken_up) * 125 / 6
    }

    /// How far media time is behind the wall clock.
    fn off(&self) -> i64 {
        self.origin - self.true_origin
    }

    fn move_origin(&mut self, step: i64, now: i64) {
        self.origin += step;
        let most = SLIP_MAX + (now - self.began).max(0) * SKEW_MAX_PPM / 1_000_000;
        self.true_origin = self.true_origin.clamp(self.origin - most, self.origin + most);
    }
}

/// A time on the arrival clock, in ticks.
fn of(arrival: Duration) -> i64 {
    const MOST: i64 = i64::MAX / 8;
    i64::try_from(arrival.as_micros()).unwrap_or(MOST).min(MOST) * 6 / 125
}

/// A length of media time as a signed number.
pub(super) fn ticks(length: Ticks) -> i64 {
    i64::try_from(length.0).unwrap_or(i64::MAX / 4).min(i64::MAX / 4)
}
