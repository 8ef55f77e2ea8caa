//! What an MP4 file wants heard of its audio: its edit list (ISO/IEC 14496-12, section 8.6.6), which
//! leaves out what the encoder put before and after.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use models::Ticks;

/// Largest movie box worth reading: that of weeks of audio.
const MAX_MOOV_BYTES: u64 = 64 * 1024 * 1024;
/// A file with more boxes at its top has its movie box nowhere near.
const MAX_BOXES: usize = 10_000;

/// The part of a track that is heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Edit {
    /// Media time left out at the start.
    pub(super) skip: Ticks,
    /// How long it is; `None`: to its end.
    pub(super) length: Option<Ticks>,
}

/// The edit of a file's first audio track; `None` where there is none, or one that does more than
/// cut both ends. Never fails: what is wrong with the file is told by whoever reads it.
pub(super) fn of(file: &mut File) -> Option<Edit> {
    let moov = moov(file).ok()??;
    let audio = |track: &&[u8]| {
        let handler = inside(track, [b"mdia", b"hdlr"]);
        handler.is_some_and(|handler| handler.get(8..12) == Some(b"soun"))
    };
    let track =
        boxes(&moov).filter(|(kind, _)| *kind == b"trak").map(|(_, body)| body).find(audio)?;
    let (start, length) = only_edit(inside(track, [b"edts", b"elst"])?)?;
    let media_rate = timescale(inside(track, [b"mdia", b"mdhd"])?)?;
    let movie_rate = timescale(inside(&moov, [b"mvhd"])?)?;
    let length = Ticks::from_samples(length, movie_rate);
    Some(Edit {
        skip: Ticks::from_samples(start, media_rate),
        length: Some(length).filter(|&length| length > Ticks::ZERO),
    })
}

/// The boxes that lie one after the other in a box' body: their types and bodies.
fn boxes(mut bytes: &[u8]) -> impl Iterator<Item = (&[u8; 4], &[u8])> {
    std::iter::from_fn(move || {
        let (size, rest) = bytes.split_first_chunk()?;
        let (kind, rest) = rest.split_first_chunk::<4>()?;
        let length = (u32::from_be_bytes(*size) as usize).checked_sub(8)?;
        let (body, after) = rest.split_at_checked(length)?;
        bytes = after;
        Some((kind, body))
    })
}

/// The body of the first box at a path of types.
fn inside<'a, const N: usize>(bytes: &'a [u8], path: [&[u8; 4]; N]) -> Option<&'a [u8]> {
    path.into_iter().try_fold(bytes, |bytes, wanted| {
        boxes(bytes).find(|(kind, _)| *kind == wanted).map(|(_, body)| body)
    })
}

/// The timescale of an `mvhd` or `mdhd`, which both begin with version, flags and two dates.
fn timescale(header: &[u8]) -> Option<u32> {
    let at = if *header.first()? == 1 { 20 } else { 12 };
    Some(number(header, at, 4)? as u32).filter(|&rate| rate > 0)
}

/// Start (in the media's timescale) and length (in the movie's) of an `elst` with one edit that
/// shows media: a start of -1 shows none.
fn only_edit(list: &[u8]) -> Option<(u64, u64)> {
    let width = if *list.first()? == 1 { 8 } else { 4 };
    let start = number(list, 8 + width, width)?;
    let none = u64::MAX >> (64 - 8 * width);
    let one = number(list, 4, 4)? == 1;
    (one && start != none).then_some((start, number(list, 8, width)?))
}

/// A big-endian number of `width` bytes at `at`.
fn number(bytes: &[u8], at: usize, width: usize) -> Option<u64> {
    let digits = bytes.get(at..at + width)?;
    Some(digits.iter().fold(0, |number, &digit| number << 8 | u64::from(digit)))
}

/// The body of the movie box, wherever it lies.
fn moov(file: &mut File) -> io::Result<Option<Vec<u8>>> {
    let mut at = 0_u64;
    for _ in 0..MAX_BOXES {
        file.seek(SeekFrom::Start(at))?;
        let mut head = [0; 8];
        file.read_exact(&mut head)?;
        let [s0, s1, s2, s3, kind @ ..] = head;
        let (mut size, mut header) = (u64::from(u32::from_be_bytes([s0, s1, s2, s3])), 8);
        if size == 1 {
            let mut long = [0; 8];
            file.read_exact(&mut long)?;
            (size, header) = (u64::from_be_bytes(long), 16);
        }
        if size < header {
            return Ok(None);
        }
        if &kind == b"moov" {
            let length = (size - header).min(MAX_MOOV_BYTES);
            let mut body = Vec::new();
            file.take(length).read_to_end(&mut body)?;
            return Ok(Some(body));
        }
        at = at.saturating_add(size);
    }
    Ok(None)
}
