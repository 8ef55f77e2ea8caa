//! The header: `ftyp` and `moov`, and the index (`sidx`) of a whole file.

use models::Ticks;

use super::boxes::{put_box, put_full_box, put_u16, put_u32, put_u64};
use super::write::TRACK;

/// Ticks in a second, as a box field.
const TIMESCALE: u32 = models::TICKS_PER_SECOND as u32;
/// The identity transformation (ISO/IEC 14496-12, 8.2.2.2).
const UNITY: [u32; 9] = [0x1_0000, 0, 0, 0, 0x1_0000, 0, 0, 0, 0x4000_0000];
/// ISO 639-2 "und", five bits a letter.
const UNDETERMINED: u16 = 0x55C4;

/// The header of a recording whose length is not known (yet): what HLS and MediaSource are given
/// first.
#[must_use]
pub fn init_segment(channels: u8) -> Vec<u8> {
    header(channels, None)
}

/// The same with the length of the whole recording.
pub(crate) fn init_with_duration(channels: u8, total: Ticks) -> Vec<u8> {
    header(channels, Some(total))
}

fn header(channels: u8, total: Option<Ticks>) -> Vec<u8> {
    let mut out = Vec::with_capacity(768);
    put_box(&mut out, b"ftyp", |out| {
        out.extend(b"cmfc");
        put_u32(out, 0);
        for brand in [b"cmfc", b"iso6", b"mp41"] {
            out.extend(brand);
        }
    });
    put_box(&mut out, b"moov", |out| {
        movie_header(out);
        put_box(out, b"trak", |out| {
            track_header(out);
            put_box(out, b"mdia", |out| media(out, channels));
        });
        put_box(out, b"mvex", |out| {
            if let Some(total) = total {
                put_full_box(out, b"mehd", 1, 0, |out| put_u64(out, total.0));
            }
            put_full_box(out, b"trex", 0, 0, |out| {
                for field in [TRACK, 1, 0, 0, 0] {
                    put_u32(out, field);
                }
            });
        });
    });
    out
}

fn movie_header(out: &mut Vec<u8>) {
    put_full_box(out, b"mvhd", 0, 0, |out| {
        // Created, changed (never said), timescale, duration (in the fragments), rate 1.0.
        for field in [0, 0, TIMESCALE, 0, 0x1_0000] {
            put_u32(out, field);
        }
        put_u16(out, 0x100);
        out.extend([0; 10]);
        UNITY.iter().for_each(|field| put_u32(out, *field));
        out.extend([0; 24]);
        put_u32(out, TRACK + 1);
    });
}

fn track_header(out: &mut Vec<u8>) {
    // Flags: enabled, in the movie.
    put_full_box(out, b"tkhd", 0, 3, |out| {
        for field in [0, 0, TRACK, 0, 0] {
            put_u32(out, field);
        }
        out.extend([0; 8]);
        // Layer, alternate group, volume 1.0, reserved.
        for field in [0, 0, 0x100, 0] {
            put_u16(out, field);
        }
        UNITY.iter().for_each(|field| put_u32(out, *field));
        out.extend([0; 8]);
    });
}

fn media(out: &mut Vec<u8>, channels: u8) {
    put_full_box(out, b"mdhd", 0, 0, |out| {
        for field in [0, 0, TIMESCALE, 0] {
            put_u32(out, field);
        }
        put_u16(out, UNDETERMINED);
        put_u16(out, 0);
    });
    put_full_box(out, b"hdlr", 0, 0, |out| {
        put_u32(out, 0);
        out.extend(b"soun");
        out.extend([0; 12]);
        out.extend(b"Roomtape\0");
    });
    put_box(out, b"minf", |out| {
        put_full_box(out, b"smhd", 0, 0, |out| out.extend([0; 4]));
        put_box(out, b"dinf", |out| {
            put_full_box(out, b"dref", 0, 0, |out| {
                put_u32(out, 1);
                // Flags: the media is in this file.
                put_full_box(out, b"url ", 0, 1, |_| ());
            });
        });
        put_box(out, b"stbl", |out| {
            put_full_box(out, b"stsd", 0, 0, |out| {
                put_u32(out, 1);
                sample_entry(out, channels);
            });
            // The sample tables of a fragmented file are empty.
            for name in [b"stts", b"stsc", b"stco"] {
                put_full_box(out, name, 0, 0, |out| put_u32(out, 0));
            }
            put_full_box(out, b"stsz", 0, 0, |out| out.extend([0; 8]));
        });
    });
}

fn sample_entry(out: &mut Vec<u8>, channels: u8) {
    put_box(out, b"Opus", |out| {
        out.extend([0; 6]);
        // Data reference, two reserved words, channels, bits a sample, reserved, rate in 16.16.
        put_u16(out, 1);
        out.extend([0; 8]);
        put_u16(out, u16::from(channels));
        put_u16(out, 16);
        put_u32(out, 0);
        put_u32(out, TIMESCALE << 16);
        put_box(out, b"dOps", |out| {
            // Version, channels, PreSkip, input rate, gain, mapping family 0 (mono or stereo).
            out.extend([0, channels]);
            put_u16(out, 0);
            put_u32(out, TIMESCALE);
            put_u16(out, 0);
            out.push(0);
        });
    });
}

/// A `sidx` (ISO/IEC 14496-12, 8.16.3) that stands directly before its first reference. `None`
/// where the references do not fit its fields.
pub(crate) fn segment_index(start: Ticks, references: &[(u64, Ticks)]) -> Option<Vec<u8>> {
    let count = u16::try_from(references.len()).ok()?;
    let mut table = Vec::with_capacity(references.len() * 12);
    for (bytes, duration) in references {
        // The top bit would say that another sidx is referred to.
        let bytes = u32::try_from(*bytes).ok().filter(|bytes| bytes >> 31 == 0)?;
        put_u32(&mut table, bytes);
        put_u32(&mut table, u32::try_from(duration.0).ok()?);
        // Starts with a stream access point of type 1, without delay: any packet may come first.
        put_u32(&mut table, 0x9000_0000);
    }
    let mut out = Vec::with_capacity(table.len() + 40);
    put_full_box(&mut out, b"sidx", 1, 0, |out| {
        put_u32(out, TRACK);
        put_u32(out, TIMESCALE);
        put_u64(out, start.0);
        put_u64(out, 0);
        put_u16(out, 0);
        put_u16(out, count);
        out.extend(table);
    });
    Some(out)
}
