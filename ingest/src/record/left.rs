//! Where a recording goes on: what a crash left of it in the spool, in the store and in rows.

use std::path::PathBuf;

use archive::chunk;
use models::{Chunk, Gap, Recording, Ticks, WallMicros};

use super::{Error, FILL_MAX, Kept, TOC};
use crate::place::Place;
use crate::spool::{self, Left};

/// What is left without the pauses of chunks that are in the store: a power cut may bring back the
/// sidecar of a chunk that was removed, and its pauses were told long ago.
pub(super) async fn without_stale(mut left: Left, next: u32, dir: PathBuf) -> Result<Left, Error> {
    let (stays, stale) = left.pauses.into_iter().partition(|(seq, _)| *seq >= next);
    left.pauses = stays;
    let stale: Vec<(u32, Gap)> = stale;
    let clear = move || stale.iter().try_for_each(|(seq, _)| spool::remove(&dir, *seq));
    tokio::task::spawn_blocking(clear).await.map_err(Error::Stopped)??;
    Ok(left)
}

/// Where a recording's media time ends, and what is known of that end: from its last fragment,
/// which is in the spool or, where nothing is left there, in the store.
pub(super) async fn ends_at(
    place: &Place,
    recording: &Recording,
    left: &Left,
    rowed: Option<&Chunk>,
) -> Result<(Ticks, Option<Kept>), Error> {
    let spooled = left.chunks.last().copied();
    let last = match rowed.filter(|rowed| spooled.is_none_or(|seq| seq <= rowed.seq)) {
        Some(rowed) => chunk::open(&place.store, recording.id, rowed).await?.pop(),
        None => left.last.clone(),
    };
    let Some(last) = last else {
        // Its first audio is noted before any of it is kept, and may be on its way from elsewhere.
        let kept = recording.started_at.map(|wall| Kept { wall, toc: TOC });
        return Ok((Ticks::ZERO, kept));
    };
    let paused_us: i64 = left.pauses.iter().map(|(_, gap)| gap.wall_us).sum();
    let end = last.wall.plus(last.duration());
    let wall = WallMicros(end.0.saturating_add(paused_us));
    let toc = last.packets.last().and_then(|packet| packet.data.first().copied());
    Ok((last.span().end, toc.map(|toc| Kept { wall, toc })))
}

/// How far media time, which ends at `media`, has fallen behind the wall clock since the recording
/// began, in microseconds: what was on purpose is not counted. What each source's beginning was off,
/// and what was rounded, would otherwise add up from crash to crash.
///
/// `spool` is the recording's directory there, `rowed` its last chunk in the store.
pub(super) async fn behind_us(
    place: &Place,
    recording: &Recording,
    (media, kept): (Ticks, Option<Kept>),
    rowed: Option<&Chunk>,
    spool: PathBuf,
) -> Result<i64, Error> {
    let (Some(began), Some(Kept { wall: end, .. })) = (recording.started_at, kept) else {
        return Ok(0);
    };
    let mut gaps = place.db.gaps(recording.id).await?;
    let rowed = rowed.map(|chunk| chunk.seq);
    let spooled = move || {
        let seqs = spool::list(&spool, "gaps")?.into_iter();
        let seqs = seqs.filter(|seq| rowed.is_none_or(|rowed| *seq > rowed));
        seqs.map(|seq| spool::gaps(&spool, seq)).collect::<Result<Vec<_>, _>>()
    };
    let spooled = tokio::task::spawn_blocking(spooled).await.map_err(Error::Stopped)??;
    gaps.extend(spooled.into_iter().flatten());
    let meant: i64 = Gap::joined(gaps).iter().map(meant_us).sum();
    Ok(end.micros_since(began).saturating_sub(meant).saturating_sub(media.as_micros()))
}

/// How much longer than media time `gap` took on purpose: a pause, or what is too long to be filled.
fn meant_us(gap: &Gap) -> i64 {
    let is_meant = gap.duration == Ticks::ZERO || gap.duration >= FILL_MAX;
    if is_meant { gap.wall_us.saturating_sub(gap.duration.as_micros()) } else { 0 }
}
