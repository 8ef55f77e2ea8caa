//! A chunk as it was written, then damaged anywhere: recovery keeps what lies before the damage, as it
//! was, and what it keeps can be gone on with.
#![no_main]

use archive::Packet;
use archive::cmaf::{Fragment, fragment_seq, read_fragments, recover, write_fragment};
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use models::{Ticks, WallMicros};

fuzz_target!(|data: &[u8]| {
    // How many fragments of how many packets; where the file ends; what is spoiled with what.
    let [count, packets, cut_hi, cut_lo, at_hi, at_lo, damage @ ..] = data else { return };
    let written: Vec<Fragment> = fragments(count % 8 + 1, packets % 60 + 1, damage);
    let pieces: Vec<Vec<u8>> = written.iter().map(write_fragment).collect();
    let mut file = pieces.concat();
    let number = |hi: &u8, lo: &u8| usize::from(*hi) << 8 | usize::from(*lo);
    file.truncate(file.len().saturating_sub(number(cut_hi, cut_lo)));
    let at = number(at_hi, at_lo);
    for (byte, spoil) in file.iter_mut().skip(at).zip(damage) {
        *byte ^= spoil;
    }
    let first =
        damage.iter().position(|&spoil| spoil != 0).map_or(usize::MAX, |offset| at + offset);
    let sound = first.min(file.len());

    let recovered = recover(&file);
    assert!(recovered.whole_bytes <= file.len());
    let mut end = 0;
    for (nth, piece) in pieces.iter().enumerate() {
        end += piece.len();
        if end > sound {
            break;
        }
        assert_eq!(recovered.fragments.get(nth), written.get(nth), "a sound fragment was lost");
    }
    let mut kept = file[..recovered.whole_bytes].to_vec();
    assert_eq!(read_fragments(&kept).as_ref(), Ok(&recovered.fragments));
    // The writer goes on behind it.
    let last = recovered.fragments.last();
    let start = last.map_or(Ticks::ZERO, |last| last.span().end);
    let Some(seq) = last.map_or(Some(1), |last| last.seq.checked_add(1)) else { return };
    let next = Fragment { seq, start, ..written[0].clone() };
    kept.extend(write_fragment(&next));
    if start.0 < u64::from(u32::MAX) {
        let read = read_fragments(&kept).expect("what was kept can be gone on with");
        assert_eq!(read.len(), recovered.fragments.len() + 1);
    }
});

fn fragments(count: u8, packets: u8, bytes: &[u8]) -> Vec<Fragment> {
    let mut start = Ticks::ZERO;
    let make = |nth| {
        let packet = |n: u8| {
            let length = 1 + usize::from(n) % 7;
            let data: Vec<u8> = bytes.iter().copied().cycle().take(length).collect();
            let data = if data.is_empty() { Bytes::from_static(&[0xfc]) } else { data.into() };
            Packet { data, duration: Ticks(960) }
        };
        let fragment = Fragment {
            seq: fragment_seq(3, u32::from(nth)),
            start,
            wall: WallMicros(1_700_000_000_000_000).plus(start),
            packets: (0..packets).map(packet).collect(),
        };
        start += fragment.duration();
        fragment
    };
    (0..count).map(make).collect()
}
