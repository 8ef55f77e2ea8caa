//! Where media time stands on the wall clock: a recording's anchors.
//!
//! Each fragment has the wall-clock time at which it was heard, some of them delayed on the way (RTP's
//! timeline takes that out itself, other sources do not). So anchors are made from the least delayed
//! fragments, and only where the ones before them have become wrong:
//! - something came earlier than the last anchor allows: at once, since nothing comes too early;
//! - even the least delayed audio of [`WINDOW`] is late: the source's clock is slow, and the least
//!   delayed one makes the anchor;
//! - after a gap that is not mere loss, where the wall clock has gone another way than media time.
//!
//! Between anchors media time runs as the wall clock does, to within about [`OFF_US`].

use archive::cmaf::Fragment;
use models::{Anchor, Gap, GapCause, Ticks};

/// How far the wall clock may be from what the last anchor says, in microseconds.
const OFF_US: i64 = 10_000;
/// For how long audio must be late before that is not taken for delay.
const WINDOW: Ticks = Ticks::from_secs(20);

/// What is known of a recording's anchors. Cheap to copy.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Anchors {
    last: Option<Anchor>,
    /// How late the least delayed audio was since when.
    late: Option<(i64, Ticks)>,
}

impl Anchors {
    /// Goes on after the recording's last anchor.
    pub(crate) fn new(last: Option<Anchor>) -> Self {
        Self { last, late: None }
    }

    /// The recording's last anchor.
    pub(crate) fn last(&self) -> Option<&Anchor> {
        self.last.as_ref()
    }

    /// The anchors that fall into a chunk. `gaps` are those that begin in it.
    pub(crate) fn of_chunk(&mut self, fragments: &[Fragment], gaps: &[Gap]) -> Vec<Anchor> {
        let breaks = gaps.iter().filter(|gap| gap.cause != GapCause::Loss);
        let mut breaks: Vec<(Ticks, Ticks)> =
            breaks.map(|gap| (gap.start, gap.start + gap.duration)).collect();
        breaks.sort_unstable();
        let mut anchors = Vec::new();
        let (mut from, mut is_break) = (Ticks::ZERO, false);
        for (start, end) in breaks.into_iter().chain([(Ticks(u64::MAX), Ticks(u64::MAX))]) {
            let stretch = |fragment: &&Fragment| from <= fragment.start && fragment.start < start;
            let stretch: Vec<&Fragment> = fragments.iter().filter(stretch).collect();
            anchors.extend(self.of_stretch(&stretch, is_break));
            (from, is_break) = (end, true);
        }
        anchors
    }

    /// The anchor that is due at the beginning of fragments that follow each other.
    fn of_stretch(&mut self, fragments: &[&Fragment], after_break: bool) -> Option<Anchor> {
        let first = fragments.first()?.start;
        let begins = |fragment: &&Fragment| {
            fragment.wall.plus_micros(-fragment.start.saturating_sub(first).as_micros())
        };
        let wall = fragments.iter().map(begins).min()?;
        let Some(last) = self.last else { return self.set(Anchor { media: first, wall }) };
        let expected = last.wall.plus(first.saturating_sub(last.media));
        let off = wall.micros_since(expected);
        if off < -OFF_US || after_break && off > OFF_US {
            return self.set(Anchor { media: first, wall });
        }
        let (least, since) = self.late.unwrap_or((off, first));
        let least = least.min(off);
        self.late = Some((least, since));
        if first.saturating_sub(since) < WINDOW {
            return None;
        }
        self.late = None;
        let anchor = Anchor { media: first, wall: expected.plus_micros(least) };
        if least > OFF_US { self.set(anchor) } else { None }
    }

    fn set(&mut self, anchor: Anchor) -> Option<Anchor> {
        (self.last, self.late) = (Some(anchor), None);
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{packet, wall};

    /// Media time of a fragment of 40 packets.
    const LENGTH: Ticks = Ticks(40 * 960);

    /// The `n`th fragment, `late_us` behind on the wall clock.
    fn fragment(n: u64, late_us: i64) -> Fragment {
        let start = Ticks(n * LENGTH.0);
        let wall = wall(n as usize * 40).plus_micros(late_us);
        Fragment { seq: n as u32 + 1, start, wall, packets: (0..40).map(packet).collect() }
    }

    /// The anchors of `chunks` chunks: which fragment, and how late it is.
    fn anchors(chunks: u64, late_us: impl Fn(u64) -> i64) -> Vec<(u64, i64)> {
        let mut known = Anchors::new(None);
        let mut all = Vec::new();
        for chunk in 0..chunks {
            let numbers = chunk * 5..chunk * 5 + 5;
            let fragments: Vec<_> = numbers.map(|n| fragment(n, late_us(n))).collect();
            all.extend(known.of_chunk(&fragments, &[]));
        }
        all.into_iter().map(told).collect()
    }

    fn told(Anchor { media, wall: at }: Anchor) -> (u64, i64) {
        let n = media.0 / LENGTH.0;
        (n, at.micros_since(wall(n as usize * 40)))
    }

    #[test]
    fn one_anchor_is_enough_for_a_source_that_keeps_time() {
        assert_eq!(anchors(900, |_| 0), [(0, 0)]);
        // Jitter makes none either; the first is that of the least delayed fragment.
        assert_eq!(anchors(900, |n| n as i64 * 7_919 % 60_000), [(0, 0)]);
    }

    #[test]
    fn audio_that_comes_early_proves_the_last_anchor_wrong() {
        let all = anchors(10, |n| if n < 8 { 90_000 } else { 0 });
        assert_eq!(all, [(0, 90_000), (5, 0)]);
    }

    #[test]
    fn a_slow_source_is_followed_and_a_delay_is_not() {
        let all = anchors(20, |n| if n < 10 { 0 } else { 80_000 });
        assert_eq!(all, [(0, 0), (60, 80_000)]);
        // Ten seconds in which everything was late.
        assert_eq!(anchors(60, |n| if n / 12 == 2 { 900_000 } else { 0 }), [(0, 0)]);
        // 200 ppm: never more than 25 ms wrong, and not many.
        let late = |n: u64| n as i64 * 160;
        let all = anchors(900, late);
        assert!((20..70).contains(&all.len()), "{all:?}");
        let told = |n| all.iter().rev().find(|(at, _)| *at <= n).map_or(0, |(_, late)| *late);
        let most = (0..4_500).map(|n| (late(n) - told(n)).abs()).max();
        assert!(most < Some(25_000), "{most:?}");
    }

    #[test]
    fn an_anchor_follows_what_broke_the_clock_but_not_mere_loss() {
        let gap = |cause| Gap { start: Ticks(6 * LENGTH.0), duration: LENGTH, wall_us: 0, cause };
        for (cause, late_us, expected) in [
            (GapCause::SourceAway, 5_000, None),
            (GapCause::SourceAway, 20_000, Some((7, 20_000))),
            (GapCause::Paused, -20_000, Some((7, -20_000))),
            (GapCause::Loss, 20_000, None),
        ] {
            let first = Anchor { media: Ticks::ZERO, wall: wall(0) };
            let fragments: Vec<_> =
                (5..10).map(|n| fragment(n, if n < 6 { 0 } else { late_us })).collect();
            let made = Anchors::new(Some(first)).of_chunk(&fragments, &[gap(cause)]);
            assert_eq!(made.last().copied().map(told), expected, "{cause:?} {late_us}");
        }
    }
}
