//! What is whole of a damaged chunk, in a chunk of the same place and length.

use archive::cmaf::{self, Fragment, fragment_seq};
use archive::{Key, opus, store};
use models::{Anchor, Gap, GapCause, Span, Ticks, WallMicros, db};

use super::{Cargo, Error, Sealed, Shipper, blocking};
use crate::anchors::Anchors;
use crate::record::TOC;
use crate::{cut, spool};

/// The shortest chunk that is made of one of which nothing is left: one frame.
const LEAST: Ticks = Ticks::from_millis(20);

impl Shipper {
    /// Ships what is whole of a chunk that cannot be shipped as it is. Media time that is missing is
    /// concealed, and a gap.
    pub(super) async fn salvage(
        &self,
        seq: u32,
        sealed: Sealed,
        anchors: &mut Anchors,
    ) -> Result<(), Error> {
        let row = self.place.db.chunk(self.recording.id, seq).await;
        if !matches!(row, Err(db::Error::NotFound { .. })) {
            // Only its files are in the way.
            row.map_err(|source| Error::Row { seq, source })?;
            return self.remove(seq).await;
        }
        let start = match seq.checked_sub(1) {
            None => Ticks::ZERO,
            Some(before) => {
                let before = self.place.db.chunk(self.recording.id, before).await;
                before.map_err(|source| Error::Row { seq, source })?.span().end
            }
        };
        let cargo = self.best(seq, start, sealed, anchors.last()).await?;
        self.put_for_certain(&cargo).await?;
        *anchors = self.row(&cargo, *anchors).await?;
        self.remove(seq).await
    }

    /// The chunk as it is here, else as it is in the store, else what is whole of it.
    async fn best(
        &self,
        seq: u32,
        start: Ticks,
        sealed: Sealed,
        last: Option<&Anchor>,
    ) -> Result<Cargo, Error> {
        if let Ok(Some(cargo)) = self.load(seq).await
            && cargo.chunk.start == start
        {
            return Ok(cargo);
        }
        if let Some(cargo) = self.stored(seq, start).await? {
            return Ok(cargo);
        }
        let behind = self.known_behind(seq, sealed).await?;
        let (cargo, lost) = self.pieces(seq, start, Some(behind), last).await?;
        self.place.meters.salvaged(lost);
        Ok(cargo)
    }

    /// Puts a chunk that has no row. What the store has under its name, a put that went wrong, is
    /// nobody's then, because nobody else writes under our take.
    async fn put_for_certain(&self, cargo: &Cargo) -> Result<(), Error> {
        let (chunk, key) = (&cargo.chunk, Key::of(self.recording.id, &cargo.chunk));
        match self.put(chunk, cargo.bytes.clone()).await {
            Err(Error::Store { key: of, source: store::Error::Different { .. } }) if of == key => {}
            put => return put,
        }
        tracing::error!(%key, "the store has other bytes under a chunk's name: putting it anew");
        let deleted = self.place.store.delete(&key).await;
        deleted.map_err(|source| Error::Store { key, source })?;
        self.put(chunk, cargo.bytes.clone()).await
    }

    /// The chunk as the store has it, put there before it was damaged here.
    async fn stored(&self, seq: u32, start: Ticks) -> Result<Option<Cargo>, Error> {
        let key = Key::Chunk(self.recording.id, seq, self.take);
        let bytes = match self.place.store.get(&key, None).await {
            Err(store::Error::Missing(_)) => return Ok(None),
            got => got.map_err(|source| Error::Store { key, source })?,
        };
        let gaps = self.noted(seq).await?;
        let fragments = cmaf::read_fragments(&bytes).ok();
        let fragments =
            fragments.filter(|all| all.first().is_some_and(|first| first.start == start));
        Ok(fragments.map(|fragments| self.cargo(seq, fragments, &gaps)))
    }

    async fn noted(&self, seq: u32) -> Result<Vec<Gap>, Error> {
        let dir = self.dir.clone();
        blocking(seq, move || spool::gaps(&dir, seq)).await
    }

    /// The next chunk of which it is known where it begins, and where: its first whole fragment, or
    /// the end of all that is complete.
    async fn known_behind(&self, seq: u32, sealed: Sealed) -> Result<(u32, Ticks), Error> {
        let dir = self.dir.clone();
        let look = move || {
            for next in seq + 1..sealed.below {
                let pieces = spool::load_pieces(&dir, next)?;
                if let Some(first) = pieces.and_then(|pieces| pieces.fragments.into_iter().next()) {
                    return Ok((next, first.start));
                }
            }
            Ok((sealed.below.max(seq + 1), sealed.until))
        };
        blocking(seq, look).await
    }

    /// What is left of a chunk that begins at `start`, and how much media time is missing. `behind`
    /// is the next chunk of which the beginning is known; `None`: it ends with what is left.
    pub(crate) async fn pieces(
        &self,
        seq: u32,
        start: Ticks,
        behind: Option<(u32, Ticks)>,
        last: Option<&Anchor>,
    ) -> Result<(Cargo, Ticks), Error> {
        let dir = self.dir.clone();
        let pieces = blocking(seq, move || spool::load_pieces(&dir, seq)).await?;
        let whole = pieces.map_or(Vec::new(), |pieces| pieces.fragments);
        let noted = self.noted(seq).await?;
        let end = end_of(start, &whole, behind.map(|(known, at)| (known.saturating_sub(seq), at)));
        let anchor = last
            .copied()
            .or_else(|| self.recording.started_at.map(|wall| Anchor { media: Ticks::ZERO, wall }));
        let wall =
            anchor.map_or(WallMicros(0), |last| last.wall.plus(start.saturating_sub(last.media)));
        let patched = patch(seq, whole, &noted, Span::new(start, end), wall);
        if patched.fragments.is_empty() {
            return Err(Error::Damaged { seq, bad_bytes: 0 });
        }
        let lost = patched.lost;
        tracing::error!(
            recording = %self.recording.id,
            chunk = seq,
            lost_ms = lost.as_millis(),
            "a chunk was damaged in the spool; what is whole of it is kept"
        );
        Ok((self.cargo(seq, patched.fragments, &patched.gaps), lost))
    }
}

/// Where a chunk ends that begins at `start` and of which `whole` is left. `behind`: how many chunks
/// on it is known where one begins, and where that is. Chunks between, of which nothing is known,
/// share the time with it.
fn end_of(start: Ticks, whole: &[Fragment], behind: Option<(u32, Ticks)>) -> Ticks {
    let kept = whole.last().map_or(start, |last| last.span().end);
    let Some((steps @ 1.., at)) = behind else { return kept };
    let room = at.saturating_sub(start);
    let others = u64::from(steps - 1);
    let latest = at.saturating_sub(Ticks(LEAST.0 * others));
    let share = start + Ticks(room.0 / (others + 1) / LEAST.0 * LEAST.0);
    if others == 0 { at } else { share.max(kept).min(latest) }
}

/// A damaged chunk put together again.
#[derive(Debug, PartialEq, Eq)]
struct Patched {
    fragments: Vec<Fragment>,
    gaps: Vec<Gap>,
    /// Media time that is missing and was not before.
    lost: Ticks,
}

/// Fills what is missing of `span` between `whole` fragments. `noted` are the gaps that were known;
/// `wall` is about when the span began, for where nothing else tells.
fn patch(seq: u32, whole: Vec<Fragment>, noted: &[Gap], span: Span, wall: WallMicros) -> Patched {
    let (mut at, mut now, mut toc) = (span.start, wall, TOC);
    let (mut fragments, mut gaps) = (Vec::new(), cut::clip(noted, span.end));
    let known: Vec<Span> =
        gaps.iter().map(|gap| Span::new(gap.start, gap.start + gap.duration)).collect();
    let mut lost = Ticks::ZERO;
    let mut fill = |from: Ticks, to: Ticks, wall, toc, fragments: &mut Vec<Fragment>| {
        let packets = opus::conceal(toc, to.saturating_sub(from));
        fragments.push(Fragment { seq: 0, start: from, wall, packets });
        for missing in without(Span::new(from, to), &known) {
            let duration = missing.duration();
            lost += duration;
            let wall_us = duration.as_micros();
            gaps.push(Gap { start: missing.start, duration, wall_us, cause: GapCause::Broken });
        }
    };
    let fits = |fragment: &Fragment, at| {
        fragment.start >= at && fragment.span().end <= span.end && !fragment.packets.is_empty()
    };
    for fragment in whole {
        if !fits(&fragment, at) {
            continue;
        }
        let before = fragment.packets.first().and_then(|packet| packet.data.first());
        toc = before.copied().unwrap_or(toc);
        if fragment.start > at {
            let wall = WallMicros(
                fragment.wall.0.saturating_sub(fragment.start.saturating_sub(at).as_micros()),
            );
            fill(at, fragment.start, wall, toc, &mut fragments);
        }
        at = fragment.span().end;
        now = fragment.wall.plus(fragment.duration());
        fragments.push(fragment);
    }
    if at < span.end {
        fill(at, span.end, now, toc, &mut fragments);
    }
    for (index, fragment) in (0..).zip(&mut fragments) {
        fragment.seq = fragment_seq(seq, index);
    }
    gaps.sort_by_key(|gap| (gap.start, gap.duration));
    Patched { fragments, gaps, lost }
}

/// The parts of `span` that are in none of `known`, which are in order.
fn without(span: Span, known: &[Span]) -> Vec<Span> {
    let (mut at, mut parts) = (span.start, Vec::new());
    for known in known.iter().filter(|known| known.end > span.start && known.start < span.end) {
        if known.start > at {
            parts.push(Span::new(at, known.start));
        }
        at = at.max(known.end);
    }
    if at < span.end {
        parts.push(Span::new(at, span.end));
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{PACKET, packet, wall};

    /// Packets `from` to `to` of a recording.
    fn part(from: usize, to: usize) -> Fragment {
        let start = Ticks(from as u64 * PACKET.0);
        let packets = (from..to).map(packet).collect();
        Fragment { seq: from as u32, start, wall: wall(from), packets }
    }

    fn ticks(packets: u64) -> Ticks {
        Ticks(packets * PACKET.0)
    }

    fn gap(from: u64, to: u64, cause: GapCause) -> Gap {
        let duration = ticks(to - from);
        Gap { start: ticks(from), duration, wall_us: duration.as_micros(), cause }
    }

    #[test]
    fn what_is_missing_is_filled_and_told_and_the_chunk_is_as_long_as_it_was() {
        let span = Span::new(ticks(100), ticks(200));
        let whole = vec![part(125, 150), part(160, 175)];
        let noted = [gap(105, 110, GapCause::Loss), gap(170, 172, GapCause::Loss)];
        let patched = patch(7, whole.clone(), &noted, span, wall(100));
        let mut at = span.start;
        for (index, fragment) in (0..).zip(&patched.fragments) {
            assert_eq!((fragment.seq, fragment.start), (fragment_seq(7, index), at));
            assert_eq!(fragment.wall, wall((at.0 / PACKET.0) as usize));
            at = fragment.span().end;
        }
        assert_eq!((at, patched.fragments.len()), (span.end, 5));
        assert_eq!(patched.fragments[1].packets, whole[0].packets);
        assert_eq!(patched.fragments[3].packets, whole[1].packets);
        let broken = |from, to| gap(from, to, GapCause::Broken);
        let expected = [
            broken(100, 105),
            noted[0],
            broken(110, 125),
            broken(150, 160),
            noted[1],
            broken(175, 200),
        ];
        assert_eq!(patched.gaps, expected);
        assert_eq!(patched.lost, ticks(5 + 15 + 10 + 25));
    }

    #[test]
    fn of_nothing_there_is_silence_of_the_same_length() {
        let span = Span::new(ticks(100), ticks(300));
        let patched = patch(0, Vec::new(), &[], span, wall(100));
        assert_eq!(patched.gaps, [gap(100, 300, GapCause::Broken)]);
        let [only] = &patched.fragments[..] else { panic!("{:?}", patched.fragments) };
        assert_eq!((only.span(), only.wall, only.seq), (span, wall(100), fragment_seq(0, 0)));
    }

    #[test]
    fn sound_that_overlaps_is_left_out() {
        let span = Span::new(ticks(100), ticks(150));
        let patched = patch(1, vec![part(90, 110), part(110, 150)], &[], span, wall(100));
        assert_eq!(patched.gaps, [gap(100, 110, GapCause::Broken)]);
        assert_eq!(patched.fragments.len(), 2);
    }

    #[test]
    fn an_end_that_nobody_knows_is_shared_out() {
        let end = |whole: &[Fragment], behind| end_of(ticks(100), whole, behind).0 / PACKET.0;
        assert_eq!(end(&[part(100, 120)], None), 120);
        assert_eq!(end(&[part(100, 120)], Some((1, ticks(300)))), 300);
        assert_eq!(end(&[part(100, 120)], Some((2, ticks(500)))), 300);
        assert_eq!(end(&[part(100, 320)], Some((2, ticks(500)))), 320);
        assert_eq!(end(&[part(100, 500)], Some((3, ticks(500)))), 498);
    }
}
