//! What a receipt adds up: how much was kept, and how true the source's clock was.

use std::collections::BTreeMap;

use models::{Anchor, Gap, GapCause, Ticks};
use serde::{Deserialize, Serialize};

use super::name;

/// Least media time from which a clock's drift can be told: arrival jitters by tens of milliseconds.
const LEAST: Ticks = Ticks::from_secs(60);

/// Media time kept and lost, in ticks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Coverage {
    /// With the audio that arrived.
    pub kept: u64,
    /// Without, by cause. Media time that two gaps name counts once, for the first.
    pub lost: BTreeMap<String, u64>,
}

impl Coverage {
    /// Of `duration`, in which there are `gaps`, in order.
    pub(super) fn of(duration: Ticks, gaps: &[Gap]) -> Self {
        let mut lost = BTreeMap::new();
        let mut told = Ticks::ZERO;
        for gap in gaps {
            let (from, to) = (gap.start.max(told), (gap.start + gap.duration).min(duration));
            let length = to.saturating_sub(from);
            if length > Ticks::ZERO {
                *lost.entry(name(gap.cause)).or_default() += length.0;
                told = to;
            }
        }
        let kept = duration.0.saturating_sub(lost.values().sum());
        Self { kept, lost }
    }
}

/// By how many billionths the source's clock ran faster than ours (negative: slower), measured from
/// anchor to anchor, without the stretches in which something other than packets was missing. `None`
/// where less than a minute is left.
pub(super) fn drift_ppb(anchors: &[Anchor], gaps: &[Gap]) -> Option<i64> {
    let breaks = |from: Ticks, to: Ticks| {
        gaps.iter().filter(|gap| gap.cause != GapCause::Loss).any(|gap| {
            // In a pause media time stands still: it has no length.
            let is_pause = gap.duration == Ticks::ZERO;
            let (starts, ends) = (gap.start, gap.start + gap.duration);
            if is_pause { from < starts && starts <= to } else { starts < to && from < ends }
        })
    };
    let (mut media, mut wall) = (0_i128, 0_i128);
    for pair in anchors.windows(2) {
        let (from, to) = (pair[0], pair[1]);
        if from.media < to.media && !breaks(from.media, to.media) {
            media += i128::from(to.media.0 - from.media.0);
            wall += i128::from(to.wall.micros_since(from.wall));
        }
    }
    if media < i128::from(LEAST.0) || wall <= 0 {
        return None;
    }
    // Both in units of a microsecond of a tick.
    let (media, wall) = (media * 1_000_000, wall * i128::from(models::TICKS_PER_SECOND));
    i64::try_from((media - wall) * 1_000_000_000 / wall).ok()
}

#[cfg(test)]
mod tests {
    use models::WallMicros;

    use super::*;

    fn gap(start: u64, secs: u64, cause: GapCause) -> Gap {
        let (start, duration) = (Ticks::from_secs(start), Ticks::from_secs(secs));
        Gap { start, duration, wall_us: duration.as_micros(), cause }
    }

    fn anchor(secs: u64, wall_us: i64) -> Anchor {
        Anchor { media: Ticks::from_secs(secs), wall: WallMicros(1_700_000_000_000_000 + wall_us) }
    }

    #[test]
    fn each_tick_is_kept_or_lost_once() {
        let secs = |secs: u64| Ticks::from_secs(secs).0;
        let gaps = [
            gap(1, 2, GapCause::Loss),
            gap(2, 3, GapCause::Down),
            gap(2, 0, GapCause::Paused),
            gap(8, 4, GapCause::Loss),
        ];
        let coverage = Coverage::of(Ticks::from_secs(10), &gaps);
        assert_eq!(coverage.kept, secs(4));
        let lost = [("down".to_owned(), secs(2)), ("loss".to_owned(), secs(4))];
        assert_eq!(coverage.lost, BTreeMap::from(lost));
        assert_eq!(Coverage::of(Ticks::ZERO, &[]), Coverage::default());
    }

    #[test]
    fn a_clock_that_runs_fast_is_told_apart_from_gaps_and_pauses() {
        // 100 ppm fast: 600 s of media in 599.94 s.
        let anchors = [anchor(0, 0), anchor(600, 599_940_006)];
        let ppb = drift_ppb(&anchors, &[]).unwrap();
        assert!((ppb - 100_000).abs() < 10, "{ppb}");
        // Two minutes away, told as one; and half an hour of pause.
        let anchors = [
            anchor(0, 0),
            anchor(300, 300_000_000),
            anchor(420, 425_000_000),
            anchor(600, 605_000_000),
            anchor(600, 2_405_000_000),
            anchor(900, 2_705_000_000),
        ];
        let gaps = [
            gap(310, 110, GapCause::SourceAway),
            gap(500, 1, GapCause::Loss),
            gap(600, 0, GapCause::Paused),
        ];
        // The pair before the pause ends where it begins: it is left out with it.
        assert_eq!(drift_ppb(&anchors, &gaps), Some(0));
        assert_eq!(drift_ppb(&anchors[..1], &[]), None);
        assert_eq!(drift_ppb(&[anchor(0, 0), anchor(59, 59_000_000)], &[]), None);
    }
}
