//! What is kept of a recording's sound: chunks, gaps and anchors.

use sqlx::FromRow;

use super::code::{Code, int, number, ticks};
use super::engine::Tx;
use super::{Change, Db, Error, Result, jobs, recordings};
use crate::chunk::{Anchor, Chunk, Gap, GapCause};
use crate::id::RecordingId;
use crate::recording::State;
use crate::time::{Ticks, WallMicros};

const NOT_FOUND: Error = Error::NotFound { what: "chunk" };

impl Db {
    /// Notes a chunk that lies in the store, with the gaps and anchors that fall into it, and moves
    /// the recording's duration and size on. Where the recording is live or paused, the job that
    /// writes its live captions is made or woken in the same transaction.
    ///
    /// The same chunk (number and SHA-256) noted again changes nothing, also after the end.
    ///
    /// # Errors
    /// [`Error::NotFound`] where there is no such recording; [`Error::Conflict`] where another chunk
    /// has this number, where this one does not continue the last one, or where the recording is
    /// over.
    pub async fn add_chunk(
        &self,
        recording: RecordingId,
        chunk: &Chunk,
        gaps: &[Gap],
        anchors: &[Anchor],
        now: WallMicros,
    ) -> Result<()> {
        let mut tx = self.begin("note the chunk").await?;
        let owner = recordings::within(&mut tx, recording).await?;
        if let Some(known) = chunk_within(&mut tx, recording, chunk.seq).await? {
            if known.sha256 == chunk.sha256 {
                return Ok(());
            }
            let what = format!("chunk {} is there with other contents", chunk.seq);
            return Err(Error::conflict(what));
        }
        if !owner.state.is_open() {
            return Err(Error::conflict("the recording is over"));
        }
        let last: Option<Row> = one!(tx, "find the last chunk", LAST, recording.0)?;
        let expected = match last.map(Chunk::try_from).transpose()? {
            Some(last) => (last.seq.saturating_add(1), last.span().end),
            None => (0, Ticks::ZERO),
        };
        if (chunk.seq, chunk.start) != expected {
            return Err(Error::conflict(format!(
                "chunk {} at {} was to follow, not {} at {}",
                expected.0, expected.1, chunk.seq, chunk.start
            )));
        }
        insert_chunk(&mut tx, recording, chunk, now).await?;
        insert_gaps(&mut tx, recording, gaps).await?;
        insert_anchors(&mut tx, recording, anchors).await?;
        if matches!(owner.state, State::Live | State::Paused) {
            jobs::wake_live(&mut tx, recording, chunk.span().end, now).await?;
        }
        tx.note(Change::Recording(recording));
        tx.commit().await
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
        let rows: Vec<Row> = all!(
            self.pools,
            "list the chunks",
            "SELECT * FROM chunks
             WHERE recording_id = $1 AND start_ticks + duration_ticks > $2
             ORDER BY seq",
            recording.0,
            int(from.0),
        )?;
        rows.into_iter().map(Chunk::try_from).collect()
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
    /// [`Error::NotFound`] where there is no such recording.
    pub async fn add_gaps(&self, recording: RecordingId, gaps: &[Gap]) -> Result<()> {
        let mut tx = self.begin("note the gaps").await?;
        recordings::within(&mut tx, recording).await?;
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

async fn chunk_within(tx: &mut Tx, recording: RecordingId, seq: u32) -> Result<Option<Chunk>> {
    let row: Option<Row> = one!(tx, "read the chunk", BY_SEQ, recording.0, i64::from(seq))?;
    row.map(Chunk::try_from).transpose()
}

async fn insert_chunk(
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

async fn insert_gaps(tx: &mut Tx, recording: RecordingId, gaps: &[Gap]) -> Result<()> {
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

async fn insert_anchors(tx: &mut Tx, recording: RecordingId, anchors: &[Anchor]) -> Result<()> {
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
struct Row {
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
