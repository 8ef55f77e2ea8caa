//! What is kept of a recording's sound: chunks, gaps and anchors.

use sqlx::FromRow;

use super::code::{Code, int, number, ticks};
use super::engine::Tx;
use super::{Change, Db, Error, Result, holds, jobs, recordings};
use crate::chunk::{Anchor, Chunk, Gap, GapCause};
use crate::hold::Hold;
use crate::id::RecordingId;
use crate::recording::State;
use crate::time::{Ticks, WallMicros};

const NOT_FOUND: Error = Error::NotFound { what: "chunk" };

/// A chunk to be noted, under the right to write its recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewChunk {
    /// The right to write it.
    pub hold: Hold,
    /// The chunk, which lies in the store.
    pub chunk: Chunk,
    /// The gaps that fall into it.
    pub gaps: Vec<Gap>,
    /// The anchors that fall into it.
    pub anchors: Vec<Anchor>,
}

impl Db {
    /// Notes a chunk that lies in the store, with the gaps and anchors that fall into it, and moves
    /// the recording's duration and size on. Where the recording is live or paused, the job that
    /// writes its live captions is made or woken in the same transaction.
    ///
    /// The same chunk (number and SHA-256) noted again changes nothing, also after the end.
    ///
    /// # Errors
    /// [`Error::NotFound`] where there is no such recording; [`Error::LeaseLost`] where somebody else
    /// has taken hold of it; [`Error::Conflict`] where another chunk has this number, where this one
    /// does not continue the last one, or where the recording is over.
    pub async fn add_chunk(
        &self,
        hold: impl Into<Hold>,
        chunk: &Chunk,
        gaps: &[Gap],
        anchors: &[Anchor],
        now: WallMicros,
    ) -> Result<()> {
        let (hold, chunk) = (hold.into(), chunk.clone());
        let new = NewChunk { hold, chunk, gaps: gaps.to_vec(), anchors: anchors.to_vec() };
        self.add_chunks(&[new], now).await?.pop().unwrap_or(Ok(()))
    }

    /// Notes chunks of any recordings in one transaction, each as [`Db::add_chunk`] does and with an
    /// outcome of its own, in the order in which they are given. Those of one recording have to be
    /// in order.
    ///
    /// # Errors
    /// [`Error::Query`]: none was noted.
    pub async fn add_chunks(&self, new: &[NewChunk], now: WallMicros) -> Result<Vec<Result<()>>> {
        let mut tx = self.begin("note the chunks").await?;
        // Rows are locked in one order, or two of us could wait for each other.
        let mut order: Vec<usize> = (0..new.len()).collect();
        order.sort_by_key(|at| (new[*at].hold.recording_id, new[*at].chunk.seq));
        let mut outcomes: Vec<Result<()>> = (0..new.len()).map(|_| Ok(())).collect();
        for at in order {
            match add_within(&mut tx, &new[at], now).await {
                Err(error @ Error::Query { .. }) => return Err(error),
                outcome => outcomes[at] = outcome,
            }
        }
        tx.commit().await?;
        Ok(outcomes)
    }

    /// All chunks of a recording in order.
    ///
    /// # Errors
    /// [`Error::Query`].
    pub async fn chunks(&self, recording: RecordingId) -> Result<Vec<Chunk>> {
        self.chunks_from(recording, Ticks::ZERO).await
    }

    /// The chunks of a recording that end after `from`, in order.
    ///
    /// # Errors
    /// [`Error::Query`].
    pub async fn chunks_from(&self, recording: RecordingId, from: Ticks) -> Result<Vec<Chunk>> {
        let mut chunks = Vec::new();
        self.each_chunk(recording, from, |chunk| chunks.push(chunk)).await?;
        Ok(chunks)
    }

    /// Hands the chunks of a recording that end after `from` to `take`, in order and as they are read:
    /// a recording of many hours need not be in memory to be listed.
    ///
    /// # Errors
    /// [`Error::Query`], after some were taken perhaps.
    pub async fn each_chunk(
        &self,
        recording: RecordingId,
        from: Ticks,
        mut take: impl FnMut(Chunk),
    ) -> Result<()> {
        let sql = "SELECT * FROM chunks
             WHERE recording_id = $1 AND start_ticks + duration_ticks > $2
             ORDER BY seq";
        each!(self.pools, "list the chunks", sql, recording.0, int(from.0); |row: Row| {
            take(row.try_into()?);
            Ok(())
        })
    }

    /// One chunk.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn chunk(&self, recording: RecordingId, seq: u32) -> Result<Chunk> {
        let row: Option<Row> =
            one!(self.pools, "read the chunk", BY_SEQ, recording.0, i64::from(seq))?;
        row.ok_or(NOT_FOUND)?.try_into()
    }

    /// The chunk that ends last.
    ///
    /// # Errors
    /// [`Error::Query`].
    pub async fn last_chunk(&self, recording: RecordingId) -> Result<Option<Chunk>> {
        let row: Option<Row> = one!(self.pools, "find the last chunk", LAST, recording.0)?;
        row.map(Chunk::try_from).transpose()
    }

    /// All gaps of a recording in order. One that was noted chunk by chunk is one gap again.
    ///
    /// # Errors
    /// [`Error::Query`].
    pub async fn gaps(&self, recording: RecordingId) -> Result<Vec<Gap>> {
        let rows: Vec<GapRow> = all!(
            self.pools,
            "list the gaps",
            "SELECT * FROM gaps WHERE recording_id = $1
             ORDER BY start_ticks, duration_ticks, wall_us",
            recording.0,
        )?;
        rows.into_iter().map(Gap::try_from).collect::<Result<_>>().map(Gap::joined)
    }

    /// Notes gaps that fall into no chunk to come, such as a pause at the very end. Those known
    /// already change nothing.
    ///
    /// # Errors
    /// [`Error::NotFound`] where there is no such recording; [`Error::LeaseLost`].
    pub async fn add_gaps(&self, hold: impl Into<Hold>, gaps: &[Gap]) -> Result<()> {
        let mut tx = self.begin("note the gaps").await?;
        let recording = holds::fence(&mut tx, hold.into()).await?.id;
        insert_gaps(&mut tx, recording, gaps).await?;
        tx.note(Change::Recording(recording));
        tx.commit().await
    }

    /// All anchors of a recording in order.
    ///
    /// # Errors
    /// [`Error::Query`].
    pub async fn anchors(&self, recording: RecordingId) -> Result<Vec<Anchor>> {
        let rows: Vec<(i64, i64)> = all!(
            self.pools,
            "list the anchors",
            "SELECT media_ticks, wall_at FROM anchors WHERE recording_id = $1
             ORDER BY media_ticks, wall_at",
            recording.0,
        )?;
        let anchor = |(media, wall)| Ok(Anchor { media: ticks(media)?, wall: WallMicros(wall) });
        rows.into_iter().map(anchor).collect()
    }
}

const BY_SEQ: &str = "SELECT * FROM chunks WHERE recording_id = $1 AND seq = $2";
const LAST: &str = "SELECT * FROM chunks WHERE recording_id = $1 ORDER BY seq DESC LIMIT 1";

/// Writes nothing where it fails with anything but [`Error::Query`].
async fn add_within(tx: &mut Tx, new: &NewChunk, now: WallMicros) -> Result<()> {
    let NewChunk { hold, chunk, gaps, anchors } = new;
    let recording = hold.recording_id;
    let owner = recordings::within(tx, recording).await?;
    if let Some(known) = chunk_within(tx, recording, chunk.seq).await? {
        if known.sha256 == chunk.sha256 {
            return Ok(());
        }
        holds::check(tx, *hold).await?;
        let what = format!("chunk {} is there with other contents", chunk.seq);
        return Err(Error::conflict(what));
    }
    holds::check(tx, *hold).await?;
    if !owner.state.is_open() {
        return Err(Error::conflict("the recording is over"));
    }
    let expected = end_within(tx, recording).await?;
    if (chunk.seq, chunk.start) != expected {
        return Err(Error::conflict(format!(
            "chunk {} at {} was to follow, not {} at {}",
            expected.0, expected.1, chunk.seq, chunk.start
        )));
    }
    insert_chunk(tx, recording, chunk, now).await?;
    insert_gaps(tx, recording, gaps).await?;
    insert_anchors(tx, recording, anchors).await?;
    if matches!(owner.state, State::Live | State::Paused) {
        jobs::wake_live(tx, recording, chunk.span().end, now).await?;
    }
    tx.note(Change::Recording(recording));
    Ok(())
}

/// The chunks with these numbers, in order.
pub(super) async fn numbered(
    tx: &mut Tx,
    recording: RecordingId,
    first: u32,
    last: u32,
) -> Result<Vec<Chunk>> {
    let rows: Vec<Row> = all!(
        tx,
        "read the chunks",
        "SELECT * FROM chunks WHERE recording_id = $1 AND seq BETWEEN $2 AND $3 ORDER BY seq",
        recording.0,
        i64::from(first),
        i64::from(last),
    )?;
    rows.into_iter().map(Chunk::try_from).collect()
}

/// Number and media time of the chunk to come.
pub(super) async fn end_within(tx: &mut Tx, recording: RecordingId) -> Result<(u32, Ticks)> {
    let last: Option<Row> = one!(tx, "find the last chunk", LAST, recording.0)?;
    let last = last.map(Chunk::try_from).transpose()?;
    Ok(last.map_or((0, Ticks::ZERO), |last| (last.seq.saturating_add(1), last.span().end)))
}

async fn chunk_within(tx: &mut Tx, recording: RecordingId, seq: u32) -> Result<Option<Chunk>> {
    let row: Option<Row> = one!(tx, "read the chunk", BY_SEQ, recording.0, i64::from(seq))?;
    row.map(Chunk::try_from).transpose()
}

pub(super) async fn insert_chunk(
    tx: &mut Tx,
    recording: RecordingId,
    chunk: &Chunk,
    now: WallMicros,
) -> Result<()> {
    run!(
        tx,
        "note the chunk",
        "INSERT INTO chunks
             (recording_id, seq, take, start_ticks, duration_ticks, bytes, sha256, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        recording.0,
        i64::from(chunk.seq),
        i64::from(chunk.take),
        int(chunk.start.0),
        int(chunk.duration.0),
        int(chunk.bytes),
        &chunk.sha256[..],
        now.0,
    )?;
    run!(
        tx,
        "move the recording's duration on",
        "UPDATE recordings SET duration_ticks = $2, bytes = bytes + $3, updated_at = $4
         WHERE id = $1",
        recording.0,
        int(chunk.span().end.0),
        int(chunk.bytes),
        now.0,
    )?;
    Ok(())
}

pub(super) async fn insert_gaps(tx: &mut Tx, recording: RecordingId, gaps: &[Gap]) -> Result<()> {
    for gap in gaps {
        run!(
            tx,
            "note the gap",
            "INSERT INTO gaps (recording_id, start_ticks, duration_ticks, wall_us, cause)
             VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT DO NOTHING",
            recording.0,
            int(gap.start.0),
            int(gap.duration.0),
            gap.wall_us,
            gap.cause.code(),
        )?;
    }
    Ok(())
}

pub(super) async fn insert_anchors(
    tx: &mut Tx,
    recording: RecordingId,
    anchors: &[Anchor],
) -> Result<()> {
    for anchor in anchors {
        run!(
            tx,
            "note the anchor",
            "INSERT INTO anchors (recording_id, media_ticks, wall_at) VALUES ($1, $2, $3)
             ON CONFLICT DO NOTHING",
            recording.0,
            int(anchor.media.0),
            anchor.wall.0,
        )?;
    }
    Ok(())
}

#[derive(FromRow)]
pub(super) struct Row {
    seq: i64,
    take: i64,
    start_ticks: i64,
    duration_ticks: i64,
    bytes: i64,
    sha256: Vec<u8>,
}

impl TryFrom<Row> for Chunk {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self> {
        Ok(Self {
            seq: number("chunk number", row.seq)?,
            take: number("take", row.take)?,
            start: ticks(row.start_ticks)?,
            duration: ticks(row.duration_ticks)?,
            bytes: number("size", row.bytes)?,
            sha256: row.sha256.try_into().map_err(|other: Vec<u8>| Error::Corrupt {
                what: format!("SHA-256 of {} bytes", other.len()),
            })?,
        })
    }
}

#[derive(FromRow)]
struct GapRow {
    start_ticks: i64,
    duration_ticks: i64,
    wall_us: i64,
    cause: String,
}

impl TryFrom<GapRow> for Gap {
    type Error = Error;

    fn try_from(row: GapRow) -> Result<Self> {
        Ok(Self {
            start: ticks(row.start_ticks)?,
            duration: ticks(row.duration_ticks)?,
            wall_us: row.wall_us,
            cause: GapCause::parse(&row.cause)?,
        })
    }
}
