//! What a worker that died had still in its spool, cut so that it fits the place that others left
//! for it. Pure.

use archive::cmaf::{Fragment, fragment_seq};
use archive::{Packet, opus};
use models::{Chunk, Gap, GapCause, Ticks};

/// Chunks that fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Recut {
    /// One for each chunk whose place is taken.
    pub(super) chunks: Vec<Fragment>,
    /// Media time up to which there is audio; concealment follows.
    pub(super) until: Ticks,
}

/// Cuts `tail`, fragments that follow one another, into the places of `there`, chunks of nothing but
/// concealment of which the first begins where the tail does. Both ends stay where they are, the
/// cuts in between move to the next packet. What of the tail goes beyond the end is left out: those
/// who went on have heard that time themselves. `None` where a chunk would be empty, or the tail is.
pub(super) fn recut(tail: &[Fragment], there: &[Chunk]) -> Option<Recut> {
    let (start, end) = (there.first()?.start, there.last()?.span().end);
    let (mut packets, until) = up_to(tail, start, end);
    let toc = packets.last()?.data.first().copied()?;
    packets.extend(opus::conceal(toc, end.saturating_sub(until)));
    let mut chunks = Vec::new();
    let (mut at, mut rest) = (start, packets.into_iter().peekable());
    for (index, place) in there.iter().enumerate() {
        let is_last = index + 1 == there.len();
        let first = at;
        let mut packets = Vec::new();
        while let Some(packet) = rest.next_if(|_| is_last || at < place.span().end) {
            at += packet.duration;
            packets.push(packet);
        }
        if packets.is_empty() {
            return None;
        }
        let (seq, wall) = (fragment_seq(place.seq, 0), wall_at(tail, first)?);
        chunks.push(Fragment { seq, start: first, wall, packets });
    }
    Some(Recut { chunks, until })
}

/// The packets that end at or before `end`, and where the last of them ends.
fn up_to(tail: &[Fragment], start: Ticks, end: Ticks) -> (Vec<Packet>, Ticks) {
    let mut at = start;
    let mut packets = Vec::new();
    for packet in tail.iter().flat_map(|fragment| &fragment.packets) {
        if at + packet.duration > end {
            break;
        }
        at += packet.duration;
        packets.push(packet.clone());
    }
    (packets, at)
}

/// When `media` was heard: counted on from the last fragment before it.
fn wall_at(tail: &[Fragment], media: Ticks) -> Option<models::WallMicros> {
    let before = tail.iter().rev().find(|fragment| fragment.start <= media)?;
    Some(before.wall.plus(media.saturating_sub(before.start)))
}

/// The gaps of media time from the tail's start to `end`, once it has its place: its own as far as
/// it goes, and what stays of the one that it fills.
pub(super) fn gaps(own: &[Gap], until: Ticks, end: Ticks, filled: &Gap) -> Vec<Gap> {
    let mut gaps = crate::cut::clip(own, until);
    if until < end {
        let start = until.max(filled.start);
        let shorter = start.saturating_sub(filled.start).as_micros();
        gaps.push(Gap {
            start,
            duration: end.saturating_sub(start),
            wall_us: filled.wall_us.saturating_sub(shorter),
            cause: filled.cause,
        });
    }
    gaps
}

/// The gap in which a tail that begins at `start` may have its place.
pub(super) fn place_of(gaps: &[Gap], start: Ticks) -> Option<&Gap> {
    gaps.iter().find(|gap| {
        matches!(gap.cause, GapCause::Down | GapCause::SourceAway)
            && gap.start <= start
            && start < gap.start + gap.duration
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use models::WallMicros;
    use proptest::prelude::*;

    use super::*;

    const WALL: WallMicros = WallMicros(1_700_000_000_000_000);

    /// Packets of these lengths in units of 2.5 ms, numbered, in fragments of five.
    fn tail(start: Ticks, lengths: &[u64]) -> Vec<Fragment> {
        let mut at = start;
        let numbered: Vec<_> = lengths.iter().enumerate().collect();
        let fragment = |packets: &[(usize, &u64)]| {
            let packet = |(n, units): &(usize, &u64)| Packet {
                data: Bytes::from(vec![31 << 3, *n as u8, 1]),
                duration: Ticks(**units * 120),
            };
            let packets: Vec<_> = packets.iter().map(packet).collect();
            let start = at;
            at += packets.iter().map(|packet| packet.duration).sum();
            Fragment { seq: 1, start, wall: WALL.plus(start), packets }
        };
        numbered.chunks(5).map(fragment).collect()
    }

    fn places(start: Ticks, lengths: &[u64]) -> Vec<Chunk> {
        let mut at = start;
        let place = |(n, units): (usize, &u64)| {
            let chunk = Chunk {
                seq: 7 + n as u32,
                take: 1,
                start: at,
                duration: Ticks(units * 120),
                bytes: 1,
                sha256: [0; 32],
            };
            at = chunk.span().end;
            chunk
        };
        lengths.iter().enumerate().map(place).collect()
    }

    proptest! {
        #[test]
        fn every_packet_that_fits_is_there_once_and_both_ends_stay(
            tail_lengths in prop::collection::vec(1..=48_u64, 1..60),
            place_lengths in prop::collection::vec(60..400_u64, 1..6),
        ) {
            let start = Ticks(960_000);
            let (tail, there) = (tail(start, &tail_lengths), places(start, &place_lengths));
            let end = there.last().unwrap().span().end;
            let recut = recut(&tail, &there).unwrap();
            prop_assert_eq!(recut.chunks.len(), there.len());
            let mut at = start;
            for (chunk, place) in recut.chunks.iter().zip(&there) {
                prop_assert_eq!(chunk.start, at);
                prop_assert_eq!(chunk.seq, fragment_seq(place.seq, 0));
                prop_assert_eq!(chunk.wall, WALL.plus(at));
                at = chunk.span().end;
            }
            prop_assert_eq!(at, end);
            let all: Vec<_> = tail.iter().flat_map(|fragment| fragment.packets.clone()).collect();
            let kept: Vec<_> = recut.chunks.iter().flat_map(|c| c.packets.clone())
                .filter(|packet| packet.data.len() > 1).collect();
            prop_assert_eq!(&kept[..], &all[..kept.len()]);
            let length: Ticks = kept.iter().map(|packet| packet.duration).sum();
            prop_assert_eq!(start + length, recut.until);
            // Only what would reach beyond the end is left out.
            if let Some(next) = all.get(kept.len()) {
                prop_assert!(recut.until + next.duration > end);
            }
        }
    }

    #[test]
    fn what_stays_of_the_gap_is_told() {
        let secs = Ticks::from_secs;
        let down = |start, duration, wall_us| Gap {
            start: secs(start),
            duration: secs(duration),
            wall_us,
            cause: GapCause::Down,
        };
        let filled = down(10, 8, 9_000_000);
        assert_eq!(gaps(&[], secs(13), secs(18), &filled), [down(13, 5, 6_000_000)]);
        let loss = Gap { cause: GapCause::Loss, ..down(11, 1, 1_000_000) };
        assert_eq!(gaps(&[loss], secs(18), secs(18), &filled), [loss]);
        assert_eq!(place_of(&[loss, filled], secs(11)), Some(&filled));
        assert_eq!(place_of(&[loss], secs(11)), None, "a loss is not a place for anything");
        assert_eq!(place_of(&[filled], secs(18)), None);
    }

    #[test]
    fn nothing_is_made_of_nothing() {
        assert_eq!(recut(&[], &places(Ticks(0), &[100])), None);
        assert_eq!(recut(&tail(Ticks(0), &[8]), &[]), None);
    }
}
