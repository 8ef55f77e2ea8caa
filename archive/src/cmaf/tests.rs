use bytes::Bytes;
use models::{Ticks, WallMicros};
use proptest::prelude::*;

use super::*;

fn packet(data: &'static [u8], duration: u64) -> Packet {
    Packet { data: Bytes::from_static(data), duration: Ticks(duration) }
}

fn small() -> Fragment {
    Fragment {
        seq: 0x0102,
        start: Ticks(0xA0B0C0),
        wall: WallMicros(500_000),
        packets: vec![packet(b"\xF8abc", 960), packet(b"\xF8", 120)],
    }
}

/// Any recording's fragments, in order.
fn fragments() -> impl Strategy<Value = Vec<Fragment>> {
    let packet = (prop::collection::vec(any::<u8>(), 1..40), 1..=5760_u64)
        .prop_map(|(data, ticks)| Packet { data: data.into(), duration: Ticks(ticks) });
    let packets = prop::collection::vec(packet, 1..8);
    let wall = -60_000_000_000_000_i64..4_000_000_000_000_000;
    let list = prop::collection::vec((packets, wall, 1..70_u32), 0..6);
    (list, 0..1_u64 << 61, any::<u16>()).prop_map(|(list, start, seq)| {
        let (mut seq, mut start) = (u32::from(seq), Ticks(start));
        let fragment = |(packets, wall, step): (Vec<Packet>, i64, u32)| {
            seq += step;
            let fragment = Fragment { seq, start, wall: WallMicros(wall), packets };
            start = fragment.span().end;
            fragment
        };
        list.into_iter().map(fragment).collect()
    })
}

fn written(fragments: &[Fragment]) -> Vec<u8> {
    fragments.iter().flat_map(write_fragment).collect()
}

/// The format does not change: recordings made today must be read for ever.
#[test]
fn a_fragment_is_these_bytes() {
    let expected: &[&[u8]] = &[
        b"\0\0\0\x20prft\x01\0\0\x18\0\0\0\x01",
        b"\x83\xAA\x7E\x80\x80\0\0\0\0\0\0\0\0\xA0\xB0\xC0",
        b"\0\0\0\x68moof\0\0\0\x10mfhd\0\0\0\0\0\0\x01\x02\0\0\0\x50traf",
        b"\0\0\0\x10tfhd\0\x02\0\0\0\0\0\x01",
        b"\0\0\0\x14tfdt\x01\0\0\0\0\0\0\0\0\xA0\xB0\xC0",
        b"\0\0\0\x24trun\0\0\x03\x01\0\0\0\x02\0\0\0\x70",
        b"\0\0\x03\xC0\0\0\0\x04\0\0\0\x78\0\0\0\x01",
        b"\0\0\0\x0Dmdat\xF8abc\xF8",
    ];
    assert_eq!(write_fragment(&small()).escape_ascii().to_string(), {
        expected.concat().escape_ascii().to_string()
    });
    assert_eq!(read_fragments(&expected.concat()), Ok(vec![small()]));
}

#[test]
fn chunks_number_their_fragments_without_overlap() {
    assert_eq!((fragment_seq(0, 0), fragment_seq(0, 63), fragment_seq(1, 0)), (1, 64, 65));
    // The header's own limits are checked where players read it: in the tests with ffprobe.
    assert_eq!(&init_segment(2)[4..12], b"ftypcmfc");
}

#[test]
fn errors_say_what_and_where() {
    let whole = write_fragment(&small());
    let broken = |at: usize, bytes: &[u8]| {
        let mut broken = whole.clone();
        broken[at..at + bytes.len()].copy_from_slice(bytes);
        read_fragments(&broken).unwrap_err().to_string()
    };
    assert_eq!(broken(4, b"free"), "box free at byte 0 where prft belongs");
    assert_eq!(broken(0, &[0; 4]), "box size at byte 0 is 0; 8 to 4294967295 is allowed");
    assert_eq!(broken(36, b"\x0Doof"), "box \\roof at byte 32 where moof belongs");
    assert_eq!(broken(35, &[0xFF]), "box at byte 32 needs 255 bytes; 117 are left");
    assert_eq!(broken(35, &[0x67]), "box at byte 56 needs 80 bytes; 79 are left");
    assert_eq!(
        broken(11, &[0]),
        "box version and flags at byte 8 is 16777216; 16777240 belongs there"
    );
    assert_eq!(
        broken(31, &[0xC1]),
        "prft media time at byte 24 is 10531009; 10531008 belongs there"
    );
    assert_eq!(broken(112, &[0; 4]), "packet count at byte 112 is 0; 1 to 2 is allowed");
    assert_eq!(
        broken(112, &[0xFF; 4]),
        "packet count at byte 112 is 4294967295; 1 to 2 is allowed"
    );
    assert_eq!(broken(119, &[0x71]), "data offset at byte 116 is 113; 112 belongs there");
    assert_eq!(
        broken(120, &[0xFF; 4]),
        "packet duration at byte 120 is 4294967295; 1 to 5760 is allowed"
    );
    assert_eq!(broken(124, &[0; 4]), "packet size at byte 124 is 0; 1 to 4294967295 is allowed");
    assert_eq!(broken(124, &[0xFF; 4]), "packets at byte 144 needs 4294967296 bytes; 5 are left");
    assert_eq!(broken(127, &[3]), "1 bytes too many at byte 148, the end of a box");
}

#[test]
fn fragments_must_follow_each_other() {
    let first = small();
    let next = Fragment { seq: 0x0103, start: first.span().end, ..small() };
    assert!(read_fragments(&written(&[first.clone(), next.clone()])).is_ok());
    let cases = [
        (Fragment { seq: 0x0102, ..next.clone() }, "fragment sequence number"),
        (Fragment { start: next.start + Ticks(1), ..next.clone() }, "media time"),
        (Fragment { start: Ticks((1 << 62) + 1), ..next }, "media time"),
    ];
    for (other, field) in cases {
        let found = recover(&written(&[first.clone(), other]));
        assert_eq!((found.fragments, found.whole_bytes), (vec![first.clone()], 149));
        assert!(
            found.torn.is_some_and(|torn| torn.to_string().starts_with(field)),
            "{torn:?}",
            torn = found.torn
        );
    }
    let late = Fragment { start: Ticks((1 << 62) + 1), ..first };
    assert!(matches!(read_fragments(&written(&[late])), Err(Error::Bounds { .. })));
}

proptest! {
    #[test]
    fn what_is_written_is_read(fragments in fragments()) {
        let bytes = written(&fragments);
        prop_assert_eq!(read_fragments(&bytes), Ok(fragments.clone()));
        let found = recover(&bytes);
        prop_assert_eq!(found, Recovered { fragments, whole_bytes: bytes.len(), torn: None });
    }

    #[test]
    fn joining_keeps_every_packet_and_the_time(fragments in fragments()) {
        let Some(joined) = Fragment::join(&fragments) else {
            prop_assert!(fragments.is_empty());
            return Ok(());
        };
        let (first, last) = (&fragments[0], &fragments[fragments.len() - 1]);
        prop_assert_eq!((joined.seq, joined.start, joined.wall), (first.seq, first.start, first.wall));
        prop_assert_eq!(joined.span().end, last.span().end);
        let packets: Vec<_> = fragments.iter().flat_map(|f| f.packets.clone()).collect();
        prop_assert_eq!(&joined.packets, &packets);
    }

    #[test]
    fn a_torn_file_keeps_every_whole_fragment(fragments in fragments(), cut: prop::sample::Index) {
        let bytes = written(&fragments);
        let cut = cut.index(bytes.len() + 1);
        let mut ends = fragments.iter().scan(0, |end, fragment| {
            *end += write_fragment(fragment).len();
            Some(*end)
        });
        let mut whole = 0;
        let kept = ends.by_ref().take_while(|end| *end <= cut).inspect(|end| whole = *end).count();
        let found = recover(&bytes[..cut]);
        prop_assert_eq!(&found.fragments[..], &fragments[..kept]);
        prop_assert_eq!(found.whole_bytes, whole);
        prop_assert_eq!(found.torn.is_some(), cut > whole);
        if let Some(torn) = found.torn {
            prop_assert!(matches!(torn, Error::Torn { .. }), "{}", torn);
        }
    }

    /// Damage is refused, or it lies in what may be anything (packets, times) and reads as what it
    /// says: nothing is skipped or made up.
    #[test]
    fn damage_is_refused_or_means_itself(
        fragments in fragments(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = written(&fragments);
        prop_assume!(!bytes.is_empty());
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Ok(read) = read_fragments(&bytes) {
            let again = written(&read);
            prop_assert_eq!(again.len(), bytes.len());
            prop_assert_eq!(read_fragments(&again), Ok(read));
        }
    }

    #[test]
    fn any_bytes_are_survived(mut bytes in prop::collection::vec(any::<u8>(), 0..400), head in 0..160_usize) {
        let whole = write_fragment(&small());
        let head = head.min(whole.len());
        bytes.splice(0..0, whole[..head].iter().copied());
        let found = recover(&bytes);
        prop_assert!(found.whole_bytes <= bytes.len());
        prop_assert_eq!(found.torn.is_some(), found.whole_bytes < bytes.len());
    }
}
