//! Packets to bytes.

use super::boxes::{put_box, put_full_box, put_u32, put_u64};
use super::{Fragment, ntp};

/// The one track's number.
pub(super) const TRACK: u32 = 1;
/// `prft`: the time is when the first sample was captured (ISO/IEC 14496-12, 8.16.5).
pub(super) const PRFT_CAPTURED: u32 = 24;
/// `tfhd`: offsets count from the `moof` they stand in.
pub(super) const TFHD_BASE_IS_MOOF: u32 = 0x02_0000;
/// `trun`: a data offset, and duration and size of every sample.
pub(super) const TRUN_FIELDS: u32 = 0x00_0301;
/// Size of a `moof` without its samples, and of one sample's entry.
const MOOF_BYTES: usize = 88;
pub(super) const SAMPLE_BYTES: usize = 8;

/// From the first byte of a `moof` with `samples` samples to the first byte in the `mdat` after it.
pub(super) const fn data_offset(samples: usize) -> usize {
    MOOF_BYTES + SAMPLE_BYTES * samples + 8
}

/// `prft`, `moof` and `mdat` of one fragment: what is appended to the spool and, fragment after
/// fragment, is the chunk.
///
/// # Panics
/// Where the packets together exceed 4 GiB, which no chunk of seconds can reach.
#[must_use]
pub fn write_fragment(fragment: &Fragment) -> Vec<u8> {
    let samples = &fragment.packets;
    let payload: usize = samples.iter().map(|packet| packet.data.len()).sum();
    let mut out = Vec::with_capacity(32 + data_offset(samples.len()) + payload);
    put_full_box(&mut out, b"prft", 1, PRFT_CAPTURED, |out| {
        put_u32(out, TRACK);
        put_u64(out, ntp::to_ntp(fragment.wall));
        put_u64(out, fragment.start.0);
    });
    put_box(&mut out, b"moof", |out| {
        put_full_box(out, b"mfhd", 0, 0, |out| put_u32(out, fragment.seq));
        put_box(out, b"traf", |out| {
            put_full_box(out, b"tfhd", 0, TFHD_BASE_IS_MOOF, |out| put_u32(out, TRACK));
            put_full_box(out, b"tfdt", 1, 0, |out| put_u64(out, fragment.start.0));
            put_full_box(out, b"trun", 0, TRUN_FIELDS, |out| {
                put_length(out, samples.len());
                put_length(out, data_offset(samples.len()));
                for packet in samples {
                    put_length(out, packet.duration.0 as usize);
                    put_length(out, packet.data.len());
                }
            });
        });
    });
    put_box(&mut out, b"mdat", |out| samples.iter().for_each(|packet| out.extend(&packet.data)));
    out
}

fn put_length(out: &mut Vec<u8>, value: usize) {
    put_u32(out, u32::try_from(value).expect("a fragment is seconds of packets, far below 4 GiB"));
}
