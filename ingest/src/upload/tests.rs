use models::{GapCause, Ticks, WallMicros};

use super::*;
use crate::testing::{packet, wall};

/// A fragment of 40 packets: number `n` of them in media time, `late_us` behind on the wall clock.
fn fragment(n: u64, late_us: i64) -> Fragment {
    let start = Ticks(n * 40 * 960);
    let wall = WallMicros(wall(n as usize * 40).0 + late_us);
    Fragment { seq: n as u32 + 1, start, wall, packets: (0..40).map(packet).collect() }
}

fn media(anchors: &[Anchor]) -> Vec<u64> {
    anchors.iter().map(|anchor| anchor.media.0 / (40 * 960)).collect()
}

#[test]
fn anchors_stand_at_the_start_and_once_a_minute() {
    let mut last = None;
    let mut all = Vec::new();
    for chunk in 0..40_u64 {
        let fragments: Vec<_> = (chunk * 5..chunk * 5 + 5).map(|n| fragment(n, 0)).collect();
        let new = anchors(last, &fragments, &[]);
        last = new.last().copied().or(last);
        all.extend(new);
    }
    assert_eq!(media(&all), [0, 75, 150]);
    assert_eq!(all[1].wall, wall(75 * 40));
}

#[test]
fn an_anchor_follows_what_broke_the_clock_but_not_mere_loss() {
    let first = Anchor { media: Ticks::ZERO, wall: wall(0) };
    let fragments: Vec<_> = (5..10).map(|n| fragment(n, 0)).collect();
    let gap = |cause| Gap {
        start: Ticks(6 * 40 * 960),
        duration: Ticks(2 * 40 * 960),
        wall_us: 1_600_000,
        cause,
    };
    assert!(anchors(Some(first), &fragments, &[gap(GapCause::Loss)]).is_empty());
    assert_eq!(media(&anchors(Some(first), &fragments, &[gap(GapCause::SourceAway)])), [8]);
}

#[test]
fn an_anchor_is_due_when_the_wall_clock_goes_another_way() {
    let first = Anchor { media: Ticks::ZERO, wall: wall(0) };
    for (late_us, due) in [(90_000, false), (110_000, true), (-110_000, true)] {
        assert_eq!(
            !anchors(Some(first), &[fragment(5, late_us)], &[]).is_empty(),
            due,
            "{late_us}"
        );
    }
}

#[test]
fn waits_double_and_are_bounded() {
    let millis = [1, 2, 3, 7, 8, 99].map(|n| wait_after(n).as_millis());
    assert_eq!(millis, [250, 500, 1000, 16_000, 30_000, 30_000]);
}
