use models::GapCause;
use proptest::prelude::*;

use super::*;
use crate::testing::{packet, wall};

/// What may be asked of a cutter.
#[derive(Debug, Clone)]
enum Asked {
    Packet(u64),
    Flush,
    Seal,
}

fn asked() -> impl Strategy<Value = Vec<Asked>> {
    let one = prop_oneof![
        60 => prop::sample::select(vec![120, 317, 480, 960, 2880, 5760]).prop_map(Asked::Packet),
        2 => Just(Asked::Flush),
        1 => Just(Asked::Seal),
    ];
    prop::collection::vec(one, 0..1500)
}

proptest! {
    #[test]
    fn whatever_comes_the_chunks_are_well_formed(asked in asked(), first in 0..5_u32, at: u32) {
        let at = Ticks(u64::from(at));
        let mut cutter = Cutter::new(first, at);
        let (mut cuts, mut sent) = (Vec::new(), Vec::new());
        for (n, asked) in asked.into_iter().enumerate() {
            match asked {
                Asked::Packet(length) => {
                    let packet = Packet { duration: Ticks(length), ..packet(n) };
                    sent.push(packet.clone());
                    cutter.packet(packet, wall(n), &mut cuts);
                }
                Asked::Flush => cutter.flush(&mut cuts),
                Asked::Seal => cutter.seal(&mut cuts),
            }
        }
        cutter.seal(&mut cuts);

        let (mut chunk, mut index, mut start, mut length) = (first, 0, at, Ticks::ZERO);
        let mut kept = Vec::new();
        for cut in cuts {
            match cut {
                Cut::Fragment { chunk: of, fragment, gaps } => {
                    prop_assert_eq!((of, fragment.seq), (chunk, fragment_seq(chunk, index)));
                    prop_assert_eq!(fragment.start, start);
                    prop_assert!(fragment.duration() <= FRAGMENT && !fragment.packets.is_empty());
                    prop_assert!(length < CHUNK && index < FRAGMENTS_PER_CHUNK && gaps.is_empty());
                    (index, start) = (index + 1, fragment.span().end);
                    length += fragment.duration();
                    kept.extend(fragment.packets);
                }
                Cut::Seal { chunk: of } => {
                    prop_assert_eq!(of, chunk);
                    prop_assert!(index > 0 && length < Ticks::from_secs(5));
                    (chunk, index, length) = (chunk + 1, 0, Ticks::ZERO);
                }
                Cut::Note { .. } => prop_assert!(false, "nothing was paused"),
            }
        }
        prop_assert_eq!(kept, sent);
        prop_assert_eq!(cutter.end(), start);
        prop_assert!(!cutter.has_tail() && index == 0);
    }

    /// However a gap lies to the chunks, each chunk has its part and no more, and all parts are the
    /// gap; and where only some of a chunk was written, its part ends there.
    #[test]
    fn a_gap_is_whole_again(before in 0..300_usize, missing in 1..800_u64, rest_us in 0..9_i64) {
        let mut cutter = Cutter::new(0, Ticks::ZERO);
        let mut cuts = Vec::new();
        for n in 0..before {
            cutter.packet(packet(n), wall(n), &mut cuts);
        }
        let (start, duration) = (cutter.end(), Ticks(missing * 960));
        let wall_us = duration.as_micros() + rest_us;
        let gap = Gap { start, duration, wall_us, cause: GapCause::Down };
        cutter.gap(gap);
        for n in 0..missing as usize + 7 {
            cutter.packet(packet(n), wall(n), &mut cuts);
        }
        cutter.seal(&mut cuts);

        let (mut noted, mut end, mut parts) = (Vec::new(), Ticks::ZERO, Vec::new());
        for cut in cuts {
            match cut {
                Cut::Fragment { fragment, gaps, .. } => {
                    end = fragment.span().end;
                    noted.extend(gaps);
                    for part in clip(&noted, end) {
                        prop_assert!(part.start >= gap.start && part.start + part.duration <= end);
                    }
                }
                _ => parts.extend(clip(&std::mem::take(&mut noted), end)),
            }
        }
        let whole = Gap::joined(parts);
        prop_assert_eq!(whole.len(), 1);
        prop_assert_eq!((whole[0].start, whole[0].duration), (gap.start, gap.duration));
        // Each part's microseconds are rounded down from its ticks; 20 ms packets leave no rest.
        prop_assert_eq!(whole[0].wall_us, gap.wall_us);
    }
}

#[test]
fn twenty_millisecond_packets_make_chunks_of_exactly_four_seconds() {
    let mut cutter = Cutter::new(0, Ticks::ZERO);
    let mut cuts = Vec::new();
    for n in 0..400 {
        cutter.packet(packet(n), wall(n), &mut cuts);
    }
    let seals = cuts.iter().enumerate().filter(|(_, cut)| matches!(cut, Cut::Seal { .. }));
    assert_eq!(seals.map(|(at, _)| at).collect::<Vec<_>>(), [8, 17]);
    assert_eq!(cutter.end(), Ticks::from_secs(8));
}

#[test]
fn a_trickle_that_is_synced_packet_by_packet_closes_its_chunk_at_64_fragments() {
    let mut cutter = Cutter::new(3, Ticks(5));
    let mut cuts = Vec::new();
    for n in 0..65 {
        cutter.packet(packet(n), wall(n), &mut cuts);
        cutter.flush(&mut cuts);
    }
    assert_eq!(cuts[64], Cut::Seal { chunk: 3 });
    assert!(matches!(&cuts[65], Cut::Fragment { chunk: 4, fragment, .. } if fragment.seq == 257));
}

#[test]
fn a_pause_closes_the_chunk_and_stands_before_the_next() {
    let mut cutter = Cutter::new(0, Ticks::ZERO);
    let mut cuts = Vec::new();
    cutter.packet(packet(0), wall(0), &mut cuts);
    let (start, duration) = (cutter.end(), Ticks::ZERO);
    let gap = Gap { start, duration, wall_us: 7, cause: GapCause::Paused };
    cutter.pause(gap, &mut cuts);
    assert_eq!(cuts[1..], [Cut::Seal { chunk: 0 }, Cut::Note { chunk: 1, gap }]);
}

#[test]
fn fragments_carry_the_wall_clock_of_their_first_sample() {
    let mut cutter = Cutter::new(0, Ticks::ZERO);
    let mut cuts = Vec::new();
    for n in 0..80 {
        cutter.packet(packet(n), wall(n + 1000 * (n / 30)), &mut cuts);
    }
    let walls = cuts.iter().map(|cut| match cut {
        Cut::Fragment { fragment, .. } => fragment.wall,
        other => panic!("{other:?}"),
    });
    assert_eq!(walls.collect::<Vec<_>>(), [wall(0), wall(25), wall(1050)]);
}
