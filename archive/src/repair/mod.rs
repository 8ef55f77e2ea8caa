//! What can be done about damage: the bytes of a chunk from wherever else they are, rows from the
//! objects themselves, and concealment where nothing is left.
//!
//! Nothing here changes anything: it finds and makes what whoever repairs then puts and rows.

#[cfg(test)]
mod tests;

use bytes::Bytes;
use models::{Anchor, Chunk, Gap, GapCause, RecordingId, Span, Ticks, WallMicros};
use sha2::{Digest as _, Sha256};

use crate::cmaf::{self, Fragment, fragment_seq};
use crate::concat::Layout;
use crate::key::{Export, Key};
use crate::store::{Error, Store};
use crate::{chunk, opus};

/// Concealment where nothing says how the stream was coded: 20 ms of full band, mono.
const PLAIN_TOC: u8 = 31 << 3;

/// The bytes that a chunk's row tells of, from any of `stores`, or out of the whole as one file, where
/// that is kept. A store that cannot be asked is as if it had nothing.
pub async fn find(
    stores: &[&Store],
    recording: RecordingId,
    chunk: &Chunk,
    layout: &Layout,
) -> Option<Bytes> {
    let export = Key::Export(recording, layout.digest(), Export::Mp4);
    let places = [
        Some((Key::of(recording, chunk), 0..chunk.bytes)),
        layout.place(chunk.seq).map(|range| (export, range)),
    ];
    for store in stores {
        for (key, range) in places.iter().flatten() {
            let found = store.get(key, Some(range.clone())).await;
            if let Some(bytes) = found.ok().filter(|bytes| chunk::parse(bytes, chunk).is_ok()) {
                return Some(bytes);
            }
        }
    }
    None
}

/// The row of a chunk's object, made from the object itself; `None` where it is not whole.
///
/// # Errors
/// The store could not be asked.
pub async fn row_of(
    store: &Store,
    recording: RecordingId,
    seq: u32,
    take: u32,
) -> Result<Option<Chunk>, Error> {
    match store.get(&Key::Chunk(recording, seq, take), None).await {
        Ok(bytes) => Ok(row(&bytes, seq, take)),
        Err(Error::Missing(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

fn row(bytes: &Bytes, seq: u32, take: u32) -> Option<Chunk> {
    let fragments = cmaf::read_fragments(bytes).ok()?;
    let (first, last) = (fragments.first()?, fragments.last()?);
    Some(Chunk {
        seq,
        take,
        start: first.start,
        duration: last.span().end.saturating_sub(first.start),
        bytes: bytes.len() as u64,
        sha256: Sha256::digest(bytes).into(),
    })
}

/// Rows out of `found` that fill a hole exactly: numbers `seqs.0` up to `seqs.1`, media time `span`.
/// Of several takes of one number the newest that leads on.
#[must_use]
pub fn filling(found: &[Chunk], seqs: (u32, u32), span: Span) -> Option<Vec<Chunk>> {
    if seqs.0 == seqs.1 {
        return (span.duration() == Ticks::ZERO).then(Vec::new);
    }
    let mut next: Vec<_> =
        found.iter().filter(|chunk| chunk.seq == seqs.0 && chunk.start == span.start).collect();
    next.sort_by_key(|chunk| std::cmp::Reverse(chunk.take));
    next.into_iter().filter(|chunk| chunk.span().end <= span.end).find_map(|chunk| {
        let rest = Span::new(chunk.span().end, span.end);
        let mut rows = vec![chunk.clone()];
        rows.extend(filling(found, (seqs.0 + 1, seqs.1), rest)?);
        Some(rows)
    })
}

/// Rows out of `found` that go on one after the other from chunk `seq` at `start`.
#[must_use]
pub fn following(found: &[Chunk], mut seq: u32, mut start: Ticks) -> Vec<Chunk> {
    let mut rows: Vec<Chunk> = Vec::new();
    let next = |seq, start| {
        let fits = found.iter().filter(move |chunk| chunk.seq == seq && chunk.start == start);
        fits.max_by_key(|chunk| chunk.take).cloned()
    };
    while let Some(chunk) = next(seq, start) {
        (seq, start) = (chunk.seq.saturating_add(1), chunk.span().end);
        rows.push(chunk);
    }
    rows
}

/// Whether an object that no row names is of no use: it is not whole, or there are rows for all of its
/// media time and nothing is missing in them.
#[must_use]
pub fn is_useless(orphan: Option<&Chunk>, chunks: &[Chunk], gaps: &[Gap]) -> bool {
    let Some(orphan) = orphan else { return true };
    let span = orphan.span();
    let meets = |other: &Span| other.intersection(span).duration();
    let rowed: Ticks = chunks.iter().map(|chunk| meets(&chunk.span())).sum();
    let is_missed = gaps.iter().any(|gap| {
        let sound = !matches!(gap.cause, GapCause::Loss | GapCause::Paused);
        sound && meets(&Span::new(gap.start, gap.start + gap.duration)) > Ticks::ZERO
    });
    rowed == span.duration() && !is_missed
}

/// How concealment is to be coded, as the chunk nearest to it is: what begins its first packet.
#[must_use]
pub fn toc_of(bytes: &[u8]) -> Option<u8> {
    let fragments = cmaf::recover(bytes).fragments;
    fragments.first()?.packets.first()?.data.first().copied()
}

/// A chunk of concealment, and its object: number, take and media time as given, said to have been
/// heard when the anchors have it.
#[must_use]
pub fn concealment(
    seq: u32,
    take: u32,
    span: Span,
    toc: Option<u8>,
    anchors: &[Anchor],
) -> (Chunk, Bytes) {
    let packets = opus::conceal(toc.unwrap_or(PLAIN_TOC), span.duration());
    let wall = wall_at(anchors, span.start);
    let fragment = Fragment { seq: fragment_seq(seq, 0), start: span.start, wall, packets };
    let bytes = Bytes::from(cmaf::write_fragment(&fragment));
    let chunk = Chunk {
        seq,
        take,
        start: span.start,
        duration: span.duration(),
        bytes: bytes.len() as u64,
        sha256: Sha256::digest(&bytes).into(),
    };
    (chunk, bytes)
}

/// Cuts the time of missing chunks into as many pieces of about the same length.
#[must_use]
pub fn pieces(seqs: (u32, u32), span: Span) -> Vec<(u32, Span)> {
    let count = u64::from(seqs.1.saturating_sub(seqs.0));
    if count == 0 || span.duration().0 < count {
        return Vec::new();
    }
    let at = |index: u64| {
        let part = u128::from(span.duration().0) * u128::from(index) / u128::from(count);
        span.start + Ticks(part as u64)
    };
    let piece = |index| (seqs.0 + index as u32, Span::new(at(index), at(index + 1)));
    (0..count).map(piece).collect()
}

/// What of `span` is no gap yet, as gaps of cause `broken`.
#[must_use]
pub fn broken(span: Span, gaps: &[Gap]) -> Vec<Gap> {
    let mut broken = Vec::new();
    let mut at = span.start;
    let ends = [Gap { start: span.end, duration: Ticks(1), wall_us: 0, cause: GapCause::Broken }];
    for gap in gaps.iter().filter(|gap| gap.duration > Ticks::ZERO).chain(&ends) {
        let until = gap.start.min(span.end);
        if until > at {
            let duration = until.saturating_sub(at);
            let wall_us = duration.as_micros();
            broken.push(Gap { start: at, duration, wall_us, cause: GapCause::Broken });
        }
        at = at.max(gap.start + gap.duration);
    }
    broken
}

fn wall_at(anchors: &[Anchor], media: Ticks) -> WallMicros {
    let before = anchors.iter().rev().find(|anchor| anchor.media <= media);
    before.map_or(WallMicros(0), |anchor| anchor.wall.plus(media.saturating_sub(anchor.media)))
}
