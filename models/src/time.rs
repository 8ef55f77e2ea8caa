//! The two clocks: media time ([`Ticks`]) and wall-clock time ([`WallMicros`]).

use std::fmt;
use std::ops::{Add, AddAssign};

use serde::{Deserialize, Serialize};

use crate::steady;

/// Ticks in one second of media time: Opus' own clock (RFC 7587, section 4.1).
pub const TICKS_PER_SECOND: u64 = 48_000;

/// Media time: 48 kHz ticks since the recording's first sample, or a length in the same unit.
///
/// The one timeline that audio, words, captions, speakers, chapters and edits all use.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Ticks(pub u64);

impl Ticks {
    /// The recording's first sample.
    pub const ZERO: Self = Self(0);

    /// `ms` milliseconds of media time.
    #[must_use]
    pub const fn from_millis(ms: u64) -> Self {
        Self(ms * (TICKS_PER_SECOND / 1000))
    }

    /// `secs` seconds of media time.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs * TICKS_PER_SECOND)
    }

    /// `samples` samples at `rate` Hz, rounded down to a tick.
    #[must_use]
    pub const fn from_samples(samples: u64, rate: u32) -> Self {
        Self((samples as u128 * TICKS_PER_SECOND as u128 / rate as u128) as u64)
    }

    /// Microseconds to ticks, rounded to the nearest tick; negative lengths become zero.
    #[must_use]
    pub const fn from_micros(us: i64) -> Self {
        if us <= 0 {
            return Self(0);
        }
        Self(((us as u128 * TICKS_PER_SECOND as u128 + 500_000) / 1_000_000) as u64)
    }

    /// How many samples at `rate` Hz lie before this time, rounded down.
    #[must_use]
    pub const fn to_samples(self, rate: u32) -> u64 {
        (self.0 as u128 * rate as u128 / TICKS_PER_SECOND as u128) as u64
    }

    /// Whole milliseconds, rounded to the nearest.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        let per_ms = TICKS_PER_SECOND / 1000;
        (self.0 + per_ms / 2) / per_ms
    }

    /// Whole microseconds, rounded down.
    #[must_use]
    pub const fn as_micros(self) -> i64 {
        (self.0 as u128 * 1_000_000 / TICKS_PER_SECOND as u128) as i64
    }

    /// Seconds, for formats that want a decimal number (HLS `EXTINF`); never for arithmetic.
    #[must_use]
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / TICKS_PER_SECOND as f64
    }

    /// `self - other`, or zero where `other` is later.
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// `self - other`, or `None` where `other` is later.
    #[must_use]
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(ticks) => Some(Self(ticks)),
            None => None,
        }
    }
}

impl Add for Ticks {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Ticks {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl std::iter::Sum for Ticks {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::ZERO, Add::add)
    }
}

impl fmt::Display for Ticks {
    /// `1:02:03.456`, hours left out below one hour.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.as_millis();
        let (hours, minutes, seconds, millis) =
            (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000);
        if hours > 0 {
            write!(f, "{hours}:{minutes:02}:{seconds:02}.{millis:03}")
        } else {
            write!(f, "{minutes}:{seconds:02}.{millis:03}")
        }
    }
}

/// A half-open stretch of media time: `start` is inside, `end` is not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Span {
    /// First tick inside.
    pub start: Ticks,
    /// First tick after it; never before `start`.
    pub end: Ticks,
}

impl Span {
    /// The stretch from `start` to `end`; empty where `end` is not later.
    #[must_use]
    pub fn new(start: Ticks, end: Ticks) -> Self {
        Self { start, end: end.max(start) }
    }

    /// Its length.
    #[must_use]
    pub const fn duration(self) -> Ticks {
        self.end.saturating_sub(self.start)
    }

    /// The tick halfway.
    #[must_use]
    pub const fn middle(self) -> Ticks {
        Ticks(self.start.0 + self.duration().0 / 2)
    }

    /// Whether nothing lies inside.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.end.0 <= self.start.0
    }

    /// Whether `at` lies inside.
    #[must_use]
    pub const fn contains(self, at: Ticks) -> bool {
        self.start.0 <= at.0 && at.0 < self.end.0
    }

    /// What both share; empty where they do not meet.
    #[must_use]
    pub fn intersection(self, other: Self) -> Self {
        Self::new(self.start.max(other.start), self.end.min(other.end))
    }
}

/// Wall-clock time: microseconds since 1970-01-01T00:00:00Z.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct WallMicros(pub i64);

impl WallMicros {
    /// What the system clock says. Called by drivers and the binary only: protocol and policy code
    /// is handed its `now`. It may step; recordings are timed by [`Self::steady`].
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
    pub fn now() -> Self {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Self(since.map_or(0, |d| i64::try_from(d.as_micros()).unwrap_or(i64::MAX)))
    }

    /// The wall clock as this process has known it from the beginning: nobody can set it.
    #[must_use]
    pub fn steady() -> Self {
        steady::wall(steady::now())
    }

    /// This time plus (or minus) microseconds.
    #[must_use]
    pub const fn plus_micros(self, us: i64) -> Self {
        Self(self.0.saturating_add(us))
    }

    /// This time plus a length of media time.
    #[must_use]
    pub const fn plus(self, length: Ticks) -> Self {
        Self(self.0.saturating_add(length.as_micros()))
    }

    /// Microseconds from `earlier` to this time; negative where `earlier` is later.
    #[must_use]
    pub const fn micros_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// This time plus (or minus) milliseconds.
    #[must_use]
    pub const fn plus_millis(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms.saturating_mul(1000)))
    }

    /// RFC 3339 in UTC with milliseconds, as the API and playlists show it.
    #[must_use]
    pub fn to_rfc3339(self) -> String {
        let format = time::macros::format_description!(
            "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z"
        );
        time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1000)
            .ok()
            .and_then(|at| at.format(&format).ok())
            .unwrap_or_else(|| format!("{}us", self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_and_ticks_agree_at_every_rate_we_meet() {
        for rate in [8_000, 16_000, 24_000, 44_100, 48_000] {
            let ticks = Ticks::from_samples(u64::from(rate) * 3600, rate);
            assert_eq!(ticks, Ticks::from_secs(3600));
            assert_eq!(ticks.to_samples(rate), u64::from(rate) * 3600);
        }
    }

    #[test]
    fn times_print_as_people_read_them() {
        assert_eq!(Ticks::from_millis(61_234).to_string(), "1:01.234");
        assert_eq!(Ticks::from_millis(3_723_004).to_string(), "1:02:03.004");
        assert_eq!(WallMicros(1_700_000_000_123_456).to_rfc3339(), "2023-11-14T22:13:20.123Z");
    }

    #[test]
    fn spans_are_half_open_and_never_negative() {
        let span = Span::new(Ticks(10), Ticks(20));
        assert!(span.contains(Ticks(10)) && !span.contains(Ticks(20)));
        assert!(Span::new(Ticks(20), Ticks(10)).is_empty());
        assert_eq!(span.intersection(Span::new(Ticks(15), Ticks(40))).duration(), Ticks(5));
        assert!(span.intersection(Span::new(Ticks(20), Ticks(40))).is_empty());
    }
}
