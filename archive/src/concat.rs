//! A whole recording as one file that exists nowhere: header, index, then every chunk as it is.
//!
//! The header is the recording's `moov` with its length (`mehd`) and an index (`sidx`) of the
//! chunks, so that a player seeks with one ranged request. Both follow from the chunk rows alone.

use std::ops::Range;

use bytes::Bytes;
use models::{Chunk, Ticks};
use sha2::{Digest, Sha256};

use crate::cmaf;

/// Most references a `sidx` can hold.
const MAX_REFERENCES: usize = u16::MAX as usize;

/// What lies where in the virtual file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    header: Bytes,
    /// Number, take and place in the file of each chunk, in order and without holes.
    chunks: Vec<(u32, u32, Range<u64>)>,
    digest: [u8; 16],
}

/// A stretch of the virtual file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// These bytes.
    Header(Bytes),
    /// Bytes of a chunk's object.
    Chunk {
        /// Its sequence number.
        seq: u32,
        /// Its take.
        take: u32,
        /// Which of its bytes; never empty.
        range: Range<u64>,
    },
}

impl Layout {
    /// The file made of `chunks`, which are all of a recording's, in order.
    #[must_use]
    pub fn new(channels: u8, chunks: &[Chunk]) -> Self {
        let total: Ticks = chunks.iter().map(|chunk| chunk.duration).sum();
        let mut header = cmaf::init_with_duration(channels, total);
        header.extend(index(chunks));
        let mut digest = Sha256::new_with_prefix(&header);
        let mut at = header.len() as u64;
        let place = |chunk: &Chunk| {
            digest.update(chunk.sha256);
            let start = at;
            at = at.saturating_add(chunk.bytes);
            (chunk.seq, chunk.take, start..at)
        };
        let chunks = chunks.iter().map(place).collect();
        let whole = digest.finalize();
        let mut digest = [0; 16];
        digest.copy_from_slice(&whole[..16]);
        Self { header: header.into(), chunks, digest }
    }

    /// Its size in bytes.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "there is always a header")]
    pub fn len(&self) -> u64 {
        self.chunks.last().map_or(self.header.len() as u64, |(_, _, range)| range.end)
    }

    /// A strong entity tag with its quotation marks (RFC 9110, section 8.8.3): equal tags mean equal
    /// bytes. It changes when a live recording grows.
    #[must_use]
    pub fn etag(&self) -> String {
        format!("\"{:032x}\"", u128::from_be_bytes(self.digest))
    }

    /// Half a SHA-256 over what the file is made of: equal digests mean equal bytes.
    #[must_use]
    pub const fn digest(&self) -> [u8; 16] {
        self.digest
    }

    /// Where in the file a chunk lies.
    #[must_use]
    pub fn place(&self, seq: u32) -> Option<Range<u64>> {
        let found = self.chunks.iter().find(|(number, _, _)| *number == seq);
        found.map(|(_, _, range)| range.clone())
    }

    /// What the bytes of `range` are made of, in order. What lies behind the end is left out.
    #[must_use]
    pub fn pieces(&self, range: Range<u64>) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let head = self.header.len() as u64;
        if range.start < head.min(range.end) {
            // Both ends are at most the header's length.
            let (start, end) = (range.start as usize, range.end.min(head) as usize);
            pieces.push(Piece::Header(self.header.slice(start..end)));
        }
        let first = self.chunks.partition_point(|(_, _, chunk)| chunk.end <= range.start);
        for (seq, take, chunk) in &self.chunks[first..] {
            if chunk.start >= range.end {
                break;
            }
            let (start, end) = (range.start.max(chunk.start), range.end.min(chunk.end));
            if start < end {
                let range = start - chunk.start..end - chunk.start;
                pieces.push(Piece::Chunk { seq: *seq, take: *take, range });
            }
        }
        pieces
    }
}

/// The `sidx`: one reference a chunk, or several chunks a reference where there are more than it can
/// hold (from 72 hours on). Nothing where there are no chunks or a field would not hold its value:
/// the file then plays all the same.
fn index(chunks: &[Chunk]) -> Vec<u8> {
    let Some(first) = chunks.first() else { return Vec::new() };
    let together = chunks.len().div_ceil(MAX_REFERENCES);
    let reference = |group: &[Chunk]| {
        let bytes = group.iter().fold(0_u64, |sum, chunk| sum.saturating_add(chunk.bytes));
        (bytes, group.iter().map(|chunk| chunk.duration).sum())
    };
    let references: Vec<_> = chunks.chunks(together).map(reference).collect();
    cmaf::segment_index(first.start, &references).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn chunks(sizes: &[u64]) -> Vec<Chunk> {
        let chunk = |(seq, bytes): (usize, &u64)| Chunk {
            seq: seq as u32,
            take: 0,
            start: Ticks(seq as u64 * 192_000),
            duration: Ticks(192_000),
            bytes: *bytes,
            sha256: [seq as u8; 32],
        };
        sizes.iter().enumerate().map(chunk).collect()
    }

    /// The bytes of chunk `seq`, made up.
    fn content(seq: u32, bytes: u64) -> Vec<u8> {
        (0..bytes).map(|at| (u64::from(seq) * 31 + at * 7) as u8).collect()
    }

    fn read(layout: &Layout, sizes: &[u64], range: Range<u64>) -> Vec<u8> {
        let mut out = Vec::new();
        for piece in layout.pieces(range) {
            match piece {
                Piece::Header(bytes) => out.extend(bytes),
                Piece::Chunk { seq, range, .. } => {
                    let content = content(seq, sizes[seq as usize]);
                    out.extend(&content[range.start as usize..range.end as usize]);
                }
            }
        }
        out
    }

    proptest! {
        #[test]
        fn any_range_equals_the_naive_concatenation(
            sizes in prop::collection::vec(0..200_u64, 0..20), a in 0..5_000_u64, b in 0..5_000_u64
        ) {
            let layout = Layout::new(1, &chunks(&sizes));
            let mut whole = layout.header.to_vec();
            for (seq, bytes) in sizes.iter().enumerate() {
                whole.extend(content(seq as u32, *bytes));
            }
            prop_assert_eq!(layout.len(), whole.len() as u64);
            prop_assert_eq!(&read(&layout, &sizes, 0..layout.len()), &whole);
            let (start, end) = (a.min(b).min(layout.len()), a.max(b).min(layout.len()));
            let expected = &whole[start as usize..end as usize];
            prop_assert_eq!(read(&layout, &sizes, start..end), expected);
            prop_assert_eq!(read(&layout, &sizes, start..u64::MAX), &whole[start as usize..]);
        }
    }

    #[test]
    fn reversed_ranges_and_those_behind_the_end_are_empty() {
        let layout = Layout::new(2, &chunks(&[100, 100]));
        let reversed = Range { start: 50, end: 20 };
        assert_eq!(layout.pieces(reversed), []);
        assert_eq!(layout.pieces(layout.len()..u64::MAX), []);
    }

    #[test]
    fn the_tag_tells_contents_apart() {
        let of = |chunks: &[Chunk]| Layout::new(1, chunks).etag();
        let mut rows = chunks(&[10, 20]);
        let before = of(&rows);
        assert!(before.len() == 34 && before.starts_with('"') && before.ends_with('"'));
        assert_eq!(before, of(&chunks(&[10, 20])));
        assert_ne!(before, of(&rows[..1]));
        rows[1].sha256 = [9; 32];
        assert_ne!(before, of(&rows));
    }

    /// Reads the references of the `sidx` at the end of the header.
    fn references(layout: &Layout) -> Vec<(u32, u32)> {
        let at = layout.header.windows(4).position(|name| name == b"sidx").unwrap() + 36;
        let field = |bytes: &[u8]| u32::from_be_bytes(bytes.try_into().unwrap());
        let count = u16::from_be_bytes(layout.header[at - 2..at].try_into().unwrap());
        let table = &layout.header[at..];
        assert_eq!(table.len(), usize::from(count) * 12);
        table.chunks(12).map(|entry| (field(&entry[..4]), field(&entry[4..8]))).collect()
    }

    #[test]
    fn the_index_covers_every_byte_and_tick() {
        for (count, expected) in [(1, 1), (65_535, 65_535), (65_536, 32_768), (131_071, 43_691)] {
            let layout = Layout::new(1, &chunks(&vec![7; count]));
            let references = references(&layout);
            assert_eq!(references.len(), expected);
            let (bytes, ticks) = references
                .iter()
                .fold((0, 0), |(b, t), r| (b + u64::from(r.0), t + u64::from(r.1)));
            assert_eq!((bytes, ticks), (count as u64 * 7, count as u64 * 192_000));
        }
    }

    #[test]
    fn what_does_not_fit_an_index_goes_without() {
        for layout in [Layout::new(1, &[]), Layout::new(1, &chunks(&[1 << 31]))] {
            assert!(!layout.header.windows(4).any(|name| name == b"sidx"));
        }
    }
}
